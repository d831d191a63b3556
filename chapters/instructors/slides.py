"""Make slides: `python chapters/instructors/slides.py`, in an environment with the extra `notebooks`.

lecture_N.md beside this file is a lecture: slides are divided by lines of `---`, and a line such as

    @07 k-means

stands for the pictures, sounds and figures of that section of chapter 7. They are computed: the chapter's cells run
up to there, unseen. Out comes lecture_N.slides.html, one file for any browser; its framework (reveal.js) and the
formulas' (MathJax) are fetched from the network when it is shown, unless --reveal names a folder with a copy.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HERE = Path(__file__).resolve().parent
CHAPTERS = HERE.parent
REFERENCE = re.compile(r"^@(\d\d) (.+)$", flags=re.MULTILINE)


def main() -> int:
    """Make all of them, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lectures", nargs="*", type=Path, help="default: all beside this file")
    parser.add_argument("--out", type=Path, default=Path("slides"), help="a folder (default: slides)")
    parser.add_argument("--reveal", metavar="URL", help="where reveal.js is; default: the network")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for lecture in args.lectures or sorted(HERE.glob("lecture_*.md")):
        path = args.out / f"{lecture.stem}.ipynb"
        path.write_text(nbformat.writes(notebook(lecture.read_text(encoding="utf-8"))), encoding="utf-8")
        command = [sys.executable, "-m", "nbconvert", "--to", "slides", "--execute", "--no-input", path.name]
        if args.reveal:
            command += ["--SlidesExporter.reveal_url_prefix", args.reveal]
        if status := subprocess.run(command, cwd=args.out, check=False).returncode:
            return status
    return 0


def notebook(lecture: str) -> nbformat.NotebookNode:
    """A notebook of slides: the lecture's words, and the cells that its references need, most of them unseen."""
    cells, done = [], dict[str, int]()
    for slide in re.split(r"^---$", lecture, flags=re.MULTILINE):
        words = REFERENCE.sub("", slide).strip()
        cells.append(_cell(new_markdown_cell(words), "slide"))
        for number, heading in REFERENCE.findall(slide):
            chapter = cells_of(number)
            start, stop = section(chapter, heading)
            if number not in done:
                cells.append(_cell(new_code_cell("%reset -f"), "skip"))
                done = {number: 0}  # of the chapter before, nothing is left
            for place in range(done[number], stop):
                if chapter[place].cell_type == "code":
                    seen = place >= start and "@exercise" not in chapter[place].source
                    cells.append(_cell(new_code_cell(chapter[place].source), "-" if seen else "skip"))
            done[number] = max(stop, done[number])
    return new_notebook(cells=cells)


def cells_of(number: str) -> list[nbformat.NotebookNode]:
    """The cells of a chapter."""
    (path,) = CHAPTERS.glob(f"{number}_*.ipynb")
    cells: list[nbformat.NotebookNode] = nbformat.read(path, as_version=4).cells
    return cells


def section(cells: list[nbformat.NotebookNode], heading: str) -> tuple[int, int]:
    """From which cell on, and up to which, a section's pictures are. ValueError: there is no such section."""
    ends = [i for i, cell in enumerate(cells) if re.search(r"^## ", cell.source, flags=re.MULTILINE)]
    wanted = re.compile(rf"^##+ {re.escape(heading)}$", flags=re.MULTILINE)
    found = [i for i, cell in enumerate(cells) if cell.cell_type == "markdown" and wanted.search(cell.source)]
    if not found:
        raise ValueError(f"no section is called {heading!r}")
    return found[0], next((i for i in ends if i > found[0]), len(cells))


def _cell(cell: nbformat.NotebookNode, kind: str) -> nbformat.NotebookNode:
    cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


if __name__ == "__main__":
    sys.exit(main())
