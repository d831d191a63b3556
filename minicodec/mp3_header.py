"""MP3 files that do not say how long they are, in a way that libsndfile understands.

Where the bitrate varies, encoders write a first frame that holds no sound but the number of frames, marked "Xing".
Without it libsndfile takes the bitrate of the first frame for that of all, and stops where the sound would then end:
it cuts away more than half of some files without a word. Tags with pictures mislead it the other way. So the frames of
such a file are counted here, by their headers, and the first frame that is missing stands before them.
"""

import io
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

LAYER_3 = 1
MPEG_1, MPEG_2, MPEG_25 = 3, 2, 0  # as two bits of a frame's header say it
KBPS = {True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1, from index 1 on
        False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)}  # fmt: skip
RATES = {MPEG_1: (44_100, 48_000, 32_000), MPEG_2: (22_050, 24_000, 16_000), MPEG_25: (11_025, 12_000, 8000)}
TAG_INDEX = 9  # of the bitrate of the frame that is put first: large enough for what it holds
SAME = 0xFFFE0C00  # bits of a header that are the same in all frames: marker, version, layer, sample rate
NOT_FAR = 1 << 16  # bytes before the first frame; and the number of files that are remembered


@dataclass(frozen=True)
class Mp3Header:
    """Where the first frame is, the frame that should stand before it, and how many frames follow."""

    start: int
    tag: bytes
    frames: int


def read(path: str | os.PathLike[str]) -> Mp3Header | None:
    """The header of a file that can be read. None: it is no MP3 file, or has all that libsndfile needs."""
    status = os.stat(path)
    return _read(os.fspath(path), status.st_size, status.st_mtime_ns)


@lru_cache(NOT_FAR)  # a training opens its files again and again
def _read(path: str, size: int, _: int) -> Mp3Header | None:
    with open(path, "rb") as file:
        if size < 1 << 8 or (file.read(3) != b"ID3" and _frame(_word(file, 0)) is None):
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start = _first(data)
            if start is None:
                return None
            word = int.from_bytes(data[start : start + 4], "big")
            side = _side(word)
            if any(data[start + at : start + at + 4] in (b"Xing", b"Info") for at in (4 + side, 6 + side)):
                return None
            if data[start + 36 : start + 40] == b"VBRI":
                return None
            frames = sum(1 for _ in _frames(data, start, word))
    # The same header, without a checksum and with a bitrate of its own; then silence, and the number of frames.
    word = word & ~0x0000F200 | 0x00010000 | TAG_INDEX << 12
    length = _frame(word) or 0
    tag = struct.pack(">I", word) + bytes(side) + b"Xing" + struct.pack(">II", 1, frames)
    return Mp3Header(start, tag.ljust(length, b"\0"), frames)


def _first(data: mmap.mmap) -> int | None:
    """Where the first frame begins, behind a tag and what else may be there; None: nowhere."""
    at = 0
    while data[at : at + 3] == b"ID3" and len(data) > at + 10:  # a size of 28 bits, in four bytes
        flags, a, b, c, d = data[at + 5 : at + 10]
        at += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if flags & 0x10 else 0)
    return _next(data, at, min(len(data), at + NOT_FAR), None)


def _frames(data: mmap.mmap, at: int, word: int) -> Iterator[int]:
    """The places of all whole frames that are like the first one, whose header is `word`."""
    while True:
        here = int.from_bytes(data[at : at + 4], "big")
        length = _frame(here) if (here ^ word) & SAME == 0 else None
        if length is None:
            found = _next(data, at, len(data), word)
            if found is None:
                return
            at = found
        elif at + length > len(data):
            return
        else:
            yield at
            at += length


def _next(data: mmap.mmap, at: int, end: int, word: int | None) -> int | None:
    """The first place from `at` on where a frame stands and, right after it, another of the same kind."""
    while (at := data.find(b"\xff", at, end)) >= 0:
        here = int.from_bytes(data[at : at + 4], "big")
        length = _frame(here) if word is None or (here ^ word) & SAME == 0 else None
        if length is not None:
            after = int.from_bytes(data[at + length : at + length + 4], "big")
            if _frame(after) is not None and (here ^ after) & SAME == 0:
                return at
        at += 1
    return None


def _frame(word: int) -> int | None:
    """The length in bytes of the frame of layer III that has this header. None: it is no header of one."""
    version, layer, index, rate = word >> 19 & 3, word >> 17 & 3, word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version not in RATES or layer != LAYER_3 or index in (0, 15) or rate == 3:
        return None
    kbps = KBPS[version == MPEG_1][index - 1]
    return (144_000 if version == MPEG_1 else 72_000) * kbps // RATES[version][rate] + (word >> 9 & 1)


def _side(word: int) -> int:
    """Bytes between a frame's header and its sound."""
    mono = word >> 6 & 3 == 3
    return (17 if mono else 32) if word >> 19 & 3 == MPEG_1 else (9 if mono else 17)


def _word(file: Any, at: int) -> int:
    file.seek(at)
    return int.from_bytes(file.read(4), "big")


class Repaired(io.RawIOBase):
    """The file from its first frame on, after the frame that was missing. For soundfile."""

    def __init__(self, path: str | os.PathLike[str], header: Mp3Header):
        self._file, self._header, self._at = io.FileIO(Path(path)), header, 0
        self._size = len(header.tag) + os.fstat(self._file.fileno()).st_size - header.start

    def readinto(self, buffer: Any) -> int:
        """Read."""
        view, tag = memoryview(buffer).cast("B"), self._header.tag
        if self._at < len(tag):
            piece = tag[self._at : self._at + len(view)]
            view[: len(piece)] = piece
            count = len(piece)
        else:
            self._file.seek(self._header.start + self._at - len(tag))
            count = self._file.readinto(view) or 0
        self._at += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        """As of any file."""
        return self._at

    def close(self) -> None:
        """As of any file."""
        self._file.close()
        super().close()
