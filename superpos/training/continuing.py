"""Going on with a run as if it had been longer."""

from dataclasses import replace
from typing import Any

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.training.loop import run_from
from superpos.training.run_record import Run, T
from superpos.training.start import check_start, starting_parameters


def more(run: Run[T], steps: int, **record: Any) -> Run[T]:
    """Train a run's model for more steps: the optimiser, its schedule and the batches go on where they were.

    With a constant schedule (after warm-up, if any) the model has the same bytes as after one long training. (But for
    autoencoders with `revival="resample"`, which stops at a share of the steps that are known of.) The record is that of
    the added steps; `history`, `snapshots` and `evaluation_samples` may be set anew. `train(task, config, init=run)`
    begins with a fresh optimiser instead, under any configuration.

    >>> run = sp.train(sp.tasks.Toy(n_features=2, n_hidden=1), sp.TrainConfig(steps=10, schedule="constant"))
    >>> sp.more(run, 5, history=1).config.first_step
    10

    Raises:
        ConfigError: the schedule ends with the training, the run was stopped early, or a setting is not allowed.
        DivergedError: as in `train`.
    """
    if not isinstance(run, Run) or run.opt_state is None:
        raise ConfigError(f"run must be what superpos.train returned, got {type(run).__name__}.")
    if run.config.schedule != "constant":
        raise ConfigError(
            f'schedule {run.config.schedule} has ended with the run; train with schedule="constant" to go on, or begin '
            "anew with train(task, config, init=run)."
        )
    start, stopped = starting_parameters(run.task, run), run.stopped_step
    if stopped is not None and not arrays.is_traced(stopped) and int(stopped) >= 0:
        raise ConfigError(f"run was stopped early after {int(stopped)} steps; train(task, config, init=run) goes on.")
    if not any(arrays.is_traced(leaf) for leaf in start.values()):
        check_start(run.task, start)
    for name in record:
        check.known_key(name, ("history", "snapshots", "evaluation_samples"), "more")
    first = int(run.config.first_step or 0) + int(run.config.steps)
    settings = {"steps": steps, "first_step": first, "warmup_steps": 0, "snapshots": (), **record}
    config = replace(run.config, **settings)
    config.check()
    return run_from(run.task, config, run.seed, start, run.opt_state)
