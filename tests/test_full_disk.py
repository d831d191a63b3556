"""A training whose disk is full: the last checkpoint stays, and one line says what to do."""

import json
import subprocess
import sys

import pytest

from minicodec.cli import main
from minicodec.training import checkpoint
from tests.small_run import SETTINGS, make_audio

# No file of this process can become larger than the limit: then writing fails as it does on a full disk.
PROGRAM = """
import resource, signal, sys
limit = int(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from minicodec.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def run(tmp_path):
    data, folder = make_audio(tmp_path / "audio"), tmp_path / "run"
    command = ["train", "tiny_24khz", "--data", data, "--out", folder, "--steps", 4, "--set", *SETTINGS]
    assert main([*map(str, command)]) == 0
    return folder


def test_the_last_checkpoint_stays(run):
    """Too small for a checkpoint, and then too small for the log."""
    (last,) = checkpoint.in_folder(run / "checkpoints")
    content = last.read_bytes()
    with (run / "log.jsonl").open("a") as file:  # longer than the other files, which are written before it
        file.write('{"step": 1}\n' * 1000)
    log = (run / "log.jsonl").stat().st_size
    for limit, unwritten in ((len(content) // 2, "checkpoints/step-00000008.safetensors"), (log + 10, "log.jsonl")):
        command = [sys.executable, "-c", PROGRAM, str(limit), "train", "--resume", str(run), "--steps", "12"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        line = done.stderr.splitlines()[-1]
        assert line.startswith(f"minicodec: {run / unwritten}: cannot be written (")
        assert line.endswith(f"; {last} is whole; when there is room again, go on with: minicodec train --resume {run}")
        assert checkpoint.in_folder(run / "checkpoints") == [last]
        assert last.read_bytes() == content
        assert not list(run.rglob("*.tmp*"))
    assert main(["train", "--resume", str(run), "--steps", "5"]) == 0
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert sorted(set(steps)) == [1, 2, 3, 4, 5]
