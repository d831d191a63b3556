"""`minicodec bench --device gpu`, on the stand-in for CuPy, and on a GPU where there is one; PyTorch's side on "meta".

What runs on the GPU computes what the CPU computes, and nothing that is timed waits for the device.
"""

import sys

import numpy as np
import pytest

from minicodec import cli
from minicodec.backend import OPS
from minicodec.device import host
from minicodec.evaluation.bench import (
    cases,
    child,
    compare as comparison,
    machine,
    ours,
    place as places,
    report as reports,
    run,
)
from minicodec.evaluation.bench.cases import Case
from minicodec.evaluation.bench.child import Order
from minicodec.training.config import from_preset

PRESET = "tiny_24khz"
LIGHT = ["adversary.windows=[256,128]", "adversary.filters=4", "loss.mel_windows=[64]"]
# The adversarial step contains what the others of BATCHED do.
CASES = [*(Case(kind, 0.1, 2) for kind in ("lstm_step", "encode_batch", "decode_batch")), Case("adversarial", 0.1)]
CASES.append(Case("adam"))


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """A light discriminator, since the stand-in is slow."""
    monkeypatch.setattr(cases, "from_preset", lambda name, data, settings: from_preset(name, data, [*settings, *LIGHT]))
    cases.run_config.cache_clear()
    yield
    cases.run_config.cache_clear()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_the_gpu_computes_the_same(case, gpu, no_host_reads, tmp_path):
    expected = ours.prepare(case, PRESET).result()
    prepared = ours.prepare(case, PRESET, places.place("gpu"))
    found = prepared.result()
    figures = case.kind in ("discriminator", "adversarial")  # which are numbers
    assert figures or all(isinstance(value, gpu.ndarray) for value in found.values())
    np.savez(tmp_path / "cpu.npz", **expected)
    np.savez(tmp_path / "gpu.npz", **{name: host(value) for name, value in found.items()})
    comparison.compare(case, "gpu", tmp_path / "cpu.npz", tmp_path / "gpu.npz")
    with no_host_reads():
        prepared.run()


def test_what_is_not_for_a_gpu(gpu):
    with pytest.raises(ValueError, match="range coder, there and back, 10000 codes: not on a GPU"):
        ours.prepare(Case("range_coder"), PRESET, places.place("gpu"))
    kinds = {case.kind for quick in (True, False) for case in cases.cases(quick, "gpu")}
    assert kinds == set(ours.ON_GPU)


def order(**changes):
    given = {"what": "minicodec", "threads": 1, "preset": PRESET, "quick": True, "seconds": 0, "least": 1}
    return Order(**(given | {"device": "gpu"} | changes))


def test_a_child_on_the_gpu(gpu, tmp_path):
    case = Case("encode_batch", 0.1, 2)
    for name in ("minicodec", "minicodec.tf32"):
        (tmp_path / name).mkdir()
        given = order(what=name, names=((case.kind, case.seconds, case.batch),), results=str(tmp_path / name))
        (answer,) = child.measure(given)
        assert answer["case"] == str(case)
        assert len(answer["times"]) == 1
        assert 0 < answer["times"][0] < 60
        # At least the samples, once for each channel of the first layer.
        assert answer["memory"] > 2 * 2400 * 16 * 4
    comparison.compare(case, "minicodec.tf32", *(tmp_path / n / case.file for n in ("minicodec", "minicodec.tf32")))


def test_ceilings_of_the_gpu(gpu, monkeypatch):
    monkeypatch.setattr(places, "PEAK_SIZE", 64)
    monkeypatch.setattr(machine, "BANDWIDTH_BYTES", 2**16)
    clock = [0.5]
    monkeypatch.setattr(gpu.cuda, "get_elapsed_time", lambda start, end: 1000 * clock[0])  # milliseconds
    (answer,) = child.measure(order(what="ceilings"))
    assert answer == {"sgemm": 2 * 64**3 / 0.5, "bandwidth": 2 * 2 * 2**16 / 0.5}


def test_operators_on_the_gpu(gpu):
    """Definition and CuPy pair, where there is one; every operator of the table can be measured."""
    some = {"elu", "linear", "add"}
    answers = list(child.measure(order(what="ops", names=tuple(some))))
    results = [r for answer in answers for r in answer["results"]]
    found = {(r["op"], r["direction"], r["backend"]) for r in results}
    backends = {op: {"numpy"} | ({"cupy"} & set(OPS[op].pairs)) for op in some}
    assert found == {(op, way, name) for op in some for way in ("forward", "backward") for name in backends[op]}
    assert any("cupy" in names for names in backends.values())


def test_rivals_on_a_gpu(monkeypatch):
    """TF32 is compared with TF32, and may differ more from float32 than float32 does."""
    settings = run.Settings(PRESET, True, (2,), 1, "torch", False, (), (Case("adversarial", 1, 64),), device="gpu")
    assert settings.implementations() == ("minicodec", "minicodec.tf32", "torch", "torch.tf32")
    seconds = {"minicodec": 0.5, "minicodec.tf32": 0.25, "torch": 1.0, "torch.tf32": 0.125}

    def send(order, limit=None):
        assert order.device == "gpu"
        if order.what == "ceilings":
            yield {"sgemm": 1e12, "bandwidth": 1e12}
            return
        (name,) = order.names
        y = np.ones(3) * (1.01 if order.what.endswith("tf32") else 1)
        np.savez(f"{order.results}/{Case(*name).file}", y=y)
        yield {"case": str(Case(*name)), "times": [seconds[order.what]], "memory": 1}

    monkeypatch.setattr(run, "send", send)
    report = run.run(settings, lambda line: None)
    ratios = {r["against"]: (r["ratio"], r["met"]) for r in report["ratios"]}
    assert ratios == {"torch": (2.0, True), "torch.tf32": (0.5, None)}
    headings, rows = reports.case_rows(report)
    row = dict(zip(headings, rows[0], strict=True))
    assert (row["ms"], row["minicodec.tf32, ms"], row["x torch.tf32"]) == ("500 ± 0", "250 ± 0", "0.50 SLOWER")
    text = reports.markdown(report)
    assert "| adversarial step, 64 x 1 s | 2.00 | ≥ 1 x | met |" in text
    assert "| adversarial step, 64 x 1 s: the slowest | 0.5 s | ≤ 0.6 s | met |" in text


def test_pytorch_keeps_everything_on_its_device(monkeypatch):
    """PyTorch's device "meta" computes nothing, but refuses arrays of the CPU as a GPU does."""
    torch = pytest.importorskip("torch")
    from minicodec.evaluation.bench.torch_peer import cases as peer

    adam = torch.optim.Adam
    # Two things that "meta" does not have.
    monkeypatch.setattr(torch.optim, "Adam", lambda *args, **options: adam(*args, **(options | {"fused": False})))
    monkeypatch.setattr(torch, "bincount", lambda codes, minlength: torch.zeros(minlength, device=codes.device))
    try:
        for case in CASES[1:4]:
            prepared = peer.prepare(case, PRESET, 1, "torch.tf32", "meta")
            assert torch.backends.cudnn.allow_tf32
            prepared.run()
        peer.prepare(Case("adam"), PRESET, 1, "torch", "meta")
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        monkeypatch.setattr(peer, "tensor", lambda array: torch.from_numpy(array).to("cpu"))
        with pytest.raises(RuntimeError, match="device"):
            peer.prepare(CASES[1], PRESET, 1, "torch", "meta").run()
    finally:
        torch.set_default_device("cpu")


def test_without_a_gpu_there_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert cli.main(["bench", "adam", "--device", "gpu", "--quick"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("minicodec: device gpu: CuPy is not installed")
    assert err.count("\n") == 1

