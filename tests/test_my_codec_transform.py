"""The readers' codec that begins as a transform codec (course/my_codec/transform.py), against the library's."""

import copy

import numpy as np
import pytest

import minicodec
from minicodec.backend import use
from minicodec.codec.config import from_dict
from minicodec.codec.model import Codec as Library
from minicodec.course.my_codec import bits, stream, train, weights
from minicodec.course.my_codec.quantizer import nearest_codeword_forward
from minicodec.course.my_codec.tensor import Tensor as Mine, gradients, parameters
from minicodec.course.my_codec.transform import start
from minicodec.metrics import mel_distance, si_sdr
from minicodec.tensor import Tensor, grad
from minicodec.training.initial import initialise_codec
from minicodec.training.transform_start import start_transform

CONFIG = {
    "name": "little_8khz", "sample_rate": 8_000, "channels": 1, "bandwidths": [0.6, 1.2, 2.4],
    "transform": {"hop": 80, "latent": 16, "power": 0.75, "smoothing": 0.2, "encoder": [1], "decoder": [1, 2]},
    "quantizer": {"levels": 4, "entries": 64},
}  # fmt: skip


@pytest.fixture(autouse=True)
def definitions():
    with use("numpy"):
        yield


def sound(seconds, seed=0):
    """(T) at 8 kHz: notes, each of four partials, that begin and fade."""
    rng, t = np.random.default_rng(seed), np.arange(int(seconds * 8_000)) / 8_000
    wav = 0.002 * rng.normal(size=len(t))
    for begin in np.arange(0, seconds, 0.1):
        tone, since = 110 * 2 ** (rng.integers(24) / 12), np.maximum(t - begin, 0)
        partials = sum(np.sin(2 * np.pi * n * tone * since) / n for n in range(1, 5))
        wav += 0.05 * partials * np.exp(-10 * since) * (t >= begin)
    return wav.astype(np.float32)


@pytest.fixture(params=[{}, {"noise_from": 30}], ids=["", "noise"])
def both(request):
    """The library's codec and one of the readers', with the same random weights."""
    config = CONFIG | {"transform": CONFIG["transform"] | request.param}
    library = Library(from_dict(config, "little"), seed=3)
    initialise_codec(library)
    mine = weights.build(config, np.random.default_rng(0))
    weights._fill(mine, {name: a.copy() for name, a in library.state_dict().items()})
    fixed = {"encoder.layers.0.weight", "encoder.layers.0.bias"}
    fixed |= {f"decoder.layers.{len(mine.decoder.layers) - 1}.{name}" for name in ("weight", "bias")}
    for path, w in parameters(mine).items():
        w.requires_grad = path not in fixed
    return library, mine


def test_networks_and_their_gradients(both):
    library, mine = both
    x, dy = sound(1.01)[None, :, None], np.random.default_rng(1).normal(size=(1, 8_080, 1)).astype(np.float32)
    x = np.concatenate([x, x[:, ::-1]])
    dy = np.concatenate([dy, -2 * dy])
    latent, expected = mine.encoder(Mine(x)), library.encoder(Tensor(x))
    assert latent.data.shape == (2, 101, 16)
    np.testing.assert_allclose(latent.data, expected.data, atol=1e-5)
    theirs, ours = library.decoder(expected), mine.decoder(latent)
    np.testing.assert_allclose(ours.data, theirs.data, atol=1e-5)
    named = {name: w for name, w in library.named_parameters() if w.requires_grad}
    own = {path: w for path, w in parameters(mine).items() if w.requires_grad}
    assert own.keys() == named.keys()
    wanted = dict(zip(named, grad(theirs, list(named.values()), dy), strict=True))
    for name, g in zip(own, gradients(ours, list(own.values()), dy), strict=True):
        np.testing.assert_allclose(g, wanted[name], atol=2e-5 * np.abs(wanted[name]).max() + 1e-7, err_msg=name)


def test_a_new_codec_has_the_librarys_parameters_and_fixes_the_same():
    library = Library(from_dict(CONFIG, "little"))
    mine = weights.build(CONFIG, np.random.default_rng(0))
    trained = {path: w.data.shape for path, w in parameters(mine).items() if w.requires_grad}
    assert trained == {name: w.data.shape for name, w in library.named_parameters() if w.requires_grad}
    state = {name: a.shape for name, a in library.state_dict().items() if not name.startswith("quantizer.")}
    assert {path: w.data.shape for path, w in parameters(mine).items()} == state
    np.testing.assert_allclose(mine.encoder.layers[0].weight.data, library.encoder.layers[0].weight.data, atol=1e-6)
    np.testing.assert_allclose(mine.decoder.layers[-1].weight.data, library.decoder.layers[-1].weight.data, atol=1e-6)


def test_units_begin_as_almost_nothing():
    mine = weights.build(CONFIG, np.random.default_rng(0))
    x = np.random.default_rng(1).normal(size=(2, 50, 80)).astype(np.float32)
    for unit in (*mine.encoder.layers[2:-1], *mine.decoder.layers[1:-2]):
        added = unit(Mine(x)).data - x
        assert 0.01 < np.std(added) < 0.2


def test_the_start_is_the_librarys(both):
    library, mine = both
    crops = train.crops(sound(3), 0, 0, 20, 2_400)
    start_transform(library, crops, 4, np.random.default_rng(5))
    start(mine, crops, 4 * 30, np.random.default_rng(5))
    theirs = library.state_dict()
    for path in ("encoder.layers.0.weight", f"decoder.layers.{len(mine.decoder.layers) - 1}.weight"):
        expected = theirs[path]
        np.testing.assert_allclose(parameters(mine)[path].data, expected, atol=1e-5 * np.abs(expected).max())
    down, up = mine.encoder.layers[-1].weight.data[0], mine.decoder.layers[0].weight.data[0]
    np.testing.assert_array_equal(up, down.T)
    last = len(mine.encoder.layers) - 1
    signs = np.sign((down * theirs[f"encoder.layers.{last}.weight"][0]).sum(axis=0))  # of an eigenvector, none is right
    np.testing.assert_allclose(down * signs, theirs[f"encoder.layers.{last}.weight"][0], atol=1e-3)
    # Of k-means, the last digits decide where a vector is as near to two means; what is left over must be as much.
    left, of_theirs = (mine.encoder(Mine(sound(3)[None, :, None])).data[0] * sign for sign in (1, signs))
    for n, level in enumerate(mine.quantizer.levels):
        left = left - level.codewords[nearest_codeword_forward(left, level.codewords)]
        book = theirs["quantizer.codebooks"][n]
        of_theirs = of_theirs - book[nearest_codeword_forward(of_theirs, book)]
        assert (left**2).sum() == pytest.approx((of_theirs**2).sum(), rel=0.1)
        assert level.counts.sum() == pytest.approx(theirs["quantizer.counts"][n].sum(), rel=0.02)
        np.testing.assert_allclose(level.sums, level.codewords * level.counts[:, None], atol=1e-4)
    assert mine.quantizer.ready == 4


@pytest.fixture(scope="module")
def begun():
    """A codec that has begun, and the sound that it began from."""
    with use("numpy"):
        wav, codec = sound(4), weights.build(CONFIG, np.random.default_rng(0))
        start(codec, train.crops(wav, 0, 99, 24, 1_600), 40, np.random.default_rng(0))
    return codec, wav


def heard(codec, wav, Q):
    return codec.decode(codec.encode(wav, Q), len(wav))


def test_it_codes_before_it_has_learned(begun):
    """What it began from, and other sounds of the kind; better with more codebooks."""
    codec, wav = begun
    ratios = [float(si_sdr(wav, heard(codec, wav, Q))) for Q in (1, 2, 4)]
    assert ratios[0] > 1
    assert (np.diff(ratios) > 0.5).all()
    other = sound(2, seed=8)
    assert float(si_sdr(other, heard(codec, other, 4))) > 3


def test_it_learns_from_there(begun):
    """The mel distance falls, and the waveform stays; what is fixed stays as it was."""
    codec, wav = copy.deepcopy(begun[0]), begun[1]
    before = heard(codec, wav, 4)
    fixed = codec.encoder.layers[0].weight.data.copy(), codec.decoder.layers[-1].weight.data.copy()
    recipe = train.RECIPE | {"steps": 60, "size": 4, "length": 1_600, "rival": 60, "windows": (64, 256), "decay": 0.9,
                             "sample_rate": 8_000, "judges": (256,)}  # fmt: skip
    train.train(codec, wav, recipe, lambda *_: None)
    after = heard(codec, wav, 4)
    assert mel_distance(wav, after, 8_000) < mel_distance(wav, before, 8_000) - 0.7
    assert float(si_sdr(wav, after)) > float(si_sdr(wav, before)) - 1
    np.testing.assert_allclose(codec.encoder.layers[0].weight.data, fixed[0], rtol=1e-4)
    np.testing.assert_allclose(codec.decoder.layers[-1].weight.data, fixed[1], rtol=1e-4)


def test_files_decode_in_both_directions(begun, tmp_path):
    codec, wav = begun
    weights.save(codec, tmp_path / "model.safetensors")
    library = minicodec.load(tmp_path / "model.safetensors")
    mine = weights.load(tmp_path / "model.safetensors")
    assert library.name == weights.name(codec) == weights.name(mine)
    codes = mine.encode(wav[:12_345], 4)
    ours = bits.plain_file(codes, 12_345, library.name, 64)
    assert ours == library.compress(wav[None, :12_345], 2.4)
    np.testing.assert_allclose(library.decompress(ours)[0], mine.decode(codes, 12_345), atol=1e-5)
    model, samples, back = bits.read_file(ours, weights.hop(mine.config), 64)
    assert (model, samples) == (library.name, 12_345)
    np.testing.assert_array_equal(back, codes)


def test_models_of_the_library_can_be_loaded(tmp_path):
    """Of options as the preset has them, and of others: neither changes the name."""
    usual = CONFIG | {"transform": {}, "bandwidths": [0.6]}
    Library(from_dict(usual, "usual"), seed=4).save(tmp_path / "usual.safetensors")
    Library(from_dict(CONFIG, "little"), seed=4).save(tmp_path / "little.safetensors")
    for path in sorted(tmp_path.iterdir()):
        assert weights.name(weights.load(path)) == minicodec.load(path).name


def test_a_stream_of_it_is_refused(begun):
    """Stages know the layers of chapter 6. These would lose what lies between two pieces, and nobody would be told."""
    for made in (lambda: stream.StreamEncoder(begun[0], 4), lambda: stream.StreamDecoder(begun[0])):
        with pytest.raises(AttributeError, match="weight_v"):
            made()
