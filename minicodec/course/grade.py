"""Points for many students' notebooks: every submission in a process of its own, with fresh sizes and numbers.

The student's process calls the answers and sends back what they return; what is expected is known here alone, and
here it is compared. A process that takes too long over an exercise is ended with all that it has started; the exercise
gets no points, and another process goes on with the next one. So an endless loop, a crash or an appetite for memory
costs its author that exercise, and nobody else anything.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minicodec.course.catalogue import Exercise, Trial, all_exercises
from minicodec.course.collect import Submission
from minicodec.course.judge import Attempt, assess
from minicodec.course.messages import clean, decode
from minicodec.course.process import StudentProcess
from minicodec.errors import InputError

STARTING = 60.0  # seconds in which a process must have imported the library
IN_ALL = 20  # a submission as a whole has as much time as this many of the slowest exercises
# From the best to the worst: of several files' answers to an exercise the best one counts.
STATUSES = ("right", "wrong", "too slow", "crashed", "unwritten", "unreadable", "missing", "not graded")


@dataclass(frozen=True)
class Grade:
    """What one exercise brought one student. status: one of STATUSES; message: why, for the student."""

    submission: str
    exercise: str
    chapter: int
    points: int
    maximum: int
    status: str
    message: str


@dataclass(frozen=True)
class Limits:
    """seed of the calls; seconds of processor time for each exercise; memory that a process may take, in bytes."""

    seed: int
    seconds: float
    memory: int

    @property
    def patience(self) -> float:
        """Seconds that pass until an exercise is too slow: it may have to wait for a core."""
        return 2 * self.seconds + 5


@dataclass
class _Work:
    """What is known of a submission so far."""

    told: dict[str, tuple[str, str]] = field(default_factory=dict)  # exercise -> status, message
    skip: set[int] = field(default_factory=set)  # files that end whoever reads them
    done: set[tuple[int, str]] = field(default_factory=set)  # exercises in files
    notes: dict[int, list[str]] = field(default_factory=dict)  # on files
    defines: dict[int, list[str]] = field(default_factory=dict)  # by file

    def tell(self, number: int, name: str, status: str, message: str) -> None:
        """Keep the verdict on an exercise in a file, unless another file had a better one."""
        self.done.add((number, name))
        if name not in self.told or STATUSES.index(status) < STATUSES.index(self.told[name][0]):
            self.told[name] = status, message


def grade(
    submission: Submission, exercises: Sequence[Exercise], trials: Mapping[str, list[Trial]], limits: Limits
) -> list[Grade]:
    """The grades of one submission, one for each exercise, whatever it does.

    trials: the calls of each exercise and what is expected of them, the same for all students.
    """
    work = _Work()
    reason = ""
    try:
        reason = _work_through(submission, {one.name: one for one in exercises}, trials, limits, work)
    except Exception as error:  # a fault of the grader's own, or of the system's: the others' grades must not be lost
        reason = clean(f"the grader failed: {type(error).__name__}: {error}")
    notes = [f"{clean(submission.files[n].name)}: {note}" for n, some in sorted(work.notes.items()) for note in some]
    missing = "; ".join(["no file defines it", *filter(None, [submission.note]), *notes])
    grades = []
    for one in exercises:
        status, message = work.told.get(one.name, ("not graded", reason) if reason else ("missing", clean(missing)))
        points = one.points if status == "right" else 0
        grades.append(Grade(submission.name, one.name, one.chapter, points, one.points, status, message))
    return grades


def _work_through(
    submission: Submission,
    exercises: Mapping[str, Exercise],
    trials: Mapping[str, list[Trial]],
    limits: Limits,
    work: _Work,
) -> str:
    """Fill in `work`, with as many processes as it takes. Why not all could be done, or nothing."""
    if not submission.files:
        return ""
    allowed = STARTING + IN_ALL * limits.patience
    end = time.monotonic() + allowed
    while time.monotonic() < end:
        request = {
            "files": [str(path.absolute()) for path in submission.files],
            "asked": list(exercises), "skip": sorted(work.skip), "done": sorted(work.done),
            "beside": submission.beside, "seed": limits.seed, "seconds": limits.seconds, "memory": limits.memory,
        }  # fmt: skip
        with StudentProcess(request) as process:
            at: tuple[Any, ...] = ("starting",)
            try:
                for step in _steps(submission, process, end, exercises, trials, limits, work):
                    at = step
            except TimeoutError:
                status, words = "too slow", f"it took more than {limits.patience:.0f} s"
            except (ValueError, KeyError, TypeError):
                status, words = "crashed", "what its process sent cannot be read"
            else:
                if at == ("finished",):
                    return ""
                code = process.status()
                too_slow = code == 128 + 24  # SIGXCPU
                status = "too slow" if too_slow else "crashed"
                words = f"it took more than {limits.seconds:g} s" if too_slow else f"its process ended (status {code})"
        if at[0] == "starting":
            return f"the student's process did not start: {words}"
        number = at[1]
        if at[0] == "reading":
            work.skip.add(number)
            work.notes[number] = [f"cannot be read: {words}"]
        elif at[0] == "loading":
            for name in work.defines[number]:
                if (number, name) not in work.done:
                    work.tell(number, name, status, f"{clean(submission.files[number].name)}, when it is run: {words}")
        else:
            work.tell(number, at[2], status, words)
    return f"the submission took more than {allowed:.0f} s in all"


def _steps(
    submission: Submission,
    process: StudentProcess,
    end: float,
    exercises: Mapping[str, Exercise],
    trials: Mapping[str, list[Trial]],
    limits: Limits,
    work: _Work,
) -> Iterator[tuple[Any, ...]]:
    """Follow a process from step to step, and keep what it tells. Yields where it is; ends when the process does.

    ValueError, KeyError, TypeError: it tells what no process of ours would. TimeoutError: it took too long.
    """
    deadline = min(end, time.monotonic() + STARTING)
    number, name, notes, attempts = -1, "", list[str](), list[Attempt]()
    while (message := process.receive(deadline)) is not None:
        if not message.keys() & {"trial"}:  # an exercise has one time for all of its calls
            deadline = min(end, time.monotonic() + limits.patience)
        if "reading" in message:
            number = _file(message["reading"], work)
            yield "reading", number
        elif "read" in message:
            number = _file(message["read"], work)
            work.notes[number] = [clean(str(note)) for note in message["notes"][:10]]
            work.defines[number] = [name for name in message["defines"] if name in exercises]
            for name, why in message["broken"].items():
                if name in exercises and name not in work.defines[number]:
                    work.tell(number, name, "unreadable", clean(f"{submission.files[number].name}: {why}"))
        elif "loading" in message:
            number = _file(message["loading"], work)
            yield "loading", number
        elif "loaded" in message:
            notes = [clean(str(note)) for note in message["notes"][:3]]
        elif "begins" in message:
            name, attempts = message["begins"], []
            if name not in work.defines[number] or (number, name) in work.done:
                raise ValueError("an exercise that it does not have")
            yield "exercise", number, name
        elif "trial" in message:
            if message["trial"] != len(attempts) or len(attempts) == len(trials[name]):
                raise ValueError("a call out of order")
            attempts.append(
                Attempt(decode(message.get("returned")), clean(str(message.get("raised") or "")),
                        bool(message.get("modified")), bool(message.get("unwritten")))
            )  # fmt: skip
        elif "ends" in message:
            if message["ends"] != name:
                raise ValueError("the end of another exercise")
            work.tell(number, name, *_verdict(exercises[name], trials[name], attempts, notes))
            attempts = []
        elif "finished" in message:
            yield ("finished",)
            return


def _file(number: Any, work: _Work) -> int:
    if type(number) is not int or number < 0 or number in work.skip:
        raise ValueError("a file that it was not given")
    return number


def _verdict(exercise: Exercise, trials: list[Trial], attempts: list[Attempt], notes: list[str]) -> tuple[str, str]:
    """Status and message for what came of the calls. notes: what went wrong when the file's names were defined."""
    if not attempts:
        return "crashed", "; ".join([f"there is no function {exercise.name}", *notes])
    if len(attempts) < len(trials) and not any(one.unwritten for one in attempts):
        return "wrong", attempts[-1].raised or "not all calls came back"
    verdict = assess(exercise, trials, attempts)
    return verdict.status, "\n  ".join([verdict.message, *(notes if verdict.status == "wrong" else [])])


def chosen(chapters: Sequence[int], variants: Sequence[str]) -> list[Exercise]:
    """The exercises of these chapters (none: all), or the variants that replace them. InputError: there is none."""
    table = all_exercises()
    for name in variants:
        if name not in table or table[name].variant_of is None:
            raise InputError(f"{name}: no exercise is a variant of that name")
    replaced = {table[name].variant_of: table[name] for name in variants}
    found = [
        replaced.get(one.name, one)
        for one in table.values()
        if one.variant_of is None and (not chapters or one.chapter in chapters)
    ]
    if not found:
        raise InputError(f"chapters {' '.join(map(str, chapters))} have no exercises")
    return found
