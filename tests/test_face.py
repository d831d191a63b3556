"""What Python shows of minicodec: its names, its help, and objects at a prompt."""

import pydoc
import subprocess
import sys
from importlib.resources import files

import numpy as np

import minicodec
from minicodec.codec.files.bitstream import Chunk
from minicodec.codec.language_model import LanguageModel, LanguageModelConfig


def test_names_are_shown_before_anybody_asks_for_them():
    ask = "import minicodec; print(*dir(minicodec))"
    shown = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    assert set(shown) >= set(minicodec.__all__)
    public = [name for name in shown if not name.startswith("_")]
    assert public == ["Codec", "build", "dataset", "decompress", "fetch", "load", "load_language_model"]
    assert all(getattr(minicodec, name) for name in public)


def test_help():
    text = pydoc.render_doc(minicodec, renderer=pydoc.plaintext)
    for said in ("class Codec(", "build(preset: str", "load(", "codec.compress(wav, kbps=6)"):
        assert said in text


def test_type_checkers_are_told_that_there_are_types():
    assert (files(minicodec) / "py.typed").is_file()


def test_objects_say_what_matters(rng):
    codec = minicodec.build("tiny_24khz")
    assert repr(codec) == (
        "Codec(tiny_24khz: 24000 Hz mono, 75 frames per second, 0.75, 1.5, 3, 6 kbps, 0.657 million weights, on cpu)"
    )
    assert repr(codec.encode(np.zeros((1, 24_000), np.float32))) == "[Chunk(8 codebooks x 75 frames)]"
    assert repr(Chunk(np.zeros((2, 3), np.int16), 0.12345)) == "Chunk(2 codebooks x 3 frames, scale 0.123)"
    model = LanguageModel(LanguageModelConfig(2, 16, 8, D=8, layers=1, heads=2, hidden=8), codec="tiny-1", rng=rng)
    assert repr(model) == "LanguageModel(of tiny-1: 2 codebooks of 16, 0.00104 million weights)"
