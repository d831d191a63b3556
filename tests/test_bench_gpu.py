"""`minicodec bench --device gpu`, on the stand-in for CuPy, and on a GPU where there is one.

What runs on the GPU computes what the CPU computes, and a time is read when the device has come to its end.
"""

import sys

import numpy as np
import pytest

from minicodec import cli
from minicodec.backend import OPS
from minicodec.bench import cases, child, machine, ours, run
from minicodec.bench.cases import Case
from minicodec.bench.child import Order
from minicodec.training.config import from_preset

PRESET = "tiny_24khz"
LIGHT = ["adversary.windows=[256,128]", "adversary.filters=4", "loss.mel_windows=[64]"]
# The adversarial step contains what `generator` does.
CASES = [Case("encoder", 0.1), Case("decoder", 0.1), Case("discriminator", 0.1, 2), Case("adversarial", 0.1)]


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """A light discriminator, since the stand-in is slow."""
    monkeypatch.setattr(cases, "from_preset", lambda name, data, settings: from_preset(name, data, [*settings, *LIGHT]))
    cases.run_config.cache_clear()
    yield
    cases.run_config.cache_clear()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_the_gpu_computes_the_same(case, gpu, tmp_path):
    for device in ("cpu", "gpu"):
        prepared = ours.prepare(case, PRESET, device)
        shown = prepared.show(prepared.run())
        np.savez(tmp_path / f"{device}.npz", **{f"{name}, call 1": array for name, array in shown.items()})
    run.compare(case, "gpu", tmp_path / "cpu.npz", tmp_path / "gpu.npz")


@pytest.mark.thorough
def test_a_training_step_does_not_wait_for_the_device(gpu, no_host_reads):
    prepared = ours.prepare(CASES[-1], PRESET, "gpu")
    prepared.run()
    with no_host_reads():
        prepared.run()


def test_kinds_on_a_gpu_are_tested():
    assert {case.kind for case in cases.cases(False, "gpu")} == {case.kind for case in CASES} | {"generator"}


def order(**changes):
    given = {"what": "minicodec", "threads": 1, "preset": PRESET, "quick": True, "seconds": 0, "least": 1}
    return Order(**(given | {"device": "gpu"} | changes))


def test_a_time_is_read_when_the_device_is_done(gpu, monkeypatch):
    """Before and after each call, it is waited for."""
    events = []
    monkeypatch.setattr(machine, "waiting", lambda device: lambda: events.append(device))
    prepared = cases.Prepared(lambda: events.append("run"), lambda _: {})
    monkeypatch.setattr(ours, "prepare", lambda case, preset, device: prepared)
    assert len(child.measure(order(case=("encoder", 0.1, 1, None), least=2))) == 2
    assert events == ["run", "gpu", *["gpu", "run", "gpu"] * 2]


def test_ceilings_of_the_gpu(gpu, monkeypatch):
    monkeypatch.setitem(machine.PEAK_SIZE, "gpu", 64)
    monkeypatch.setattr(machine, "BANDWIDTH_BYTES", 2**16)

    def timed(functions, seconds, wait):
        assert all(function().size for function in functions)  # not None: arrays
        return [[0.5, 1.0]]

    monkeypatch.setattr(machine, "timed", timed)
    assert child.measure(order(what="ceilings")) == {"sgemm": 2 * 64**3 / 0.5, "bandwidth": 2 * 2**16 / 0.5}


def test_operators_on_the_gpu(gpu):
    """Definition and CuPy pair, where there is one."""
    some = {"elu", "linear", "add"}
    results = child.measure(order(what="ops", ops=tuple(some)))
    found = {(r["op"], r["direction"], r["backend"]) for r in results}
    backends = {op: {"numpy"} | ({"cupy"} & set(OPS[op].pairs)) for op in some}
    assert found == {(op, way, name) for op in some for way in ("forward", "backward") for name in backends[op]}
    assert any("cupy" in names for names in backends.values())


def test_without_a_gpu_there_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert cli.main(["bench", "encoder", "--device", "gpu", "--quick"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("minicodec: device gpu: CuPy is not installed")
    assert err.count("\n") == 1
