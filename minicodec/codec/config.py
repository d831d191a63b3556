"""The configuration of a codec: frozen dataclasses, read from the TOML presets beside this file."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from typing import Any

from minicodec.codec.files.bitstream import Layout
from minicodec.codec.seanet import SEANetConfig
from minicodec.errors import InputError

PRESETS = ("encodec_24khz", "encodec_48khz", "mini_24khz", "tiny_24khz")


@dataclass(frozen=True)
class QuantizerConfig:
    """`levels` codebooks (Q) of `entries` codewords (N)."""

    levels: int = 8
    entries: int = 1024


@dataclass(frozen=True)
class CodecConfig:
    """All that defines a codec but its weights.

    name           of the architecture; written into files
    bandwidths     the rates on offer, kbps
    chunk_samples  None to code a signal in one piece; else its chunks' length, and chunk_stride their distance
    normalize      divide each chunk by its RMS level, and send that
    """

    name: str
    sample_rate: int
    channels: int
    bandwidths: tuple[float, ...]
    seanet: SEANetConfig
    quantizer: QuantizerConfig
    chunk_samples: int | None = None
    chunk_stride: int | None = None
    normalize: bool = False

    def __post_init__(self) -> None:
        if self.quantizer.entries & (self.quantizer.entries - 1) or self.quantizer.entries < 2:
            raise ValueError(f"{self.quantizer.entries} entries: codes need a power of two")
        for kbps in self.bandwidths:
            if not 1 <= self.levels(kbps) <= self.quantizer.levels:
                raise ValueError(f"{kbps} kbps need {self.levels(kbps)} of {self.quantizer.levels} codebooks")

    @property
    def frame_rate(self) -> float:
        """Latent frames per second."""
        return self.sample_rate / self.seanet.hop

    @property
    def bits(self) -> int:
        """Bits per code: 10 for 1024 entries."""
        return self.quantizer.entries.bit_length() - 1

    def levels(self, kbps: float) -> int:
        """The number of codebooks that come closest to a rate without exceeding it."""
        return int(kbps * 1000 / (self.frame_rate * self.bits) + 1e-9)

    @property
    def layout(self) -> Layout:
        """What the bitstream has to know about the model."""
        return Layout(
            sample_rate=self.sample_rate,
            hop=self.seanet.hop,
            codebooks=self.quantizer.levels,
            bits=self.bits,
            scales=self.normalize,
            chunk_samples=self.chunk_samples,
            chunk_stride=self.chunk_stride,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as TOML and JSON have them; `from_dict` reads them back."""
        return asdict(self)


def from_dict(values: Mapping[str, Any], name: str) -> CodecConfig:
    """A configuration from the values of a TOML or JSON file called `name`. InputError says what is wrong with it."""
    try:
        given = dict(values)
        given["seanet"] = _fill(SEANetConfig, given.get("seanet", {}))
        given["quantizer"] = _fill(QuantizerConfig, given.get("quantizer", {}))
        return _fill(CodecConfig, given)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}") from None


def preset(name: str) -> CodecConfig:
    """The configuration of a preset. InputError lists the presets there are."""
    values = preset_values(name)
    values.pop("training", None)
    return from_dict(values, name)


def preset_values(name: str) -> dict[str, Any]:
    """All that a preset's TOML file says, the recipe in its table [training] included. InputError: no such preset."""
    if name not in PRESETS:
        raise InputError(f"{name}: no such preset; there are {', '.join(PRESETS)}")
    return tomllib.loads((files("minicodec.codec") / "presets" / f"{name}.toml").read_text(encoding="utf-8"))


def _fill(cls: Any, values: Mapping[str, Any]) -> Any:
    """A dataclass from a table; TOML's and JSON's lists become tuples."""
    known = {f.name for f in fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"unknown option {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
