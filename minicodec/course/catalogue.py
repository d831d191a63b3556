"""What an exercise is: a function to be written, what the library has in its place, and the calls that judge it.

`of_op` makes an exercise of one half of an op. Its calls are the very cases that the library's own tests run, and what
is right is decided as there: a forward must equal the definition, a backward must equal central differences.
`of_function` makes one of any other function, with calls of its own; `of_part` one of a part of my_codec that takes
Tensors, or is a class.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import numpy as np

from minicodec.backend import OPS
from minicodec.course.cases import Case, all_cases
from minicodec.course.placing import Part, module_of, parts
from minicodec.course.shapes import enlarged, names, results
from minicodec.gradcheck import numeric_grad

Function = Callable[..., Any]


@dataclass(frozen=True)
class Trial:
    """One call. `what` says it in words; `expected` is what must come back, one entry a result.

    Where students' code runs, nobody knows what is expected: there it is empty.
    """

    what: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    expected: tuple[Any, ...]


@dataclass(frozen=True)
class Mistake:
    """A way to go wrong that people go: a function that goes it, and what to tell them."""

    function: Function
    words: str


@dataclass(frozen=True)
class Exercise:
    """A function to be written.

    name        of the function
    chapter     in which it stands
    solution    the library's
    trials      generator, fresh, answers -> calls. fresh: sizes other than those of the library's tests (for
                grading); answers: say what is expected, or leave it empty
    task        signature and docstring of the stub (default: the solution's)
    mistakes    looked for when a result is wrong
    hint        nearly the solution: the last that a wrong answer hears of
    points      for grading
    rtol        of results against the largest number expected, in float64
    op          (name, "forward" or "backward") if a right answer joins the backend "student"
    variant_of  the exercise that this one can stand in for, so that published answers do not give the points away
    part        of a part of my_codec that is no function of arrays alone, such as a class: the library's. Then `use`
                calls it as the trials say: use(part, *arguments) -> arrays
    returned    names of the results, where the docstring does not promise them
    """

    name: str
    chapter: int
    solution: Function
    trials: Callable[[np.random.Generator, bool, bool], Iterator[Trial]]
    task: Function
    mistakes: tuple[Mistake, ...] = ()
    hint: str = ""
    points: int = 1
    rtol: float = 1e-6
    op: tuple[str, str] | None = None
    variant_of: str | None = None
    part: Any = None
    use: Function | None = None
    returned: tuple[str, ...] = ()

    @property
    def result_names(self) -> list[str]:
        """Names of the results, as the docstring promises them."""
        return list(self.returned) or names(results(inspect.getdoc(self.task) or ""))

    @property
    def own(self) -> Any:
        """What the library has in the answer's place: a function, or a class."""
        return self.solution if self.part is None else self.part

    def called(self, answer: Any) -> Function:
        """An answer as a function of a trial's arguments."""
        return answer if self.use is None else partial(self.use, answer)

    def stub(self) -> str:
        """The source of a cell to fill in."""
        if self.use is not None:
            return stub_of(parts()[self.name].text)
        doc = textwrap.indent(f'"""{inspect.getdoc(self.task)}"""', "    ")
        signature = inspect.signature(self.task)
        plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        signature = signature.replace(parameters=plain, return_annotation=signature.empty)
        return f"@exercise\ndef {self.name}{signature}:\n{doc}\n    raise NotImplementedError\n"


def of_op(op_name: str, direction: str, chapter: int, more: tuple[Case, ...] = (), **options: Any) -> Exercise:
    """An exercise of one half of an op, named and explained as the op's definition is.

    more: cases after those that the library itself is tested on.
    """
    op = OPS[op_name]
    solution = op.pairs["numpy"][direction == "backward"]

    def trials(rng: np.random.Generator, fresh: bool, answers: bool) -> Iterator[Trial]:
        for case in [*all_cases()[op_name], *more]:
            yield _op_trial(op_name, direction, _fresh(case, solution, rng, op_name) if fresh else case, rng, answers)

    return Exercise(solution.__name__, chapter, solution, trials, options.pop("task", solution),
                    op=(op_name, direction), **options)  # fmt: skip


def _fresh(case: Case, solution: Function, rng: np.random.Generator, op_name: str) -> Case:
    """The case with other numbers, and with other sizes where they can be had."""
    doc = OPS[op_name].pairs["numpy"][0].__doc__ or ""
    shapes = enlarged(doc, case.shapes, rng) if not {"shape", "axes", "index"} & case.attrs.keys() else case.shapes
    return replace(case, shapes=shapes, seed=int(rng.integers(1 << 31)))


def _op_trial(op_name: str, direction: str, case: Case, rng: np.random.Generator, answers: bool) -> Trial:
    forward, _ = OPS[op_name].pairs["numpy"]
    arrays = case.arrays()
    y, saved = forward(*arrays, **case.attrs)
    what = described(dict(zip(inspect.signature(forward).parameters, arrays, strict=False)) | case.attrs)
    if direction == "forward":
        return Trial(what, tuple(arrays), case.attrs, (y,) if answers else ())
    dy = rng.normal(size=y.shape)
    expected = tuple(
        numeric_grad(lambda: forward(*arrays, **case.attrs)[0], x, dy) if x.dtype.kind == "f" else None
        for x in (arrays if answers else [])
    )
    return Trial(what, (dy, saved), case.attrs, expected)


def of_function(
    solution: Function, chapter: int, arguments: Callable[[np.random.Generator, bool], Iterator[Any]], **options: Any
) -> Exercise:
    """An exercise of any function; `arguments(rng, fresh)` yields tuples of arguments, or (tuple, dict) with keywords.

    Random generators among the arguments are copied for each call, so that answers can be compared.
    """

    def trials(rng: np.random.Generator, fresh: bool, answers: bool) -> Iterator[Trial]:
        for given in arguments(rng, fresh):
            keywords = isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict)
            args, kwargs = given if keywords else (given, {})
            bound = inspect.signature(solution).bind(*args, **kwargs).arguments
            expected = as_results(solution(*deepcopy(args), **deepcopy(kwargs))) if answers else ()
            yield Trial(described(bound), args, kwargs, expected)

    name = options.pop("name", solution.__name__)
    return Exercise(name, chapter, solution, trials, options.pop("task", solution), **options)


def of_part(
    name: str, chapter: int, arguments: Callable[[np.random.Generator, bool], Iterator[Any]], use: Function,
    slips: Sequence[tuple[str, str, str]], **options: Any,
) -> Exercise:  # fmt: skip
    """An exercise of a part of my_codec, which `use(part, *arguments)` calls: with Tensors, or as a class.

    slips: (text, another, words): the library's part with another text in place of one is a mistake.
    """
    part = parts()[name]
    module = module_of(part)
    library = getattr(module, name)

    def trials(rng: np.random.Generator, fresh: bool, answers: bool) -> Iterator[Trial]:
        for args in arguments(rng, fresh):
            bound = dict(zip(list(inspect.signature(use).parameters)[1:], args, strict=False))
            expected = as_results(use(library, *deepcopy(args))) if answers else ()
            yield Trial(described(bound), args, {}, expected)

    mistakes = tuple(Mistake(_slipped(part, module, use, *slip[:2]), slip[2]) for slip in slips)
    return Exercise(name, chapter, partial(use, library), trials, library, mistakes, part=library, use=use, **options)


def _slipped(part: Part, module: ModuleType, use: Function, text: str, another: str) -> Function:
    """The part with another text in place of one, as a function of a trial's arguments. Docstrings do not count."""
    lines = part.text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(part.text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            first, last = node.body[0].lineno, node.body[0].end_lineno or 0
            lines[first - 1 : last] = [""] * (last - first + 1)
    code = "".join(lines)
    if code.count(text) != 1:
        raise ValueError(f"{part.name}: {text!r} stands there {code.count(text)} times")

    def run(*args: Any) -> Any:
        names = dict(vars(module))
        exec(code.replace(text, another), names)
        return use(names[part.name], *args)

    return run


def stub_of(text: str) -> str:
    """A function or class with its signatures and docstrings, and nothing else: a cell to fill in."""
    lines, kept = text.splitlines(), ["@exercise"]
    (whole,) = ast.parse(text).body
    assert isinstance(whole, ast.FunctionDef | ast.ClassDef)
    functions = [whole] if isinstance(whole, ast.FunctionDef) else whole.body
    at = 0
    for node in functions:
        if isinstance(node, ast.FunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            stop = first.end_lineno if documented else first.lineno - 1
            kept += [*lines[at:stop], " " * (node.col_offset + 4) + "raise NotImplementedError"]
            assert node.end_lineno is not None
            at = node.end_lineno
    return "\n".join(kept) + "\n"


def as_results(returned: Any) -> tuple[Any, ...]:
    """What a function returned, as a tuple."""
    return tuple(returned) if isinstance(returned, (tuple, list)) else (returned,)


def described(arguments: dict[str, Any]) -> str:
    """Arguments in words: arrays by their shapes, numbers as they are."""
    words = []
    for name, value in arguments.items():
        if isinstance(value, np.ndarray) and value.ndim:
            words.append(f"{name} ({','.join(map(str, value.shape))})")
        elif isinstance(value, (np.ndarray, int, float, str, bool, list, tuple)) and len(str(value)) < 60:
            words.append(f"{name}={value}".replace("\n", ""))
        elif isinstance(value, dict) and len(str(value)) < 60:
            words += [f"{key}={one}" for key, one in value.items()]
        else:
            words.append(name)
    return ", ".join(words)


@cache
def all_exercises() -> dict[str, Exercise]:
    """All exercises by name, from the files of minicodec/course/exercises/, with the mistakes of course/slips/."""
    found: dict[str, Exercise] = {}
    for module in _modules("minicodec.course.exercises"):
        for one in module.EXERCISES:
            if one.name in found:
                raise ValueError(f"two exercises are called {one.name}")
            found[one.name] = one
    for module in _modules("minicodec.course.slips"):
        for name, more in module.MISTAKES.items():
            found[name] = replace(found[name], mistakes=found[name].mistakes + more)
    return found


def _modules(package: str) -> Iterator[Any]:
    """The modules of a package, in the order of their names."""
    names = sorted(module.name for module in iter_modules(import_module(package).__path__))
    return (import_module(f"{package}.{name}") for name in names)
