"""`minicodec decode`: .ecdc -> .wav or .flac, as long as what was encoded, at the model's sample rate."""

import argparse
import sys
from pathlib import Path

import numpy as np

import minicodec
from minicodec import audio
from minicodec.codec.bitstream import JSON_LIMIT, PREFIX, Header, Layout, check_size, read_header
from minicodec.errors import InputError
from minicodec.files import check_target


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("input", metavar="IN.ecdc", type=Path)
    parser.add_argument("output", metavar="OUT.wav", type=Path, help="16 bit .wav or .flac")
    parser.add_argument(
        "-m", "--model", help="the model that encoded it: a training run's folder or a .safetensors file"
    )
    parser.add_argument("-r", "--rescale", action="store_true", help="make it quieter where it would clip")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT.wav")


def run(args: argparse.Namespace) -> int:
    """Check the file, decode it, write audio; a line on stderr says how much was clipped."""
    if args.output.suffix.lower() not in audio.WRITABLE:
        raise InputError(f"{args.output}: audio is written as {' or '.join(audio.WRITABLE)}")
    check_target(args.output, args.force)
    header, _ = read_start(args.input)
    if args.model is None:
        raise InputError(f"{args.input}: was encoded by the model {header.model}; say with -m where to find it")
    codec = minicodec.load(args.model)
    if header.model != codec.name:  # said before a size that only this model finds wrong
        raise InputError(f"{args.input}: was encoded by the model {header.model}; {args.model} is {codec.name}")
    wav = codec.decompress(read_whole(args.input, codec.config.layout), str(args.input))
    peak = np.abs(wav).max()
    if not np.isfinite(peak):
        raise InputError(f"{args.input}: decodes to samples that are NaN or infinite")
    if args.rescale and peak > 1:
        wav = wav / peak
    clipped = audio.write(args.output, wav, codec.sample_rate, overwrite=args.force)
    if clipped:
        print(f"minicodec: {args.output}: {clipped} samples were clipped; -r would make it quieter", file=sys.stderr)
    print(
        f"{args.output}: {wav.shape[1] / codec.sample_rate:.2f} s, {codec.sample_rate} Hz, {_channels(codec.channels)}"
    )
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


def read_whole(path: Path, layout: Layout) -> bytes:
    """All bytes of an .ecdc file, once header and layout agree that it has the right size."""
    header, start = read_start(path)
    check_size(header, path.stat().st_size - start, layout, str(path))
    return path.read_bytes()


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"
