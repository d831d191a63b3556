"""Build the book: `python chapters/book/build.py` writes build/book/html/index.html. `pip install -e ".[book]"` first.

build/book/run      the notebooks with their outputs. Those that are missing there, or older than their texts, are run,
                    which takes some minutes; whoever has run them for another reason puts them there first
build/book/source   the pages as Sphinx reads them: those of chapters/book/, the notebooks, one for each part of the API
build/book/html     the book; it needs no network and no server

A warning of Sphinx is an error, and so is a link that leads nowhere.
"""

import argparse
import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat

HERE = Path(__file__).resolve().parent
CHAPTERS, ROOT = HERE.parent, HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]

import links
import sounds
from citations import anchor

import minicodec

# Documents that are at home elsewhere: where from, and which page they become.
GUESTS = {
    "chapters/INSTRUCTORS.md": "instructors.md",
    "minicodec/models/minicodec-24k/README.md": "model_card.md",
    "data/README.md": "clips.md",
}
# Pages of the API, from the top down: title, modules. A star stands for all modules of a folder.
API = {
    "codec": ("The codec", ["codec.*", "codec.streaming.*", "codec.files.*", "codec.files.entropy.*", "codec.foreign.*"]),
    "corpus": ("Corpora", ["corpus.*", "workers"]),
    "training": ("Training", ["training.*", "training.language_model.*"]),
    "evaluation": ("Evaluation", ["metrics", "evaluation.*", "evaluation.listening.*", "evaluation.visqol.*"]),
    "nn": ("Modules and layers", ["nn.*"]),
    "tensor": ("Tensors and gradients", ["tensor", "functional", "gradcheck"]),
    "ops": ("Operators", ["ops.*", "backend"]),
    "audio": ("Audio, files, devices", ["audio", "files", "device", "ranks", "threads", "errors"]),
    "course": ("The course's tools", ["course", "course.student", "course.judge", "course.show"]),
}
TIMEOUT = 600  # seconds for a cell


def main() -> int:
    """Run what has to be run, gather the pages, build, look at the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "book", help="build/book")
    out = parser.parse_args().out.resolve()
    source, site = out / "source", out / "html"
    for folder in (source, site):
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("chapters", "api", "examples"):
        (source / name).mkdir(parents=True)
    for page in (*HERE.glob("*.md"), *HERE.glob("*.png")):
        shutil.copyfile(page, source / page.name)
    (source / "examples.txt").write_text(examples(source / "examples"), encoding="utf-8")
    for notebook in sorted(CHAPTERS.glob("*.ipynb")):
        shutil.copyfile(with_outputs(notebook, out / "run"), source / "chapters" / notebook.name)
    for origin, page in GUESTS.items():
        shutil.copyfile(ROOT / origin, source / page)
    (source / "bibliography.md").write_text(bibliography(), encoding="utf-8")
    (source / "sound_players.txt").write_text(sounds.players(site / "sounds"), encoding="utf-8")
    (source / "face.txt").write_text(face(), encoding="utf-8")
    for name, (title, patterns) in API.items():
        (source / "api" / f"{name}.md").write_text(api_page(title, patterns), encoding="utf-8")

    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", "auto", "-c", HERE, source, site]
    status = subprocess.run([*command, "-d", out / "doctrees"], check=False).returncode
    for fault in links.faults(site) if status == 0 else ():
        print(fault, file=sys.stderr)
        status = 1
    print(f"{site / 'index.html'}: " + ("has faults, see above" if status else "built"))
    return status


def with_outputs(notebook: Path, folder: Path) -> Path:
    """A copy of a notebook in `folder` with outputs of these very cells; the notebook is run if there is none yet."""
    from nbclient import NotebookClient

    copy = folder / notebook.name
    original = nbformat.read(notebook, as_version=4)
    if not (copy.is_file() and _was_run(nbformat.read(copy, as_version=4), original)):
        print(f"running {notebook.name}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        NotebookClient(original, timeout=TIMEOUT, resources={"metadata": {"path": str(folder)}}).execute()
        nbformat.write(original, copy)
    return copy


def _was_run(copy: nbformat.NotebookNode, original: nbformat.NotebookNode) -> bool:
    code = [cell for cell in copy.cells if cell.cell_type == "code"]
    same = [cell.source for cell in copy.cells] == [cell.source for cell in original.cells]
    failed = any(output.output_type == "error" for cell in code for output in cell.outputs)
    return same and not failed and all(cell.execution_count for cell in code)


def bibliography() -> str:
    """chapters/bibliography.md, with a place in each row that links can lead to."""
    text = (CHAPTERS / "bibliography.md").read_text(encoding="utf-8")
    return re.sub(r"^\| \[(.+?)\] \|", lambda m: f'| <span id="{anchor(m[1])}"></span>{m[1]} |', text, flags=re.M)


def examples(folder: Path) -> str:
    """Copy the scripts to `folder`; the text that shows each under the first line of its docstring."""
    text = ""
    for script in sorted(HERE.glob("examples/[!_]*.py")):
        shutil.copyfile(script, folder / script.name)
        title = (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or script.stem).splitlines()[0]
        text += f"## {title.rstrip('.')}\n\n```{{literalinclude}} examples/{script.name}\n:language: python\n```\n\n"
    return text


def face() -> str:
    """The docstrings of what the package itself offers, in the order of its list."""
    text = ".. automodule:: minicodec\n\n"
    for name in minicodec.__all__:
        thing = getattr(minicodec, name)
        if isinstance(thing, type):
            text += f".. autoclass:: minicodec.{name}\n   :members:\n\n"
        elif callable(thing):
            text += f".. autofunction:: minicodec.{name}\n\n"
    return f"```{{eval-rst}}\n{text}```\n"


def api_page(title: str, patterns: list[str]) -> str:
    """A page that shows the docstrings of these modules, each under its own heading; not what `face` shows."""
    shown = {getattr(getattr(minicodec, name), "__module__", "") for name in minicodec.__all__}
    text = f"# {title}\n"
    for module in modules(patterns):
        if module in shown:
            continue
        text += f"\n## {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n```\n"
    return text


def modules(patterns: list[str]) -> Iterator[str]:
    """Full names: `nn.*` is the package minicodec.nn and all modules that lie in its folder."""
    for pattern in patterns:
        package = pattern.removesuffix(".*")
        yield f"minicodec.{package}"
        if pattern.endswith(".*"):
            folder = ROOT / "minicodec" / package.replace(".", "/")
            yield from (f"minicodec.{package}.{p.stem}" for p in sorted(folder.glob("[!_]*.py")))


if __name__ == "__main__":
    sys.exit(main())
