"""`minicodec decode`: .ecdc -> .wav or .flac, as long as what was encoded, at the model's sample rate."""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

import minicodec
from minicodec import audio
from minicodec.cli.encode import beside, enough_memory
from minicodec.cli.options import MODELS, add_device
from minicodec.cli.progress import watched
from minicodec.codec.files.bitstream import (
    CODED_VERSION,
    FLOAT_CODED,
    JSON_LIMIT,
    PREFIX,
    Chunk,
    Header,
    check_size,
    first_sample,
    read_header,
    read_version,
)
from minicodec.codec.files.chunks import unpack_chunks
from minicodec.codec.files.entropy.adaptive import Adaptive
from minicodec.codec.files.entropy.coded_file import CodedReader, predictor_of
from minicodec.codec.files.entropy.container import CodedHeader, read_header as read_coded_header
from minicodec.codec.language_model import LanguageModel
from minicodec.codec.model import PUBLISHED
from minicodec.codec.pretrained import BUNDLED
from minicodec.errors import InputError
from minicodec.files import check_target


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("input", metavar="IN.ecdc", type=Path)
    parser.add_argument("output", metavar="OUT.wav", type=Path, help="16 bit .wav or .flac")
    parser.add_argument("-m", "--model", default=BUNDLED, help=f"the model that encoded it: {BUNDLED}, or {MODELS}")
    parser.add_argument(
        "--lm",
        metavar="FILE",
        help="the language model of an entropy-coded file, by default the lm.safetensors beside MODEL",
    )
    parser.add_argument("--start", metavar="SECONDS", type=float, default=0.0, help="leave out what is before that")
    parser.add_argument(
        "--skip-damaged", action="store_true", help="play silence for damaged chunks of an entropy-coded file"
    )
    parser.add_argument("-r", "--rescale", action="store_true", help="make it quieter where it would clip")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT.wav")
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Check the file, decode it, write audio; a line on stderr says how much was clipped."""
    if args.output.suffix.lower() not in audio.WRITABLE:
        raise InputError(f"{args.output}: audio is written as {' or '.join(audio.WRITABLE)}")
    check_target(args.output, args.force)
    header, coded, start = read_start(args.input)
    if header.lm and coded is None:
        raise InputError(f"{args.input}: {FLOAT_CODED}")
    codec = minicodec.load(args.model).to(args.device)
    if header.model not in codec.names:  # said before a size that only this model finds wrong
        which = "say with -m where to find it" if args.model == BUNDLED else f"{args.model} is {codec.name}"
        raise InputError(f"{args.input}: was encoded by the model {header.model}; {which}")
    if header.model in PUBLISHED and codec.name != header.model:
        unknown = f"whether {args.model} has the published weights is not known"
        print(f"minicodec: {args.input}: was encoded by {header.model}; {unknown}", file=sys.stderr)
    layout, seconds = codec.config.layout, header.audio_length / codec.sample_rate
    first = first_sample(args.start, header, codec.sample_rate, str(args.input))
    lm = language_model(args, coded, codec)
    with open(args.input, "rb") as file:
        if coded:
            predictor = predictor_of(coded, lm, codec.names, layout, str(args.input))
            reader = CodedReader(file, coded, start, layout, predictor, str(args.input))
            damaged = report if args.skip_damaged else suggest
            blocks = reader.blocks(codec.decode_blocks, codec.channels, first, damaged)
        else:
            check_size(header, args.input.stat().st_size - start, layout, str(args.input))
            file.seek(start)
            chunks = unpack_chunks(file, header, layout, str(args.input))
            blocks = trimmed(codec.decode_blocks(chunks), first, header.audio_length)
        codes = np.zeros((header.codebooks, layout.frames(codec.sample_rate)), np.int16)
        scale = 1.0 if codec.config.normalize else None
        fitting = enough_memory(blocks, args, codec, lambda n: codec.decode([Chunk(np.tile(codes, n), scale)]))
        blocks = watched(finite(fitting, args.input), codec.sample_rate, seconds - args.start)
        with audio.writer(args.output, codec.channels, codec.sample_rate, overwrite=args.force) as out:
            for block in rescaled(blocks, codec.channels) if args.rescale else blocks:
                out.write(block)
    if out.clipped:
        print(
            f"minicodec: {args.output}: {out.clipped} samples were clipped; -r would make it quieter", file=sys.stderr
        )
    seconds -= first / codec.sample_rate
    print(f"{args.output}: {seconds:.2f} s, {codec.sample_rate} Hz, {_channels(codec.channels)}")
    return 0


def read_start(path: Path) -> tuple[Header, CodedHeader | None, int]:
    """The header of an .ecdc file and the bytes it takes, without reading what follows, however large the file is.

    Of a file of version 1, all of its header: the index of its chunks is in it.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    if not path.is_file():
        raise InputError(f"{path}: is a folder or a device, not an .ecdc file")
    try:
        with open(path, "rb") as file:
            data = file.read(PREFIX.size + JSON_LIMIT)
            if read_version(data, str(path)) == CODED_VERSION:
                coded, start = read_coded_header(file, str(path))
                return coded.header, coded, start
            header, start = read_header(data, str(path))
            return header, None, start
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def language_model(
    args: argparse.Namespace, coded: CodedHeader | None, codec: "minicodec.Codec"
) -> LanguageModel | None:
    """The one that an entropy-coded file needs: that of the arguments, or else the one beside the model."""
    if coded is None or coded.predictor == Adaptive.name:
        return None
    return minicodec.load_language_model(args.lm or beside(args.model), codec)


def report(line: str) -> None:
    """Say what is damaged, and go on."""
    print(f"minicodec: {line}: silence instead", file=sys.stderr)


def suggest(line: str) -> None:
    """Refuse what is damaged."""
    raise InputError(f"{line}; --skip-damaged plays the rest")


def trimmed(blocks: Iterable[np.ndarray], first: int, length: int) -> Iterator[np.ndarray]:
    """Samples first … length - 1 of blocks (C,n): the last frame is whole, what was encoded need not be."""
    for block in blocks:
        yield block[:, first:length]
        first, length = max(0, first - block.shape[1]), max(0, length - block.shape[1])


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
