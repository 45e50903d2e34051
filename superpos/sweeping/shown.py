"""What a result shows of itself: words, a picture, a page."""

from typing import Any

from superpos import views
from superpos.sweeping.describe import summary
from superpos.tasks.registry import described_as


class Shown:
    """The part of a `SweepResult` that shows it. Pictures and pages are imported when they are asked for, not before."""

    attrs: Any
    dataset: Any

    def explore(self, path: Any = None, **options: Any) -> Any:
        """A page, or in a notebook a widget, to explore this sweep in. See `superpos.explorer.explore`."""
        return views.draw("page", self, path, **options)

    @property
    def has_page(self) -> bool:
        """Whether `explore` knows how to show these models."""
        return bool(described_as(self.attrs["task"]["kind"]).PAGE) or "W" in self.dataset

    def plot(self, ax: Any = None) -> Any:
        """The picture that suits the result, in `ax` or the current axes. See `superpos.plot.overview`."""
        return views.draw("picture", self, ax)

    def __repr__(self) -> str:
        return summary(self)

    def _repr_html_(self) -> str:
        return views.draw("html", self)
