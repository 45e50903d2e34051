"""What a step of a training costs, counted in its program before anything is compiled."""

from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from superpos.chips.model import Cost, Share
from superpos.tasks.base import Task, materialize
from superpos.training.loop import TrainConfig

# Operations per number, where they are not one. A draw is 20 rounds of threefry, which makes two numbers.
WEIGHTS = {
    "exp": 10, "exp2": 10, "log": 12, "log1p": 14, "expm1": 12, "logistic": 14, "tanh": 20, "erf": 20, "erf_inv": 30,
    "sin": 20, "cos": 20, "pow": 25, "sqrt": 8, "rsqrt": 8, "cbrt": 20, "div": 8, "rem": 8,
    "random_bits": 60, "threefry2x32": 60, "sort": 40, "top_k": 20, "lgamma": 40, "digamma": 40,
}  # fmt: skip
# What computes nothing: names, views and constants.
VIEWS = {
    "broadcast_in_dim", "reshape", "squeeze", "convert_element_type", "stop_gradient", "slice", "transpose", "iota", "copy",
    "random_wrap", "random_unwrap", "random_seed", "dynamic_slice", "expand_dims", "bitcast_convert_type",
}  # fmt: skip
# What compilers do not fuse with what is around it: its operands and results lie in memory.
ALONE = {
    "dot_general", "sort", "top_k", "scatter", "scatter-add", "cumsum", "cumprod", "cummax", "while", "scan",
    "conv_general_dilated", "triangular_solve", "cholesky", "eigh", "qr", "custom_call",
}  # fmt: skip
# What reads no more of an array than it returns.
PICKING = {"dynamic_slice", "gather"}
REDUCTIONS = ("reduce_", "argm")


@dataclass(frozen=True)
class _Value:
    """A value of the program: whether every model has its own, and the values in memory that it is computed from."""

    each: bool
    sources: frozenset[int]  # numbers of values in memory


@dataclass
class _Count:
    """What was counted; pairs are (shared, each)."""

    kernels: list[float] = field(default_factory=lambda: [0.0, 0.0])
    bytes: list[float] = field(default_factory=lambda: [0.0, 0.0])
    matrix: list[float] = field(default_factory=lambda: [0.0, 0.0])
    vector: list[float] = field(default_factory=lambda: [0.0, 0.0])
    held: list[float] = field(default_factory=lambda: [0.0, 0.0])
    open_ended: bool = False
    in_a_row: bool = False  # whether the models of a block follow one another here
    sizes: list[tuple[float, bool]] = field(
        default_factory=list
    )  # of values in memory: bytes, and whether of each model


def step_cost(task: Task, config: TrainConfig) -> Cost:
    """The cost of one step: loss, gradient, optimiser, and the choice between new weights and old ones.

    Shapes alone are looked at. Values that depend on the draw and on no model are shared by a block. What is computed
    from each other without a matrix product, a sum or a sort counts as one kernel, which reads what it needs once. The body
    of a loop whose length is data counts once. Where a task has a batching rule of its own, the models of a block are taken
    to follow one another.
    """
    dtype = jnp.zeros((), float).dtype
    nodes = (task, config.with_defaults(task))
    leaves, structure = jax.tree.flatten(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), dtype), nodes))
    return _counted(structure, tuple(leaves))


@lru_cache(maxsize=128)
def _counted(structure: Any, leaves: tuple[jax.ShapeDtypeStruct, ...]) -> Cost:
    task, config = jax.tree.unflatten(structure, leaves)
    shapes = jax.eval_shape(_before_a_step, task, config)
    program = jax.make_jaxpr(_one_step)(*shapes)
    n_each = len(jax.tree.leaves(shapes[:-1]))  # all but the key
    count = _Count()
    inputs = [_in_memory(count, v.aval, k < n_each) for k, v in enumerate(program.jaxpr.invars)]
    outputs = _walk(count, program.jaxpr, inputs, 1.0)
    for variable, value in zip(program.jaxpr.outvars, outputs, strict=True):
        _kernel(count, [value], variable.aval, value.each, 1.0, launches=0.0)
    count.kernels[0] += 1  # the optimiser's, for all parameters
    shares = (Share(*pair) for pair in (count.kernels, count.bytes, count.matrix, count.vector, count.held))
    return Cost(*shares, open_ended=count.open_ended)


def _before_a_step(task: Any, config: Any) -> Any:
    """What a step starts from: settings of full shape, model, optimiser and the key of its draw."""
    task, config = materialize(task), config.broadcast()
    model = task.init(jax.random.key(0))
    return task, config, model, config.build_optimizer().init(model), jax.random.key(0)


def _one_step(task: Any, config: Any, model: Any, opt_state: Any, key: Any) -> Any:
    """A step of `superpos.training.loop.advance`, as far as it costs anything."""
    loss_of = partial(task.training_loss, key=jax.random.fold_in(key, 1), batch_size=config.batch_size)
    (loss, (metrics, seen)), gradient = jax.value_and_grad(loss_of, has_aux=True)(model)
    updates, new_opt_state = config.build_optimizer().update(gradient, opt_state, model)
    new_model = optax.apply_updates(model, updates)
    counted = (jnp.int32(1), jnp.int32(2))
    new_model, new_opt_state = task.after_step(model, new_model, new_opt_state, seen, key, *counted)
    healthy = jnp.isfinite(loss)
    new, old = (new_model, new_opt_state), (model, opt_state)
    return jax.tree.map(lambda a, b: jnp.where(healthy, a, b), new, old), loss, metrics


def _n_bytes(aval: Any) -> float:
    size = float(getattr(aval, "size", 1))
    return size * (4.0 if jnp.issubdtype(aval.dtype, jax.dtypes.prng_key) else aval.dtype.itemsize)


def _in_memory(count: _Count, aval: Any, each: bool) -> _Value:
    """A value that lies in memory."""
    count.sizes.append((_n_bytes(aval), each))
    return _Value(each, frozenset([len(count.sizes) - 1]))


def _kernel(
    count: _Count, operands: list[_Value], aval: Any, each: bool, times: float, launches: float = 1.0
) -> _Value:
    """One kernel: what it reads and writes."""
    for number in frozenset().union(*(operand.sources for operand in operands)):
        n_bytes, of_each = count.sizes[number]
        count.bytes[of_each] += times * n_bytes
    count.bytes[each] += times * _n_bytes(aval)
    count.held[each] += _n_bytes(aval)
    count.kernels[count.in_a_row] += times * launches
    return _in_memory(count, aval, each)


def _walk(count: _Count, jaxpr: Any, inputs: list[_Value], times: float) -> list[_Value]:
    """Count a program; the values that it returns."""
    values: dict[Any, _Value] = dict(zip(jaxpr.invars, inputs, strict=True))
    values |= {v: _Value(False, frozenset()) for v in jaxpr.constvars}

    def read(atom: Any) -> _Value:
        return _Value(False, frozenset()) if hasattr(atom, "val") else values[atom]

    for equation in jaxpr.eqns:
        operands = [read(v) for v in equation.invars]
        results = _equation(count, equation, operands, times)
        values |= dict(zip(equation.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _equation(count: _Count, equation: Any, operands: list[_Value], times: float) -> list[_Value]:
    name, avals = equation.primitive.name, [v.aval for v in equation.outvars]
    each = any(operand.each for operand in operands)
    inner = _inner(equation)
    if name == "scan":
        return _loop(count, equation, operands, times, float(equation.params["length"]))
    if name == "while":
        count.open_ended |= count.in_a_row  # elsewhere loops are as long for all models, and short
        return _loop(count, equation, operands, times, 1.0)
    if name == "cond":
        longest = max(equation.params["branches"], key=lambda branch: len(branch.jaxpr.eqns))
        results = _walk(count, longest.jaxpr, operands[1:], times)
        return [_Value(value.each or operands[0].each, value.sources) for value in results]
    if inner is not None and len(inner.invars) == len(operands):
        outside, count.in_a_row = count.in_a_row, count.in_a_row or "rule" in equation.params  # of batching
        results = _walk(count, inner, operands, times)
        count.in_a_row = outside
        return results
    size = float(sum(getattr(aval, "size", 1) for aval in avals))
    if name == "dot_general":
        (contracting, _), _ = equation.params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        count.matrix[each] += times * 2 * size * float(np.prod([shape[d] for d in contracting]))
    elif name not in VIEWS:
        if name.startswith(REDUCTIONS):
            size = float(sum(getattr(v.aval, "size", 1) for v in equation.invars))
        count.vector[each] += times * size * WEIGHTS.get(name, 1)
    if name in PICKING:
        count.kernels[count.in_a_row] += times * (name == "gather")
        return [_in_memory(count, aval, each) for aval in avals]
    if name in ALONE or name.startswith(REDUCTIONS):
        if name == "dot_general":  # what is computed for a product is written first
            operands = [
                _kernel(count, [o], v.aval, o.each, times)
                if len(o.sources) != 1 or _n_bytes(v.aval) != count.sizes[next(iter(o.sources))][0]
                else o
                for o, v in zip(operands, equation.invars, strict=True)
            ]
        first = _kernel(count, operands, avals[0], each, times)
        return [first, *(_in_memory(count, aval, each) for aval in avals[1:])]
    sources = frozenset().union(*(operand.sources for operand in operands))
    return [_Value(each, sources) for _ in avals]


def _inner(equation: Any) -> Any:
    """The program that an equation calls, if it calls one."""
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr", "call"):
        if (inner := equation.params.get(key)) is not None:
            return getattr(inner, "jaxpr", inner)
    return None


def _loop(count: _Count, equation: Any, operands: list[_Value], times: float, length: float) -> list[_Value]:
    """A loop, its body as often as it runs; what it carries is of each model if anything that goes in is."""
    each = any(operand.each for operand in operands)
    body = equation.params["body_jaxpr" if equation.primitive.name == "while" else "jaxpr"].jaxpr
    skipped = equation.params["cond_nconsts"] if equation.primitive.name == "while" else 0
    inputs = [_in_memory(count, v.aval, each or o.each) for v, o in zip(body.invars, operands[skipped:], strict=True)]
    _walk(count, body, inputs, times * length)
    return [_in_memory(count, v.aval, each) for v in equation.outvars]
