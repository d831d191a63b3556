"""Training a language model of codes: its figures are true, it learns, and it stops when it must."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec.codec.config import QuantizerConfig
from minicodec.codec.language_model import START
from minicodec.codec.model import Codec
from minicodec.errors import InputError
from minicodec.training.audio_files import AudioFile
from minicodec.training.data import AudioFolder
from minicodec.training.language_model import codes as codes_module, run as runs
from minicodec.training.language_model.codes import CodeCrops, chunks, encoded
from minicodec.training.language_model.config import for_codec
from minicodec.training.language_model.trainer import LanguageModelTrainer, code_bits
from minicodec.training.learning_rate import warmup_cosine
from minicodec.training.trainer import DivergedError
from tests.small_run import make_audio

SETTINGS = [
    "model.D=16", "model.layers=1", "model.heads=2", "model.hidden=24", "model.context=9", "lr=1e-2", "warmup_steps=4",
]  # fmt: skip


@pytest.fixture(scope="module")
def codec():
    return minicodec.build("tiny_24khz", seed=0)


def refuse(file, error):
    raise error


def trainer_of(codec, *settings):
    return LanguageModelTrainer(for_codec("m", codec, "d", [*SETTINGS, *settings]), codec)


def periodic(B=2, Q=8, T=24, period=3):
    """Codes that repeat: once seen, nothing about them is uncertain."""
    pattern = np.random.default_rng(7).integers(0, 1024, (Q, period))
    return np.broadcast_to(pattern[:, np.arange(T) % period], (B, Q, T))


def test_bits_are_what_an_ideal_coder_spends(codec, rng):
    """Frame by frame from START, as a coder goes; frames that are not there cost nothing."""
    lm = trainer_of(codec).lm
    codes = rng.integers(0, 1024, (2, 4, 12))
    codes[1, :, 7:] = -1
    spent = np.zeros(4)
    for sequence, T in zip(codes, (12, 7), strict=True):
        past, last = lm.start(1), np.full((1, 4, 1), START)
        for frame in sequence[:, :T].T:
            p, past = lm.probabilities(last, past)
            spent -= np.log2(p[0, 0, np.arange(4), frame])
            last = frame[None, :, None] + 1
    np.testing.assert_allclose([float(b) for b in code_bits(lm, codes)], spent / 19, rtol=1e-5)


def test_validation_adds_up(codec, rng):
    """Over batches of unequal content, at each bandwidth with its own codebooks alone."""
    trainer = trainer_of(codec)
    codes = rng.integers(0, 1024, (11, 8, 5))
    codes[9, :, 2:] = -1
    figures = trainer.validate({0.75: codes[:, :1], 1.5: codes[:, :2], 3: codes[:, :4], 6: codes})
    for kbps, levels in (("0.75", 1), ("1.5", 2), ("3", 4), ("6", 8)):
        expected = [float(b) for b in code_bits(trainer.lm, codes[:, :levels])]
        np.testing.assert_allclose(figures[kbps]["codebooks"], expected, rtol=1e-5)
        np.testing.assert_allclose(figures[kbps]["bits"], sum(expected), rtol=1e-5)
        assert figures[kbps]["uncompressed"] == 10 * levels


def test_it_learns_what_repeats(codec):
    trainer = trainer_of(codec, "steps=60")
    first = trainer.update(periodic())["loss"]
    assert 9 < first < 13
    while trainer.step < 60:
        last = trainer.update(periodic())["loss"]
    assert last < first / 2


def test_every_bandwidth_is_drawn_and_leaves_the_other_codebooks_alone(codec):
    trainer = trainer_of(codec)
    seen = set()
    for _ in range(30):
        before = [output.weight.data.copy() for output in trainer.lm.outputs]
        kbps = next(name for name in trainer.update(periodic()) if name.startswith("bits."))
        seen.add(kbps)
        changed = [(o.weight.data != b).any() for o, b in zip(trainer.lm.outputs, before, strict=True)]
        levels = codec.config.levels(float(kbps.removeprefix("bits.")))
        assert changed == [q < levels for q in range(8)]
    assert seen == {"bits.0.75", "bits.1.5", "bits.3", "bits.6"}


def test_learning_rate_rises_and_falls_to_zero(codec):
    trainer = trainer_of(codec, "warmup_steps=10", "steps=110", "lr=1e-3")
    rates = [trainer.update(periodic())["lr"] for _ in range(11)]
    rates += [warmup_cosine(1e-3, step, steps=110, warmup_steps=10) for step in range(11, 110)]
    np.testing.assert_allclose(rates[:10], 1e-3 * np.arange(1, 11) / 10)
    np.testing.assert_allclose(rates[10:], 1e-3 * (1 + np.cos(np.pi * np.arange(100) / 100)) / 2)


def test_long_gradients_are_shortened(codec):
    """To `clip`, in their direction; shorter ones stay."""
    gradients = {}
    for clip in (1e-3, 1e3):
        trainer = trainer_of(codec, f"clip={clip}")
        norm = trainer.update(periodic())["gradient"]
        gradients[clip] = np.concatenate([p.grad.ravel() for p in trainer.lm.parameters() if p.grad is not None])
    assert 1e-3 < norm < 1e3
    np.testing.assert_allclose(np.linalg.norm(gradients[1e3]), norm, rtol=1e-4)
    np.testing.assert_allclose(gradients[1e-3], gradients[1e3] * np.float32(1e-3 / norm), rtol=1e-4, atol=1e-12)


def test_nan_stops_before_any_weight_changes(codec):
    trainer = trainer_of(codec)
    trainer.update(periodic())
    trainer.lm.norm_in.weight.data[3] = np.nan
    before = {name: array.copy() for name, array in trainer.lm.state_dict().items()}
    with pytest.raises(DivergedError, match=r"^step 2: loss nan bits"):
        trainer.update(periodic())
    for name, array in trainer.lm.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_it_starts_from_the_codewords(codec, rng):
    """What is near among the codewords is near among the embeddings; the first guess is how often each code came."""
    quantizer = codec.quantizer
    quantizer.codebooks[...] = rng.normal(size=quantizer.codebooks.shape)
    quantizer.codebooks[2, 5] = quantizer.codebooks[2, 900] + 0.01
    quantizer.counts[...] = 1
    quantizer.counts[:, 44] = 1024
    lm = LanguageModelTrainer(for_codec("m", codec, "d", ["model.D=64"]), codec).lm
    table = lm.embeddings[2].weight.data[1:]
    distances = np.linalg.norm(table - table[5], axis=1)
    assert distances.argsort()[1] == 900
    logits = rng.normal(size=64).astype(np.float32) @ lm.outputs[2].weight.data
    assert abs(logits[5] - logits[900]) < 0.1 * logits.std()
    assert 0.5 < logits.std() < 2
    p = np.exp(lm.outputs[2].bias.data)
    np.testing.assert_allclose(p[44] / p[45], (1024 + 0.1 * 2047 / 1024) / (1 + 0.1 * 2047 / 1024), rtol=1e-4)


# The codes


def test_crops_are_places_in_the_sequences(rng):
    """The same for the same step; the longer sequence comes oftener; a short one ends with -1."""
    long, short = np.arange(2000).reshape(2, 1000), np.arange(5000, 5012).reshape(2, 6)
    crops = CodeCrops([long, short], 8, seed=3)
    batch = crops.batch(11, 500)
    np.testing.assert_array_equal(batch, crops.batch(11, 500))
    assert (batch != crops.batch(12, 500)).any()
    starts = batch[:, 0, 0]
    of_short = starts >= 5000
    assert 0 < of_short.sum() < 20
    np.testing.assert_array_equal(batch[of_short][0], np.pad(short, ((0, 0), (0, 2)), constant_values=-1))
    np.testing.assert_array_equal(batch[~of_short][:, 1], starts[~of_short][:, None] + 1000 + np.arange(8))
    assert 0 <= starts[~of_short].min() < 30
    assert 960 < starts[~of_short].max() <= 992


def test_chunks_cover_everything_once():
    cut = chunks([np.arange(10).reshape(1, 10), np.arange(20, 23).reshape(1, 3)], 4)
    expected = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, -1, -1], [20, 21, 22, -1]]
    np.testing.assert_array_equal(cut[:, 0], expected)


@pytest.fixture
def folder(tmp_path):
    return AudioFolder(make_audio(tmp_path / "audio"), sample_rate=24_000, channels=1)


def test_codes_are_those_of_encode_and_computed_once(codec, folder, tmp_path, monkeypatch):
    files = [*folder.train, *folder.valid]
    first = list(encoded(codec, 6, files, tmp_path / "codes", refuse))
    for file, codes in zip(files, first, strict=True):
        wav, _ = minicodec.audio.read(file.path)
        np.testing.assert_array_equal(codes, codec.encode(wav, 6)[0].codes)
        assert codes.dtype == np.int16
    monkeypatch.setattr(codes_module.audio, "blocks", None)  # reading audio would fail now
    for a, b in zip(first, encoded(codec, 6, files, tmp_path / "codes", refuse), strict=True):
        np.testing.assert_array_equal(a, b)
    other = minicodec.build("tiny_24khz", seed=1)
    with pytest.raises(TypeError):
        next(encoded(other, 6, files, tmp_path / "codes", refuse))


@pytest.mark.parametrize("beam", [1, 3])
def test_a_run_has_the_codes_of_each_bandwidth(beam, folder, tmp_path):
    """If the encoder follows several choices, those at a low one are not the first rows of those at a high one."""
    codec = Codec(replace(minicodec.build("tiny_24khz").config, quantizer=QuantizerConfig(beam=beam)), seed=2)
    codec.save(tmp_path / "model.safetensors")
    run = runs.start(tmp_path / "model.safetensors", tmp_path / "audio", tmp_path / "run", ["model.D=8", "seconds=0.2"])
    run.prepare(lambda codes, rate, seconds: codes)
    wav, _ = minicodec.audio.read(folder.train[0].path)
    for kbps in codec.bandwidths:
        np.testing.assert_array_equal(run.crops[kbps].sequences[0], codec.encode(wav, kbps)[0].codes)
    assert run.valid[1.5].shape[1:] == (2, 15)
    prefix = run.crops[6].sequences[0][:2] == run.crops[1.5].sequences[0]
    assert prefix.all() == (beam == 1)


def test_damaged_codes_are_refused(codec, folder, tmp_path):
    list(encoded(codec, 6, folder.valid, tmp_path / "codes", refuse))
    (path,) = Path(tmp_path / "codes" / codec.name).iterdir()
    content = path.read_bytes()
    huge = io.BytesIO()
    header = {"descr": "<i2", "fortran_order": False, "shape": (8, 10**11)}
    np.lib.format.write_array_header_1_0(huge, header)
    damaged = [b"", content[:100], content[:-1], huge.getvalue() + content, b"PK\x03\x04" + content, b"\x80\x04N."]
    for shape, value, dtype in (
        *(((8, 9), 1024, np.int16), ((8, 9), -1, np.int16), ((8, 9), 1, np.int64), ((8, 9), 1, object)),
        *(((8, 0), 1, np.int16), ((7, 9), 1, np.int16), ((8,), 1, np.int16), ((8, 9, 1), 1, np.int16)),
    ):
        np.save(path, np.full(shape, value, dtype))
        damaged.append(path.read_bytes())
    for bad in damaged:
        path.write_bytes(bad)
        with pytest.raises(InputError, match=rf"^{path}: .*remove it"):
            list(encoded(codec, 6, folder.valid, tmp_path / "codes", refuse))
        assert path.read_bytes() == bad


def test_files_that_cannot_be_read_have_no_codes(codec, folder, tmp_path):
    """NaN at their end, gone, cut to nothing, or too loud: they are named, and the others have their codes."""
    wav, rate = soundfile.read(folder.train[0].path)
    wav[-100] = np.nan
    for name in ("nan", "gone", "cut"):
        soundfile.write(folder.folder / f"{name}.wav", wav if name == "nan" else wav[:9000], rate, subtype="FLOAT")
    soundfile.write(folder.folder / "loud.wav", np.full(9000, 150.0), rate, subtype="FLOAT")
    names = ("nan", "gone", "cut", "loud")
    files = [AudioFile(f"{name}.wav", folder.folder / f"{name}.wav", rate, 9000) for name in names]
    files[1].path.unlink()
    files[2].path.write_bytes(b"RIFF")
    named = []
    expected = list(encoded(codec, 6, folder.train, tmp_path / "one", refuse))
    mixed = [files[0], folder.train[0], *files[1:], *folder.train[1:]]
    for _ in range(2):
        found = list(encoded(codec, 6, mixed, tmp_path / "two", lambda file, error: named.append(str(error))))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    assert named[:4] == named[4:]
    assert [line.split(": ")[0] for line in named[:4]] == [str(file.path) for file in files]
    assert "samples up to 150, where audio lies within -1 … 1" in named[3]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.d=16", "there is no option model.d; did you mean model.D"),
        ("model.D=15", "D = 15 cannot be used"),
        ("model.Q=4", "there is no option model.Q"),
        ("clip=0", "clip = 0.0 cannot be used"),
        ("lr=nan", "nan where the default is 0.002"),
        ("batch=0.5", "0.5 where the default is 4"),
    ],
)
def test_settings_that_are_refused(codec, setting, message):
    with pytest.raises(InputError, match=message):
        for_codec("m", codec, "d", [setting])
