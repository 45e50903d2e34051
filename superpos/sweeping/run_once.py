"""How programs are compiled that run once for every block."""

from functools import cache

import jax

WITHOUT_FUSION_EMITTERS: dict[str, str | bool] = {"xla_cpu_use_fusion_emitters": False}


@cache
def run_once_options(platform: str) -> dict[str, str | bool]:
    """Options of XLA for a program that starts or evaluates the models of a block; {} where there are none.

    On a CPU XLA's fusion emitters take half of the time of compiling. A program without them runs up to a third slower,
    which counts for a step of training, and not for what is done once. XLA without this option compiles as always.
    """
    if platform != "cpu":
        return {}
    try:
        jax.jit(lambda x: x + 1).lower(0).compile(compiler_options=WITHOUT_FUSION_EMITTERS)
    except jax.errors.JaxRuntimeError:
        return {}
    return WITHOUT_FUSION_EMITTERS
