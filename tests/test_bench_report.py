"""How `minicodec bench` puts rounds together and shows them, on children that are played. No duration is asserted."""

import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest

from minicodec import cli
from minicodec.bench import command, machine, pictures, report as reports, run, start
from minicodec.bench.cases import Case
from minicodec.errors import InputError

# Seconds of a call in round 1, 2, 3; one of five takes 9 times as long. With 1 thread minicodec is ahead, with 2 not.
SECONDS = {
    ("minicodec", 1): (1.0, 1.0, 2.0), ("torch", 1): (3.0, 2.0, 8.0), ("torch.compile", 1): (1.5, 1.5, 3.0),
    ("minicodec", 2): (1.0, 1.0, 1.0), ("torch", 2): (0.5, 0.9, 0.8), ("torch.compile", 2): (2.0, 2.0, 2.0),
}  # fmt: skip
CASES = (Case("encoder", 10, 1, 2.0), Case("lm_encode", 3))
CODER = "language model: encode, 3 s"


@pytest.fixture
def played(monkeypatch):
    """Children that answer at once; the list of the orders they were sent. `spoilt`: who computes something else."""
    orders, spoilt, failing, limits = [], set(), set(), set()

    def send(order, limit=None):
        turn = sum(o.what == order.what and o.threads == order.threads and o.case == order.case for o in orders)
        orders.append(order)
        limits.add((order.what, limit))
        if order.what == "ceilings":
            return {"sgemm": 100e9 * order.threads, "bandwidth": 20e9}
        if order.what == "ops":
            common = {"op": "conv1d", "size": "1x9x2 3x2x4", "lower_quartile": 1e-3, "upper_quartile": 3e-3}
            return [
                common | {"direction": direction, "backend": backend, "median": median, "flop": 1e8, "bytes": 1e6}
                for direction in ("forward", "backward")
                for backend, median in (("numpy", 4e-3), ("numba", 2e-3))
            ]
        if order.what in failing:
            raise InputError(f"bench: {order.what}, {order.threads} threads: no C++ compiler")
        if order.results:
            np.savez(order.results, y=np.ones(3) + (order.what in spoilt))
        seconds = SECONDS[order.what, order.threads][turn]
        return [seconds] * 4 + [9 * seconds]

    monkeypatch.setattr(run, "send", send)
    monkeypatch.setattr(run, "find_spec", lambda name: True)  # nobody here imports PyTorch
    send.orders, send.spoilt, send.failing, send.limits = orders, spoilt, failing, limits
    return send


def settings(quick=False, peers=("torch",)):
    return run.Settings("mini_24khz", quick, (1, 2), 3, peers, not quick, ("conv1d",), CASES)


def test_ratios_are_medians_of_rounds(played):
    report = run.run(settings(), lambda line: None)
    found = {(r["against"], r["threads"]): r for r in report["ratios"]}
    assert set(found) == {(rival, n) for rival in ("torch", "torch.compile") for n in (1, 2)}
    for key, ratio, lowest, highest, met in [
        (("torch", 1), 3.0, 2.0, 4.0, True),
        (("torch", 2), 0.8, 0.5, 0.9, False),
        (("torch.compile", 1), 1.5, 1.5, 1.5, None),  # targets are set against eager PyTorch
        (("torch.compile", 2), 2.0, 2.0, 2.0, None),
    ]:
        r = found[key]
        assert (r["ratio"], r["lowest"], r["highest"], r["met"]) == (ratio, lowest, highest, met)
        assert (r["case"], r["target"]) == ("encoder, 10 s", 2.0)


def test_rivals_take_turns_and_the_first_one_changes(played):
    run.run(settings(), lambda line: None)
    turns = [o.what for o in played.orders if o.case == ("encoder", 10, 1, 2.0, None) and o.threads == 1]
    three = ["minicodec", "torch", "torch.compile"]
    assert turns == [*three, *reversed(three), *three]
    alone = [o.what for o in played.orders if o.case == ("lm_encode", 3, 1, None, None) and o.threads == 1]
    assert alone == ["minicodec"] * 3


def test_a_quick_run_compiles_nothing_and_times_operators_once(played):
    report = run.run(settings(quick=True), lambda line: None)
    assert {(c["case"], c["implementation"]) for c in report["cases"]} == {
        ("encoder, 10 s", "minicodec"), ("encoder, 10 s", "torch"), (CODER, "minicodec")
    }  # fmt: skip
    assert [o.threads for o in played.orders if o.what == "ops"] == [2]


def test_figures_of_a_case(played):
    report = run.run(settings(), lambda line: None)
    c = next(c for c in report["cases"] if (c["implementation"], c["threads"]) == ("torch", 1))
    assert c["rounds"] == [3.0, 2.0, 8.0]
    assert (c["lower_quartile"], c["median"], c["upper_quartile"]) == (2.5, 3.0, 8.0)
    r = report["ops"][0]
    assert (r["threads"], r["gflops"], r["share"]) == (1, 25.0, 0.25)


def test_a_wrong_peer_has_no_figures(played):
    played.spoilt.add("torch")
    with pytest.raises(InputError, match="encoder, 10 s: torch differs from minicodec in y"):
        run.run(settings(), lambda line: None)


def test_where_torch_compile_fails_the_table_says_so(played):
    played.failing.add("torch.compile")
    report = run.run(settings(), lambda line: None)
    assert {r["against"] for r in report["ratios"]} == {"torch"}
    assert sum(o.what == "torch.compile" for o in played.orders) == 2, "once for each number of threads, not each round"
    text = reports.markdown(report)
    assert "bench: torch.compile, 2 threads: no C++ compiler" in text
    headings, rows = reports.summary(report)
    assert rows[0][headings.index("ms torch.compile")] == "fails"

    played.failing.clear()
    played.spoilt.add("torch.compile")
    played.orders.clear()
    report = run.run(settings(), lambda line: None)
    assert "encoder, 10 s: torch.compile differs from minicodec in y" in reports.markdown(report)

    played.failing.add("torch")
    played.orders.clear()
    with pytest.raises(InputError, match="no C"):
        run.run(settings(), lambda line: None)


def test_torch_compile_has_only_so_much_time(played):
    """Everybody else may take as long as it takes."""
    run.run(settings(), lambda line: None)
    assert {limit for what, limit in played.limits if what != "torch.compile"} == {None}
    assert {limit for what, limit in played.limits if what == "torch.compile"} == {run.PATIENCE}


def test_a_rival_with_a_bad_day_gives_nobody_a_target(played, monkeypatch):
    """PyTorch takes 3 s in most rounds and 1.5 s in one: the median says 3 x, and the lowest round 1.5 x."""
    monkeypatch.setitem(SECONDS, ("torch", 1), (6.1, 6.0, 3.0))
    report = run.run(settings(), lambda line: None)
    (ratio,) = (r for r in report["ratios"] if (r["against"], r["threads"]) == ("torch", 1))
    assert (ratio["ratio"], ratio["lowest"], ratio["met"]) == (6.0, 1.5, False)
    headings, rows = reports.summary(report)
    assert rows[0][headings.index("x torch")] == "6.00 (1.50…6.10) ERRATIC"
    assert "ERRATIC: the rival's rounds, or one thread and several, differ" in reports.markdown(report)
    monkeypatch.setitem(SECONDS, ("torch", 1), (3.0, 3.0, 3.0))
    played.orders.clear()
    assert "ERRATIC" not in reports.markdown(run.run(settings(), lambda line: None))


def test_a_rival_whose_threads_hinder_each_other(played, monkeypatch):
    """With two threads it takes 9 s in all rounds, where one took 3 s: to be 9 x as fast is none of our doing."""
    monkeypatch.setitem(SECONDS, ("torch", 2), (9.0, 9.0, 9.0))
    ratios = {r["threads"]: r for r in run.run(settings(), lambda line: None)["ratios"] if r["against"] == "torch"}
    assert (ratios[2]["ratio"], ratios[2]["single"], reports.erratic(ratios[2]), ratios[2]["met"]) == (9, 3, True, True)
    assert not reports.erratic(ratios[1])
    ratios[2]["target"] = 4.0
    assert reports.meets(ratios[2]) is False


def test_the_summary_tells_the_truth(played):
    report = run.run(replace(settings(), compiled=False), lambda line: None)
    for what, values in [
        ("import minicodec", [0.1, 0.4, 0.2]),
        ("later uses", [3.0]),
        ("memory, decode 10 minutes", [3e8]),
    ]:
        report["start"].append(start.record(what, "s" if values[0] < 1e6 else "bytes", values))
    one, two = ["1 thread, ms", "ms torch", "x torch"], ["2 threads, ms", "ms torch", "x torch"]
    first = ["1000 ± 500", "3000 ± 2750", "3.00 (2.00…4.00)"]
    second = ["1000 ± 0", "800 ± 125", "0.80 (0.50…0.90) SLOWER"]
    assert reports.summary(report) == (
        ["what", *one, *two, "target", ""],
        [
            ["encoder, 10 s", *first, *second, "≥ 2 x", "met in part"],
            [CODER, "1000 ± 500", "", "", "1000 ± 0", "", "", "", ""],
            ["import minicodec", "0.2 s (0.1 s…0.4 s)", "", "", "", "", "", "< 0.3 s", "met"],
            ["later uses", "3 s", "", "", "", "", "", "", ""],
            ["memory, decode 10 minutes", "300 MB", "", "", "", "", "", "< 250 MB", "MISSED"],
        ],
    )
    text = reports.markdown(report)
    assert text.index("≥ 2 x") < text.index("| op |")


def test_a_missed_target_is_called_missed(played, monkeypatch):
    monkeypatch.setitem(SECONDS, ("torch", 1), (1.9, 1.9, 3.8))
    _, rows = reports.summary(run.run(settings(), lambda line: None))
    assert rows[0][-2:] == ["≥ 2 x", "MISSED"]


def test_minicodec_alone(played):
    report = run.run(settings(peers=()), lambda line: None)
    headings, rows = reports.summary(report)
    assert headings == ["what", "1 thread, ms", "2 threads, ms", "target", ""]
    assert rows[0] == ["encoder, 10 s", "1000 ± 500", "1000 ± 0", "", ""]
    assert {o.what for o in played.orders} == {"ceilings", "ops", "minicodec"}


def test_engines_take_turns_with_the_rest_and_targets_are_pytorch_s(played, monkeypatch):
    monkeypatch.setattr(run, "NEEDS", {})
    for name, seconds in (("onnxruntime", 2.0), ("openvino", 0.5)):
        monkeypatch.setitem(SECONDS, (name, 1), (seconds, seconds, 2 * seconds))
        monkeypatch.setitem(SECONDS, (name, 2), (seconds, seconds, seconds))
    peers = ("openvino", "torch", "onnxruntime")
    report = run.run(replace(settings(peers=peers), compiled=False), lambda line: None)
    found = {r["against"]: (r["ratio"], r["met"]) for r in report["ratios"] if r["threads"] == 1}
    assert found == {"torch": (3.0, True), "openvino": (0.5, None), "onnxruntime": (2.0, None)}
    played.orders.clear()
    played.spoilt.add("openvino")
    with pytest.raises(InputError, match="encoder, 10 s: openvino differs from minicodec in y"):
        run.run(settings(peers=peers), lambda line: None)
    trained = replace(settings(peers=peers), cases=(Case("generator", 1, 4),))
    assert trained.implementations(trained.cases[0]) == ["minicodec", "torch", "torch.compile"]


def test_how_threads_are_told_to_behave_is_said(played, monkeypatch):
    for name in [name for name in os.environ if name.startswith(machine.THREADING)]:
        monkeypatch.delenv(name)
    assert "no other such variable is set" in reports.markdown(run.run(settings(), lambda line: None))
    played.orders.clear()
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # which the benchmark sets itself
    assert "set for each process; OMP_WAIT_POLICY=passive." in reports.markdown(run.run(settings(), lambda line: None))


def test_what_was_measured_is_not_measured_again(played, tmp_path):
    """A run that ends in the middle leaves what it has; the next one does the rest, and both together are one run."""
    path = tmp_path / "bench.json"

    def keep(report):
        path.write_text(json.dumps(report), encoding="utf-8")
        if len(report["cases"]) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.run(settings(), lambda line: None, keep=keep)
    before = list(played.orders)
    report = run.run(settings(), lambda line: None, run.begun(path, settings()))
    after = played.orders[len(before) :]
    assert {(o.what, o.threads) for o in before if o.case} == {(n, 1) for n in ("minicodec", "torch", "torch.compile")}
    assert {o.what for o in after} == {"minicodec", "torch", "torch.compile"}, "no ceilings, no operators"
    assert not {(o.what, o.threads, o.case) for o in before} & {(o.what, o.threads, o.case) for o in after}
    played.orders.clear()
    whole = run.run(settings(), lambda line: None)
    assert {name: report[name] for name in ("ops", "cases", "ratios")} == {
        name: whole[name] for name in ("ops", "cases", "ratios")
    }


def test_only_the_same_run_is_gone_on_with(played, tmp_path):
    path = tmp_path / "bench.json"
    assert run.begun(path, settings()) is None
    path.write_text(json.dumps(run.run(settings(), lambda line: None)), encoding="utf-8")
    assert run.begun(path, replace(settings(), cases=(), start=True)) is not None, "of which more is measured"
    with pytest.raises(InputError, match=r"bench\.json: was measured with other settings \(peers\), and"):
        run.begun(path, replace(settings(), peers=()))


def test_the_whole_command_s_table(played):
    report = run.run(replace(settings(), cases=()), lambda line: None)
    assert reports.command_rows(report)[1] == []
    for name, figures in (("minicodec", [(1.0, 1.5, 2e8), (2.0, 1.5, 2e8)]), ("encodec", [(4.5, 3.0, 5e8)])):
        rounds = [dict(zip(command.MEASURES, some, strict=True)) for some in figures]
        medians = {m: float(np.median([some[m] for some in rounds])) for m in command.MEASURES}
        report["command"].append({"implementation": name, "seconds": 10, "threads": 1, "rounds": rounds} | medians)
    headings, rows = reports.command_rows(report)
    assert headings == ["whole command", "threads", "time", "x", "processor", "x", "memory", "x"]
    assert rows == [
        ["minicodec: encode 10 s", "1", "1.5 s (1 s…2 s)", "", "1.5 s (1.5 s…1.5 s)", "", "200 MB (200 MB…200 MB)", ""],
        ["encodec: encode 10 s", "1", "4.5 s", "3.00", "3 s", "2.00", "500 MB", "2.50"],
    ]
    assert "| encodec: encode 10 s | 1 | 4.5 s | 3.00 |" in reports.markdown(report)


def test_operators_and_what_it_was_measured_on(played):
    report = run.run(settings(), lambda line: None)
    _, rows = reports.op_rows(report)
    assert rows[0] == [
        "conv1d", "1x9x2 3x2x4", "forward", "1", "4.00 ± 1.00", "2.00 ± 1.00", "2.00", "50.0", "50%", "0.5"
    ]  # fmt: skip
    report["machine"]["load"] = 0.4
    assert "BUSY" not in reports.markdown(report)
    report["machine"]["load"] = 3.21
    text = reports.markdown(report)
    assert "BUSY before this began (load average 3.2)" in text
    assert "1 thread: sgemm 100 GF/s, memory 20 GB/s; 2 threads: sgemm 200 GF/s" in text
    assert all(text.count(f"| {name} |") >= 1 for name in ("encoder, 10 s", CODER, "conv1d"))


@pytest.fixture
def drawn(monkeypatch):
    """The figures that pictures saves."""
    figures = []
    monkeypatch.setattr(pictures, "save", lambda figure, path: figures.append(figure))
    return figures


def test_picture_of_the_ratios(played, drawn):
    pictures.ratio_bars(run.run(settings(), lambda line: None), None)
    one, two = drawn[0].axes
    assert [bar.get_width() for bar in one.patches] == [3.0, 1.5]
    assert [bar.get_width() for bar in two.patches] == [0.8, 2.0]
    assert [t.get_text() for t in one.get_yticklabels()] == ["encoder, 10 s"]
    assert {t.get_text() for t in one.get_legend().get_texts()} == {"against torch", "against torch.compile", "target"}


def test_roofline(played, drawn):
    """100 operations for each byte at 50 GF/s; the roof rises with 20 GB/s up to 100 GF/s for one thread."""
    pictures.roofline(run.run(settings(), lambda line: None), None)
    one, _ = drawn[0].axes
    *points, roof = one.lines
    assert [(p.get_xdata()[0], p.get_ydata()[0]) for p in points] == [(100, 50), (100, 50)]
    x, y = roof.get_xdata(), roof.get_ydata()
    np.testing.assert_allclose(y, np.minimum(100, 20 * x))
    assert one.get_title() == "1 thread: sgemm 100 GF/s, memory 20 GB/s"


def test_curve(played, drawn):
    """Milliseconds for a second of sound: 1 s for a signal of 2 s are 500; a batch of 2 x 1 s likewise."""
    some = (Case("encoder", 2), Case("encoder", 20), Case("generator", 1, 2), Case("encoder", 10, filters=8))
    report = run.run(replace(settings(), cases=some, compiled=False), lambda line: None)
    pictures.curve(report, None)
    lines = [
        {line.get_label(): [*zip(line.get_xdata(), line.get_ydata(), strict=True)] for line in axes.lines}
        for axes in drawn[0].axes
    ]
    assert lines[0]["minicodec, 1 thread"] == [(2, 500), (20, 50)]
    assert lines[0]["PyTorch, 2 threads"] == [(2, 400), (20, 40)]
    assert lines[1]["minicodec, 2 threads"] == [(2, 500)]
    assert lines[2]["PyTorch, 1 thread"] == [(8, 300)]
    assert [t.get_text() for t in drawn[0].axes[0].get_xticklabels()] == ["2 s", "20 s"]


def test_tables_are_as_narrow_as_the_terminal(played, monkeypatch, capsys):
    """Wider ones are split, and what a row is about stands in each part."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    argv = ["bench", "conv1d", "encoder", "--threads", "1", "2", "--rounds", "3", "--peer", "torch"]
    assert cli.main(argv) == 0
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    lines = out.split("\nencodec_24khz on")[0].splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines if line.startswith("conv1d")]
    assert {tuple(row[:5]) for row in rows} == {
        ("conv1d", "1x9x2", "3x2x4", way, threads) for way in ("forward", "backward") for threads in "12"
    }
    assert len(rows) > 4
    assert sum(line.startswith("encoder, 10 s") for line in lines) > 1
