"""Colours, sizes, captions and saving: the one place that decides how figures look."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from superpos.models.sae import ARCHITECTURES
from superpos.plot.written import ENDINGS, MARK, free_figure
from superpos.sweep import outputs
from superpos.tasks.base import Task
from superpos.tasks.registry import is_known, task_class
from superpos.theory.polytopes import COLORS

OPTIMIZER_NAMES = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD", "rmsprop": "RMSprop", "lion": "Lion", "muon": "Muon"}

# Okabe and Ito's colours, distinguishable with any colour vision.
PALETTE = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#999999",
}
# One colour per shape, the same throughout the lab.
SHAPE_COLORS = {name: PALETTE[color] for name, color in COLORS.items()} | {
    "irregular": PALETTE["grey"],
    "shared feature": PALETTE["grey"],
    "nothing represented": "#DDDDDD",
}
OTHER_SHAPES = PALETTE["yellow"]
MIXED_SHAPES = PALETTE["red"]
# Negative blue, zero white, positive orange: readable in print and with any colour vision.
DIVERGING = LinearSegmentedColormap.from_list("superpos", [PALETTE["blue"], "#FFFFFF", PALETTE["red"]])
# Fields of tasks that captions say in their own way, and those they say even at their defaults.
SAID_ELSEWHERE = (
    "kind", "activation", "hidden_activation", "importance", "feature_probability", "objective", "gradient_pairs",
    "test_pairs", "data_seed", "order", "correlated_sets", "anticorrelated_sets", "directions", "output_bias", "parents",
    "exclusive_children", "most_points", "points",
)  # fmt: skip
ALWAYS_SAID = ("importance", "feature_probability", "attack_norm")
VALUES_IN_WORDS = {"absolute": "|x|", "square": "x²", "signed_uniform": "uniform on [−1, 1]"}

_RC: Any = {
    "figure.dpi": 110,
    "savefig.dpi": 220,
    "savefig.bbox": "tight",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.2,
    "svg.fonttype": "path",
    "svg.hashsalt": "superpos",  # the same figure twice is the same file
}


@contextmanager
def style() -> Iterator[None]:
    """The lab's look, for the figures made inside the `with`."""
    with mpl.rc_context(_RC):
        yield


def use_style() -> None:
    """The lab's look for all figures from here on, as a notebook wants it."""
    mpl.rcParams.update(_RC)


def shape_color(shape: str) -> str:
    """Colour of a shape or of a sum of shapes: "pentagon", "2 × antipodal pair", "triangle + dedicated"."""
    kinds = {re.sub(r"^\d+ × ", "", part).split(" (")[0] for part in shape.split(" + ")}
    return SHAPE_COLORS.get(kinds.pop(), OTHER_SHAPES) if len(kinds) == 1 else MIXED_SHAPES


def architecture_color(name: str) -> str:
    """Colour of an architecture of sparse autoencoders, grey for one that this process does not know."""
    color = ARCHITECTURES[name].color if name in ARCHITECTURES else "grey"
    return PALETTE.get(color, color if color.startswith("#") else PALETTE["grey"])


def architecture_label(name: str) -> str:
    """What an architecture of sparse autoencoders is called, its bare name where this process does not know it."""
    return ARCHITECTURES[name].label if name in ARCHITECTURES else name


def current_axes(ax: Axes | None) -> Axes:
    """`ax`, or the current axes of pyplot."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.gca()


def save(figure: Figure, caption: str = "", *, path: str | Path, overwrite: bool = False) -> list[Path]:
    """Write PATH.svg, PATH.png and, if there is one, the caption as PATH.txt. Returns the files.

    Files of an earlier figure are replaced, others only with `overwrite`.

    Raises:
        ConfigError: something else is there, or it is inside a result. Nothing is written.
        StoreError: a file cannot be written.
    """
    places = free_figure(path, ENDINGS if caption else ENDINGS[:2], overwrite=overwrite)
    pictures = {".svg": {"Date": None, "Source": MARK}, ".png": {"Software": None, "Source": MARK}}
    data = {".txt": f"{caption}\n".encode()}
    with mpl.rc_context(_RC):
        for ending, said in pictures.items():
            figure.savefig(buffer := BytesIO(), format=ending[1:], metadata=said)
            data[ending] = buffer.getvalue()
    for ending, (_, place) in places.items():
        outputs.write(place, data[ending])
    return [named for named, _ in places.values()]


_NAMES = {"hidden_l1": "hidden L1 penalty", "attack_norm": "attack norm relative to the inputs'"}


def _name(field: str) -> str:
    return _NAMES.get(field, field.replace("_", " "))


def caption(attrs: dict[str, Any], text: str = "") -> str:
    """A caption from a result's attributes, so that it cannot disagree with what was trained."""
    task, train = attrs["task"], attrs["train"]
    swept = {a["field"] for a in attrs["grid"]["axes"]}
    if not train:  # nothing is known of how these models were trained
        sizes = ", ".join(f"{task[f]} {f.removeprefix('n_')}" for f in ("n_features", "n_hidden") if f in task)
        return f"{text} Models from elsewhere{': ' * bool(sizes)}{sizes}.".strip()

    def words(field: str, said: str) -> str:
        return f"{_name(field)} swept" if field in swept else said

    shown = {"relu": "ReLU", "identity": "linear", "gelu": "GELU"}
    described = task_class(task["kind"]) if is_known(task["kind"]) else Task
    sizes = described.SIZES
    parts = _sizes_in_words(task, sizes, swept)
    # A sparse autoencoder that reads no toy model has no use for the output of one.
    unused = (
        {"activation", "importance"} if task["kind"] == "sparse_autoencoder" and not task.get("output_bias") else set()
    )
    unused |= {"importance"} - set(task)
    for field, what in (("activation", "output"), ("hidden_activation", "hidden layer")):
        if field in task and field not in unused:
            parts.append(words(field, f"{shown.get(task[field], task[field])} {what}"))
    plain = _defaults(task["kind"])
    others = (f for f in task if f not in SAID_ELSEWHERE and f not in sizes)
    for field in ("importance", "feature_probability", *others):
        if (
            field in task
            and field not in unused
            and (field in swept or field not in plain or task[field] != plain[field])
        ):
            parts.append(words(field, _in_words(field, task[field])))
    for field, kind in (("correlated_sets", "correlated"), ("anticorrelated_sets", "anticorrelated")):
        if sets := task.get(field, ()):
            of = sorted({len(members) for members in sets})
            parts.append(f"{len(sets)} {kind} sets of {' or '.join(map(str, of))}")
    if children := sum(parent >= 0 for parent in task.get("parents", ())):
        parts.append(
            f"{children} features active only with their parent" + ", one at a time" * task["exclusive_children"]
        )
    if task["kind"] == "sparse_autoencoder":
        given = task["directions"]
        models = f"{np.shape(given)[0]} toy models" if np.ndim(given) == 3 else "one toy model"
        parts.append("random directions" if given is None else f"directions of {models}")
    optimizer = words("optimizer", OPTIMIZER_NAMES[train["optimizer"]])
    rate = f"learning rate {train['learning_rate']:g}" if train["learning_rate"] else "learning rate by objective"
    steps = f"{train['steps']:,} steps" if train["steps"] else "steps by objective"
    data = [described.DATA.format(**task) if described.DATA else words("batch_size", f"batch {train['batch_size']:,}")]
    objective = words("objective", task.get("objective", "sampled"))
    if objective == "expected":
        data = [f"expected loss (order {task['order']}), no sampling"]
    elif objective != "sampled":
        data.append(objective if objective.endswith("swept") else f"objective {objective}")
    schedule = words("schedule", train["schedule"])
    if "warmup_steps" in swept or train.get("warmup_steps"):
        schedule += ", " + words("warmup_steps", f"warm-up of {train['warmup_steps']:,} steps")
    how = [f"{words('steps', steps)} of {optimizer}", f"{words('learning_rate', rate)} ({schedule})"]
    if "weight_decay" in swept or train.get("weight_decay"):
        what = "of weights and biases " if train.get("decay_bias") else ""
        how.append(words("weight_decay", f"weight decay {what}{train['weight_decay']:g}"))
    parts.append(", ".join([*how, *data]))
    made_with = f"superpos {attrs['superpos']}, JAX {attrs['versions']['jax']}"
    return " ".join(part for part in (text, "; ".join(parts) + ".", f"Made with {made_with}.") if part)


def _sizes_in_words(task: dict[str, Any], sizes: dict[str, str], swept: set[str]) -> list[str]:
    """Phrases like "5 features in 2 hidden dimensions"; a size that is swept stands alone, and so does the next."""
    parts: list[str] = []
    apart = True
    for field, said in ((field, said) for field, said in sizes.items() if field in task):
        goes_on = said.startswith(("in ", "to "))
        if field in swept:
            parts.append(f"{_name(field)} swept")
        elif not goes_on:
            parts.append(said.format(task[field]))
        elif not apart:
            parts[-1] += " " + said.format(task[field])
        elif said.startswith("in "):
            parts.append(said.removeprefix("in ").format(task[field]))
        else:
            parts.append(f"{_name(field)} {task[field]:g}")
        apart = field in swept
    return parts


def _defaults(kind: str) -> dict[str, Any]:
    """Settings of a task that need no mention; importance and density are always said."""
    if not is_known(kind):
        return {}
    defaults = {f.name: f.default for f in fields(task_class(kind)) if f.default is not MISSING}  # type: ignore[arg-type]
    return {name: list(v) if isinstance(v, tuple) else v for name, v in defaults.items() if name not in ALWAYS_SAID}


def _in_words(field: str, value: Any) -> str:
    name = _name(field)
    if field == "architecture":
        return f"{architecture_label(value)} architecture"
    if field == "init_scale":
        return f"initial weights × {value:g}"
    if isinstance(value, bool):
        return name if value else {"bias": "no bias", "tied": "untied weights"}.get(field, f"not {name}")
    if isinstance(value, int | float) or (isinstance(value, list) and all(isinstance(v, int | float) for v in value)):
        return _vector_in_words(name, value)
    return f"{name} {VALUES_IN_WORDS.get(value, value)}" if isinstance(value, str) else f"{name} {value}"


def _vector_in_words(name: str, value: Any) -> str:
    values = np.asarray(value, float).ravel()
    if np.ptp(values) == 0:
        return f"{name} {values[0]:g}"
    if np.all(values > 0) and np.allclose(values[1:] / values[:-1], values[1] / values[0], rtol=1e-4):
        start = "" if np.isclose(values[0], 1) else f"{values[0]:g} × "
        return f"{name} {start}{values[1] / values[0]:.3g}^i"
    return f"{name} from {values.min():.3g} to {values.max():.3g}"
