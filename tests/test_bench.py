"""`minicodec bench`: the right rows, honest work counts, and no figures of who computes something else or fails.

No duration is asserted.
"""

import argparse
import contextlib
import json
import math
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minicodec
from minicodec import cli
from minicodec.backend import OPS
from minicodec.bench import cases, child, command, machine, ops, ours, run, start
from minicodec.bench.cases import Case
from minicodec.bench.child import Order
from minicodec.cli import bench
from minicodec.codec.config import preset
from minicodec.codec.files.bitstream import Chunk, Header, pack
from minicodec.codec.language_model import LanguageModelConfig
from minicodec.errors import InputError


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The folder of a real run, of one operator and of one case."""
    out = tmp_path_factory.mktemp("bench")
    argv = ["bench", "linear", "decoder_frame", "--quick", "--threads", "1", "--rounds", "1"]
    assert cli.main([*argv, "--out", str(out)]) == 0
    return out


def test_a_real_run(measured):
    report = json.loads((measured / "bench.json").read_text(encoding="utf-8"))
    assert report["settings"] == {
        "preset": "mini_24khz", "quick": True, "threads": [1], "rounds": 1, "peers": [], "compiled": False,
        "device": "cpu",
    }  # fmt: skip
    assert set(report["machine"]) == {"cpu", "cores", "load", "python", "environment", *machine.VERSIONS}
    assert report["start"] == report["command"] == report["ratios"] == []
    peak = report["ceilings"]["1"]["sgemm"]
    labels = [(r["op"], r["size"], r["direction"], r["backend"]) for r in report["ops"]]
    size = "1x75x200 200x800"
    assert labels == [("linear", size, d, b) for d in ("forward", "backward") for b in ("numpy", "numba")]
    for r in report["ops"]:
        flop = 2 * 75 * 200 * 800 * (2 if r["direction"] == "backward" else 1)
        numbers = 75 * 200 + 200 * 800  # inputs; backward they are read, and their gradients are written
        assert r["flop"] == flop
        assert r["bytes"] == 4 * (75 * 800 + numbers * (2 if r["direction"] == "backward" else 1))
        assert r["gflops"] == pytest.approx(flop / r["median"] / 1e9)
        assert r["share"] == pytest.approx(flop / r["median"] / peak)
        figures_are_sound(r)
    (case,) = report["cases"]
    assert (case["case"], case["implementation"], case["error"]) == ("streaming decoder, one frame", "minicodec", None)
    assert len(case["rounds"]) == 1
    figures_are_sound(case)


def figures_are_sound(record):
    assert 0 < record["lower_quartile"] <= record["median"] <= record["upper_quartile"] < math.inf


def test_a_real_run_leaves_its_files(measured):
    """And no picture of ratios, since there are none."""
    assert sorted(p.name for p in measured.iterdir()) == ["bench.json", "bench.md", "roofline.png"]
    table = (measured / "bench.md").read_text(encoding="utf-8")
    assert "| streaming decoder, one frame |" in table
    assert table.count("| linear | 1x75x200 200x800 |") == 2
    assert (measured / "roofline.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["conv3d"], "nothing is called conv3d: did you mean conv2d or conv1d?"),
        (["xyz"], "nothing is called xyz: choose from ops, cases, start, command, curve, targets, conv1d"),
        (["linear", "--threads", "0"], "--threads 0"),
        (["linear", "--rounds", "-1"], "--rounds -1"),
        (["linear", "--rounds", "0"], "--rounds 0"),
        (["linear", "--preset", "tiny_24khz"], "choose encodec_24khz or mini_24khz"),
        (["linear", "--out", "{folder}"], "bench.json: the file exists already"),
        (["linear", "--out", "{folder}/bench.json"], "is no folder"),
        (["linear", "--resume"], "--resume: needs --out"),
        (["linear", "--resume", "--out", "{folder}"], "bench.json: cannot be gone on with: Expecting value"),
        (["linear", "--peer", "torch"], "--peer torch: torch not installed; pip install torch"),
        (["linear", "--peer", "openvino"], "openvino, torch, onnx not installed; pip install openvino torch onnx"),
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


# Cases


def test_every_case_has_its_own_name_and_every_kind_its_case():
    for quick in (True, False):
        kinds = set()
        for device in ("cpu", "gpu"):
            some = cases.cases(quick, device)
            assert len({str(case) for case in some}) == len(some)
            kinds |= {case.kind for case in some}
        assert kinds == set(cases.TITLES)


def test_a_language_model_that_does_not_give_back_its_codes_is_refused(monkeypatch):
    """Nobody else computes this, so it is held against what went in. Small, and four frames."""
    small = {"D": 8, "heads": 1, "layers": 1, "hidden": 8}
    monkeypatch.setattr(ours, "LanguageModelConfig", lambda **sizes: LanguageModelConfig(**sizes, **small))
    prepared = ours.prepare(Case("lm_decode", 4 / 75), "tiny_24khz")
    (decoded,) = prepared.run()
    assert decoded.shape == prepared.show([decoded])["codes"].shape == (8, 4)
    with pytest.raises(ValueError, match="does not give back"):
        prepared.show([decoded[:, ::-1]])


def test_targets_are_what_is_measured_for_them():
    parser = argparse.ArgumentParser()
    bench.configure(parser)
    settings = bench.chosen(parser.parse_args(["targets", "lm_encode", "--peer", "torch"]))
    assert [str(case) for case in settings.cases] == [
        "encoder, 10 s", "encoder, 60 s", "decoder, 10 s", "decoder, 60 s", "streaming encoder, one frame",
        "streaming decoder, one frame", "LSTM forward, 10 s", "LSTM forward + backward, 4 x 1 s",
        "generator forward + backward, 4 x 1 s", "discriminator step, 4 x 1 s", "adversarial step, 4 x 1 s",
        "language model: encode, 3 s",
    ]  # fmt: skip
    assert (settings.start, settings.command, settings.ops, settings.compiled) == (True, True, (), True)
    settings = bench.chosen(parser.parse_args(["targets", "--device", "gpu", "--peer", "torch"]))
    assert [str(case) for case in settings.cases] == ["adversarial step, 64 x 1 s"]
    assert (settings.start, settings.device, len(settings.threads), settings.compiled) == (False, "gpu", 1, False)
    asked = [bench.chosen(parser.parse_args(argv)) for argv in ([], ["--quick"], ["start", "--quick"], ["command"])]
    assert [settings.start for settings in asked] == [True, False, True, False]
    assert [settings.command for settings in asked] == [True, False, False, True]
    first_look = bench.chosen(parser.parse_args(["--quick"]))
    assert (first_look.ops, len(first_look.cases)) == ((), 11)


def test_the_curve_changes_one_thing_at_a_time():
    parser = argparse.ArgumentParser()
    bench.configure(parser)
    settings = bench.chosen(parser.parse_args(["curve", "--peer", "torch", "--peer", "openvino", "--eager"]))
    assert (settings.cases, settings.start, settings.command) == (tuple(cases.curve(quick=False)), False, False)
    names = [str(case) for case in settings.cases]
    assert names[4:9] == [*(f"encoder, 10 s, C = {C}" for C in (8, 16, 32, 64)), "encoder, 1 s"]
    rivals = {str(case): settings.implementations(case) for case in settings.cases}
    assert rivals["encoder, 60 s"] == ["minicodec", "torch", "openvino"]
    assert rivals["encoder, 3600 s"] == ["minicodec"]


def test_a_case_has_the_channels_that_it_says():
    sized = Case("encoder", 10, filters=4).sized("tiny_24khz")
    assert cases.run_config(sized).model.seanet.filters == 4 != cases.run_config("tiny_24khz").model.seanet.filters
    assert cases.initial_codec(sized).encoder.layers[0].weight_v.shape[-1] == 4
    assert Case("encoder", 10).sized("tiny_24khz") == "tiny_24khz"


# Children


def order(**changes):
    given = {"what": "minicodec", "threads": 1, "preset": "mini_24khz", "quick": True, "device": "cpu"}
    return Order(**(given | {"seconds": 0, "least": 1} | changes))


def test_a_child_that_fails_says_what_and_why():
    with pytest.raises(InputError) as failure:
        child.send(order(preset="maxi_24khz", case=("lstm", 1, 1, None)))
    assert str(failure.value) == (
        "bench: minicodec, 1 thread, LSTM forward, 1 s: the process ended with 1: minicodec.errors.InputError: "
        "maxi_24khz: no such preset; there are encodec_24khz, encodec_48khz, mini_24khz, tiny_24khz, transform_24khz, "
        "and TOML files of your own"
    )


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Children run these lines of sh."""

    def write(lines):
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
        python.chmod(0o755)
        monkeypatch.setattr(child.sys, "executable", str(python))

    return write


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("echo 'warning: old' >&2; echo 'no memory left' >&2; exit 3", "the process ended with 3: no memory left"),
        ("kill -9 $$", r"the process ended with -9: it says nothing; is the memory full\?"),
    ],
)
def test_a_child_that_dies(lines, reason, script):
    script(lines)
    with pytest.raises(InputError, match=f"^bench: torch, 2 threads: {reason}$"):
        child.send(order(what="torch", threads=2))


def test_a_child_that_is_late_ends_with_all_it_has_started(script, tmp_path):
    script(f"(sleep 1; touch {tmp_path}/survived) &\nsleep 60")
    with pytest.raises(InputError, match=r"^bench: torch.compile, 1 thread: not done in 0.5 s$"):
        child.send(order(what="torch.compile"), limit=0.5)
    time.sleep(1)
    assert not (tmp_path / "survived").exists()


def test_sigterm_ends_a_child_with_all_it_has_started(script, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    script(f"(sleep 1; touch {tmp_path}/survived) &\nkill -TERM $PPID\nsleep 60")
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "linear", "--quick", "--threads", "1"])
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    time.sleep(1)
    assert not (tmp_path / "survived").exists()


def test_a_child_knows_its_threads_before_it_imports(script):
    """And only its last line counts: compilers talk."""
    variables = ", ".join(f'\\"{name}\\": $%s' % name for name in child.THREADS)
    script(f'echo a compiler talks\necho "{{{variables}}}"')
    assert child.send(order(threads=7)) == dict.fromkeys(child.THREADS, 7)


# The first use, and the memory of long files


def test_start_up_and_memory(monkeypatch):
    """The first use takes 5 s with nothing compiled and 2 s after that; the second process of each pair finds it."""
    caches, numbers = [], {start.IDLE: 1e8, start.DONE: 3e8, start.IMPORT: 0.1}

    def number(code, *arguments, **changes):
        if "NUMBA_CACHE_DIR" not in changes:
            return numbers[code]
        caches.append(changes["NUMBA_CACHE_DIR"])
        return 5.0 if caches.count(caches[-1]) == 1 else 2.0

    monkeypatch.setattr(start, "_number", number)
    monkeypatch.setattr(start.audio, "writer", lambda *_: contextlib.nullcontext(SimpleNamespace(write=lambda x: None)))
    monkeypatch.setattr(start.sys, "platform", "linux")
    found = {r["what"]: (r["unit"], r["median"], r["met"]) for r in start.measure("mini_24khz", 2, lambda line: None)}
    assert found == {
        "import minicodec": ("s", 0.1, True),
        "first use: compiling, encode and decode": ("s", 3.0, None),
        "later uses: from nothing to the first encode and decode": ("s", 2.0, None),
        "first use: compiling, encode and decode and a training step": ("s", 3.0, True),
        "later uses: from nothing to the first encode and decode and a training step": ("s", 2.0, None),
        "memory, encode 10 minutes": ("bytes", 2e8, True),
        "memory, decode 10 minutes": ("bytes", 2e8, True),
    }
    assert set(start.LIMITS) < set(found)
    assert {start.record(what, "s", [limit])["met"] for what, limit in start.LIMITS.items()} == {False}


@pytest.mark.skipif(start.sys.platform != "linux", reason="other systems do not tell")
def test_what_processes_say_of_themselves(tmp_path):
    assert 0 < start._number(start.IMPORT) < 60
    model = tmp_path / "m.safetensors"
    minicodec.build("tiny_24khz", seed=0).save(model)
    assert 2**24 < start._number(start.IDLE, str(model)) < 2**30
    with pytest.raises(InputError, match=r"^bench: start: the process ended with 1: .*no_such_model"):
        start._number(start.IDLE, str(tmp_path / "no_such_model"))


# The whole command


@pytest.fixture
def commands(monkeypatch):
    """Commands that write a packet at once, and take as long as they are told; who was called, in turn."""
    called, layout = [], preset(command.PRESET).layout
    codes = {name: np.arange(750 * 8, dtype=np.int16).reshape(8, 750) % 1024 for name in ("minicodec", "encodec")}
    times = {"minicodec": iter([9.0, 1.0, 3.0, 2.0]), "encodec": iter([9.0, 4.0, 4.0, 4.0])}

    def ask(who, arguments, environment):
        if "weights" in arguments:
            return None
        name = who.rpartition(" ")[2]
        header = Header("encodec_24khz", 240_000, 8)
        Path(arguments[-1]).write_bytes(pack(header, [Chunk(codes[name])], layout))
        called.append((name, environment["OMP_NUM_THREADS"]))
        return {"time": next(times[name]), "processor": 5.0, "memory": 1e8}

    monkeypatch.setattr(command, "ask", ask)
    monkeypatch.setattr(command.sys, "platform", "linux")
    return SimpleNamespace(called=called, codes=codes)


def test_whole_commands_take_turns_and_the_first_run_does_not_count(commands):
    ours, theirs = command.measure(2, 3, True, lambda line: None)
    assert (ours["implementation"], ours["time"], ours["memory"], len(ours["rounds"])) == ("minicodec", 2.0, 1e8, 3)
    assert (theirs["implementation"], theirs["time"]) == ("encodec", 4.0)
    assert [name for name, _ in commands.called] == ["minicodec", "encodec", "encodec", "minicodec"] * 2
    assert {threads for _, threads in commands.called} == {"2"}


def test_a_package_that_writes_other_codes_is_refused(commands):
    commands.codes["encodec"] = commands.codes["encodec"][:, ::-1]
    with pytest.raises(InputError, match="minicodec and encodec wrote different codes"):
        list(command.measure(1, 1, True, lambda line: None))


@pytest.mark.skipif(start.sys.platform != "linux", reason="other systems do not tell")
def test_what_a_process_used_is_its_own(tmp_path):
    """Processor time, memory at its height, and that of the process that starts it is not in it."""
    mine = np.ones(2**26)  # half a GB
    busy = tmp_path / "busy.py"
    busy.write_text("x = b'x' * 2**26\nn = sum(range(2_000_000))", encoding="utf-8")
    used = child.ask("test", ["-c", command.METER, str(busy)], {})
    assert 2**26 < used["memory"] < mine.nbytes / 2
    assert 0 < used["processor"] < 60
    busy.write_text("raise SystemExit('no such file')", encoding="utf-8")
    with pytest.raises(InputError, match=r"^test: the process ended with 1: no such file$"):
        child.ask("test", ["-c", command.METER, str(busy)], {})


# Who computes something else


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"y, call 1": np.float32([1, 2, 3.0001])}, None),
        ({"y, call 1": np.float32([1, 2, 3.01])}, "differs from minicodec in y, call 1 by 2.7e-03"),
        ({"y, call 1": np.float32([1, 2, np.nan])}, "differs from minicodec in y, call 1 by nan"),
        ({"y, call 1": np.float32([[1, 2, 3]])}, r"gives y, call 1 as \(1, 3\), minicodec as \(3,\)"),
        ({"codes, call 1": np.arange(1000) + (np.arange(1000) < 10)}, None),
        ({"codes, call 1": np.arange(1000) + (np.arange(1000) < 11)}, "has only 98.9% of the codes"),
        ({"l1, call 1": np.array(1.005)}, "differs from minicodec in l1, call 1 by 5.0e-03"),
        ({"l1, call 2": np.array(1.005)}, None),
        ({"l1, call 2": np.array(1.02)}, "differs from minicodec in l1, call 2 by 2.0e-02"),
    ],
)
def test_results_are_compared(change, reason, tmp_path):
    expected = {"y, call 1": np.float32([1, 2, 3]), "codes, call 1": np.arange(1000)}
    expected |= {"l1, call 1": np.array(1.0), "l1, call 2": np.array(1.0)}
    np.savez(tmp_path / "ours.npz", **expected)
    np.savez(tmp_path / "theirs.npz", **(expected | change))
    paths = tmp_path / "ours.npz", tmp_path / "theirs.npz"
    case = Case("adversarial", 1, 4)
    if reason is None:
        run.compare(case, "torch", *paths)
    else:
        with pytest.raises(InputError, match=f"^adversarial step, 4 x 1 s: torch {reason}"):
            run.compare(case, "torch", *paths)


def test_only_training_may_differ_more_in_later_calls(tmp_path):
    np.savez(tmp_path / "ours.npz", **{"wav, call 2": np.ones(3)})
    np.savez(tmp_path / "theirs.npz", **{"wav, call 2": np.full(3, 1.005)})
    with pytest.raises(InputError, match="differs"):
        run.compare(Case("decoder_frame"), "torch", tmp_path / "ours.npz", tmp_path / "theirs.npz")


def test_a_peer_that_shows_nothing_has_not_shown_that_it_is_right(tmp_path):
    np.savez(tmp_path / "ours.npz", y=np.ones(3))
    np.savez(tmp_path / "theirs.npz")
    with pytest.raises(InputError, match="torch shows no results"):
        run.compare(Case("lstm", 1), "torch", tmp_path / "ours.npz", tmp_path / "theirs.npz")
