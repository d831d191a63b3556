"""Every op, in every case, on arrays of the GPU: its values and gradients are those of the definition in float64.

Nothing in an op may wait for the device: Python would stop once in every layer of every step.
"""

import numpy as np
import pytest

from tests.test_ops import INTEGER_RESULTS, assert_close, every_case, gradients, rng

__all__ = ["rng"]  # a fixture
IN_PARTS = {"residual_unit"}  # has no pair of its own there: functional runs its layers


def as_it_is(gpu, a):
    return gpu.asarray(a)


def strided(gpu, a):
    """The same numbers on the device, not contiguous in memory."""
    wide = gpu.zeros(tuple(2 * n for n in a.shape), a.dtype)
    view = wide[(..., *(slice(None, None, 2) for _ in a.shape))]
    view[...] = gpu.asarray(a)
    return view


@pytest.mark.parametrize("layout", [as_it_is, strided])
@pytest.mark.parametrize(("op", "case"), [p for p in every_case() if p.values[0].name not in IN_PARTS])
def test_equals_definition(op, case, layout, gpu, no_host_reads, rng):
    host = case.arrays(np.float32)
    arrays = [layout(gpu, a) for a in host]
    with no_host_reads():
        forward, backward = op.pair(*arrays)
        y, saved = forward(*arrays, **case.attrs)
    host_dy = rng.normal(size=y.shape).astype(np.float32)
    dy = layout(gpu, host_dy)
    with no_host_reads():
        grads = gradients(op, arrays, backward(dy, saved, **case.attrs))
    assert all(isinstance(a, gpu.ndarray) for a in [y, *grads])
    for a, before in zip([*arrays, dy], [*host, host_dy], strict=True):
        np.testing.assert_array_equal(gpu.asnumpy(a), before, "an input was modified")

    forward, backward = op.pairs["numpy"]
    exact = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in host]
    y_exact, saved = forward(*exact, **case.attrs)
    grads_exact = gradients(op, exact, backward(host_dy.astype(np.float64), saved, **case.attrs))
    assert y.dtype == (np.int64 if op.name in INTEGER_RESULTS else np.float32)
    assert_close(gpu.asnumpy(y), y_exact, 3e-6, "y")
    for g, g_exact in zip(grads, grads_exact, strict=True):
        assert g.dtype == np.float32
        assert_close(gpu.asnumpy(g), g_exact, 3e-6, "gradient")
