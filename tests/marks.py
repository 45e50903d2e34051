"""Values of parametrised tests that the default run leaves out."""

from typing import Any

import pytest


def slow(value: Any) -> Any:
    """One value of a parametrised test; its test is slow, those of the other values are not."""
    return pytest.param(value, marks=pytest.mark.slow)
