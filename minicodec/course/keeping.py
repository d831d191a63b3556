"""The source of a function with what it uses from outside: enough to define it again in another process."""

import ast
import builtins
import inspect
import textwrap
import types
from collections.abc import Collection
from typing import Any

import numpy as np

from minicodec.course.reading import needed_names

LARGEST = 1000  # entries of an array that is written out


def source_of(function: Any, known: Collection[str]) -> tuple[str, list[str]]:
    """Text that defines the function, its helpers and constants first, and names that no text can stand for.

    known: names that the other process has anyway. The text is empty where there is no source (typed at a prompt).
    """
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return "", []
    outside = getattr(function, "__globals__", {})
    before: dict[str, str] = {}
    lost: list[str] = []
    _collect(text, outside, {*known, function.__name__}, before, lost)
    imports = [line for line in before.values() if line.startswith(("import ", "from "))]
    others = [line for line in before.values() if line not in imports]
    return "\n\n".join([*(["\n".join(imports)] if imports else []), *others, text]), lost


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
