"""Audio files of each container: bits, lengths and chunks that lie, ends that are missing, names that do not fit."""

import struct
from pathlib import Path

from minicodec import audio
from tests.campaign.kinds import kind
from tests.campaign.spoil import EDGES, pick, spoiled_bytes
from tests.campaign.watch import Case


def _spoiled(case: Case) -> Path:
    """A file that may have another suffix than its content."""
    rng, name = case.rng, pick(case.rng, list(case.samples.sounds))
    data = case.samples.sounds[name]
    match int(rng.integers(6)):
        case 0:
            data = data[: int(rng.integers(len(data)))]
        case 1 if data[:4] in (b"RIFF", b"RF64", b"FORM"):
            data = _other_chunks(rng, data)
        case 2:
            other = case.samples.sounds[pick(rng, list(case.samples.sounds))]
            data = data[: int(rng.integers(len(data)))] + other[int(rng.integers(len(other))) :]
        case _:
            data = spoiled_bytes(rng, data, header=int(pick(rng, (48, 200, 1000))))
    suffix = Path(name).suffix if rng.random() < 0.9 else Path(pick(rng, list(case.samples.sounds))).suffix
    return case.write(f"in{suffix}", data)


def _other_chunks(rng, data: bytes) -> bytes:
    """Of a RIFF or IFF file: a chunk's size or place changed, one left out, one twice, or a strange one between."""
    order = "<" if data[:1] == b"R" else ">"
    chunks, at = [], 12
    while at + 8 <= len(data):
        (size,) = struct.unpack(order + "I", data[at + 4 : at + 8])
        chunks.append([data[at : at + 4], size, data[at + 8 : at + 8 + size]])
        at += 8 + size + size % 2
    if not chunks:
        return data
    one = pick(rng, chunks)
    match int(rng.integers(6)):
        case 0:
            one[1] = (pick(rng, EDGES) + int(rng.integers(-2, 3))) % (1 << 32)
        case 1:
            chunks.remove(one)
        case 2:
            chunks.insert(int(rng.integers(len(chunks) + 1)), one)
        case 3:
            chunks.insert(int(rng.integers(len(chunks) + 1)), [b"LIST", 8, b"INFOIART"])
        case 4:
            rng.shuffle(chunks)
        case _:
            one[2] = spoiled_bytes(rng, one[2], header=40)
    body = b"".join(name + struct.pack(order + "I", size) + content + b"\0" * (len(content) % 2)
                    for name, size, content in chunks)  # fmt: skip
    return data[:12] + body


@kind("audio: info", 0.6)
def info(case: Case) -> None:
    """The header alone."""
    case.command("info", _spoiled(case))


@kind("audio: read", 20)
def read(case: Case) -> None:
    """All of it, or a part; what comes has the shape that was asked for."""
    path, rng = _spoiled(case), case.rng
    start, frames = int(pick(rng, (0, 0, 1, 1000, 10**9))), pick(rng, (None, 1, 500, 10**9))
    found = case.call(audio.read, path, start=start, frames=frames, exact=bool(rng.integers(2)))
    if found:
        wav, rate = found
        case.demand(wav.ndim == 2 and 0 < wav.shape[1] <= (frames or wav.shape[1]), f"shape {wav.shape}")
        case.demand(audio.RATES[0] <= rate <= audio.RATES[1], f"{rate} Hz")
        about = audio.info(path)
        whole = sum(block.shape[1] for block in audio.blocks(path, 777)) if not start and frames is None else None
        case.demand(whole in (None, wav.shape[1]), f"in blocks {whole} frames, at once {wav.shape[1]}")
        case.demand(about.channels == len(wav), f"{about.channels} channels are {len(wav)}")


@kind("audio: encode", 0.7)
def encode(case: Case) -> None:
    """To an .ecdc file, which is whole."""
    path, out = _spoiled(case), case.folder / "out.ecdc"
    options = ["--lm", "adaptive"] if case.rng.random() < 0.2 else []
    said = case.command("encode", path, out, "-m", case.samples.path("small.safetensors"), "-b", "2", *options)
    if said is not None:
        case.demand(out.is_file(), "there is no file")
        wav = case.samples.codec.decompress(out.read_bytes())
        about = audio.info(path)
        case.demand(wav.size > 0, f"{about} became nothing")


@kind("audio: - to -", 0.2)
def piped(case: Case) -> None:
    """From standard input to standard output."""
    path = _spoiled(case)
    data = path.read_bytes()
    path.unlink()
    out = case.command(
        "encode", "-", "-", "-m", case.samples.path("small.safetensors"), "-b", "2", stdin=data, prefix=""
    )
    case.demand(out is None or out[:4] == b"ECDC", "printed no .ecdc file")
