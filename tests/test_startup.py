"""The first use: one line while functions are compiled, none when they are found; and folders nobody can write to."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minicodec

PACKAGE = Path(minicodec.__file__).parent
ELU = """
import numpy as np
from minicodec import functional as F
assert np.array_equal(F.elu(np.float32([2, -200])).data, [2, -1])
"""
FIRST = "minicodec: compiling for this machine, which takes some seconds the first time\n"
ALWAYS = (
    "minicodec: compiling, as in every run: no folder to keep the result in can be written "
    "(NUMBA_CACHE_DIR names one)\n"
)


def messages(code=ELU, folder=PACKAGE.parent, **changes):
    """What a process that runs the code with the package in this folder, and a changed environment, says on stderr."""
    environment = {**os.environ, "MINICODEC_QUIET": "", "PYTHONPATH": str(folder), **changes}
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stderr


def test_the_line_comes_once_and_only_when_something_is_compiled(tmp_path):
    assert messages(NUMBA_CACHE_DIR=str(tmp_path)) == FIRST
    assert messages(NUMBA_CACHE_DIR=str(tmp_path)) == ""


def test_an_import_compiles_nothing(tmp_path):
    assert messages("import minicodec.codec.model", NUMBA_CACHE_DIR=str(tmp_path)) == ""
    assert not list(tmp_path.rglob("*.nbc"))


def test_the_line_can_be_left_out(tmp_path):
    assert messages(NUMBA_CACHE_DIR=str(tmp_path), MINICODEC_QUIET="1") == ""


def test_code_of_a_changed_file_that_others_call_is_not_used(tmp_path):
    """ELU's loop is in activations.py, expm1 in fastmath.py, which is made to give 0 here."""
    shutil.copytree(PACKAGE, tmp_path / "minicodec", ignore=shutil.ignore_patterns("__pycache__", "data"))
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert messages(ELU, tmp_path, **cache) == FIRST
    source = tmp_path / "minicodec" / "kernels" / "cpu" / "engine" / "fastmath.py"
    text = source.read_text(encoding="utf-8")
    changed = text.replace("y = TWO * multiply_add(", "y = ZERO * multiply_add(")
    assert changed != text
    source.write_text(changed, encoding="utf-8")
    assert messages(ELU.replace("-1]", "0]"), tmp_path, **cache) == FIRST


@pytest.mark.skipif(sys.platform == "win32", reason="needs files in place of folders to be refused")
def test_a_package_that_nobody_can_write_to(tmp_path):
    """Root may write anywhere, so a file stands where each folder would have to be made."""
    shutil.copytree(PACKAGE, tmp_path / "minicodec", ignore=shutil.ignore_patterns("__pycache__", "data"))
    for folder in [p for p in (tmp_path / "minicodec").rglob("*") if p.is_dir()] + [tmp_path / "minicodec"]:
        (folder / "__pycache__").write_text("")
    (tmp_path / "file").write_text("")
    unwritable = str(tmp_path / "file" / "cache")
    changes = {"HOME": unwritable, "XDG_CACHE_HOME": unwritable}
    code = ELU + f"import minicodec; assert minicodec.__file__.startswith({str(tmp_path)!r})"
    for cache in ("", unwritable):
        assert messages(code, tmp_path, NUMBA_CACHE_DIR=cache, **changes) == ALWAYS
    assert messages(code, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache"), **changes) == FIRST
