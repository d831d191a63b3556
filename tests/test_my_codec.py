"""The readers' codec, as the library has it (course/my_codec), against the codec of the library itself."""

import numpy as np
import pytest

import minicodec
from minicodec.backend import use
from minicodec.codec.model import Codec as Library
from minicodec.course.my_codec import bits, quantizer, stream, train, weights
from minicodec.course.my_codec.tensor import Tensor as Mine, gradients, parameters
from minicodec.tensor import Tensor, grad
from minicodec.training import config as training
from minicodec.training.trainer import Trainer

SETTINGS = [
    "name=classroom_8khz", "sample_rate=8000", "seanet.strides=[2,4,5]", "seanet.filters=4", "seanet.latent=8",
    "bandwidths=[0.6,1.2,2.4]", "quantizer.levels=4", "quantizer.entries=8", "lr=4e-3", "ema=0.9",
    "warmup_steps=2", "loss.mel_windows=[64,256]", "loss.l1=50.0", "loss.warmup_mel=1.0", "batch=3",
    "adversary.enabled=true", "adversary.start=10", "adversary.windows=[256,128]", "adversary.filters=3",
    "adversary.probability=1.0", "adversary.lr=4e-3",
]  # fmt: skip
RECIPE = train.RECIPE | {
    "steps": 10_000, "lr": 4e-3, "decay": 0.9, "warmup": 2, "windows": (64, 256), "rival": 10, "judges": (256, 128),
    "channels": 3, "sample_rate": 8_000,
}  # fmt: skip


@pytest.fixture(autouse=True)
def definitions():
    with use("numpy"):
        yield


def new_trainer():
    return Trainer(training.from_preset("tiny_24khz", "(no folder)", SETTINGS))


def crops(step, T=1_600):
    """(3,T,1): not smooth, so that no magnitude is 0, and not too loud."""
    rng = np.random.default_rng([7, step])
    return (0.1 * rng.normal(size=(3, T, 1))).astype(np.float32)


def copy_of(library):
    """A codec of the readers' with the weights of the library's."""
    config = library.config.to_dict()
    mine = quantizer.Codec(config, np.random.default_rng(0))
    arrays = {name: a.copy() for name, a in library.state_dict().items()}
    weights._fill(mine, arrays)
    for w in parameters(mine).values():
        w.requires_grad = True
    return mine


def test_networks_and_their_gradients():
    library = new_trainer().codec
    mine = copy_of(library)
    x, dy = crops(0, 1_590), np.random.default_rng(0).normal(size=(3, 1_600, 1)).astype(np.float32)
    named = dict(library.named_parameters())
    theirs = library.decoder(library.encoder(Tensor(x)))
    ours = mine.decoder(mine.encoder(Mine(x)))
    np.testing.assert_allclose(ours.data, theirs.data, atol=1e-6)
    own = parameters(mine)
    assert own.keys() == named.keys()
    expected = dict(zip(named, grad(theirs, list(named.values()), dy), strict=True))
    got = dict(zip(own, gradients(ours, list(own.values()), dy), strict=True))
    for name, g in expected.items():
        np.testing.assert_allclose(got[name], g, atol=2e-5 * np.abs(g).max() + 1e-7, err_msg=name)


def as_judges(library, judges):
    """Give the readers' discriminators the weights of the library's. Their first convolution has a norm more."""
    for scale, judge in zip(library.scales, judges, strict=True):
        for theirs, ours in zip([*scale.convs, scale.conv_post], judge.convs, strict=True):
            w = theirs.effective_weight().data
            ours.weight_v.data = theirs.weight_v.data.copy() if hasattr(theirs, "weight_v") else w.copy()
            ours.weight_g.data = np.sqrt((w**2).sum(axis=(0, 1, 2), keepdims=True))
            ours.bias.data = theirs.bias.data.copy()


def test_discriminators():
    library = new_trainer().adversary.discriminator
    judges = [train.Judge(n_fft, 3, np.random.default_rng(0)) for n_fft in (256, 128)]
    as_judges(library, judges)
    x = crops(1)
    expected = library(Tensor(x))
    for n, judge in enumerate(judges):
        logits, maps = judge(Mine(x))
        np.testing.assert_allclose(logits.data, expected.logits[n].data, atol=1e-5)
        for a, b in zip(maps, expected.features[n], strict=True):
            np.testing.assert_allclose(a.data, b.data, atol=1e-5)


def test_a_step_of_the_discriminators():
    adversary = new_trainer().adversary
    judges = [train.Judge(n_fft, 3, np.random.default_rng(0)) for n_fft in (256, 128)]
    as_judges(adversary.discriminator, judges)
    adam = train.Adam([w for judge in judges for w in parameters(judge).values()], (0.5, 0.9))
    x, decoded = crops(1), crops(2)
    expected = adversary.learn(Tensor(x), Tensor(decoded))["discriminator"]
    assert train.teach_judges(judges, adam, x, decoded, 4e-3) == pytest.approx(float(expected), rel=1e-5)
    for scale, judge in zip(adversary.discriminator.scales, judges, strict=True):
        for theirs, ours in zip([*scale.convs, scale.conv_post][1:], judge.convs[1:], strict=True):
            for name in ("weight_v", "weight_g", "bias"):
                np.testing.assert_allclose(getattr(ours, name).data, getattr(theirs, name).data, atol=1e-5)


def test_a_training(monkeypatch):
    """Warm-up, k-means level by level, EMA, revival, discriminators' losses, balancer, Adam, averages: the same weights
    after all of them. (The discriminators do not learn, since their first convolutions differ, see `as_judges`.)
    """
    monkeypatch.setattr(train, "teach_judges", lambda *_: 0.0)
    theirs = new_trainer()
    theirs._discriminator_learns = lambda: False
    mine = train.Trainer(copy_of(theirs.codec), RECIPE)
    as_judges(theirs.adversary.discriminator, mine.judges)
    mine.levels = theirs.levels  # the library draws among bandwidths
    for step in range(12):  # further on, rounding has grown: Adam divides small gradients by small ones
        if step == 9:  # at step 11, the tenth update of the first level, this one is dead
            theirs.codec.quantizer.counts[0, 3] = mine.codec.quantizer.levels[0].counts[3] = 1e-3
            theirs.codec.quantizer.sums[0, 3] = mine.codec.quantizer.levels[0].sums[3] = 0
        got, expected = mine.step(crops(step)), theirs.update(crops(step))  # in this order: levels are theirs'
        assert got["l1"] == pytest.approx(expected["l1"], rel=1e-3 if step > 10 else 1e-5)
        assert got["mel"] == pytest.approx(expected["mel"], rel=1e-3 if step > 10 else 1e-4)
    assert theirs.codec.quantizer.counts[0, 3] > 1
    assert got["adversarial"] == pytest.approx(expected["adversarial"], rel=1e-3)
    assert got["feature"] == pytest.approx(expected["feature"], rel=1e-3)
    assert mine.codec.quantizer.ready == 4
    for name, w in theirs.codec.named_parameters():
        differs = np.abs(mine.weights[name].data - w.data) > 2e-4  # where gradients are nearly 0, Adam's steps are not
        assert differs.mean() < 0.02, name
        np.testing.assert_allclose(mine.average[name], dict(theirs.average.named_parameters())[name].data, atol=2e-3)
    for level, codewords, counts in zip(
        mine.codec.quantizer.levels, theirs.codec.quantizer.codebooks, theirs.codec.quantizer.counts, strict=True
    ):
        np.testing.assert_allclose(level.counts, counts, rtol=1e-4)
        np.testing.assert_allclose(level.codewords, codewords, atol=1e-4)


@pytest.fixture(scope="module")
def trained():
    """A codec of the readers' whose codebooks mean something."""
    codec = quantizer.Codec(weights.TINY | {"name": "little", "bandwidths": [0.75, 1.5]}
                            | {"seanet": weights.TINY["seanet"] | {"filters": 4, "latent": 8},
                               "quantizer": {"levels": 2, "entries": 1024}}, np.random.default_rng(1))  # fmt: skip
    rng = np.random.default_rng(2)
    for level in codec.quantizer.levels:
        level.codewords = (0.5 * rng.normal(size=level.codewords.shape)).astype(np.float32)
        level.counts, level.updates = rng.uniform(1, 9, 1024), 1
    codec.quantizer.ready = 2
    return codec


@pytest.mark.parametrize("coded", [False, True])
def test_files_decode_in_both_directions(trained, coded, tmp_path):
    weights.save(trained, tmp_path / "model.safetensors")
    library = minicodec.load(tmp_path / "model.safetensors")
    assert library.name == weights.name(trained)
    mine = weights.load(tmp_path / "model.safetensors")
    wav = crops(0, 7_000)[0, :, 0]
    codes = mine.encode(wav, 2)
    write = bits.coded_file if coded else bits.plain_file
    ours = write(codes, len(wav), weights.name(mine), 1024)
    lm = "adaptive" if coded else None
    theirs = library.compress(wav[None], 1.5, lm)
    if not coded:  # of so few codes, counting makes more
        assert ours == theirs
    model, samples, back = bits.read_file(ours, 320, 1024)
    assert (model, samples) == (library.name, 7_000)
    np.testing.assert_array_equal(back, codes)
    np.testing.assert_allclose(library.decompress(ours)[0], mine.decode(codes, samples), atol=1e-5)
    _, _, of_theirs = bits.read_file(theirs, 320, 1024)
    np.testing.assert_array_equal(of_theirs, library.encode(wav[None], 1.5)[0].codes)


def test_models_of_the_library_can_be_loaded(tmp_path):
    library = Library(training.from_preset("tiny_24khz", "(no folder)", SETTINGS).model, seed=3)
    for half in (False, True):
        path = tmp_path / f"{half}.safetensors"
        library.save(path, half=half)
        assert weights.name(weights.load(path)) == minicodec.load(path).name
    bundled = weights.load(minicodec.__path__[0] + "/models/minicodec-24k/model.safetensors")
    named = minicodec.load(minicodec.__path__[0] + "/models/minicodec-24k/model.safetensors")
    assert weights.name(bundled) == named.name
    other = training.from_preset("tiny_24khz", "(no folder)", [*SETTINGS, "seanet.shortcut=conv"]).model
    Library(other).save(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="only codecs with the options of tiny, mini and"):
        weights.load(tmp_path / "other.safetensors")


def test_damage_is_found(trained):
    codes = trained.encode(crops(0, 7_000)[0, :, 0], 2)
    data = bytearray(bits.coded_file(codes, 7_000, "little", 1024))
    data[-3] ^= 1
    with pytest.raises(ValueError, match="chunk 0 is damaged"):
        bits.read_file(bytes(data), 320, 1024)


def test_more_than_one_chunk():
    codes = np.random.default_rng(0).integers(8, size=(3, 20))
    _, _, back = bits.read_file(bits.coded_file(codes, 20 * 40 - 3, "x", 8, chunk=7), 40, 8)
    np.testing.assert_array_equal(back, codes)


def test_a_stream_is_the_file(trained):
    wav = crops(3, 6_630)[0, :, 0]
    codes = trained.encode(wav, 2)
    encoder, pieces = stream.StreamEncoder(trained, 2), []
    for a, b in [(0, 1), (1, 3_000), (3_000, 3_000), (3_000, 6_630)]:
        pieces.append(encoder.push(wav[a:b], last=b == 6_630))
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), codes)
    decoder = stream.StreamDecoder(trained)
    sound = np.concatenate([decoder.push(codes[:, t : t + 5]) for t in range(0, codes.shape[1], 5)])
    np.testing.assert_allclose(sound, trained.decode(codes, None), atol=1e-6)


def test_training_changes_the_codec_as_it_says():
    """train: the averaged weights end up in the codec, and the losses fall."""
    wav = np.sin(np.arange(9_000) * 0.2).astype(np.float32) * 0.3
    net = weights.TINY["seanet"] | {"filters": 4, "latent": 4, "strides": [2, 4]}
    codec = quantizer.Codec(weights.TINY | {"seanet": net}, np.random.default_rng(0))
    seen = []
    recipe = RECIPE | {"steps": 60, "size": 1, "length": 320, "warmup": 60, "rival": 59, "lr": 1e-2}
    train.train(codec, wav, recipe, lambda step, losses: seen.append(losses))
    assert seen[-2]["l1"] < 0.5 * seen[0]["l1"]
    assert "feature" in seen[-1]
    decoded = codec.decoder(codec.encoder(Mine(wav[None, :320, None]))).data[0, :, 0]
    assert np.abs(decoded - wav[:320])[40:].mean() < 0.13  # silence: 0.19
