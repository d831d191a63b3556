"""A range coder: symbols of known frequencies become bytes, at a cost of log2(total / frequency) bits [Martin79].

A message is a number, written as bytes. At first it may be anything; every symbol narrows the interval of what it may
still be to a part of it, as large a share as the symbol has of the counts:

    low                                                              low + width
     |------ symbol 0 ------|- symbol 1 -|-------- symbol 2 --------|
    cum[0] = 0            cum[1]       cum[2]                   cum[3] = total           in units of width // total

As soon as the interval is so narrow that only its lowest 40 bits are open, the digit above them is written, a byte, and
the rest is multiplied by 256. A written digit can still turn out one too small (low has grown beyond 48 bits): digits
may hold 256 and more until, at the end, the carries are added as in a sum on paper. Last comes a digit that picks the
number of the interval with the most zeros; zeros at the end are not written.

All is integers below 2^50, and so the same everywhere. A total is at most 2^24 and a width at least 2^40: what a symbol
loses to the rounding of width // total is less than 2^-16 of its share, or 0.00002 bits.

The functions are plain Python; the same lines, compiled, are the fast pair.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from minicodec import backend

TOTAL_BITS = 24  # cumulative counts end at 2^24 or below
OPEN_BITS = 40  # of the interval, at least; one digit stands above them
BOTTOM, FULL = 1 << OPEN_BITS, 1 << OPEN_BITS + 8
DAMAGED = -1  # stands for a symbol that no encoder can have meant


def _encode(starts, stops, totals, digits):
    """Symbols whose counts are start … stop - 1 of 0 … total - 1, (symbols,) int64 each -> digits, which were zeros."""
    size, low, width = 0, 0, FULL
    for i in range(len(starts)):
        unit = width // totals[i]
        low += starts[i] * unit
        width = (stops[i] - starts[i]) * unit
        while width < BOTTOM:
            digits[size] = low >> OPEN_BITS
            size += 1
            low = (low % BOTTOM) << 8
            width <<= 8
    digits[size] = (low + BOTTOM - 1) >> OPEN_BITS  # the interval holds a multiple of 2^40
    for i in range(size, 0, -1):
        digits[i - 1] += digits[i] >> 8
        digits[i] &= 255


def _decode(data, state, counts, symbols):
    """Take symbols (Q,) out of data (n,) uint8, by cumulative counts (Q,V+1). state: (number - low, width, position).

    Bytes behind the end are zeros. Where no symbol fits, the width becomes 0, and from there on all are DAMAGED.
    """
    value, width, position = state
    for q in range(len(symbols)):
        total = counts[q, -1]
        unit = width // total
        if value >= unit * total:
            symbols[q:], width = DAMAGED, 0
            break
        symbol = np.searchsorted(counts[q], value // unit, side="right") - 1
        start, stop = counts[q, symbol], counts[q, symbol + 1]
        value -= start * unit
        width = (stop - start) * unit
        while width < BOTTOM:
            byte = data[position] if position < len(data) else 0
            value = (value << 8) + byte
            width <<= 8
            position += 1
        symbols[q] = symbol
    state[0], state[1], state[2] = value, width, position


@cache
def _compiled() -> tuple[Callable[..., Any], Callable[..., Any]]:
    from minicodec.kernels.cpu.engine.compile import compiled

    return compiled(_encode), compiled(_decode)


def _functions() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Both of them, for the backend that runs."""
    return _compiled() if backend.active() == "numba" else (_encode, _decode)


def encode(starts: np.ndarray, stops: np.ndarray, totals: np.ndarray) -> bytes:
    """Symbols, each by where its counts start and stop among 0 … total - 1, in (n,) integers -> bytes.

    ValueError: a symbol without counts, or a total above 2^TOTAL_BITS.
    """
    starts, stops, totals = (a.astype(np.int64) for a in (starts, stops, totals))
    if not ((starts >= 0) & (starts < stops) & (stops <= totals) & (totals <= 1 << TOTAL_BITS)).all():
        raise ValueError(f"a symbol needs 0 <= start < stop <= total <= 2^{TOTAL_BITS}")
    digits = np.zeros(4 * len(starts) + 1, np.int64)  # a symbol costs a little more than 3 bytes at most
    _functions()[0](starts, stops, totals, digits)
    return digits.astype(np.uint8).tobytes().rstrip(b"\0")


class Decoder:
    """Bytes -> symbols, as long as they are pulled with the counts that they were encoded with."""

    def __init__(self, data: bytes):
        first = data[: OPEN_BITS // 8 + 1]
        self.data = np.frombuffer(data, np.uint8)
        value = int.from_bytes(first.ljust(OPEN_BITS // 8 + 1, b"\0"), "big")
        self.state = np.array([value, FULL, len(first)], np.int64)

    def pull(self, counts: np.ndarray) -> np.ndarray:
        """The next symbols (Q,) int64, by cumulative counts (Q,V+1) int64 that begin with 0 and rise.

        DAMAGED, once no symbol fits: some byte is not what was written, or the counts are others.
        """
        symbols = np.empty(len(counts), np.int64)
        _functions()[1](self.data, self.state, counts, symbols)
        return symbols
