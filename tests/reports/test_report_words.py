"""Numbers as shown: rounding, dashes, and JSON that cannot break out of its script tag."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from longtail.reports import words


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.percent(0.7434), "74.3"),
        (words.percent(None), "-"),
        (words.percent(math.nan), "-"),
        (words.percent(0.0), "0.0"),
        (words.points(0.0123), "+1.2"),
        (words.points(-0.0123), "\u22121.2"),
        (words.points(-0.0001), "0.0"),
        (words.decimal(0.06149), "0.061"),
        (words.integer(1234567), "1\u202f234\u202f567"),
        (words.amount(1234567), "1.23 M"),
        (words.amount(98442), "98\u202f442"),
        (words.duration(41.72), "41.7 s"),
        (words.duration(185), "3 min 05 s"),
        (words.duration(7800), "2 h 10 min"),
        (words.interval([0.701, 0.783]), "70.1 to 78.3"),
        (words.interval(None), "-"),
        (words.interval([-0.01, 0.02], signed=True), "\u22121.0 to +2.0"),
        (words.plus_minus(0.743, 0.008), "74.3 ± 0.8"),
        (words.plus_minus(0.743, None), "74.3"),
        (words.plus_minus(None, 0.1), "-"),
        (words.p_value(0.0004), "<0.001"),
        (words.p_value(0.0412), "0.041"),
        (words.readable({}), "-"),
        (words.readable(True), "yes"),
        (words.readable(list(range(10))), "0, 1, 2, 3, 4, 5, 6, 7, ... (10 in all)"),
    ],
)
def test_numbers_read_well(shown, expected):
    assert shown == expected


def test_embedded_json_cannot_leave_its_script():
    value = {"a": ["</script><b>&\u2028", math.nan, np.float64(0.5), np.arange(3)], "b": -math.inf}
    text = words.embedded_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": ["</script><b>&\u2028", None, 0.5, [0, 1, 2]], "b": None}
