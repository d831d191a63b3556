"""Wrong answers, all that are known and those that anybody can give to any exercise, through `check` and `grade`."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from minicodec.course import grade, student, submission
from minicodec.course.catalogue import all_exercises
from minicodec.course.collect import Submission
from minicodec.course.judge import trials_of
from minicodec.course.messages import LARGEST_ARRAY

EXERCISES = all_exercises()
LIMITS = grade.Limits(seed=7, seconds=5, memory=1 << 30)


def graded(one, function, monkeypatch):
    """What `grade` says of a function: by its own code on both sides, with no process in between."""
    sent = [{"read": 0, "defines": [one.name], "broken": {}, "notes": []}, {"loading": 0}, {"loaded": 0, "notes": []}]

    def tell(**fields):
        sent.append(json.loads(json.dumps(fields)))

    tell(begins=one.name)
    submission._call(one, function, LIMITS.seed, tell)
    tell(ends=one.name)
    tell(finished=True)

    class Process:
        def __init__(self, request):
            self.receive = lambda deadline: sent.pop(0)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(grade, "StudentProcess", Process)
    trials = {one.name: trials_of(one, LIMITS.seed, fresh=True)}
    [result] = grade.grade(Submission("ann", (Path("a.py"),)), [one], trials, LIMITS)
    return result


def checked(one, function, monkeypatch, capsys):
    """What `check` prints in the end, when it has no more to say."""
    named = lambda *args, **kwargs: function(*args, **kwargs)  # noqa: E731
    named.__name__ = one.name
    verdict = student.judge(one, named)
    with monkeypatch.context() as patch:
        patch.setattr(student, "_told", {})
        patch.setattr(student, "judge", lambda *_: verdict)  # once is enough
        for _ in range(3):
            student.check(named)
    return capsys.readouterr().out.split("✗ ")[-1]


@pytest.mark.thorough
@pytest.mark.parametrize("one", EXERCISES.values(), ids=list(EXERCISES))
def test_known_mistakes(one, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert len(one.mistakes) >= 5, "think of more"
    assert len({mistake.words for mistake in one.mistakes}) == len(one.mistakes)
    for mistake in one.mistakes:
        said = checked(one, mistake.function, monkeypatch, capsys)
        assert mistake.words in said, said
        result = graded(one, mistake.function, monkeypatch)
        assert (result.status, result.points) == ("wrong", 0), mistake.words
        assert mistake.words in result.message, result.message
    assert not (tmp_path / "my_codec").exists()


def first_result(change):
    """An answer whose first result is right but for a change."""

    def make(one):
        def answer(*args, **kwargs):
            returned = one.solution(*args, **kwargs)
            if not isinstance(returned, tuple):
                return change(returned)
            return change(returned[0]) if forward(one) else (change(returned[0]), *returned[1:])

        return answer

    return make


def forward(one):
    return one.op is not None and one.op[1] == "forward"


def results_of(one):
    return [trial.expected[0] for trial in trials_of(one, LIMITS.seed, fresh=True)]


def of_floats(one):
    return all(np.asarray(result).dtype.kind == "f" for result in results_of(one))


def of_whole_numbers(one):
    return all(np.asarray(result).dtype.kind in "iu" for result in results_of(one))


def of_one_array(one):
    return all(len(trial.expected) == 1 for trial in trials_of(one, LIMITS.seed, True)) and of_arrays(one)


def of_arrays(one):
    return all(isinstance(result, np.ndarray) and result.ndim for result in results_of(one))


def in_half_precision(a):
    return np.asarray(a).astype(np.float16)


def spoilt(a):
    a = np.array(a, np.float64)
    a[(-1,) * a.ndim] = np.nan
    return a


def undefined(one):
    return lambda *args, **kwargs: helper_of_another_cell(*args)  # noqa: F821


def greedy(one):
    def answer(*args, **kwargs):
        returned = one.solution(*copy.deepcopy(args), **kwargs)
        for array in [a for x in args for a in (x if isinstance(x, tuple) else (x,)) if isinstance(a, np.ndarray)]:
            array[...] = 0 if np.any(array) else 1
        return returned

    return answer


def takes_arrays(one):
    arrays = [a for x in trials_of(one, 0, False)[0].args for a in (x if isinstance(x, tuple) else (x,))]
    return any(isinstance(a, np.ndarray) and a.size and a.flags.writeable for a in arrays)


ANYBODY = {
    "undefined global": (undefined, lambda one: True, "`helper_of_another_cell` has no value where the function runs"),
    "nothing returned": (lambda one: lambda *a, **k: None, lambda one: True, ("is there a `return`", "1 result; ")),
    "a list": (
        first_result(list), of_one_array, ("a list of", "of more than 1000", "collect what it holds in an array"),
    ),
    "half precision": (first_result(in_half_precision), of_floats, ("it was computed in float16", "It looks like")),
    "floats": (first_result(lambda a: np.asarray(a) * 1.0), of_whole_numbers, ("whole numbers", "integer type")),
    "cut off": (first_result(lambda a: np.asarray(a).astype(int)), of_floats, "holds int64; expected float"),
    "complex": (first_result(lambda a: np.asarray(a) + 0j), of_floats, "complex numbers come back"),
    "an axis more": (first_result(lambda a: np.asarray(a)[None]), of_arrays, "has shape"),
    "not a number": (first_result(spoilt), of_floats, ("nan; expected", "not a number")),
    "inputs changed": (greedy, takes_arrays, "It modified its inputs"),
    "a number for an array": (first_result(lambda a: 0.5), of_arrays, ("has shape ()", "holds float64")),
}  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("one", EXERCISES.values(), ids=list(EXERCISES))
def test_mistakes_of_anybody(one, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    tried = 0
    for name, (make, applies, words) in ANYBODY.items():
        if not applies(one):
            continue
        tried += 1
        said = checked(one, make(one), monkeypatch, capsys)
        result = graded(one, make(one), monkeypatch)
        assert (result.status, result.points) == ("wrong", 0), name
        for text in (said, result.message):
            assert any(w in text for w in ([words] if isinstance(words, str) else words)), f"{name}: {text}"
    assert tried >= 2


@pytest.mark.parametrize("one", EXERCISES.values(), ids=list(EXERCISES))
def test_right_answers(one, monkeypatch, capsys, tmp_path):
    """Whatever a grader's messages do to them on the way."""
    result = graded(one, one.solution, monkeypatch)
    assert (result.status, result.points) == ("right", one.points), result.message


def test_what_is_expected_is_not_where_the_code_runs():
    """The calls that a student's process makes say nothing about their results."""
    for one in EXERCISES.values():
        with_answers = trials_of(one, LIMITS.seed, True)
        for trial, without in zip(with_answers, trials_of(one, LIMITS.seed, True, answers=False), strict=True):
            assert without.expected == ()
            assert trial.expected
            assert trial.what == without.what
            sizes = [a.nbytes for a in trial.expected if isinstance(a, np.ndarray)]
            assert max(sizes, default=0) < LARGEST_ARRAY, "else it could not be compared"
