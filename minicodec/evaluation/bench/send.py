"""Starts a process that measures (`child.py`), passes on what it says, and ends it when its time is up."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from threading import Event, Timer
from typing import Any

from minicodec.errors import InputError
from minicodec.evaluation.bench.child import Order

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class ChildError(InputError):
    """A child that could not do its work. The message is one line that says which and why."""


class LateError(ChildError):
    """A child that was not ready in time."""


def send(order: Order, limit: float | None = None) -> Iterator[dict[str, Any]]:
    """Start a child, and pass on its answers as they come.

    ChildError: it failed, or was killed. LateError: it took longer than `limit` seconds, and was ended.
    """
    command = [sys.executable, "-m", "minicodec.evaluation.bench.child", json.dumps(asdict(order))]
    environment = os.environ | dict.fromkeys(THREADS, str(order.threads))
    who = f"bench: {order.what}, {counted(order.threads)}"
    late = Event()
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr,
        # A session of its own: compilers start processes, which have to end with it.
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, env=environment, text=True, start_new_session=True
        ) as child,
    ):
        timer = Timer(limit or 0, _end, (child, late))
        timer.daemon = True
        if limit:
            timer.start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                if not line.startswith("{"):  # compilers talk
                    continue
                answer = json.loads(line)
                if "error" in answer:
                    raise ChildError(f"{who}: {answer['error']}")
                yield answer
            status = child.wait()
        finally:
            timer.cancel()
            _end(child)
        if late.is_set():
            raise LateError(f"{who}: not done in {limit:g} s")
        if status:
            stderr.seek(0)
            reasons = stderr.read().strip().splitlines() or ["it says nothing; is the memory full?"]
            raise ChildError(f"{who}: the process ended with {status}: {reasons[-1]}")


def _end(child: subprocess.Popen[str], late: Event | None = None) -> None:
    """The child, and all that it has started."""
    if child.poll() is None:
        if late is not None:
            late.set()
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()


def counted(threads: int) -> str:
    """As in "2 threads"."""
    return f"{threads} thread{'s' * (threads > 1)}"
