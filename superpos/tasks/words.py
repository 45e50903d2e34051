"""Settings of a task in words, as captions say them. `Task.describe` is made of these."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from superpos.models.sae import ARCHITECTURES

# Fields that are said before the others, at their defaults too, and fields that are said after them.
FIRST = ("activation", "hidden_activation", "importance", "feature_probability")
LAST = ("correlated_sets", "anticorrelated_sets", "parents")

ACTIVATIONS = {"relu": "ReLU", "identity": "linear", "gelu": "GELU", "solu": "SoLU", "square": "x²"}
PLURALS = {"torus": "tori"}
VALUES = {"absolute": "|x|", "square": "x²", "signed_uniform": "uniform on [−1, 1]"}
VALUES |= {"fixed_number": "with a fixed number of active features"}


def sizes(names: Mapping[str, str], settings: Mapping[str, Any], swept: set[str]) -> list[str]:
    """Phrases like "5 features in 2 hidden dimensions" of the sizes in `names` (see `Task.SIZES`).

    A size that is swept stands alone, and so does the next. A range of one number is that number: "period 24".
    """
    phrases: list[str] = []
    previous: str | None = None  # the field that a phrase may go on from
    for field, phrase in ((field, phrase) for field, phrase in names.items() if field in settings):
        goes_on, value = phrase.startswith(("in ", "to ")), settings[field]
        if field in swept:
            noun = phrase.removeprefix("in ").removeprefix("{} ")
            phrases.append(f"{f'number of {noun}' if field.startswith('n_') else plain(field)} swept")
        elif not goes_on:
            phrases.append(counted(phrase, value))
        elif phrase.startswith("to ") and previous is not None and value == settings[previous]:
            phrases[-1] = names[previous].replace("s {", " {", 1).format(value)
        elif previous is not None:
            phrases[-1] += " " + counted(phrase, value)
        elif phrase.startswith("in "):
            phrases.append(counted(phrase.removeprefix("in "), value))
        else:
            phrases.append(f"{plain(field)} {value:g}")
        previous = None if field in swept else field
    return phrases


def counted(phrase: str, number: Any) -> str:
    """The phrase with the number in its braces: "3 layers", "1 layer"."""
    return (phrase.removesuffix("s") if number == 1 and "{} " in phrase else phrase).format(number)


def changed(
    settings: Mapping[str, Any],
    swept: set[str],
    *,
    defaults: Mapping[str, Any],
    names: Mapping[str, str],
    always: tuple[str, ...] = FIRST,
    unsaid: tuple[str, ...] = (),
) -> list[str]:
    """A phrase for every setting that is swept, not at its default, or to be said `always`; none for those `unsaid`.

    `names` has the names of fields that are not their own with spaces.
    """
    middle = [field for field in settings if field not in (*FIRST, *LAST)]
    phrases = []
    for field in (f for f in (*FIRST, *middle, *LAST) if f in settings and f not in unsaid):
        if field in swept:
            phrases.append(f"{names.get(field, plain(field))} swept")
        elif field in always or field not in defaults or settings[field] != defaults[field]:
            phrases.append(phrase(field, names.get(field, plain(field)), settings))
    return [words for words in phrases if words]


def plain(field: str) -> str:
    """A field's name in words: "number of points" for n_points, d_model as it is, and others with spaces."""
    if field.startswith("n_"):
        return "number of " + field.removeprefix("n_").replace("_", " ")
    return field if field.startswith("d_") else field.replace("_", " ")


def phrase(field: str, name: str, settings: Mapping[str, Any]) -> str:
    """One setting: "ReLU output", "no bias", "importance 0.9^i". Empty where there is nothing to say."""
    value = settings[field]
    match field, value:
        case "activation", _:
            return f"{ACTIVATIONS.get(value, value)} output"
        case "hidden_activation", _:
            return f"{ACTIVATIONS.get(value, value)} hidden layer"
        case "correlated_sets" | "anticorrelated_sets", _:
            lengths = sorted({len(members) for members in value})
            kind = field.removesuffix("_sets")
            sets = counted(f"{{}} {kind} sets", len(value))
            return f"{sets} of {' or '.join(map(str, lengths))}" if value else ""
        case "parents", _:
            children = sum(parent >= 0 for parent in value)
            at_once = ", one at a time" if settings.get("exclusive_children") else ""
            features = counted("{} features", children)
            return (
                f"{features} active only with {'its' if children == 1 else 'their'} parent{at_once}" if children else ""
            )
        case "manifolds", list():
            each = [
                counted(f"{{}} {PLURALS.get(name, f'{name}s')}", value.count(name)) for name in dict.fromkeys(value)
            ]
            return f"points of {' and '.join(each)}" if value else ""
        case "architecture", _:
            return f"{ARCHITECTURES[value].label if value in ARCHITECTURES else value} architecture"
        case "init_scale", _:
            return f"initial weights × {value:g}"
        case "bias", False:
            return "no bias"
        case "tied", False:
            return "untied weights"
        case _, bool():
            return name if value else f"not {name}"
        case _, int() | float():
            return f"{name} {value:g}"
        case _, str():
            return f"{name} {VALUES.get(value, value)}"
        case "magnitude_values" | "magnitude_weights", list() if not isinstance(value[0], list):
            return f"{name} {', '.join(f'{number:g}' for number in value)}"
        case _, list() if value and all(isinstance(number, int | float) for number in value):
            return f"{name} {vector(value)}"
        case _, list() if value and isinstance(value[0], list):
            return f"{name} {' × '.join(map(str, np.shape(value)))}"
        case "magnitude", list():
            return f"{name} {' or '.join(dict.fromkeys(str(VALUES.get(law, law)) for law in value))}"
    return f"{name} {value}"


def vector(value: Any) -> str:
    """Several numbers: "0.5" if all are the same, "0.9^i" if each is 0.9 of the one before, else "from 0.1 to 0.3"."""
    values = np.asarray(value, float)
    if np.ptp(values) == 0:
        return f"{values[0]:g}"
    if np.all(values > 0) and np.allclose(values[1:] / values[:-1], values[1] / values[0], rtol=1e-4):
        start = "" if np.isclose(values[0], 1) else f"{values[0]:g} × "
        return f"{start}{values[1] / values[0]:.3g}^i"
    return f"from {values.min():.3g} to {values.max():.3g}"
