"""A folder into a folder: the same bytes as of single files, nothing done twice, nothing lost, failures named."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec import audio
from minicodec.cli import corpus, encode, main
from minicodec.corpus import run as corpus_run, tree
from minicodec.corpus.index import NAME
from minicodec.lock import Lock
from tests.corpus_work import encode_arguments, mortal

SOUNDS = ("a.wav", "b.flac", "deep/c.wav", "deep/er/d.wav", "deep/er/a.wav")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to be in, with a tree of short sounds: "in"."""
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    os.makedirs("in/deep/er")
    os.makedirs("in/nothing")
    for i, name in enumerate(SOUNDS):
        soundfile.write(f"in/{name}", rng.normal(0, 0.1, 12_000 - 1000 * i), 24_000)
    return tmp_path


def run(*words):
    return main([str(word) for word in words])


def files(folder):
    return [p for p in Path(folder).rglob("*") if p.is_file() and p.name != ".lock"]


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files(folder)}


def times(folder):
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in files(folder)}


def redone(before, folder="out"):
    """The files of a folder that were written since, without the index."""
    return {name for name, time in times(folder).items() if before.get(name) != time} - {NAME}


@pytest.fixture
def done(place, model, capsys):
    """The folder "out", made of "in" by one process -> the arguments of that command."""
    words = ("encode", "in", "out", "-m", model, "-b", "3", "--jobs", "1")
    assert run(*words) == 0
    capsys.readouterr()
    return words


def test_many_processes_write_the_bytes_of_the_single_file_command(done, model, capsys):
    assert run("encode", "in", "two", "-m", model, "-b", "3", "--jobs", "2") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("two: 5 files, 0.00 h of audio in ")
    assert captured.err == ""
    assert contents("two") == contents("out")  # the index, too
    assert set(contents("two")) == {Path(name).with_suffix(".ecdc").as_posix() for name in SOUNDS} | {NAME}
    for name in SOUNDS:
        assert run("encode", f"in/{name}", "one.ecdc", "-f", "-q", "-m", model, "-b", "3") == 0
        assert Path("one.ecdc").read_bytes() == contents("two")[Path(name).with_suffix(".ecdc").as_posix()]
    codec = minicodec.load(model)
    settings, *records = map(json.loads, Path("two", NAME).read_text().splitlines())
    assert (settings["model"], settings["digest"], settings["kbps"]) == (codec.name, codec.digest, 3.0)
    assert [record["file"] for record in records] == sorted(SOUNDS)
    assert [record["seconds"] for record in records] == [0.5, 11 / 24, 10 / 24, 8 / 24, 9 / 24]


def test_decode_mirrors_too(done, model):
    assert run("decode", "out", "back", "-m", model, "--jobs", "1") == 0
    for name in SOUNDS:
        stem = Path(name).with_suffix("")
        assert run("decode", f"out/{stem}.ecdc", "one.wav", "-f", "-q", "-m", model) == 0
        assert Path("one.wav").read_bytes() == Path(f"back/{stem}_decompressed.wav").read_bytes()
    before = times("back")
    assert run("decode", "out", "back", "-m", model, "--jobs", "1") == 0
    assert redone(before, "back") == set()
    assert run("decode", "out", "back", "-m", model, "--jobs", "1", "-r") == 2  # quieter where it would clip


def test_what_is_done_is_skipped_and_what_changed_is_not(done, capsys):
    before = times("out")
    assert run(*done) == 0
    assert capsys.readouterr().out == "out: 0 files, 0.00 h of audio in 0 s; 5 files had been done before\n"
    assert redone(before) == set()
    os.utime("in/a.wav", ns=(0, 0))  # another time
    shutil.copy("in/deep/c.wav", "in/b.flac")  # another size
    os.remove("out/deep/er/d.ecdc")
    with open("out/deep/c.ecdc", "ab") as file:
        file.write(b"more")
    soundfile.write("in/new.wav", np.zeros(4000), 24_000)
    assert run(*done) == 0
    assert redone(before) == {"a.ecdc", "b.ecdc", "deep/er/d.ecdc", "deep/c.ecdc", "new.ecdc"}
    assert Path("out/b.ecdc").read_bytes() == Path("out/deep/c.ecdc").read_bytes()  # of equal sounds
    before = times("out")
    assert run(*done) == 0
    assert redone(before) == set()


def test_check_compares_checksums(done):
    changed = Path("in/a.wav")
    status = changed.stat()
    data = bytearray(changed.read_bytes())
    data[-1] ^= 1
    changed.write_bytes(data)
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))  # as if nothing had happened
    os.utime("in/b.flac", ns=(0, 0))  # as after a copy
    spoiled = Path("out/deep/c.ecdc")
    data = bytearray(spoiled.read_bytes())
    data[-1] ^= 1
    spoiled.write_bytes(data)
    before = times("out")
    assert run(*done, "--check") == 0
    assert redone(before) == {"a.ecdc", "deep/c.ecdc"}
    shutil.copytree("in", "again")
    assert run(*(word if word != "out" else "fresh" for word in done)) == 0
    outputs = {name: data for name, data in contents("fresh").items() if name != NAME}
    assert {name: data for name, data in contents("out").items() if name != NAME} == outputs


def test_size_and_time_alone_do_not_see_such_a_change(done):
    status = os.stat("in/a.wav")
    shutil.copyfile("in/deep/c.wav", "in/a.wav")
    with open("in/a.wav", "ab") as file:
        file.write(bytes(status.st_size - os.stat("in/a.wav").st_size))
    os.utime("in/a.wav", ns=(status.st_atime_ns, status.st_mtime_ns))
    before = times("out")
    assert run(*done) == 0
    assert redone(before) == set()


def test_another_rate_or_model_is_not_skipped(done, loud_model, capsys):
    before = contents("out")
    refused = f"{Path('out').absolute()}: was made with other settings"
    advice = "choose another folder, or -f does all again"
    each = ("-b", "6", "kbps"), ("-m", loud_model, "digest, model"), ("--beam", "2", "beam"), ("--lm", "adaptive", "lm")
    for *more, what in each:
        assert run(*done, *more) == 2
        assert capsys.readouterr() == ("", f"minicodec: {refused} ({what}); {advice}\n")
    assert contents("out") == before
    assert run(*done, "-b", "6", "-f") == 0
    assert all(len(data) > len(before[name]) for name, data in contents("out").items() if name != NAME)


def test_a_folder_from_before_beams_is_gone_on_with(done):
    lines = Path("out", NAME).read_text().splitlines(keepends=True)
    settings = json.loads(lines[0])
    assert settings.pop("beam") is None
    Path("out", NAME).write_text("".join([json.dumps(settings) + "\n", *lines[1:]]))
    before = times("out")
    assert run(*done) == 0
    assert redone(before) == set()


def test_what_failed_is_named_and_tried_again(done, capsys):
    Path("in/bad.wav").write_bytes(b"This is a text.\n" * 20)
    Path("in/deep/empty.flac").touch()
    soundfile.write("in/loud.wav", np.array([0.1, 150.0]), 24_000, subtype="FLOAT")
    os.symlink("nowhere", "in/lost.mp3")
    assert run(*done) == 1
    line = f"minicodec: 4 files failed: {Path('out/failed.csv')} says why\n"
    assert capsys.readouterr().err == line
    with open("out/failed.csv", newline="") as file:
        assert list(csv.reader(file)) == [
            ["path", "reason"],
            ["bad.wav", "cannot be read as audio (Format not recognised)"],
            ["deep/empty.flac", "cannot be read as audio (Format not recognised)"],
            ["lost.mp3", "cannot be read (No such file or directory)"],
            ["loud.wav", "has samples up to 150, where audio lies within -1 … 1"],
        ]
    before = times("out")
    os.remove("in/loud.wav")
    shutil.copy("in/a.wav", "in/bad.wav")
    shutil.copy("in/a.wav", "in/deep/empty.flac")
    os.remove("in/lost.mp3")
    assert run(*done) == 0
    assert redone(before) == {"bad.ecdc", "deep/empty.ecdc"}
    assert not Path("out/failed.csv").exists()


def test_notices_are_told_by_whoever_gave_the_command(done, capsys):
    soundfile.write("in/loud.wav", 3 * np.ones(4000), 24_000, subtype="FLOAT")
    assert run(*done) == 0
    path = Path("in/loud.wav").absolute()
    told = f"minicodec: {path}: has peaks of 3: models expect audio within -1 … 1, so make it quieter\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("form", [[], ["--format", "npy"]])
def test_two_files_that_would_become_one_are_refused(form, place, model, capsys):
    shutil.copy("in/a.wav", "in/a.flac")
    assert run("codes" if form else "encode", "in", "out", "-m", model, *form) == 2
    name = "a.npy" if form else "a.ecdc"
    line = f"minicodec: {name}: both a.flac and a.wav would become it: rename one of them\n"
    assert capsys.readouterr() == ("", line)
    assert not Path("out").exists()


def test_what_nobody_tells_of_is_not_overwritten(place, model, capsys):
    os.makedirs("out/deep")
    Path("out/deep/c.ecdc").write_bytes(b"precious")
    words = ("encode", "in", "out", "-m", model, "--jobs", "1")
    assert run(*words) == 2
    there = Path("out/deep/c.ecdc").absolute()
    line = f"minicodec: {there}: the file exists already, and no index tells who made it; -f overwrites it\n"
    assert capsys.readouterr().err == line
    assert contents("out") == {"deep/c.ecdc": b"precious"}
    assert run(*words, "-f") == 0
    assert Path("out/deep/c.ecdc").read_bytes()[:4] == b"ECDC"


def test_a_folder_without_audio_a_lock_and_options_of_folders(place, model, capsys):
    assert run("encode", "in/nothing", "out", "-m", model) == 2
    assert capsys.readouterr().err == "minicodec: in/nothing: is a folder without audio files\n"
    os.mkdir("out")
    with Lock(Path("out")).held():
        assert run("encode", "in", "out", "-m", model) == 2
    line = f"{Path('out').absolute()}: another command is at work in it (process {os.getpid()})"
    assert capsys.readouterr().err == f"minicodec: {line}\n"
    for option in (("--jobs", "2"), ("--check",), ("--cluster", "here")):
        assert run("encode", "in/a.wav", "a.ecdc", "-m", model, *option) == 2
        line = f"minicodec: {option[0]}: is for one folder into another: minicodec encode FOLDER OUT_FOLDER\n"
        assert capsys.readouterr().err == line
    assert run("encode", "in", "out", "-m", model, "--jobs", "0") == 2
    assert capsys.readouterr().err == "minicodec: --jobs: from 1 on makes sense\n"


def test_links_are_followed_but_not_in_circles(place, monkeypatch):
    os.makedirs("elsewhere")
    shutil.copy("in/a.wav", "elsewhere/x.wav")
    os.symlink("../elsewhere", "in/linked")
    os.symlink("..", "in/deep/up")
    os.symlink(".", "in/self")
    os.makedirs("in/.hidden")
    shutil.copy("in/a.wav", "in/.hidden/a.wav")
    shutil.copy("in/a.wav", "in/._a.wav")
    os.makedirs("in/out")
    shutil.copy("in/a.wav", "in/out/heard.wav")
    scandir = os.scandir

    def locked(path):
        if Path(path).name == "er":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("os.scandir", locked)
    sources, failures = tree.find(Path("in"), {".wav", ".flac"}, Path("in/out"))
    assert [source.name for source in sources] == ["a.wav", "b.flac", "deep/c.wav", "linked/x.wav"]
    assert sources[0].size == os.stat("in/a.wav").st_size
    assert failures == [tree.Failure("deep/er", "cannot be read (Permission denied)")]


def test_a_killed_process_loses_nothing_and_a_deadly_file_is_named(done, model, place):
    """c kills the first process that reads it, d every one."""
    (place / "marks").mkdir()
    (place / "two").mkdir()
    codec = minicodec.load(model)
    sources, _ = tree.find(place / "in", encode.KIND.reads, place / "two")
    targets = tree.targets(sources, encode.KIND.name)
    settings = json.loads(Path("out", NAME).read_text().splitlines()[0])
    index = corpus_run.open_index(place / "two", settings, [], False)
    index.begin()
    arguments = encode_arguments(model), codec.digest, str(place / "marks"), {"c.wav": 1, "d.wav": 9}
    results = []
    for one in corpus_run.run(place / "in", index, corpus_run.Files(targets), sources, mortal, arguments, jobs=2):
        results += one.results
    index.sort()
    failures = [result for result in results if isinstance(result, tree.Failure)]
    assert failures == [tree.Failure("deep/er/d.wav", corpus_run.KILLER)]
    assert len(results) == len(SOUNDS)
    assert len(list((place / "marks").glob("d.wav-*"))) == 2
    expected, found = contents("out"), contents("two")
    del expected["deep/er/d.ecdc"]
    lines = expected.pop(NAME).splitlines()
    assert found.pop(NAME).splitlines() == [line for line in lines if b'"deep/er/d.wav"' not in line]
    assert {name: data for name, data in found.items() if name.endswith(".ecdc")} == expected
    # The next run of the command does what is left.
    assert run("encode", "in", "two", "-m", model, "-b", "3", "--jobs", "1") == 0
    assert Path("two", NAME).read_bytes() == Path("out", NAME).read_bytes()


def test_a_killed_command_goes_on(done, capsys):
    """The index as a crash may leave it: the last line half written, and files of which no line tells."""
    whole = contents("out")
    first, *lines = whole[NAME].splitlines(keepends=True)
    Path("out", NAME).write_bytes(first + lines[2] + lines[0] + lines[1][:50])
    Path("out/deep/er/a.ecdc").write_bytes(b"old")
    Path("out/.b.0123abcd.tmp").mkdir()
    Path("out/.b.0123abcd.tmp/b.ecdc").write_bytes(b"half")
    before = times("out")
    assert run(*done) == 0
    assert redone(before) == {"b.ecdc", "deep/er/a.ecdc", "deep/er/d.ecdc"}
    assert contents("out") == whole


@pytest.mark.parametrize(
    ("line", "number"),
    [(b"{", 2), (b"[]", 2), (b'{"file": 3}', 2), (b"[" * 100_000, 2), (None, 1)],
)
def test_a_damaged_index_is_refused(line, number, done, capsys):
    text = Path("out", NAME).read_bytes()
    first, *lines = text.splitlines(keepends=True)
    damaged = (first + line + b"\n" + b"".join(lines)) if line else b"\x93NUMPY\n" + text
    Path("out", NAME).write_bytes(damaged)
    assert run(*done) == 2
    path = Path("out", NAME).absolute()
    reason = f"{path}: line {number} is damaged; delete the line, and its file is done again"
    assert capsys.readouterr().err == f"minicodec: {reason}\n"
    assert Path("out", NAME).read_bytes() == damaged


def test_an_index_cannot_name_files_outside(done, capsys):
    text = Path("out", NAME).read_text().replace('"output": "a.ecdc"', '"output": "../in/a.wav"')
    Path("out", NAME).write_text(text)
    assert run(*done) == 2
    assert "line 2 is damaged" in capsys.readouterr().err


def test_an_interruption_keeps_what_is_done(done, model, monkeypatch, capsys):
    coded = encode.encode_one

    def interrupted(coder, job, **options):
        if job.source.parts[-2:] == ("er", "a.wav"):  # the shortest, which comes last
            raise KeyboardInterrupt
        return coded(coder, job, **options)

    words = ("encode", "in", "three", "-m", model, "-b", "3", "--jobs", "1")
    with monkeypatch.context() as patch:
        patch.setattr(encode, "encode_one", interrupted)
        assert run(*words) == 130
    assert set(contents("three")) == {NAME, "a.ecdc", "b.ecdc", "deep/c.ecdc", "deep/er/d.ecdc"}
    before = times("three")
    assert run(*words) == 0
    assert redone(before, "three") == {"deep/er/a.ecdc"}
    assert contents("three") == contents("out")


def test_progress(done, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert run(*done, "-f") == 0
    assert "0.00 h of audio, 0." in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    monkeypatch.setattr(corpus, "EVERY", 0.0)
    assert run(*done, "-f") == 0
    assert capsys.readouterr().err == ""
    assert run(*done, "-f", "-v") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("0.00 h of audio, 0.") and line.endswith(" left") for line in lines)
    assert lines[-1].endswith("  0:00:00 left")
    assert run(*done, "-f", "-q") == 0
    assert capsys.readouterr() == ("", "")


def test_options_reach_the_files(place, model):
    assert run("encode", "in", "out", "-m", model, "--lm", "adaptive", "--jobs", "1") == 0
    assert run("encode", "in/a.wav", "one.ecdc", "-m", model, "--lm", "adaptive", "-q") == 0
    assert Path("one.ecdc").read_bytes() == Path("out/a.ecdc").read_bytes()


IMPORTED = """
import sys
import minicodec.cli.encode, minicodec.cli.codes, minicodec.corpus.dataset, minicodec.evaluation.evaluate
print({"distributed", "dask", "pyarrow", "webdataset"} & set(sys.modules))
"""


def test_nothing_of_the_extras_is_imported_before_it_is_asked_for():
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_names_that_are_no_utf8(place, model):
    if sys.platform != "linux":
        pytest.skip("names are bytes on Linux")
    name = os.fsdecode(b"gr\xfc\xdfe.wav")
    os.rename("in/a.wav", f"in/{name}")
    os.rename("in/b.flac", "in/line\nbreak.flac")
    Path(f"in/x{name}").write_bytes(b"no sound")
    assert run("encode", "in", "out", "-m", model, "--jobs", "1") == 1
    assert "line\nbreak.ecdc" in contents("out")
    assert audio.info(f"in/{name}").frames == 12_000
    assert Path("out", os.fsdecode(b"gr\xfc\xdfe.ecdc")).is_file()
    assert "xgr\\udcfc\\udcdfe.wav,cannot be read as audio" in Path("out/failed.csv").read_text(encoding="utf-8")
    assert run("encode", "in", "out", "-m", model, "--jobs", "1") == 1
