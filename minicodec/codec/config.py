"""The configuration of a codec: frozen dataclasses, read from the TOML presets beside this file."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from minicodec.codec.files.bitstream import Layout
from minicodec.codec.seanet import SEANetConfig
from minicodec.codec.transform import TransformConfig
from minicodec.errors import InputError, brief

# What an integer may be, whoever wrote it: no model that is a codec has more, and one that had would take all memory.
RANGES = {
    "filters": (2, 1 << 13), "lstm_layers": (0, 8), "residual_units": (0, 64), "kernel": (1, 64),
    "residual_kernel": (1, 64), "levels": (1, 1024), "entries": (2, 1 << 15), "channels": (1, 64),
    "sample_rate": (1, 1 << 22), "chunk_samples": (1, 1 << 32), "chunk_stride": (1, 1 << 32),
    "noise_from": (0, 1 << 12), "beam": (1, 64),
}  # fmt: skip
OTHERWISE = (1, 1 << 13)
WIDEST = 1 << 12  # channels of the innermost layer; the published models have 512
CODEBOOKS_LIMIT = 1 << 26  # numbers in all codebooks together; published: 1 << 22
LENGTH_LIMIT = 64  # of texts and of lists
PRESETS = ("encodec_24khz", "encodec_48khz", "mini_24khz", "tiny_24khz", "transform_24khz")


@dataclass(frozen=True)
class QuantizerConfig:
    """`levels` codebooks (Q) of `entries` codewords (N).

    beam     how many choices the encoder follows at once [quantizer.beam_search]; 1: the nearest codeword at each level
    """

    levels: int = 8
    entries: int = 1024
    beam: int = 1


@dataclass(frozen=True)
class CodecConfig:
    """All that defines a codec but its weights.

    name           of the architecture; written into files
    bandwidths     the rates on offer, kbps
    seanet, transform     the networks around the quantizer: one of the two
    chunk_samples  None to code a signal in one piece; else its chunks' length, and chunk_stride their distance
    normalize      divide each chunk by its RMS level, and send that
    """

    name: str
    sample_rate: int
    channels: int
    bandwidths: tuple[float, ...]
    quantizer: QuantizerConfig
    seanet: SEANetConfig | None = None
    transform: TransformConfig | None = None
    chunk_samples: int | None = None
    chunk_stride: int | None = None
    normalize: bool = False

    def __post_init__(self) -> None:
        if (self.seanet is None) == (self.transform is None):
            raise ValueError("a codec needs one of the tables seanet and transform")
        if self.transform and self.channels != 1:
            raise ValueError(f"transform: codes 1 channel, not {self.channels}")
        if self.quantizer.entries & (self.quantizer.entries - 1) or self.quantizer.entries < 2:
            raise ValueError(f"{self.quantizer.entries} entries: codes need a power of two")
        if (self.chunk_samples is None) != (self.chunk_stride is None):
            raise ValueError("chunk_samples and chunk_stride go together")
        for kbps in self.bandwidths:
            if not 1 <= self.levels(kbps) <= self.quantizer.levels:
                raise ValueError(f"{kbps:g} kbps need {self.levels(kbps)} of {self.quantizer.levels} codebooks")

    @property
    def network(self) -> SEANetConfig | TransformConfig:
        """The options of the one that there is."""
        network = self.seanet or self.transform
        assert network is not None
        return network

    @property
    def frame_rate(self) -> float:
        """Latent frames per second."""
        return self.sample_rate / self.network.hop

    @property
    def bits(self) -> int:
        """Bits per code: 10 for 1024 entries."""
        return self.quantizer.entries.bit_length() - 1

    def levels(self, kbps: float) -> int:
        """The number of codebooks that come closest to a rate without exceeding it.

        Where the frame rate is no whole number it counts as the next one, as in `transformers`: a second has so many.
        """
        frames = -(-self.sample_rate // self.network.hop)
        return int(kbps * 1000 / (frames * self.bits) + 1e-9)

    @property
    def layout(self) -> Layout:
        """What the bitstream has to know about the model."""
        return Layout(
            sample_rate=self.sample_rate,
            hop=self.network.hop,
            codebooks=self.quantizer.levels,
            bits=self.bits,
            scales=self.normalize,
            chunk_samples=self.chunk_samples,
            chunk_stride=self.chunk_stride,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as TOML and JSON have them; `from_dict` reads them back."""
        absent = "transform" if self.transform is None else "seanet"
        return {name: value for name, value in asdict(self).items() if name != absent}

    @property
    def identity(self) -> str:
        """The configuration as a line of text, for hashes.

        Options at their defaults are left out: so an option that is new makes no other model of an old one.
        """
        return json.dumps(_chosen(self), sort_keys=True)


def _chosen(table: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults."""
    values = {f.name: getattr(table, f.name) for f in fields(table) if getattr(table, f.name) != f.default}
    return {name: _chosen(value) if is_dataclass(value) else value for name, value in values.items()}


def from_dict(values: Mapping[str, Any], name: str) -> CodecConfig:
    """A configuration from the values of a TOML or JSON file called `name`, which may come from anywhere.

    InputError says what is wrong with it: options that are missing or that nobody knows, a text where a number belongs,
    numbers that no codec has.
    """
    try:
        if "seanet" not in values and "transform" not in values:
            values = {**values, "seanet": {}}  # all its options at their defaults
        config: CodecConfig = _checked(CodecConfig, values, "the configuration")
        seanet, transform, quantizer = config.seanet, config.transform, config.quantizer
        if seanet and seanet.filters << len(seanet.strides) > WIDEST:
            raise ValueError(f"{seanet.filters} filters, doubled {len(seanet.strides)} times, exceed {WIDEST}")
        if transform and transform.hop > WIDEST:
            raise ValueError(f"a hop of {transform.hop} frequencies exceeds {WIDEST}")
        if transform and not (0.1 <= transform.power <= 0.99 and 1e-6 <= transform.smoothing <= 1):
            raise ValueError(f"a power of {transform.power:g}, smoothed by {transform.smoothing:g}, is no companding")
        if quantizer.levels * quantizer.entries * config.network.latent > CODEBOOKS_LIMIT:
            raise ValueError(f"its codebooks would have more than {CODEBOOKS_LIMIT} numbers")
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}") from None
    return config


def preset(name: str) -> CodecConfig:
    """The configuration of a preset. InputError lists the presets there are."""
    values = preset_values(name)
    values.pop("training", None)
    return from_dict(values, name)


def preset_values(name: str) -> dict[str, Any]:
    """All that a preset's TOML file says, the recipe in its table [training] included.

    name: one of PRESETS, or the path of a file of somebody's own, which ends in .toml. InputError: no such preset.
    """
    if name.endswith(".toml"):
        try:
            return tomllib.loads(Path(name).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{name}: cannot be read ({error.strerror or error})") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name}: is no TOML ({brief(error)})") from error
    if name not in PRESETS:
        raise InputError(f"{name}: no such preset; there are {', '.join(PRESETS)}, and TOML files of your own")
    return tomllib.loads((files("minicodec.codec") / "presets" / f"{name}.toml").read_text(encoding="utf-8"))


def _checked(kind: Any, value: Any, name: str) -> Any:
    """The value as `kind`, the type of the option `name`: lists become tuples, tables dataclasses. ValueError."""
    if is_dataclass(kind):
        return _checked_table(kind, value, name)
    if type(None) in get_args(kind):
        return None if value is None else _checked(get_args(kind)[0], value, name)
    if get_args(kind):  # tuple[int, ...]
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= LENGTH_LIMIT:
            raise ValueError(f"{name} should be a list of 1 to {LENGTH_LIMIT} numbers")
        return tuple(_checked(get_args(kind)[0], item, name) for item in value)
    if kind is float:
        if type(value) not in (int, float) or not 0 < value < 1e9:
            raise ValueError(f"{name} should be a number above 0, not {brief(value)}")
        return float(value)
    if type(value) is not kind:  # not isinstance: True is an int
        raise ValueError(f"{name} should be {kind.__name__}, not {brief(value)}")
    if kind is int:
        least, most = RANGES.get(name, OTHERWISE)
        if not least <= value <= most:
            raise ValueError(f"{name} should be {least} … {most}, not {brief(value)}")
    elif kind is str:
        is_text = 1 <= len(value) <= LENGTH_LIMIT and value.isprintable()
        if not is_text or value[0] == "." or set(value) & set("/\\:"):  # a folder is named after the model
            raise ValueError(f"{name} should be a word, not {brief(value)}")
    return value


def _checked_table(cls: Any, values: Any, name: str) -> Any:
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} should be a table, not {brief(values)}")
    known = {f.name: f for f in fields(cls)}
    unknown = sorted(str(key) for key in values if key not in known)
    if unknown:
        raise ValueError(f"unknown option {brief(', '.join(unknown))}; there are {', '.join(sorted(known))}")
    absent: dict[str, Any] = {f.name: {} for f in known.values() if is_dataclass(f.type) and f.name not in values}
    values = dict(values) | absent
    missing = [f.name for f in known.values() if f.name not in values and f.default is MISSING]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")
    return cls(**{key: _checked(known[key].type, value, key) for key, value in values.items()})
