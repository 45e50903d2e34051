r"""How large an active feature is: laws of magnitudes, one for all features or one for each.

A law is named by `magnitude`. Some have numbers, one for all features or one per feature, which may be traced:

| law | numbers | density of an active feature |
|---|---|---|
| `"uniform"` | `magnitude_low`, `magnitude_high` (0 and 1) | uniform on [low, high] |
| `"signed_uniform"` | none | uniform on [−1, 1] |
| `"constant"` | `magnitude_value` (1) | that value |
| `"exponential"` | `magnitude_rate` λ (1) | $\lambda e^{-\lambda x}$ |
| `"folded_normal"` | `magnitude_mean` μ (0), `magnitude_std` σ (1) | $\lvert\mu + \sigma z\rvert$ with z standard normal |
| `"discrete"` | `magnitude_values`, `magnitude_weights` (equal) | value k with probability weight k |

A tuple of names, one per feature, gives features different laws. One uniform number v decides: through the inverse
distribution function, or for the folded normal through that of the normal before it is folded. So models that share a key
see the same underlying numbers whatever the law's numbers are.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.errors import ConfigError

# Raw moments E[x], E[x²], E[x³] of the laws that need no number, with none given.
MAGNITUDE_MOMENTS = {
    "uniform": (1 / 2, 1 / 3, 1 / 4),  # U[0, 1], the paper's
    "signed_uniform": (0.0, 1 / 3, 0.0),  # U[-1, 1]
    "constant": (1.0, 1.0, 1.0),
    "exponential": (1.0, 2.0, 6.0),  # rate 1
}
MAGNITUDES = tuple(MAGNITUDE_MOMENTS)

# The numbers of every law, with what each is where it is not given; None: it must be.
NUMBERS: dict[str, dict[str, float | None]] = {
    "uniform": {"magnitude_low": 0.0, "magnitude_high": 1.0},
    "signed_uniform": {},
    "constant": {"magnitude_value": 1.0},
    "exponential": {"magnitude_rate": 1.0},
    "folded_normal": {"magnitude_mean": 0.0, "magnitude_std": 1.0},
    "discrete": {"magnitude_values": None, "magnitude_weights": None},
}
LAWS = tuple(NUMBERS)
PER_FEATURE = tuple(field for fields in NUMBERS.values() for field, usual in fields.items() if usual is not None)
TABLES = ("magnitude_values", "magnitude_weights")
ALL_NUMBERS = (*PER_FEATURE, *TABLES)

MAX_MAGNITUDE = 1e6  # that a number of a law may be; the series of the expected loss needs fourth powers
MAX_VALUES = 256  # of a discrete law
ROUNDING = 1e-5  # by which weights may miss a sum of 1


def laws_of(features: Any) -> tuple[str, ...]:
    """The laws that are in use, each once."""
    named = features.magnitude
    return (named,) if isinstance(named, str) else tuple(law for law in LAWS if law in named)


def is_plain(features: Any) -> bool:
    """Whether magnitudes are of one of `MAGNITUDES` without numbers of their own."""
    return features.magnitude in MAGNITUDES and all(getattr(features, field) is None for field in ALL_NUMBERS)


def check_magnitudes(features: Any) -> None:
    """Raise `ConfigError`, naming the field, for magnitudes that are not allowed; numbers may be stacked."""
    if isinstance(features.magnitude, tuple):
        if len(features.magnitude) != features.n_features:
            raise ConfigError(
                f"magnitude must be one law or one per feature ({features.n_features}), got {len(features.magnitude)}."
            )
        for law in features.magnitude:
            check.one_of("magnitude", law, LAWS)
    else:
        check.one_of("magnitude", features.magnitude, LAWS)
    used = {field for law in laws_of(features) for field in NUMBERS[law]}
    for field in ALL_NUMBERS:
        value = getattr(features, field)
        if value is None:
            continue
        if field not in used:
            raise ConfigError(f"{field} must be None where magnitude is {_said(features)}, which does not read it.")
        check.in_range(field, value, at_least=-MAX_MAGNITUDE, at_most=MAX_MAGNITUDE)
        if field in PER_FEATURE and np.shape(value) and np.shape(value)[-1] != features.n_features:
            raise ConfigError(
                f"{field} must be one number or {features.n_features} (one per feature), got shape {np.shape(value)}."
            )
    _check_each(features)
    if "discrete" in laws_of(features):
        _check_discrete(features)


def _check_each(features: Any) -> None:
    """The numbers of laws that have one per feature."""
    for field in ("magnitude_rate", "magnitude_std"):
        if getattr(features, field) is not None:
            check.in_range(field, getattr(features, field), above=0)
    value = _known(features.magnitude_value)
    if value is not None and np.any(value == 0):
        raise ConfigError("magnitude_value must not be 0: a feature of magnitude 0 is not active.")
    ends = [features.magnitude_low, features.magnitude_high]
    if any(arrays.is_traced(end) for end in ends) or all(end is None for end in ends):
        return
    low, high = (np.asarray(usual if end is None else end, float) for end, usual in zip(ends, (0, 1), strict=True))
    if np.any(low > high):
        *_, a, b = (
            float(np.broadcast_to(x, np.broadcast_shapes(low.shape, high.shape))[low > high][0]) for x in (low, high)
        )
        raise ConfigError(f"magnitude_low must be at most magnitude_high, got {a:g} and {b:g}.")
    if np.any((low == 0) & (high == 0)):
        raise ConfigError("magnitude_high must not be 0 where magnitude_low is: such a feature is never active.")


def _check_discrete(features: Any) -> None:
    values, weights = features.magnitude_values, features.magnitude_weights
    n = features.n_features
    if values is None:
        raise ConfigError('magnitude_values are missing where magnitude is "discrete".')
    for field, table in (("magnitude_values", values), ("magnitude_weights", weights)):
        shape = np.shape(table)
        if table is not None and (not shape or not 1 <= shape[-1] <= MAX_VALUES or (len(shape) > 1 and shape[-2] != n)):
            raise ConfigError(
                f"{field} must hold 1 to {MAX_VALUES} numbers, or such a row for each of {n} features, got shape {shape}."
            )
    known = _known(values)
    if known is not None and np.any(known == 0):
        raise ConfigError("magnitude_values must not be 0: a feature of magnitude 0 is not active.")
    if weights is None:
        return
    if np.shape(values)[-1] != np.shape(weights)[-1]:
        raise ConfigError(
            f"magnitude_weights must be as many as magnitude_values, {np.shape(values)[-1]}, got {np.shape(weights)[-1]}."
        )
    check.in_range("magnitude_weights", weights, at_least=0, at_most=1)
    known = _known(weights)
    totals = np.ones(1) if known is None else np.ravel(known.sum(axis=-1))
    if np.any(wrong := np.abs(totals - 1) > ROUNDING):
        raise ConfigError(f"magnitude_weights must add up to 1, got {totals[wrong][0]:g}.")


def _known(value: Any) -> np.ndarray | None:
    """The numbers of a field; None where it is not given, or traced."""
    return None if value is None or arrays.is_traced(value) else np.asarray(value, np.float64)


def _said(features: Any) -> str:
    return repr(features.magnitude) if isinstance(features.magnitude, str) else " or ".join(laws_of(features))


def number(features: Any, field: str) -> Float[Array, " n_features"]:
    """One of `PER_FEATURE`, for every feature."""
    usual = next(fields[field] for fields in NUMBERS.values() if field in fields)
    value = getattr(features, field)
    return jnp.broadcast_to(jnp.asarray(usual if value is None else value, float), (features.n_features,))


def table(features: Any) -> tuple[Float[Array, "n_features k"], Float[Array, "n_features k"]]:
    """Values and weights of the discrete law, for every feature."""
    values = jnp.asarray(features.magnitude_values, float)
    k = values.shape[-1]
    weights = (
        jnp.full(k, 1 / k) if features.magnitude_weights is None else jnp.asarray(features.magnitude_weights, float)
    )
    shape = (features.n_features, k)
    return jnp.broadcast_to(values, shape), jnp.broadcast_to(weights, shape)


def magnitude_of(name: str, v: Float[Array, "..."]) -> Float[Array, "..."]:
    """Map v, uniform on [0, 1), to the named magnitude, without numbers of its own."""
    match name:
        case "uniform":
            return v
        case "signed_uniform":
            return 2 * v - 1
        case "constant":
            return jnp.ones_like(v)
        case "exponential":
            # v is a quotient: where the feature is inactive it may be 1 or more, and rounding may reach 1.
            return -jnp.log1p(-_below_one(v))
    raise ConfigError(f"magnitude must be one of {', '.join(MAGNITUDES)}, got {name!r}.")


def drawn(features: Any, v: Float[Array, "n_features batch"]) -> Float[Array, "n_features batch"]:
    """The magnitudes that v, uniform on [0, 1) for every feature and input, decides."""
    if is_plain(features):
        return magnitude_of(features.magnitude, v)
    x = None
    for law in laws_of(features):
        of_law = _drawn_by(law, features, v)
        x = of_law if x is None else jnp.where(has(law, features)[:, None], of_law, x)
    assert x is not None
    return x


def _drawn_by(law: str, features: Any, v: Float[Array, "n_features batch"]) -> Float[Array, "n_features batch"]:
    def each(field: str) -> Array:
        return number(features, field)[:, None]

    match law:
        case "uniform":
            low = each("magnitude_low")
            return low + (each("magnitude_high") - low) * v
        case "constant":
            return jnp.broadcast_to(each("magnitude_value"), v.shape)
        case "exponential":
            return magnitude_of("exponential", v) / each("magnitude_rate")
        case "folded_normal":
            # Above 0, too: v may be as small as a feature is rare, and a magnitude of 0 would not be active.
            z = ndtri(jnp.clip(v, jnp.finfo(v.dtype).tiny, 1 - jnp.finfo(v.dtype).epsneg))
            return jnp.maximum(jnp.abs(each("magnitude_mean") + each("magnitude_std") * z), jnp.finfo(v.dtype).tiny)
        case "discrete":
            values, weights = table(features)
            up_to = jnp.cumsum(weights, axis=1)
            x = jnp.broadcast_to(values[:, -1:], v.shape)
            for k in reversed(range(values.shape[1] - 1)):
                x = jnp.where(v < up_to[:, k, None], values[:, k, None], x)
            return x
    return magnitude_of(law, v)


def moments_of(features: Any) -> tuple[Any, Any, Any]:
    """E[m], E[m²] and E[m³] of every feature's magnitude: numbers where all are alike, else arrays (n_features,)."""
    if is_plain(features):
        return MAGNITUDE_MOMENTS[features.magnitude]
    totals: Any = None
    for law in laws_of(features):
        of_law = jnp.stack([jnp.broadcast_to(m, (features.n_features,)) for m in _moments_by(law, features)])
        totals = of_law if totals is None else jnp.where(has(law, features)[None], of_law, totals)
    return totals[0], totals[1], totals[2]


def _moments_by(law: str, features: Any) -> tuple[Any, Any, Any]:
    match law:
        case "uniform":
            a, b = number(features, "magnitude_low"), number(features, "magnitude_high")
            return (a + b) / 2, (a * a + a * b + b * b) / 3, (a + b) * (a * a + b * b) / 4
        case "constant":
            c = number(features, "magnitude_value")
            return c, c**2, c**3
        case "exponential":
            scale = 1 / number(features, "magnitude_rate")
            return scale, 2 * scale**2, 6 * scale**3
        case "folded_normal":
            mean, std = number(features, "magnitude_mean"), number(features, "magnitude_std")
            t = mean / std
            # density(t) and Φ(t) − Φ(−t) of the standard normal
            density, inside = jnp.exp(-t * t / 2) / np.sqrt(2 * np.pi), 1 - 2 * ndtr(-t)
            first = std * (2 * density + t * inside)
            return first, mean**2 + std**2, std**3 * ((t**3 + 3 * t) * inside + 2 * (t * t + 2) * density)
        case "discrete":
            values, weights = table(features)
            first, second, third = (jnp.sum(weights * values**k, axis=1) for k in (1, 2, 3))
            return first, second, third
    return MAGNITUDE_MOMENTS[law]


def is_positive(features: Any) -> bool:
    """Whether every magnitude is above 0, as far as the numbers are known."""
    if "signed_uniform" in laws_of(features):
        return False
    numbers = (_known(getattr(features, f)) for f in ("magnitude_low", "magnitude_value", "magnitude_values"))
    return all(known is None or bool(np.all(known >= 0)) for known in numbers)


def has(law: str, features: Any) -> Any:
    """Which features have a law, (n_features,): known without tracing."""
    named = features.magnitude
    names = (named,) * features.n_features if isinstance(named, str) else named
    return np.array([name == law for name in names])


def _below_one(v: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.minimum(v, 1 - jnp.finfo(v.dtype).epsneg)
