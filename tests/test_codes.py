"""`minicodec codes` and `minicodec.dataset`: the codes of `Codec.encode` in every format, read back, damage refused."""

import importlib.util
import io
import json
import os
import shutil
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec import audio
from minicodec.cli import main
from minicodec.corpus import index as indices, shards
from minicodec.corpus.index import NAME
from minicodec.errors import InputError

FORMATS = ["npy", "webdataset"] + ["parquet"] * (importlib.util.find_spec("pyarrow") is not None)
SOUNDS = {"a.wav": 12_000, "b.1.flac": 11_000, "deep/c.wav": 24_000}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to be in, with short sounds in "in"."""
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    os.makedirs("in/deep")
    for name, samples in SOUNDS.items():
        soundfile.write(f"in/{name}", rng.normal(0, 0.1, samples), 24_000)
    return tmp_path


def run(*words):
    return main([str(word) for word in ("codes", *words)])


def coded(model, form, *more):
    """Runs the command on the folder "in"; shards of about 0.2 s: a and b have one, c another."""
    words = ("in", form, "--format", form, "-m", model, "-b", "3", "--shard-hours", 0.4 / 3600, "--jobs", "1")
    return run(*words, *more)


def read(folder):
    return {tokens.file: tokens for tokens in minicodec.dataset(folder)}


@pytest.mark.parametrize("form", FORMATS)
def test_tokens_are_those_of_the_codec(form, place, model):
    assert coded(model, form) == 0
    codec, dataset = minicodec.load(model), minicodec.dataset(form)
    assert (len(dataset), dataset.levels, dataset.sample_rate, dataset.frame_rate) == (3, 4, 24_000, 75.0)
    assert (dataset.kbps, dataset.model, dataset.digest) == (3.0, codec.name, codec.digest)
    found = list(dataset)
    assert sorted(tokens.file for tokens in found) == sorted(SOUNDS)
    for tokens in found:
        expected = codec.encode(audio.read(f"in/{tokens.file}")[0], 3).codes
        assert tokens.codes.dtype == np.int16
        np.testing.assert_array_equal(tokens.codes.T, expected)
        assert tokens.seconds == SOUNDS[tokens.file] / 24_000
        assert tokens.scales is None
    assert [tokens.file for tokens in dataset] == [tokens.file for tokens in found]  # again


def test_files_of_npy_mirror_the_folder(place, model):
    assert coded(model, "npy") == 0
    names = {path.relative_to("npy").as_posix() for path in Path("npy").rglob("*.*")} - {".lock"}
    assert names == {NAME, "a.npy", "b.1.npy", "deep/c.npy"}
    for name in SOUNDS:
        array = np.load(Path("npy", name).with_suffix(".npy"), allow_pickle=False)
        np.testing.assert_array_equal(array, read("npy")[name].codes)


def test_a_tar_shard_tells_all_by_itself(place, model):
    assert coded(model, "webdataset") == 0
    assert sorted(os.listdir("webdataset")) == [".lock", NAME, "shard-000000.tar", "shard-000001.tar"]
    codec, tokens = minicodec.load(model), read("webdataset")
    with tarfile.open("webdataset/shard-000000.tar") as tar:
        assert tar.getnames() == [f"0000000000{i}.{suffix}" for i in (0, 1) for suffix in ("npy", "json")]
        assert json.load(tar.extractfile("00000000001.json")) == {
            "file": "b.1.flac", "seconds": 11 / 24, "samples": 11_000, "command": "codes", "format": "webdataset",
            "sample_rate": 24_000, "frame_rate": 75.0, "kbps": 3.0, "levels": 4, "model": codec.name,
            "digest": codec.digest, "device": "cpu", "beam": None,
        }  # fmt: skip
        codes = np.load(io.BytesIO(tar.extractfile("00000000001.npy").read()), allow_pickle=False)
    np.testing.assert_array_equal(codes, tokens["b.1.flac"].codes)


def test_shards_do_not_depend_on_how_many_work(place, model):
    form = "webdataset"
    assert coded(model, form) == 0
    words = ("in", "two", "--format", form, "-m", model, "-b", "3", "--shard-hours", 0.4 / 3600, "--jobs", "2")
    assert run(*words) == 0
    for path in Path(form).iterdir():
        assert path.read_bytes() == Path("two", path.name).read_bytes()


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_what_changed_is_done_again_with_its_shard_and_nothing_else(check, place, model, capsys):
    assert coded(model, "webdataset") == 0
    before = {path: path.stat().st_mtime_ns for path in Path("webdataset").glob("*.tar")}
    assert coded(model, "webdataset", *check) == 0
    assert "0 files, " in capsys.readouterr().out.splitlines()[-1]
    shutil.copy("in/deep/c.wav", "in/a.wav")
    shutil.copy("in/deep/c.wav", "in/new.wav")
    assert coded(model, "webdataset", *check) == 0
    assert capsys.readouterr().out.startswith("webdataset: 3 files, ")  # a, b of its shard, new
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {"shard-000000.tar"}
    found = read("webdataset")
    assert sorted(found) == ["a.wav", "b.1.flac", "deep/c.wav", "new.wav"]
    np.testing.assert_array_equal(found["a.wav"].codes, found["deep/c.wav"].codes)
    os.remove("webdataset/shard-000001.tar")
    assert coded(model, "webdataset", *check) == 0
    assert sorted(read("webdataset")) == sorted(found)


def test_a_file_that_takes_anothers_place_takes_its_name(place, model):
    assert coded(model, "npy") == 0
    index = Path("npy", NAME)
    os.rename("in/a.wav", "a.wav")
    soundfile.write("in/a.flac", np.zeros(5000), 24_000)
    before = index.read_text().splitlines()[1]
    assert coded(model, "npy") == 0
    assert sorted(read("npy")) == ["a.flac", "b.1.flac", "deep/c.wav"]
    index.write_text(f"{index.read_text()}{before}\n")  # as it was left before that was so
    assert coded(model, "npy") == 0
    assert sorted(read("npy")) == ["a.flac", "b.1.flac", "deep/c.wav"]
    os.remove("in/a.flac")  # one that has gone leaves what became of it
    assert coded(model, "npy") == 0
    assert sorted(read("npy")) == ["a.flac", "b.1.flac", "deep/c.wav"]


def test_force_leaves_no_shard_of_before_and_without_it_none_is_overwritten(place, model, capsys):
    assert coded(model, "webdataset") == 0
    assert len(list(Path("webdataset").glob("*.tar"))) == 2
    words = ("in", "webdataset", "--format", "webdataset", "-m", model, "--jobs", "1")
    assert run(*words, "-f") == 0
    assert [path.name for path in Path("webdataset").glob("*.tar")] == ["shard-000000.tar"]
    assert sorted(read("webdataset")) == sorted(SOUNDS)
    os.remove(Path("webdataset", NAME))
    capsys.readouterr()
    assert run(*words) == 2
    shard = Path("webdataset/shard-000000.tar").absolute()
    line = f"minicodec: {shard}: the file exists already, and no index tells who made it; -f overwrites it\n"
    assert capsys.readouterr().err == line


def test_a_file_that_fails_leaves_its_shard_whole(place, model, capsys):
    Path("in/aa.wav").write_bytes(b"no sound")
    assert coded(model, "webdataset") == 1
    assert sorted(read("webdataset")) == sorted(SOUNDS)
    shutil.copy("in/a.wav", "in/aa.wav")
    assert coded(model, "webdataset") == 0
    assert sorted(read("webdataset")) == sorted([*SOUNDS, "aa.wav"])


def test_a_model_that_scales_its_chunks(place, tmp_path):
    """As the 48 kHz model does: stretches that overlap, each divided by its loudness."""
    config = replace(minicodec.build("tiny_24khz").config, normalize=True, chunk_samples=4800, chunk_stride=4752)
    codec = minicodec.Codec(config, seed=0)
    codec.save("scaled.safetensors")
    assert coded("scaled.safetensors", "webdataset") == 0
    chunks = codec.encode(audio.read("in/deep/c.wav")[0], 3)
    tokens = read("webdataset")["deep/c.wav"]
    assert len(chunks) > 4
    assert tokens.scales == tuple(chunk.scale for chunk in chunks)
    np.testing.assert_array_equal(tokens.codes.T, chunks.codes)


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


GOOD = np.arange(12, dtype=np.int16).reshape(3, 4)
BAD_ARRAYS = {
    "a pickle": (npy(np.array([{}], object), allow_pickle=True), "holds no codes"),
    "floats": (npy(GOOD.astype(np.float32)), "holds no codes"),
    "one dimension": (npy(GOOD.ravel()), "holds no codes"),
    "by columns": (npy(np.asfortranarray(GOOD)), "holds no codes"),
    "cut off": (npy(GOOD)[:-1], "is damaged: it claims 3 frames of 4 codes"),
    "too long": (npy(GOOD) + b"x", "is damaged: it claims"),
    "gigabytes": (
        npy(GOOD).replace(b"(3, 4), }" + 9 * b" ", b"(3999999999, 4), }"),
        "is damaged: it claims 3999999999",
    ),
    "no array": (b"RIFF" * 20, "is no .npy file"),
    "nothing": (b"", "is no .npy file"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_are_no_codes_are_refused(case):
    data, reason = BAD_ARRAYS[case]
    with pytest.raises(InputError, match=rf"^x\.npy: {reason}"):
        shards.read_codes(data, "x.npy")
    np.testing.assert_array_equal(shards.read_codes(npy(GOOD), "x.npy"), GOOD)


@pytest.mark.parametrize("form", FORMATS)
def test_damage_is_one_line(form, place, model):
    assert coded(model, form) == 0
    path = next(path for path in sorted(Path(form).rglob("*.*")) if path.name not in (NAME, ".lock"))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    advice = "it is not what was written; minicodec codes --check makes it again"
    for data in (bytes(flipped), whole[:-1], b""):
        path.write_bytes(data)
        with pytest.raises(InputError, match=rf"^{path}: is damaged: {advice}$"):
            list(minicodec.dataset(form))
    assert coded(model, form, "--check") == 0
    assert path.read_bytes() == whole
    path.unlink()
    with pytest.raises(InputError, match=rf"^{path}: cannot be read \(No such file or directory\)$"):
        list(minicodec.dataset(form))


@pytest.mark.parametrize("form", FORMATS[1:])
def test_a_shard_whose_checksum_somebody_has_mended_is_read_with_care(form, place, model):
    """It is cut off, and the index says that this is right."""
    assert coded(model, form) == 0
    name = f"shard-000000.{shards.SUFFIXES[form]}"
    path, index = Path(form, name), indices.read(Path(form))
    whole = path.read_bytes()
    for data in (whole[:700], whole[:1024], whole[:1900], b"x" * 600, whole[:300] + bytes(400) + whole[700:]):
        path.write_bytes(data)
        about = {"bytes": len(data), "output_sha256": indices.sha256(path)}
        index.add([record | about for record in index if record["output"] == name])
        with pytest.raises(InputError, match=rf"^{path}") as caught:
            list(minicodec.dataset(form))
        assert "\n" not in str(caught.value)


def test_what_is_no_dataset(place, model):
    with pytest.raises(InputError, match=r"^in: holds no codes: minicodec\.jsonl is not there; minicodec codes writes"):
        minicodec.dataset("in")
    assert main(["encode", "in", "packets", "-m", str(model), "--jobs", "1"]) == 0
    with pytest.raises(InputError, match=r"^packets/minicodec\.jsonl: tells of no codes"):
        minicodec.dataset("packets")
    assert coded(model, "npy") == 0
    index = Path("npy", NAME)
    index.write_text(index.read_text().replace('"format": "npy"', '"format": "pickle"'))
    with pytest.raises(InputError, match=r"has the format 'pickle', which is none$"):
        minicodec.dataset("npy")


def test_parquet_needs_pyarrow(place, model, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert coded(model, "parquet") == 2
    assert capsys.readouterr().err == "minicodec: parquet: needs pyarrow: pip install 'minicodec[cluster]'\n"
    assert not Path("parquet").exists()


def test_bad_input_is_one_line(place, model, capsys):
    assert run("nowhere", "out", "-m", model) == 2
    assert capsys.readouterr().err == "minicodec: nowhere: there is no such folder\n"
    assert run("in", "out", "-m", model, "--shard-hours", "0") == 2
    assert capsys.readouterr().err == "minicodec: --shard-hours: above 0 makes sense\n"
    assert run("in", "out", "-m", model, "-b", "7") == 2
    assert "has no bitrate of 7 kbit/s; choose from 0.75, 1.5, 3, 6" in capsys.readouterr().err
