"""What a student handed in, as Python: the statements of a notebook or of a .py file that answers need.

A chapter trains networks and plays sounds, which would take minutes and can crash long after the exercises were right.
So of each file only that is run without which the wanted answers would not be whole: they themselves, and the imports,
functions, classes and other statements that give a value to a name which they use, directly or by way of another.

A line that is no Python (`%timeit`, `!pip`, `quantize?`) is dropped, a statement that has an error likewise; all else
counts, and `notes` says what was left out.
"""

import ast
import io
import json
import re
import symtable
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

from minicodec.errors import InputError

PYTHON_CELLS = ("time", "timeit", "capture", "prun", "memit")  # magics of a whole cell of Python
MAGIC = re.compile(r"\s*([%!?]|[\w., ]+=\s*[%!]|[\w.*]+\?{1,2}\s*$)")
CONTINUES = re.compile(r"[\s#)\]}]|(else|elif|except|finally)\b|$")  # a line that begins no statement
DEFINES = re.compile(r"^(?:async +)?(?:(?:def|class) +(\w+)|(\w+) *(?::[^=\n]*)?=[^=])", re.MULTILINE)
FARTHEST = 40  # lines at column 0 that one statement may have, such as those inside of a docstring
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


@dataclass
class Cell:
    """A text as it was written, and where in its file: "cell 3", or nothing if it is the whole file."""

    title: str
    text: str

    def line(self, number: int) -> str:
        """A place in words: cell 3, line 7."""
        return ", ".join(filter(None, [self.title, f"line {number}"]))


@dataclass
class Statement:
    """One statement of the top level, the names to which it gives a value, and those whose values it may need."""

    node: ast.stmt
    cell: Cell
    binds: set[str]
    needs: set[str]
    changes: set[str]  # by a method or an index, as in TABLE.append(1)


@dataclass
class Source:
    """A file. broken: names whose definition has an error -> which; notes: what was left out, in words."""

    statements: list[Statement] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def defines(self) -> set[str]:
        """The names to which the file itself gives a value: what it imports from the library is not the student's."""
        return {name for statement in self.statements if not of_the_library(statement) for name in statement.binds}

    def needed(self, wanted: Iterable[str]) -> list[Statement]:
        """The statements without which the values of these names would not be whole, in their order."""
        imported = {n for s in self.statements if isinstance(s.node, (ast.Import, ast.ImportFrom)) for n in s.binds}
        names, found = set(wanted), set[int]()
        while True:
            fresh = [
                i
                for i, s in enumerate(self.statements)
                if i not in found and (s.binds & names or s.changes & names - imported or "*" in s.binds)
            ]
            if not fresh:
                return [s for i, s in enumerate(self.statements) if i in found]
            found.update(fresh)
            for i in fresh:
                names |= self.statements[i].needs


def of_the_library(statement: Statement) -> bool:
    """Does it fetch a ready function: `from minicodec.metrics import si_sdr`, or `si_sdr = library("si_sdr")`?"""
    node = statement.node
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] == "minicodec"
    value = getattr(node, "value", None) if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "library"


def read(path: Path) -> Source:
    """All that can be read of a notebook or a .py file. InputError: it is neither."""
    source = Source()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a backslash in a text, say
        for cell in _cells(path, source.notes):
            for piece, first_line in _statements(cell, source):
                for node in piece.body:
                    ast.increment_lineno(node, first_line)
                    source.statements.append(_understood(node, cell))
    return source


def _cells(path: Path, notes: list[str]) -> Iterator[Cell]:
    try:
        data = path.read_bytes()
        if path.suffix != ".ipynb":
            yield Cell("", _text(data, notes))
            return
        notebook = json.loads(data)
        sheets = notebook.get("worksheets", [notebook])  # before version 4 of the format, cells lay in worksheets
        cells = [cell for sheet in sheets for cell in sheet["cells"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise InputError(f"it cannot be read as a notebook or a Python file ({words})") from None
    for number, cell in enumerate(cells, 1):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            text = cell.get("source", cell.get("input"))
            if isinstance(text, list) and all(isinstance(line, str) for line in text):
                text = "".join(text)
            if isinstance(text, str):
                yield Cell(f"cell {number}", text)
            else:
                notes.append(f"cell {number} has no text")


def _text(data: bytes, notes: list[str]) -> str:
    """As Python decodes it: a byte-order mark, a coding cookie, else UTF-8."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        notes.append("it is not in UTF-8, nor in the encoding that it names; read as Latin-1")
        return data.decode("latin-1")


def _statements(cell: Cell, source: Source) -> Iterator[tuple[ast.Module, int]]:
    """Parsed pieces of a cell, and the lines before each. What does not parse goes to the notes, and is left out."""
    lines = dedent(cell.text).splitlines()
    first = next((line for line in lines if line.strip()), "")
    if first.startswith("%%") and first[2:].split(maxsplit=1)[:1] not in [[name] for name in PYTHON_CELLS]:
        source.notes.append(f"{cell.title} is {first.split()[0]}, no Python")
        return
    whole, _ = _parsed(lines)
    if whole:
        yield whole, 0
        return
    starts = [i for i, line in enumerate(lines) if not CONTINUES.match(line)] + [len(lines)]
    at = 0
    while at < len(starts) - 1:
        error, stops = "", starts[at + 1 : at + 1 + FARTHEST]
        for stop in stops:
            piece, words = _parsed(lines[starts[at] : stop])
            error = error or words
            if piece:
                yield piece, starts[at]
                at = starts.index(stop)
                break
        else:
            text = "\n".join(lines[starts[at] : stops[0]])
            where = f"{cell.line(starts[at] + 1)} and what belongs to it: {error}"
            source.notes.append(where)
            source.broken.update({name: where for names in DEFINES.findall(text) for name in names if name})
            at += 1


def _parsed(lines: list[str]) -> tuple[ast.Module | None, str]:
    """The lines as Python, if need be without those that are meant for IPython; or what is wrong with them."""
    words = ""
    for text in ("\n".join(lines), "\n".join(map(_without_magic, lines))):
        try:
            return ast.parse(text), ""
        except UNPARSABLE as error:
            words = error.msg if isinstance(error, SyntaxError) else type(error).__name__
    return None, words


def _without_magic(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] + "pass" if MAGIC.match(line) else line


def _understood(node: ast.stmt, cell: Cell) -> Statement:
    try:
        table = symtable.symtable(ast.unparse(node), "", "exec")
        needs = needed_names(node)
    except UNPARSABLE:  # nested too deeply to be run, either
        return Statement(node, cell, set(), set(), set())
    binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
        binds = {"*"}
    changes = {name for inner in ast.walk(node) if not isinstance(node, ast.FunctionDef) for name in _changed(inner)}
    return Statement(node, cell, binds, needs, changes)


def needed_names(node: ast.AST) -> set[str]:
    """The names of the module that a statement, or a module, may look up, now or when its functions are called."""
    table = symtable.symtable(ast.unparse(node), "", "exec")
    return set(_global_names(table)) | {s.get_name() for s in table.get_symbols() if s.is_referenced()}


def _global_names(table: symtable.SymbolTable) -> Iterator[str]:
    for child in table.get_children():
        yield from (s.get_name() for s in child.get_symbols() if s.is_global() and s.is_referenced())
        yield from _global_names(child)


def _changed(node: ast.AST) -> Iterator[str]:
    """The name whose value is changed in place by this node: TABLE[0] = 1, TABLE.append(1)."""
    target: Any = None
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        target = node.value.func
    elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
        target = node
    while isinstance(target, (ast.Attribute, ast.Subscript)):
        target = target.value
    if isinstance(target, ast.Name):
        yield target.id
