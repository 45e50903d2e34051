"""What claims are judged by: intervals against other ways to have them, and the page of evidence against the records."""

import json
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.testing import assert_allclose

from superpos.analysis import mean_interval, share_interval
from superpos.errors import ConfigError

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "concepts" / "evidence.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r'^`(\w+)`: "(.+?)" expected "(.+?)" and measured "(.+?)"\.$')


@pytest.mark.parametrize(("count", "n"), [(0, 8), (1, 16), (10, 16), (16, 16)])
def test_ends_of_a_share_are_where_its_score_test_turns(count, n):
    """Wilson: the shares p at which the count is 1.96 standard deviations √(p(1 − p)/n) of p away."""
    share = share_interval(count, n)
    z = 1.959964
    for end in share[1:]:
        if 0 < end < 1 - 1e-12:
            assert_allclose(abs(count / n - end), z * np.sqrt(end * (1 - end) / n), rtol=1e-6)
    assert share.estimate == count / n and 0 <= share.low <= count / n <= share.high <= 1
    assert share_interval(count, n, confidence=0.5).low >= share.low


def test_an_interval_of_a_mean_holds_the_true_mean_as_often_as_it_says():
    """Of five normal numbers, where 1.96 standard errors hold it in 88 % only."""
    draws = np.random.default_rng(0).normal(3.0, 2.0, (400, 5))
    inside = [low < 3 < high for _, low, high in map(mean_interval, draws)]
    assert abs(np.mean(inside) - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 400)
    estimate, low, high = mean_interval([1.0, 2.0, 4.0])
    assert_allclose([estimate, high - estimate], [7 / 3, 4.302653 * np.std([1, 2, 4], ddof=1) / np.sqrt(3)], rtol=1e-6)
    assert_allclose(estimate - low, high - estimate)


@pytest.mark.parametrize(
    ("sentence", "call"),
    [
        ("n_seeds must be at least 1", lambda: share_interval(0, 0)),
        ("count must be at most 4", lambda: share_interval(5, 4)),
        ("count must be a whole number", lambda: share_interval(cast(Any, 0.5), 4)),
        ("confidence must be above 0 and below 1", lambda: share_interval(1, 4, confidence=95)),
        ("values must be two or more numbers, one per seed, got 1", lambda: mean_interval([1.0])),
        ("values must be finite", lambda: mean_interval([1.0, np.nan])),
        ("values must be a vector", lambda: mean_interval(np.ones((2, 2)))),
        ("confidence must be above 0 and below 1", lambda: mean_interval([1, 2], confidence=1)),
    ],
)
def test_intervals_of_nothing_are_refused(sentence, call):
    with pytest.raises(ConfigError, match=sentence):
        call()


def test_the_page_of_evidence_quotes_the_records():
    """Every example names one claim of a published figure, and what was expected and measured of it."""
    quotes = [
        " ".join(quote.replace("\n> ", " ").split()) for quote in re.findall(r"^> ((?:.|\n> )+)", PAGE, re.MULTILINE)
    ]
    assert len(quotes) == len(re.findall(r"^\*\*\d+\. ", PAGE, re.MULTILINE)) == 10
    for quote in quotes:
        parts = EXAMPLE.match(quote)
        assert parts, quote
        figure, beginning, expected, measured = parts.groups()
        record = json.loads((ROOT / "docs" / "gallery" / f"{figure}.json").read_text(encoding="utf-8"))
        claims = [claim for claim in record["claims"] if claim["statement"].startswith(beginning)]
        assert len(claims) == 1, quote
        assert expected in claims[0]["wanted"] and measured in claims[0]["measured"], quote
