"""Streams, events, and graphs of captured work, as CUDA and CuPy have them.

    capturing     nothing runs; what waits for the device, copies from the host, is launched on another stream, takes
                  memory from the common pool, or calls cuBLAS by way of CuPy, is refused
    launching     what would have run runs, on the arrays that it would have run on

NumPy tells the shape of a result only by computing it. So what makes new arrays is computed while it is captured, too,
of whatever numbers; at the end all new arrays are filled with NaN. What changes arrays is not.
"""

import time
from contextlib import contextmanager, nullcontext

import numpy as np

CAPTURES = []  # the one under way
STREAMS = []  # `with stream:` blocks
ALLOCATORS = []  # `with using_allocator(...)` blocks
NOTHING = 0xFF  # in all bytes: NaN


def launch(compute):
    """What the host arrays of `compute()` are: work of the device, which a capture records."""
    with np.errstate(all="ignore") if CAPTURES else nullcontext():
        result = compute()
    if isinstance(result, np.generic):
        result = np.asarray(result)
    if CAPTURES and result is not NotImplemented:
        CAPTURES[-1].record(compute, result)
    return result


def change(compute):
    """Work of the device that makes no new arrays."""
    if CAPTURES:
        CAPTURES[-1].record(compute, None)
    else:
        compute()


def owner_of(a):
    """The array whose memory it is."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a


class Capture:
    """All that is launched between begin_capture and end_capture."""

    def __init__(self, stream, memory):
        self.stream, self.memory, self.work, self.new, self.invalid = stream, memory, [], [], False

    def refuse(self, what):
        """It is an error, and the capture has failed."""
        self.invalid = True
        raise RuntimeError(f"cudaErrorStreamCaptureUnsupported: {what} while a stream is capturing")

    def allocate(self, owner):
        """A new array."""
        if not ALLOCATORS:
            self.refuse("memory of the common pool")
        self.new.append(owner)

    def record(self, compute, result):
        """A launch."""
        if not STREAMS or STREAMS[-1] is not self.stream:
            self.refuse("a launch on another stream")
        if result is None:
            self.work.append(compute)
            return
        results = [r for r in (result if isinstance(result, tuple | list) else [result]) if isinstance(r, np.ndarray)]
        results = [(i, r) for i, r in enumerate(results) if id(owner_of(r)) not in self.memory.owners]  # no views

        def again():
            found = compute()
            found = found if isinstance(found, tuple | list) else [found]
            for i, r in results:
                r[...] = found[i]

        if results:
            self.work.append(again)

    def end(self):
        """Nothing has run."""
        for a in self.new:
            a.reshape(-1).view(np.uint8)[...] = NOTHING
        if self.invalid:
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        return Graph(self.work, ALLOCATORS[-1])


class Graph:
    """cupy.cuda.Graph."""

    def __init__(self, work, pool):
        self.work, self.pool = work, pool

    def launch(self, stream=None):
        """Run it all."""
        for work in self.work:
            work()


class MemoryPool:
    """cupy.cuda.MemoryPool."""

    def malloc(self, size):
        """What `using_allocator` is given."""
        raise AssertionError("arrays of this module take their memory from NumPy")


@contextmanager
def using_allocator(allocator):
    """Arrays made in this block come from there."""
    ALLOCATORS.append(allocator.__self__)
    try:
        yield
    finally:
        ALLOCATORS.pop()


class Stream:
    """cupy.cuda.Stream. Work is done at once, also that of a stream that runs beside the others."""

    def __init__(self, null=False, non_blocking=False, memory=None, wait=None):
        self.memory, self.wait = memory, wait
        self.ptr = 0 if null else id(self)
        self.copies = []  # (array of the host, what it held), while nobody has waited for them
        self.waited, self.targets = 0.0, {}  # up to when it has waited for the null stream; address -> last copy there

    def __enter__(self):
        STREAMS.append(self)
        return self

    def __exit__(self, *_):
        STREAMS.pop()

    def begin_capture(self, mode=None):
        """From here on, nothing runs."""
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        CAPTURES.append(Capture(self, self.memory))

    def end_capture(self):
        """The graph of what has not run."""
        return CAPTURES.pop().end()

    def copying(self, array, target):
        """A copy from the host has been told to begin: until somebody has waited for it, the array must not change.

        Where it goes, the null stream may be at work until an event of it that came after the copy before.
        """
        self.check()
        if self.waited <= self.targets.get(target, 0):
            raise RuntimeError("an array of the device is written before the work that may read it is over")
        self.targets[target] = time.perf_counter()
        self.copies.append((array, array.copy()))

    def check(self):
        """Is what is being copied still what it was?"""
        if not all(array.tobytes() == content.tobytes() for array, content in self.copies):
            raise RuntimeError("pinned memory was overwritten while it was being copied")

    def wait_event(self, event):
        """This stream goes on when the event has come."""
        if event.stream is not None:
            event.stream.check()
        if event.stream is None and event.time is not None:  # recorded on the null stream
            self.waited = max(self.waited, event.time)

    def synchronize(self):
        """Python goes on when all is done."""
        self.check()
        self.copies.clear()
        if self.ptr == 0:
            self.wait("synchronize()")


class Event:
    """A mark in the stream of work, which here is done at once."""

    wait = None  # set by the package
    stream = None

    def __init__(self, block=False, disable_timing=False):
        self.time, self.copies = None, []

    def record(self, stream=None):
        """Now."""
        self.time, self.stream = time.perf_counter(), stream
        self.copies = list(stream.copies) if stream else []

    def synchronize(self):
        """Wait until the device is here. For a stream that only copies, that is not to wait for the work."""
        if self.time is None:
            return  # it has never been recorded: nothing to wait for
        if self.stream is None or self.stream.ptr == 0:
            Event.wait("synchronize()")
        else:
            self.stream.check()
            self.stream.copies = [copy for copy in self.stream.copies if not any(copy is c for c in self.copies)]
