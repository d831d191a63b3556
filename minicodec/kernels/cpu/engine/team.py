"""Threads that go through a recurrence together: each does a part of every frame, and all meet between frames.

A recurrence cannot hand whole frames to threads, for each frame needs the last one; and a part of a frame takes some
30 µs, less than it takes to wake a thread. So all run at the same time, and tell each other by words in memory that
they watch (atomics.py), which takes some 0.2 µs:

    the leader                                        the others
    waits until all have done the frame               tell that their part is done
    tells that the next frame may begin               wait to be told

The leader, rank 0, is whoever wants the work done. Nobody knows when, or whether, the operating system lets the others
run: it waits for them a moment, and begins alone; when all have come, the next frame is done together. If the machine
is busy with other things, a thread may lose its core in the middle of its part. The leader waits for it, but not more
often than it is worth: then it dismisses all and goes on alone. So who does which part is chance, and the work must be
such that this changes no bit.

    team = new_team(threads)                          before `share_out` gives it to all of them
    frame, parts = START
    while True:
        frame, parts = meet(team, rank, frame, parts, frames)
        if frame >= frames:
            break
        ... part number `rank` of so many parts of the frame
"""

import numpy as np

from minicodec.kernels.cpu.engine.addresses import address
from minicodec.kernels.cpu.engine.atomics import LINE, let_others_run, load, spin, store
from minicodec.kernels.cpu.engine.compile import inner

WORD = 8 * LINE  # bytes from one to the next. Word `rank` tells how many frames, and 1, that thread has done (0: not
# there yet); word 0 how many, and 1, it may have done after the next; the last word is the leader's own:
START = -1, 1  # no frame, done by one
OVER = 1 << 60  # in word 0: the others may go
SPINS = 2000  # of some 30 ns, before somebody else may have the core
PATIENCE, EARNED = 10, 8  # so many times the leader waits for so many spins, and once more for so many frames done


def new_team(threads):
    """-> words, one for each thread and one to count how often the leader had to wait long."""
    return np.zeros((threads + 1) * LINE, np.int64)


@inner
def meet(team, rank, frame, parts, frames):
    """The end of this thread's part of a frame, and the start of the next one -> that, and in how many parts."""
    words, threads = address(team), team.size // LINE - 1
    if rank > 0:
        store(words + WORD * rank, frame + 2)
        while not spin(words, frame + 2, SPINS):
            let_others_run()
        return load(words) - 1, threads

    late = words + WORD * threads
    for other in range(1, parts):
        while not spin(words + WORD * other, frame + 2, SPINS):
            store(late, load(late) + 1)
            let_others_run()
    frame += 1
    if load(words) == OVER:
        return frame, 1
    if frame >= frames or load(late) > PATIENCE + frame // EARNED:
        store(words, OVER)
        return frame, 1
    here = True
    for other in range(1, threads):
        here &= spin(words + WORD * other, 1, SPINS if frame == 0 else 1)
    if here and threads > 1:
        store(words, frame + 1)
        return frame, threads
    return frame, 1
