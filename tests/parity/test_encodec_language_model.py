"""The language model against the `encodec` package: probabilities, gradients, positions."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("encodec")

from encodec.model import LMModel  # noqa: E402
from encodec.modules.transformer import create_sin_embedding  # noqa: E402

import minicodec  # noqa: E402
from minicodec import functional as F  # noqa: E402
from minicodec.codec.foreign.convert import LANGUAGE_MODEL, sources  # noqa: E402
from minicodec.codec.language_model import positions  # noqa: E402
from minicodec.errors import InputError  # noqa: E402
from minicodec.tensor import grad  # noqa: E402
from tests.parity.test_encodec_bitstream import LAYOUTS  # noqa: E402

FRAME_RATES = {"encodec_24khz": 75, "encodec_48khz": 150}


class Codes:
    """A codec, as far as finding its language model goes."""

    def __init__(self, name):
        self.config = minicodec.codec.config.preset(name)
        self.frame_rate = self.config.frame_rate
        self.name = name


@pytest.fixture(scope="module", params=FRAME_RATES)
def pair(request, tmp_path_factory):
    """The package's model with livelier weights (its probabilities would be nearly uniform), ours from its file."""
    name = request.param
    torch.manual_seed(0)
    layout = LAYOUTS[name]
    theirs = LMModel(layout.codebooks, 1024, num_layers=5, dim=200, past_context=int(3.5 * FRAME_RATES[name])).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p += 0.1 * torch.randn_like(p)
    path = tmp_path_factory.mktemp("lm") / "encodec_lm.th"
    torch.save(theirs.state_dict(), path)
    return name, minicodec.load_language_model(path, Codes(name)), theirs, path


def numbers(Q, T, seed=0):
    """Random codes (1,Q,T), plus one; the first frame is the start."""
    codes = np.random.default_rng(seed).integers(1, 1025, (1, Q, T))
    codes[:, :, 0] = 0
    return codes


@pytest.mark.parametrize("Q", [2, 8])
def test_probabilities_all_at_once(pair, Q):
    """Further than attention reaches back."""
    name, ours, theirs, _ = pair
    codes = numbers(Q, int(4 * FRAME_RATES[name]))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(codes))[0].permute(0, 3, 2, 1).numpy()
    p, _ = ours.probabilities(codes, ours.start(1))
    assert expected.max() > 0.05
    assert abs(p - expected).max() < 1e-5
    np.testing.assert_allclose(p, expected, rtol=1e-3)


def test_probabilities_step_by_step(pair):
    """The same, a frame at a time, past the point where the first frames are forgotten."""
    name, ours, theirs, _ = pair
    first = int(3.5 * FRAME_RATES[name]) - 8
    codes = numbers(4, first + 16)
    with torch.no_grad():
        _, states, offset = theirs(torch.from_numpy(codes[:, :, :first]))
    _, past = ours.probabilities(codes[:, :, :first], ours.start(1))
    for t in range(first, first + 16):
        with torch.no_grad():
            expected, states, offset = theirs(torch.from_numpy(codes[:, :, t : t + 1]), states, offset)
        p, past = ours.probabilities(codes[:, :, t : t + 1], past)
        assert abs(p - expected.permute(0, 3, 2, 1).numpy()).max() < 1e-5, t


def test_gradients_of_the_cross_entropy(pair):
    """Of all weights, as train-lm has them: through heads, layers, attention, norms and embeddings."""
    _, ours, theirs, _ = pair
    codes, targets = numbers(4, 40), np.random.default_rng(1).integers(0, 1024, (1, 4, 40))
    p = theirs(torch.from_numpy(codes))[0]  # (B,N,Q,T)
    expected = -torch.log(p.gather(1, torch.from_numpy(targets)[:, None])).mean()
    expected.backward()
    logits, _ = ours(codes, ours.start(1))
    loss = F.cross_entropy(logits, targets.transpose(0, 2, 1)).mean()
    assert float(loss) == pytest.approx(expected.item(), rel=1e-5)
    parameters = dict(ours.named_parameters())
    gradients = dict(zip(parameters, grad(loss, list(parameters.values())), strict=True))
    their_gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, source in sources(ours, LANGUAGE_MODEL):
        if all(their_gradients[n] is None for n in source.names):  # a codebook that takes no part
            assert not gradients[name].any()
            continue
        g = source.combine(*(their_gradients[n].numpy() for n in source.names))
        assert abs(gradients[name] - g).max() < 2e-5 * abs(g).max(), name


def test_positions():
    """PyTorch's powers of 10 000 err by a last digit here and there; a phase of 1000 makes 1000 times that of it."""
    t = torch.arange(1001).view(1, -1, 1)
    error = abs(positions(0, 1001, 200) - create_sin_embedding(t, 200)[0].numpy()).max(axis=1)
    assert (error <= 2e-7 + np.arange(1001) * np.finfo(np.float32).eps).all()


def test_the_wrong_language_model(pair):
    name, _, _, path = pair
    other = Codes(next(n for n in FRAME_RATES if n != name))
    with pytest.raises(InputError, match=rf"holds no language model for {other.name}: (missing|surplus) "):
        minicodec.load_language_model(path, other)
    with pytest.raises(InputError, match="is a language model"):
        minicodec.load(path)
