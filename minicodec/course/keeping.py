"""The source of an answer with what it uses from outside: enough to define it again, in another process or a file."""

import ast
import builtins
import inspect
import textwrap
import types
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from minicodec.course.reading import needed_names

LARGEST = 1000  # entries of an array that is written out


def source_of(answer: Any, known: Collection[str], beside: Mapping[str, Any] | None = None) -> tuple[str, list[str]]:
    """Text that defines a function or class, its helpers and constants first, and names that no text can stand for.

    known: names that the other place has anyway; beside: names that it gives a value, which may be another than here.
    The text is empty where there is no source (typed at a prompt).
    """
    try:
        text, outside = _text_of(answer)
    except (OSError, TypeError, SyntaxError):
        return "", []
    before: dict[str, str] = {}
    lost: list[str] = []
    beside = beside or {}
    same = {name for name, value in beside.items() if outside.get(name) is value}
    _collect(text, outside, {*known, *same, answer.__name__}, before, lost)
    lost += [name for name in before if name in beside]
    imports = [line for line in before.values() if line.startswith(("import ", "from "))]
    others = [line for line in before.values() if line not in imports]
    return "\n\n".join([*(["\n".join(imports)] if imports else []), *others, text]), lost


def _text_of(answer: Any) -> tuple[str, dict[str, Any]]:
    """The text of a function or class, and the names around it."""
    if not inspect.isclass(answer):
        return textwrap.dedent(inspect.getsource(answer)), getattr(answer, "__globals__", {})
    # inspect looks for classes in their module's file, and a notebook has none; but it finds their methods.
    method = next(value for value in vars(answer).values() if inspect.isfunction(value))
    lines, _ = inspect.findsource(method)
    place = method.__code__.co_firstlineno
    for node in ast.walk(ast.parse("".join(lines))):
        if not isinstance(node, ast.ClassDef) or node.name != answer.__name__:
            continue
        if node.lineno < place <= (node.end_lineno or 0):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            return textwrap.dedent("".join(lines[first - 1 : node.end_lineno])), method.__globals__
    raise OSError("the class has no source")


def without_decorator(source: str, name: str) -> str:
    """The text of an answer without `@exercise`, and without the imports at the head of a file of the answer's own."""
    drop: set[int] = set()
    for node in ast.parse(source).body:
        if getattr(node, "name", "") == name:
            drop |= {line for d in node.decorator_list for line in range(d.lineno, (d.end_lineno or 0) + 1)}  # type: ignore
    heads = ("import numpy as np", "from minicodec.course import exercise")
    lines = [line for n, line in enumerate(source.splitlines(), 1) if n not in drop and line not in heads]
    return "\n".join(lines).strip("\n")


def _collect(text: str, outside: dict[str, Any], known: set[str], before: dict[str, str], lost: list[str]) -> None:
    """Add what a text uses from outside, and what that uses, to `before`: name -> its definition."""
    for name in sorted(needed_names(ast.parse(text))):
        if name in known or hasattr(builtins, name) or name not in outside:
            continue
        known.add(name)
        value = outside[name]
        definition = _definition(name, value, outside)
        if definition is None:
            lost.append(name)
            continue
        if inspect.isfunction(value) or inspect.isclass(value):
            _collect(definition, outside, known, before, lost)
        before[name] = definition


def _definition(name: str, value: Any, outside: dict[str, Any]) -> str | None:
    """A statement that gives the name this value; None if there is none that is short."""
    if isinstance(value, types.ModuleType):
        return f"import {value.__name__} as {name}"
    if isinstance(value, np.ufunc):
        return f"from numpy import {value.__name__} as {name}"
    if inspect.isroutine(value) or inspect.isclass(value):
        if getattr(value, "__module__", None) == outside.get("__name__") and not inspect.isbuiltin(value):
            try:
                return textwrap.dedent(inspect.getsource(value))
            except (OSError, TypeError):
                return None
        home, own = getattr(value, "__module__", None), getattr(value, "__qualname__", ".")
        return f"from {home} import {own} as {name}" if home and own.isidentifier() else None
    if isinstance(value, np.ndarray) and value.size <= LARGEST and value.dtype.kind in "fiub":
        return f"{name} = np.array({value.tolist()!r}, {value.dtype.name!r}).reshape({value.shape!r})"
    text = repr(value.item() if isinstance(value, np.generic) else value)
    try:
        plain = len(text) < 10 * LARGEST and ast.literal_eval(text) == value
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return f"{name} = {text}" if plain else None
