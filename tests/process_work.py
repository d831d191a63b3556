"""What the processes of test_processes.py do. They import this module, so it imports little."""

import os
import time

from minicodec.evaluation.processes import THREADS


def begin(folder):
    global place
    place = folder


def note(item):
    """Write into a file what a worker sees."""
    with open(os.path.join(place, f"{item}-{os.getpid()}"), "w", encoding="utf-8") as file:
        file.write(" ".join(os.environ.get(name, "") for name in THREADS))
    if item == 13:
        raise ValueError("unlucky")


def sleep(seconds):
    time.sleep(seconds)
