"""The README and the book: what they name exists, what they cite is listed, and a broken site is noticed.

The gate builds the book; what only needs its texts is tested here.
"""

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import minicodec
from minicodec.cli import COMMANDS, parse

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "chapters" / "book"
PACKAGE = ROOT / "minicodec"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted(BOOK.glob("*.md"))]
PRESETS = ("encodec_24khz", "encodec_48khz", "mini_24khz", "tiny_24khz", "transform_24khz")
CITATION = re.compile(r"(?:\[|; )(?:ITU-R )?([A-Z][A-Za-z]+[0-9]{2}|BS\.[0-9]+|RFC[0-9]+)(?=[],;-])")


def part_of_the_book(name):
    """A module of chapters/book, which is no package."""
    spec = importlib.util.spec_from_file_location(f"book_{name}", BOOK / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def section(text, heading):
    return text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]


def table_rows(text):
    """The cells of all rows of tables but their heads."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row in rows if set("".join(row)) - set("-: ")]


def commands(page):
    """What follows `minicodec` on each line of a page's blocks of commands."""
    for language, block in re.findall(r"^```(\S*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S):
        for line in () if language else block.splitlines():
            if match := re.search(r"(?:^|[ /|])minicodec +([a-z].*)", line):
                words = shlex.split(match[1], comments=True)
                yield [word for i, word in enumerate(words) if word != "…" and "|" not in words[: i + 1]]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_commands_that_are_shown_are_understood(page):
    for command in commands(page):
        assert parse(command).run, command


def test_commands_are_found():
    assert ["decode", "speech.ecdc", "again.wav"] in list(commands(ROOT / "README.md"))
    assert {command[0] for page in PAGES for command in commands(page)} <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_between_files_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", text):
        assert (page.parent / target.partition("#")[0]).exists(), target
    if page.parent == BOOK:  # what Sphinx would say too, but only the gate asks it
        made = {"model_card", "clips", "instructors", "bibliography"}
        for target in re.findall(r"\{doc\}`(?:[^`<]*<)?([a-z_]+)>?`", text):
            assert (BOOK / f"{target}.md").exists() or target in made, target


def test_the_map_names_what_there_is():
    """All names in the README's tables of files: each is a file or folder of the package, or something in one."""
    rows = table_rows(section(README, "## Read it"))
    assert len(rows) > 20
    for row in rows:
        for cell in row:
            files = [name for name in re.findall(r"`([^`]+)`", cell) if name.endswith(("/", ".py"))]
            inside = re.search(r"in `([^`]+/)`", cell)  # "`a.py`, `b.py` in `training/`"
            folder = PACKAGE / (inside[1] if inside else "")
            base = PACKAGE / re.search(r"`([^`]+)`", row[0])[1] if row[0].startswith("`codec/`") else folder
            for name in files:
                assert any((place / name).exists() for place in (PACKAGE, folder, base)), (name, row)
    named = {row[0].split("`")[1] for row in rows if row[0].startswith("`")}
    packages = {f"{p.parent.name}/" for p in PACKAGE.glob("*/__init__.py")}
    assert packages - {name.split("/")[0] + "/" for name in named} == set()


def test_what_the_map_places_in_a_file_is_there():
    """"`ConvStage` in `codec/streaming/convolution.py`": so that file has such a name."""
    pairs = re.findall(r"`([A-Za-z_.0-9]+)` in `([a-z_/]+\.py)`", section(README, "## Read it"))
    assert len(pairs) >= 4
    for name, file in pairs:
        text = (PACKAGE / file).read_text(encoding="utf-8")
        for part in name.split("."):
            assert re.search(rf"\b(def|class) {part}\b|^\s*(self\.)?{part}\b.*=", text, flags=re.M), (name, file)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_table_of_presets_is_true(preset):
    (row,) = (row for row in table_rows(README) if row[0] == f"`{preset}`")
    codec = minicodec.build(preset)
    assert tuple(map(float, row[2].split())) == codec.bandwidths
    numbers = sum(p.data.size for p in codec.parameters())
    assert float(row[3].removesuffix(" M")) == pytest.approx(numbers / 1e6, rel=0.01)


def test_a_package_index_shows_no_link_into_a_checkout():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = README
    for one in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(one["pattern"], one["replacement"], text)
    assert re.findall(r"\]\((?!https?://)[^)]*\)", README)
    assert re.findall(r"\]\((?!https?://)[^)]*\)", text) == []
    assert "pip install minicodec && .venv/bin/minicodec demo" in text
    assert "its card says what it can do" in " ".join(text.split())


@pytest.mark.parametrize(("heading", "end"), [("Try it", "minicodec demo"), ("Trust it", "-m pytest")])
def test_the_gate_finds_the_commands_of_the_readme(heading, end):
    command = [sys.executable, ROOT / ".ci" / "readme_command", f"## {heading}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("python3 -m venv .venv && .venv/bin/pip install -e ")
    assert result.stdout.endswith(f"{end}\n")
    assert result.stdout.count("\n") == 1


def test_the_changelog_begins_with_this_version():
    headings = re.findall(r"^## (\S+)", (BOOK / "changelog.md").read_text(encoding="utf-8"), flags=re.M)
    assert headings[0] == minicodec.__version__


def test_the_pages_cite_what_is_in_the_bibliography():
    """The chapters and docstrings are in test_chapters.py; here also the standard that its pattern does not know."""
    keys = part_of_the_book("citations").KEYS
    files = [*PAGES, *(p for p in PACKAGE.rglob("*") if p.suffix in (".py", ".js", ".md"))]
    cited = {key for p in files for key in CITATION.findall(p.read_text(encoding="utf-8"))}
    assert {"BS.1534", "Defossez22", "Zeghidour21"} <= cited
    assert cited - set(keys) == set()


def test_the_top_level_holds_seven_things():
    result = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip("not a checkout")
    names = {line.split("/")[0] for line in result.stdout.splitlines()}
    expected = {"pyproject.toml", "README.md", "LICENSE", "minicodec", "chapters", "tests", "data"}
    assert {name for name in names if not name.startswith(".")} == expected


# What the build does with what it finds


def site(tmp_path, body, head=""):
    (tmp_path / "a.html").write_text(f"<html><head>{head}</head><body><p id='here'>{body}</p></body></html>")
    (tmp_path / "b b.html").write_text("<h1 id='there'></h1>")
    (tmp_path / "x.css").write_text("p { background: url(data:image/png;base64,AA) }")
    return list(part_of_the_book("links").faults(tmp_path))


@pytest.mark.parametrize(
    "link",
    ["a.html", "#here", "b%20b.html#there", "https://example.org/", "mailto:a@b.example", "x.css#any", "b b.html"],
)
def test_good_links_are_no_faults(link, tmp_path):
    assert site(tmp_path, f"<a href='{link}'>see</a>") == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<a href='c.html'>", "c.html: there is no such file"),
        ("<a href='b%20b.html#here'>", "b%20b.html#here: that page has no such place"),
        ("<a href='#there'>", "#there: that page has no such place"),
        ("<audio src='sounds/1.flac'>", "sounds/1.flac: there is no such file"),
        ("<img src='//cdn.example/a.png'>", "needs //cdn.example/a.png, from the network"),
        ("<script src='https://cdn.example/a.js'></script>", "needs https://cdn.example/a.js, from the network"),
    ],
)
def test_faults_of_a_page_are_found(body, fault, tmp_path):
    assert site(tmp_path, body) == [f"a.html: {fault}"]


def test_style_sheets_from_the_network_are_found(tmp_path):
    head = "<link rel='stylesheet' href='https://example.org/a.css'>"
    assert site(tmp_path, "", head) == ["a.html: needs https://example.org/a.css, from the network"]
    (tmp_path / "y.css").write_text("@import url('https://example.org/font.css'); p { src: url(\"no.woff\") }")
    assert sorted(part_of_the_book("links").faults(tmp_path))[1:] == [
        "y.css: needs https://example.org/font.css, from the network",
        "y.css: no.woff: there is no such file",
    ]


@pytest.mark.parametrize(
    ("plain", "rest"),
    [
        ("x (*x) -> |H|, `a_b` and w_ [Ba16]", r"x (\*x) -> \|H\|, ``a_b`` and w\_ [Ba16]"),
        ("`minicodec data`,\nthen `b", "``minicodec data``,\nthen \\`b"),
        ("- one *\n  goes on\n- two", "- one \\*\n  goes on\n- two"),
        ("So:\n\n    x = *a\n\n    y\n\nend", "So:\n\n.. code-block:: text\n\n   x = *a\n\n   y\n\nend"),
        ("lr     of Adam\nbetas  *two*", ".. code-block:: text\n\n   lr     of Adam\n   betas  *two*"),
    ],
)
def test_docstrings_become_restructured_text(plain, rest):
    lines = part_of_the_book("docstrings").to_rest(plain.split("\n"))
    assert "\n".join(lines).rstrip() == rest
