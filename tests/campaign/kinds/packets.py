"""Coded sound: .ecdc files with and without entropy coding, and live streams."""

import json
import struct

import numpy as np

from minicodec import audio
from tests.campaign.kinds import kind
from tests.campaign.spoil import pick, spoiled_bytes, spoiled_json
from tests.campaign.watch import Case

PLAIN, CODED = ("plain", "scaled"), ("adaptive", "coded", "scaled-adaptive")
STARTS = ("0", "0.5", "1.99", "2", "-1", "nan", "inf", "-inf", "1e400", "1e-9", "9" * 5000, "x", "")


def _spoiled(case: Case, name: str) -> bytes:
    rng, data = case.rng, case.samples[f"{name}.ecdc"]
    if rng.random() < 0.3:
        magic, version, size = struct.unpack("!4sBI", data[:9])
        text = spoiled_json(rng, json.loads(data[9 : 9 + size])).encode("utf-8", "replace")
        size_said = len(text) if rng.random() < 0.9 else int(rng.integers(1 << 32))
        return struct.pack("!4sBI", magic, version, size_said) + text + data[9 + size :]
    return spoiled_bytes(rng, data, header=100)


def _model(case: Case, name: str) -> list[object]:
    model = "pair" if name.startswith("scaled") else "small"
    lm = ["--lm", case.samples.path("lm.safetensors")] if name == "coded" else []
    return ["-m", case.samples.path(f"{model}.safetensors"), *lm]


@kind(".ecdc", 1)
def plain(case: Case) -> None:
    """Without entropy coding: damage to codes is not found, but everything else is."""
    name = pick(case.rng, PLAIN)
    path, out = case.write("in.ecdc", _spoiled(case, name)), case.folder / "out.wav"
    options = ["--start", pick(case.rng, STARTS)] if case.rng.random() < 0.3 else []
    options += ["-r"] if case.rng.random() < 0.2 else []
    if case.command("decode", path, out, *_model(case, name), *options) is not None:
        wav, _ = audio.read(out)
        case.demand(bool(np.isfinite(wav).all()), "sound that is not finite")


@kind(".ecdc, entropy-coded", 1.5)
def coded(case: Case) -> None:
    """Every damage is found: what decodes is what was encoded, and --skip-damaged plays silence for the rest."""
    name = pick(case.rng, CODED)
    data = _spoiled(case, name)
    path, out = case.write("in.ecdc", data), case.folder / "out.wav"
    skip = ["--skip-damaged"] if case.rng.random() < 0.3 else []
    said = case.command("decode", path, out, *_model(case, name), *skip)
    if said is not None and not skip and name in case.samples.decoded:
        wav, _ = audio.read(out)
        good = np.frombuffer(case.samples.decoded[name], np.float32)
        close = wav.size == good.size and np.abs(wav[0] - np.clip(good, -1, 1)).max() < 1 / 32768
        case.demand(bool(close), "damaged, and decoded to something else")


@kind(".ecdc: info", 1)
def info(case: Case) -> None:
    """What is in it, without a model and with one."""
    name = pick(case.rng, (*PLAIN, *CODED))
    path = case.write("in.ecdc", _spoiled(case, name))
    model = _model(case, name)[:2] if case.rng.random() < 0.7 else []
    case.command("info", path, *model, *(["--json"] if case.rng.random() < 0.3 else []))


@kind("stream decode", 0.4)
def stream_decode(case: Case) -> None:
    """Codes from standard input."""
    first = json.dumps({"m": case.samples.codec.name, "nc": 2}).encode() + b"\n"
    data = first + case.rng.bytes(int(case.rng.integers(200)))
    if case.rng.random() < 0.8:
        data = spoiled_bytes(case.rng, data, header=60)
    case.command("stream", "decode", "-m", case.samples.path("small.safetensors"), stdin=data)


@kind("stream encode", 0.3)
def stream_encode(case: Case) -> None:
    """Samples from standard input, or a WAV file that somebody takes for them: its header is never coded as sound."""
    data = case.rng.bytes(int(case.rng.integers(3000)))
    wav = case.rng.random() < 0.3
    if wav:
        data = case.samples.sounds[pick(case.rng, ("pcm16.wav", "float.wav", "pcm24.wav", "wavex.wav", "a.flac"))]
    elif case.rng.random() < 0.3:
        data = spoiled_bytes(case.rng, case.samples.sounds["pcm16.wav"], header=44)
    case.command("stream", "encode", "-m", case.samples.path("small.safetensors"), "-b", "2", stdin=data)
