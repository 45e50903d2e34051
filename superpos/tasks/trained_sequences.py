"""The sequences that a task trains its transformers on, and the positions at which its loss looks."""

from dataclasses import fields
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from superpos import check
from superpos.data.sequences import whole_between
from superpos.errors import ConfigError
from superpos.tasks.base import Task
from superpos.tasks.induction import RepeatedTokens
from superpos.tasks.list_function import ListFunction
from superpos.tasks.modular_addition import ModularAddition
from superpos.tasks.registry import kind_of, task_class
from superpos.tasks.skip_trigrams import SkipTrigrams

KINDS = (RepeatedTokens, SkipTrigrams, ListFunction, ModularAddition)

# The settings of a task as pairs of a name and a number or word, `kind` among them.
Settings = tuple[tuple[str, Any], ...]


class Sequences(NamedTuple):
    """Sequences, and what counts of a model's outputs on them."""

    tokens: Integer[Array, "sequence position"]
    weights: Float[Array, "sequence position"]  # add up to 1; 0 where the loss does not look
    n_answers: int  # the first so many tokens are possible answers


def settings_of(task: Any) -> Settings:
    """A task as pairs that a static field can hold.

    Raises:
        ConfigError: it trains no transformer, or has a table among its settings.
    """
    if not isinstance(task, KINDS):
        names = ", ".join(cls.__name__ for cls in KINDS)
        raise ConfigError(f"model must be trained by one of {names}, got {check.short(task)}.")
    pairs: list[tuple[str, Any]] = [("kind", kind_of(task))]
    for field in fields(task):
        value = getattr(task, field.name)
        if value is None or value is field.default:
            continue
        if np.ndim(value):
            raise ConfigError(f"model must be trained without a table of {field.name}.")
        pairs.append((field.name, value if isinstance(value, str | bool | int) else float(np.asarray(value))))
    return tuple(pairs)


def task_of(settings: Any) -> Task:
    """The task that `settings_of` was given.

    Raises:
        ConfigError: they are the settings of none.
    """
    try:
        given = dict(settings)
        cls = task_class(given.pop("kind"))
        task = cls(**given)
    except (TypeError, ValueError, KeyError):
        raise ConfigError(f"trained_on must be settings of a task as pairs, got {check.short(settings)}.") from None
    if not isinstance(task, KINDS):
        raise ConfigError(f"trained_on must be of a task that trains transformers, got {kind_of(task)}.")
    task.check()
    return task


def sequences(task: Any, key: PRNGKeyArray, n: int) -> Sequences:
    """Fresh sequences of a task: those that it trains on, of lists and pairs also those that it holds out.

    - `RepeatedTokens`: positions whose next token can be known count.
    - `SkipTrigrams`, `ModularAddition` (pairs all alike likely; p answers): the last position counts.
    - `ListFunction`: the positions that answer count.
    """
    if isinstance(task, RepeatedTokens):
        data = task.sample(key, n)
        scored = data.scored.astype(float)
        return Sequences(data.tokens, scored / jnp.maximum(jnp.sum(scored), 1), task.d_vocab)
    if isinstance(task, ModularAddition):
        pairs = whole_between(jax.random.uniform(key, (n, 2)), 0, task.p - 1).astype(int)
        return _last(jnp.concatenate([pairs, jnp.full((n, 1), task.p)], axis=1), 1, task.p)
    tokens = task.sample(key, n).tokens
    if isinstance(task, ListFunction):
        return _last(tokens, task.n_answers, task.d_vocab + 1)
    return _last(tokens, 1, task.d_vocab)


def _last(tokens: Array, count: int, n_answers: int) -> Sequences:
    n, n_positions = tokens.shape
    last = jnp.arange(n_positions) >= n_positions - count
    return Sequences(tokens, jnp.broadcast_to(last / (n * count), tokens.shape).astype(float), n_answers)
