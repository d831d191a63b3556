"""Make the notebooks from their sources: `python chapters/build.py`; `--check` fails where one is out of date.

chapters/src/NN_name.py is a text in the py:percent format: cells begin with `# %%`, those of prose with
`# %% [markdown]`. chapters/NN_name.ipynb is what students open: the same cells, no outputs, and ids that stay the same
as long as a cell does, so that a change of one cell changes one cell of the file.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import jupytext
import nbformat

HERE = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebook(source: Path) -> str:
    """The text of the notebook that belongs to a source."""
    made = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    made.metadata = nbformat.from_dict(METADATA)
    made.nbformat, made.nbformat_minor = 4, 5
    times: dict[str, int] = {}
    for cell in made.cells:
        digest = hashlib.sha256(cell.source.encode()).hexdigest()[:12]
        times[digest] = times.get(digest, 0) + 1
        cell.id = f"{digest}-{times[digest]}"
        cell.metadata = {}
    nbformat.validate(made)
    return nbformat.writes(made) + "\n"


def main() -> int:
    """Write, or compare, all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a notebook differs")
    check = parser.parse_args().check
    sources = sorted(HERE.glob("src/*.py"))
    stale = [p for p in HERE.glob("*.ipynb") if p.stem not in {s.stem for s in sources}]
    for source in sources:
        target = HERE / f"{source.stem}.ipynb"
        text = notebook(source)
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            stale.append(target)
            if not check:
                target.write_text(text, encoding="utf-8")
                print(f"wrote {target.name}")
    if check and stale:
        print(f"out of date: {', '.join(p.name for p in stale)}; run python chapters/build.py", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
