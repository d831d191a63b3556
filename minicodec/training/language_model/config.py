"""The configuration of a language model's training: what `--set` can change, and what its run.json holds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from minicodec.codec.language_model import SECONDS, LanguageModelConfig, config_from
from minicodec.codec.model import Codec
from minicodec.errors import InputError, brief
from minicodec.files import write_atomically
from minicodec.training.config import MOST_SECONDS, apply_setting, fill

SIZES = {"D": 128, "layers": 3, "heads": 4, "hidden": 512}  # 2 M multiplications a frame with 8 codebooks of 1024


@dataclass(frozen=True)
class LanguageModelTrainingConfig:
    """The recipe.

    The learning rate rises from 0 during `warmup_steps`, and then falls to 0 along half a cosine.

    steps, batch     updates, and crops in each
    seconds          length of a crop, and of the chunks of an entropy-coded file
    lr, betas, weight_decay     of AdamW
    clip             the largest norm of a gradient; longer ones are shortened to it
    checkpoint_every, keep      steps; how many of the checkpoints stay
    validate_every, valid_chunks     steps; how many chunks of the held-out files
    log_every        steps
    seed             of everything random
    """

    steps: int = 3000
    batch: int = 4
    seconds: float = 5.0
    lr: float = 2e-3
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.1
    clip: float = 1.0
    checkpoint_every: int = 200
    keep: int = 2
    validate_every: int = 200
    valid_chunks: int = 48
    log_every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("steps", "batch", "checkpoint_every", "keep", "validate_every", "valid_chunks", "log_every")
        wrong = [name for name in counts if getattr(self, name) < 1]
        wrong += [name for name in ("seconds", "lr", "clip") if not getattr(self, name) > 0]
        wrong += [name for name in ("warmup_steps", "weight_decay", "seed") if not getattr(self, name) >= 0]
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            wrong.append("betas")
        for count in ("batch", "valid_chunks"):
            wrong += [count, "seconds"] * (getattr(self, count) * self.seconds > MOST_SECONDS)
        if wrong:
            problem = ", ".join(f"{name} = {getattr(self, name)}" for name in dict.fromkeys(wrong))
            raise ValueError(f"{problem} cannot be used")


@dataclass(frozen=True)
class LanguageModelRunConfig:
    """A whole run: the codec, by path and by name; the folder of audio; the model's sizes; the recipe."""

    codec: str
    codec_name: str
    data: str
    model: LanguageModelConfig
    training: LanguageModelTrainingConfig

    def save(self, path: Path) -> None:
        """Write it as JSON, for `load` and for readers."""
        with write_atomically(path, overwrite=True) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def load(path: Path) -> LanguageModelRunConfig:
    """What `LanguageModelRunConfig.save` wrote. InputError: missing or damaged."""
    try:
        return _from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as a run's configuration ({brief(error, 300)})") from error


def for_codec(path: str, codec: Codec, data: str, settings: Sequence[str]) -> LanguageModelRunConfig:
    """The defaults for a codec, changed by settings such as "lr=1e-3" or "model.D=64". InputError as `--set` has it."""
    quantizer = codec.config.quantizer
    context = int(SECONDS * codec.frame_rate)
    model = LanguageModelConfig(quantizer.levels, quantizer.entries, context, **SIZES, zero_past=False)
    training, sizes = (
        asdict(LanguageModelTrainingConfig()),
        {name: getattr(model, name) for name in (*SIZES, "context")},
    )
    for setting in settings:
        apply_setting(setting, training, {"model": sizes})
    values = {"model": asdict(model) | sizes, "training": training}
    try:
        return _from_dict({"codec": path, "codec_name": codec.name, "data": data} | values)
    except ValueError as error:
        raise InputError(f"--set {brief(' '.join(settings), 200)}: {brief(error, 300)}") from None


def with_steps(run: LanguageModelRunConfig, steps: int) -> LanguageModelRunConfig:
    """The same run, longer or shorter; the learning rate takes another course. InputError: steps below 1."""
    try:
        return replace(run, training=replace(run.training, steps=steps))
    except ValueError as error:
        raise InputError(f"--steps {steps}: {error}") from None


def _from_dict(values: Mapping[str, Any]) -> LanguageModelRunConfig:
    model = config_from(values["model"])
    training = fill(LanguageModelTrainingConfig, values["training"])
    if wrong := [name for name in ("codec", "codec_name", "data") if not isinstance(values[name], str)]:
        raise ValueError(f"{', '.join(wrong)} should be a text")
    return LanguageModelRunConfig(**{**values, "model": model, "training": training})
