"""The whole codec against the `encodec` package: the same weights, through a .th file; the same audio.

A latent differs in its last digits, because sums are taken in another order. Now and then it lies so close to the
border between two codewords that this decides. Then the codes differ, at that level and in what follows from it. So
codes are compared up to the first difference in a frame, and there the two codewords must be equally near, as far as
float32 can tell; and this may happen once in 10 000 codes.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("encodec")

import minicodec  # noqa: E402
from minicodec import functional as F  # noqa: E402
from minicodec.codec.files.bitstream import Chunk  # noqa: E402
from minicodec.tensor import Tensor, no_grad  # noqa: E402
from tests.parity.official import NAMES, clip, official  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")  # the peer's business

LENGTHS = ["1", "319", "320", "321", "1 s - 1", "1 s", "1 s + 1"]


def samples(length, rate):
    """"1 s - 1" -> rate - 1."""
    seconds, _, rest = length.rpartition("s")
    return int(seconds or 0) * rate + int(rest.replace(" ", "") or 0)


@pytest.fixture(scope="module", params=NAMES)
def pair(request, tmp_path_factory):
    """The package's model, and ours loaded from the file that PyTorch makes of it."""
    theirs = official(request.param)
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.th"
    torch.save(theirs.state_dict(), path)
    ours = minicodec.load(path)
    path.unlink()
    assert ours.config.name == request.param
    return ours, theirs


def run(layer, module, x):
    """Ours and theirs on x (1,T,C): two arrays (T,C)."""
    with no_grad(), torch.no_grad():
        y = module(torch.from_numpy(x.transpose(0, 2, 1).copy())).numpy()[0].T
        return layer(Tensor(x)).data[0], y


def relative_error(got, expected):
    return np.abs(got - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("network", ["encoder", "decoder"])
def test_layer_by_layer(pair, network):
    """Each layer on the input that it has in their network, so that a failure names the layer."""
    ours, theirs = pair
    x = clip(theirs, "music_song_44k_stereo", 9600).T[None].copy()
    if network == "decoder":
        x = run(ours.encoder, theirs.encoder, x)[1][None].copy()
    layers = getattr(ours, network).layers
    modules = list(getattr(theirs, network).model)
    assert len(layers) == len(modules)
    for number, (layer, module) in enumerate(zip(layers, modules, strict=True)):
        got, expected = run(layer, module, x)
        assert got.shape == expected.shape
        error = relative_error(got, expected)
        assert error < 5e-6, f"{network}.layers.{number}, {type(layer).__name__}: {error}"
        x = expected[None].copy()


def first_differences(codes, expected):
    """(level, frame) of the first level at which the codes (Q,T) of a frame differ."""
    return [(int((codes[:, t] != expected[:, t]).argmax()), t) for t in np.flatnonzero((codes != expected).any(axis=0))]


def check_codes(codes, expected, z, expected_z, codebooks):
    """The number of differences between codes (Q,T), each found to be too close a call for float32.

    z and expected_z (T,D) are the latents they were made of. A distance ‖r - e‖² errs by float32's rounding of its
    terms, and by what the latents themselves differ.
    """
    differences = first_differences(codes, expected)
    for q, t in differences:
        r = expected_z[t].astype(np.float64) - sum(codebooks[i, expected[i, t]].astype(np.float64) for i in range(q))
        a, b = (codebooks[q, c[q, t]].astype(np.float64) for c in (codes, expected))
        margin = abs(((r - a) ** 2).sum() - ((r - b) ** 2).sum())
        rounding = 8 * np.finfo(np.float32).eps * ((r**2).sum() + (a**2).sum() + (b**2).sum())
        moved = 2 * np.linalg.norm(z[t].astype(np.float64) - expected_z[t]) * np.linalg.norm(a - b)
        assert margin < rounding + moved, f"frame {t}, level {q}: {margin} is no tie"
    return len(differences)


def compare(ours, theirs, wav):
    """Latents, scales, codes and audio of both; how many codes there were, and how many of them differ."""
    theirs.set_target_bandwidth(theirs.target_bandwidths[-1])
    latents = []
    hook = theirs.encoder.register_forward_hook(lambda encoder, x, z: latents.append(z[0].numpy().T))
    with torch.no_grad():
        frames = theirs.encode(torch.from_numpy(wav)[None])
        decoded = theirs.decode(frames)[0].numpy()
    hook.remove()
    chunks = ours.encode(wav)
    assert len(chunks) == len(frames)
    count = differences = 0
    for i, (chunk, (codes, scale)) in enumerate(zip(chunks, frames, strict=True)):
        if scale is None:
            x = wav
            assert chunk.scale is None
        else:
            start = i * theirs.segment_stride
            x = wav[:, start : start + theirs.segment_length] / np.float32(scale.item())
            np.testing.assert_allclose(chunk.scale, scale.item(), rtol=1e-6)
        with no_grad():
            z, expected_z = ours.encoder(Tensor(x.T[None].copy())).data[0], latents[i]
        assert relative_error(z, expected_z) < 1e-5
        count += chunk.codes.size
        differences += check_codes(chunk.codes, codes[0].numpy(), z, expected_z, ours.quantizer.codebooks)
    same = [Chunk(codes[0].numpy().astype(np.int16), None if s is None else s.item()) for codes, s in frames]
    got = ours.decode(same)
    assert got.shape == decoded.shape
    assert relative_error(got, decoded) < 2e-5
    return count, differences


@pytest.mark.parametrize("length", LENGTHS)
def test_odd_lengths(pair, length):
    """No tie occurs in these: the codes are identical."""
    ours, theirs = pair
    wav = clip(theirs, "speech_en_1", samples(length, theirs.sample_rate))
    _, differences = compare(ours, theirs, wav)
    assert differences == 0


def test_ten_seconds(pair):
    """10.007 s of music, in stereo where there are two channels."""
    ours, theirs = pair
    clips = [clip(theirs, name, round(10.007 * theirs.sample_rate))[:1] for name in ("music_strings", "music_bells")]
    wav = np.concatenate(clips)[: theirs.channels]
    count, differences = compare(ours, theirs, wav)
    assert differences <= count / 10_000


def test_every_entry_of_every_codebook(pair, rng):
    """Seconds of audio do not reach them all; vectors close to each of them do."""
    ours, theirs = pair
    for codebook, layer in zip(ours.quantizer.codebooks, theirs.quantizer.vq.layers, strict=True):
        x = (codebook * (1 + 0.01 * rng.normal(size=codebook.shape))).astype(np.float32)
        codes = F.nearest_codeword(x, codebook)
        assert len(np.unique(codes)) == len(codebook)
        np.testing.assert_array_equal(codes, layer.encode(torch.from_numpy(x.T[None].copy()))[0].numpy())


def test_every_bandwidth(pair):
    """As many codebooks as the package uses, and their first ones."""
    ours, theirs = pair
    assert list(ours.bandwidths) == list(theirs.target_bandwidths)
    wav = clip(theirs, "drums_1", 4000)
    for kbps in ours.bandwidths:
        theirs.set_target_bandwidth(kbps)
        with torch.no_grad():
            ((codes, _),) = theirs.encode(torch.from_numpy(wav)[None])
        (chunk,) = ours.encode(wav, kbps)
        np.testing.assert_array_equal(chunk.codes, codes[0].numpy())
