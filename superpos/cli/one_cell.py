"""Which model of a result a command reads."""

import math
from typing import Any


def one_cell(models: Any, at: tuple[str, ...]) -> Any:
    """The one cell of a result of toy models that is left after choosing `at`, texts axis=value, and then the best seed."""
    from superpos import check
    from superpos.errors import ConfigError
    from superpos.sweeping.sorting import distinct

    names = [text.partition("=")[0] for text in at]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"at names {twice[0]} twice.")
    for text in at:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"at must be written axis=value, got {text!r}.")
        chosen: dict[str, Any] = {name: _number(name, value)}
        if name == "cell" and "cell" in models.sizes:
            check.whole_numbers("at: cell", chosen[name])
            check.integer("at: cell", round(chosen[name]), at_most=models.sizes["cell"] - 1)
            models = models.isel(cell=[round(chosen[name])])
        else:
            models = models.sel(method="nearest", **chosen)
    axes = {axis["name"]: distinct(models.dataset[axis["name"]].values) for axis in models.attrs["grid"]["axes"]}
    if "seed" in models.sizes:
        models = models.best("seed")
    elif "cell" in models.sizes and all(len(values) == 1 for name, values in axes.items() if name != "seed"):
        models = models.best("cell")  # points that differ in their seeds alone
    if any(size > 1 for size in models.sizes.values()):
        several = {name: len(values) for name, values in axes.items() if name != "seed" and len(values) > 1}
        left = ", ".join(f"{name} ({size} values)" for name, size in several.items())
        or_number = f", or cell=0 … {models.sizes['cell'] - 1}" if "cell" in models.sizes else ""
        raise ConfigError(f"at must leave one cell of the result; choose along {left}{or_number}.")
    return models


def _number(name: str, value: str) -> float:
    from superpos.errors import ConfigError

    try:
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
        return number
    except ValueError:
        raise ConfigError(f"at: {name} must be a number, got {value!r}.") from None
