"""`minicodec bench`: the right rows, finite figures, honest work counts. No duration is asserted."""

import json
import math

import numpy as np
import pytest

from minicodec import cli
from minicodec.backend import OPS
from minicodec.evaluation import bench


def test_a_quick_run_of_one_op(tmp_path, capsys):
    path = tmp_path / "figures.json"
    assert cli.main(["bench", "linear", "--quick", "--threads", "1", "--json", str(path)]) == 0
    figures = json.loads(path.read_text(encoding="utf-8"))
    labels = [(r["op"], r["size"], r["direction"], r["backend"]) for r in figures["results"]]
    size = "1x75x200 200x800"
    assert labels == [("linear", size, d, b) for d in ("forward", "backward") for b in ("numpy", "numba")]
    assert figures["machine"]["threads"] == 1
    for r in figures["results"]:
        work = 2 * 75 * 200 * 800 * (2 if r["direction"] == "backward" else 1)
        assert 0 < r["lower_quartile"] <= r["median"] <= r["upper_quartile"] < math.inf
        assert r["gflops"] == pytest.approx(work / r["median"] / 1e9)
        assert r["share"] == pytest.approx(r["gflops"] / figures["machine"]["peak_gflops"])
    out = capsys.readouterr().out
    assert out.count("linear") == 2
    assert size in out


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["bench", "conv3d", "--quick"], "no rows for conv3d"),
        (["bench", "linear", "--threads", "0"], "--threads 0"),
        (["bench", "linear", "--json", "{existing}"], "exists"),
    ],
)
def test_bad_input_is_one_line(argv, reason, tmp_path, capsys):
    existing = tmp_path / "figures.json"
    existing.write_text("mine", encoding="utf-8")
    assert cli.main([word.format(existing=existing) for word in argv]) == 2
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1
    assert existing.read_text(encoding="utf-8") == "mine"


def test_every_row_runs_and_every_fast_pair_is_measured():
    """Shapes fit their op, and an op that somebody made fast is not left out of the table."""
    for row in bench.rows(quick=True):
        assert OPS[row.op].pairs["numpy"][0](*row.arrays(), **row.attrs)[0].size
    rows = bench.rows(quick=False)
    assert {name for name, op in OPS.items() if "numba" in op.pairs} <= {row.op for row in rows}
    assert set(bench.WORK) <= {row.op for row in rows}


@pytest.mark.parametrize("op", sorted(set(bench.WORK) - {"lstm", "nearest_codeword"}))
def test_work_counts_every_multiplication(op):
    """On inputs and weights of ones, a result is the number of products in it: their sum is half the work."""
    row = next(row for row in bench.rows(quick=True) if row.op == op)
    attrs = {k: v for k, v in row.attrs.items() if k != "padding"}  # zeros are multiplied, too, but do not show
    y, _ = OPS[op].pairs["numpy"][0](*(np.ones(s) for s in row.shapes), **attrs)
    assert bench.WORK[op](row.shapes, y.shape) == 2 * y.sum()


def test_the_first_call_is_not_timed():
    calls = []
    times = bench.timed([lambda: calls.append("a"), lambda: calls.append("b")], 0)
    assert [len(some) for some in times] == [5, 5]
    assert calls == ["a", "b"] * 6
