"""More sounds than the files hold: pauses, mixing of sources, gain, reverb [Defossez22, §4.1].

A training example is one source (probability 0.64), a mix of two (0.24), or of three that are not music (0.12). Each
source is brought to one level by its file's RMS, sometimes put into a room, and played at a random gain. Examples that
clip are rejected and drawn anew.

As in `data`, batch(step, size) is a pure function of folder, seed and step.
"""

from typing import Protocol

import numpy as np

from minicodec import audio
from minicodec.errors import InputError
from minicodec.fourier import convolve
from minicodec.training.audio_files import AudioFile, Lot
from minicodec.training.config import AugmentationConfig
from minicodec.training.data import SILENCE, AudioFolder, rms

AUGMENTATION, PAUSES = 3, 8  # streams of random numbers, beside the trainer's
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 0.6  # of a crop
LEVEL = 10 ** (-24 / 20)  # RMS that a file is brought to. The paper gives none; speech then peaks near -6 dBFS
REDRAWS = 10  # clipping examples; then the last one is scaled down


class Batches(Protocol):
    """What a training is fed with."""

    def batch(self, step: int, size: int) -> np.ndarray:
        """(size,T,C) float32 in [-1,1], the same for the same step."""


class Pauses:
    """Batches in which each crop falls silent for a while, with a probability of `share`: zeros from one sample on.

    Recordings hold no digital silence, and `AudioFolder` none of the crops below -60 dBFS. A codec that never met it
    answers it with noise. A crop that would be left below -60 dBFS stays as it is.
    """

    def __init__(self, batches: Batches, share: float, seed: int):
        self.batches, self.share, self.seed = batches, share, seed

    def batch(self, step: int, size: int) -> np.ndarray:
        """(size,T,C) float32 in [-1,1]. InputError as in `AudioFolder.batch`."""
        rng = np.random.default_rng([self.seed, step, PAUSES])
        batch = self.batches.batch(step, size)
        for crop in batch:
            if rng.random() < self.share:
                length = int(rng.uniform(SHORTEST_PAUSE, LONGEST_PAUSE) * len(crop))
                start = int(rng.integers(len(crop) - length + 1))
                rest = np.concatenate([crop[:start], crop[start + length :]])
                if rms(rest) > SILENCE:
                    crop[start : start + length] = 0
        return batch


class AugmentedFolder:
    """Augmented crops of the training files of an AudioFolder.

    Music is what lies in a folder whose name contains "music". Where all is music, three sources are of all files.
    """

    def __init__(self, folder: AudioFolder, config: AugmentationConfig):
        self.folder, self.config = folder, config
        others = [file for file in folder.train if not is_music(file)]
        self._others = Lot(others) if others else folder.lot
        self._levels: dict[str, float] = {}

    def batch(self, step: int, size: int) -> np.ndarray:
        """(size,T,C) float32 in [-1,1]. InputError as in `AudioFolder.batch`."""
        rng = np.random.default_rng([self.folder.seed, step, AUGMENTATION])
        return np.stack([self._example(rng) for _ in range(size)])

    def _example(self, rng: np.random.Generator) -> np.ndarray:
        two, three = self.config.two, self.config.three
        for _ in range(1 + REDRAWS):
            count = rng.choice([1, 2, 3], p=[1 - two - three, two, three])
            lot = self._others if count == 3 else self.folder.lot
            mix = np.sum([self._source(rng, lot, alone=count == 1) for _ in range(count)], axis=0)
            peak = np.abs(mix).max()
            if peak <= 1:
                return mix
        return mix / peak

    def _source(self, rng: np.random.Generator, lot: Lot, *, alone: bool) -> np.ndarray:
        """One source (T,C) at its level, perhaps in a room, at a random gain."""
        file, crop = self.folder.draw(rng, lot)
        crop = crop * np.float32(LEVEL / self._level(file))
        if not (alone and is_music(file)) and rng.random() < self.config.reverb:
            shortest, longest = self.config.rt60
            crop = reverberate(crop, room(rng.uniform(shortest, longest), self.folder.sample_rate, rng))
        lowest, highest = self.config.gain
        return crop * np.float32(10 ** (rng.uniform(lowest, highest) / 20))

    def _level(self, file: AudioFile) -> float:
        """RMS of the file, as far as it can be read, measured when it is first drawn.

        It is a property of the file: no state to save.
        """
        if file.name not in self._levels:
            energy, samples = 0.0, 0
            try:
                for block in audio.blocks(file.path, 1 << 16):
                    energy += float(np.square(block, dtype=np.float64).sum())
                    samples += block.size
            except InputError as error:
                self.folder.notice_damage(file, error)
            self._levels[file.name] = max(float(np.sqrt(energy / max(samples, 1))), SILENCE)
        return self._levels[file.name]


def is_music(file: AudioFile) -> bool:
    """Does the file lie in a folder for music?"""
    return any("music" in part.lower() for part in file.name.split("/")[:-1])


def room(rt60: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """An impulse response (n,): the direct sound, a short silence, then noise that decays by 60 dB in rt60 seconds.

    Its energy is 1, so that reverb does not change how loud noise is; the direct sound has 0 to 10 dB more energy
    than the reverb.
    """
    t = np.arange(round(rt60 * sample_rate)) / sample_rate
    tail = rng.normal(size=len(t)) * 10 ** (-3 * t / rt60)
    tail[t < rng.uniform(0.005, 0.03)] = 0
    tail /= np.linalg.norm(tail)
    tail *= 10 ** (-rng.uniform(0, 10) / 20)
    tail[0] = 1
    return tail / np.linalg.norm(tail)


def reverberate(x: np.ndarray, response: np.ndarray) -> np.ndarray:
    """x (T,C) as heard in a room with this impulse response (n,): (T,C), the end of the reverb cut off."""
    return convolve(x, response[:, None].astype(x.dtype), axis=0)[: len(x)]
