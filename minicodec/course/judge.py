"""Is a student's function right, and if not, what is wrong with it, in words?

Every call of the exercise is made on copies of its arguments (`attempt`); what came back is compared with what is
expected (`assess`). The notebook does both at once; in grading the student's process does the one, the grader the
other. The first call that goes wrong is reported: which inputs, which result, which entry, what came and what was
expected. Then a guess at the cause, if there is one that explains all the numbers: see diagnosis.py.
"""

import inspect
import traceback
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from minicodec.course.catalogue import Exercise, Function, Mistake, Trial, as_results
from minicodec.course.diagnosis import LISTED, cause_of_error, difference, guess, is_same
from minicodec.course.messages import clean, plain

MODIFIED = "It modified its inputs. Others still need them: work on a copy."


@dataclass(frozen=True)
class Attempt:
    """What a call came to: `returned`, in plain types, or in words what it `raised`; was it written, at all?"""

    returned: Any = None
    raised: str = ""
    modified: bool = False
    unwritten: bool = False


@dataclass(frozen=True)
class Verdict:
    """`status`: right, wrong or unwritten; `passed` of `trials` calls were right. In words, for the student:

    where it is wrong, what kind of mistake it looks like, and a hint, which is nearly the solution.
    """

    status: str
    where: str
    kind: str = ""
    hint: str = ""
    passed: int = 0
    trials: int = 0

    @property
    def stages(self) -> list[str]:
        """What there is to tell, from what leaves most to the reader to what leaves least."""
        kind = f"It looks like this: {self.kind}" if self.kind else ""
        return list(filter(None, [self.where, kind, self.hint and f"Hint: {self.hint}"]))

    @property
    def message(self) -> str:
        """All of it."""
        return "\n  ".join(self.stages)


@dataclass(frozen=True)
class Failure:
    """A call that went wrong, in words; the kind of mistake, if it is plain; the results, and the first wrong one."""

    trial: Trial
    words: str
    kind: str = ""
    got: tuple[Any, ...] | None = None
    wrong: int = 0


def judge(exercise: Exercise, function: Function, *, seed: int = 0, fresh: bool = False) -> Verdict:
    """Call the function as the exercise says and compare. fresh: with sizes that the student has not met."""
    trials = trials_of(exercise, seed, fresh)
    attempts = []
    for trial in trials:
        attempts.append(attempt(function, trial))
        if attempts[-1].unwritten:
            break
    return assess(exercise, trials, attempts)


@lru_cache(maxsize=256)
def trials_of(exercise: Exercise, seed: int, fresh: bool, answers: bool = True) -> list[Trial]:
    """The calls of an exercise, the same for all students."""
    # Not [seed] alone: cases draw their inputs from 0 on, and a dy equal to an input would hide mistakes.
    return list(exercise.trials(np.random.default_rng([seed, 1]), fresh, answers))


def attempt(function: Function, trial: Trial) -> Attempt:
    """Make one call, on copies of its arguments."""
    args, kwargs = deepcopy(trial.args), deepcopy(trial.kwargs)
    try:
        with np.errstate(all="ignore"):
            returned = plain(function(*args, **kwargs))
    except NotImplementedError:
        return Attempt(unwritten=True)
    except Exception as error:  # whatever a student's code can raise is an answer to be told to the student
        return Attempt(raised=raised(error, _file_of(function)))
    return Attempt(returned, modified=not (is_same(args, trial.args) and is_same(kwargs, trial.kwargs)))


def _file_of(function: Any) -> str:
    """Where an answer's code stands: the file, or a notebook's cell."""
    answer = inspect.unwrap(function.args[0] if isinstance(function, partial) else function)
    methods = [value for value in vars(answer).values() if inspect.isfunction(value)] if inspect.isclass(answer) else []
    code = getattr(methods[0] if methods else answer, "__code__", None)
    return code.co_filename if code else ""


def raised(error: BaseException, file: str = "") -> str:
    """An error in words, with the last line of that file on its way."""
    try:
        words = str(error)
    except Exception as another:  # an error's own text is a student's code, too
        words = f"its text cannot be had: {type(another).__name__}"
    lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    where = f" (line {lines[-1].lineno}: {lines[-1].line})" if lines and lines[-1].line else ""
    return clean(f"It raised {type(error).__name__}: {words}{where}")


def assess(exercise: Exercise, trials: list[Trial], attempts: list[Attempt]) -> Verdict:
    """Compare what came of the calls with what is expected of them."""
    if any(one.unwritten for one in attempts):
        return Verdict("unwritten", f"{exercise.name}: not written yet", trials=len(trials))
    with np.errstate(all="ignore"):
        failures = [found for pair in zip(trials, attempts, strict=True) if (found := _failure(exercise, *pair))]
        if not failures:
            right = f"{exercise.name}: right in all {len(trials)} cases"
            return Verdict("right", right, passed=len(trials), trials=len(trials))
        kind = _kind(exercise, failures)
    first = failures[0]
    where = f"{exercise.name}: wrong for {first.trial.what}\n  {first.words}"
    passed = len(trials) - len(failures)
    if passed:
        where += f"\n  Right in {passed} of {len(trials)} cases{_what_sets_apart(trials, failures)}."
    hint = "" if first.words == MODIFIED else exercise.hint  # else the numbers may well be right
    return Verdict("wrong", where, kind, hint, passed, len(trials))


def _failure(exercise: Exercise, trial: Trial, one: Attempt) -> Failure | None:
    """What is wrong with one call; None if it is right."""
    if one.raised:
        return Failure(trial, one.raised)
    if one.modified:
        return Failure(trial, MODIFIED)
    if isinstance(one.returned, list) and len(trial.expected) == 1:
        return Failure(trial, f"It returned a list of {len(one.returned)}; one array (or number) should come back.",
                       LISTED)  # fmt: skip
    got = _results(exercise, one.returned)
    single = len(trial.expected) == 1
    names = exercise.result_names or ["the result" if single else f"result {n + 1}" for n in range(len(trial.expected))]
    if len(got) != len(trial.expected):
        expected = "one result" if single else f"{len(trial.expected)} results ({', '.join(names)})"
        return Failure(trial, f"It returned {len(got)} result{'s' * (len(got) != 1)}; {expected} should come back.")
    for n, (mine, right) in enumerate(zip(got, trial.expected, strict=True)):
        words = difference(mine, right, exercise.rtol)
        if words:
            name = names[n] if n < len(names) else f"result {n + 1}"
            return Failure(trial, f"{name}: {words}", got=got, wrong=n)
    return None


def _results(exercise: Exercise, returned: Any) -> tuple[Any, ...]:
    """What came back. The forward of an op may come with `saved`, which is nobody else's business."""
    got = as_results(returned)
    return got[:1] if exercise.op and exercise.op[1] == "forward" else got


def _kind(exercise: Exercise, failures: list[Failure]) -> str:
    """What kind of mistake explains the first failure, and as many of the others as can be; empty if none is known."""
    first = failures[0]
    if first.got is None:
        return first.kind or _raises_alike(exercise, first) or cause_of_error(first.words)
    mine, right = first.got[first.wrong], first.trial.expected[first.wrong]
    fits = {m: times for m in exercise.mistakes if (times := _times(exercise, m, failures)) > (0, 0)}
    return max(fits, key=lambda m: fits[m]).words if fits else guess(mine, right, exercise.rtol)  # of equals the first


def _raises_alike(exercise: Exercise, failure: Failure) -> str:
    """The words of the mistake that raises the same error for the same call."""
    for mistake in exercise.mistakes:
        try:
            mistake.function(*deepcopy(failure.trial.args), **deepcopy(failure.trial.kwargs))
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            if failure.words.startswith(f"It raised {type(error).__name__}: {error}"):
                return mistake.words
    return ""


def _times(exercise: Exercise, mistake: Mistake, failures: list[Failure]) -> tuple[int, int]:
    """How many failures a mistake explains in all results, and how many in the first that is wrong.

    That is: it gives the same wrong numbers. None of them counts if the first failure is not explained.
    """
    whole = first_wrong = 0
    for failure in failures:
        trial, n, got = failure.trial, failure.wrong, failure.got
        try:
            theirs = _results(exercise, plain(mistake.function(*deepcopy(trial.args), **deepcopy(trial.kwargs))))
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError):
            theirs = ()  # the mistaken function does not take this input: then the student's is another
        if got is None or len(theirs) != len(got):
            same = [False]
        else:
            same = [not difference(a, b, exercise.rtol) for a, b in zip(got, theirs, strict=True)]
        if len(same) > n and same[n] and difference(theirs[n], trial.expected[n], exercise.rtol):
            first_wrong += 1
            whole += all(same)
        elif not first_wrong:
            return 0, 0
    return whole, first_wrong


def _what_sets_apart(trials: list[Trial], failures: list[Failure]) -> str:
    """The option that all failing calls have and no passing one, as ": it fails where stride=2"."""
    failed = [f.trial for f in failures]
    passed = [t for t in trials if not any(t is f for f in failed)]
    for key in sorted({k for t in failed for k in t.kwargs}):
        if all(key in t.kwargs for t in failed) and not any(key in t.kwargs for t in passed):
            values = sorted({str(t.kwargs[key]) for t in failed})
            return f": it fails wherever {key} is given ({', '.join(values)})"
    return ""
