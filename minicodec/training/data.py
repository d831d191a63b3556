"""Training data: random crops from a folder of audio files.

batch(step, size) is a pure function of the folder, the seed and the step: a training that resumes at step 1000
draws what it would have drawn without the interruption, and there is no state to save. That holds for damage, too: a
place that cannot be read is a property of its file, so it is drawn anew whenever chance leads there.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minicodec import audio
from minicodec.errors import InputError
from minicodec.training.audio_files import AudioFile, Lot, find, name_hash, split

SILENCE = 1e-3  # RMS, -60 dBFS: below, a crop teaches nothing
REDRAWS = 10  # a folder of silence must still give batches
LOUDEST = 10.0  # full scale is 1: what goes far beyond it are integers, or no audio
MARGIN = 0.02  # seconds decoded on both sides of a crop, so that it holds no edge of the resampling filter
PLACES = 16  # places of a validation file at which its level is measured
LOOKED_AT = 16  # crops at the start of a training


class AudioFolder:
    """All audio files below `folder`, as crops of `seconds` at `sample_rate` Hz with `channels` channels (1 or 2).

    About a share `valid_share` of the files is for validation (`valid`), the rest for training (`train`). A hash of
    its name puts a file on its side, so files that are added later move none of the others; only where a side would
    be empty does the nearest file change over. A single file serves for both, and a notice says so.

    What cannot be read is left out, a whole file or the damaged places of one; each such file gets one line, passed to
    `report` and kept in `notices`. InputError: no such folder, or no readable audio in it.
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
        self._damaged: set[str] = set()
        if self.length < 1 or not 0 <= valid_share < 1:
            raise InputError(f"{folder}: crops of {seconds} s and a share of {valid_share} for validation do not work")
        files = find(self.folder, self._notice)
        self.train, self.valid = split(files, valid_share)
        self.lot = Lot(self.train)
        if len(files) == 1:
            self._notice(f"{files[0].path}: the only file, so it serves for training and for validation")

    def batch(self, step: int, size: int) -> np.ndarray:
        """(size,T,C) float32: random crops of training files, T = seconds·sample_rate, the same for the same step.

        A file is drawn with a probability proportional to its duration and the place uniformly; files shorter than
        a crop are followed by zeros. Crops that cannot be read or lie below -60 dBFS are drawn anew, ten times at
        most. InputError: not one of these could be read.
        """
        rng = np.random.default_rng([self.seed, step])
        return np.stack([self.draw(rng, self.lot)[1] for _ in range(size)])

    def draw(self, rng: np.random.Generator, lot: Lot) -> tuple[AudioFile, np.ndarray]:
        """A random crop (T,C) of one of these files, and the file; see `batch`."""
        silent = problem = None
        for _ in range(1 + REDRAWS):
            file = lot.draw(rng)
            last = file.frames - int(self.length * file.sample_rate / self.sample_rate)
            place = int(rng.integers(max(0, last) + 1))
            try:
                crop = self._crop(file, place, self.length)
            except InputError as error:
                problem = error
                self.notice_damage(file, error)
                continue
            if rms(crop) > SILENCE:
                return file, crop
            silent = file, crop
        if silent is None:
            raise InputError(f"none of {1 + REDRAWS} crops drawn could be read, at last: {problem}")
        return silent

    def valid_clips(self, count: int, seconds: float) -> list[tuple[str, np.ndarray]]:
        """[(name, (T,C) float32), ...]: the loudest of some excerpts of each of `count` validation files, or fewer.

        Always the same ones; files long enough for `seconds` come first. InputError: none of them can be read.
        """
        length = round(seconds * self.sample_rate)
        clips: list[tuple[str, np.ndarray]] = []
        for file in sorted(self.valid, key=lambda file: (file.seconds < seconds, name_hash(file.name))):
            last = max(0, file.frames - int(seconds * file.sample_rate))
            excerpts = []
            for place in np.linspace(0, last, PLACES if last else 1, dtype=int):
                try:
                    excerpts.append(self._crop(file, int(place), length))
                except InputError as error:
                    self.notice_damage(file, error)
            if excerpts and len(clips) < count:
                clips.append((file.name, max(excerpts, key=rms)))
            if len(clips) == count:
                break
        if not clips:
            raise InputError(f"{self.folder}: none of the {len(self.valid)} files for validation can be read")
        return clips

    def look(self) -> None:
        """Notice what makes a training vain before it begins: files of silence, or shorter than the crops."""
        silent = sum(rms(crop) <= SILENCE for crop in self.batch(0, LOOKED_AT))
        if 2 * silent > LOOKED_AT:
            self._notice(f"{silent} of {LOOKED_AT} crops drawn at random are silent (below -60 dBFS) and teach nothing")
        seconds = self.length / self.sample_rate
        zeros = 1 - float(self.lot.shares @ [min(1, file.seconds / seconds) for file in self.lot.files])
        if zeros > 0.5:
            self._notice(f"the files are so short that crops of {seconds:g} s are {zeros:.0%} zeros; try fewer seconds")

    def listing(self) -> str:
        """What the batches are made of: names, lengths and rates of the training files."""
        return repr([(file.name, file.frames, file.sample_rate) for file in self.train])

    def notice_damage(self, file: AudioFile, error: InputError) -> None:
        """Say, once, that a file has places that are left out."""
        if file.name not in self._damaged:
            self._damaged.add(file.name)
            self._notice(f"left out where it cannot be read: {error}")

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
        if (peak := float(np.abs(wav).max())) > LOUDEST:
            raise InputError(f"{file.path}: there are samples of {peak:.3g}, where full scale is 1")
        wav = audio.resample(audio.remix(wav, self.channels), rate, self.sample_rate)
        skip = round(left * self.sample_rate / rate)
        crop = np.zeros((length, self.channels), np.float32)
        part = wav[:, skip : skip + length]
        crop[: part.shape[1]] = part.T
        return crop

    def _notice(self, line: str) -> None:
        self.notices.append(line)
        if self._report is not None:
            self._report(line)


def rms(crop: np.ndarray) -> float:
    """The level of a crop, 1 at full scale."""
    return float(np.sqrt(np.mean(np.square(crop, dtype=np.float64))))
