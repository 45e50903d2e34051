"""Contexts of MLIR for a hundred programs each, for the tests and the processes that they start."""

import threading
from typing import Any

import jax
from jax._src.interpreters import mlir
from jax._src.lib.mlir import ir


def few_contexts() -> None:
    """Let programs share contexts, as newer JAX does: to make one takes longer than to lower a small program.

    A context keeps what it has seen, so none is kept for ever; and a program that is lowered while another is has one of its
    own, for what is made inside a context in use becomes a part of that program.
    """
    if jax.__version_info__ >= (0, 11):
        return
    make, of_thread = mlir.make_ir_context, threading.local()

    def context() -> Any:
        if ir.Context.current is not None:
            return make()
        of_thread.uses = getattr(of_thread, "uses", -1) + 1
        if of_thread.uses % 100 == 0:
            of_thread.context = make()
        return of_thread.context

    mlir.make_ir_context = context
