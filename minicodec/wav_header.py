"""The header of a WAV file: how much sound it promises, and where it says so.

Programs that write into a pipe do not know the length when they write the header. Some say "as much as fits into the
field", which libsndfile understands; some say 0, and libsndfile finds no sample.
"""

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

CHUNKS = 1000  # that are looked through for the sound; real files have fewer than ten
LONGEST_CHUNK = 1 << 24  # bytes of a chunk that stands before the sound in a stream; a picture, at most
PCM, EXTENSIBLE = 1, 0xFFFE  # kinds of samples; the second has the kind later on
UNKNOWN = 0x7FFF0000  # bytes; sizes from here on stand for "unknown" if the file is shorter


@dataclass(frozen=True)
class WavHeader:
    """Bytes that the chunk of sound promises and that follow it, the place of that promise, and bytes per frame."""

    promised: int
    present: int
    place: int
    frame_bytes: int

    @property
    def missing_frames(self) -> int:
        """How many frames are cut off at the end."""
        if self.promised >= UNKNOWN or self.promised <= self.present:
            return 0
        return self.promised // self.frame_bytes - self.present // self.frame_bytes

    @property
    def silent_about(self) -> int:
        """How many frames stand behind a header that says that there are none."""
        return 0 if self.promised else self.present // self.frame_bytes


def read(path: str | os.PathLike[str]) -> WavHeader | None:
    """The header of a file that can be read. None: it is no WAV file, or one without a chunk of sound."""
    with open(path, "rb") as file:
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            return None
        frame_bytes = 0
        for _ in range(CHUNKS):
            place = file.tell() + 4
            head = file.read(8)
            if len(head) < 8:
                return None
            (size,) = struct.unpack("<I", head[4:])
            if head[:4] == b"fmt ":
                fmt = file.read(min(size, 14))
                frame_bytes = struct.unpack("<H", fmt[12:14])[0] if len(fmt) == 14 else 0
                file.seek(size + size % 2 - len(fmt), os.SEEK_CUR)
            elif head[:4] == b"data":
                end = os.fstat(file.fileno()).st_size
                present = end - file.tell()
                if size == 0 and _chunks_until(file, end):
                    present = 0
                return WavHeader(size, present, place, frame_bytes) if frame_bytes else None
            else:
                file.seek(size + size % 2, os.SEEK_CUR)
    return None


def _chunks_until(file: BinaryIO, end: int) -> bool:
    """Is what follows nothing but chunks, the last of which ends where the file does? Then it is no sound."""
    for _ in range(CHUNKS):
        head = file.read(8)
        if len(head) < 8 or not (head[:4].isascii() and head[:4].decode().isprintable()):
            return False
        (size,) = struct.unpack("<I", head[4:])
        place = file.seek(size + size % 2, os.SEEK_CUR)
        if place >= end:
            return place <= end + size % 2  # the byte that makes it even may be missing
    return False


@dataclass(frozen=True)
class Format:
    """What the samples are: 1 is PCM; bits of each; channels; Hz; and the bytes that are promised."""

    kind: int
    bits: int
    channels: int
    sample_rate: int
    promised: int


def read_stream(source: BinaryIO) -> Format:
    """The header of a WAV file that arrives, from which "RIFF" was read: what comes next is sound. ValueError."""
    if source.read(8)[4:] != b"WAVE":
        raise ValueError("it does not go on as one")
    fmt = b""
    for _ in range(CHUNKS):
        head = source.read(8)
        if len(head) < 8:
            break
        (size,) = struct.unpack("<I", head[4:])
        if head[:4] == b"data":
            if len(fmt) < 16:
                raise ValueError("it does not say what its samples are")
            kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", fmt[:16])
            if kind == EXTENSIBLE and len(fmt) >= 26:
                (kind,) = struct.unpack("<H", fmt[24:26])
            return Format(kind, bits, channels, rate, size)
        if size > LONGEST_CHUNK:
            raise ValueError(f"it has {size} bytes before its sound")
        content = source.read(size + size % 2)
        fmt = content if head[:4] == b"fmt " else fmt
    raise ValueError("it has no sound")


class Repaired(io.RawIOBase):
    """A WAV file whose chunk of sound reaches to the file's end, whatever its header says. For soundfile."""

    def __init__(self, path: str | os.PathLike[str], header: WavHeader):
        self._file = io.FileIO(Path(path))
        self._place, self._size = header.place, struct.pack("<I", min(header.present, 0xFFFFFFFF))

    def readinto(self, buffer: Any) -> int:
        """Read; the four bytes of the size are ours."""
        start = self._file.tell()
        count: int = self._file.readinto(buffer) or 0
        view = memoryview(buffer).cast("B")
        for i, byte in enumerate(self._size, self._place - start):
            if 0 <= i < count:
                view[i] = byte
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return self._file.tell()

    def close(self) -> None:
        """As of any file."""
        self._file.close()
        super().close()
