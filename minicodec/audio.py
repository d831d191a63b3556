"""Audio files and plain signal handling: read, write, resample, change the number of channels.

Waveforms are (C,T) float32, nominally in [-1,1]. libsndfile (through soundfile) knows the formats, libsoxr the
resampling. Every file that cannot be used raises InputError with one line that names it and the reason.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicodec import mp3_header, wav_header
from minicodec.errors import InputError
from minicodec.files import write_atomically

Name = str | os.PathLike[str]

WRITABLE = {".wav": "WAV", ".flac": "FLAC"}  # by suffix, libsndfile's name of the format
READABLE = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".w64", ".rf64", ".caf", ".au"}
WAV_BYTES = 0xFFFFFFFF - 1024  # of sound; the header of a WAV file counts the bytes of the file in 32 bits
BLOCK_SAMPLES = 1 << 18  # samples (frames x channels) decoded at a time: bounds memory whatever a header claims
RATES = (1000, 1_000_000)  # Hz; outside of these a header is damaged, and resampling could ask for any memory
VORBIS_BLOCK = 8192  # frames; the longest block of Vorbis, which is the most that a seek can spoil


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says.

    `frames` is the length in samples per channel. For MP3 and Ogg it can be an estimate: only reading the file
    tells how much is really there.
    """

    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str

    @property
    def seconds(self) -> float:
        """The length in seconds, as far as the header tells."""
        return self.frames / self.sample_rate


def info(path: Name) -> AudioInfo:
    """What the header says, without decoding. InputError: see `read`; damage behind the header goes unnoticed."""
    with _open(path) as file:
        return AudioInfo(file.samplerate, file.channels, file.frames, file.format, file.subtype)


def read(path: Name, *, start: int = 0, frames: int | None = None, exact: bool = True) -> tuple[np.ndarray, int]:
    """Read `frames` samples per channel (or all) from sample `start` on -> wav (C,T) float32, sample rate in Hz.

    The result is shorter where the file ends earlier. Float files may exceed ±1; they are left as they are.

    Seeking in Ogg is not exact in libsndfile (its issue 885: the place is off by up to some thousand samples, and
    the first block decoded is damaged), so an exact read decodes from the beginning. exact=False seeks also there:
    clean sound from within about a quarter of a second of `start`, always the same for the same arguments.

    InputError: missing, a folder, no audio, damaged or truncated, no samples at `start`, NaN or infinity in it.
    """
    wanted = None if frames is None else start + frames
    if start < 0 or (frames is not None and frames < 1):
        raise InputError(f"{path}: cannot read {frames} samples from sample {start} on")
    with _open(path) as file:
        first = start
        if file.format == "OGG":
            first = max(0, start - VORBIS_BLOCK) if not exact else 0
        if first:
            first = file.seek(min(first, file.frames))
        parts = list(_blocks_between(path, file, first, start, wanted))
        got = sum(len(part) for part in parts)
        promised = file.frames if wanted is None else min(wanted, file.frames)
        rate = file.samplerate
    if not exact and start and got < promised - start:  # the seek went too far, or the header promises too much
        return read(path, start=start, frames=frames)
    if not got:
        raise InputError(f"{path}: there are no samples " + (f"from sample {start} on" if start else "in it"))
    return np.ascontiguousarray(np.concatenate(parts).T), rate


def blocks(path: Name, frames_per_block: int) -> Iterator[np.ndarray]:
    """Yield the whole file as (C,n) float32, n = frames_per_block but for the last: constant memory.

    InputError as in `read`, when the iteration reaches the trouble.
    """
    if frames_per_block < 1:
        raise InputError(f"{path}: cannot read blocks of {frames_per_block} samples")
    with _open(path) as file:
        empty = True
        while len(block := _decode(path, file, frames_per_block)):
            empty = False
            yield np.ascontiguousarray(block.T)
    if empty:
        raise InputError(f"{path}: there are no samples in it")


def flaw(path: Name, frames: int) -> str | None:
    """What is wrong with a file of which `frames` samples per channel could be read; None: nothing that shows.

    WAV and MP3 files whose end is missing, and WAV files whose header says that they are empty, are read as far as
    there is sound: whoever reads them should know. InputError as of `info`.
    """
    about = info(path)
    header = wav_header.read(path) if about.format == "WAV" else None
    if header and header.silent_about:
        return f"its header says that it is empty; the {frames / about.sample_rate:.2f} s behind it are used"
    missing = header.missing_frames if header else about.frames - frames if about.format == "MP3" else 0
    if missing <= 0:
        return None
    seconds = (frames + missing) / about.sample_rate
    return f"{missing / about.sample_rate:.2f} of its {seconds:.2f} s are missing (cut off, or damaged)"


def resample(wav: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """wav (C,T) at rate_in Hz -> (C,To) float32 at rate_out Hz, To = T·rate_out/rate_in rounded (half upwards).

    Band-limited interpolation without delay (soxr, "VHQ"). soxr rounds the length its own way, so a sample may be
    cut or added (as a zero) at the end. With equal rates the input itself comes back. InputError: a rate outside
    of 1 kHz … 1 MHz, or a wav that is not (C,T).
    """
    import soxr

    _check_wav(wav)
    for rate in (rate_in, rate_out):
        _check_rate("resample", rate)
    if rate_in == rate_out:
        return wav
    length = (2 * wav.shape[1] * rate_out + rate_in) // (2 * rate_in)
    out = np.zeros((len(wav), length), np.float32)
    if length:
        frames = np.ascontiguousarray(wav.T, np.float32)
        resampled = soxr.resample(frames, rate_in, rate_out, quality="VHQ")[:length]
        out[:, : len(resampled)] = resampled.T
    return out


def resample_blocks(blocks: Iterable[np.ndarray], rate_in: int, rate_out: int) -> Iterator[np.ndarray]:
    """Blocks (C,n) of a waveform -> blocks of what `resample` makes of the whole, to the bit, in constant memory."""
    import soxr

    for rate in (rate_in, rate_out):
        _check_rate("resample", rate)
    if rate_in == rate_out:
        yield from blocks
        return
    stream = None
    taken = given = channels = 0
    for block in blocks:
        if stream is None:
            channels = len(block)
            stream = soxr.ResampleStream(rate_in, rate_out, channels, "float32", "VHQ")
        frames = stream.resample_chunk(np.ascontiguousarray(block.T, np.float32))
        taken, given = taken + block.shape[1], given + len(frames)
        yield frames.T
    if stream is not None:
        length = (2 * taken * rate_out + rate_in) // (2 * rate_in)
        rest = np.zeros((length - given, channels), np.float32)
        frames = stream.resample_chunk(rest[:0], last=True)[: len(rest)]
        rest[: len(frames)] = frames
        yield rest.T


def remix(wav: np.ndarray, channels: int) -> np.ndarray:
    """wav (C,T) -> (channels,T) float32, channels 1 or 2; with C = channels the input itself comes back.

    To mono: the mean of all channels. Mono to stereo: the same sound twice. More than two channels to stereo: the
    mean in both, because the order of surround channels differs between formats, and the mean loses no voice.
    """
    _check_wav(wav)
    if channels not in (1, 2):
        raise InputError(f"remix: to 1 or 2 channels, not {channels}")
    if len(wav) == channels:
        return wav
    mono = wav.mean(axis=0, keepdims=True, dtype=np.float32)
    return np.repeat(mono, channels, axis=0)


def write(path: Name, wav: np.ndarray, sample_rate: int, *, overwrite: bool = False) -> int:
    """Write wav (C,T) as 16 bit .wav or .flac, by the name of the file -> how many samples were clipped.

    See `writer`. InputError also for an empty wav.
    """
    _check_wav(wav)
    if wav.size == 0:
        raise InputError(f"{path}: there are no samples to write")
    with writer(path, len(wav), sample_rate, frames=wav.shape[1], overwrite=overwrite) as file:
        file.write(wav)
    return file.clipped


class Writer:
    """An audio file being written, see `writer`. `clipped` counts the samples that were."""

    def __init__(self, path: Name, file: Any, room: int | None):
        self.clipped = 0
        self._path, self._file, self._room = path, file, room  # bytes of sound that the header can count

    def write(self, wav: np.ndarray) -> None:
        """Append wav (C,n). InputError: NaN or infinity, or the disk is full."""
        _check_finite(self._path, wav)
        self.clipped += int(np.count_nonzero(np.abs(wav) > 1))
        pcm = np.clip(np.rint(wav.T * np.float64(32768)), -32768, 32767).astype(np.int16)
        if self._room is not None:
            self._room -= pcm.nbytes
            if self._room < 0:
                raise InputError(f"{self._path}: a WAV file of more than 4 GiB has to announce its length")
        try:
            self._file.write(pcm)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self._path}: cannot be written ({_reason(error)})") from error


@contextmanager
def writer(
    path: Name, channels: int, sample_rate: int, *, frames: int = 0, overwrite: bool = False
) -> Iterator[Writer]:
    """Write 16 bit .wav or .flac, by the name of the file, block by block.

    A sample becomes round(32768·x), the inverse of what `read` does, so that reading and writing a 16 bit file
    changes nothing. +1 itself becomes 32767; only samples outside of [-1,1] count as clipped. The file appears whole,
    when the `with` block ends well, or not at all. A .wav of more than 4 GiB needs another header, RF64 [EBU Tech
    3306]: it gets that if `frames` announces so many samples per channel.
    InputError: more than 4 GiB unannounced, another suffix, a file that exists (unless `overwrite`), more channels or
    a higher rate than the format holds.
    """
    import soundfile

    form = WRITABLE.get(Path(path).suffix.lower())
    if form is None:
        raise InputError(f"{path}: audio is written as .wav or .flac")
    if form == "WAV" and frames * channels * 2 > WAV_BYTES:
        form = "RF64"
    _check_rate(path, sample_rate)
    with write_atomically(path, overwrite) as temporary:
        try:
            name = _system_name(temporary)
            file = soundfile.SoundFile(name, "w", sample_rate, channels, "PCM_16", format=form)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{path}: cannot be written ({_reason(error)})") from error
        with file:
            yield Writer(path, file, WAV_BYTES if form == "WAV" else None)


@contextmanager
def _open(path: Name) -> Iterator[Any]:
    """The open soundfile.SoundFile of `path`; libsndfile's errors, also those while reading, become InputErrors."""
    import soundfile

    if not Path(path).exists():
        raise InputError(f"{path}: there is no such file")
    if not Path(path).is_file():
        raise InputError(f"{path}: is a folder or a device, not an audio file")
    try:
        with open(path, "rb"):  # libsndfile says only "System error" where the operating system knows the reason
            pass
        with _source(path) as source, soundfile.SoundFile(source) as file:
            _check_rate(path, file.samplerate)
            # soundfile seeks after every read to where the file stands anyway, which fails in FLAC streams that do
            # not tell their length; it leaves that out for what it believes to be a pipe.
            file.seekable = lambda: False
            yield file
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (RuntimeError, TypeError, ValueError) as error:  # TypeError: .raw, which has no header
        raise InputError(f"{path}: cannot be read as audio ({_reason(error)})") from error


@contextmanager
def _source(path: Name) -> Iterator[Any]:
    """What soundfile is to open: the file, or, if its header is silent about its sound, one whose header is not."""
    wav, mp3 = wav_header.read(path), mp3_header.read(path)
    if wav and wav.silent_about:
        with wav_header.Repaired(path, wav) as repaired:
            yield repaired
    elif mp3:
        with mp3_header.Repaired(path, mp3) as whole:
            yield whole
    else:
        yield _system_name(path)


def _system_name(path: Name) -> str | bytes:
    """The name as the system has it: soundfile turns names into UTF-8, which not all names are."""
    return os.fsencode(path) if os.name == "posix" else os.fspath(path)


def _blocks_between(path: Name, file: Any, first: int, start: int, stop: int | None) -> Iterator[np.ndarray]:
    """(n,C) blocks from `start` to `stop` of a file that stands at `first` <= start, decoding what lies between."""
    size = max(1, BLOCK_SAMPLES // file.channels)
    position = first
    while stop is None or position < stop:
        block = _decode(path, file, size if stop is None else min(size, stop - position))
        if not len(block):
            return
        if position + len(block) > start:
            yield block[max(0, start - position) :]
        position += len(block)


def _decode(path: Name, file: Any, frames: int) -> np.ndarray:
    block: np.ndarray = file.read(frames, dtype="float32", always_2d=True)
    _check_finite(path, block)
    return block


def _check_finite(path: Name, samples: np.ndarray) -> None:
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: there are samples that are NaN or infinite")


def _check_rate(name: Name, rate: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(f"{name}: a sample rate of {rate} Hz is outside of {RATES[0]} … {RATES[1]} Hz")


def _check_wav(wav: np.ndarray) -> None:
    if wav.ndim != 2 or len(wav) == 0:
        raise InputError(f"a waveform is an array (channels, samples), not one of shape {wav.shape}")


def _reason(error: Exception) -> str:
    """libsndfile's reason on one line, without its prefix (it repeats the path) and its full stop."""
    text = getattr(error, "error_string", None) or str(error)
    if text.startswith("File does not exist"):  # what libsndfile says of an MP3 file cut in its first frame
        text = "the file is damaged"
    return " ".join(text.split()).rstrip(".")
