"""The notebooks: made from their sources, without outputs, and `minicodec chapters`, which never overwrites work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from minicodec.cli import main
from minicodec.course.catalogue import all_exercises

CHAPTERS = Path(__file__).parents[1] / "chapters"
SOURCES = sorted(CHAPTERS.glob("src/*.py"))
NOTEBOOKS = sorted(CHAPTERS.glob("*.ipynb"))


def test_notebooks_are_up_to_date():
    result = subprocess.run([sys.executable, CHAPTERS / "build.py", "--check"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_chapter_has_its_parts(path):
    """What every chapter promises to its reader, and every exercise that it sets."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    prose = "\n".join("".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown")
    code = "\n".join("".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code")
    for heading in ("**You will be able to**", "**Before you start**", "**Reading time**", "## Exercises",
                    "## What the paper says", "## What to read next"):  # fmt: skip
        assert heading in prose, heading
    number = int(path.stem[:2])
    mine = [one.name for one in all_exercises().values() if one.chapter == number and one.variant_of is None]
    assert len(mine) >= (3 if number else 1)  # the door has one, to show what an exercise is
    for name in mine:
        assert f"def {name}(" in code or f"class {name}:" in code
        assert f"check({name})" in code
    assert all(not c.get("outputs") and c.get("execution_count") is None for c in notebook["cells"])


def test_every_exercise_has_its_chapter():
    assert {one.chapter for one in all_exercises().values()} == {int(p.stem[:2]) for p in NOTEBOOKS}


def test_stubs_in_the_chapters_are_stubs():
    """No answer is given away: under @exercise stands nothing but NotImplementedError."""
    for source in SOURCES:
        for block in source.read_text(encoding="utf-8").split("@exercise\n")[1:]:
            body = block.split("# %%")[0].split("check(")[0].rstrip()
            assert body.endswith("raise NotImplementedError"), f"{source.name}: {body[:60]}"


def test_copies_are_never_overwritten(tmp_path, capsys):
    folder = tmp_path / "mine"
    command = ["chapters", str(folder), "--no-open"]
    assert main(command) == 0
    copies = sorted(folder.glob("*.ipynb"))
    assert [p.name for p in copies] == [p.name for p in NOTEBOOKS]
    assert {p.name for p in folder.iterdir()} - {p.name for p in copies} == {"bibliography.md", "my_codec"}
    copies[0].write_text("my work")
    assert main(command) == 0
    assert copies[0].read_text() == "my work"
    assert main([*command, "--fresh"]) == 0
    assert copies[0].read_text() == "my work"
    fresh = copies[0].with_stem(copies[0].stem + "-2")
    assert fresh.read_bytes() == NOTEBOOKS[0].read_bytes()
    assert len(list(folder.glob("*.ipynb"))) == len(NOTEBOOKS) + 1


def test_an_unknown_variant_is_refused(tmp_path, capsys):
    assert main(["chapters", str(tmp_path), "--no-open", "--variant", "conv1d_forward"]) == 2
    assert "no such variant" in capsys.readouterr().err
