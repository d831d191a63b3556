"""Batches reach the GPU through pinned memory, beside the work on the batch before."""

import numpy as np
import pytest

from minicodec.training import feed
from minicodec.training.feed import Feed
from tests import pretend_gpu


def batches(count, shape=(2, 30, 1)):
    return [np.full(shape, i, np.float32) for i in range(1, count + 1)]


def test_all_arrive(gpu, no_host_reads):
    """Also after batches of another size; each stays until two more have been sent."""
    send, sent = Feed(gpu), [*batches(5), *batches(3, (1, 7, 1)), *batches(2)]
    with no_host_reads():
        arrived = [send(x) * 1 for x in sent]
        last = [send(x) for x in sent[:2]]
    for x, y in zip([*sent, *sent[:2]], [*arrived, *last], strict=True):
        np.testing.assert_array_equal(gpu.asnumpy(y), x)


def test_what_is_being_copied_is_not_overwritten(monkeypatch):
    """The stand-in notices where Python does not wait for a copy."""
    cupy = pretend_gpu.install(monkeypatch)
    send = Feed(cupy)
    for x in batches(feed.PLACES):
        send(x)
    monkeypatch.setattr(cupy.cuda.Event, "synchronize", lambda event: None)
    with pytest.raises(RuntimeError, match="overwritten while it was being copied"):
        send(batches(3)[-1])


def test_a_batch_in_use_is_not_overwritten(monkeypatch):
    """The stand-in notices where a copy does not wait for the step that reads what was there before."""
    cupy = pretend_gpu.install(monkeypatch)
    send = Feed(cupy)
    for x in batches(feed.PLACES):
        send(x)
    wait = cupy.cuda.Stream.func.wait_event
    monkeypatch.setattr(cupy.cuda.Stream.func, "wait_event", lambda s, e: wait(s, e) if s.ptr == 0 else None)
    send(batches(3)[-1])  # its place was free when the second place was made, and the stream waited for that
    with pytest.raises(RuntimeError, match="written before the work that may read it"):
        send(batches(4)[-1])
