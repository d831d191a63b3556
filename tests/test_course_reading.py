"""What students hand in, in all shapes: each line counts that is Python, and nobody's file is lost."""

import ast
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from minicodec.course.collect import submissions
from minicodec.course.messages import LARGEST_MESSAGE, Other, decode, encode, plain, take
from minicodec.course.reading import read
from minicodec.errors import InputError

ANSWER = "def f(x):\n    return TWO * x\n"


def run(path, name="f"):
    """The value of a name after running what it needs, as grading does."""
    names = {}
    for statement in read(path).needed([name]):
        exec(ast.unparse(statement.node), names)
    return names[name]


def written(folder, data, name="a.py"):
    path = folder / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def notebook(*cells):
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells]})


IN_THE_SAME_CELL = [
    "TWO = 2\n",
    "TWO = 1 + 1\n",
    "TWO: int = 2\n",
    "ONE = 1\nTWO = ONE + ONE\n",
    "THREE, TWO = 3, 2\n",
    "TWO = 1\nTWO += 1\n",
    "import math\nTWO = math.sqrt(4)\n",
    "from math import *\nTWO = sqrt(4)\n",
    "try:\n    import a_library_that_is_not_there\nexcept ImportError:\n    TWO = 2\n",
    "if True:\n    TWO = 2\nelse:\n    TWO = 3\n",
    "TABLE = []\nfor i in range(5):\n    TABLE.append(i)\nTWO = TABLE[2]\n",
    "TABLE = {}\nTABLE['two'] = 2\nTWO = TABLE['two']\n",
    "def two():\n    return 2\nTWO = two()\n",
    "class Numbers:\n    two = 2\nTWO = Numbers.two\n",
    "%matplotlib inline\nTWO = 2\n",
    "%%time\nTWO = 2\n",
    "TWO = 2\n%timeit f(1)\nTWO?\n??TWO\n!pip install x\nfiles = !ls\nt = %timeit -o f(1)\n",
    "if True:\n    %timeit f(1)\n    TWO = 2\n",
    "def broken(:\n    pass\nTWO = 2\n",
    'def spoken():\n    """Begins\nhere."""\n\ndef broken(:\nTWO = 2\n',
    "TWO = 2\nx = {[]: 1}\n",
    "TWO = 2\ny = " + "-" * 5000 + "1\n",
    "x = [1,\nTWO = 2\n",
    "TWO = 2\nraise SystemExit\nassert False\nplot(TWO)\nTWO = plot() if 0 else 2\nopen('made', 'w')\n",
]


@pytest.mark.parametrize("text", IN_THE_SAME_CELL)
def test_all_that_is_python_counts(tmp_path, text):
    assert run(written(tmp_path, text + "\n" + ANSWER))(21) == 42
    assert run(written(tmp_path, notebook(text + "\n" + ANSWER), "a.ipynb"))(21) == 42
    assert not Path("made").exists()


@pytest.mark.parametrize("text", ["TWO = 2\n'''never\nclosed\n", "    TWO = 2\n    THREE = 3\n", "%%bash\nTWO = ("])
def test_a_cell_of_its_own_harms_no_other(tmp_path, text):
    assert run(written(tmp_path, notebook("TWO = 2", text, ANSWER), "a.ipynb"))(21) == 42


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfTWO = 2\n",
        b"# -*- coding: latin-1 -*-\nNAME = '\xe9'\nTWO = 2\n",
        b"# coding: klingon\nTWO = 2\n",
        b"NAME = '\xe9'\nTWO = 2\n",  # no encoding named, and not UTF-8
        b"TWO = 2\r\n",
    ],
)
def test_encodings(tmp_path, data):
    assert run(written(tmp_path, data + ANSWER.encode()))(21) == 42


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_encodings_of_notebooks(tmp_path, encoding):
    assert run(written(tmp_path, notebook("TWO = 2", ANSWER).encode(encoding), "a.ipynb"))(21) == 42


def test_a_notebook_of_the_old_format(tmp_path):
    text = json.dumps({"worksheets": [{"cells": [{"cell_type": "code", "input": "TWO = 2\n" + ANSWER}]}]})
    assert run(written(tmp_path, text, "a.ipynb"))(21) == 42


def test_a_lambda_an_alias_and_a_helper_are_answers(tmp_path):
    source = read(written(tmp_path, "f = lambda x: 2 * x\ng = f\nfrom helpers import h\nimport numpy as np\n"))
    assert {"f", "g", "h"} <= source.defines()


def test_what_the_library_gives_is_no_answer(tmp_path):
    source = read(written(tmp_path, "from minicodec.metrics import si_sdr\nsnr = library('snr')\n"))
    assert not source.defines() & {"si_sdr", "snr"}


def test_only_what_answers_need_is_run(tmp_path):
    text = "codec = train()\nwav = load('x')\nfor x in wav:\n    f = 3\nTWO = 2\nTWO.bit_length()\nnp.f()\n" + ANSWER
    needed = [ast.unparse(s.node).split()[0] for s in read(written(tmp_path, text)).needed(["f"])]
    assert needed == ["wav", "for", "TWO", "TWO.bit_length()", "def"]


def test_what_cannot_be_read_is_said(tmp_path):
    cells = ["a = 1", "def f(x):\n    return 2 +\n\ng = (\n", "%%html\n<b>", 3]
    source = read(written(tmp_path, notebook(*cells), "a.ipynb"))
    assert source.broken["f"] == "cell 2, line 1 and what belongs to it: invalid syntax"
    assert "never closed" in source.broken["g"]
    assert source.notes[2:] == ["cell 3 is %%html, no Python", "cell 4 has no text"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"cells": 3}',
        b'{"cells": ' + b"[" * 100_000,
        b"\xff\xfe\xff",
        b"null",
        b'{"cells": [{}, 1]',
    ],
    ids=range(8),
)
def test_no_notebook(tmp_path, data):
    with pytest.raises(InputError, match="cannot be read"):
        read(written(tmp_path, data, "a.ipynb"))


# Who has handed in what.


def test_nobody_is_lost(tmp_path):
    handed_in = [
        "smith.john/a.py", "smith.jane/a.py", "anna/a.py", "anna.py", "anna.ipynb", b"caf\xe9.py", "caf\\xe9.py",
        "b\n\x1b.py", "Bob.py", "bob.py", "e.zip", "empty/x.txt", ".hidden.py", "__MACOSX/._a.py", "x.txt",
        "many/.git/a.py", "many/venv/site-packages/b.py", "many/deep/c.ipynb",
    ]  # fmt: skip
    for name in handed_in:
        written(tmp_path, b"", name)
    (tmp_path / "gone.py").symlink_to("nowhere")
    (tmp_path / "linked").symlink_to("anna")
    found, others = submissions([tmp_path])
    names = {one.name: [p.name for p in one.files] for one in found}
    assert len(names) == len(found)
    parent = tmp_path.name
    assert names == {
        "smith.john": ["a.py"], "smith.jane": ["a.py"], "anna": ["a.py"], "anna.py": ["anna.py"],
        "anna.ipynb": ["anna.ipynb"], "b\n\\x1b": ["b\n\x1b.py"],
        f"{parent}/Bob.py (1)": ["Bob.py"], f"{parent}/bob.py (2)": ["bob.py"],
        f"{parent}/caf\\xe9.py (3)": ["caf\\xe9.py"], f"{parent}/caf\\xe9.py (4)": [os.fsdecode(b"caf\xe9.py")],
        "e": [], "empty": [], "gone": [], "many": ["c.ipynb"], "linked": ["a.py"],
    }  # fmt: skip
    assert [p.name for p in others] == ["x.txt"]
    assert all(one.note for one in found if not one.files)


def test_the_same_name_in_two_folders(tmp_path):
    for name in ("monday/ann/a.py", "friday/ann/a.py"):
        written(tmp_path, b"", name)
    found, _ = submissions([tmp_path / "monday", tmp_path / "friday", tmp_path / "monday"])
    assert [one.name for one in found] == ["monday/ann", "friday/ann"]


def test_a_folder_of_too_many_files_says_so(tmp_path):
    for n in range(203):
        written(tmp_path, b"", f"ann/{n}.py")
    [one], _ = submissions([tmp_path])
    assert len(one.files) == 200
    assert "203 files" in one.note


# What comes back from the student's process.

VALUES = [
    None, True, 3, -(2**100), 1.5, float("nan"), float("-inf"), "words", b"\0\xff", (), [1, (2.5, None)],
    np.arange(6).reshape(2, 3), np.float32(0.1), np.ones((0, 3)), np.array(1 + 2j), np.array([True, False]),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.zeros(3, ">i2"),
    np.broadcast_to(np.int8(0), (1 << 20, 1 << 20)),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_values_come_back_as_they_were(value):
    again = decode(json.loads(json.dumps(encode(plain(value)))))
    if not isinstance(value, (np.ndarray, np.generic)):
        assert type(again) is type(value)
        assert again == value or again != again
        return
    assert (again.dtype, again.shape) == (value.dtype, value.shape)
    if value.nbytes < 1000:
        np.testing.assert_array_equal(again, value)
    else:
        assert set(again.strides) == {0}  # no memory for what is too large to be compared


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "a dict"),
        ((x for x in ()), "a generator"),
        (np.array([None]), "an array of object"),
        ([0] * 1001, "a list of"),
        (1 << 5000, "an integer of 5001 bits"),
        (bytes(1 << 21), "2097152 bytes"),
    ],
)
def test_other_values_are_named(value, words):
    again = decode(encode(plain(value)))
    assert isinstance(again, Other)
    assert again.words.startswith(words)


def test_a_list_that_holds_itself_comes_to_an_end():
    value = []
    value.append(value)
    assert decode(encode(plain(value))) == [[[[[[Other("a list of 1 entries")]]]]]]


FORGED = [
    3, [], {}, {"int": "x"}, {"int": "f" * 5000}, {"array": ["O", [1], ""]}, {"array": ["<f8", [2], "AAAA"]},
    {"array": ["<f8", [-1], ""]}, {"array": ["<f8", [1 << 39] * 9, None]}, {"array": ["<f99", [], ""]},
    {"bytes": "%"}, {"array": ["<i8", [1 << 39, 0], ""] * 2}, {"pickle": "gASV"}, {"list": 3},
    {"list": [None] * 1001}, {"array": ["|O", [], None]}, {"array": [["<f8"], [], None]}, {"float": "z"},
    {"a": 1, "b": 2}, {"array": ["<f8", [True], "AAAAAAAAAAA="]}, {"array": ["<f8", [1] * 65, None]},
]  # fmt: skip


@pytest.mark.parametrize("message", FORGED, ids=range(len(FORGED)))
def test_forged_values_are_refused(message):
    with pytest.raises(ValueError):  # noqa: PT011 - which is all that the grader asks for
        decode(message)


def test_messages_are_taken_one_by_one():
    data = b"".join(struct.pack(">I", len(m)) + m for m in (b'{"a": 1}', b'{"b": 2}'))
    buffer, found = bytearray(), []
    for n in range(len(data)):
        buffer += data[n : n + 1]
        found.append(take(buffer))
    assert [m for m in found if m] == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("text", [b"[]", b"\xff", b"[" * 100_000, b"{", b"3"], ids=range(5))
def test_messages_that_are_none(text):
    with pytest.raises(ValueError):  # noqa: PT011
        take(bytearray(struct.pack(">I", len(text)) + text))


def test_a_message_that_claims_to_be_enormous():
    with pytest.raises(ValueError, match="a message of"):
        take(bytearray(struct.pack(">I", LARGEST_MESSAGE + 1)))
