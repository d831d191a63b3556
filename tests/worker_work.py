"""What the processes of test_workers.py do. They import this module, so it imports little."""

import os
import signal
import time
from pathlib import Path

from minicodec.workers import THREADS


def begin(folder):
    with open(os.path.join(folder, f"begin-{os.getpid()}"), "x", encoding="utf-8"):
        return folder


def note(folder, item):
    """Write into a file what a worker sees."""
    with open(os.path.join(folder, f"{item}-{os.getpid()}"), "w", encoding="utf-8") as file:
        file.write(" ".join(os.environ.get(name, "") for name in THREADS))
    if item == 13:
        raise ValueError("unlucky")
    return 10 * item


def die(folder, item):
    """Item 2 kills whoever does it, item 1 only who does it first."""
    mark = Path(folder, "killed")
    if item == 2 or (item == 1 and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * item


def sleep(folder, seconds):
    time.sleep(seconds)
