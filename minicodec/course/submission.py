"""What a student handed in: a notebook or a .py file, of which grading runs the definitions and nothing else.

A chapter trains networks and plays sounds, which would take minutes and can crash long after the exercises were right.
So only imports, functions, classes and assignments of plain constants are kept, in their order. The rest of a cell,
and cells that are no Python, are left out.

Run as a process of its own (`python -m minicodec.course.submission`, by grade.py), it judges exercises one by one and
writes a line of JSON about each. Limits on memory and on processor time hold for this process alone. They keep a
mistake from harming the others; they are no protection against malice: grade code of strangers inside a container.
"""

import ast
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from minicodec.errors import InputError


def read(path: Path) -> str:
    """The Python text of a notebook's code cells, or of a .py file. InputError: it can't be read."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix != ".ipynb":
            return text
        cells = json.loads(text)["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read as a notebook or a Python file ({error})") from None
    return "\n\n".join(source for source in sources if _parses(source))


def definitions(source: str) -> ast.Module:
    """The imports, functions, classes and constants of a text. SyntaxError: it is no Python."""
    kept = []
    for node in ast.parse(source).body:
        definition = isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef))
        if definition or (isinstance(node, ast.Assign) and _constant(node.value)):
            kept.append(node)
    return ast.Module(kept, [])


def _parses(source: str) -> bool:
    """Is it Python? Cells that begin with % or ! are not."""
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _constant(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


def main(path: str, seed: str, memory: str, seconds: str, *names: str) -> None:
    """Judge these exercises in that file, and write a line of JSON on each as it starts and as it ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what students print is nobody's business

    def tell(**fields: Any) -> None:
        print(json.dumps(fields), file=out, flush=True)

    from minicodec.course import catalogue, judge

    exercises = catalogue.all_exercises()
    limit = int(memory)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24, 1 << 24))
    functions: dict[str, Any] = {"__name__": "submission"}
    crash = ""
    for node in definitions(read(Path(path))).body:
        tell(loads=ast.unparse(node)[:60])
        try:
            exec(compile(ast.Module([node], []), path, "exec"), functions)
        except BaseException as error:  # a submission can do anything at all, sys.exit included
            crash = f"{type(error).__name__}: {error}"
    for name in names:
        tell(begins=name)
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        resource.setrlimit(resource.RLIMIT_CPU, (int(used + float(seconds)) + 1, resource.RLIM_INFINITY))
        written = functions.get(name)
        if not callable(written):
            tell(ends=name, status="crashed" if crash else "missing", message=crash or "there is no such function")
            continue
        try:
            verdict = judge.judge(exercises[name], _undecorated(written), seed=int(seed), fresh=True)
        except BaseException as error:  # MemoryError, SystemExit, RecursionError: the answer is wrong, that is all
            tell(ends=name, status="crashed", message=f"{type(error).__name__}: {error}")
        else:
            tell(ends=name, status=verdict.status, message=verdict.message)


def _undecorated(function: Any) -> Any:
    """The student's own function, without the library's standing in for it."""
    import inspect

    return inspect.unwrap(function)


if __name__ == "__main__":
    main(*sys.argv[1:])
