"""Is a student's function right, and if not, what is wrong with it, in words?

Every call of the exercise is made on copies of its arguments. The first that goes wrong is reported: which inputs,
which result, which entry, what came and what was expected. Then a guess at the cause, if there is one that explains
all the numbers: a known mistake of this exercise (its function gives the same wrong numbers), or a sign, a factor, an
axis the wrong way round, a shift by one. A guess that fits only by chance would confuse, so it must fit in every entry.
"""

import traceback
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicodec.course.catalogue import Exercise, Function, Trial, as_results

MODIFIED = ["It modified its inputs. Others still need them: work on a copy."]


@dataclass(frozen=True)
class Verdict:
    """`status`: right, wrong or unwritten; `message`: why, for the student; `passed` of `trials` calls were right."""

    status: str
    message: str
    passed: int = 0
    trials: int = 0


def judge(exercise: Exercise, function: Function, *, seed: int = 0, fresh: bool = False) -> Verdict:
    """Call the function as the exercise says and compare. fresh: with sizes that the student has not met."""
    # Not [seed] alone: cases draw their inputs from 0 on, and a dy equal to an input would hide mistakes.
    trials = list(exercise.trials(np.random.default_rng([seed, 1]), fresh))
    failures = []
    for trial in trials:
        try:
            words = _failure(exercise, function, trial)
        except NotImplementedError:
            return Verdict("unwritten", f"{exercise.name}: not written yet", 0, len(trials))
        if words:
            failures.append((trial, words))
    if not failures:
        return Verdict("right", f"{exercise.name}: right in all {len(trials)} cases", len(trials), len(trials))
    trial, words = failures[0]
    lines = [f"{exercise.name}: wrong for {trial.what}", *words]
    passed = len(trials) - len(failures)
    if passed:
        lines.append(f"Right in {passed} of {len(trials)} cases{_what_sets_apart(trials, failures)}.")
    if exercise.hint and words != MODIFIED:  # then the numbers may well be right
        lines.append(f"Hint: {exercise.hint}")
    return Verdict("wrong", "\n  ".join(lines), passed, len(trials))


def _failure(exercise: Exercise, function: Function, trial: Trial) -> list[str]:
    """What is wrong with one call, in lines; nothing if it is right. NotImplementedError passes through."""
    args, kwargs = deepcopy(trial.args), deepcopy(trial.kwargs)
    try:
        with np.errstate(all="ignore"):
            returned = function(*args, **kwargs)
    except NotImplementedError:
        raise
    except Exception as error:  # whatever a student's code can raise is an answer to be told to the student
        lines = [f for f in traceback.extract_tb(error.__traceback__) if f.name == getattr(function, "__name__", "")]
        where = f" (line {lines[-1].lineno}: {lines[-1].line})" if lines and lines[-1].line else ""
        return [f"It raised {type(error).__name__}: {error}{where}"]
    if _differs(args, trial.args) or _differs(kwargs, trial.kwargs):
        return MODIFIED
    got = _results(exercise, returned)
    names = exercise.result_names or [f"result {n + 1}" for n in range(len(trial.expected))]
    if len(got) != len(trial.expected):
        expected = "one result" if len(trial.expected) == 1 else f"{len(trial.expected)} results ({', '.join(names)})"
        return [f"It returned {len(got)} result{'s' * (len(got) != 1)}; {expected} should come back."]
    for n, (mine, right) in enumerate(zip(got, trial.expected, strict=True)):
        words = _difference(mine, right, exercise.rtol)
        if words:
            cause = _known_mistake(exercise, trial, got) or _guess(mine, right, exercise.rtol)
            name = names[n] if n < len(names) else f"result {n + 1}"
            return [f"{name}: {words}", *([f"It looks like this: {cause}"] if cause else [])]
    return []


def _results(exercise: Exercise, returned: Any) -> tuple[Any, ...]:
    """What came back. The forward of an op may come with `saved`, which is nobody else's business."""
    got = as_results(returned)
    return got[:1] if exercise.op and exercise.op[1] == "forward" else got


def _differs(a: Any, b: Any) -> bool:
    """Are two trees of arguments different in any number?"""
    if isinstance(a, dict):
        return any(_differs(a[key], b[key]) for key in b)
    if isinstance(a, (tuple, list)):
        return len(a) != len(b) or any(map(_differs, a, b))
    return isinstance(a, np.ndarray) and not np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _difference(got: Any, right: Any, rtol: float) -> str:
    """In what one result differs, in words; empty if it is right."""
    if right is None or isinstance(right, (str, bytes, bool)):
        return "" if type(got) is type(right) and got == right else f"is {_short(got)}; expected {_short(right)}"
    if got is None:
        return "is None"
    try:
        mine, expected = np.asarray(got), np.asarray(right)
    except ValueError:
        return "is no array: its rows have different lengths"
    if mine.shape != expected.shape:
        return f"has shape {mine.shape}; expected {expected.shape}"
    if mine.dtype.kind not in "fiub" or (mine.dtype.kind == "f") < (expected.dtype.kind == "f"):
        return f"holds {mine.dtype}; expected {expected.dtype}"
    if expected.dtype.kind not in "fiub":
        return "" if _differs(mine, expected) is False else "differs"
    error = np.abs(mine.astype(np.float64) - expected)
    wrong = ~(error <= rtol * max(float(np.abs(expected).max(initial=0)), 1e-12))
    if not wrong.any():
        return ""
    at = tuple(int(i) for i in np.unravel_index(np.nanargmax(np.where(wrong, np.nan_to_num(error, nan=np.inf), -1)),
                                                error.shape))  # fmt: skip
    entry = f"entry {list(at)} is" if at else "is"
    many = f"; {wrong.sum()} of {wrong.size} entries are wrong" if wrong.size > 1 else ""
    return f"{entry} {mine[at]:.6g}; expected {expected[at]:.6g}{many}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def _known_mistake(exercise: Exercise, trial: Trial, got: tuple[Any, ...]) -> str:
    """The words of the exercise's mistake that gives just these numbers."""
    for mistake in exercise.mistakes:
        try:
            with np.errstate(all="ignore"):
                theirs = _results(exercise, mistake.function(*deepcopy(trial.args), **deepcopy(trial.kwargs)))
        except (ValueError, IndexError, ZeroDivisionError):
            continue  # the mistaken function does not take this input: then the student's is another
        if len(theirs) != len(got):
            continue
        if not any(_difference(a, b, exercise.rtol) for a, b in zip(got, theirs, strict=True)):
            return mistake.words
    return ""


def _guess(got: Any, right: Any, rtol: float) -> str:
    """A cause that explains every entry of an array, in words."""
    if right is None or got is None:
        return ""
    mine, expected = np.asarray(got), np.asarray(right)
    if mine.shape != expected.shape:
        return "the axes are in another order" if sorted(mine.shape) == sorted(expected.shape) else ""
    if mine.dtype.kind not in "fiu" or expected.dtype.kind not in "fiu" or expected.size < 2:
        return ""
    if not np.isfinite(mine).all():
        return "some entries are not finite: is there a division by 0, or the logarithm of something negative?"
    if not mine.any():
        return "all is zero: is the result ever written to?"
    for words, candidate in _candidates(mine.astype(np.float64), expected.astype(np.float64)):
        if not _difference(mine, candidate, rtol):
            return words
    return ""


def _candidates(mine: np.ndarray, expected: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What usual slips would make of the right result, with their names."""
    yield "the sign is wrong: every entry is the negative of what is expected", -expected
    factor = float((mine * expected).sum() / max((expected * expected).sum(), 1e-300))
    if abs(factor) > 1e-12 and abs(factor - 1) > 1e-3:  # nearer to 1 it would be told as "1 times"
        size = f"{factor:.6g} times too large" if abs(factor) > 1 else f"{1 / factor:.6g} times too small"
        yield f"every entry is {size}: a forgotten (or needless) mean, or a factor?", factor * expected
    for axis in range(expected.ndim):
        yield f"axis {axis} runs the wrong way round", np.flip(expected, axis)
    for axis in range(expected.ndim):
        for by in (1, -1):
            shifted = np.roll(expected, by, axis)
            edge = 0 if by == 1 else -1
            np.moveaxis(shifted, axis, 0)[edge] = np.moveaxis(mine, axis, 0)[edge]  # what moved in from outside
            if expected.shape[axis] > 2:
                late = "late" if by == 1 else "early"
                yield f"all is off by one along axis {axis}: an index that starts one too {late}?", shifted
    yield f"every entry is too large by {(mine - expected).mean():.6g}", expected + (mine - expected).mean()
    if expected.ndim >= 2 and expected.shape[-1] == expected.shape[-2]:
        yield "the last two axes are swapped", expected.swapaxes(-1, -2)


def _what_sets_apart(trials: list[Trial], failures: list[tuple[Trial, list[str]]]) -> str:
    """The option that all failing calls have and no passing one, as ": it fails where stride=2"."""
    failed = [t for t, _ in failures]
    passed = [t for t in trials if not any(t is f for f in failed)]
    for key in sorted({k for t in failed for k in t.kwargs}):
        if all(key in t.kwargs for t in failed) and not any(key in t.kwargs for t in passed):
            values = sorted({str(t.kwargs[key]) for t in failed})
            return f": it fails wherever {key} is given ({', '.join(values)})"
    return ""
