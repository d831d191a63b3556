"""Stands between the grader and a process that runs a student's code, and leaves nothing of that process behind.

Started by the path of this file, it imports nothing of the library; the child does that after the fork. A student's
code may fork, start pools, or give its children sessions of their own. On Linux those whose parent has died become
children of this process (PR_SET_CHILD_SUBREAPER), so it finds and ends them all. Elsewhere it ends the child's group.

standard input: one line, the request; its end is the order to stop, which also comes when the grader itself dies.
argument: the number of the descriptor to which the child writes its messages.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
PATIENCE = 5.0  # seconds to end descendants that multiply meanwhile


def main(messages: int) -> int:
    """Let the child work until it ends or the order to stop comes; then end all it has started. Its exit status."""
    request = b""
    while not request.endswith(b"\n"):
        piece = os.read(0, 1 << 16)
        if not piece:
            return 1
        request += piece
    if LINUX:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    warden = os.getpid()
    child = os.fork()
    if child == 0:
        work(request, messages, warden)
    os.close(messages)
    status = None
    while status is None:
        stop = bool(select.select([0], [], [], 0.02)[0])
        if stop:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
        else:
            status = reap(child)
    end_descendants(child)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def work(request: bytes, messages: int, warden: int) -> None:
    """Become the student's process, and never return."""
    code = 1
    try:
        os.setsid()
        if LINUX:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != warden:
                return
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        from minicodec.course import submission

        submission.main(json.loads(request), messages)
        code = 0
    finally:
        os._exit(code)  # without waiting for threads, pools and what else may still be at work


def reap(child: int) -> int | None:
    """Collect all descendants that have ended; the child's status if it was among them."""
    status = None
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                status = ended[1]
    except ChildProcessError:
        pass
    return status


def end_descendants(child: int) -> None:
    """End the child's group, and on Linux every process that descends from this one."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    end = time.monotonic() + PATIENCE
    while LINUX and time.monotonic() < end:
        reap(child)
        found = descendants()
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def descendants() -> list[int]:
    """The processes below this one, from /proc."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                state, parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            except OSError:
                continue  # it has ended
            if state != "Z":
                children.setdefault(int(parent), []).append(int(folder.name))
    found, seek = [], [os.getpid()]
    while seek:
        below = children.get(seek.pop(), [])
        found += below
        seek += below
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
