"""How the command line prints: tables that fit the terminal, numbers with their nouns."""

import shutil
import textwrap
from collections.abc import Sequence

PIPE = 10_000


def count(number: int, noun: str) -> str:
    """(1, "channel") -> "1 channel", (2, "channel") -> "2 channels"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def columns() -> int:
    """The width of the terminal; where the output is none, a line stays a line."""
    return shutil.get_terminal_size((PIPE, 24)).columns


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table as wide as the terminal. Where it is too narrow, each row is a paragraph of its own."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) <= columns():
        padded = [[f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)] for row in (headings, *rows)]
        return ["  ".join(line).rstrip() for line in padded]
    lines: list[str] = []
    for name, *cells in rows:
        facts = "; ".join(cell for cell in cells if cell)
        lines += [name, *textwrap.wrap(facts, columns(), initial_indent="    ", subsequent_indent="    ")]
    return lines
