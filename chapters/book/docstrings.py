"""From minicodec's docstrings, which are plain text with a few habits, to the reStructuredText that Sphinx reads.

The habits: `code` between single backticks; blocks that are indented, or that align columns with spaces, are to be shown
as they stand; `- ` begins an item of a list; and stars and bars are mathematics (`x (B,T,*x)`, |H|), never markup.
"""

import re
from collections.abc import Iterator
from textwrap import dedent

COLUMNS = re.compile(r"\S {2,}\S")
SPECIAL = re.compile(r"([\\*|`]|_(?!\w))")


def to_rest(lines: list[str]) -> list[str]:
    """A docstring's lines, without their common indentation -> the lines that Sphinx is given."""
    result: list[str] = []
    for block in _blocks(lines):
        if block[0].startswith("- "):
            result += [_text(line) for line in block]
        elif any(line.startswith(" ") or COLUMNS.search(line) for line in block):
            shown = dedent("\n".join(block)).split("\n")
            result += [".. code-block:: text", "", *(f"   {line}".rstrip() for line in shown)]
        else:
            result += _text("\n".join(block)).split("\n")
        result.append("")
    return result


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Runs of lines between empty ones; a blank line within indented text does not end it."""
    block: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            if block and not block[-1].strip():  # a gap: does the block go on?
                if line.startswith(" ") and block[0].startswith(" "):
                    block.append(line)
                    continue
                yield block[:-1]
                block = []
            block.append(line)
        elif block and block[-1].strip():
            block.append("")
    if block:
        yield block[:-1]


def _text(line: str) -> str:
    """Prose: code in double backticks, all else escaped where it could mean something."""
    pieces = re.split(r"(?<![\w`])`([^`]+)`(?!`)", line)
    return "".join(f"``{' '.join(p.split())}``" if i % 2 else SPECIAL.sub(r"\\\1", p) for i, p in enumerate(pieces))
