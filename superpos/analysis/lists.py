"""Models that answer a function of a list, measured on lists that never trained."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from superpos.analysis.heads import fresh_key
from superpos.data.list_functions import AnsweredList
from superpos.errors import ConfigError
from superpos.models.transformer import Transformer
from superpos.tasks.list_function import ListFunction


def held_out_lists(task: ListFunction, n_lists: int) -> AnsweredList:
    """Lists of a task that are held out from training, drawn as the others are; all fields lead with the list.

    The first `n_lists` of them among as many draws as have twice as many on average.

    Raises:
        ConfigError: there are not so many, because `held_out` is small.
    """
    draws = int(np.ceil(2 * n_lists / float(task.held_out)))
    data = jax.tree.map(np.asarray, _drawn(task.broadcast(), draws))
    chosen = np.flatnonzero(data.held_out)[:n_lists]
    if len(chosen) < n_lists:
        raise ConfigError(f"n_lists must be at most {len(chosen)} of this task, got {n_lists}.")
    return AnsweredList(*(field[chosen] for field in data))


@partial(jax.jit, static_argnames="n_lists")
def _drawn(task: ListFunction, n_lists: int) -> AnsweredList:
    return task.sample(fresh_key(), n_lists)


def all_lists(length: int, d_vocab: int) -> np.ndarray:
    """Every list of `length` tokens from 0 to `d_vocab` − 1, (d_vocab^length, length), in the order of numbers."""
    return np.stack(np.unravel_index(np.arange(d_vocab**length), (d_vocab,) * length), axis=1)


def copied(model: Transformer) -> Float[Array, "d_vocab d_vocab"]:
    r"""Logits that follow from attending to each token alone, $e_t W_V W_O W_U$, less their mean: row t, column answer."""
    logits = model.W_E[:-1] @ model.W_V[0, 0] @ model.W_O[0, 0] @ model.W_U[...][:, :-1]
    return logits - jnp.mean(logits, axis=1, keepdims=True)


def raises_itself(model: Transformer) -> Bool[np.ndarray, " d_vocab"]:
    """Which tokens raise their own answer most of all where they are attended to: the rows of `copied`."""
    return np.argmax(np.asarray(copied(model)), axis=1) == np.arange(model.W_E.shape[0] - 1)
