"""Applications without a console (pythonw sets stdout and stderr to None), or that have closed theirs."""

import subprocess
import sys

import pytest

from tests.small_run import SETTINGS, make_audio

WITHOUT = {
    "None": "import sys; sys.stdout = sys.stderr = None",
    "closed": "import sys; sys.stdout.close(); sys.stderr.close()",
}
PROGRAM = """
import os
import numpy as np
import minicodec
from pathlib import Path
from minicodec.cli import main
from minicodec.download import ProgressLines
model, data, out = sys.argv[1:4]
codec = minicodec.load(model)
wav = codec.decode(codec.encode(np.zeros((1, 4000), np.float32), kbps=6))
packet = codec.compress(wav, kbps=6)
minicodec.decompress(packet, codec)
encoder = codec.stream_encoder(kbps=6)
encoder.push(wav)
encoder.flush()
ProgressLines("x")(10, 10)
clip = f"{data}/chord0.wav"
commands = [
    (0, "--version"),
    (0, "encode", clip, f"{out}/a.ecdc", "-m", model),
    (0, "info", f"{out}/a.ecdc"),
    (0, "info", model),
    (0, "decode", f"{out}/a.ecdc", f"{out}/a.wav", "-m", model),
    (2, "decode", f"{out}/a.ecdc", f"{out}/a.wav"),
    (2, "no"),
    (0, "train", "tiny_24khz", "--data", data, "--out", f"{out}/run", "--set", *sys.argv[4:]),
    (0, "data", "list"),
    (0, "encode", "--help"),
]
streams = sys.stdout, sys.stderr
for status, *command in commands:
    try:
        found = main(command)
    except SystemExit as left:
        found = left.code
    if found != status:
        os._exit(100 + commands.index((status, *command)))
assert streams == (sys.stdout, sys.stderr)
os._exit(7 if Path(out, "run", "curves.png").exists() else 1)
"""


@pytest.fixture
def arguments(tmp_path, model):
    return [model, make_audio(tmp_path / "audio"), tmp_path, *SETTINGS, "steps=2"]


@pytest.mark.thorough
@pytest.mark.parametrize("how", WITHOUT)
def test_the_library_and_the_command_line(how, arguments):
    """Coding, a stream, ten commands, a training with its pictures."""
    done = subprocess.run([sys.executable, "-c", WITHOUT[how] + PROGRAM, *arguments], check=False)
    assert done.returncode == 7


def test_the_command_line_without_descriptors(arguments):
    """As `minicodec info MODEL >&- 2>&-` starts it."""
    model = arguments[0]
    program = f'exec "{sys.executable}" -m minicodec info "{model}" >&- 2>&-'
    assert subprocess.run(["bash", "-c", program], check=False).returncode == 0
