"""`minicodec warmup`: afterwards nothing is left to compile, whatever is done."""

import os
import subprocess
import sys

import pytest

from minicodec import cli
from minicodec.kernels.cpu.engine import compile as compile_file

# Real work, of other sizes than the command's. Functions that only compiled code calls (`inner`) are part of others.
AFTERWARDS = """
import sys

import pytest
import numpy as np
import minicodec
from minicodec import cli
from minicodec.cli.warmup import noise
from minicodec.kernels.cpu.engine.compile import Compiled
from minicodec.training.config import from_preset
from minicodec.training.trainer import Trainer

assert cli.main(["warmup"]) == 0
functions = {}
for name, module in list(sys.modules.items()):
    if name.startswith("minicodec."):
        functions |= {f.name: f for f in vars(module).values() if isinstance(f, Compiled)}
print(len(functions) > 20, sorted(name for name, f in functions.items() if not f.entrances))

def kinds():
    return {(name, kind) for name, f in functions.items() for kind in f.entrances}

before = kinds()
for preset in ("tiny_24khz", "mini_24khz", "encodec_24khz"):
    codec = minicodec.build(preset, seed=0)
    for length in (320, 7777):
        codec.decode(codec.encode(noise(1, length), 6))
    encoder, decoder = codec.stream_encoder(3), codec.stream_decoder()
    for length in (10, 1000, 320 * 20):
        decoder.push(encoder.push(noise(1, length)))
    decoder.push(encoder.flush())
changes = ["adversary.enabled=true", "adversary.windows=[128]", "adversary.filters=4"]
trainer = Trainer(from_preset("tiny_24khz", "", changes))
for B in (1, 3):
    trainer.update(noise(B, 3200, 1))
print(sorted(kinds() - before))
"""


@pytest.mark.thorough
def test_nothing_is_left_to_compile():
    command, environment = [sys.executable, "-c", AFTERWARDS], {**os.environ, "MINICODEC_QUIET": "1"}
    done = subprocess.run(command, text=True, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first.startswith("all is compiled, in ")
    assert rest == ["True []", "[]"]
    assert done.stderr.splitlines()[0] == "1 of 6: encoding and decoding"


def test_what_cannot_be_kept_is_not_compiled(monkeypatch, capsys):
    monkeypatch.setattr(compile_file, "_folders", list)
    compile_file.folder_to_write.cache_clear()
    assert cli.main(["warmup"]) == 2
    compile_file.folder_to_write.cache_clear()
    assert "NUMBA_CACHE_DIR" in capsys.readouterr().err
