"""Of two trainings in one folder the second is refused, until the first has ended, in whatever way."""

import errno
import gc
import signal
import subprocess
import sys

import pytest

from minicodec import lock
from minicodec.errors import InputError
from minicodec.lock import NAME, Lock
from minicodec.training import config, run as runs
from tests.small_run import SETTINGS, make_audio

HOLD = """
import sys, time
from pathlib import Path
from minicodec.lock import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_dead_owner_does_not_hold_it(tmp_path, how):
    command = [sys.executable, "-c", HOLD, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
        try:
            assert owner.stdout.readline() == b"held\n"
            with pytest.raises(InputError) as caught:
                Lock(tmp_path).acquire()
            assert str(caught.value) == f"{tmp_path}: another command is at work in it (process {owner.pid})"
        finally:
            owner.send_signal(how)
    Lock(tmp_path).acquire()


def test_it_ends_with_its_object_and_with_an_error_in_a_block(tmp_path):
    first = Lock(tmp_path)
    first.acquire()
    first.acquire()
    with pytest.raises(InputError):
        Lock(tmp_path).acquire()
    del first
    gc.collect()
    second = Lock(tmp_path)
    with pytest.raises(RuntimeError), second.kept():
        raise RuntimeError
    third = Lock(tmp_path)
    with third.kept():
        pass
    with pytest.raises(InputError):
        second.acquire()
    third.release()
    with second.held():
        pass
    third.acquire()


def test_a_disk_without_locks_keeps_nobody_out(tmp_path, monkeypatch):
    def none(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_lock", none)
    with Lock(tmp_path).held(), Lock(tmp_path).held():
        assert (tmp_path / NAME).is_file()


def test_two_trainings_in_one_folder(tmp_path):
    """The second is refused before it has changed anything; after the first has ended, the folder is free."""
    data = make_audio(tmp_path / "audio")
    recipe = config.from_preset("tiny_24khz", str(data), [*SETTINGS, "steps=2"])
    first = runs.start(tmp_path / "run", recipe)
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with pytest.raises(InputError, match="another command is at work in it"):
        runs.resume(tmp_path / "run", steps=5)
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before
    assert first.train()
    assert runs.resume(tmp_path / "run", steps=3).train()
    other = tmp_path / "other"
    other.mkdir()
    (other / NAME).write_text("")  # of a start that failed
    assert runs.start(other, recipe).train()
