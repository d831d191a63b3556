"""What the ratings say: who is left out, the mean of every condition, and how far to trust it [ITU-R BS.1534-3].

Post-screening: a listener is left out who rates the hidden reference below 90 in more than 15 % of the clips, or the
mid anchor (7 kHz) above 90 in more than 15 % of them. A clip whose mid anchor more than 25 % of all listeners rate
above 90 says more about the clip (it has little above 7 kHz) than about them, and does not count for the second rule.

Mean and interval: each listener's mean over clips, then mean and Student's t over the listeners. The ratings of one
person are not independent, so the interval of a few listeners is wide however many clips they heard, and one
listener's ratings have none.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from minicodec.errors import InputError
from minicodec.evaluation.listening.ratings import FINAL, Rating
from minicodec.evaluation.listening.stimuli import MID_ANCHOR, REFERENCE

GOOD = 90  # a hidden reference should be rated at least so, an anchor not above it
TOLERATED = 0.15  # share of a listener's clips in which it is not so
HARD_TO_HEAR = 0.25  # share of the listeners who rate a clip's mid anchor above GOOD


@dataclass(frozen=True)
class Summary:
    """A condition's scores: `half` is half the width of the 95 % interval, NaN for a single listener."""

    condition: str
    mean: float
    half: float
    median: float
    ratings: int
    listener_means: tuple[float, ...]


@dataclass(frozen=True)
class Analysis:
    """`summaries`, best first; `listeners` that remain; `excluded` ones, with the reason."""

    summaries: list[Summary]
    listeners: list[str]
    excluded: dict[str, str]


def analyse(ratings: Sequence[Rating]) -> Analysis:
    """Ratings of finished screens -> means without the listeners whom post-screening excludes.

    Listeners with the same name are one listener; one without a name is as many as there are sessions. InputError:
    no screen was finished, or nobody remains.
    """
    counted = final(ratings)
    if not counted:
        raise InputError("listen --analyse: no listener has finished a screen yet")
    excluded = post_screen(counted)
    listeners = sorted({who(rating) for rating in counted} - excluded.keys())
    if not listeners:
        reasons = "; ".join(f"{name} {reason}" for name, reason in excluded.items())
        raise InputError(f"listen --analyse: post-screening leaves no listener: {reasons}")
    kept = [rating for rating in counted if who(rating) in listeners]
    summaries = [summarise(name, kept) for name in sorted({rating.condition for rating in kept})]
    return Analysis(sorted(summaries, key=lambda s: -s.mean), listeners, excluded)


def final(ratings: Sequence[Rating]) -> list[Rating]:
    """The last rating of each session, clip and condition, if it is of a finished screen."""
    last = {(rating.session, rating.clip, rating.condition): rating for rating in ratings}
    return [rating for rating in last.values() if rating.state == FINAL]


def who(rating: Rating) -> str:
    """The listener: a name, or for those without one the beginning of the session's."""
    return rating.listener or f"session {rating.session[:8]}"


def post_screen(ratings: Sequence[Rating]) -> dict[str, str]:
    """Listener -> why he or she is excluded."""
    high = _share_above(ratings, lambda rating: rating.clip)
    hard = {clip for clip, share in high.items() if share > HARD_TO_HEAR}
    anchors = _share_above([rating for rating in ratings if rating.clip not in hard], who)
    references = defaultdict(list)
    for rating in ratings:
        if rating.condition == REFERENCE:
            references[who(rating)].append(rating.score < GOOD)
    reasons = defaultdict(list)
    for listener, low in references.items():
        if fmean(low) > TOLERATED:
            reasons[listener].append(f"rated the hidden reference below {GOOD} in {fmean(low):.0%} of {len(low)} clips")
    for listener, share in anchors.items():
        if share > TOLERATED:
            reasons[listener].append(f"rated {MID_ANCHOR} above {GOOD} in {share:.0%} of the clips")
    return {listener: " and ".join(texts) for listener, texts in sorted(reasons.items())}


def _share_above(ratings, key) -> dict[str, float]:
    """By clip or by listener: the share of mid anchors that are rated above GOOD."""
    groups = defaultdict(list)
    for rating in ratings:
        if rating.condition == MID_ANCHOR:
            groups[key(rating)].append(rating.score > GOOD)
    return {name: fmean(above) for name, above in groups.items()}


def summarise(condition: str, ratings: Sequence[Rating]) -> Summary:
    """Mean, interval and median of one condition."""
    by_listener = defaultdict(list)
    for rating in ratings:
        if rating.condition == condition:
            by_listener[who(rating)].append(rating.score)
    means = [fmean(scores) for scores in by_listener.values()]
    scores = [score for some in by_listener.values() for score in some]
    return Summary(condition, fmean(means), half_interval(means), median(scores), len(scores), tuple(means))


def half_interval(values: Sequence[float]) -> float:
    """t·s/√n with Student's t of n−1 degrees of freedom, for 95 %; NaN for a single value."""
    n = len(values)
    return student_t(n - 1, 0.95) * stdev(values) / math.sqrt(n) if n > 1 else math.nan


def student_t(freedom: int, share: float) -> float:
    """The t that Student's T with so many degrees of freedom does not exceed, up or down, with probability `share`."""
    low, high = 0.0, math.pi / 2  # of the angle whose tangent is t/√freedom
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < share else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _within(angle: float, freedom: int) -> float:
    """P(|T| <= √freedom tan angle), a finite sum of powers of the cosine [Abramowitz64, 26.7.3, 26.7.4]."""
    odd, cosine = freedom % 2, math.cos(angle)
    total, term = 0.0, cosine**odd
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
    return (angle + math.sin(angle) * total) * 2 / math.pi if odd else math.sin(angle) * total


def table(found: Analysis) -> str:
    """The summaries for a terminal, and below them who was asked and how it was computed."""
    width = max(len("condition"), *(len(s.condition) for s in found.summaries))
    lines = [f"{'condition':{width}}   mean   95 % interval   median   ratings"]
    for s in found.summaries:
        interval = "" if math.isnan(s.half) else f"{s.mean - s.half:.1f} … {s.mean + s.half:.1f}"
        lines.append(f"{s.condition:{width}}  {s.mean:5.1f}   {interval:>13}   {s.median:6.1f}   {s.ratings:7}")
    kept, asked = len(found.listeners), len(found.listeners) + len(found.excluded)
    lines.append(f"\n{kept} of {asked} listeners: mean of their means over clips, interval by Student's t")
    if kept == 1:
        lines.append("one listener has no interval")
    lines += [f"excluded: {listener} {reason}" for listener, reason in found.excluded.items()]
    return "\n".join(lines)
