"""Training data: random crops from a folder of audio files, and the thread that prepares them in advance.

batch(step, size) is a pure function of the folder, the seed and the step: a training that resumes at step 1000
draws what it would have drawn without the interruption, and there is no state to save.
"""

import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from minicodec import audio
from minicodec.errors import InputError

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"})
SILENCE = 1e-3  # RMS, -60 dBFS: below, a crop teaches nothing
REDRAWS = 10  # a folder of silence must still give batches
MARGIN = 0.02  # seconds decoded on both sides of a crop, so that it holds no edge of the resampling filter
PLACES = 16  # places of a validation file at which its level is measured


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


class AudioFolder:
    """All audio files below `folder`, as crops of `seconds` at `sample_rate` Hz with `channels` channels (1 or 2).

    About a share `valid_share` of the files is for validation (`valid`), the rest for training (`train`). A hash of
    its name puts a file on its side, so files that are added later move none of the others; only where a side would
    be empty does the nearest file change over. A single file serves for both, and `notices` says so.

    Files that cannot be read are left out; each gets one line in `notices`, also passed to `report`. Names that begin
    with a dot are ignored. InputError: no such folder, or no readable audio in it.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        sample_rate: int,
        channels: int,
        seconds: float = 1.0,
        valid_share: float = 0.1,
        seed: int = 0,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.folder, self.sample_rate, self.channels, self.seed = Path(folder), sample_rate, channels, seed
        self.length = round(seconds * sample_rate)
        self.notices: list[str] = []
        self._report = report
        if self.length < 1 or not 0 <= valid_share < 1:
            raise InputError(f"{folder}: crops of {seconds} s and a share of {valid_share} for validation do not work")
        files = self._scan()
        if not files:
            raise InputError(f"{folder}: no readable audio files ({' '.join(sorted(SUFFIXES))}) in this folder")
        self.train, self.valid = _split(files, valid_share)
        if len(files) == 1:
            self._notice(f"{files[0].path}: the only file, so it serves for training and for validation")

    def batch(self, step: int, size: int) -> np.ndarray:
        """(size,T,C) float32: random crops of training files, T = seconds·sample_rate, the same for the same step.

        A file is drawn with a probability proportional to its duration and the place uniformly; files shorter than
        a crop are followed by zeros. Crops below -60 dBFS are drawn anew, ten times at most. InputError names a file
        that has become unreadable.
        """
        rng = np.random.default_rng([self.seed, step])
        return np.stack([self.draw(rng, self.train)[1] for _ in range(size)])

    def draw(self, rng: np.random.Generator, files: Sequence[AudioFile]) -> tuple[AudioFile, np.ndarray]:
        """A random crop (T,C) of one of these files, and the file; see `batch`."""
        durations = np.array([file.seconds for file in files])
        for _ in range(1 + REDRAWS):
            file = files[rng.choice(len(files), p=durations / durations.sum())]
            last = file.frames - int(self.length * file.sample_rate / self.sample_rate)
            crop = self._crop(file, int(rng.integers(max(0, last) + 1)), self.length)
            if _rms(crop) > SILENCE:
                break
        return file, crop

    def valid_clips(self, count: int, seconds: float) -> list[tuple[str, np.ndarray]]:
        """[(name, (T,C) float32), ...]: the loudest of some excerpts of each of `count` validation files, or fewer.

        Always the same ones; files long enough for `seconds` come first. InputError: see `batch`.
        """
        length = round(seconds * self.sample_rate)
        order = sorted(self.valid, key=lambda file: (file.seconds < seconds, _hash(file.name)))
        clips = []
        for file in order[:count]:
            last = max(0, file.frames - int(seconds * file.sample_rate))
            places = np.linspace(0, last, PLACES if last else 1, dtype=int)
            excerpts = [self._crop(file, int(place), length) for place in places]
            clips.append((file.name, max(excerpts, key=_rms)))
        return clips

    def _crop(self, file: AudioFile, start: int, length: int) -> np.ndarray:
        """(length,C) from sample `start` of the file on, in its own rate; zeros where the file has ended."""
        margin = int(MARGIN * file.sample_rate)
        left = min(margin, start)
        frames = left + int(np.ceil(length * file.sample_rate / self.sample_rate)) + margin
        # Not exact: any place near `start` is as random, and seeking in Ogg costs 5 ms where exactness costs 100.
        # A fresh handle each time: what a decoder read before must not show in what it reads now.
        wav, rate = audio.read(file.path, start=start - left, frames=frames, exact=False)
        if rate != file.sample_rate:
            raise InputError(f"{file.path}: the file has changed since the start of the training")
        wav = audio.resample(audio.remix(wav, self.channels), rate, self.sample_rate)
        skip = round(left * self.sample_rate / rate)
        crop = np.zeros((length, self.channels), np.float32)
        part = wav[:, skip : skip + length]
        crop[: part.shape[1]] = part.T
        return crop

    def _scan(self) -> list[AudioFile]:
        """All readable files, in an order on which machines agree."""
        if not self.folder.is_dir():
            raise InputError(f"{self.folder}: there is no such folder")
        paths = [Path(root, name) for root, _, names in os.walk(self.folder) for name in names]
        named = [(path.relative_to(self.folder), path) for path in paths if path.suffix.lower() in SUFFIXES]
        files = []
        for relative, path in sorted(named, key=lambda pair: pair[0].as_posix()):
            if any(part.startswith(".") for part in relative.parts):
                continue
            try:
                frames, rate = _measure(path)
            except InputError as error:
                self._notice(f"left out: {error}")
            else:
                files.append(AudioFile(relative.as_posix(), path, rate, frames))
        return files

    def _notice(self, line: str) -> None:
        self.notices.append(line)
        if self._report is not None:
            self._report(line)


class Prefetcher:
    """Iterate over make(first), make(first + 1), ... without end, computed ahead in a thread.

    with Prefetcher(lambda step: folder.batch(step, 8), first_step) as batches:
        for batch in batches:
            ...

    At most `ahead` results wait. The thread ends with the `with` block, however that is left; an exception in it is
    raised by the iteration at its turn.
    """

    def __init__(self, make: Callable[[int], np.ndarray], first: int, *, ahead: int = 4) -> None:
        self._make, self._next = make, first
        self._ready: queue.Queue[np.ndarray | BaseException] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="prefetch", daemon=True)

    def __enter__(self) -> "Prefetcher":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        while not self._ready.empty():  # a thread that waits for room must wake up to see the sign
            self._ready.get()
        self._thread.join()

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            item = self._ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                item: np.ndarray | BaseException = self._make(self._next)
            except BaseException as error:  # the consumer has to see it: nobody looks at this thread
                item = error
            self._next += 1
            self._ready.put(item)
            if isinstance(item, BaseException):
                return


def _measure(path: Path) -> tuple[int, int]:
    """How many frames can really be read, and the rate: a header may promise more, and a cut file ends early."""
    about = audio.info(path)
    try:
        audio.read(path, start=max(0, about.frames - 1), exact=False)
    except InputError:
        # Decode everything: either the count comes out, or the InputError says where the damage is.
        return sum(block.shape[1] for block in audio.blocks(path, 1 << 16)), about.sample_rate
    return about.frames, about.sample_rate


def _split(files: list[AudioFile], share: float) -> tuple[list[AudioFile], list[AudioFile]]:
    if len(files) == 1:
        return files, files
    ranks = {file.name: _hash(file.name) for file in files}
    ordered = sorted(ranks.values())
    bound = min(max(share, ordered[0]), ordered[-2])  # so that neither side is empty
    return [f for f in files if ranks[f.name] > bound], [f for f in files if ranks[f.name] <= bound]


def _hash(name: str) -> float:
    """A number in [0,1) that depends on nothing but the name (Python's own hash() changes with every start)."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:6], "big") / 2**48


def _rms(crop: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(crop, dtype=np.float64))))
