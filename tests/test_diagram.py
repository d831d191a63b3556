"""The diagram at the head of the chapters: every chapter has a block, and stands in its own notebook, marked."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from minicodec.course.diagram import GROUPS, HERE, diagram

NOTEBOOKS = sorted((Path(__file__).parents[1] / "chapters").glob("*.ipynb"))
SVG = "{http://www.w3.org/2000/svg}"


def blocks():
    return [number for group in GROUPS for number, _ in group.blocks]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_notebook_begins_with_the_diagram(path):
    """With its own chapter marked, and no other."""
    number = int(path.stem[:2])
    first = next(c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code")
    assert f"you_are_here({number})" in "".join(first["source"])
    marked = [r for r in ElementTree.fromstring(diagram(number)).iter(f"{SVG}rect") if r.get("fill") == HERE]
    assert len(marked) == blocks().count(number) > 0


def test_every_block_lies_in_its_group_and_every_group_on_the_card():
    boxes = [
        tuple(float(r.get(k)) for k in ("x", "y", "width", "height"))
        for r in ElementTree.fromstring(diagram()).iter(f"{SVG}rect")
    ]
    (_, _, width, height), inner = boxes[0], iter(boxes[1:])
    for group in GROUPS:
        x, y, w, h = next(inner)
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
        for _, name in group.blocks:
            bx, by, bw, bh = next(inner)
            assert 30 + 6.5 * len(name) < bw, f"{name} does not fit"
            assert x < bx < bx + bw < x + w, group.title
            assert y < by < by + bh < y + h, group.title


def test_nothing_is_marked_where_one_is_nowhere():
    assert HERE not in diagram()
