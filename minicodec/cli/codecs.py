"""Models, as commands find and use them."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import minicodec
from minicodec.backend import xp
from minicodec.cli.progress import download
from minicodec.codec.config import RANGES
from minicodec.codec.fetch import fetch
from minicodec.codec.foreign.released import RELEASED, how_to_get, in_cache
from minicodec.codec.pretrained import find
from minicodec.device import what_fits
from minicodec.errors import InputError

T = TypeVar("T")


def fetch_if_asked(model: str, args: argparse.Namespace) -> str:
    """The model's name; --fetch brings a published one that is not here."""
    if args.fetch and model in RELEASED and not in_cache(model):
        with download(args.quiet) as report:
            fetch(model, report, say=lambda line: print(line, file=sys.stderr))
    return model


def beside(model: str, args: argparse.Namespace) -> Path:
    """Where the language model of a codec is: that of a published one has a name, others lie beside it."""
    lm = RELEASED[model].lm if model in RELEASED and not Path(model).exists() else None
    if lm:
        found = in_cache(fetch_if_asked(lm, args))
        if found is None:
            raise InputError(how_to_get(lm))
        return found
    path = find(model)
    return path if path.is_dir() else path.parent


def prepare_to_encode(args: argparse.Namespace, codec: "minicodec.Codec") -> None:
    """Check -b, and give the codec its --beam. InputError: which rates it has, if not this one; or that is no beam."""
    if args.bitrate not in codec.bandwidths:
        offered = ", ".join(f"{rate:g}" for rate in codec.bandwidths)
        raise InputError(f"{args.model}: has no bitrate of {args.bitrate:g} kbit/s; choose from {offered}")
    if args.beam is not None:
        narrowest, widest = RANGES["beam"]
        if not narrowest <= args.beam <= widest:
            raise InputError(f"--beam: should be {narrowest} … {widest}, not {args.beam}")
        codec.quantizer.beam = args.beam


def check_digest(codec: "minicodec.Codec", digest: str, model: str) -> None:
    """InputError: a process has found another model than the command was given with."""
    if codec.digest != digest:
        raise InputError(f"{model}: is another model where a worker runs: {codec.name}")


def enough_memory(
    pieces: Iterable[T], device: str, name: str, codec: "minicodec.Codec", work: Callable[[int], object]
) -> Iterator[T]:
    """The pieces. InputError: a GPU has not the memory to make them, for there a file is coded in one piece.

    work(n) codes n seconds: for the message, which says how many would fit.
    """
    try:
        yield from pieces
        return
    except MemoryError:
        if device == "cpu":
            raise
    # Only here have the arrays of what failed been freed.
    fits = what_fits(xp(codec.quantizer.codebooks), work, sys.maxsize)
    fitting = f"about {fits} s" if fits else "not even 1 s"
    advice = "the CPU codes files of any length"
    raise InputError(f"{name}: too long for the GPU's memory, into which {fitting} would fit; {advice}")
