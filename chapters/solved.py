"""Copy the notebooks with every exercise solved: `python chapters/solved.py FOLDER`. Running them is the caller's.

Each notebook is in a folder of its own, so that several can run at a time: what a reader answers goes to my_codec
beside the notebook. The answers are the library's own, written into the cells as a reader would. After each `check`
stands an assertion, so a notebook whose check does not say ✓ stops there.
"""

import argparse
import re
import symtable
from pathlib import Path

import nbformat

from minicodec.course import placing
from minicodec.course.catalogue import Exercise, all_exercises
from minicodec.course.keeping import source_of

HERE = Path(__file__).resolve().parent
LAST = "20_your_codec"  # uses the parts that all chapters before it have left in my_codec


def answer(one: Exercise, known: set[str]) -> str:
    """The cell of an exercise, written: what it uses that is not known yet, then what stands under `@exercise`."""
    part = placing.parts().get(one.name)
    own = getattr(placing.module_of(part), one.name) if part else one.solution
    text, _ = source_of(own, known)
    return re.sub(rf"^(?=(def|class) {one.name}\b)", "@exercise\n", text, flags=re.MULTILINE)


def solved(text: str) -> str:
    """A notebook with its exercises solved."""
    notebook, known = nbformat.reads(text, 4), set[str]()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        found = re.search(r"^@exercise\n(?:def|class) (\w+).*?^check\(\1\)$", cell.source, re.MULTILINE | re.DOTALL)
        if found:
            name = found[1]
            written = f'{answer(all_exercises()[name], known)}\n\n\ncheck({name})\nassert "{name}" in yours()'
            cell.source = cell.source[: found.start()] + written + cell.source[found.end() :]
        table = symtable.symtable(cell.source, "", "exec")
        known |= {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    return nbformat.writes(notebook)


def main() -> None:
    """Write all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args().folder
    for original in sorted(HERE.glob("*.ipynb")):
        copy = folder / original.stem / original.name
        text = solved(original.read_text(encoding="utf-8"))
        if "raise NotImplementedError" in text:
            raise SystemExit(f"{original.name}: an exercise is not solved; does its cell end with its check?")
        copy.parent.mkdir(parents=True)
        copy.write_text(text, encoding="utf-8")
    exercises = all_exercises()
    placing.create(folder / LAST / "my_codec", {name: one.chapter for name, one in exercises.items()})
    for name, part in placing.parts().items():
        if name in exercises:
            placing.put(folder / LAST / "my_codec", name, part.text)


if __name__ == "__main__":
    main()
