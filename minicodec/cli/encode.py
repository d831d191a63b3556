"""`minicodec encode`: any audio file -> .ecdc."""

import argparse
from pathlib import Path

import numpy as np

import minicodec
from minicodec import audio
from minicodec.codec.bitstream import SCALE_LIMIT, read_header
from minicodec.errors import InputError
from minicodec.files import check_target, write_atomically


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("input", metavar="IN", type=Path, help="audio of any sample rate and number of channels")
    parser.add_argument("output", metavar="OUT.ecdc", type=Path)
    parser.add_argument("-b", "--bitrate", metavar="KBPS", type=float, default=6.0, help="6 kbit/s by default")
    parser.add_argument("-m", "--model", help="a training run's folder or a .safetensors file")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT.ecdc")


def run(args: argparse.Namespace) -> int:
    """Read, convert to the model's rate and channels, compress, write; print what it cost."""
    if args.output.suffix != ".ecdc":
        raise InputError(f"{args.output}: the name of a compressed file ends with .ecdc")
    check_target(args.output, args.force)
    if args.model is None:
        raise InputError(f"{args.input}: say with -m MODEL by which model to encode; minicodec train makes one")
    wav, rate = audio.read(args.input)
    codec = minicodec.load(args.model)
    if args.bitrate not in codec.bandwidths:
        offered = ", ".join(f"{kbps:g}" for kbps in codec.bandwidths)
        raise InputError(f"{args.model}: has no bitrate of {args.bitrate:g} kbit/s; choose from {offered}")
    wav = convert(wav, rate, codec, args.input)
    packet = codec.compress(wav, args.bitrate)
    with write_atomically(args.output, args.force) as temporary:
        temporary.write_bytes(packet)
    seconds = wav.shape[1] / codec.sample_rate
    _, header = read_header(packet, str(args.output))
    kbps = len(packet) * 8 / 1000 / seconds
    print(
        f"{args.output}: {seconds:.2f} s, {len(packet) - header} + {header} bytes (payload, header), {kbps:.2f} kbit/s"
    )
    return 0


def convert(wav: np.ndarray, rate: int, codec: "minicodec.Codec", name: Path) -> np.ndarray:
    """wav (C,T) at `rate` -> what the codec takes, (codec.channels,To) at its rate.

    InputError: To would be 0, or the samples of a float file are so large that sums of them could overflow.
    """
    peak = np.abs(wav).max()
    if peak > SCALE_LIMIT:
        raise InputError(f"{name}: has samples up to {peak:g}, where audio lies within -1 … 1")
    converted = audio.resample(audio.remix(wav, codec.channels), rate, codec.sample_rate)
    if converted.shape[1] == 0:
        raise InputError(f"{name}: {wav.shape[1]} samples at {rate} Hz are not one at {codec.sample_rate} Hz")
    return converted
