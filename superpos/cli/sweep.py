"""`superpos sweep`: train what a sweep file describes."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from superpos.cli.sweepfile import SweepFile
    from superpos.sweeping.engines import Engine
    from superpos.sweeping.layout import Layout


def sweep(
    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="a sweep file (TOML)")],
    overrides: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(
            metavar="[FIELD=VALUE …]",
            help="settings that replace the file's: task.n_hidden=3 train.steps=500 grid.seed={range=4}",
        ),
    ] = (),
    out: Annotated[
        Path | None, tyro.conf.arg(aliases=["-o"], help="folder of the result; runs/NAME.zarr if not given")
    ] = None,
    resume: Annotated[
        Literal["auto", "never", "must"],
        tyro.conf.arg(help="go on with a result that is there, refuse one, or refuse to begin"),
    ] = "auto",
    overwrite: Annotated[bool, tyro.conf.arg(help="replace an earlier result")] = False,
    dry_run: Annotated[
        bool, tyro.conf.arg(help="say what would be trained and how long it would take, then stop")
    ] = False,
    timed: Annotated[
        bool,
        tyro.conf.arg(help="with --dry-run: compile, which takes some seconds, and time a few steps, to know better"),
    ] = False,
    engine: Annotated[
        Literal["local", "ray", "distributed"],
        tyro.conf.arg(help="who trains: this process, Ray's workers, or all processes of one JAX program"),
    ] = "local",
    worker: Annotated[
        str | None,
        tyro.conf.arg(
            help="train a fixed share only: 0/8 is the first of eight workers that share nothing but the folder; taken from "
            "SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX in an array job"
        ),
    ] = None,
    checkpoint_every: Annotated[
        int | None, tyro.conf.arg(help="segments (tenths of a second) between checkpoints inside a block; 1,000")
    ] = None,
    kernel: Annotated[
        Literal["auto", "plain", "fused", "tiled"] | None,
        tyro.conf.arg(help="how steps are computed; the file's, or auto: plain, until a GPU has confirmed the others"),
    ] = None,
    ray_address: Annotated[str | None, tyro.conf.arg(help="a running Ray cluster; one is started without it")] = None,
    cpus_per_task: Annotated[float | None, tyro.conf.arg(help="of a Ray task; 1")] = None,
    gpus_per_task: Annotated[float | None, tyro.conf.arg(help="of a Ray task; 0")] = None,
    chunks_per_task: Annotated[int | None, tyro.conf.arg(help="of a Ray task")] = None,
    coordinator_address: Annotated[
        str | None, tyro.conf.arg(help="distributed: HOST:PORT of process 0, where JAX cannot find it by itself")
    ] = None,
    num_processes: Annotated[int | None, tyro.conf.arg(help="distributed: number of processes")] = None,
    process_id: Annotated[int | None, tyro.conf.arg(help="distributed: number of this process")] = None,
    wait_seconds: Annotated[
        float | None,
        tyro.conf.arg(
            help="distributed: how long the processes wait for each other in the beginning; until 15 seconds after their "
            "start, or 120 in a cluster that JAX knows, such as Slurm"
        ),
    ] = None,
    imports: Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            name="import", metavar="MODULE …", help="modules to import first: those that register tasks of one's own"
        ),
    ] = (),
    tensorboard: Annotated[Path | None, tyro.conf.arg(help="folder for TensorBoard: losses along every axis")] = None,
    wandb: Annotated[str | None, tyro.conf.arg(help="Weights & Biases project: losses along every axis")] = None,
) -> None:
    """Train every model a sweep file describes. The same command again goes on where it was ended."""
    from superpos.cli import sweepfile
    from superpos.sweeping import loggers
    from superpos.sweeping.api import sweep as train_sweep
    from superpos.sweeping.store import writable

    if timed and not dry_run:
        from superpos.errors import ConfigError

        raise ConfigError("timed says how --dry-run estimates; add --dry-run.")
    for module in imports:
        import_module_of_ones_own(module)
    sweep_file = sweepfile.read(file, overrides)
    if kernel is not None:
        sweep_file.options["kernel"] = kernel
    target = out or Path("runs") / f"{file.stem}.zarr"
    chosen_engine = engine_of_flags(
        engine,
        ray={
            "ray_address": ray_address,
            "cpus_per_task": cpus_per_task,
            "gpus_per_task": gpus_per_task,
            "chunks_per_task": chunks_per_task,
        },
        distributed={
            "coordinator_address": coordinator_address,
            "num_processes": num_processes,
            "process_id": process_id,
            "wait_seconds": wait_seconds,
        },
    )
    loggers.check(tensorboard, wandb, target)
    if dry_run:
        _dry_run(sweep_file, writable(target, overwrite=overwrite, resume=resume != "never"), timed)
        return
    if engine == "local" and worker is None and (worker := worker_of(os.environ)):
        print(f"worker {worker}, of an array job", file=sys.stderr)
    begin = time.perf_counter()
    result = train_sweep(
        sweep_file.task,
        sweep_file.config,
        sweep_file.grid,
        target,
        resume=resume,
        overwrite=overwrite,
        engine=chosen_engine,
        worker=worker,
        checkpoint_every=checkpoint_every,
        **sweep_file.options,
    )
    loggers.write(result, tensorboard=tensorboard, wandb=wandb)
    print(result)
    print(f"result    {target}  ({duration(time.perf_counter() - begin)})")
    if result.has_page:
        print(f"next      superpos explore {target}")


def engine_of_flags(name: str, **flags: Mapping[str, Any]) -> "Engine":
    """The engine of a name, with the flags that were given for it; `flags` are those of every engine.

    Raises:
        ConfigError: a flag of another engine was given.
    """
    from superpos.errors import ConfigError
    from superpos.sweeping.engines import ENGINES

    for engine, values in flags.items():
        for flag, value in values.items():
            if value is not None and engine != name:
                raise ConfigError(f"{flag} is a setting of engine {engine}; add --engine {engine}.")
    given = {flag.removeprefix("ray_"): value for flag, value in flags.get(name, {}).items() if value is not None}
    return ENGINES[name](**given)


def import_module_of_ones_own(name: str) -> None:
    """Import a module by its name, from the folder the command runs in, too. What it registers is known from here on.

    Raises:
        ConfigError: there is no such module, or it cannot be imported.
    """
    from importlib import import_module

    from superpos.errors import ConfigError, one_line

    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"import must name a module, such as my_tasks or my_package.tasks, got {name!r}.")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        import_module(name)
    except Exception as error:  # whatever the module does
        raise ConfigError(f"import: {name} cannot be imported: {type(error).__name__}: {one_line(error)}") from None


def worker_of(environment: Mapping[str, str]) -> str | None:
    """The worker that an array job says this process is: Slurm's, or an indexed job of Kubernetes (with JOB_COMPLETIONS).

    Raises:
        ConfigError: there is a number and no count.
    """
    from superpos.errors import ConfigError

    pairs = (("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"), ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"))
    for index, count in pairs:
        if index in environment:
            if count not in environment:
                raise ConfigError(
                    f"{index} is set, and {count} is not: say how many workers there are, or use --worker."
                )
            try:
                first, step = (
                    int(environment.get(f"SLURM_ARRAY_TASK_{w}", d)) for w, d in (("MIN", "0"), ("STEP", "1"))
                )
                first, step = (first, max(1, step)) if index.startswith("SLURM") else (0, 1)
                worker, workers = (int(environment[index]) - first) // step, int(environment[count])
            except ValueError:
                raise ConfigError(f"{index} and {count} must be whole numbers.") from None
            if not 0 <= worker < workers:
                raise ConfigError(
                    f"{index}={environment[index]} is none of {workers} in a row; use --worker i/{workers}."
                )
            return f"{worker}/{workers}"
    return None


def _dry_run(sweep_file: "SweepFile", target: Path, timed: bool = False) -> None:
    import jax

    from superpos.cache import use_compilation_cache
    from superpos.chips.measured import measured, speeds
    from superpos.console import say, words_are_the_result
    from superpos.sweeping.budget import show_bytes
    from superpos.sweeping.compiled import set_out
    from superpos.sweeping.estimate import predicted

    words_are_the_result()
    grid = sweep_file.grid
    layout, device_options = set_out(sweep_file.task, sweep_file.config, grid, **sweep_file.options)
    say(f"models            {grid.n_cells:,} ({grid.design} of {', '.join(grid.axes)})")
    say(f"compile families  {len(layout.families)}")
    say(f"blocks            {layout.n_blocks:,} of {_listed(layout.block_sizes)} models")
    say(f"kernel            {layout.kernel}")
    say(f"chunks            {layout.n_chunks:,} of {layout.blocks_per_chunk} block(s), each committed as a whole")
    say(f"output            {target}{' (exists)' if target.exists() else ''}")
    if timed:
        _time_some_steps(sweep_file, layout, device_options)
        return
    use_compilation_cache()  # where measurements are kept, too
    device = (device_options.get("devices") or jax.local_devices())[0]
    chip = measured(device)
    prediction = predicted(layout, chip, **device_options)
    shares = ", ".join(
        f"{words} {100 * seconds / prediction.seconds:.0f} %"
        for words, seconds in (
            ("starting operations", prediction.parts.launches),
            ("memory", prediction.parts.bandwidth),
            ("arithmetic", prediction.parts.operations),
        )
    )
    say(f"device            {chip.name} ({chip.source}): {speeds(chip)}")
    say(f"padding           {prediction.n_trained - grid.n_cells:,} models more, so that all blocks are full")
    say(f"memory            at most about {show_bytes(prediction.memory)} in the steps")
    say(f"estimated rate    {prediction.rate:,.0f} steps/s of all models together; time goes to {shares}")
    if layout.kernel != "plain" and device.platform == "cpu":
        say(
            f"                  a CPU interprets the {layout.kernel} kernel and takes longer; --timed measures how long"
        )
    bounds = "at least, since a loop is as long as its data say" if prediction.at_least else "within a factor of 2"
    say(
        f"estimated time    {in_words(prediction.seconds)}: {duration(prediction.seconds)} of training on an idle machine, "
        f"{bounds}; compiling comes before it (--timed compiles and measures)"
    )


def _time_some_steps(sweep_file: "SweepFile", layout: "Layout", device_options: dict[str, Any]) -> None:
    from superpos.console import say
    from superpos.sweeping.budget import show_bytes
    from superpos.sweeping.compiled import compile_sweep
    from superpos.sweeping.estimate import estimated_seconds

    say("Memory and time are measured: compiling, which the sweep then finds done, and timing a few steps …")
    begin = time.perf_counter()
    compiled = compile_sweep(layout, sweep_file.grid.n_cells, **device_options)
    compiling = time.perf_counter() - begin
    padded = layout.n_trained(compiled.blocks_per_launch)
    seconds = estimated_seconds(compiled)
    devices = "1 device" if compiled.mesh.size == 1 else f"{compiled.mesh.size} devices"
    say(f"padding           {padded - sweep_file.grid.n_cells:,} models more, so that all blocks are full")
    say(f"memory            {show_bytes(compiled.bytes)} on {devices}, {compiled.n_concurrent} call(s) at a time")
    say(f"estimated time    {in_words(seconds)}: {duration(seconds)} of training; compiling took {duration(compiling)}")


def _listed(numbers: list[int]) -> str:
    return " or ".join(str(n) for n in sorted(set(numbers)))


# Up to how many seconds, in which words; the unit in seconds where there is a number to say.
_WORDS = (
    (3, "a moment", 0), (15, "a few seconds", 0), (45, "about half a minute", 0), (90, "about a minute", 0),
    (3_000, "about {} minutes", 60), (5_400, "about an hour", 0), (40 * 3_600, "about {} hours", 3_600),
)  # fmt: skip


def in_words(seconds: float) -> str:
    """A time as one would say it.

    >>> from superpos.cli.sweep import in_words
    >>> in_words(22), in_words(500), in_words(9_000)
    ('about half a minute', 'about 8 minutes', 'about 2 hours')
    """
    for most, words, unit in _WORDS:
        if seconds < most:
            return words.format(round(seconds / unit)) if unit else words
    return f"about {round(seconds / 86_400)} days"


def duration(seconds: float) -> str:
    """Seconds in words: 12.3 s, 5 min, 2.1 h."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
