"""`minicodec bench`: the right rows, honest work counts, and no figures of who computes something else or fails.

No duration is asserted. How the rounds are put together is tested on children that are played: `played` answers in
their place.
"""

import argparse
import json
import math
import stat
import time

import numpy as np
import pytest

from minicodec import cli
from minicodec.backend import OPS
from minicodec.cli import bench
from minicodec.errors import InputError
from minicodec.evaluation.bench import cases, compare, machine, ops, run, send, work
from minicodec.evaluation.bench.cases import Case
from minicodec.evaluation.bench.child import Order

CODER = Case("range_coder")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The folder of a real run, of one operator and of one case."""
    out = tmp_path_factory.mktemp("bench")
    argv = ["bench", "linear", "quantizer", "--quick", "--threads", "1", "--rounds", "1"]
    assert cli.main([*argv, "--out", str(out)]) == 0
    return out


def test_a_real_run(measured):
    report = json.loads((measured / "bench.json").read_text(encoding="utf-8"))
    assert report["settings"] == {
        "preset": "mini_24khz", "quick": True, "threads": [1], "rounds": 1, "peer": None, "compiled": False,
        "start": False, "patience": 300, "device": "cpu",
    }  # fmt: skip
    about = {"cpu", "cores", "load", "system", "python", "numpy", "numba", "torch", "environment"}
    assert set(report["machine"]) == about
    assert report["start"] == []
    peak = report["ceilings"]["1"]["sgemm"]
    labels = [(r["op"], r["size"], r["direction"], r["backend"]) for r in report["ops"]]
    size = "1x75x200 200x800"
    assert labels == [("linear", size, d, b) for d in ("forward", "backward") for b in ("numpy", "numba")]
    for r in report["ops"]:
        flop = 2 * 75 * 200 * 800 * (2 if r["direction"] == "backward" else 1)
        numbers = 75 * 200 + 200 * 800  # inputs; backward they are read, and their gradients are written
        assert r["flop"] == flop
        assert r["bytes"] == 4 * (75 * 800 + numbers * (2 if r["direction"] == "backward" else 1))
        figures_are_sound(r, flop, peak)
    (case,) = report["cases"]
    assert (case["case"], case["implementation"], case["error"]) == ("quantizer (RVQ), 1 s", "minicodec", None)
    figures_are_sound(case, 2 * 75 * 8 * 1024 * 64, peak)
    assert len(case["rounds"]) == 1
    assert report["ratios"] == []


def figures_are_sound(record, flop, peak):
    assert 0 < record["lower_quartile"] <= record["median"] <= record["upper_quartile"] < math.inf
    assert record["gflops"] == pytest.approx(flop / record["median"] / 1e9)
    assert record["share"] == pytest.approx(record["gflops"] * 1e9 / peak)


def test_a_real_run_leaves_all_files(measured):
    assert sorted(p.name for p in measured.iterdir()) == ["bench.json", "bench.md", "bench.png", "roofline.png"]
    table = (measured / "bench.md").read_text(encoding="utf-8")
    assert "| quantizer (RVQ), 1 s | 1 |" in table
    assert table.count("| linear | 1x75x200 200x800 |") == 2
    for name in ("bench.png", "roofline.png"):
        assert (measured / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["conv3d"], "nothing is called conv3d: choose from ops, cases, start, targets, conv1d"),
        (["linear", "--threads", "0"], "--threads 0"),
        (["linear", "--rounds", "-1"], "--rounds -1"),
        (["linear", "--rounds", "0"], "--rounds 0"),
        (["linear", "--patience", "0"], "--patience 0"),
        (["linear", "--preset", "tiny_24khz"], "choose encodec_24khz or mini_24khz"),
        (["linear", "--out", "{folder}"], "bench.json: the file exists already"),
        (["linear", "--out", "{folder}/bench.json"], "is no folder"),
        (["linear", "--peer", "torch"], "--peer torch: it is not installed"),
    ],
)
def test_bad_input_is_one_line(argv, reason, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    existing = tmp_path / "bench.json"
    existing.write_text("mine", encoding="utf-8")
    assert cli.main(["bench", "--quick", *(word.format(folder=tmp_path) for word in argv)]) == 2
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1
    assert existing.read_text(encoding="utf-8") == "mine"


# Operators


def test_every_row_runs_and_every_fast_pair_is_measured():
    """Shapes fit their op, and an op that somebody made fast is not left out of the table."""
    for row in ops.rows(quick=True):
        assert OPS[row.op].pairs["numpy"][0](*row.arrays(), **row.attrs)[0].size
    rows = ops.rows(quick=False)
    assert {name for name, op in OPS.items() if "numba" in op.pairs} <= {row.op for row in rows}
    assert {*ops.PRODUCTS, *ops.ELEMENTWISE} <= {row.op for row in rows}


@pytest.mark.parametrize("op", sorted(set(ops.PRODUCTS) - {"lstm", "nearest_codeword"}))
def test_work_counts_every_multiplication(op):
    """On inputs and weights of ones, biases of zeros, a result is the number of its products: half the work."""
    row = next(row for row in ops.rows(quick=True) if row.op == op)
    attrs = {k: v for k, v in row.attrs.items() if k != "padding"}  # zeros are multiplied, too, but do not show
    y, _ = OPS[op].pairs["numpy"][0](*(np.full(s, float(len(s) > 1)) for s in row.shapes), **attrs)
    assert ops.PRODUCTS[op](row.shapes, y.shape) == 2 * y.sum()


def test_calls_by_turns():
    calls = []
    times = machine.timed([lambda: calls.append("a"), lambda: calls.append("b")], 0, least=3)
    assert [len(some) for some in times] == [3, 3]
    assert calls == ["a", "b"] * 3


def test_slow_calls_are_not_waited_for_again_and_again(monkeypatch):
    clock = iter(range(0, 1000, 30))
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(clock))
    calls = []
    assert machine.timed([lambda: calls.append("a")], 1, least=9) == [[30]]
    assert calls == ["a"]


@pytest.mark.skipif(machine.sys.platform != "linux", reason="other systems do not tell")
def test_memory_is_what_a_call_takes_at_its_height():
    def call():
        np.ones(2**23)  # 64 MiB, freed at once
        np.ones(2**20)

    taken = machine.peak_memory(call)
    assert 0.95 * 2**26 < taken < 1.2 * 2**26
    assert machine.peak_memory(lambda: None) < 2**22, "what an earlier call took must not count again"


# Cases


def test_work_of_the_encoder_by_hand():
    """encodec_24khz on one second: every conv is 2 · frames · K · Ci · Co."""
    stages = [(24000, 32, 2), (12000, 64, 4), (3000, 128, 5), (600, 256, 8)]
    products = 24000 * 7 * 1 * 32 + 75 * 7 * 512 * 128 + 75 * 2 * (512 * 2048 + 512 * 2048)
    for T, C, stride in stages:
        unit = 3 * C * (C // 2) + (C // 2) * C + C * C  # the last is the shortcut
        products += T * unit + T // stride * 2 * stride * C * 2 * C
    quantizer = 75 * 8 * 1024 * 128
    assert work.work(Case("encoder", 1), "encodec_24khz") == 2 * (products + quantizer)
    assert work.work(Case("encoder_frame"), "encodec_24khz") == 2 * (products + quantizer) / 75


def test_work_of_training_by_hand():
    """A backward costs two forwards; the discriminator's scales see n_fft/2 + 1 bins, halved by each stride."""
    mini = "mini_24khz"
    codec = cases.initial_codec(mini)
    forward = work.network_work(codec.encoder, 24000) + work.network_work(codec.decoder, 75)
    assert work.work(Case("generator", 1, 2), mini) == 3 * 2 * forward
    products = 0
    for n_fft in (1024, 512, 256):
        frames = (24000 - n_fft) // (n_fft // 4) + 1
        bins = [n_fft // 2 + 1, n_fft // 4 + 1, n_fft // 8 + 1, n_fft // 16 + 1]
        products += frames * (27 * 2 * 8 * bins[0] + 27 * 8 * 8 * sum(bins[1:]) + 9 * 8 * (8 + 1) * bins[3])
    assert work.work(Case("discriminator", 1, 2), mini) == 3 * 2 * 2 * 2 * products
    quantizer = 2 * 2 * 75 * 8 * 1024 * 64
    assert work.work(Case("adversarial", 1, 2), mini) == 6 * forward + quantizer + 10 * 2 * 2 * products


def test_every_case_has_its_own_name_and_file():
    for quick in (True, False):
        kinds = set()
        for device in ("cpu", "gpu"):
            some = cases.cases(quick, device)
            assert len({str(case) for case in some}) == len({case.file for case in some}) == len(some)
            kinds |= {case.kind for case in some}
        assert kinds == set(cases.TITLES)


def test_every_target_is_that_of_a_case():
    thorough = [*cases.cases(quick=False), *cases.cases(quick=False, device="gpu")]
    assert {str(case): case.target for case in thorough if case.target} == cases.TARGETS
    assert {str(case): case.limit for case in thorough if case.limit} == cases.LIMITS
    assert {case.target for case in cases.cases(quick=True) if not case.kind.endswith("_frame")} == {None}


# Children


def order(**changes):
    given = {"what": "minicodec", "threads": 1, "preset": "mini_24khz", "quick": True, "seconds": 0, "least": 1}
    return Order(**(given | changes))


def test_a_child_that_fails_says_what_and_why():
    with pytest.raises(send.ChildError) as failure:
        list(send.send(order(preset="maxi_24khz", names=(("range_coder", 0, 1),))))
    assert str(failure.value) == (
        "bench: minicodec, 1 thread: range coder, there and back, 10000 codes: InputError: maxi_24khz: no such preset; "
        "there are encodec_24khz, encodec_48khz, mini_24khz, tiny_24khz"
    )


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("echo 'warning: old' >&2; echo 'no memory left' >&2; exit 3", "the process ended with 3: no memory left"),
        ("kill -9 $$", "the process ended with -9: it says nothing; is the memory full?"),
    ],
)
def test_a_child_that_dies(lines, reason, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho a compiler talks\n{lines}\n", encoding="utf-8")
    python.chmod(python.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(send.sys, "executable", str(python))
    with pytest.raises(send.ChildError, match=f"^bench: torch, 2 threads: {reason}".replace("?", r"\?")):
        list(send.send(order(what="torch", threads=2)))


def test_a_child_that_is_late_ends_with_all_it_has_started(tmp_path, monkeypatch):
    """What it started would keep its stdout open, and `send` waiting, for a minute."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho '{\"case\": 1}'\nsleep 60 &\nsleep 60\n", encoding="utf-8")
    python.chmod(python.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(send.sys, "executable", str(python))
    answers = send.send(order(what="torch.compile"), limit=0.5)
    assert next(answers) == {"case": 1}
    start = time.monotonic()
    with pytest.raises(send.LateError, match=r"^bench: torch.compile, 1 thread: not done in 0.5 s$"):
        next(answers)
    assert time.monotonic() - start < 30


def test_targets_are_what_is_measured_for_them():
    parser = argparse.ArgumentParser()
    bench.configure(parser)
    settings = bench.chosen(parser.parse_args(["targets", "adam", "--peer", "torch"]))
    assert {str(case) for case in settings.cases if case.kind != "adam"} == {
        str(case) for case in cases.cases(quick=False) if case.target
    }
    assert (settings.start, settings.ops, settings.compiled) == (True, (), True)
    settings = bench.chosen(parser.parse_args(["targets", "--device", "gpu"]))
    assert [(str(case), case.limit) for case in settings.cases] == [("adversarial step, 64 x 1 s", 0.6)]
    assert (settings.start, settings.device, len(settings.threads)) == (False, "gpu", 1)
    starts = [bench.chosen(parser.parse_args(argv)).start for argv in ([], ["--quick"], ["start", "--quick"])]
    assert starts == [True, False, True]


def test_a_child_knows_its_threads_before_it_imports(tmp_path, monkeypatch):
    python = tmp_path / "python"
    variables = ", ".join(f'\\"{name}\\": $%s' % name for name in send.THREADS)
    python.write_text(f'#!/bin/sh\necho "{{{variables}}}"\n', encoding="utf-8")
    python.chmod(python.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(send.sys, "executable", str(python))
    assert list(send.send(order(threads=7))) == [dict.fromkeys(send.THREADS, 7)]


# Who computes something else


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"y": np.float32([1, 2, 3.0001])}, None),
        ({"y": np.float32([1, 2, 3.01])}, "differs from minicodec in y by 2.7e-03"),
        ({"y": np.float32([1, 2, np.nan])}, "differs from minicodec in y by nan"),
        ({"y": np.float32([[1, 2, 3]])}, r"gives y as \(1, 3\), minicodec as \(3,\)"),
        ({"codes": np.arange(1000) + (np.arange(1000) < 10)}, None),
        ({"codes": np.arange(1000) + (np.arange(1000) < 11)}, "has only 98.9% of the codes"),
        ({"later loss": np.array(1.005)}, None),
        ({"later loss": np.array(1.02)}, "differs from minicodec in later loss by 2.0e-02"),
    ],
)
def test_results_are_compared(change, reason, tmp_path):
    expected = {"y": np.float32([1, 2, 3]), "codes": np.arange(1000), "later loss": np.array(1.0)}
    np.savez(tmp_path / "ours.npz", **expected)
    np.savez(tmp_path / "theirs.npz", **(expected | change))
    paths = tmp_path / "ours.npz", tmp_path / "theirs.npz"
    if reason is None:
        compare.compare(CODER, "torch", *paths)
    else:
        with pytest.raises(InputError, match=f"range coder, there and back, 10000 codes: torch {reason}"):
            compare.compare(CODER, "torch", *paths)


def test_a_peer_that_shows_nothing_has_not_shown_that_it_is_right(tmp_path):
    np.savez(tmp_path / "ours.npz", y=np.ones(3))
    np.savez(tmp_path / "theirs.npz")
    with pytest.raises(InputError, match="torch shows no results"):
        compare.compare(CODER, "torch", tmp_path / "ours.npz", tmp_path / "theirs.npz")
