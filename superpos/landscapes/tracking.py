"""Which minima of neighbouring settings are one that has moved: they are followed from one setting to the next, and back."""

import numpy as np

from superpos.landscapes.bottoms import bottom_below
from superpos.landscapes.search import Basin, Minima

# A minimum has left its branch where an entry of its Gram matrix or bias changes by more than this in one step.
JUMP = 0.25


def branches_of(cells: list[Minima]) -> list[list[int]]:
    """The number of the branch of every minimum of every cell.

    Each minimum descends at the next setting from where it is. Where it stays in its valley, this is one branch; the minima
    reached so are added to the next cell where starts had missed them, and go on from there. The same is done backwards. Two
    minima are linked if each leads to the other: of two that merge one goes on and one ends.
    """
    forward = [_links(cells[k], cells[k + 1]) for k in range(len(cells) - 1)]
    backward = [_links(cells[k + 1], cells[k]) for k in reversed(range(len(cells) - 1))][::-1]
    forward = [  # those that only the way back has found go forward, too
        links | _links(cells[k], cells[k + 1], skip=set(links)) for k, links in enumerate(forward)
    ]
    numbers: list[list[int]] = []
    count = 0
    for k, cell in enumerate(cells):
        row = []
        for i in range(len(cell.basins)):
            before = [j for j, target in forward[k - 1].items() if target == i] if k else []
            linked = [j for j in before if backward[k - 1].get(i) == j]
            row.append(numbers[k - 1][linked[0]] if linked else count)
            count += not linked
        numbers.append(row)
    return numbers


def _links(here: Minima, there: Minima, *, skip: set[int] = frozenset()) -> dict[int, int]:  # type: ignore[assignment]
    """Where each minimum of one cell leads in another, by their places in the lists; a jump leads nowhere."""
    links = {}
    for i, basin in enumerate(here.basins):
        if i in skip:
            continue
        end = bottom_below(there.problem, basin.bottom.flat)
        if moved(basin, *there.problem.canonical(end.flat)) <= JUMP:
            links[i] = there.basins.index(there.add_bottom(end, "followed"))
    return links


def moved(basin: Basin, gram: np.ndarray, bias: np.ndarray) -> float:
    """The largest change of an entry of the Gram matrix or of a bias."""
    return float(max(np.abs(gram - basin.gram).max(), np.abs(bias - basin.bias).max()))
