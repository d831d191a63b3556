"""The process in which a student's code runs: it calls the answers and tells what they returned, and judges nothing.

What is right is known to the grader alone, in another process. Here are only the calls: arguments drawn from the
seed. Limits on memory and on processor time hold for this process and those that it starts. They keep a mistake from
harming others and are no protection against malice: the code of strangers belongs inside a container.
"""

import ast
import fcntl
import inspect
import linecache
import os
import resource
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from minicodec.backend import OPS, use
from minicodec.course import catalogue
from minicodec.course.judge import attempt, raised, trials_of
from minicodec.course.messages import clean, encode, send
from minicodec.course.placing import module_of, parts
from minicodec.course.reading import Source, of_the_library, read
from minicodec.errors import InputError

_called = [""]  # the exercise whose answer is at work


class LibraryAnswerError(BaseException):
    """The answer to an exercise calls the library's own. Not an Exception, which the answer might catch."""


def main(request: dict[str, Any], messages: int) -> None:
    """Read the files, run what the answers need, call each, and send a message on every step.

    request: files (paths), asked (names of exercises), skip (numbers of files not to be touched), done (pairs of a
    file's number and an exercise), beside (may a file import what lies beside it?), seed, seconds, memory.
    """
    # Far from the numbers that os.open gives, and closed in programs that the student's code starts.
    out = fcntl.fcntl(messages, fcntl.F_DUPFD_CLOEXEC, 100)
    os.close(messages)
    own = os.getpid()

    def tell(**fields: Any) -> None:
        if os.getpid() != own:
            os._exit(0)  # the student's code has forked, and this is the copy
        send(out, fields)

    exercises = {name: catalogue.all_exercises()[name] for name in request["asked"]}
    _guard_answers()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if _linux() else 0
    _limit(resource.RLIMIT_AS, used + request["memory"])
    _limit(resource.RLIMIT_FSIZE, 1 << 24)
    _limit(resource.RLIMIT_CORE, 0)
    done = {(number, name) for number, name in request["done"]}
    sources: dict[int, Source] = {}
    for number, path in enumerate(request["files"]):
        if number not in request["skip"]:
            tell(reading=number)
            _allow(request["seconds"])
            try:
                source = sources[number] = read(Path(path))
            except InputError as error:
                tell(read=number, defines=[], broken={}, notes=[clean(str(error))])
                continue
            defines = [name for name in exercises if name in source.defines()]
            broken = {name: clean(words) for name, words in source.broken.items() if name in exercises}
            tell(read=number, defines=defines, broken=broken, notes=[clean(note) for note in source.notes[:10]])
    with use("numpy"):
        for number, source in sources.items():
            names = [n for n in exercises if n in source.defines() and (number, n) not in done]
            if not names:
                continue
            tell(loading=number)
            _allow(request["seconds"])
            if request["beside"]:
                sys.path.append(str(Path(request["files"][number]).parent))
            functions, notes = _loaded(source, names)
            tell(loaded=number, notes=[clean(note) for note in notes[:3]])
            for name in names:
                tell(begins=name)
                _allow(request["seconds"])
                answer = functions.get(name)
                called = exercises[name].called(_undecorated(answer)) if callable(answer) else None
                _call(exercises[name], called, request["seed"], tell)
                tell(ends=name)
    tell(finished=True)


def _loaded(source: Source, names: list[str]) -> tuple[dict[str, Any], list[str]]:
    """What the file's own statements make of these names, and what went wrong meanwhile.

    A chapter imports the library's functions later, over those that the student wrote; they are no answers.
    """
    module = types.ModuleType("submission")
    sys.modules["submission"] = module  # where pickle looks for the functions that a pool is given
    answers: dict[str, Any] = {}
    notes = []
    for statement in source.needed(names):
        title = f"<{statement.cell.title or 'file'}>"
        lines = statement.cell.text.splitlines(keepends=True)
        linecache.cache[title] = (len(statement.cell.text), None, lines, title)
        try:
            exec(compile(ast.Module([statement.node], []), title, "exec"), vars(module))
        except BaseException as error:  # a student's code can do anything at all, sys.exit included
            notes.append(f"{statement.cell.line(statement.node.lineno)}: {raised(error)}")
        if not of_the_library(statement):
            answers |= {name: vars(module)[name] for name in statement.binds.intersection(names, vars(module))}
    return answers, notes


def _call(exercise: catalogue.Exercise, function: Any, seed: int, tell: Callable[..., None]) -> None:
    """Make all calls of an exercise, and tell what each came to."""
    if not callable(function):
        return
    function = _undecorated(function)
    for number, trial in enumerate(trials_of(exercise, seed, fresh=True, answers=False)):
        _called[0] = exercise.name
        try:
            came = attempt(function, trial)
        except LibraryAnswerError as error:
            tell(trial=number, raised=str(error))
            return
        except BaseException as error:  # SystemExit, say
            tell(trial=number, raised=raised(error))
            continue
        finally:
            _called[0] = ""
        tell(trial=number, returned=encode(came.returned), raised=came.raised, modified=came.modified,
             unwritten=came.unwritten)  # fmt: skip
        if came.unwritten:
            return


def _undecorated(function: Any) -> Any:
    """The student's own function, without the library's standing in for it."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def _guard_answers() -> None:
    """Let the library's answer to an exercise refuse to work for as long as the student's answer to it is called."""
    table = catalogue.all_exercises()
    for part in parts().values():
        module_of(part)
    modules = [m for key, m in sys.modules.items() if key.partition(".")[0] == "minicodec"]
    for name, one in list(table.items()):
        answers = [one.own]
        if name in parts():
            answers.append(getattr(module_of(parts()[name]), name))
        for answer in {id(answer): answer for answer in answers}.values():
            guarded = _guarded_class(answer, name) if isinstance(answer, type) else _guarded(answer, name)
            for module in modules:
                for attribute, value in list(vars(module).items()):
                    if value is answer:
                        setattr(module, attribute, guarded)
            if answer is not one.own:
                continue
            if one.op:
                op, backward = OPS[one.op[0]], one.op[1] == "backward"
                forward_half, backward_half = op.pairs["numpy"]
                op.add("numpy", *((forward_half, guarded) if backward else (guarded, backward_half)))
            table[name] = replace(one, solution=guarded) if one.part is None else replace(one, part=guarded)


def _guarded_class(answer: type, name: str) -> type:
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if _called[0] == name:
            raise LibraryAnswerError(f"It calls the library's {name}, which is what was to be written.")
        answer.__init__(self, *args, **kwargs)  # type: ignore[misc]

    return type(answer.__name__, (answer,), {"__init__": init, "__doc__": answer.__doc__})


def _guarded(solution: Callable[..., Any], name: str) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        if _called[0] == name:
            raise LibraryAnswerError(f"It calls the library's {name}, which is what was to be written.")
        return solution(*args, **kwargs)

    run.__name__, run.__doc__ = solution.__name__, solution.__doc__  # from which calls of other sizes are made
    run.__signature__ = inspect.signature(solution)  # type: ignore[attr-defined]
    return run


def _allow(seconds: float) -> None:
    """So much processor time from now on; then SIGXCPU ends the process."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _limit(what: int, most: int) -> None:
    """Lower a limit, as far as the one that holds already lets."""
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (most, most) if hard == resource.RLIM_INFINITY or hard > most else (hard, hard))


def _linux() -> bool:
    return sys.platform == "linux"
