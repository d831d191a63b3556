"""What stands in a notebook: `@exercise` on a function to be written, `check` on one that has been.

A function that is right is kept as text in the folder `my_codec` of the notebook's own, so that the next chapter, which
is another process, has it too (and judges it again); `yours()` says which there are.
"""

import functools
import inspect
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.backend import OPS
from minicodec.course import notebook
from minicodec.course.catalogue import Exercise, Function, all_exercises
from minicodec.course.judge import Verdict, judge, raised
from minicodec.course.keeping import source_of

KEPT = Path("my_codec")
_right: dict[str, Function] = {}  # the student's functions that have passed, by exercise
_told: dict[str, tuple[str, int]] = {}  # the last mistake told, and in how many stages


def exercise(function: Function) -> Function:
    """Decorator: the student's function, or the library's for as long as it raises NotImplementedError.

    A forward gives y alone: the library's `saved` is for its own backward.

    ValueError: no exercise has that name.
    """
    one = _named(function)
    notebook.written(one.name)
    return _or_the_library(one, function)


def _or_the_library(one: Exercise, function: Function) -> Function:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            returned = function(*args, **kwargs)
        except NotImplementedError:
            returned = one.solution(*args, **kwargs)
        except BaseException:
            notebook.used(one.name)
            raise
        else:
            notebook.used(one.name)
        return _y_alone(one, returned)

    return run


def _y_alone(one: Exercise, returned: Any) -> Any:
    """What a notebook sees of a result: of a forward's (y, saved), y."""
    forward = one.op is not None and one.op[1] == "forward"
    return returned[0] if forward and isinstance(returned, tuple) else returned


def check(function: Function) -> None:
    """Judge a function that stands under `@exercise`, and print what came of it.

    Right: it becomes part of the backend "student", if it is half of an op, and is kept for the chapters to come.
    Wrong: first it says where; checked again with the same mistake, of what kind it looks; then a hint.
    """
    one = _named(function)
    written = inspect.unwrap(function)
    verdict = judge(one, written)
    notebook.judged(one.name, verdict.status == "right")
    if verdict.status == "wrong":
        print("✗ " + _in_stages(one.name, verdict))
    elif verdict.status == "unwritten":
        print(f"… {verdict.message}\n  The library's stands in for it: the chapter goes on.")
    else:
        print(f"✓ {verdict.message}")
        _told.pop(one.name, None)
        _install(one, written)
        _keep(one, written)


def _in_stages(name: str, verdict: Verdict) -> str:
    """One stage more than at the last check, if that found the same."""
    stages = verdict.stages
    mistake = verdict.kind or verdict.where.partition("\n")[0]
    before, count = _told.get(name, ("", 0))
    count = min(count + 1 if before == mistake else 1, len(stages))
    _told[name] = mistake, count
    more = "" if count == len(stages) else "\n  Check it again, and you hear more."
    return "\n  ".join(stages[:count]) + more


def yours() -> list[str]:
    """The names of your functions that were found right, of this chapter and of those before it.

    Those of earlier chapters are read from the folder `my_codec` and judged again; one that does not pass is told.
    """
    for path in sorted(KEPT.glob("*.py")):
        one = all_exercises().get(path.stem)
        if one and path.stem not in _right:
            try:
                function = _recall(path)
            except (Exception, SystemExit) as error:  # the reader's own code, which may have been changed by hand
                print(f"{path}: cannot be used. {raised(error)}")
                continue
            verdict = judge(one, function)
            if verdict.status == "right":
                _install(one, function)
            else:
                print(f"{path}: {verdict.message}")
    return sorted(_right)


def library(name: str) -> Function:
    """The library's function for an exercise, as it stands in for one that is not written."""
    if name not in all_exercises():
        raise ValueError(f"there is no exercise called {name}")
    return all_exercises()[name].solution


def mine(name: str) -> Any:
    """Your own answer to an exercise of an earlier chapter, if it was found right; else the library's."""
    return _right.get(name) or library(name)


def _named(function: Function) -> Exercise:
    name = getattr(function, "__name__", type(function).__name__)
    if name == "<lambda>":
        raise ValueError("a lambda has no name: write it with def and the exercise's name")
    if name not in all_exercises():
        raise ValueError(f"there is no exercise called {name}")
    return all_exercises()[name]


def _install(one: Exercise, function: Function) -> None:
    """Remember a right function, and give it its place in the backend "student"."""
    _right[one.name] = function
    if one.op is None:
        return
    op, direction = OPS[one.op[0]], one.op[1]
    forward, backward = op.pairs.get("student", op.pairs["numpy"])
    op.add("student", *((_with_saved(function, op.pairs["numpy"][0]), backward) if direction == "forward"
                        else (forward, function)))  # fmt: skip


def _with_saved(forward: Function, definition: Function) -> Function:
    """A forward that returns y alone, or y and what it likes, as one that returns y and what the backward needs."""

    def run(*arrays: Any, **attrs: Any) -> tuple[Any, Any]:
        returned = forward(*arrays, **attrs)
        y = returned[0] if isinstance(returned, tuple) else returned
        return np.asarray(y, np.result_type(*arrays)), definition(*arrays, **attrs)[1]

    return run


def _keep(one: Exercise, function: Function) -> None:
    """Write the function's source, with what it uses, where later chapters find it."""
    source, lost = source_of(function, known={"np", "exercise", *all_exercises()})
    if lost:
        print(f"  It uses {', '.join(f'`{name}`' for name in lost)}, which the next chapter does not have: put that "
              "inside of the function, and check it again.")  # fmt: skip
    if lost or not source:
        return
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{one.name}.py").write_text(
        f"import numpy as np\nfrom minicodec.course import exercise\n\n\n{source}", encoding="utf-8"
    )


def _recall(path: Path) -> Function:
    """The function in a file that `_keep` wrote: the reader's own code, in the reader's own folder."""
    # It may call the functions of other exercises: those that are right so far, or else the library's.
    names: dict[str, Any] = {
        name: _or_the_library(one, _right.get(name, one.solution)) for name, one in all_exercises().items()
    }
    names.pop(path.stem)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    function: Function = inspect.unwrap(names[path.stem])
    return function
