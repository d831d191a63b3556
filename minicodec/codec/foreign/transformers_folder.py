"""Models as `transformers` publishes them: a folder with config.json and model.safetensors.

Its EncodecModel is the same network with the same options under other names; `facebook/encodec_24khz` and
`facebook/encodec_48khz` are the published models.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from minicodec.codec import weights
from minicodec.codec.config import CodecConfig, from_dict, preset
from minicodec.codec.foreign.convert import TRANSFORMERS, TRANSFORMERS_PARAMETRIZED, take_over
from minicodec.codec.model import PUBLISHED, Codec
from minicodec.errors import InputError, brief

CONFIG, WEIGHTS = "config.json", "model.safetensors"
CONFIG_LIMIT = 1 << 20  # bytes; real ones have about 1000
FIXED = {"model_type": "encodec", "compress": 2, "dilation_growth_rate": 2, "trim_right_ratio": 1.0}
PAD_MODES = {"reflect": "reflect", "constant": "zero"}


def load_transformers(folder: Path) -> Codec:
    """The codec in a folder of `transformers`. InputError, naming the file: something is missing or does not fit."""
    config = _read_config(folder / CONFIG)
    path = folder / WEIGHTS
    state, _ = weights.read(path)
    try:
        codec = Codec(config, rng=weights.blank(state))
    except ValueError as error:
        raise InputError(f"{folder / CONFIG}: describes no EnCodec model that we know: {error}") from None
    parametrized = any(".parametrizations." in key for key in state)
    try:
        weights.check_finite(state)
        take_over(codec, state, TRANSFORMERS_PARAMETRIZED if parametrized else TRANSFORMERS)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    codec.eval()
    return codec


def _read_config(path: Path) -> CodecConfig:
    try:
        with open(path, "rb") as file:
            values = json.loads(file.read(CONFIG_LIMIT))
        return to_config(values, str(path))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except KeyError as error:
        raise InputError(f"{path}: does not say {brief(error)}") from None
    except (ValueError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{path}: describes no EnCodec model that we know: {error}") from None


def to_config(values: Mapping[str, Any], path: str) -> CodecConfig:
    """What config.json, at the path, says, in our words. InputError, ValueError, KeyError, TypeError: it cannot be.

    The two published architectures get their published names; any other is called "transformers".
    """
    for name, value in FIXED.items():
        if values[name] != value:
            raise ValueError(f"{name} is {brief(values[name])}, only {value} is supported")
    for name, same in (("last_kernel_size", "kernel_size"), ("codebook_dim", "hidden_size")):
        if values[name] != values[same]:
            other = brief(values[same])
            raise ValueError(f"{name} is {brief(values[name])}, only that of {same} is supported, {other}")
    ratios, rate, entries = values["upsampling_ratios"], values["sampling_rate"], values["codebook_size"]
    seconds, bandwidths = values["chunk_length_s"], values["target_bandwidths"]
    reals = [*bandwidths, 0 if seconds is None else seconds]
    # Before anything is multiplied: a text times a number is a text, of gigabytes if the number is large.
    if any(type(n) is not int for n in (rate, entries, *ratios)) or any(type(n) not in (int, float) for n in reals):
        raise ValueError("rates, sizes, ratios and seconds must be numbers")
    chunk = None if seconds is None else int(seconds * rate)
    bits = (entries - 1).bit_length()
    frame_rate = -(-rate // math.prod(ratios))
    ours = {
        "name": "transformers",
        "sample_rate": rate,
        "channels": values["audio_channels"],
        "bandwidths": bandwidths,
        "seanet": {
            "filters": values["num_filters"],
            "latent": values["hidden_size"],
            "strides": ratios[::-1],
            "kernel": values["kernel_size"],
            "residual_kernel": values["residual_kernel_size"],
            "residual_units": values["num_residual_layers"],
            "lstm_layers": values["num_lstm_layers"],
            "norm": values["norm_type"],
            "causal": values["use_causal_conv"],
            "pad_mode": PAD_MODES[values["pad_mode"]],
            "shortcut": "conv" if values.get("use_conv_shortcut", True) else "identity",  # older files do not say
        },
        "quantizer": {"levels": int(1000 * bandwidths[-1] // (frame_rate * bits)), "entries": entries},
        "chunk_samples": chunk,
        "chunk_stride": None if chunk is None else int((1 - values["overlap"]) * chunk),
        "normalize": values["normalize"],
    }
    config = from_dict(ours, path)
    for name in PUBLISHED:
        published = preset(name)
        if replace(config, name=name) == published:
            return published
    return config
