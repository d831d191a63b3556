"""Threads that go through a recurrence together: each does a part of every frame, and all meet between frames.

A recurrence cannot hand whole frames to threads, for each frame needs the last one; and a part of a frame takes some
30 µs, less than it takes to wake a thread. So all run at the same time, and tell each other by words in memory that
they watch (signals.py), which takes some 0.2 µs:

    leader                                            the others
    waits until all of the team have done the frame   tells that its part is done
    tells who is in the team of the next frame        waits to be told

The leader is whoever wants the work done. Nobody knows when, or whether, the operating system lets the others run: it
waits for them a moment and begins, and who arrives later belongs to the team from the next frame on. If the machine is
busy with other things, a thread may lose its core in the middle of its part. The leader waits for it, but not more
often than it is worth: then it dismisses all and goes on alone. So who does which part is chance, and the work must be
such that this changes no bit.

    team = new_team(threads)                          before `share_out` gives it to all of them, the leader first
    rank, now = arrive(team, leads)
    while True:
        now = meet(team, rank, now, frames)
        frame, parts = frame_of(now), parts_of(now)
        if frame >= frames:
            break
        ... part number `rank` of so many parts of the frame, if rank < parts
"""

import numpy as np

from minicodec.kernels.cpu.engine.addresses import address
from minicodec.kernels.cpu.engine.compile import inner
from minicodec.kernels.cpu.engine.signals import LINE, fetch_add, let_others_run, load, spin, store

WORD = 8 * LINE  # bytes from one to the next
ARRIVED, NOW = 0, WORD  # how many others have come; the frame and in how many parts it is done
LATE, DONE = 2 * WORD, 3 * WORD  # how often the leader had to wait long; what rank 1, 2, ... has done
PARTS = 1 << 10  # more than there are parts: frame · PARTS + parts are told in one word
FIRST = np.int64(1 - PARTS)  # before frame 0, done by one
OVER = 1 << 60  # tells the others to go
SPINS = 2000  # of some 30 ns, before somebody else may have the core
PATIENCE, EARNED = 10, 8  # so many times the leader waits for so many spins, and once more for so many frames done


def new_team(threads):
    """-> words, a line each: three, and one for each of the others."""
    return np.zeros((2 + threads) * LINE, np.int64)


@inner
def arrive(team, leads):
    """-> rank, 0 for the leader, 1, 2, ... for the others as they come; and the first `now`."""
    return (0 if leads else fetch_add(address(team) + ARRIVED, 1) + 1), FIRST


@inner
def frame_of(now):
    """0 ... frames - 1, more when all is over."""
    return now // PARTS


@inner
def parts_of(now):
    """Into how many parts the frame is cut, one for each of the team."""
    return now % PARTS


@inner
def meet(team, rank, now, frames):
    """The end of this thread's part of a frame, and the start of the next, -> the next `now`."""
    words = address(team)
    following = (now // PARTS + 1) * PARTS
    if rank > 0:
        store(words + DONE + WORD * (rank - 1), following)
        while not spin(words + NOW, following + 1, SPINS):
            let_others_run()
        return load(words + NOW)

    for other in range(1, now % PARTS):
        while not spin(words + DONE + WORD * (other - 1), following, SPINS):
            fetch_add(words + LATE, 1)
            let_others_run()
    if load(words + NOW) == OVER:
        return following + 1
    if following == 0:
        spin(words + ARRIVED, team.size // LINE - 3, SPINS)
    if load(words + LATE) > PATIENCE + now // PARTS // EARNED or following >= frames * PARTS:
        store(words + NOW, OVER)
        return following + 1
    now = following + 1 + load(words + ARRIVED)
    store(words + NOW, now)
    return now
