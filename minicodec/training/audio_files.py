"""The audio files below a folder: which there are, which can be read, and which are kept for validation."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minicodec import audio
from minicodec.errors import InputError

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"})
RUN = "run.json"  # a folder with this file is a training run's: its samples are what a model has made of the data


@dataclass(frozen=True)
class AudioFile:
    """A readable file: its name is the path relative to the folder, with slashes on every system."""

    name: str
    path: Path
    sample_rate: int
    frames: int

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self.frames / self.sample_rate


class Lot:
    """Files to draw from at random, each with a probability proportional to its duration."""

    def __init__(self, files: Sequence[AudioFile]):
        self.files = list(files)
        durations = np.array([file.seconds for file in files])
        self.shares = durations / durations.sum()
        self._upper = self.shares.cumsum()  # as in rng.choice(files, p=shares), which would add them up for each draw
        self._upper /= self._upper[-1]

    def draw(self, rng: np.random.Generator) -> AudioFile:
        """One of the files."""
        return self.files[int(self._upper.searchsorted(rng.random(), side="right"))]


def find(folder: Path, notice: Callable[[str], None]) -> list[AudioFile]:
    """All readable files, in an order on which machines agree; `notice` is told what is left out. Links are followed.

    Names that begin with a dot are ignored, and so are folders of training runs. InputError: there is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    files = []
    for relative in sorted(_walk(folder, notice), key=Path.as_posix):
        try:
            frames, rate = _measure(folder / relative)
        except InputError as error:
            notice(f"left out: {error}")
        else:
            files.append(AudioFile(relative.as_posix(), folder / relative, rate, frames))
    if not files:
        raise InputError(f"{folder}: no readable audio files ({' '.join(sorted(SUFFIXES))}) in this folder")
    return files


def split(files: list[AudioFile], share: float) -> tuple[list[AudioFile], list[AudioFile]]:
    """(training, validation): a hash of its name puts a file on its side; see `AudioFolder`."""
    if len(files) == 1:
        return files, files
    ranks = {file.name: name_hash(file.name) for file in files}
    ordered = sorted(ranks.values())
    bound = min(max(share, ordered[0]), ordered[-2])  # so that neither side is empty
    return [f for f in files if ranks[f.name] > bound], [f for f in files if ranks[f.name] <= bound]


def name_hash(name: str) -> float:
    """A number in [0,1) that depends on nothing but the name (Python's own hash() changes with every start)."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:6], "big") / 2**48


def _walk(folder: Path, notice: Callable[[str], None]) -> Iterator[Path]:
    """The paths, relative to the folder, of all files with an audio file's suffix."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(root)
        if RUN in names:
            notice(f"left out: {root}: the folder of a training run")
        if RUN in names or (status.st_dev, status.st_ino) in seen:  # a link may lead back to where it stands
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(root, name).relative_to(folder)


def _measure(path: Path) -> tuple[int, int]:
    """How many frames can really be read, and the rate: a header may promise more, and a cut file ends early."""
    about = audio.info(path)
    try:
        audio.read(path, start=max(0, about.frames - 1), exact=False)
    except InputError:
        # Decode everything: either the count comes out, or the InputError says where the damage is.
        return sum(block.shape[1] for block in audio.blocks(path, 1 << 16)), about.sample_rate
    return about.frames, about.sample_rate
