"""Weights in .safetensors files, as minicodec reads and writes them: 8 bytes that say how long the JSON is, the JSON
(each array's type, shape and place), and the arrays. Nothing here is an exercise.
"""

import hashlib
import json
import struct

import numpy as np

from minicodec.course.my_codec.quantizer import Codec
from minicodec.course.my_codec.tensor import parameters
from minicodec.course.my_codec.transform import TransformCodec

MINE = {  # begins as chapter 9 ends; the networks are half as deep as in the library's preset transform_24khz
    "name": "mine_24khz", "sample_rate": 24_000, "channels": 1, "bandwidths": [0.75, 1.5, 3.0, 6.0],
    "transform": {
        "hop": 320, "latent": 64, "power": 0.75, "smoothing": 0.2, "encoder": [1, 2], "decoder": [1, 2, 4, 1],
        "noise_from": 53,  # 2 kHz
    },
    "quantizer": {"levels": 8, "entries": 1024},
}  # fmt: skip
TINY = {  # the library's preset tiny_24khz: begins at random weights
    "name": "tiny_24khz", "sample_rate": 24_000, "channels": 1, "bandwidths": [0.75, 1.5, 3.0, 6.0],
    "seanet": {"filters": 8, "latent": 32, "strides": [2, 4, 5, 8], "lstm_layers": 1, "shortcut": "identity"},
    "quantizer": {"levels": 8, "entries": 1024},
}  # fmt: skip
# What minicodec takes for granted. my_codec has no others of the lower six of SEANET.
SEANET = {
    "filters": 32, "latent": 128, "strides": [2, 4, 5, 8], "lstm_layers": 2,
    "shortcut": "conv", "kernel": 7, "residual_kernel": 3, "residual_units": 1, "norm": "weight_norm", "causal": True,
    "pad_mode": "zero",
}  # fmt: skip
TRANSFORM = {
    "hop": 320, "latent": 64, "power": 0.75, "smoothing": 0.2, "encoder": [1, 2, 4, 1, 2],
    "decoder": [1, 2, 4, 1, 2, 4, 1, 2], "noise_from": 0,
}  # fmt: skip
QUANTIZER = {"levels": 8, "entries": 1024, "beam": 1}  # my_codec takes the nearest codeword, whatever the beam
USUAL = {"seanet": SEANET, "transform": TRANSFORM, "quantizer": QUANTIZER}
TYPES = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}


def build(config, rng):
    """A new codec: its networks are those that the config has a table for."""
    return (TransformCodec if "transform" in config else Codec)(config, rng)


def hop(config):
    """Samples per frame."""
    return config["transform"]["hop"] if "transform" in config else int(np.prod(config["seanet"]["strides"]))


def save(codec, path):
    """Write a codec to a file that minicodec reads."""
    arrays = _arrays(codec)
    more = {"chunk_samples": None, "chunk_stride": None, "normalize": False}
    digest = _digest(arrays, codec.config).hexdigest()
    about = {"config": _complete(codec.config) | more, "digest": digest}
    header, at = {"__metadata__": {"minicodec": json.dumps(about)}}, 0
    for name, a in arrays.items():
        kind = next(kind for kind, dtype in TYPES.items() if np.dtype(dtype) == a.dtype)
        header[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(a.tobytes() for a in arrays.values()))


def load(path):
    """The codec in a file that `save` wrote, or minicodec. ValueError: it is of a kind that my_codec does not know."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        (size,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + size])
        config = json.loads(header.pop("__metadata__")["minicodec"])
        config = config.get("config", config)  # older files have it alone
        arrays = {name: _array(data[8 + size :], **about) for name, about in header.items()}
        config = _complete(config)
        net = config.get("seanet", {"shortcut": "identity"})
        wrong = {k: v for k, v in net.items() if k not in list(SEANET)[:4] and v != SEANET[k]}
        if wrong.pop("shortcut", "conv") != "identity" or wrong or config["channels"] != 1:
            raise ValueError("only codecs with the options of tiny, mini and transform_24khz, in any size")
        codec = build(config, np.random.default_rng(0))
        _fill(codec, arrays)
    except (KeyError, TypeError, struct.error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"it is no codec's file ({error})") from None
    return codec


def name(codec):
    """What .ecdc files call this codec: two trainings of one preset are two models."""
    return f"{codec.config['name']}-{_digest(_arrays(codec), codec.config).hexdigest()[:8]}"


def _complete(config):
    """The config with all options in its tables."""
    return config | {table: usual | config[table] for table, usual in USUAL.items() if table in config}


def _array(data, dtype, shape, data_offsets):
    start, stop = data_offsets
    a = np.frombuffer(data[start:stop], TYPES[dtype]).reshape(shape)
    return a.astype(np.float32) if dtype == "F16" else a.copy()


def _arrays(codec):
    """All that a file of the codec holds, in the order of the names."""
    levels = codec.quantizer.levels
    arrays = {path: w.data for path, w in parameters(codec).items()}
    arrays["quantizer.codebooks"] = np.stack([level.codewords for level in levels])
    arrays["quantizer.counts"] = np.stack([level.counts for level in levels]).astype(np.float32)
    arrays["quantizer.updates"] = np.array([level.updates for level in levels], np.int64)
    return {path: np.ascontiguousarray(arrays[path]) for path in sorted(arrays)}


def _fill(codec, arrays):
    for path, w in parameters(codec).items():
        if arrays[path].shape != w.data.shape:
            raise ValueError(f"{path} has shape {arrays[path].shape}, not {w.data.shape}")
        w.data = arrays[path]
        w.requires_grad = False  # to code with, not to be trained
    for n, level in enumerate(codec.quantizer.levels):
        level.codewords, level.counts = arrays["quantizer.codebooks"][n], arrays["quantizer.counts"][n]
        level.updates = int(arrays["quantizer.updates"][n])
        level.sums = level.codewords * level.counts[:, None]
    codec.quantizer.ready = sum(level.updates > 0 for level in codec.quantizer.levels)


def _digest(arrays, config):
    """Of all arrays, and of the options that are not those that minicodec takes for granted."""
    digest = hashlib.sha256()
    for path, a in arrays.items():
        digest.update(path.encode())
        digest.update(a.tobytes())
    chosen = {key: config[key] for key in ("name", "sample_rate", "channels", "bandwidths")}
    for table, usual in USUAL.items():
        if table in config:
            chosen[table] = {key: value for key, value in config[table].items() if value != usual[key]}
    digest.update(json.dumps(chosen, sort_keys=True).encode())
    return digest
