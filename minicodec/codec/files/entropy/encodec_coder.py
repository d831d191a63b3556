"""The range coder of the released EnCodec: symbols of known probabilities become bits [Witten87; Defossez22, §3.3].

A message is a number. The interval [low, high] of numbers that begin like it shrinks with every symbol to the part that
belongs to the symbol, as large a share of it as the symbol is probable; once it is narrower than 2^24, it gets one more
binary digit at the end. Digits at the front on which low and high agree are final, and leave as bits.

Everything here is in integers, so the same cumulative counts give the same bits everywhere. The counts, though, come
from floating-point probabilities: see `encodec_files.py`.
"""

from bisect import bisect_left

import numpy as np

TOTAL_BITS = 24
TOTAL = 1 << TOTAL_BITS  # cumulative counts run up to this, or a little less
ROUNDING = 1e-8  # probabilities are rounded down to multiples of it
LEAST = 2  # counts that every symbol has, however improbable
OPEN_BITS_LIMIT = 1 << 12  # digits on which low and high never agree: in sound files a handful, by chance


class CodingError(ValueError):
    """Bits that no encoder wrote, or too few of them. The message is the reason alone."""


def cumulative_counts(p: np.ndarray) -> np.ndarray:
    """Probabilities p (...,V) float32 -> integers (...,V): where each symbol's counts end and the next one's begin."""
    p = np.floor(p / np.float32(ROUNDING)) * np.float32(ROUNDING)
    shared = np.float32(TOTAL - LEAST * p.shape[-1])
    return (np.floor(shared * p).astype(np.int64) + LEAST).cumsum(axis=-1)


class Interval:
    """[low, high], without the digits that have left; `open_bits` digits remain. What both directions share."""

    def __init__(self) -> None:
        self.low = self.high = self.open_bits = 0

    @property
    def width(self) -> int:
        """How many numbers it has."""
        return self.high - self.low + 1

    def widen(self) -> None:
        """One more binary digit at the end."""
        self.low, self.high, self.open_bits = 2 * self.low, 2 * self.high + 1, self.open_bits + 1

    def narrow(self, below: int, above: int) -> None:
        """To the part of a symbol whose counts begin at `below` and end before `above`."""
        width = self.width
        self.high = self.low + ((above - 1) * width >> TOTAL_BITS)
        self.low += -(-below * width >> TOTAL_BITS)  # rounded up
        if self.high >> self.open_bits:  # float32 probabilities can add up to a little more than 1
            raise CodingError("has a symbol whose counts exceed the total")

    def agreed(self) -> list[int]:
        """Take away the digits at the front on which low and high agree, and return them."""
        digits = []
        while self.open_bits and self.low >> (self.open_bits - 1) == self.high >> (self.open_bits - 1):
            self.open_bits -= 1
            digit = self.low >> self.open_bits
            self.low -= digit << self.open_bits
            self.high -= digit << self.open_bits
            digits.append(digit)
        return digits


class RangeEncoder:
    """Symbols -> bytes."""

    def __init__(self) -> None:
        self.interval = Interval()
        self.bits: list[int] = []

    def push(self, symbol: int, counts: np.ndarray) -> None:
        """Add a symbol 0 … V-1, by the cumulative counts (V,) of all symbols."""
        while self.interval.width < TOTAL:
            self.interval.widen()
        self.interval.narrow(int(counts[symbol - 1]) if symbol else 0, int(counts[symbol]))
        self.bits += self.interval.agreed()

    def finish(self) -> bytes:
        """The bits, the digits of low at their end, least significant bit of each byte first."""
        low, n = self.interval.low, self.interval.open_bits
        rest = [low >> i & 1 for i in reversed(range(n))]
        return np.packbits(np.array(self.bits + rest, np.uint8), bitorder="little").tobytes()


class RangeDecoder:
    """Bytes -> symbols: follows the encoder's interval, which always contains the number that the bits spell."""

    def __init__(self, data: bytes, start: int):
        self.interval = Interval()
        self.data = data
        self.bit = 8 * start
        self.number = 0

    @property
    def position(self) -> int:
        """The byte after the last one that was read from."""
        return -(-self.bit // 8)

    def pull(self, counts: np.ndarray) -> int:
        """The next symbol, by the cumulative counts (V,) that it was pushed with. CodingError: there is none."""
        interval = self.interval
        while interval.width < TOTAL:
            if self.position == len(self.data) and self.bit % 8 == 0:
                raise CodingError("is cut off")
            interval.widen()
            self.number = 2 * self.number + (self.data[self.bit // 8] >> self.bit % 8 & 1)
            self.bit += 1
        width, offset = interval.width, self.number - interval.low
        # The first symbol whose part ends at the number or beyond. Rounding leaves gaps between the parts.
        symbol = bisect_left(counts, offset, key=lambda count: (int(count) - 1) * width >> TOTAL_BITS)
        if symbol == len(counts):
            raise CodingError("is damaged, or was made with other probabilities")
        interval.narrow(int(counts[symbol - 1]) if symbol else 0, int(counts[symbol]))
        if self.number < interval.low:
            raise CodingError("is damaged, or was made with other probabilities")
        interval.agreed()
        self.number &= (1 << interval.open_bits) - 1  # it agrees with them
        if interval.open_bits > OPEN_BITS_LIMIT:
            raise CodingError("is damaged, or was made with other probabilities")
        return symbol
