"""The rival that `minicodec bench --peer torch` runs against computes what minicodec computes, in every case.

The benchmark itself refuses a rival that does not, on the sizes it measures; here on small ones, and the refusal too.
"""

import numpy as np
import pytest

from minicodec.errors import InputError
from minicodec.evaluation.bench import cases, compare as comparison, ours
from minicodec.evaluation.bench.cases import Case

torch = pytest.importorskip("torch")
from minicodec.evaluation.bench.torch_peer import cases as peer, networks, training  # noqa: E402

PRESET = "mini_24khz"
# A frame is 1/75 s.
CASES = {kind: Case(kind, 0.2) for kind in cases.PEERED}
CASES |= {kind: Case(kind) for kind in ("encoder_frame", "decoder_frame", "adam")}
CASES |= {kind: Case(kind, 0.1, 2) for kind in cases.BATCHED}


def compare(case, folder):
    """What the benchmark does with the results of both."""
    prepared = {"ours": ours.prepare(case, PRESET), "torch": peer.prepare(case, PRESET, threads=1)}
    results = {name: p.result() for name, p in prepared.items()}
    for name, result in results.items():
        np.savez(folder / f"{name}.npz", **result)
    comparison.compare(case, "torch", folder / "ours.npz", folder / "torch.npz")
    return results["ours"], results["torch"]


@pytest.mark.parametrize("kind", cases.PEERED)
def test_peer_equals_ours(kind, tmp_path):
    expected, found = compare(CASES[kind], tmp_path)
    # The peer shows all that there is, but for the balancer's shares and the plain sum of l1 and mel.
    assert {name for name in expected if "share" not in name and not name.endswith(" loss")} == set(found)
    for name, array in expected.items():
        if array.dtype.kind != "i" and "accuracy" not in name:
            assert np.linalg.norm(array) > 0, f"{name}: zeros are always equal"


def test_codes_are_not_all_the_same(tmp_path):
    """Otherwise equal codes would say nothing."""
    codes, _ = compare(CASES["encoder"], tmp_path)
    assert all(len(np.unique(level)) > 10 for level in codes["codes"])


def spoilt_networks(codec):
    """One bias of each network is wrong, by a hundredth of a signal's power."""
    encoder, decoder = training.networks(codec)
    with torch.no_grad():
        for network in (encoder, decoder):
            network.layers[0].bias += 0.01
    return encoder, decoder


@pytest.mark.parametrize(
    ("kind", "where", "name", "value"),
    [
        ("encoder", peer, "networks", spoilt_networks),
        ("encoder_frame", peer, "networks", spoilt_networks),
        ("decoder", peer, "networks", spoilt_networks),
        ("generator", peer, "networks", spoilt_networks),
        ("discriminator", networks, "SLOPE", 0.21),
        ("adversarial", training, "MEL_FLOOR", 2e-5),
    ],
)
def test_a_peer_that_computes_something_else_is_refused(kind, where, name, value, tmp_path, monkeypatch):
    monkeypatch.setattr(where, name, value)
    with pytest.raises(InputError, match=r": torch (differs from minicodec in|has only)"):
        compare(CASES[kind], tmp_path)


def test_adam_is_refused_with_another_rate(tmp_path, monkeypatch):
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda *args, **options: adam(*args, **(options | {"betas": (0.9, 0.9)})))
    with pytest.raises(InputError, match="differs"):
        compare(CASES["adam"], tmp_path)
