"""An audio file on its way into a codec: converted block by block, and listened to for what its owner should know."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import minicodec
from minicodec import audio
from minicodec.cli.decoder_messages import collected
from minicodec.cli.text import count
from minicodec.codec.files.bitstream import SCALE_LIMIT
from minicodec.codec.streaming.stream import LOUDEST
from minicodec.errors import InputError

BLOCK_SECONDS = 8  # that are encoded at a time: about as much as a codec shares out among its threads
LOUD = 2.0  # peaks from here on are no rounding and no decoder's overshoot
CANCELLED = 0.02  # of the power that the mix of unrelated channels has
CONVERTIBLE = frozenset({".m4a", ".mp4", ".m4b", ".aac", ".webm", ".mkv", ".mka", ".mov", ".wma", ".amr"})


@dataclass
class Heard:
    """What was in the file: samples per channel, the highest peak, and the energy of its channels and of their mix."""

    frames: int = 0
    peak: float = 0.0
    channels: float = 0.0
    mix: float = 0.0


def info(path: Path, name: str) -> audio.AudioInfo:
    """What the header says. InputError; for formats that libsndfile does not know, with a way around it."""
    try:
        return audio.info(path)
    except InputError as error:
        if path.suffix.lower() not in CONVERTIBLE or "cannot be read as audio" not in str(error):
            raise
        pipe = f"ffmpeg -i {path.name} -f wav - | minicodec encode - {path.stem}.ecdc"
        raise InputError(f"{name}: {path.suffix.lower()[1:]} cannot be read; ffmpeg can: {pipe}") from None


def converted(path: Path, about: audio.AudioInfo, codec: "minicodec.Codec", heard: Heard) -> Iterator[np.ndarray]:
    """The file in blocks (codec.channels,n), of some seconds, at the codec's rate; `heard` is filled.

    InputError, besides those of `audio.blocks`: samples of a float file that are too large for audio.
    """
    remixed = _remixed(path, about, codec.channels, heard)
    blocks = _joined(remixed, BLOCK_SECONDS * about.sample_rate)
    for block in audio.resample_blocks(blocks, about.sample_rate, codec.sample_rate):
        _check_peak(path, float(np.abs(block).max(initial=0)), LOUDEST)
        yield block


def _remixed(path: Path, about: audio.AudioInfo, channels: int, heard: Heard) -> Iterator[np.ndarray]:
    for block in audio.blocks(path, max(1, audio.BLOCK_SAMPLES // about.channels)):
        peak = float(np.abs(block).max())
        _check_peak(path, peak, SCALE_LIMIT)  # before sums of them can overflow
        mixed = audio.remix(block, channels)
        heard.frames += block.shape[1]
        heard.peak = max(heard.peak, peak)
        heard.channels += float(np.vdot(block, block)) / len(block)
        heard.mix += float(np.vdot(mixed, mixed)) / len(mixed)
        yield mixed


def _check_peak(path: Path, peak: float, limit: float) -> None:
    if peak > limit:
        raise InputError(f"{path}: has samples up to {peak:g}, where audio lies within -1 … 1")


def _joined(blocks: Iterable[np.ndarray], frames: int) -> Iterator[np.ndarray]:
    """The same samples in blocks of at least so many, but for the last."""
    waiting: list[np.ndarray] = []
    for block in blocks:
        waiting.append(block)
        if sum(b.shape[1] for b in waiting) >= frames:
            yield np.concatenate(waiting, axis=1)
            waiting = []
    if waiting:
        yield np.concatenate(waiting, axis=1)


class Notices:
    """Lines on stderr about files that are encoded, each once; none if `quiet`."""

    def __init__(self, quiet: bool):
        self._quiet = quiet
        self._conversions: set[str] = set()
        self.collected: list[str] | None = None  # a list: lines are put there, for whoever speaks for this process

    def say(self, line: str) -> None:
        """One line."""
        if self.collected is not None or not self._quiet:
            self.warn(line)

    def warn(self, line: str) -> None:
        """One line about what went wrong, which also the quiet are told."""
        if self.collected is not None:
            self.collected.append(line)
        else:
            print(f"minicodec: {line}", file=sys.stderr)

    def conversion(self, name: str, about: audio.AudioInfo, codec: "minicodec.Codec") -> None:
        """How the file was converted; of several that are converted alike, the first is named."""
        ours, theirs = (codec.channels, codec.sample_rate), (about.channels, about.sample_rate)
        if ours == theirs:
            return
        start, end = (f"{count(channels, 'channel')} at {rate} Hz" for channels, rate in (theirs, ours))
        if f"{start} {end}" not in self._conversions:
            self._conversions.add(f"{start} {end}")
            self.say(f"{name}: {start} became {end}, as the model needs it")

    def oddities(self, name: str, about: audio.AudioInfo, heard: Heard, flaw: str | None, messages: list[str]) -> None:
        """What is odd about the file: its `audio.flaw`, else what its decoder prints; and its sound."""
        if flaw:
            self.say(f"{name}: {flaw}")
        elif messages:
            more = f" (and {count(len(messages) - 1, 'line')} more)" if messages[1:] else ""
            self.say(f"{name}: is damaged, says its decoder: {messages[0]}{more}")
        if heard.peak > LOUD:
            self.say(f"{name}: has peaks of {heard.peak:.3g}: models expect audio within -1 … 1, so make it quieter")
        if heard.mix < CANCELLED * heard.channels / about.channels:
            self.say(f"{name}: its channels cancel each other: little is left when they are mixed")


def messages_of(path: Path) -> AbstractContextManager[list[str]]:
    """Collects what the decoder of this file prints: libmpg123 does, for MP3."""
    try:
        with open(path, "rb") as file:
            start = file.read(3)
    except OSError:  # whoever reads it will say so
        start = b""
    mpeg = start == b"ID3" or (len(start) == 3 and start[0] == 0xFF and start[1] & 0xE0 == 0xE0)
    return collected() if mpeg else nullcontext([])
