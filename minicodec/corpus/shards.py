"""Codes in shards: tar files as the `webdataset` package reads them, or Parquet; and single .npy files.

A shard is read whole: some megabytes. Nothing is unpickled, and what a file claims is checked before memory is taken.

    shard-000000.tar        00000000000.npy, 00000000000.json, 00000000001.npy …
    shard-000000.parquet    columns file, seconds, samples, codes (frames x levels), scales
"""

import io
import itertools
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.corpus.index import Index, Record, sha256
from minicodec.corpus.run import Unit, cut, unit_for
from minicodec.corpus.tree import Failure, Source
from minicodec.errors import InputError
from minicodec.files import write_atomically

FACTS = ("file", "seconds", "samples", "scales")  # of a record that go into a shard, beside the settings
HEADER_LIMIT = 10_000  # bytes of a .npy file's header


class Shards:
    """Codes of many files in each file `out`/shard-N, about `seconds` of sound in one.

    What goes together is decided before the work begins: by the order of names, not by who is ready first.
    """

    def __init__(self, index: Index, form: str, seconds: float):
        self._index, self._form, self._seconds = index, form, seconds
        self._shard: dict[str, str] = {}  # file -> shard
        self._missing: dict[str, int] = {}  # shard -> files of which nothing is known yet
        self._waiting: dict[str, list[Record]] = {}

    def units(self, sources: Sequence[Source]) -> list[Unit]:
        """The work of one shard after the other."""
        taken = {record["output"] for record in self._index}
        names = (f"shard-{n:06}.{SUFFIXES[self._form]}" for n in itertools.count())
        free = (name for name in names if name not in taken)
        units: list[Unit] = []
        unit = unit_for(sources)
        for together in _groups(sources, self._seconds):
            shard = next(free)
            self._shard |= dict.fromkeys((source.name for source in together), shard)
            self._missing[shard], self._waiting[shard] = len(together), []
            units += cut(together, {}, unit)
        return units

    def keep(self, results: Sequence[Record | Failure]) -> list[Record]:
        """Write the shard that these complete."""
        records: list[Record] = []
        for result in results:
            shard = self._shard[result["file"] if isinstance(result, dict) else result.name]
            self._missing[shard] -= 1
            if isinstance(result, dict):
                self._waiting[shard].append(result)
            if self._missing[shard] == 0 and (whole := self._waiting.pop(shard)):
                records += self._write(shard, sorted(whole, key=lambda record: record["file"]))
        return records

    def _write(self, shard: str, records: list[Record]) -> list[Record]:
        path = self._index.out / shard
        with write_atomically(path, overwrite=True) as temporary:
            WRITERS[self._form](temporary, records, self._index.settings)
        about = {"output": shard, "bytes": path.stat().st_size, "output_sha256": sha256(path)}
        return [record | about for record in records]


def there(out: Path) -> list[Path]:
    """The shards that lie in a folder."""
    return sorted(path for suffix in SUFFIXES.values() for path in out.glob(f"shard-*.{suffix}"))


def broken(index: Index, todo: Sequence[Source], sources: Sequence[Source]) -> list[Source]:
    """The files to do if those of `todo` are: with each of a shard all others that are still there.

    The shard and the records of its files are removed.
    """
    names = {source.name for source in todo}
    shards = {index[name]["output"] for name in names if name in index}
    members = [record["file"] for record in index if record["output"] in shards]
    if members:
        index.forget(members)
        for shard in shards:
            (index.out / shard).unlink(missing_ok=True)
    return [source for source in sources if source.name in names.union(members)]


def write_npy(path: Path, codes: np.ndarray) -> None:
    """Codes (frames,levels) int16, atomically."""
    with write_atomically(path, overwrite=True) as temporary, open(temporary, "wb") as file:
        file.write(_npy(codes))


def read_codes(data: bytes, source: str) -> np.ndarray:
    """The bytes of a .npy file -> codes (frames,levels) int16. InputError: they are anything else."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"version {version}")
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=HEADER_LIMIT)
    except ValueError as error:
        raise InputError(f"{source}: is no .npy file ({' '.join(str(error).split())[:100]})") from None
    start = file.tell()
    if dtype != np.dtype("<i2") or len(shape) != 2 or by_columns or min(shape) < 0:
        raise InputError(f"{source}: holds no codes (frames,levels) of int16")
    if shape[0] * shape[1] * 2 != len(data) - start:
        raise InputError(f"{source}: is damaged: it claims {shape[0]} frames of {shape[1]} codes")
    return np.frombuffer(data, "<i2", offset=start).reshape(shape)


def read_tar(data: bytes, source: str) -> Iterator[tuple[str, np.ndarray]]:
    """The bytes of a shard -> (file, codes) of each in it. InputError: it is damaged."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            members = [(member.name, _content(tar, member)) for member in tar]
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise InputError(f"{source}: is damaged ({error})") from None
    for (name, array), (other, text) in zip(members[::2], members[1::2], strict=False):
        if name.removesuffix(".npy") != other.removesuffix(".json"):
            raise InputError(f"{source}: is damaged: {name} and {other} stand together")
        try:
            facts = json.loads(text)
        except (ValueError, RecursionError):
            facts = None
        if not isinstance(facts, dict) or not isinstance(facts.get("file"), str):
            raise InputError(f"{source}: is damaged: {other} tells of no file")
        yield facts["file"], read_codes(array, f"{source}: {name}")


def read_parquet(data: bytes, source: str) -> Iterator[tuple[str, np.ndarray]]:
    """As `read_tar`, of a Parquet file."""
    pa, pq = _pyarrow()
    try:
        table = pq.read_table(pa.BufferReader(data), use_threads=False)
        files, codes = table["file"].to_pylist(), table["codes"].combine_chunks()
        for i, file in enumerate(files):
            frames = codes[i].values
            array = frames.flatten().to_numpy(zero_copy_only=False)
            if array.dtype != np.int16 or len(frames) == 0 or len(array) % len(frames) or array.size == 0:
                raise InputError(f"{source}: holds no codes of {file}")
            yield file, array.reshape(len(frames), -1)
    except (pa.ArrowException, OSError, KeyError, AttributeError) as error:
        raise InputError(f"{source}: is damaged ({' '.join(str(error).split())[:100]})") from None


def check_installed(form: str) -> None:
    """InputError: what the format needs is not there."""
    if form == "parquet":
        _pyarrow()


def _write_tar(path: Path, records: Sequence[Record], settings: Record) -> None:
    number = int(path.stem.removeprefix("shard-"))
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for place, record in enumerate(records):
            facts = {key: record[key] for key in FACTS if key in record} | settings
            for suffix, data in (("npy", _npy(record["codes"])), ("json", json.dumps(facts).encode())):
                member = tarfile.TarInfo(f"{number:06}{place:05}.{suffix}")  # no dots but one, as webdataset has it
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def _write_parquet(path: Path, records: Sequence[Record], settings: Record) -> None:
    pa, pq = _pyarrow()
    levels = records[0]["codes"].shape[1]
    numbers = pa.array(np.concatenate([record["codes"].ravel() for record in records]))
    offsets = np.cumsum([0, *(len(record["codes"]) for record in records)], dtype=np.int32)
    columns = {
        "file": pa.array([as_utf8(record["file"]) for record in records]),
        "seconds": pa.array([record["seconds"] for record in records], pa.float64()),
        "samples": pa.array([record["samples"] for record in records], pa.int64()),
        "codes": pa.ListArray.from_arrays(pa.array(offsets), pa.FixedSizeListArray.from_arrays(numbers, levels)),
        "scales": pa.array([record.get("scales") for record in records], pa.list_(pa.float32())),
    }
    table = pa.table(columns).replace_schema_metadata({"minicodec": json.dumps(settings)})
    pq.write_table(table, path, compression="zstd")


def _npy(codes: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(codes, "<i2"), version=(1, 0), allow_pickle=False)
    return file.getvalue()


def _groups(sources: Sequence[Source], seconds: float) -> Iterator[list[Source]]:
    group: list[Source] = []
    guess = 0.0
    for source in sources:
        group.append(source)
        guess += source.guess
        if guess >= seconds:
            yield group
            group, guess = [], 0.0
    if group:
        yield group


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise ValueError(f"{member.name} is no file")
    data = file.read()
    if len(data) != member.size:
        raise ValueError(f"{member.name} is cut off")
    return data


def as_utf8(name: str) -> str:
    """A file's name can be what no encoding has."""
    return name.encode("utf-8", "backslashreplace").decode()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError("parquet: needs pyarrow: pip install 'minicodec[cluster]'") from None
    return pyarrow, pyarrow.parquet


SUFFIXES = {"webdataset": "tar", "parquet": "parquet"}
WRITERS: dict[str, Callable[[Path, Sequence[Record], Record], None]] = {
    "webdataset": _write_tar,
    "parquet": _write_parquet,
}
READERS = {"webdataset": read_tar, "parquet": read_parquet}
