"""`minicodec encode`: any audio file -> .ecdc, in constant memory."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

import minicodec
from minicodec import audio
from minicodec.backend import xp
from minicodec.cli.options import add_device
from minicodec.cli.progress import watched
from minicodec.codec.files.bitstream import SCALE_LIMIT, Header, pack_header
from minicodec.codec.files.chunks import pack_chunks
from minicodec.codec.files.entropy.adaptive import Adaptive
from minicodec.codec.files.entropy.coded_file import CodedWriter, predictor_for
from minicodec.codec.pretrained import BUNDLED, find
from minicodec.device import what_fits
from minicodec.errors import InputError
from minicodec.files import check_target, write_atomically

BLOCK_SECONDS = 8  # that are read at a time: about as much as a codec shares out among its threads


T = TypeVar("T")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("input", metavar="IN", type=Path, help="audio of any sample rate and number of channels")
    parser.add_argument("output", metavar="OUT.ecdc", type=Path)
    parser.add_argument("-b", "--bitrate", metavar="KBPS", type=float, default=6.0, help="6 kbit/s by default")
    parser.add_argument("-m", "--model", default=BUNDLED, help=f"{BUNDLED} by default; or {MODELS}")
    parser.add_argument(
        "--lm",
        nargs="?",
        const="",
        metavar="FILE",
        help="entropy-code with a language model, by default the lm.safetensors beside MODEL, or with --lm adaptive by "
        "counting, without a model; the file gets smaller, can be decoded from any chunk on, and has checksums",
    )
    parser.add_argument(
        "--no-mix", action="store_true", help="refuse more channels than the model has, which are else averaged"
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT.ecdc")
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Read, convert to the model's rate and channels, compress, write; print what it cost."""
    if args.output.suffix != ".ecdc":
        raise InputError(f"{args.output}: the name of a compressed file ends with .ecdc")
    check_target(args.output, args.force)
    info = audio.info(args.input)
    codec = minicodec.load(args.model).to(args.device)
    check_bitrate(args.bitrate, codec, args.model)
    if args.no_mix and info.channels > codec.channels:
        raise InputError(f"{args.input}: has {info.channels} channels; the model has {codec.channels}")

    codebooks, writer = codec.config.levels(args.bitrate), None
    if args.lm is not None:
        path = args.lm or beside(args.model)
        lm = path if path == Adaptive.name else minicodec.load_language_model(path, codec)
        writer = CodedWriter(predictor_for(lm, codec, codebooks), codec.config.layout)
    samples = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal samples
        for block in watched(converted(args.input, info, codec), codec.sample_rate, info.seconds):
            samples += block.shape[1]
            yield block

    # The header begins with the length, which for some formats is only known at the end: so the codes wait in a file.
    with tempfile.TemporaryFile() as payload:
        some = np.zeros((codec.channels, codec.sample_rate), np.float32)
        parts = codec.encode_blocks(counted(), args.bitrate)
        parts = enough_memory(parts, args, codec, lambda n: codec.encode(np.tile(some, n), args.bitrate))
        for data in pack_chunks(parts, codec.config.layout) if writer is None else writer.pack(parts):
            payload.write(data)
        if samples == 0:
            raise InputError(
                f"{args.input}: {info.frames} samples at {info.sample_rate} Hz are not one at {codec.sample_rate} Hz"
            )
        if writer is None:
            header = pack_header(Header(codec.name, samples, codebooks))
        else:
            header = writer.header(codec.name, samples)
        size = payload.tell()
        payload.seek(0)
        with write_atomically(args.output, args.force) as temporary, open(temporary, "wb") as file:
            file.write(header)
            shutil.copyfileobj(payload, file)
    seconds = samples / codec.sample_rate
    kbps = (len(header) + size) * 8 / 1000 / seconds
    print(f"{args.output}: {seconds:.2f} s, {size} + {len(header)} bytes (payload, header), {kbps:.2f} kbit/s")
    return 0


def enough_memory(
    parts: Iterable[T], args: argparse.Namespace, codec: "minicodec.Codec", work: Callable[[int], object]
) -> Iterator[T]:
    """The parts. InputError: a GPU has not the memory to make them, for there a file is coded in one piece.

    work(n) codes n seconds: for the message, which says how many would fit.
    """
    try:
        yield from parts
        return
    except MemoryError:
        if args.device == "cpu":
            raise
    # Only here have the arrays of what failed been freed.
    fits = what_fits(xp(codec.quantizer.codebooks), work, sys.maxsize)
    fitting = f"about {fits} s" if fits else "not even 1 s"
    advice = "the CPU codes files of any length"
    raise InputError(f"{args.input}: too long for the GPU's memory, into which {fitting} would fit; {advice}")


def beside(model: str) -> Path:
    """The folder in which the language model of a codec is looked for."""
    path = find(model)
    return path if path.is_dir() else path.parent


def check_bitrate(kbps: float, codec: "minicodec.Codec", model: str) -> None:
    """InputError lists the rates that there are."""
    if kbps not in codec.bandwidths:
        offered = ", ".join(f"{rate:g}" for rate in codec.bandwidths)
        raise InputError(f"{model}: has no bitrate of {kbps:g} kbit/s; choose from {offered}")


def converted(path: Path, info: audio.AudioInfo, codec: "minicodec.Codec") -> Iterator[np.ndarray]:
    """The file in blocks (codec.channels,n), of some seconds, at the codec's rate.

    InputError, besides those of `audio.blocks`: samples of a float file so large that sums of them could overflow.
    """

    def remixed() -> Iterator[np.ndarray]:
        for block in audio.blocks(path, BLOCK_SECONDS * info.sample_rate):
            peak = np.abs(block).max()
            if peak > SCALE_LIMIT:
                raise InputError(f"{path}: has samples up to {peak:g}, where audio lies within -1 … 1")
            yield audio.remix(block, codec.channels)

    return audio.resample_blocks(remixed(), info.sample_rate, codec.sample_rate)
