"""`minicodec decode`: .ecdc -> .wav or .flac, as long as what was encoded, at the model's sample rate."""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

import minicodec
from minicodec import audio
from minicodec.cli.progress import watched
from minicodec.codec.bitstream import JSON_LIMIT, PREFIX, Header, check_size, read_header
from minicodec.codec.entropy import encodec_files
from minicodec.codec.parts import unpack_parts
from minicodec.errors import InputError
from minicodec.files import check_target


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("input", metavar="IN.ecdc", type=Path)
    parser.add_argument("output", metavar="OUT.wav", type=Path, help="16 bit .wav or .flac")
    parser.add_argument(
        "-m", "--model", help="the model that encoded it: a training run's folder or a .safetensors file"
    )
    parser.add_argument(
        "--lm",
        metavar="FILE",
        help="the language model (.th) of an entropy-coded file of EnCodec; its numbers must come out here to the last "
        "bit as where it was encoded, which cannot be promised",
    )
    parser.add_argument("-r", "--rescale", action="store_true", help="make it quieter where it would clip")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT.wav")


def run(args: argparse.Namespace) -> int:
    """Check the file, decode it, write audio; a line on stderr says how much was clipped."""
    if args.output.suffix.lower() not in audio.WRITABLE:
        raise InputError(f"{args.output}: audio is written as {' or '.join(audio.WRITABLE)}")
    check_target(args.output, args.force)
    header, start = read_start(args.input)
    if args.model is None:
        raise InputError(f"{args.input}: was encoded by the model {header.model}; say with -m where to find it")
    codec = minicodec.load(args.model)
    if header.model != codec.name:  # said before a size that only this model finds wrong
        raise InputError(f"{args.input}: was encoded by the model {header.model}; {args.model} is {codec.name}")
    coded = None
    if header.lm and args.lm is not None:
        lm = minicodec.load_language_model(args.lm, codec)
        _, coded = encodec_files.unpack(args.input.read_bytes(), codec.config.layout, lm, str(args.input))
    else:
        check_size(header, args.input.stat().st_size - start, codec.config.layout, str(args.input))
    seconds = header.audio_length / codec.sample_rate
    with (
        open(args.input, "rb") as file,
        audio.writer(args.output, codec.channels, codec.sample_rate, overwrite=args.force) as out,
    ):
        file.seek(start)
        parts = coded or unpack_parts(file, header, codec.config.layout, str(args.input))
        blocks = finite(trimmed(codec.decode_parts(parts), header.audio_length), args.input)
        blocks = watched(blocks, codec.sample_rate, seconds)
        for block in rescaled(blocks, codec.channels) if args.rescale else blocks:
            out.write(block)
    if out.clipped:
        print(
            f"minicodec: {args.output}: {out.clipped} samples were clipped; -r would make it quieter", file=sys.stderr
        )
    print(f"{args.output}: {seconds:.2f} s, {codec.sample_rate} Hz, {_channels(codec.channels)}")
    return 0


def read_start(path: Path) -> tuple[Header, int]:
    """The header of an .ecdc file and the bytes it takes, without reading what follows, however large the file is."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    if not path.is_file():
        raise InputError(f"{path}: is a folder or a device, not an .ecdc file")
    try:
        with open(path, "rb") as file:
            return read_header(file.read(PREFIX.size + JSON_LIMIT), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def trimmed(blocks: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """The first `length` samples of blocks (C,n): the last frame is whole, what was encoded need not be."""
    for block in blocks:
        yield block[:, :length]
        length -= min(length, block.shape[1])


def finite(blocks: Iterable[np.ndarray], path: Path) -> Iterator[np.ndarray]:
    """The same blocks. InputError: the weights or scales give what is no sound."""
    for block in blocks:
        if not np.isfinite(block).all():
            raise InputError(f"{path}: decodes to samples that are NaN or infinite")
        yield block


def rescaled(blocks: Iterable[np.ndarray], channels: int) -> Iterator[np.ndarray]:
    """Blocks (C,n) divided by the peak of them all, if that is above 1. They wait for it in a temporary file."""
    peak = np.float32(1)
    with tempfile.TemporaryFile() as waiting:
        for block in blocks:
            peak = np.abs(block).max(initial=peak)
            waiting.write(block.T.astype(np.float32).tobytes())
        waiting.seek(0)
        while data := waiting.read(1 << 20):
            yield np.frombuffer(data, np.float32).reshape(-1, channels).T / peak


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"
