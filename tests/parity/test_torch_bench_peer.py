"""The rival that `minicodec bench --peer torch` runs against computes what minicodec computes, in every case.

The benchmark itself refuses a rival that does not, on the sizes it measures; here on small ones, and the refusal too.
"""

import numpy as np
import pytest
import torch

import minicodec
from minicodec import audio
from minicodec.bench import cases, command, ours, run
from minicodec.bench.cases import Case
from minicodec.bench.torch_peer import cases as peer, engines, networks, training
from minicodec.errors import InputError
from minicodec.training.config import from_preset

PRESET = "mini_24khz"
# A frame is 1/75 s.
CASES = {kind: Case(kind, 0.1, 2) for kind in ("lstm_step", "generator", "discriminator", "adversarial")}
CASES |= {kind: Case(kind, 0.2) for kind in ("encoder", "decoder", "lstm")}
CASES |= {kind: Case(kind) for kind in ("encoder_frame", "decoder_frame")}


def test_every_case_that_the_peer_has_is_compared():
    assert set(CASES) == set(peer.PREPARE) == set(cases.TITLES) - set(cases.ALONE)


def results(prepared, kind):
    """As the child gathers them."""
    shown = [prepared.show(prepared.run()) for _ in range(cases.COMPARED.get(kind, 1))]
    return {f"{name}, call {n}": array for n, result in enumerate(shown, 1) for name, array in result.items()}


def compare(kind, folder):
    """What the benchmark does with the results of both."""
    case = CASES[kind]
    mine, theirs = ours.prepare(case, PRESET), peer.prepare(case, PRESET, threads=1)
    expected, found = results(mine, kind), results(theirs, kind)
    np.savez(folder / "ours.npz", **expected)
    np.savez(folder / "torch.npz", **found)
    run.compare(case, "torch", folder / "ours.npz", folder / "torch.npz")
    return expected, found


@pytest.mark.parametrize("kind", CASES)
def test_peer_equals_ours(kind, tmp_path):
    expected, found = compare(kind, tmp_path)
    # The peer shows all that there is, but for how often the discriminator is right, the balancer's shares, the plain
    # sum of l1 and mel, and the learning rate.
    mine = {name for name in expected if not name.startswith(("accuracy", "share", "loss", "lr"))}
    assert mine == set(found)
    for name in mine:
        # A hinge that is active everywhere pulls at the last bias as often up as down: its gradient is 0.
        if expected[name].dtype.kind != "i" and "conv_post.bias" not in name:
            assert np.linalg.norm(expected[name]) > 0, f"{name}: zeros are always equal"


@pytest.mark.parametrize("engine", engines.ENGINES)
@pytest.mark.parametrize("kind", cases.EXPORTED)
def test_engines_equal_ours(kind, engine, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip(engine)
    case = CASES[kind]
    mine, theirs = ours.prepare(case, PRESET), engines.prepare(case, PRESET, engine, threads=1)
    expected, found = results(mine, kind), results(theirs, kind)
    assert set(expected) == set(found)
    np.savez(tmp_path / "ours.npz", **expected)
    np.savez(tmp_path / "theirs.npz", **found)
    run.compare(case, engine, tmp_path / "ours.npz", tmp_path / "theirs.npz")
    for name, a in found.items():  # what it shows depends on what it is given
        assert len(np.unique(a)) > 10, name


def test_codes_are_not_all_the_same(tmp_path):
    """Otherwise equal codes would say nothing."""
    codes, _ = compare("encoder", tmp_path)
    assert all(len(np.unique(level)) > 10 for level in codes["codes, call 1"])


def spoilt(network):
    """One bias of the encoder or the decoder is wrong, by a hundredth of a signal's power."""
    theirs = networks.rival(network)
    if isinstance(theirs, networks.Chain):
        with torch.no_grad():
            theirs.layers[0].bias += 0.01
    return theirs


@pytest.mark.parametrize(
    ("kind", "where", "name", "value"),
    [
        ("encoder", peer, "rival", spoilt),
        ("encoder_frame", peer, "rival", spoilt),
        ("decoder", peer, "rival", spoilt),
        ("generator", peer, "rival", spoilt),
        ("discriminator", networks, "SLOPE", 0.21),
        ("adversarial", training, "MEL_FLOOR", 2e-5),
    ],
)
def test_a_peer_that_computes_something_else_is_refused(kind, where, name, value, tmp_path, monkeypatch):
    monkeypatch.setattr(where, name, value)
    with pytest.raises(InputError, match=r": torch (differs from minicodec in|has only)"):
        compare(kind, tmp_path)


def test_a_wrong_update_is_refused(tmp_path, monkeypatch):
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda weights, lr, **options: adam(weights, 1.01 * lr, **options))
    with pytest.raises(InputError, match=r"differs from minicodec in update, call 1 by 1\.0e-02"):
        compare("discriminator", tmp_path)


def test_pytorch_keeps_everything_on_its_device(monkeypatch):
    """PyTorch's device "meta" computes nothing, but refuses arrays of the CPU as a GPU does."""
    light = ["adversary.windows=[256,128]", "adversary.filters=4", "loss.mel_windows=[64]"]
    monkeypatch.setattr(cases, "from_preset", lambda name, data, settings: from_preset(name, data, [*settings, *light]))
    cases.run_config.cache_clear()
    adam = torch.optim.Adam
    # Two things that "meta" does not have.
    monkeypatch.setattr(torch.optim, "Adam", lambda *args, **options: adam(*args, **(options | {"fused": False})))
    monkeypatch.setattr(torch, "bincount", lambda codes, minlength: torch.zeros(minlength, device=codes.device))
    try:
        for case in (Case("encoder", 0.1), Case("decoder", 0.1), Case("adversarial", 0.1)):
            peer.prepare(case, "tiny_24khz", 1, device="meta").run()
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        monkeypatch.setattr(peer, "tensor", lambda array: torch.from_numpy(array.copy()).to("cpu"))
        with pytest.raises(RuntimeError, match="device"):
            peer.prepare(Case("encoder", 0.1), "tiny_24khz", 1, device="meta").run()
    finally:
        torch.set_default_device("cpu")
        cases.run_config.cache_clear()


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")  # the peer's business
def test_the_released_package_s_command_writes_the_codes_of_ours(tmp_path):
    """On the random weights that the benchmark gives both; and the codes depend on the sound."""
    released = pytest.importorskip("minicodec.bench.torch_peer.released")
    recording, packet, model = (str(tmp_path / name) for name in ("a.wav", "a.ecdc", "weights.th"))
    with audio.writer(recording, 1, 24000) as file:
        file.write(cases.normal((1, 12000)) * np.float32(0.1))
    released.weights(model)
    released.encode(model, "6", recording, packet)
    codec = minicodec.load(model)
    theirs = (tmp_path / "a.ecdc").read_bytes()
    ours = codec.compress(audio.read(recording)[0], kbps=6)
    command.compare(ours, theirs)
    codes = codec.encode(audio.read(recording)[0], kbps=6)[0].codes
    assert all(len(np.unique(level)) > 10 for level in codes)
    with pytest.raises(InputError, match="different codes"):
        command.compare(codec.compress(-audio.read(recording)[0], kbps=6), theirs)
