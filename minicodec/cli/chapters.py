"""`minicodec chapters`: the course's notebooks, copied to a folder of the reader's own and opened there."""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from minicodec.errors import InputError
from minicodec.files import write_atomically

EPILOG = """\
A notebook that is there already is left alone, with all that was written into it; --fresh puts the original beside it
under another name. Your answers that are right become parts of the folder's my_codec/, the codec of your own:
python -m my_codec --help, in that folder.

examples:
  minicodec chapters                       copy to ./minicodec-chapters and open JupyterLab
  minicodec chapters course --no-open      copy only
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("folder", nargs="?", type=Path, default=Path("minicodec-chapters"), metavar="FOLDER")
    parser.add_argument("--no-open", action="store_true", help="do not start JupyterLab")
    parser.add_argument("--fresh", action="store_true", help="copy originals beside notebooks that differ from them")
    parser.add_argument("--variant", nargs="+", default=[], metavar="NAME", help="exercises to replace their originals")


def run(args: argparse.Namespace) -> int:
    """Copy, then become JupyterLab."""
    if not args.no_open and importlib.util.find_spec("jupyterlab") is None:
        raise InputError('JupyterLab is not installed: pip install "minicodec[notebooks]", or use --no-open')
    try:
        args.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{args.folder}: cannot be a folder ({error.strerror})") from None
    from minicodec.course import placing
    from minicodec.course.catalogue import all_exercises

    for original in [*sorted(chapters_folder().glob("*.ipynb")), chapters_folder() / "bibliography.md"]:
        text = original.read_text(encoding="utf-8")
        if args.variant and original.suffix == ".ipynb":
            text = with_variants(text, args.variant)
        target = args.folder / original.name
        if target.exists():
            if not args.fresh or target.read_text(encoding="utf-8") == text:
                continue
            target = unused(target)
        with write_atomically(target) as path:
            path.write_text(text, encoding="utf-8")
        print(target)
    placing.create(args.folder / "my_codec", {name: one.chapter for name, one in all_exercises().items()})
    print(f"chapters are in {args.folder}, your codec is in {args.folder / 'my_codec'}")
    if args.no_open:
        return 0
    # Jupyter refuses to run as root, as one is in a container, unless it is told that this is meant.
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return subprocess.run([sys.executable, "-m", "jupyterlab", str(args.folder), *as_root], check=False).returncode


def chapters_folder() -> Path:
    """Where the originals are: inside the package, or in the checkout beside it. InputError: in neither."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "chapters", package.parent / "chapters"):
        if list(folder.glob("*.ipynb")):
            return folder
    raise InputError(f"{package / 'chapters'}: the notebooks are missing; install minicodec again")


def unused(path: Path) -> Path:
    """NAME-2.ipynb, or the first number that is free."""
    number = 2
    while (fresh := path.with_stem(f"{path.stem}-{number}")).exists():
        number += 1
    return fresh


def with_variants(text: str, names: list[str]) -> str:
    """A notebook in which these exercises stand in the cells of those that they are variants of."""
    from minicodec.course.catalogue import all_exercises

    table = all_exercises()
    unknown = [name for name in names if name not in table or table[name].variant_of is None]
    if unknown:
        known = ", ".join(one.name for one in table.values() if one.variant_of)
        raise InputError(f"{unknown[0]}: no such variant; there are {known or 'none'}")
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        for name in names:
            original = table[name].variant_of
            if cell["cell_type"] == "code" and "@exercise" in source and f"def {original}(" in source:
                # What follows in the chapter still needs the original: the library's stands in.
                stand_in = f"from minicodec.course import library\n\n{original} = library({original!r})"
                source = f"{stand_in}\n\n\n{table[name].stub()}\n\ncheck({name})"
                cell["source"] = source.splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
