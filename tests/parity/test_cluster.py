"""Work on a Dask cluster of two workers, of which one is killed: the same bytes as of a single process."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

distributed = pytest.importorskip("distributed")

import minicodec  # noqa: E402
from minicodec.cli import corpus, encode, main  # noqa: E402
from minicodec.corpus import run as corpus_run, tree  # noqa: E402
from minicodec.corpus.index import NAME, Index  # noqa: E402
from tests.corpus_work import encode_arguments, mortal  # noqa: E402
from tests.test_corpus import contents  # noqa: E402

FILES = 8
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(900)]  # the peer's warnings; its patience


@pytest.fixture(scope="module")
def cluster():
    """The address of the scheduler. Where a task has killed a worker, the scheduler says so at once."""
    import dask

    local = dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with (
        local,
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as made,
    ):
        yield made.scheduler_address


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to be in, with short sounds in "in"."""
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    os.makedirs("in/deep")
    for i in range(FILES):
        soundfile.write(f"in/{'deep/' * (i % 2)}{i}.wav", rng.normal(0, 0.1, 12_000 + 500 * i), 24_000)
    return tmp_path


def run(*words):
    return main([str(word) for word in words])


def test_a_killed_worker_loses_nothing_and_the_bytes_are_those_of_one_process(cluster, place, model):
    """File 3 kills the first worker that reads it, file 5 each."""
    (place / "marks").mkdir()
    (place / "two").mkdir()
    assert run("encode", "in", "one", "-m", model, "-b", "3", "--jobs", "1") == 0
    sources, _ = tree.find(place / "in", encode.KIND.reads, place / "two")
    settings = json.loads(Path("one", NAME).read_text().splitlines()[0])
    index = corpus_run.open_index(place / "two", settings, [], False)
    index.begin()
    output = corpus_run.Files(tree.targets(sources, encode.KIND.name))
    digest = minicodec.load(model).digest
    arguments = encode_arguments(model), digest, str(place / "marks"), {"3.wav": 1, "5.wav": 99}
    results = []
    for done in corpus_run.run(place / "in", index, output, sources, mortal, arguments, 1, cluster):
        results += done.results
    failures = [result for result in results if isinstance(result, tree.Failure)]
    assert failures == [tree.Failure("deep/5.wav", corpus_run.KILLER)]
    assert len(results) == FILES
    expected = contents("one")
    assert {name for name in contents("two") if name.endswith(".ecdc")} == expected.keys() - {NAME, "deep/5.ecdc"}
    # The command itself does what is left.
    assert run("encode", "in", "two", "-m", model, "-b", "3", "--cluster", cluster) == 0
    found = contents("two")
    assert {name: found[name] for name in expected} == expected


def test_decode_and_codes(cluster, place, model):
    assert run("encode", "in", "packets", "-m", model, "--jobs", "1", "--lm", "adaptive") == 0
    shards = ("--format", "webdataset", "--shard-hours", 1.2 / 3600)
    for command, source, more in (("decode", "packets", ()), ("codes", "in", shards)):
        assert run(command, source, f"{command}-1", "-m", model, *more, "--jobs", "1") == 0
        assert run(command, source, f"{command}-2", "-m", model, *more, "--cluster", cluster) == 0
        assert len(contents(f"{command}-1")) > 2
        assert contents(f"{command}-2") == contents(f"{command}-1")


def test_evaluate(cluster, place, model):
    codec = minicodec.load(model)
    codec.quantizer.updates[...] = 1  # as if its codebooks were trained
    codec.save("ready.safetensors")
    options = ("--data", "in", "--files", "all", "--kbps", "6", "--metrics", "si_sdr")
    assert run("evaluate", "ready.safetensors", *options, "--out", "one", "--jobs", "1") == 0
    assert run("evaluate", "ready.safetensors", *options, "--out", "two", "--cluster", cluster) == 0
    sounds = {name for name in contents("one") if name.endswith((".wav", ".csv", ".json"))}
    assert len(sounds) > 3 * FILES
    for name in sounds:
        assert Path("two", name).read_bytes() == Path("one", name).read_bytes(), name


def test_a_model_that_is_another_on_a_worker_ends_the_command(cluster, place, model, loud_model, capsys, monkeypatch):
    other = minicodec.load(loud_model).digest
    convert = corpus.convert

    def lying(args, folders, made):
        return convert(args, folders, replace(made, arguments=(made.arguments[0], other)))

    monkeypatch.setattr(corpus, "convert", lying)
    assert run("encode", "in", "out", "-m", model, "--cluster", cluster) == 2
    line = f"minicodec: {model}: is another model where a worker runs: "
    assert capsys.readouterr().err.splitlines()[-1].startswith(line)


def test_an_address_where_no_scheduler_is(place, model, capsys, monkeypatch):
    monkeypatch.setattr("minicodec.workers.PATIENCE", 1)
    for address in ("tcp://127.0.0.1:1", "nonsense://here"):
        assert run("encode", "in", "out", "-m", model, "--cluster", address) == 2
        assert capsys.readouterr().err.startswith(f"minicodec: {address}: no Dask scheduler answers there (")


def test_a_scheduler_that_goes(place, model, capsys, monkeypatch):
    """The files that are done stay done."""
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as made:
        add = Index.add

        def add_and_end(index, records):
            add(index, records)
            made.close()

        monkeypatch.setattr(Index, "add", add_and_end)
        assert run("encode", "in", "out", "-m", model, "-b", "3", "--cluster", made.scheduler_address) == 2
        line = f"minicodec: {made.scheduler_address}: the scheduler is gone; the same command goes on when it is back"
        assert line in capsys.readouterr().err.splitlines()
    monkeypatch.undo()
    monkeypatch.chdir(place)
    done = len(list(Path("out").rglob("*.ecdc")))
    assert 1 <= done < FILES
    assert run("encode", "in", "out", "-m", model, "-b", "3", "--jobs", "1") == 0
    assert len(list(Path("out").rglob("*.ecdc"))) == FILES
