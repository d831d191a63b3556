"""Chapter 14."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch14_bits import (
    adaptive_counts,
    pull_symbol,
    range_encode,
    recent_counts,
)


def _shortest(starts, stops, totals):
    return range_encode(starts, stops, totals).lstrip(b"\0")


def _lowest_first(starts, stops, totals):
    return range_encode(starts, stops, totals)[::-1]


def _as_floats(starts, stops, totals):
    low, width, digits = 0.0, float(2**48), 1
    for start, stop, total in zip(starts, stops, totals, strict=True):
        unit = width / total
        low, width = low + start * unit, (stop - start) * unit
        while width < 2**40:
            low, width, digits = low * 256, width * 256, digits + 1
    number = -(-int(low) >> 40) % (1 << 8 * digits)
    return number.to_bytes(digits, "big").rstrip(b"\0")


def _narrowed_again(value, width, counts):
    symbol, value, width = pull_symbol(value, width, counts)
    while 0 < width < 1 << 40:
        value, width = value << 8, width << 8
    return symbol, value, width


def _unit_with_a_point(value, width, counts):
    symbol, value, width = pull_symbol(value, width, counts)
    return symbol, float(value), float(width)


def _width_to_the_end(value, width, counts):
    symbol, rest, _ = pull_symbol(value, width, counts)
    return symbol, rest, int(counts[symbol + 1]) * (width // int(counts[-1]))


def _width_kept(value, width, counts):
    return *pull_symbol(value, width, counts)[:2], width


def _shifted(counts):
    """Row t of another row: codes are counted one frame too late."""
    return np.concatenate([counts[:1], counts[:-1]])


MISTAKES = {
    "adaptive_counts": (
        Mistake(
            lambda c, N: adaptive_counts(c, N).astype(float), "the counts are floats; the coder needs whole numbers"
        ),
        Mistake(lambda c, N: adaptive_counts(c, N)[:, 1:], "the 0 in front of each row is missing: N + 1 entries"),
        Mistake(lambda c, N: _shifted(adaptive_counts(c, N)), "row t knows codes[:t], the code just before it, too"),
        Mistake(
            lambda c, N: np.repeat(adaptive_counts(c, N)[-1:], len(c), axis=0),
            "all rows are the last one: copy the counts into row t",
        ),
    ),
    "recent_counts": (
        Mistake(lambda c, N: recent_counts(c, N).astype(float), "the counts are floats; the coder needs whole numbers"),
        Mistake(lambda c, N: _shifted(recent_counts(c, N)), "row t knows codes[:t], the code just before it, too"),
        Mistake(lambda c, N: recent_counts(c, N)[:, 1:], "the 0 in front of each row is missing: N + 1 entries"),
    ),
    "range_encode": (
        Mistake(_shortest, "zeros in FRONT belong to the number: `digits` bytes, however small it is"),
        Mistake(_lowest_first, "the highest byte comes first ('big')"),
        Mistake(_as_floats, "floats round: unit is width // total, a whole number, and low has no limit"),
        Mistake(lambda *a: range_encode(*a).hex(), "bytes are asked for, not text"),
    ),
    "pull_symbol": (
        Mistake(_narrowed_again, "value and width are multiplied by 256 already: that is not this function's work"),
        Mistake(_unit_with_a_point, "value and width are floats; they must be whole numbers: // instead of /"),
        Mistake(_width_to_the_end, "the new width is (counts[s + 1] - counts[s]) · unit"),
        Mistake(_width_kept, "the width is still the old one: narrow it to the symbol's part"),
    ),
}
