"""From Python into machine code: each argument arrives as what it is, or not at all; and Python goes on meanwhile."""

import threading

import numpy as np
import pytest
from numba.core.errors import NumbaError

from minicodec.kernels.cpu.engine.addresses import address
from minicodec.kernels.cpu.engine.atomics import load, store
from minicodec.kernels.cpu.engine.compile import compiled, inner


@inner
def _half(x):
    return x / 2, -x


@compiled
def describe(whole, single, double, pair, a, out):
    """Everything that an entrance reads: numbers, a tuple, and an array's shape, strides and numbers."""
    out[0], out[1], out[2] = whole, single, double
    out[3], out[4] = pair[0], pair[1][0]
    out[5], out[6], out[7] = a.size, a.shape[0], a.shape[1]
    out[8], out[9], out[10] = a.strides[0], a.strides[1], a[1, 2]
    out[11], out[12] = _half(double)


GOOD = {"whole": -1, "single": np.float32(0.1), "double": 0.1, "pair": (2**40, (7,))}
GOOD["a"] = np.arange(12.0).reshape(3, 4)
EXPECTED = [-1, float(np.float32(0.1)), 0.1, 2**40, 7, 12, 3, 4, 32, 8, 6, 0.05, -0.1]


def described(**changes):
    out = np.zeros(13)
    describe(*{**GOOD, **changes}.values(), out)
    return out.tolist()


def test_each_argument_arrives():
    assert described() == EXPECTED
    kinds = len(describe.entrances)
    assert described() == EXPECTED
    assert len(describe.entrances) == kinds


class Odd(np.ndarray):
    """Somebody's kind of array."""


READ_ONLY = np.arange(12.0).reshape(3, 4)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize("change", [
    {"a": READ_ONLY}, {"a": GOOD["a"].view(Odd)}, {"a": GOOD["a"].view(np.dtype(np.float64, metadata={"of": "them"}))},
    {"whole": np.int32(-1)}, {"pair": (np.int64(2**40), (np.uint8(7),))}, {"double": np.float64(0.1)},
])  # fmt: skip
def test_what_is_the_same_to_the_code(change):
    assert described(**change) == EXPECTED


def test_other_kinds_get_code_of_their_own_and_each_call_its_own():
    """One after the other, so that the code for the one would be tried on the other."""
    ints, turned = GOOD["a"].astype(np.int64), np.ascontiguousarray(GOOD["a"].T).T
    for _ in range(2):
        assert described() == EXPECTED
        assert described(a=ints) == EXPECTED
        assert described(a=turned) == [*EXPECTED[:8], 8, 24, *EXPECTED[10:]]
        assert described(single=0.1) == [-1, 0.1, *EXPECTED[2:]]
        assert described(whole=0.5) == [0.5, *EXPECTED[1:]]


@pytest.mark.parametrize(("change", "error"), [
    ({"whole": "1"}, TypeError), ({"whole": None}, TypeError), ({"a": GOOD["a"].tolist()}, TypeError),
    ({"a": GOOD["a"].astype(">f8")}, TypeError), ({"whole": 2**63}, OverflowError),
    ({"a": np.frombuffer(b"0" * 97, np.uint8)[1:].view(np.float64).reshape(3, 4)}, TypeError),
])  # fmt: skip
def test_what_the_code_cannot_take(change, error):
    """Another order of bytes, or none that the processor likes, among them."""
    with pytest.raises(error):
        described(**change)


def test_what_may_not_be_written_is_not():
    out = np.zeros(13)
    describe(*GOOD.values(), out)  # code that writes is there
    kept = out.copy()
    out.flags.writeable = False
    with pytest.raises(NumbaError, match="readonly"):
        describe(*{**GOOD, "whole": 5}.values(), out)
    np.testing.assert_array_equal(out, kept)


def test_too_few_and_too_many_arguments():
    described()
    for args in ((), (1,), (*GOOD.values(), np.zeros(13), 1)):
        with pytest.raises(TypeError):
            describe(*args)


@compiled
def returning(x):
    return x + 1


@compiled
def allocating(y):
    y[0] = np.zeros(3)[0]


@compiled
def reshaping(y):
    y[0] = y.reshape(1, 1)[0, 0]


@pytest.mark.parametrize(("function", "problem"), [
    (returning, r"^returning returns int64: compiled functions fill arrays$"),
    (allocating, r"Only accept returning of array passed into the function"),
    (reshaping, r"^reshaping: its code calls numba_attempt_nocopy_reshape, which is there only with Numba$"),
])  # fmt: skip
def test_functions_that_do_more_than_fill_arrays(function, problem):
    """They are refused when they are compiled; their code would end a process that has not imported Numba."""
    with pytest.raises((TypeError, NumbaError), match=problem):
        function(1 if function is returning else np.ones(1))


@compiled
def wait_for(word, turns):
    """Until another thread has written a word; then answer."""
    while turns > 0 and load(address(word)) == 0:
        turns -= 1
    store(address(word) + 8, turns)


def test_python_goes_on_meanwhile():
    word = np.zeros(2, np.int64)
    wait_for(word, 0)  # compiled
    waiting = threading.Thread(target=wait_for, args=(word, 10**10))
    waiting.start()
    word[0] = 1
    waiting.join()
    assert word[1] > 0
