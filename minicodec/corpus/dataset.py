"""What `minicodec codes` has written, read back: an iterator of arrays of tokens."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from minicodec.corpus.index import NAME, Index, Record, read
from minicodec.corpus.shards import READERS, as_utf8, read_codes
from minicodec.errors import InputError

FORMATS = ("npy", "parquet", "webdataset")
SETTINGS = {
    "format": str, "sample_rate": int, "frame_rate": float, "kbps": float, "levels": int, "model": str, "digest": str,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Tokens:
    """The codes of an audio file.

    codes       (frames,levels) int16: a row for each frame, its first code the coarsest
    file        its name, relative to the folder that was coded
    seconds     how long it is
    scales      by what its chunks were divided, one after the other; None: the model does not scale
    """

    codes: np.ndarray
    file: str
    seconds: float
    scales: tuple[float, ...] | None = None


class Dataset:
    """The tokens of all files of a folder: iterate, as often as you like. `len` is how many there are.

    Attributes: sample_rate (Hz), frame_rate (frames per second), kbps, levels (codes in a frame), model (its name, as
    .ecdc files have it) and digest (the SHA-256 of its weights and configuration).

    Iterating raises InputError, in one line, for a file that is missing or damaged: the checksum of each is compared.
    """

    def __init__(self, index: Index):
        self._index = index
        self.sample_rate: int = index.settings["sample_rate"]
        self.frame_rate: float = index.settings["frame_rate"]
        self.kbps: float = index.settings["kbps"]
        self.levels: int = index.settings["levels"]
        self.model: str = index.settings["model"]
        self.digest: str = index.settings["digest"]

    def __repr__(self) -> str:
        return f"Dataset({len(self)} files, {self.levels} codes {self.frame_rate:g} times a second, of {self.model})"

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[Tokens]:
        form = self._index.settings["format"]
        if form == "npy":
            for record in self._index:
                path = self._index.out / record["output"]
                yield self._tokens(read_codes(_whole(path, record), str(path)), record, path)
            return
        shards: dict[str, list[Record]] = {}
        for record in self._index:
            shards.setdefault(record["output"], []).append(record)
        for name, records in sorted(shards.items()):
            path = self._index.out / name
            found = list(READERS[form](_whole(path, records[0]), str(path)))
            records.sort(key=lambda record: record["file"])
            if [file for file, _ in found] not in ([r["file"] for r in records], [as_utf8(r["file"]) for r in records]):
                raise InputError(f"{path}: holds other files than the index says")
            for record, (_, codes) in zip(records, found, strict=True):
                yield self._tokens(codes, record, path)

    def _tokens(self, codes: np.ndarray, record: Record, path: Path) -> Tokens:
        if codes.shape[1] != self.levels:
            raise InputError(f"{path}: has {codes.shape[1]} codes in a frame, not {self.levels}")
        scales = record.get("scales")
        return Tokens(codes, record["file"], record["seconds"], None if scales is None else tuple(scales))


def dataset(folder: str | PathLike[str]) -> Dataset:
    """The tokens that `minicodec codes` has written to a folder, in any of its formats.

    for tokens in minicodec.dataset("tokens"):
        tokens.codes        # (frames,levels) int16

    InputError: there are none, or the index is damaged.
    """
    out = Path(folder)
    index = read(out)
    if index is None:
        raise InputError(f"{out}: holds no codes: {NAME} is not there; minicodec codes writes them")
    settings = index.settings
    for key, kind in SETTINGS.items():
        if type(settings.get(key)) is not kind:
            raise InputError(f"{out / NAME}: tells of no codes: minicodec codes writes others")
    if settings["format"] not in FORMATS:
        raise InputError(f"{out / NAME}: has the format {settings['format'][:40]!r}, which is none")
    return Dataset(index)


def _whole(path: Path, record: Record) -> bytes:
    """The bytes of an output. InputError: they are not those that were written."""
    try:
        if path.stat().st_size == record["bytes"]:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == record["output_sha256"]:
                return data
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    raise InputError(f"{path}: is damaged: it is not what was written; minicodec codes --check makes it again")
