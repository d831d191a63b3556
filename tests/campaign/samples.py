"""Good files of every kind, made once: what each spoiled input begins with. Small, so that an input costs little."""

import os
from pathlib import Path

import numpy as np
import soundfile

import minicodec
from minicodec.codec.config import from_dict, preset
from minicodec.codec.foreign.convert import TRANSFORMERS
from minicodec.codec.language_model import LanguageModel, LanguageModelConfig
from minicodec.training import checkpoint, config, run
from tests.listening_folder import make_folder
from tests.test_convert import SMALL, write_folder
from tests.torch_writer import th_file

RATE = 8000
SOUNDS = {  # name -> libsndfile's format and subtype, sample rate, channels
    "pcm16.wav": ("WAV", "PCM_16", RATE, 1), "pcm24.wav": ("WAV", "PCM_24", 44_100, 2),
    "float.wav": ("WAV", "FLOAT", RATE, 1), "u8.wav": ("WAV", "PCM_U8", RATE, 3), "ulaw.wav": ("WAV", "ULAW", RATE, 1),
    "adpcm.wav": ("WAV", "IMA_ADPCM", RATE, 1), "ms.wav": ("WAV", "MS_ADPCM", RATE, 2),
    "wavex.wav": ("WAVEX", "PCM_16", 48_000, 6), "a.rf64": ("RF64", "PCM_16", RATE, 1),
    "rf64.wav": ("RF64", "FLOAT", RATE, 2), "a.w64": ("W64", "PCM_16", RATE, 1),
    "a.aiff": ("AIFF", "PCM_16", RATE, 1), "a.au": ("AU", "PCM_16", RATE, 1),
    "a.caf": ("CAF", "PCM_16", RATE, 1), "alac.caf": ("CAF", "ALAC_16", RATE, 1),
    "a.flac": ("FLAC", "PCM_16", RATE, 1), "stereo.flac": ("FLAC", "PCM_24", 44_100, 2),
    "a.ogg": ("OGG", "VORBIS", RATE, 1), "a.opus": ("OGG", "OPUS", RATE, 1),
    "stereo.ogg": ("OGG", "VORBIS", 44_100, 2), "a.mp3": ("MP3", "MPEG_LAYER_III", RATE, 1),
    "stereo.mp3": ("MP3", "MPEG_LAYER_III", 44_100, 2),
}  # fmt: skip
MODEL = {
    "name": "small", "sample_rate": RATE, "channels": 1, "bandwidths": [1.0, 2.0],
    "seanet": {"filters": 2, "latent": 4, "strides": [4, 4, 2], "kernel": 5, "residual_kernel": 3,
               "residual_units": 1, "lstm_layers": 1},
    "quantizer": {"levels": 2, "entries": 16},
}  # fmt: skip
STEREO = MODEL | {"name": "pair", "channels": 2, "normalize": True, "chunk_samples": 2000, "chunk_stride": 1980}
RECIPE = ["steps=2", "batch=1", "seconds=0.25", "warmup_steps=1", "loss.mel_windows=[128]", "checkpoint_every=1",
          "validate_every=2", "valid_clips=1", "valid_seconds=0.25", "log_every=1"]  # fmt: skip


class Samples:
    """Bytes of good files by name, as in FOLDER; `path(name)` where one lies."""

    def __init__(self, folder: Path):
        self.folder = folder
        rng = np.random.default_rng(0)
        self.sounds = {name: self._sound(name, *about) for name, about in SOUNDS.items()}
        self._models(rng)
        self._packets()
        self._run()
        make_folder(folder / "listening", seconds=0.01)
        self._data = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.stat().st_size < 1 << 20}

    def path(self, name: str) -> Path:
        """Where a file lies."""
        return self.folder / name

    def __getitem__(self, name: str) -> bytes:
        """The bytes of a file."""
        return self._data[self.folder / name]

    def _sound(self, name: str, form: str, subtype: str, rate: int, channels: int) -> bytes:
        t = np.arange(int(0.3 * rate)) / rate
        wav = np.stack([0.2 * np.sin(2 * np.pi * 220 * (c + 1) * t) for c in range(channels)], axis=1)
        soundfile.write(self.folder / name, wav, rate, subtype=subtype, format=form)
        return (self.folder / name).read_bytes()

    def _models(self, rng: np.random.Generator) -> None:
        for values in (MODEL, STEREO):
            codec = minicodec.Codec(from_dict(values, "sample"), seed=1)
            codec.quantizer.codebooks[...] = rng.normal(size=codec.quantizer.codebooks.shape)
            codec.quantizer.updates[...] = 1
            codec.eval()
            codec.save(self.folder / f"{values['name']}.safetensors")
        self.codec = minicodec.load(self.folder / "small.safetensors")
        sizes = LanguageModelConfig(Q=2, N=16, context=20, D=8, layers=1, heads=2, hidden=8)
        self.lm = LanguageModel(sizes, codec=self.codec.name, rng=rng)
        self.lm.eval()
        self.lm.save(self.folder / "lm.safetensors")
        write_folder(self.path("theirs"), SMALL, TRANSFORMERS, rng)
        self.path("small.th").write_bytes(th_file({"a": rng.normal(size=(3, 4)), "b.weight": np.zeros(5)}))

    def _packets(self) -> None:
        t = np.arange(RATE * 2) / RATE
        wav = (0.3 * np.sin(2 * np.pi * 200 * t * (1 + t)))[None].astype(np.float32)
        pair = minicodec.load(self.path("pair.safetensors"))
        for name, codec, lm in (
            ("plain", self.codec, None), ("adaptive", self.codec, "adaptive"), ("coded", self.codec, self.lm),
            ("scaled", pair, None), ("scaled-adaptive", pair, "adaptive"),
        ):  # fmt: skip
            sound = wav if codec.channels == 1 else np.concatenate([wav, wav])
            self.path(f"{name}.ecdc").write_bytes(codec.compress(sound, 2.0, lm=lm))
        self.decoded = {
            name: self.codec.decompress(self.path(f"{name}.ecdc").read_bytes(), name, lm).tobytes()
            for name, lm in (("adaptive", None), ("coded", self.lm))
        }

    def _run(self) -> None:
        """A run of two steps, with all that it leaves."""
        os.mkdir(self.path("data"))
        for i in range(2):
            wav = 0.1 * np.random.default_rng(i).normal(size=RATE // 2)
            soundfile.write(self.path(f"data/{i}.wav"), wav, RATE)
        values = dict(MODEL, name="trained")
        recipe = config.from_preset("tiny_24khz", str(self.path("data")), RECIPE)
        recipe = config.replace(recipe, model=from_dict(values, "sample"))
        training = run.start(self.path("run"), recipe)
        training.train()
        training.lock.release()
        os.remove(self.path("run/.lock"))
        _, self.state = checkpoint.load(self.path("run/checkpoints/step-00000002.safetensors"))
        t = np.arange(800) / RATE
        self.tone = np.stack([np.sin(2 * np.pi * 300 * t)] * 2).astype(np.float32)
        self.presets = {name: preset(name).to_dict() for name in ("tiny_24khz", "encodec_48khz", "transform_24khz")}
