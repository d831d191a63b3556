"""`minicodec info`: what is in an .ecdc file, an audio file or a model."""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minicodec
from minicodec.cli.decode import read_start
from minicodec.cli.hearing import info as about_audio, messages_of
from minicodec.cli.play import starts_with_magic
from minicodec.cli.text import count
from minicodec.codec.config import PRESETS, preset
from minicodec.codec.files.bitstream import FLOAT_CODED, Header, Layout, check_size, unpack
from minicodec.codec.files.entropy.container import CodedHeader, check
from minicodec.codec.foreign.released import in_cache
from minicodec.codec.pretrained import BUNDLED
from minicodec.errors import InputError


class Fact(NamedTuple):
    """One line, and the same for programs: what --json has."""

    name: str
    text: str
    data: dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "subject",
        metavar="FILE|MODEL",
        help=f"an .ecdc file, an audio file, a model's file or folder, a preset, {BUNDLED} or a model that was fetched",
    )
    parser.add_argument("-m", "--model", help="the model that encoded an .ecdc file, where that is not a preset's")
    parser.add_argument("--json", action="store_true", help="as one JSON object, with plain numbers")


def run(args: argparse.Namespace) -> int:
    """Print a line for each fact, `name: value`."""
    facts = describe(args.subject, args.model)
    if args.json:
        merged: dict[str, Any] = {}
        for fact in facts:
            merged |= fact.data
        print(json.dumps(merged, indent=2, ensure_ascii=False))
        return 0
    for name, text, _ in facts:
        print(f"{name + ':':<12} {text}")
    return 0


def describe(subject: str, model: str | None) -> list[Fact]:
    """What a name on the command line stands for."""
    path = Path(subject)
    if path.is_dir() or path.suffix in (".safetensors", ".th"):
        return describe_model(minicodec.load(path))
    if not path.exists():
        if subject == BUNDLED or in_cache(subject):
            return describe_model(minicodec.load(subject))
        if subject in PRESETS:
            return describe_model(minicodec.build(subject))
    if path.suffix.lower() == ".ecdc" or starts_with_magic(path):
        return describe_packet(path, model)
    return describe_audio(path)


def describe_packet(path: Path, model: str | None) -> list[Fact]:
    """Length, sizes, and how well each codebook is used: entries that occur, and the perplexity 2^H of the codes.

    The perplexity is how many equally likely entries would carry as much information. A file with fewer frames than
    entries cannot use them all.
    """
    header, coded, start = read_start(path)
    layout = minicodec.load(model).config.layout if model else preset_layout(header.model, path)
    if coded:
        return describe_coded(path, coded, start, layout)
    if header.lm:
        frames = layout.all_frames(header.audio_length)
        return [*describe_sizes(path, header, start, frames, layout), Fact("codes", FLOAT_CODED, {"codes": None})]
    _, chunks = unpack(read_whole(path, layout), layout, str(path))
    codes = np.concatenate([chunk.codes for chunk in chunks], axis=1)
    used = [usage(row) for row in codes]
    data = {"used": [{"entries": entries, "perplexity": perplexity} for entries, perplexity in used]}
    return [
        *describe_sizes(path, header, start, codes.shape[1], layout),
        *(
            Fact(f"codebook {level}", f"{entries} of {2**layout.bits} entries used, perplexity {perplexity:.1f}", data)
            for level, (entries, perplexity) in enumerate(used, 1)
        ),
    ]


def describe_sizes(path: Path, header: Header, start: int, frames: int, layout: Layout) -> list[Fact]:
    """What every .ecdc file has."""
    seconds, size = header.audio_length / layout.sample_rate, path.stat().st_size
    nominal = header.codebooks * layout.bits * layout.sample_rate / layout.hop / 1000
    real = size * 8 / 1000 / seconds
    length = f"{seconds:.2f} s, {count(header.audio_length, 'sample')} at {layout.sample_rate} Hz"
    rates = f"{nominal:g} kbit/s nominal, {real:.2f} kbit/s with all bytes of the file"
    return [
        Fact("model", header.model, {"model": header.model}),
        Fact(
            "duration",
            length,
            {"seconds": seconds, "samples": header.audio_length, "sample_rate": layout.sample_rate},
        ),
        Fact(
            "codebooks",
            f"{header.codebooks} of {layout.codebooks}, {count(frames, 'frame')}",
            {"codebooks": header.codebooks, "codebooks_of_model": layout.codebooks, "frames": frames},
        ),
        Fact("bitrate", rates, {"kbps_nominal": nominal, "kbps": real}),
        Fact(
            "bytes",
            f"{size - start} payload, {start} header",
            {"payload_bytes": size - start, "header_bytes": start},
        ),
    ]


def describe_coded(path: Path, coded: CodedHeader, start: int, layout: Layout) -> list[Fact]:
    """The same of a file of version 1, whose codes only its language model can read; and how much that model saved."""
    header, layout = coded.header, check(coded, layout, str(path))
    plain = layout.payload_bytes(header.audio_length, header.codebooks)
    size, seconds = path.stat().st_size, coded.chunk_frames * layout.hop / layout.sample_rate
    chunks = f"starting afresh in each of {count(len(coded.index), 'chunk')} of {seconds:g} s"
    return [
        *describe_sizes(path, header, start, layout.all_frames(header.audio_length), layout),
        Fact(
            "predictor",
            f"{coded.predictor}, {chunks}",
            {"predictor": coded.predictor, "chunks": len(coded.index), "chunk_seconds": seconds},
        ),
        Fact(
            "saved",
            f"{100 - 100 * size / plain:.1f} % of the {count(plain, 'byte')} that the codes take without it",
            {"plain_bytes": plain},
        ),
    ]


def describe_audio(path: Path) -> list[Fact]:
    """What the header of an audio file says."""
    with messages_of(path):
        info = about_audio(path, str(path))
    return [
        Fact("format", f"{info.format}, {info.subtype}", {"format": info.format, "subtype": info.subtype}),
        Fact(
            "duration",
            f"{info.seconds:.2f} s, {count(info.frames, 'sample')}",
            {"seconds": info.seconds, "samples": info.frames},
        ),
        Fact("rate", f"{info.sample_rate} Hz", {"sample_rate": info.sample_rate}),
        Fact("channels", str(info.channels), {"channels": info.channels}),
    ]


def describe_model(codec: "minicodec.Codec") -> list[Fact]:
    """Name, size and rates of a model."""
    config = codec.config
    parts = {"encoder": codec.encoder, "decoder": codec.decoder}
    counts = {name: sum(p.data.size for p in part.parameters()) for name, part in parts.items()}
    levels, entries, width = config.quantizer.levels, config.quantizer.entries, config.network.latent
    beam = config.quantizer.beam
    rates = ", ".join(f"{kbps:g}" for kbps in config.bandwidths)
    return [
        Fact("model", codec.name, {"model": codec.name}),
        Fact(
            "parameters",
            f"{sum(counts.values())}: " + ", ".join(f"{name} {n}" for name, n in counts.items()),
            {"parameters": counts},
        ),
        Fact(
            "codebooks",
            f"{levels} of {entries} entries, width {width}" + (f", beam of {beam}" if beam > 1 else ""),
            {"codebooks": levels, "entries": entries, "width": width, "beam": beam},
        ),
        Fact(
            "rate",
            f"{config.sample_rate} Hz, {config.frame_rate:g} frames/s of {count(config.network.hop, 'sample')}",
            {"sample_rate": config.sample_rate, "frame_rate": config.frame_rate, "hop": config.network.hop},
        ),
        Fact("channels", str(config.channels), {"channels": config.channels}),
        Fact("bitrates", f"{rates} kbit/s", {"kbps": list(config.bandwidths)}),
    ]


def usage(codes: np.ndarray) -> tuple[int, float]:
    """Codes (T,) of one codebook -> how many entries occur, and 2^H, H the entropy of their frequencies in bits."""
    _, counts = np.unique(codes, return_counts=True)
    p = counts / counts.sum()
    return len(counts), float(2 ** -(p * np.log2(p)).sum())


def read_whole(path: Path, layout: Layout) -> bytes:
    """All bytes of an .ecdc file, once header and layout agree that it has the right size."""
    header, _, start = read_start(path)
    check_size(header, path.stat().st_size - start, layout, str(path))
    return path.read_bytes()


def preset_layout(model: str, path: Path) -> Layout:
    """The layout of a preset, from the name in a file: "mini_24khz", or "mini_24khz-" and a hash of the weights."""
    name = model.split("-")[0]
    if name not in PRESETS:
        raise InputError(f"{path}: was encoded by the model {model}; say with -m where to find it")
    return preset(name).layout
