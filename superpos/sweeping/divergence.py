"""Why models of a sweep count as diverged."""

from typing import Any

from superpos.errors import ConfigError
from superpos.tasks.base import Task
from superpos.tasks.registry import is_known, task_class
from superpos.training.loop import misled_because


def explained(result: Any, cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Diverged cells, each as its coordinates and `step`, with a `reason` where training was led astray by its task.

    Nothing of it is stored: the model is kept as it was when it was refused, and says it again.
    """
    kind = result.attrs["task"].get("kind")
    if not is_known(kind) or task_class(kind).approximation is Task.approximation:
        return cells
    return [cell | _reason(result, cell) for cell in cells]


def _reason(result: Any, cell: dict[str, Any]) -> dict[str, str]:
    axes = {name: value for name, value in cell.items() if name != "step"}
    try:
        task, config = result.task(**axes), result.config(**axes)
        why = misled_because(task, config.with_defaults(task), result.model(**axes), cell["step"])
    except (ConfigError, KeyError):  # arrays from elsewhere, or chosen ones, may not tell one model
        return {}
    return {"reason": f"{why}: {task.approximation().remedy()}"} if why else {}
