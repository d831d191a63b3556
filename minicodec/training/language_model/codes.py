"""What a language model learns from: the codes of audio files, computed once, and random crops of them.

Encoding costs more than an epoch of training, so the codes of each file are kept in a folder:

    CACHE/<name of the codec>/<hash of the audio file>-6.npy        codes (Q,T) int16, at 6 kbps

The codec's name holds a hash of its weights. So whatever changes, codec or audio, the name changes with it, and codes
that do not belong together never meet.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tokenize import TokenError

import numpy as np

from minicodec import audio
from minicodec.codec.model import Codec
from minicodec.errors import InputError
from minicodec.files import write_atomically
from minicodec.training.audio_files import AudioFile

NAME_DIGITS = 32  # hexadecimal digits of a file's hash


def encoded(
    codec: Codec,
    kbps: float,
    files: Iterable[AudioFile],
    cache: Path,
    notice_damage: Callable[[AudioFile, InputError], None],
) -> Iterator[np.ndarray]:
    """The codes (Q,T) int16 of each file, from the cache or else computed and put there.

    A codec that codes in chunks gives one chunk's codes after the other. Files that cannot be read to their end are
    left out, and `notice_damage` is told. InputError: codes in the cache are damaged, or cannot be written there.
    """
    folder = cache / codec.name
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        try:
            path = folder / f"{_hash(file.path)}-{kbps:g}.npy"
            codes = None if path.exists() else _encode(codec, kbps, file)
        except InputError as error:
            notice_damage(file, error)
            continue
        if codes is None:
            codes = _load(path, codec, kbps)
        else:
            with write_atomically(path, overwrite=True) as temporary:
                np.save(temporary, codes)
        yield codes


def _encode(codec: Codec, kbps: float, file: AudioFile) -> np.ndarray:
    remixed = (audio.remix(block, codec.channels) for block in audio.blocks(file.path, file.sample_rate))
    wav = audio.resample_blocks(remixed, file.sample_rate, codec.sample_rate)
    try:
        return np.concatenate([chunk.codes for chunk in codec.encode_blocks(wav, kbps)], axis=1)
    except InputError:
        raise
    except ValueError as error:  # samples that are no audio
        raise InputError(f"{file.path}: {error}") from None


class CodeCrops:
    """Random crops of sequences of codes (Q,T): as long as a chunk of an entropy-coded file, which starts anew too.

    `batch(step, size)` is a pure function of the sequences, the seed and the step, as in training/data.py.
    """

    def __init__(self, sequences: Sequence[np.ndarray], frames: int, *, seed: int):
        self.sequences, self.frames, self.seed = sequences, frames, seed
        lengths = np.array([codes.shape[1] for codes in sequences])
        self.p = lengths / lengths.sum()

    def batch(self, step: int, size: int) -> np.ndarray:
        """(size,Q,frames) int64; -1 where a sequence is shorter. A sequence is drawn in proportion to its length."""
        rng = np.random.default_rng([self.seed, step])
        batch = np.full((size, len(self.sequences[0]), self.frames), -1)
        for row, i in zip(batch, rng.choice(len(self.sequences), size, p=self.p), strict=True):
            codes = self.sequences[i]
            start = rng.integers(max(0, codes.shape[1] - self.frames) + 1)
            crop = codes[:, start : start + self.frames]
            row[:, : crop.shape[1]] = crop
        return batch


def chunks(sequences: Iterable[np.ndarray], frames: int) -> np.ndarray:
    """Sequences (Q,T), each cut into chunks from its beginning on as in a file -> (chunks,Q,frames), -1 at the ends."""
    pieces = [codes[:, t : t + frames] for codes in sequences for t in range(0, codes.shape[1], frames)]
    out = np.full((len(pieces), len(pieces[0]), frames), -1)
    for row, piece in zip(out, pieces, strict=True):
        row[:, : piece.shape[1]] = piece
    return out


def _hash(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:NAME_DIGITS]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _load(path: Path, codec: Codec, kbps: float) -> np.ndarray:
    try:
        with open(path, "rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):  # as we write it; others' headers may claim gigabytes
                raise ValueError("of another version of the format")
        codes = np.array(np.lib.format.open_memmap(path, mode="r"))  # nothing is allocated that the file does not hold
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, OverflowError, TokenError) as error:
        raise InputError(f"{path}: cannot be read as codes ({error}); remove it, and it is computed again") from error
    N, Q = codec.config.quantizer.entries, codec.config.levels(kbps)
    if codes.ndim != 2 or len(codes) != Q or codes.dtype != np.int16 or not codes.size:
        raise InputError(f"{path}: holds no codes of {codec.name}; remove it, and they are computed again")
    if codes.min() < 0 or codes.max() >= N:
        raise InputError(f"{path}: holds no codes of {codec.name}; remove it, and they are computed again")
    return codes
