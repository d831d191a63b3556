"""Shards of tokens, read by the programs that they are made for: webdataset, and pyarrow."""

import json

import numpy as np
import pytest

import minicodec
from minicodec.corpus.index import NAME
from tests.test_codes import SOUNDS, coded, place  # noqa: F401 (a fixture)

pytestmark = pytest.mark.filterwarnings("default")  # the peers' business


def test_webdataset(place, model):  # noqa: F811
    webdataset = pytest.importorskip("webdataset")
    assert coded(model, "webdataset") == 0
    ours = {tokens.file: tokens for tokens in minicodec.dataset("webdataset")}
    shards = sorted(str(path) for path in (place / "webdataset").glob("*.tar"))
    found = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    assert [set(sample) >= {"npy", "json", "__key__"} for sample in found] == [True] * len(SOUNDS)
    assert sorted(sample["json"]["file"] for sample in found) == sorted(SOUNDS)
    for sample in found:
        tokens = ours[sample["json"]["file"]]
        assert sample["npy"].dtype == np.int16
        np.testing.assert_array_equal(sample["npy"], tokens.codes)
        assert sample["json"]["seconds"] == tokens.seconds
        assert sample["json"]["sample_rate"] == 24_000


def test_parquet(place, model):  # noqa: F811
    parquet = pytest.importorskip("pyarrow.parquet")
    assert coded(model, "parquet") == 0
    ours = {tokens.file: tokens for tokens in minicodec.dataset("parquet")}
    settings = json.loads((place / "parquet" / NAME).read_text().splitlines()[0])
    files = []
    for path in sorted((place / "parquet").glob("*.parquet")):
        table = parquet.read_table(path)
        assert table.column_names == ["file", "seconds", "samples", "codes", "scales"]
        assert json.loads(table.schema.metadata[b"minicodec"]) == settings
        assert settings["model"] == minicodec.load(model).name
        for row in table.to_pylist():
            files.append(row["file"])
            np.testing.assert_array_equal(row["codes"], ours[row["file"]].codes)
            assert (row["seconds"], row["samples"]) == (ours[row["file"]].seconds, SOUNDS[row["file"]])
            assert row["scales"] is None
    assert sorted(files) == sorted(SOUNDS)
