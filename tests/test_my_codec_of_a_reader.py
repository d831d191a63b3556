"""The package of a reader: its parts come from answers, all of them or some, and it trains, encodes and decodes."""

import inspect
import linecache
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec.cli import main
from minicodec.course import placing, student
from minicodec.course.catalogue import all_exercises
from minicodec.course.judge import Verdict, judge
from minicodec.course.my_codec import __main__ as program, weights

PARTS = [one for name, one in all_exercises().items() if name in placing.parts() and one.variant_of is None]


def cell(text, number):
    """Run a text as a notebook does: where inspect finds it."""
    title = f"<cell {number} of a reader>"
    linecache.cache[title] = (len(text), None, text.splitlines(keepends=True), title)
    names = {"np": np, "exercise": student.exercise, "check": student.check, "__name__": "__main__"}
    return title, names


def answer(one, number, monkeypatch):
    """Give the library's text as the reader's answer, as in a chapter: imports above, then the cell and its check."""
    part = placing.parts()[one.name]
    title, names = cell(f"@exercise\n{part.text}\n\n\ncheck({one.name})\n", number)
    names |= {name: value for name, value in vars(placing.module_of(part)).items() if name not in names}
    names["__name__"] = "__main__"
    exec(compile("".join(linecache.cache[title][2]), title, "exec"), names)


@pytest.fixture(autouse=True)
def definitions():
    with minicodec.backend.use("numpy"):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A reader's folder with all answers given, and one with those of a few chapters."""
    folder = tmp_path_factory.mktemp("reader")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["chapters", ".", "--no-open"]) == 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(student, "_right", {})
            # Whether they are right, the test below asks, and test_course.py.
            patch.setattr(student, "judge", lambda *_: Verdict("right", "right"))
            for number, one in enumerate(PARTS):
                answer(one, number, patch)
                if one.name == "Encoder":
                    shutil.copytree("my_codec", "half/my_codec")
    finally:
        os.chdir(before)
        for op in minicodec.backend.OPS.values():
            op.pairs.pop("student", None)
    rng = np.random.default_rng(0)
    wav = 0.2 * np.sin(np.arange(14_000) * 0.1) * rng.uniform(0.5, 1, 14_000)
    for place in (folder, folder / "half"):
        soundfile.write(place / "own.wav", wav, 24_000)
    return folder


def run(folder, *command):
    """`python -m my_codec` there -> its output."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([".", str(Path(minicodec.__file__).parents[1])])}
    line = [sys.executable, "-m", "my_codec", *command]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shares(printed):
    return [int(percent) for percent in re.findall(r"\((\d+)%\)", printed)]


@pytest.mark.parametrize("one", [one for one in PARTS if one.use is None], ids=lambda one: one.name)
def test_the_librarys_version_of_a_kernel_is_right(one):
    verdict = judge(one, getattr(placing.module_of(placing.parts()[one.name]), one.name))
    assert verdict.status == "right", verdict.message


def test_every_part_has_been_put_in_its_place(folder):
    assert placing.missing(folder / "my_codec").keys() == set()
    assert placing.answers(folder / "my_codec").keys() == {one.name for one in PARTS}
    assert len(placing.missing(folder / "half/my_codec")) > 10


@pytest.mark.thorough
@pytest.mark.parametrize(("place", "options"), [(".", ()), (".", ("--random",)), ("half", ("--random",))])
def test_it_trains_encodes_and_decodes(folder, place, options, capsys):
    """From where chapter 9 ends, and from random weights."""
    folder = folder / place
    all_solved = place == "."
    trained = run(folder, "train", "own.wav", "my.safetensors", "--steps", "8", "--length", "2560", *options)
    assert "model" not in trained
    assert ("Only 0 of 8 codebooks have been started" in trained) == bool(options)
    assert ("All parts are yours." in trained) == all_solved
    if not all_solved:
        assert re.match(r"The library stands in for \d+ parts .*, of chapters 6 \(\d+\), 7 \(", trained)
    encoded = run(folder, "encode", "-m", "my.safetensors", "own.wav", "my.ecdc", "--kbps", "1.5")
    coded = run(folder, "encode", "-m", "my.safetensors", "own.wav", "coded.ecdc", "--coded")
    decoded = run(folder, "decode", "-m", "my.safetensors", "my.ecdc", "my.wav")
    again = run(folder, "decode", "-m", "my.safetensors", "coded.ecdc", "coded.wav")
    for printed in (trained, encoded, coded, decoded, again):
        [share] = shares(printed)
        assert share >= 90 if all_solved else 5 < share < 80, printed

    # And the library: both ways.
    for name in ("my", "coded"):
        there = str(folder / f"{name}.ecdc"), str(folder / f"{name}-library.wav")
        assert main(["decode", "-f", "-m", str(folder / "my.safetensors"), *there]) == 0
        ours, theirs = (soundfile.read(folder / file)[0] for file in (f"{name}.wav", f"{name}-library.wav"))
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    theirs = str(folder / "own.wav"), "-o", str(folder / "theirs.ecdc")
    assert main(["encode", "-f", "-m", str(folder / "my.safetensors"), "-b", "1.5", *theirs]) == 0
    run(folder, "decode", "-m", "my.safetensors", "theirs.ecdc", "theirs.wav")
    np.testing.assert_allclose(*(soundfile.read(folder / f"{n}.wav")[0] for n in ("my", "theirs")), atol=1e-4)


def test_it_is_the_librarys_package_but_for_the_marks(folder):
    """With all answers the library's own: so that nothing gets lost between the places."""
    for file in placing.FILES:
        mine = (folder / "my_codec" / f"{file}.py").read_text(encoding="utf-8")
        mine = re.sub(r"^# --- .*\n", "", mine, flags=re.MULTILINE).replace("my_codec.", f"{placing.PACKAGE}.")
        assert mine.strip() == (placing.SOURCES / f"{file}.py").read_text(encoding="utf-8").strip()


def test_a_reader_may_write_otherwise(tmp_path, monkeypatch, capsys):
    """Helpers come along; a forward may return what it saved; a function of an earlier file is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(student, "_right", {})
    title, names = cell('''
def taps(w):
    return range(len(w))

def frames(x, k, dilation, stride):
    return x[:, k * dilation :: stride]

@exercise
def conv1d_forward(x, w, *, stride=1, dilation=1):
    To = (x.shape[1] - (len(w) - 1) * dilation - 1) // stride + 1
    return sum(frames(x, k, dilation, stride)[:, :To] @ w[k] for k in taps(w)), (x, w)

check(conv1d_forward)

@exercise
def residual_decode(codes, codebooks):
    conv1d_forward
    unbroadcast
    return sum(codebooks[q][level] for q, level in enumerate(codes))

check(residual_decode)
''', 0)  # fmt: skip
    names["unbroadcast"] = student.library("unbroadcast")
    exec(compile("".join(linecache.cache[title][2]), title, "exec"), names)
    out = capsys.readouterr().out
    assert out.count("✓") == 2
    assert "It uses" not in out
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([".", str(Path(minicodec.__file__).parents[1])])}
    code = ("from my_codec.conv import conv1d_forward, taps; from my_codec import quantizer; import numpy as np;"
            "y = conv1d_forward(np.ones((1, 4, 1)), np.ones((2, 1, 1))); print(y.shape);"
            "print(quantizer.unbroadcast.__name__);"
            "print(quantizer.residual_decode(np.zeros((2, 3), int), np.ones((2, 4, 2))))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("(1, 3, 1)\nunbroadcast\n[[2. 2.]"), done.stderr
    monkeypatch.setattr(student, "_right", {})
    assert student.yours() == ["conv1d_forward", "residual_decode"]
    for op in minicodec.backend.OPS.values():
        op.pairs.pop("student", None)


def test_answers_of_an_older_version_move_to_their_place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(student, "_right", {})
    (tmp_path / "my_codec").mkdir()
    old = tmp_path / "my_codec/causal_padding.py"
    text = inspect.getsource(student.library("causal_padding"))
    old.write_text(f"import numpy as np\nfrom minicodec.course import exercise\n\n\n@exercise\n{text}")
    assert student.yours() == ["causal_padding"]
    assert not old.exists()
    assert placing.answers(tmp_path / "my_codec").keys() == {"causal_padding"}


def test_a_part_that_is_called_as_its_file_is(tmp_path, monkeypatch):
    """`train` is a part of train.py, which must not be taken for the file of an older version, and deleted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(student, "_right", {})
    folder = tmp_path / "my_codec"
    placing.create(folder, {name: one.chapter for name, one in all_exercises().items()})
    for name in ("train", "crops"):
        assert placing.put(folder, name, placing.parts()[name].text)
    before = (folder / "train.py").read_text(encoding="utf-8")
    assert student.yours() == ["crops", "train"]
    assert (folder / "train.py").read_text(encoding="utf-8") == before


def test_what_stands_in_does_not_give_the_answer_away(folder):
    half = folder / "half/my_codec/seanet.py"
    assert "ConvTranspose1d(C, C // 2" not in half.read_text(encoding="utf-8")
    assert "stand_in(\"Decoder\", globals())" in half.read_text(encoding="utf-8")


def test_an_interrupted_training_says_so(folder, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "start", interrupted)
    assert program.main(["train", str(folder / "own.wav"), str(tmp_path / "my.safetensors")]) == 130
    assert capsys.readouterr().err == "my_codec: interrupted, nothing was written\n"
    assert not (tmp_path / "my.safetensors").exists()


def test_refusals(folder, tmp_path):
    codec = weights.Codec(weights.TINY, np.random.default_rng(1))
    weights.save(codec, tmp_path / "other.safetensors")
    (tmp_path / "cut.ecdc").write_bytes(b"ECDC" + struct.pack("!BI", 0, 99) + b'{"m": "other"')
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([".", str(Path(minicodec.__file__).parents[1])])}
    for command, words in [
        (["train", "own.wav", "x.safetensors", "--steps", "0"], "--steps: at least 1"),
        (["train", "own.wav", "x.safetensors", "--length", "1000"], "--length: at least 1024"),
        (["encode", "-m", "own.wav", "own.wav", "x.ecdc"], "own.wav: it is no codec's file"),
        (["decode", "-m", str(tmp_path / "other.safetensors"), str(tmp_path / "cut.ecdc"), "x.wav"], "cut off"),
        (["encode", "-m", "nowhere", "own.wav", "x.ecdc"], "nowhere"),
        (["encode", "-m", str(tmp_path / "other.safetensors"), "own.wav", "x.ecdc", "--kbps", "9"], "not on offer"),
        (["decode", "-m", str(tmp_path / "other.safetensors"), "own.wav", "x.wav"], "is not an .ecdc file"),
    ]:
        done = subprocess.run([sys.executable, "-m", "my_codec", *command], cwd=folder, env=environment,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
