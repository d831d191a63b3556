"""Sphinx's settings for the book. `build.py` gathers the pages and calls it."""

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

from docutils import nodes

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from citations import CITATION, anchor
from docstrings import to_rest

import minicodec

project = "minicodec"
author = "The minicodec authors"
project_copyright = "2026, The minicodec authors"
version = release = minicodec.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]

nb_execution_mode = "off"  # they come with their outputs
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = ["mystnb.unknown_mime_type"]

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"minicodec {version}"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_copy_source = html_show_sourcelink = False
pygments_style, pygments_dark_style = "friendly", "github-dark"

# MathJax comes from a package, so that formulas need no network. Of its 15 MB a page needs one script and the fonts.
mathjax_path = "mathjax/tex-chtml-full.js"
mathjax3_config = {"options": {"enableMenu": False}}


def mathjax() -> Path:
    """The folder that holds MathJax 3."""
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    if found is None or found.origin is None:
        raise SystemExit('MathJax is not installed: pip install -e ".[book]"')
    return Path(found.origin).parent / "static" / "mathjax"


def copy_mathjax(app: Any, error: Exception | None) -> None:
    """Put the script and the fonts where the pages look for them."""
    if error is None:
        target = Path(app.outdir) / "_static" / "mathjax"
        for part in (Path("tex-chtml-full.js"), *(p.relative_to(mathjax()) for p in mathjax().glob("output/**/*.woff"))):
            (target / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(mathjax() / part, target / part)


def link_citations(app: Any, tree: nodes.document, page: str) -> None:
    """Make a link to the bibliography of each of its keys, in prose of every page but itself."""
    if page == "bibliography":
        return
    address = app.builder.get_relative_uri(page, "bibliography")
    for text in list(tree.findall(nodes.Text)):
        if not CITATION.search(text) or isinstance(text.parent, nodes.FixedTextElement | nodes.reference | nodes.literal):
            continue
        pieces: list[nodes.Node] = []
        for i, piece in enumerate(CITATION.split(text)):
            link = nodes.reference("", piece, refuri=f"{address}#{anchor(piece)}", internal=True)
            pieces.append(link if i % 2 else nodes.Text(piece))
        text.parent.replace(text, pieces)


def plain_docstring(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Replace a docstring's lines by reStructuredText, in place."""
    lines[:] = to_rest(lines)


def setup(app: Any) -> None:
    """Connect what is above."""
    app.connect("autodoc-process-docstring", plain_docstring)
    app.connect("doctree-resolved", link_citations)
    app.connect("build-finished", copy_mathjax)
