"""ViSQOL against the package visqol-python, which its author holds against Google's: every score, in both modes."""

import io
import logging
import os

import numpy as np
import pytest
import soundfile
from scipy import signal

import minicodec
from minicodec import audio
from minicodec.evaluation.visqol import MODES, mos_lqo, similarity

layer = os.environ.get("NUMBA_THREADING_LAYER")
visqol = pytest.importorskip("visqol")
if layer is None:
    os.environ.pop("NUMBA_THREADING_LAYER", None)  # which visqol sets for the whole process
logging.getLogger("visqol").setLevel(logging.ERROR)

RATE = 24_000


def through(form, subtype, level, **options):
    """Coded by libsndfile and decoded."""

    def code(wav, rng):
        file = io.BytesIO()
        soundfile.write(file, wav[0], RATE, format=form, subtype=subtype, compression_level=level, **options)
        file.seek(0)
        return soundfile.read(file, dtype="float32")[0][None]

    return code


def opus(kbps):
    return through("OGG", "OPUS", 1 - (kbps - 6) / 250)


def mp3(kbps):
    return through("MP3", "MPEG_LAYER_III", (160 - kbps) / 152, bitrate_mode="CONSTANT")


def vorbis(quality):
    return through("OGG", "VORBIS", 1 - quality)


def low_pass(hertz):
    sos = signal.butter(8, hertz, fs=RATE, output="sos")
    return lambda wav, rng: signal.sosfilt(sos, wav).astype(np.float32)


def noise(db):
    def add(wav, rng):
        n = rng.normal(size=wav.shape)
        return (wav + n * np.sqrt((wav**2).mean() / (n**2).mean() * 10 ** (-db / 10))).astype(np.float32)

    return add


def untrained(wav, rng):
    codec = minicodec.build("tiny_24khz", seed=0)
    return codec.decode(codec.encode(wav, kbps=6))


def muted(wav, rng):
    wav = wav.copy()
    wav[:, 12_000:24_000] = 0
    return wav


def stuttering(wav, rng):
    return np.concatenate([wav[:, :20_000], wav[:, 14_000:]], axis=1)


def cut(wav, rng):
    return np.concatenate([wav[:, :14_000], wav[:, 22_000:]], axis=1)


def early(wav, rng):
    return wav[:, 700:]


def late(wav, rng):
    return np.pad(wav, ((0, 0), (700, 0)))


def clipped(wav, rng):
    return np.clip(4 * wav, -0.3, 0.3)


def halves_exchanged(wav, rng):
    return np.roll(wav, wav.shape[1] // 2, axis=1)


PAIRS = [  # clip, first sample, seconds, what happened to it
    ("speech_en_1", 24_000, 1.4, opus(6)),
    ("speech_en_2", 36_000, 2.2, opus(12)),
    ("speech_en_5", 12_000, 1.3, opus(24)),
    ("speech_de_1", 24_000, 1.2, mp3(16)),
    ("speech_fr_1", 24_000, 1.3, vorbis(0.1)),
    ("speech_es_1", 24_000, 1.5, low_pass(3500)),
    ("speech_it_1", 24_000, 1.3, noise(0)),
    ("speech_en_3", 24_000, 1.3, noise(20)),
    ("speech_en_4", 24_000, 1.3, untrained),
    ("speech_en_1", 60_000, 2.2, muted),
    ("speech_en_2", 60_000, 1.5, late),
    ("music_strings", 24_000, 1.3, opus(6)),
    ("music_harp", 24_000, 1.3, opus(32)),
    ("music_bells", 24_000, 1.3, mp3(24)),
    ("music_organ", 24_000, 1.3, mp3(64)),
    ("music_pads", 24_000, 1.2, vorbis(0.0)),
    ("music_flute", 24_000, 1.4, low_pass(7000)),
    ("music_harp", 60_000, 1.3, noise(40)),
    ("music_strings", 60_000, 2.0, stuttering),
    ("music_organ", 60_000, 2.0, cut),
    ("drums_1", 24_000, 1.3, opus(12)),
    ("drums_2", 24_000, 1.5, early),
    ("drums_3", 24_000, 1.3, clipped),
    ("drums_1", 60_000, 2.2, halves_exchanged),
    ("sea", 24_000, 1.3, mp3(32)),
    ("sea", 48_000, 1.3, untrained),
]


@pytest.mark.timeout(300)
def test_every_score_and_every_similarity():
    """In one test, because visqol-python first has to be compiled, which takes longer than all the rest."""
    peers = {mode: visqol.VisqolApi() for mode in MODES}
    peers["audio"].create(mode="audio")
    peers["speech"].create(mode="speech", use_lattice_model=False)
    rng = np.random.default_rng(0)
    scores = {mode: [] for mode in MODES}
    for clip, start, seconds, change in PAIRS:
        wav, _ = audio.read(f"data/{clip}.flac", start=start, frames=int(seconds * RATE))
        changed = change(wav, rng)
        for mode, settings in MODES.items():
            both = [audio.resample(x, RATE, settings.sample_rate)[0].astype(np.float64) for x in (wav, changed)]
            theirs = peers[mode].measure_from_arrays(*both, settings.sample_rate)
            name = f"{clip}, {change.__qualname__}, {mode}"
            assert mos_lqo(wav, changed, RATE, mode) == pytest.approx(theirs.moslqo, abs=1e-6), name
            np.testing.assert_allclose(similarity(*both, settings), theirs.fvnsim, rtol=0, atol=1e-6, err_msg=name)
            scores[mode].append(theirs.moslqo)
    for mode in MODES:  # the pairs are of all kinds
        assert min(scores[mode]) < 2.5
        assert max(scores[mode]) > 4.5
