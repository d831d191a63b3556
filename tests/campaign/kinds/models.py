"""Models: minicodec's own, transformers' and EnCodec's. A damaged one is never taken for a whole one."""

import io
import json
import struct
import zipfile

import minicodec
from minicodec.codec import language_model
from minicodec.codec.config import from_dict
from minicodec.codec.foreign.torch_file import read_torch_file
from tests.campaign.kinds import kind
from tests.campaign.samples import MODEL, STEREO
from tests.campaign.spoil import pick, spoiled_bytes, spoiled_json, spoiled_safetensors
from tests.campaign.watch import Case
from tests.test_convert import SMALL


@kind("model: .safetensors", 4)
def safetensors(case: Case) -> None:
    """Its digest finds every change of numbers and configuration."""
    name = pick(case.rng, ("small", "pair"))
    path = case.write("m.safetensors", spoiled_safetensors(case.rng, case.samples[f"{name}.safetensors"]))
    codec = case.call(minicodec.load, path)
    if codec is not None:
        own = minicodec.load(case.samples.path(f"{name}.safetensors"))
        has_digest = b'\\"digest\\"' in path.read_bytes()
        case.demand(codec.digest == own.digest or not has_digest, "another model, taken for the one that was saved")


@kind("model: info", 0.3)
def info(case: Case) -> None:
    """By the command."""
    name = pick(case.rng, ("small", "pair", "lm"))
    case.command(
        "info", case.write("m.safetensors", spoiled_safetensors(case.rng, case.samples[f"{name}.safetensors"]))
    )


@kind("model: configuration", 3)
def configuration(case: Case) -> None:
    """A configuration without a digest, as older files have it: its sizes are those of the arrays, or it is refused."""
    name, values = pick(case.rng, (("small", MODEL), ("pair", STEREO), ("small", _transform())))
    data = case.samples[f"{name}.safetensors"]
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = {"minicodec": spoiled_json(case.rng, values)}
    text = json.dumps(header).encode()
    path = case.write("m.safetensors", struct.pack("<Q", len(text)) + text + data[8 + size :])
    codec = case.call(minicodec.load, path)
    if codec is not None:
        case.call(codec.encode, case.samples.tone[: codec.channels], refusals=ValueError)


def _transform() -> dict:
    return MODEL | {"transform": {"hop": 32, "latent": 4}, "seanet": None}


@kind("model: preset", 14)
def preset(case: Case) -> None:
    """The values of a TOML preset."""
    values = case.samples.presets[pick(case.rng, list(case.samples.presets))]
    try:
        given = json.loads(spoiled_json(case.rng, values))
    except (ValueError, RecursionError):
        return
    case.call(from_dict, given if isinstance(given, dict) else {"": given}, "preset.toml")


@kind("model: transformers", 4)
def transformers(case: Case) -> None:
    """A folder of transformers."""
    config, data = json.dumps(SMALL), case.samples["theirs/model.safetensors"]
    if case.rng.random() < 0.7:
        config = spoiled_json(case.rng, SMALL)
    else:
        data = spoiled_safetensors(case.rng, data)
    case.write("theirs/config.json", config)
    case.write("theirs/model.safetensors", data)
    if case.rng.random() < 0.1:
        case.command("info", case.folder / "theirs")
    else:
        case.call(minicodec.load, case.folder / "theirs")


@kind("model: .th", 14)
def torch_file(case: Case) -> None:
    """EnCodec's own files: the archive, the pickle in it, or its storages."""
    rng, data = case.rng, case.samples["small.th"]
    if rng.random() < 0.3:
        data = spoiled_bytes(rng, data, header=len(data))
    else:
        file, old = io.BytesIO(), zipfile.ZipFile(io.BytesIO(data))
        with zipfile.ZipFile(file, "w") as archive:
            for entry in old.namelist():
                content = old.read(entry)
                if entry.endswith("data.pkl") or rng.random() < 0.2:
                    content = _spoiled_pickle(rng, content)
                method = zipfile.ZIP_STORED if rng.random() < 0.95 else zipfile.ZIP_DEFLATED
                if rng.random() < 0.97:
                    archive.writestr(zipfile.ZipInfo(entry), content, compress_type=method)
        data = file.getvalue()
    path = case.write("m.th", data)
    if rng.random() < 0.05:
        case.command("info", path)
    else:
        case.call(read_torch_file, path)


def _spoiled_pickle(rng, program: bytes) -> bytes:
    """Instructions that no state dict has, numbers that are too large, names of functions that do harm."""
    evil = (
        b"cos\nsystem\n", b"cbuiltins\neval\n", b"c__builtin__\ngetattr\n", b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"X\x02\x00\x00\x00id\x85R", b"\x93", b"0", b"2", b"(", b"t", b"]", b"}", b"Q", b"R", b"b", b"\x94", b"h\x00",
        b"j\xff\xff\xff\xff", b"r\xff\xff\xff\x7f", b"J\xff\xff\xff\xff", b"J\xff\xff\xff\x7f",
        b"\x8a\x08" + b"\xff" * 8,
        b"X\xff\xff\xff\xff", b"I" + b"9" * 5000 + b"\n", b"\x8b\xff\xff\xff\x7f", b"\x80\x05", b".", b"a", b"s", b"u",
    )  # fmt: skip
    if rng.random() < 0.4:
        return spoiled_bytes(rng, program, header=len(program))
    at = int(rng.integers(len(program)))
    return program[:at] + b"".join(pick(rng, evil) for _ in range(int(rng.integers(1, 4)))) + program[at:]


@kind("model: language model", 10)
def lm(case: Case) -> None:
    """A language model of codes."""
    data = case.samples["lm.safetensors"]
    digest = True
    if case.rng.random() < 0.5:
        data = spoiled_safetensors(case.rng, data)
    else:
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + size])
        about = json.loads(header["__metadata__"]["minicodec_lm"])
        about.pop("digest")
        digest = False
        header["__metadata__"]["minicodec_lm"] = spoiled_json(case.rng, about)
        text = json.dumps(header).encode()
        data = struct.pack("<Q", len(text)) + text + data[8 + size :]
    path = case.write("lm.safetensors", data)
    found = case.call(language_model.load, path)
    if found is not None and digest and b'\\"digest\\"' in data:
        case.demand(found.digest == case.samples.lm.digest, "another model, taken for the one that was saved")
