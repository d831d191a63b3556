"""`minicodec convert`: the released EnCodec's weights, or any model there is, as one .safetensors file of ours.

A language model of codes is converted likewise.
"""

import argparse
from pathlib import Path

import minicodec
from minicodec.codec import language_model
from minicodec.errors import InputError
from minicodec.files import check_target


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "input",
        metavar="IN",
        help="EnCodec's .th file, a folder of transformers, any model that minicodec has, a language model's file",
    )
    parser.add_argument("output", metavar="OUT.safetensors", type=Path)
    parser.add_argument("--half", action="store_true", help="store float16, half the size; the codes change a little")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT.safetensors")


def run(args: argparse.Namespace) -> int:
    """Load, and save; print what it was."""
    if args.output.suffix != ".safetensors":
        raise InputError(f"{args.output}: the name of a model file ends with .safetensors")
    check_target(args.output, args.force)
    of_codes = language_model.holds(Path(args.input))
    model = language_model.load(args.input) if of_codes else minicodec.load(args.input)
    try:
        model.save(args.output, half=args.half, overwrite=args.force)
    except ValueError as error:
        raise InputError(f"{args.input}: {error}") from None
    saved = language_model.load(args.output) if of_codes else minicodec.load(args.output)
    rate = f"{saved.sample_rate} Hz, " if isinstance(saved, minicodec.Codec) else ""
    print(f"{args.output}: {saved.name}, {rate}{args.output.stat().st_size} bytes")
    return 0
