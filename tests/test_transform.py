"""The network that begins as a transform codec: it is one, it starts from data, and it sees two hops."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.fft import dct

import minicodec
from minicodec.codec import transform
from minicodec.codec.config import CodecConfig, QuantizerConfig, from_dict, preset
from minicodec.codec.model import Codec
from minicodec.codec.transform import TransformConfig, hashed, mdct_basis, noise_signs
from minicodec.errors import InputError
from minicodec.metrics import si_sdr
from minicodec.tensor import Tensor, no_grad
from minicodec.training import checkpoint, config, run as runs
from minicodec.training.initial import initialise_codec
from tests.small_run import make_audio

SMALL = [
    "transform.hop=32", "transform.latent=12", "transform.encoder=[1]", "transform.decoder=[1,2]",
    "quantizer.entries=64", "quantizer.levels=2", "bandwidths=[4.5,9]", "rates=[4.5,9,9]",
    "batch=3", "seconds=0.25", "loss.mel_windows=[64,128,512]", "valid_clips=1", "valid_seconds=0.25",
    "checkpoint_every=2", "validate_every=50", "log_every=1",
]  # fmt: skip

CROPS = 24
BANDS = slice(2, 24), slice(40, 150)  # in lines of 75 Hz: below and above 2 kHz


def noise(T, seed=0):
    return (0.3 * np.random.default_rng(seed).normal(size=(1, T, 1))).astype(np.float32)


@pytest.mark.parametrize("N", [6, 320])
def test_the_basis_is_the_mdct(N, rng):
    """By SciPy: a windowed block (a, b, c, d), folded to (-c_r - d, a - b_r), r for reversed, and its DCT-IV."""
    x = rng.normal(size=2 * N)
    a, b, c, d = np.split(x * np.sin(np.pi * (np.arange(2 * N) + 0.5) / (2 * N)), 4)
    expected = dct(np.concatenate([-c[::-1] - d, a - b[::-1]]), type=4, norm="ortho")
    np.testing.assert_allclose(x @ mdct_basis(N).astype(float), expected, atol=1e-5)


def test_the_inverse_transform_undoes_the_transform():
    """All but the first hop, which no window before it completes; the energy stays."""
    codec, x = minicodec.build("transform_24khz"), noise(320 * 20)
    with no_grad():
        X = codec.encoder.layers[0](Tensor(x))
        y = codec.decoder.layers[-1](X).data
    np.testing.assert_allclose(y[:, 320:], x[:, 320:], atol=2e-6)
    assert np.abs(y[:, :320] - x[:, :320]).max() > 0.1
    assert np.square(X.data).sum() == pytest.approx(np.square(x[:, 320:]).sum(), rel=0.1)


def test_the_inverse_power_undoes_the_companding(rng):
    """Within a tenth at any level, and exactly for the very soft and the loud."""
    codec = minicodec.build("transform_24khz")
    x = (np.logspace(-4, 2, 200) * rng.choice([-1, 1], 200)).astype(np.float32)
    y = codec.decoder.layers[-2](codec.encoder.layers[1](Tensor(x))).data
    np.testing.assert_allclose(y, x, rtol=0.1)
    extreme = (np.abs(x) < 6e-3) | (np.abs(x) > 20)
    np.testing.assert_allclose(y[extreme], x[extreme], rtol=2e-3)


def test_a_frame_sees_its_own_hop_and_the_next():
    """What changes from sample 20·320 on changes no code of the frames up to 18, and that of frame 19."""
    codec, wav = minicodec.build("transform_24khz"), noise(320 * 40)[0].T
    changed = wav.copy()
    changed[:, 20 * 320 :] *= -1
    (before,), (after,) = codec.encode(wav), codec.encode(changed)
    np.testing.assert_array_equal(after.codes[:, :19], before.codes[:, :19])
    assert (after.codes[:, 19] != before.codes[:, 19]).any()


@pytest.fixture(autouse=True)
def few_crops(monkeypatch):
    """That a codec starts from; in the house there are ten times as many, and k-means takes seconds."""
    monkeypatch.setattr(runs, "CROPS", CROPS)


@pytest.fixture(scope="module")
def audio_folder(tmp_path_factory):
    return make_audio(tmp_path_factory.mktemp("audio") / "chords")


def recipe(folder, *settings):
    return config.from_preset("transform_24khz", str(folder), [*SMALL, *settings])


def test_it_codes_before_it_has_learned(audio_folder, tmp_path):
    """Chords in 12 bits a frame, the better with both codebooks; without a start from data it cannot."""
    run = runs.start(tmp_path / "run", recipe(audio_folder))
    codec, (_, clip) = minicodec.load(tmp_path / "run"), run.data.valid_clips(1, 1.0)[0]
    wav = clip.T
    low, high = (float(si_sdr(wav, codec.decode(codec.encode(wav, kbps)))[0]) for kbps in codec.bandwidths)
    assert -2 < low < high - 1.5
    untrained = Codec(run.config.model)
    initialise_codec(untrained)
    assert float(si_sdr(wav, untrained.decode(untrained.encode(wav)))[0]) < -10


def test_the_start_takes_what_it_says_from_the_data(audio_folder, tmp_path):
    """Gains go with std^-¼, and the inverse undoes them; projections are orthonormal, and hold the most power."""
    run = runs.start(tmp_path / "run", recipe(audio_folder))
    codec, x = run.trainer.codec, Tensor(run.data.batch(0, CROPS))
    mdct, companding, unit, down = codec.encoder.layers
    up, inverse = codec.decoder.layers[0], codec.decoder.layers[-1]
    gain, undone = (np.linalg.norm(w, axis=0) for w in (mdct.weight.data[:, 0], inverse.weight.data[:, :, 0]))
    np.testing.assert_allclose(undone * gain, 1, rtol=1e-5)
    with no_grad():
        X = mdct(x).data
        assert np.square(X).mean() == pytest.approx(1, rel=1e-4)
        std = np.sqrt(np.square(X / gain).mean(axis=(0, 1)))
        np.testing.assert_allclose(std / std[0], (gain / gain[0]) ** -4, rtol=1e-3)
        frames = unit(companding(Tensor(X))).data.reshape(-1, 32)
    components = down.weight.data[0]
    np.testing.assert_allclose(components.T @ components, np.eye(12), atol=1e-5)
    np.testing.assert_array_equal(up.weight.data[0], components.T)
    kept = np.square(frames @ components).sum()
    best = np.linalg.svd(frames.astype(float), compute_uv=False)[:12]
    assert kept == pytest.approx(np.square(best).sum(), rel=1e-4)


def test_a_killed_run_ends_in_the_same_bytes(audio_folder, tmp_path):
    """Also one that was killed before its first step: what the start found is saved."""
    whole = runs.start(tmp_path / "whole", recipe(audio_folder, "steps=5"))
    whole.train()
    runs.start(tmp_path / "parts", recipe(audio_folder, "steps=3"))
    runs.resume(tmp_path / "parts").train()
    runs.resume(tmp_path / "parts", steps=5).train()
    one, other = (checkpoint.in_folder(tmp_path / name / "checkpoints")[-1].read_bytes() for name in ("whole", "parts"))
    assert one == other


def test_it_learns(audio_folder, tmp_path):
    """One batch, over and over."""
    waveform = ("loss.l1=300", "loss.l1_above=0")
    settings = (*waveform, "loss.mel_drawn=0", "loss.mel_floor=1e-4", "loss.mel_relative=0", "rates=[9]")
    run = runs.start(tmp_path / "run", recipe(audio_folder, *settings))
    x = run.data.batch(0, 3)
    buffers = {name: array.copy() for name, array in run.trainer.codec.named_buffers()}
    losses = [run.trainer.update(x)["loss"] for _ in range(60)]
    assert losses[-1] < 0.8 * losses[0]
    for name in ("encoder.layers.0.weight", "encoder.layers.0.bias", "decoder.layers.4.weight"):  # the transform's
        np.testing.assert_array_equal(dict(run.trainer.codec.named_buffers())[name], buffers[name])


def test_the_hash_of_the_signs():
    """Of MurmurHash3 (x86, 32 bits), of which an empty text leaves only the last step: published values by seed."""
    seeds = np.array([0, 1, 0xFFFFFFFF], np.uint64)
    np.testing.assert_array_equal(hashed(seeds), [0, 0x514E28B7, 0x81F16F39])
    np.testing.assert_array_equal(hashed(seeds + 2**32), hashed(seeds))


def test_signs_look_random_from_a_frequency_on():
    """As many of each, alike no more than by chance from frame to frame and from frequency to frequency: 4 sigma."""
    signs = noise_signs(0, 400, 320, 53).astype(float)
    assert (signs[:, :53] == 1).all()
    high = signs[:, 53:]
    assert set(np.unique(high)) == {-1, 1}
    pairs = high, high[1:] * high[:-1], high[2:] * high[:-2], high[:, 1:] * high[:, :-1]
    for product in pairs:
        assert abs(product.mean()) < 4 / np.sqrt(product.size)
    np.testing.assert_array_equal(noise_signs(150, 250, 320, 53), signs[150:])


def test_what_is_the_same_in_every_frame_is_noise_and_no_buzz():
    """Without the signs, a latent that never changes makes a wave that repeats with every hop, all of it in lines."""
    shares = []
    for noise_from in (0, 53):
        config = preset("transform_24khz")
        network = replace(config.transform, noise_from=noise_from)
        codec = Codec(replace(config, transform=network), seed=0)
        latent = np.repeat(np.random.default_rng(0).normal(size=(1, 1, 64)), 300, axis=1).astype(np.float32)
        with no_grad():
            wav = codec.decoder(Tensor(latent)).data[0, 320 * 50 :, 0]
        power = np.abs(np.fft.rfft(wav[: 320 * 240])) ** 2  # 240 hops: lines are every 240th value
        lines = power.reshape(-1)[: 240 * 160].reshape(160, 240)[:, 0]
        shares.append([lines[band].sum() / power[240 * band.start : 240 * band.stop].sum() for band in BANDS])
    (low, high), (still_low, noisy) = shares
    assert min(low, high, still_low) > 0.999
    assert noisy < 0.03


def test_a_decoder_begins_at_any_frame():
    """From frame 100 on, the samples are those of the whole: once no layer looks back to what came before."""
    codec = minicodec.build("transform_24khz")
    z = np.random.default_rng(0).normal(size=(1, 150, 64)).astype(np.float32)
    with no_grad():
        whole = codec.decoder(Tensor(z)).data[:, 140 * 320 :]
        part = codec.decoder(Tensor(z[:, 100:]), 100).data[:, 40 * 320 :]
    np.testing.assert_allclose(part, whole, atol=1e-5 * np.abs(whole).max())


def test_each_step_of_a_training_has_signs_of_its_own(audio_folder, tmp_path, monkeypatch):
    """Crops that all began at frame 0 would teach their signs; a killed run goes on with the same ones."""
    frames = []

    def spied(start, *shape):
        frames.append(start)
        return noise_signs(start, *shape)

    run = runs.start(tmp_path / "run", recipe(audio_folder, "transform.noise_from=8"))
    monkeypatch.setattr(transform, "noise_signs", spied)
    x = run.data.batch(0, 3)
    for _ in range(3):
        run.trainer.update(x)
    assert len(set(frames)) == 3
    run.trainer.step = 1
    run.trainer.update(x)
    assert frames[3] == frames[1]


def test_a_codec_has_one_network():
    with pytest.raises(ValueError, match="needs one of the tables"):
        CodecConfig("x", 600, 1, (1.2,), QuantizerConfig(3, 16))
    with pytest.raises(ValueError, match="transform: codes 1 channel, not 2"):
        CodecConfig("x", 600, 2, (1.2,), QuantizerConfig(3, 16), transform=TransformConfig(hop=6))
    values = {"name": "x", "sample_rate": 600, "channels": 1, "bandwidths": [1.2], "transform": {"lstm": 1}}
    with pytest.raises(InputError, match="transform_24khz: unknown option lstm"):
        from_dict(values, "transform_24khz")
