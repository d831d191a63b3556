"""Layers and whole networks against the `encodec` package's own, with the same weights: values and gradients."""

import numpy as np
import pytest

from minicodec import build
from minicodec.codec.files.bitstream import Chunk
from minicodec.codec.foreign.convert import ENCODEC, take_over
from minicodec.nn.layers import LSTM, Conv1d, ConvTranspose1d
from minicodec.tensor import Tensor, grad

torch = pytest.importorskip("torch")
encodec = pytest.importorskip("encodec")
from encodec import modules as theirs  # noqa: E402
from encodec.model import EncodecModel  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")  # the peer's business

NORMS = [("weight_norm", True), ("none", True), ("weight_norm", False), ("time_group_norm", False)]
LENGTHS = [1, 2, 5, 16, 33, 320]


def load(layer, module):
    """Give our layer the weights of their module."""
    with torch.no_grad():
        for p in module.parameters():
            p += 0.1 * torch.randn_like(p)  # norms and their scales start at 1 and 0, which would hide mistakes
    take_over(layer, {k: v.detach().numpy() for k, v in module.state_dict().items()}, ENCODEC)


def compare(layer, module, B, T, Ci, tolerance=2e-5):
    x = torch.randn(B, Ci, T, requires_grad=True)
    y = module(x)
    dy = torch.randn_like(y)
    (dx,) = torch.autograd.grad(y, [x], dy)
    ours_x = Tensor(np.ascontiguousarray(x.detach().numpy().transpose(0, 2, 1)), requires_grad=True)
    ours_y = layer(ours_x)
    (ours_dx,) = grad(ours_y, [ours_x], np.ascontiguousarray(dy.numpy().transpose(0, 2, 1)))
    for got, expected in [(ours_y.data, y), (ours_dx, dx)]:
        expected = expected.detach().numpy().transpose(0, 2, 1)
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, atol=tolerance * np.abs(expected).max() + 1e-6)


@pytest.mark.parametrize("T", LENGTHS)
@pytest.mark.parametrize("mode", ["zero", "reflect"])
@pytest.mark.parametrize(
    ("K", "stride", "dilation"), [(7, 1, 1), (3, 1, 1), (1, 1, 1), (3, 1, 4), (4, 2, 1), (10, 5, 1)],
)
@pytest.mark.parametrize(("norm", "causal"), NORMS)
def test_conv1d(norm, causal, K, stride, dilation, mode, T, rng):
    """Padding, its extra frames on the right, and reflection of inputs shorter than the padding."""
    torch.manual_seed(T)
    module = theirs.SConv1d(
        3, 4, K, stride=stride, dilation=dilation, norm=norm, causal=causal,
        pad_mode="constant" if mode == "zero" else mode,
    )  # fmt: skip
    layer = Conv1d(3, 4, K, stride=stride, dilation=dilation, norm=norm, causal=causal, pad_mode=mode, rng=rng)
    load(layer, module)
    compare(layer, module, 2, T, 3)


@pytest.mark.parametrize("T", [1, 2, 7])
@pytest.mark.parametrize("stride", [2, 5])
@pytest.mark.parametrize(("norm", "causal"), NORMS)
def test_conv_transpose1d(norm, causal, stride, T, rng):
    torch.manual_seed(T)
    module = theirs.SConvTranspose1d(4, 3, 2 * stride, stride=stride, norm=norm, causal=causal)
    layer = ConvTranspose1d(4, 3, 2 * stride, stride=stride, norm=norm, causal=causal, rng=rng)
    load(layer, module)
    compare(layer, module, 2, T, 4)


@pytest.mark.parametrize("depth", [1, 2])
def test_lstm(depth, rng):
    torch.manual_seed(0)
    module = theirs.SLSTM(8, depth)
    layer = LSTM(8, depth, rng=rng)
    load(layer, module)
    compare(layer, module, 2, 11, 8)


OFFICIAL = {
    "encodec_24khz": EncodecModel.encodec_model_24khz,
    "encodec_48khz": EncodecModel.encodec_model_48khz,
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_whole_networks(name):
    """Encoder and decoder of the published models, every key of their state dict used, and the codes."""
    torch.manual_seed(0)
    official = OFFICIAL[name](pretrained=False).eval()
    codec = build(name)
    official_state = {k: v.detach().numpy() for k, v in official.state_dict().items()}
    take_over(codec, official_state, ENCODEC)
    compare(codec.encoder, official.encoder, 1, 6400, codec.channels, tolerance=1e-4)
    compare(codec.decoder, official.decoder, 1, 20, 128, tolerance=1e-4)


@pytest.mark.parametrize("name", OFFICIAL)
def test_parameter_counts(name):
    """Theirs, and the figures of the paper's sizes: 7.43 M in each network."""
    official, codec = OFFICIAL[name](pretrained=False), build(name)
    for ours, other in [(codec.encoder, official.encoder), (codec.decoder, official.decoder)]:
        extra_biases = sum(p.numel() for n, p in other.named_parameters() if "bias_hh" in n)
        count = sum(p.data.size for p in ours.parameters())
        assert count == sum(p.numel() for p in other.parameters()) - extra_biases
        assert round(count / 1e6, 2) == 7.42


def test_overlap_add_and_scales_of_the_48khz_model(rng):
    """2.3 s of stereo: three chunks, each with its own scale, one short; decoded by overlap-add."""
    torch.manual_seed(0)
    official = OFFICIAL["encodec_48khz"](pretrained=False).eval()
    official.set_target_bandwidth(6.0)
    codec = build("encodec_48khz")
    take_over(codec, {k: v.detach().numpy() for k, v in official.state_dict().items()}, ENCODEC)
    codec.quantizer.codebooks[:] = rng.normal(size=codec.quantizer.codebooks.shape)
    with torch.no_grad():
        for level, layer in enumerate(official.quantizer.vq.layers):
            layer._codebook.embed[:] = torch.from_numpy(codec.quantizer.codebooks[level])
    wav = (0.1 * rng.normal(size=(2, 110_400))).astype(np.float32)
    with torch.no_grad():
        frames = official.encode(torch.from_numpy(wav)[None])
        expected = official.decode(frames)[0].numpy()
    chunks = codec.encode(wav, 6)
    assert len(chunks) == len(frames) == 3
    for chunk, (codes, scale) in zip(chunks, frames, strict=True):
        np.testing.assert_allclose(chunk.scale, scale.item(), rtol=1e-5)
        assert (chunk.codes == codes[0].numpy()).mean() > 0.999
    same = [Chunk(codes[0].numpy().astype(np.int16), scale.item()) for codes, scale in frames]
    ours = codec.decode(same)
    np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())
