"""What instructors get: slides whose pictures exist, answers to every chapter's questions, and no reader has them."""

import importlib.util
import re
from pathlib import Path

import pytest

CHAPTERS = Path(__file__).parents[1] / "chapters"
FOLDER = CHAPTERS / "instructors"
LECTURES = sorted(FOLDER.glob("lecture_*.md"))
spec = importlib.util.spec_from_file_location("slides", FOLDER / "slides.py")
slides = importlib.util.module_from_spec(spec)
spec.loader.exec_module(slides)


@pytest.mark.parametrize("path", LECTURES, ids=lambda p: p.stem)
def test_a_lecture_shows_what_its_chapters_compute(path):
    """Each reference brings at least one cell that is seen, after all that it needs, which isn't."""
    text = path.read_text(encoding="utf-8")
    references = slides.REFERENCE.findall(text)
    assert len(references) >= 8
    cells = slides.notebook(text).cells
    kinds = [cell.metadata["slideshow"]["slide_type"] for cell in cells]
    assert kinds.count("slide") == len(re.findall("^---$", text, flags=re.M)) + 1
    assert "@exercise" not in "".join(c.source for c, kind in zip(cells, kinds, strict=True) if kind == "-")
    for number, heading in references:
        chapter = slides.cells_of(number)
        start, stop = slides.section(chapter, heading)
        shown = [c.source for c in chapter[start:stop] if c.cell_type == "code" and "@exercise" not in c.source]
        assert shown, heading
        places = [i for i, cell in enumerate(cells) if cell.source in shown]
        assert {kinds[i] for i in places} == {"-"}
        before = [c.source for c in chapter[:start] if c.cell_type == "code"]
        assert set(before) <= {cell.source for cell in cells[: places[0]]}


def test_a_section_that_is_not_there():
    with pytest.raises(ValueError, match="no section is called 'Nothing'"):
        slides.section(slides.cells_of("07"), "Nothing")


def test_every_chapter_with_questions_has_answers():
    answers = (FOLDER / "answers.md").read_text(encoding="utf-8")
    answered = re.findall(r"^## (\d+) (.+)$", answers, flags=re.M)
    for source in sorted(CHAPTERS.glob("src/*.py")):
        text = source.read_text(encoding="utf-8")
        number, title = re.search(r"^# # (\d+) (.+)$", text, flags=re.M).groups()
        if "to think about" in text.lower():
            assert number in dict(answered), f"chapter {number}, {title}"
