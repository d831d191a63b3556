"""Chapter 14: bits on the wire."""

import numpy as np

from minicodec.codec.files.entropy.adaptive import STEP, Adaptive
from minicodec.codec.files.entropy.range_coder import BOTTOM, FULL, OPEN_BITS
from minicodec.codec.language_model import START
from minicodec.course.catalogue import Mistake, of_function


def adaptive_counts(codes: np.ndarray, N: int) -> np.ndarray:
    """codes (T) from 0 to N - 1 -> cumulative (T,N+1): counts before each code comes, added up, as integers.

    At first each of the N codes has the count 1; each code that has come adds 4 to its own. Row t knows codes[:t]
    alone. It begins with 0, and entry n + 1 is the sum of the counts of the codes 0 to n: code n owns the numbers from
    cumulative[t,n] to cumulative[t,n+1] - 1, and cumulative[t,N] is the total.
    """
    previous = np.concatenate([[START], codes[:-1] + 1])
    predictor = Adaptive(1, N)
    cumulative: np.ndarray = predictor(previous[None, None], predictor.start(1))[0, :, 0]
    return cumulative


def _by_rows(codes, N, first=1, step=STEP, now=0, window=None):
    """Counts with other numbers; now=1: row t knows codes[t] too; window: only so many codes are remembered."""
    cumulative = np.zeros((len(codes), N + 1), np.int64)
    for t in range(len(codes)):
        known = codes[max(0, t - window) if window else 0 : t + now]
        cumulative[t, 1:] = (first + step * np.bincount(known, minlength=N)).cumsum()
    return cumulative


def _knows_itself(codes, N):
    return _by_rows(codes, N, now=1)


def _nothing_at_first(codes, N):
    return _by_rows(codes, N, first=0)


def _one_each(codes, N):
    return _by_rows(codes, N, step=1)


def _not_added_up(codes, N):
    return np.concatenate([np.zeros((len(codes), 1), np.int64), np.diff(_by_rows(codes, N), axis=1)], axis=1)


def _codes(rng, fresh):
    more = int(rng.integers(1, 4)) if fresh else 0
    yield np.array([2, 2, 0]), 3
    yield np.array([1]), 2
    for T, N in [(9, 4), (30, 7), (25, 1)]:
        yield rng.integers(0, N, T + more), N


def recent_counts(codes, N):
    """codes (T) from 0 to N - 1 -> cumulative (T,N+1): counts before each code comes, added up, as integers.

    Each of the N codes has the count 1, and 4 more for each time that it stands among the LAST EIGHT codes before t
    (fewer at the beginning): what came earlier is forgotten. Each row begins with 0; entry n + 1 is the sum of the
    counts of the codes 0 to n.
    """
    return _by_rows(codes, N, window=8)


def _window_of_seven(codes, N):
    return _by_rows(codes, N, window=7)


def _never_forgets(codes, N):
    return _by_rows(codes, N)


def range_encode(starts: np.ndarray, stops: np.ndarray, totals: np.ndarray) -> bytes:
    """Starts (n), stops (n), totals (n) -> bytes: symbol i owns the counts starts[i] … stops[i] - 1 of totals[i].

    At first low = 0 and width = 2**48. Each symbol narrows the interval, in units of width // total; then, as long as
    width is below 2**40, both are multiplied by 256. Python's integers may be as long as they like (NumPy's
    overflow), so low simply grows. In the end: low / 2**40, rounded up, as bytes: one for each multiplication by 256
    and one more, the highest first, without the zeros at the end.
    """
    return _range_encode(starts, stops, totals)


def _range_encode(starts, stops, totals, narrow=None, last=BOTTOM - 1, most=6):
    low, width, digits = 0, FULL, 1
    for start, stop, total in zip(starts.tolist(), stops.tolist(), totals.tolist(), strict=True):
        if narrow:
            low, width = narrow(low, width, start, stop, total)
        else:
            unit = width // total
            low, width = low + start * unit, (stop - start) * unit
        for _ in range(most):
            if width < BOTTOM:
                low, width, digits = low << 8, width << 8, digits + 1
    number = (low + last) >> OPEN_BITS
    return (number % (1 << 8 * digits)).to_bytes(digits, "big").rstrip(b"\0")


def _rounded_late(low, width, start, stop, total):
    first = start * width // total
    return low + first, stop * width // total - first


def _width_to_stop(low, width, start, stop, total):
    unit = width // total
    return low + start * unit, stop * unit


def _encodes_late_rounding(starts, stops, totals):
    return _range_encode(starts, stops, totals, _rounded_late)


def _encodes_wide(starts, stops, totals):
    return _range_encode(starts, stops, totals, _width_to_stop)


def _encodes_below(starts, stops, totals):
    return _range_encode(starts, stops, totals, last=0)


def _encodes_one_digit(starts, stops, totals):
    return _range_encode(starts, stops, totals, most=1)


def _encodes_zeros(starts, stops, totals):
    data = _range_encode(starts, stops, totals)
    return data + b"\0"


def _intervals(rng, fresh):
    yield np.array([2]), np.array([3]), np.array([4])
    yield np.array([0, 0, 2]), np.array([1, 1, 3]), np.array([1 << 16, 1 << 16, 5])  # bytes in front are 0
    yield np.zeros(0, int), np.zeros(0, int), np.zeros(0, int)  # nothing to say
    rare = rng.integers(1 << 20, 1 << 24, 3)
    yield rare - 1, rare, np.full(3, 1 << 24)
    for n, largest in [(1, 300), (3, 5), (12 + 3 * int(fresh), 1000), (40, 1 << 24)]:
        totals = rng.integers(2, largest, n)
        starts = rng.integers(0, totals)
        yield starts, rng.integers(starts + 1, totals + 1), totals


def pull_symbol(value: int, width: int, counts: np.ndarray) -> tuple[int, int, int]:
    """Value, width, counts (V+1) cumulative -> symbol, value, width: one symbol read, and the interval narrowed to it.

    value: how far the number lies above low, 0 <= value < width. The unit is width // counts[-1]; symbol s owns the
    values from counts[s] * unit to counts[s+1] * unit - 1. The new value counts from where the symbol's part begins.
    (Multiplying by 256 is not done here.)
    """
    counts = counts.astype(object)  # Python's integers
    unit = width // counts[-1]
    symbol = int(np.searchsorted(counts, value // unit, side="right")) - 1
    return symbol, value - counts[symbol] * unit, (counts[symbol + 1] - counts[symbol]) * unit


def _pulls_next(value, width, counts):
    symbol, value, width = pull_symbol(value, width, counts)
    return symbol + 1, value, width


def _pulls_left(value, width, counts):
    unit = width // int(counts[-1])
    symbol = max(0, int(np.searchsorted(counts, value // unit, side="left")) - 1)
    return symbol, value - int(counts[symbol]) * unit, int(counts[symbol + 1] - counts[symbol]) * unit


def _pulls_and_keeps_value(value, width, counts):
    symbol, _, width = pull_symbol(value, width, counts)
    return symbol, value, width


def _values(rng, fresh):
    counts = np.array([0, 1, 3, 6, 8])
    yield 3 << 40, 1 << 43, counts  # where symbol 2 begins
    yield (3 << 40) - 1, 1 << 43, counts
    yield 0, 1 << 40, counts  # at the lower end; what is left is less than 2**40
    yield (1 << 43) - 1, 1 << 43, counts  # at the upper end
    for V in (2, 5, 40 + int(fresh)):
        width = int(rng.integers(1 << 40, 1 << 48))
        counts = np.concatenate([[0], rng.integers(1, 50, V).cumsum()])
        yield int(rng.integers(0, width // int(counts[-1]) * int(counts[-1]))), width, counts


EXERCISES = [
    of_function(
        adaptive_counts, 14, _codes, rtol=0,
        mistakes=(
            Mistake(_knows_itself, "row t counts codes[t] already: the decoder does not know it yet"),
            Mistake(_nothing_at_first, "codes that have not come have the count 0, an empty interval: start all at 1"),
            Mistake(_one_each, "a code that came adds 4 to its count, not 1"),
            Mistake(_not_added_up, "these are the counts themselves; add them up along each row (cumsum)"),
        ),
        hint="keep an array of N counts; write its cumsum into row t, and only then add codes[t].",
    ),
    of_function(
        recent_counts, 14, _codes, rtol=0, variant_of="adaptive_counts",
        mistakes=(
            Mistake(_never_forgets, "all codes are counted; only the last eight should be"),
            Mistake(_window_of_seven, "seven codes are remembered, not eight"),
        ),
        hint="row t counts codes[max(0, t - 8) : t].",
    ),
    of_function(
        range_encode, 14, _intervals, points=2,
        mistakes=(
            Mistake(_encodes_late_rounding, "width · start // total rounds otherwise: first unit = width // total"),
            Mistake(_encodes_wide, "the new width is stop · unit; it should be (stop - start) · unit"),
            Mistake(_encodes_below, "the last number is rounded down, and lies below the interval: round up"),
            Mistake(_encodes_one_digit, "one multiplication by 256 may not be enough: `while`, not `if`"),
            Mistake(_encodes_zeros, "zeros at the end are left out: the decoder adds as many as it likes"),
        ),
        hint="-(-low >> 40) rounds up; number.to_bytes(digits, 'big').rstrip(b'\\0') makes the bytes.",
    ),
    of_function(
        pull_symbol, 14, _values, points=2, rtol=0,
        mistakes=(
            Mistake(_pulls_next, "the symbol is one too large: searchsorted says how many entries lie before it"),
            Mistake(_pulls_left, "a value that lies just where a symbol begins belongs to that symbol: side='right'"),
            Mistake(_pulls_and_keeps_value, "value still counts from the old low: subtract counts[symbol] · unit"),
        ),
        hint="the symbol is the last one with counts[symbol] <= value // unit.",
    ),
]  # fmt: skip
