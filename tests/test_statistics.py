"""Means and bootstrap intervals against theory, and against a table made by hand."""

import math

import numpy as np
import pytest

from minicodec.evaluation.settings import Condition
from minicodec.evaluation.statistics import Interval, bootstrap, summarise
from minicodec.evaluation.tables import figure


def test_the_interval_is_that_of_a_mean(rng):
    """Of many normal values the mean has a standard error of σ/√n, and 95 % lie within 1.96 of it."""
    x = rng.normal(5, 2, 1000)
    interval = bootstrap(x.tolist())
    assert interval.mean == pytest.approx(x.mean(), rel=1e-12)
    error = 1.96 * x.std() / math.sqrt(1000)
    assert interval.high - interval.mean == pytest.approx(error, rel=0.08)
    assert interval.mean - interval.low == pytest.approx(error, rel=0.08)
    assert bootstrap(x.tolist()) == interval


def test_the_interval_covers_the_true_mean(rng):
    """In about 95 of 100 experiments; a bit less, as is known of the bootstrap with few values."""
    covered = sum(i.low <= 0 <= i.high for i in (bootstrap(rng.normal(size=20).tolist()) for _ in range(200)))
    assert 176 <= covered <= 196


def test_what_is_not_finite_is_left_out():
    interval = bootstrap([1.0, math.nan, 3.0, math.inf, -math.inf])
    assert (interval.mean, interval.count) == (2, 2)
    assert (interval.low, interval.high) == (1, 3)
    single, none = bootstrap([4.0, math.nan]), bootstrap([math.nan])
    assert (single.mean, single.count) == (4, 1)
    assert none.count == 0
    assert all(math.isnan(x) for x in (single.low, single.high, none.mean, none.low))


def test_lines_are_the_means_of_their_category():
    codec, anchor = Condition("codec", 6.0), Condition("lowpass-7kHz")
    left_out = Condition("opus", 3.0, "goes from 6 to 256 kbit/s")
    rows = [
        {"category": c, "seconds": s, "system": "codec", "kbps": 6.0, "payload_bytes": p, "file_bytes": p + 10, "m": m}
        for c, s, p, m in (("a", 1.0, 750, 1.0), ("b", 3.0, 2250, 2.0), ("b", 1.0, 1750, 6.0))
    ]
    no_bytes = {"kbps": None, "payload_bytes": None, "file_bytes": None}
    rows.append({"category": "a", "seconds": 1.0, "system": "lowpass-7kHz", "m": 9.0} | no_bytes)
    lines = summarise(rows, [codec, left_out, anchor], ["m"])
    assert [(line.category, line.condition) for line in lines] == [
        (category, condition) for category in ("all clips", "a", "b") for condition in (codec, left_out, anchor)
    ]
    assert [line.figures["m"].mean for line in lines if line.condition is codec] == [3.0, 1.0, 4.0]
    assert [line.clips for line in lines] == [3, 0, 1, 1, 0, 1, 2, 0, 0]
    assert [line.payload_kbps for line in lines if line.condition is codec] == pytest.approx([7.6, 6.0, 8.0])
    assert lines[6].file_kbps == pytest.approx((4000 + 20) * 8 / 1000 / 4)
    assert math.isnan(lines[2].payload_kbps)
    only = summarise(rows[1:3], [codec], ["m"])
    assert [line.category for line in only] == ["b"]


def test_a_figure_as_text():
    assert figure("si_sdr", Interval(5.123, 4.8, 5.514, 30), 30) == "5.12 [4.80, 5.51]"
    assert figure("stoi", Interval(0.9876, 0.98, 0.99, 27), 30) == "0.988 [0.980, 0.990] (27)"
    assert figure("si_sdr", Interval(5.0, np.nan, np.nan, 1), 1) == "5.00"
    assert figure("si_sdr", Interval(np.nan, np.nan, np.nan, 0), 30) == "–"
