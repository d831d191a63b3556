"""What stands in a notebook: `@exercise` on a function or class to be written, `check` on one that has been.

One that is right is put in its place in the reader's package `my_codec`, beside the notebook, so that the next chapter,
which is another process, has it too (and judges it again); those that are no part of a codec go to my_codec/others.
`yours()` says which there are.
"""

import ast
import functools
import inspect
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.backend import OPS
from minicodec.course import notebook
from minicodec.course.catalogue import Exercise, Function, Trial, all_exercises, undecorated
from minicodec.course.judge import Verdict, judge, raised, trials_of
from minicodec.course.keeping import source_of, without_decorator
from minicodec.course.placing import FILES, PACKAGE, Part, answers, create, module_of, parts, put
from minicodec.course.reading import needed_names

KEPT = Path("my_codec")
OTHERS = KEPT / "others"  # answers that are no part of a codec
_right: dict[str, Function] = {}  # the student's functions that have passed, by exercise
_told: dict[str, tuple[str, int]] = {}  # the last mistake told, and in how many stages


def exercise(function: Function) -> Function:
    """Decorator: the student's function, or the library's for as long as it raises NotImplementedError.

    A forward gives y alone: the library's `saved` is for its own backward.

    ValueError: no exercise has that name.
    """
    one = _named(function)
    answer = _or_the_library(one, function)
    notebook.written(one.name, answer)
    return answer


def _class_or_the_library(one: Exercise, own: Any) -> Any:
    """The reader's class; the library's for as long as one of its methods is not written."""
    written = all("NotImplementedError" not in f.__code__.co_names for f in vars(own).values() if inspect.isfunction(f))
    return own if written else type(own.__name__, (one.part,), {"__wrapped__": own, "__doc__": own.__doc__})


def _or_the_library(one: Exercise, function: Any) -> Any:
    if inspect.isclass(function):
        return _class_or_the_library(one, function)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            returned = function(*args, **kwargs)
        except NotImplementedError:
            returned = one.own(*args, **kwargs)
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
    Wrong: first it says where; checked again with the same mistake, of what kind it looks; then a hint. If it calls
    an earlier answer that was found wrong, that one is named: it may be to blame.
    """
    one = _named(function)
    written = undecorated(function)
    verdict = judge(one, one.called(written))
    notebook.judged(one.name, verdict.status)
    below = notebook.wrong_below(written) if verdict.status == "wrong" else []
    if below:
        print(f"✗ {verdict.where}\n  It calls {' and '.join(below)}, found wrong before: mend that first.")
    elif verdict.status == "wrong":
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
    for path in sorted([*KEPT.glob("*.py"), *OTHERS.glob("*.py")]):
        if path.stem in all_exercises() and path.stem not in {*_right, *FILES}:
            _take_up(path.stem, path.read_text(encoding="utf-8"), path)
    for name, text in answers(KEPT).items():
        if name in all_exercises() and name not in _right:
            _take_up(name, text, KEPT / f"{parts()[name].file}.py")
    return sorted(_right)


def _take_up(name: str, text: str, path: Path) -> None:
    """Judge an answer that was kept, and install it. Older versions kept each in a file of its own: it moves."""
    one = all_exercises()[name]
    alone = path.stem not in FILES  # my_codec/train.py is a file of parts, not an answer to the exercise `train`
    try:
        function = _recall(name, text, path)
    except (Exception, SystemExit) as error:  # the reader's own code, which may have been changed by hand
        whose = path if alone else f"{path}: {name}"
        print(f"{whose}: cannot be used. {raised(error)}")
        return
    verdict = judge(one, one.called(function))
    if verdict.status != "right":
        print(f"{path}: {verdict.message}")
        return
    _install(one, function)
    if name in parts() and alone and not _place(one, parts()[name], text, function):
        path.unlink()


def library(name: str) -> Any:
    """The library's function, or class, for an exercise, as it stands in for one that is not written."""
    if name not in all_exercises():
        raise ValueError(f"there is no exercise called {name}")
    return all_exercises()[name].own


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
                        else (forward, _in_a_tuple(function))))  # fmt: skip


def _with_saved(forward: Function, definition: Function) -> Function:
    """A forward that returns y alone, or y and what it likes, as one that returns y and what the backward needs."""

    def run(*arrays: Any, **attrs: Any) -> tuple[Any, Any]:
        returned = forward(*arrays, **attrs)
        y = returned[0] if isinstance(returned, tuple) else returned
        return np.asarray(y, np.result_type(*arrays)), definition(*arrays, **attrs)[1]

    return run


def _in_a_tuple(backward: Function) -> Function:
    """A backward that may return the gradient of the only input as it is, as one that returns a tuple."""

    @functools.wraps(backward)
    def run(*args: Any, **attrs: Any) -> Any:
        returned = backward(*args, **attrs)
        return (returned,) if isinstance(returned, np.ndarray) else returned

    return run


def _keep(one: Exercise, answer: Any) -> None:
    """Write the answer's source, with what it uses, where later chapters find it."""
    part = parts().get(one.name)
    source, lost = source_of(answer, {"np", "exercise", *all_exercises()}, vars(module_of(part)) if part else {})
    if source and part and not lost:
        lost = _place(one, part, source, answer)
    if lost:
        print(f"  It uses {', '.join(f'`{name}`' for name in lost)}, which the next chapter does not have: put that "
              "inside of the function, and check it again.")  # fmt: skip
    elif source and not part:
        OTHERS.mkdir(parents=True, exist_ok=True)
        (OTHERS / f"{one.name}.py").write_text(
            f"import numpy as np\nfrom minicodec.course import exercise\n\n\n{source}", encoding="utf-8"
        )


def _place(one: Exercise, part: Part, source: str, answer: Any) -> list[str]:
    """Put an answer into the reader's package. The names that it uses and that cannot be had there; then it is not."""
    text = without_decorator(source, one.name)
    there = vars(module_of(part))
    used = sorted(needed_names(ast.parse(text)) & all_exercises().keys() - there.keys() - {one.name})
    earlier = FILES[: FILES.index(part.file)]
    lost = [name for name in used if name not in parts() or parts()[name].file not in earlier]
    if lost:
        return lost
    imports = [f"from {PACKAGE}.{parts()[name].file} import {name}" for name in used]
    with_more = isinstance(one.called(answer)(*deepcopy(_first_call(one).args), **_first_call(one).kwargs), tuple)
    after = []
    if with_more and len(_first_call(one).expected) == 1:
        after = [f"\n\nfrom minicodec.course.placing import first_of\n\n{one.name} = first_of({one.name})"]
    create(KEPT, {name: other.chapter for name, other in all_exercises().items()})
    if not put(KEPT, one.name, "\n".join([*imports, *([""] * 2 if imports else []), text, *after])):
        print(f"  {KEPT / part.file}.py has no place for {one.name} any more: rename that file, and check it again.")
    return []


def _first_call(one: Exercise) -> Trial:
    return trials_of(one, 0, fresh=False)[0]


def _recall(name: str, text: str, path: Path) -> Any:
    """The answer in a text that `_keep` wrote: the reader's own code, in the reader's own folder."""
    # It may call the functions of other exercises: those that are right so far, or else the library's.
    names: dict[str, Any] = {
        other: _or_the_library(one, _right.get(other, one.own)) for other, one in all_exercises().items()
    }
    if name in parts():
        names |= vars(module_of(parts()[name]))
        text = text.replace(f"from {KEPT.name}.", f"from {PACKAGE}.")
    names.pop(name)
    exec(compile(text, str(path), "exec"), names)
    return undecorated(names[name])
