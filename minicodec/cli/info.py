"""`minicodec info`: what is in an .ecdc file, an audio file or a model."""

import argparse
from pathlib import Path

import numpy as np

import minicodec
from minicodec import audio
from minicodec.cli.decode import read_start
from minicodec.codec.config import PRESETS, preset
from minicodec.codec.files.bitstream import FLOAT_CODED, MAGIC, Header, Layout, check_size, unpack
from minicodec.codec.files.entropy.container import CodedHeader, check
from minicodec.codec.pretrained import BUNDLED
from minicodec.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "subject",
        metavar="FILE|MODEL",
        help=f"an .ecdc file, an audio file, a model's file or folder, a preset, or {BUNDLED}",
    )
    parser.add_argument("-m", "--model", help="the model that encoded an .ecdc file, where that is not a preset's")


def run(args: argparse.Namespace) -> int:
    """Print a line for each fact, `name: value`."""
    path = Path(args.subject)
    if path.is_dir() or path.suffix in (".safetensors", ".th"):
        lines = describe_model(minicodec.load(path))
    elif not path.exists() and args.subject in PRESETS:
        lines = describe_model(minicodec.build(args.subject))
    elif not path.exists() and args.subject == BUNDLED:
        lines = describe_model(minicodec.load())
    elif path.suffix.lower() == ".ecdc" or starts_with_magic(path):
        lines = describe_packet(path, args.model)
    else:
        lines = describe_audio(path)
    for name, value in lines:
        print(f"{name + ':':<12} {value}")
    return 0


def describe_packet(path: Path, model: str | None) -> list[tuple[str, str]]:
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
        return [*describe_sizes(path, header, start, frames, layout), ("codes", FLOAT_CODED)]
    _, chunks = unpack(read_whole(path, layout), layout, str(path))
    codes = np.concatenate([chunk.codes for chunk in chunks], axis=1)
    lines = describe_sizes(path, header, start, codes.shape[1], layout)
    for level, row in enumerate(codes, 1):
        used, perplexity = usage(row)
        lines.append((f"codebook {level}", f"{used} of {2**layout.bits} entries used, perplexity {perplexity:.1f}"))
    return lines


def describe_sizes(path: Path, header: Header, start: int, frames: int, layout: Layout) -> list[tuple[str, str]]:
    """What every .ecdc file has."""
    seconds = header.audio_length / layout.sample_rate
    size = path.stat().st_size
    nominal = header.codebooks * layout.bits * layout.sample_rate / layout.hop / 1000
    return [
        ("model", header.model),
        ("duration", f"{seconds:.2f} s, {header.audio_length} samples at {layout.sample_rate} Hz"),
        ("codebooks", f"{header.codebooks} of {layout.codebooks}, {frames} frames"),
        ("bitrate", f"{nominal:g} kbit/s nominal, {size * 8 / 1000 / seconds:.2f} kbit/s with all bytes of the file"),
        ("bytes", f"{size - start} payload, {start} header"),
    ]


def describe_coded(path: Path, coded: CodedHeader, start: int, layout: Layout) -> list[tuple[str, str]]:
    """The same of a file of version 1, whose codes only its language model can read; and how much that model saved."""
    header, layout = coded.header, check(coded, layout, str(path))
    plain = layout.payload_bytes(header.audio_length, header.codebooks)
    size, seconds = path.stat().st_size, coded.chunk_frames * layout.hop / layout.sample_rate
    return [
        *describe_sizes(path, header, start, layout.all_frames(header.audio_length), layout),
        ("predictor", f"{coded.predictor}, starting afresh in each of {len(coded.index)} chunks of {seconds:g} s"),
        ("saved", f"{100 - 100 * size / plain:.1f} % of the {plain} bytes that the codes take without it"),
    ]


def describe_audio(path: Path) -> list[tuple[str, str]]:
    """What the header of an audio file says."""
    info = audio.info(path)
    return [
        ("format", f"{info.format}, {info.subtype}"),
        ("duration", f"{info.seconds:.2f} s, {info.frames} samples"),
        ("rate", f"{info.sample_rate} Hz"),
        ("channels", str(info.channels)),
    ]


def describe_model(codec: "minicodec.Codec") -> list[tuple[str, str]]:
    """Name, size and rates of a model."""
    config = codec.config
    parts = {"encoder": codec.encoder, "decoder": codec.decoder}
    counts = {name: sum(p.data.size for p in part.parameters()) for name, part in parts.items()}
    return [
        ("model", codec.name),
        ("parameters", f"{sum(counts.values())}: " + ", ".join(f"{name} {n}" for name, n in counts.items())),
        ("codebooks", f"{config.quantizer.levels} of {config.quantizer.entries} entries, width {config.seanet.latent}"),
        ("rate", f"{config.sample_rate} Hz, {config.frame_rate:g} frames/s of {config.seanet.hop} samples"),
        ("channels", str(config.channels)),
        ("bitrates", ", ".join(f"{kbps:g}" for kbps in config.bandwidths) + " kbit/s"),
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


def starts_with_magic(path: Path) -> bool:
    """An .ecdc file under another name? What cannot be opened is left to `audio.info`, which says why."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
