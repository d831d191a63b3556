"""The configuration of a training run: what `--set key=value` can change, and what `run.json` in its folder holds.

A preset's TOML file has the model's options at its top, in [seanet] and in [quantizer], and in [training] those in
which its recipe differs from the defaults here. `--set` addresses all of them by their place in this tree:

    --set steps=500  --set loss.mel=2  --set seanet.filters=8  --set bandwidths=[1.5,6]
"""

import difflib
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from minicodec.codec import config as codec_config
from minicodec.codec.config import CodecConfig
from minicodec.codec.model import PUBLISHED
from minicodec.errors import InputError, brief
from minicodec.files import write_atomically
from minicodec.metrics import MEL_FLOOR
from minicodec.training.losses import MDCT_SIZE
from minicodec.training.transform_start import CROPS

LARGEST = 1e18  # of all numbers, so none is infinite; and none is NaN
LONGEST_WINDOW = 1 << 16  # samples
MOST_WINDOWS = 16  # of one kind
MOST_FILTERS = 1 << 12
MOST_SECONDS = 100_000  # of sound at a time, in a step or a validation
RETIRED = {"graphs"}  # options in the run.json of older runs that changed no result: such runs go on without them


@dataclass(frozen=True)
class AugmentationConfig:
    """More sounds than the files hold [augment]. Gains in dB, decay times in seconds.

    enabled     or plain crops
    two, three  probabilities that an example mixes so many sources
    gain        lowest and highest
    reverb      probability of a room for each source, music on its own excepted
    rt60        shortest and longest time in which a room's reverb decays by 60 dB
    """

    enabled: bool = False
    two: float = 0.24
    three: float = 0.12
    gain: tuple[float, ...] = (-10.0, 6.0)
    reverb: float = 0.2
    rt60: tuple[float, ...] = (0.3, 1.3)

    def __post_init__(self) -> None:
        wrong = [name for name in ("two", "three", "reverb") if not 0 <= getattr(self, name) <= 1]
        if self.two + self.three > 1:
            wrong.append("two + three")
        if len(self.gain) != 2 or not self.gain[0] <= self.gain[1]:
            wrong.append("gain")
        if len(self.rt60) != 2 or not 0 < self.rt60[0] <= self.rt60[1]:
            wrong.append("rt60")
        if wrong:
            raise ValueError(f"augment: {', '.join(wrong)} cannot be used")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses, in a plain sum, until the adversary takes part.

    l1            of the waveform. Strong, since mel spectrograms alone teach no phase; see `TrainingConfig`
    mel           of the multi-scale mel loss, at `mel_windows` samples; `warmup_mel` during the warm-up, in which the
                  waveform comes first
    commitment    of the encoder to the codewords, always
    mel_drawn     so many of the windows, drawn at random for each step, stand for all; 0: all of them
    mel_kind      fitting, absolute or published [losses.MelLoss]
    mel_relative  in it, the weight of differences relative to the level of a crop [losses.MelLoss]; 0: none
    mel_level     in it, the weight of differences of the power in a band, all of a crop together; 0: none
    mel_floor     added to the spectrograms before the logarithm: what is softer hardly counts
    l1_below      Hz: above, the difference counts by a factor of `l1_above` [losses.WaveformLoss]; 0: no such limit
    """

    l1: float = 10.0
    mel: float = 1.0
    warmup_mel: float = 0.1
    commitment: float = 1.0
    mel_windows: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048)
    mel_drawn: int = 0
    mel_relative: float = 0.0
    mel_level: float = 0.0
    l1_below: float = 0.0
    l1_above: float = 0.0
    mel_floor: float = MEL_FLOOR
    mel_kind: str = "fitting"

    def __post_init__(self) -> None:
        weights = ("l1", "l1_above", "mel", "warmup_mel", "commitment", "mel_relative", "mel_level")
        wrong = [name for name in weights if getattr(self, name) < 0]
        if wrong:
            raise ValueError(f"{', '.join(f'loss.{name} = {getattr(self, name)}' for name in wrong)} cannot be used")
        if len(self.mel_windows) > MOST_WINDOWS:
            raise ValueError(f"loss.mel_windows has more than {MOST_WINDOWS} entries")
        if any(window not in range(32, LONGEST_WINDOW + 1, 4) for window in self.mel_windows):
            limits = f"multiples of 4, from 32 to {LONGEST_WINDOW}"
            raise ValueError(f"loss.mel_windows = {self.mel_windows} cannot be used: {limits}")
        if self.mel_kind not in ("fitting", "absolute", "published"):
            raise ValueError(f"loss.mel_kind = {self.mel_kind!r}: choose fitting, absolute or published")
        if not 0 <= self.mel_drawn <= len(self.mel_windows):
            raise ValueError(f"loss.mel_drawn = {self.mel_drawn} cannot be used: there are {len(self.mel_windows)}")
        if self.l1_below < 0 or not self.mel_floor > 0:
            raise ValueError(f"loss.l1_below = {self.l1_below}, loss.mel_floor = {self.mel_floor} cannot be used")


@dataclass(frozen=True)
class AdversaryConfig:
    """The discriminator, and how much it and the other losses count from step `start` on [Defossez22, §3.4].

    enabled              or reconstruction losses alone
    start                the step at which it joins: until then it does not judge
    learns_before        steps before `start` in which it learns already: what it says at first is noise
    probability          of its update in a step: it learns more easily than the decoder
    windows, filters     of its STFTs in samples, one for each scale; channels of its convs
    slope                of its LeakyReLU: 0.2 in the paper, 0.3 in AudioCraft
    lr, betas            of its Adam
    kind                 hinge, or linear as in AudioCraft
    normalized           feature matching relative to the features' size, or plain
    balanced             the balancer makes l1, mel, adversarial and feature the shares of the gradient; or a plain sum
    decay                of the balancer's averages
    """

    enabled: bool = False
    start: int = 0
    learns_before: int = 0
    probability: float = 2 / 3
    windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)
    filters: int = 32
    slope: float = 0.2
    lr: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.9)
    kind: str = "hinge"
    normalized: bool = True
    balanced: bool = True
    decay: float = 0.999
    l1: float = 0.1
    mel: float = 1.0
    adversarial: float = 3.0
    feature: float = 3.0

    def __post_init__(self) -> None:
        wrong = [name for name in ("filters", "lr") if not getattr(self, name) > 0]
        not_negative = ("l1", "mel", "adversarial", "feature", "start", "learns_before")
        wrong += [name for name in not_negative if getattr(self, name) < 0]
        wrong += [name for name in ("probability", "decay", "slope") if not 0 <= getattr(self, name) <= 1]
        wrong += ["windows"] * (not 16 <= min(self.windows) <= max(self.windows) <= LONGEST_WINDOW)
        wrong += ["filters"] * (self.filters > MOST_FILTERS) + ["windows"] * (len(self.windows) > MOST_WINDOWS)
        wrong += ["kind"] * (self.kind not in ("hinge", "linear"))
        wrong += ["betas"] * (len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas))
        if self.balanced and not any((self.l1, self.mel, self.adversarial, self.feature)):
            raise ValueError("adversary: l1, mel, adversarial and feature are all 0, so there are no shares to balance")
        if wrong:
            settings = ", ".join(f"adversary.{name} = {getattr(self, name)}" for name in wrong)
            raise ValueError(f"{settings} cannot be used")


@dataclass(frozen=True)
class TrainingConfig:
    """The recipe.

    A run starts with `warmup_steps` without quantizer, so that codebooks are made from latents that mean something:
    quantized from the first step, a small run learns the spectral envelope alone, and all bitrates sound alike. Then
    k-means starts one level after the other; from then on each batch draws one of the model's bandwidths [Defossez22,
    §3.2], except for a share `unquantized` of the batches, which goes on to train without [Defossez24, §3.3].

    steps, batch     updates, and crops in each
    seconds          length of a crop
    pauses           share of the crops in which some tenths fall silent [augment.Pauses]
    rates            kbps, to draw from, with one listed twice drawn twice as often; empty: the model's bandwidths
    rate_per_item    each item of a batch draws its own
    lr, betas        of Adam
    cooldown         share of the steps, at the end, over which all learning rates fall to 0 [learning_rate]
    ema              decay of the averaged weights, which are what is validated and used
    ema_corrected    by the factor 1 / (1 - ema^steps), as in AudioCraft: the weights at the start have no part in them
    checkpoint_every, keep         steps; how many of the checkpoints stay
    validate_every, valid_clips, valid_seconds     steps; how many excerpts, of which length
    log_every        steps
    loss, adversary, augment       tables of their own
    seed             of everything random
    """

    steps: int = 100_000
    batch: int = 8
    seconds: float = 1.0
    lr: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.9)
    cooldown: float = 0.0
    ema: float = 0.99
    ema_corrected: bool = False
    warmup_steps: int = 1000
    unquantized: float = 0.0
    pauses: float = 0.0
    rates: tuple[float, ...] = ()
    rate_per_item: bool = False
    checkpoint_every: int = 500
    keep: int = 3
    validate_every: int = 500
    valid_clips: int = 4
    valid_seconds: float = 4.0
    log_every: int = 10
    seed: int = 0
    loss: LossConfig = field(default_factory=LossConfig)
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
    augment: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        counts = ("steps", "batch", "checkpoint_every", "keep", "validate_every", "valid_clips", "log_every")
        wrong = [name for name in counts if getattr(self, name) < 1]
        wrong += [name for name in ("seconds", "valid_seconds", "lr") if not getattr(self, name) > 0]
        wrong += [name for name in ("cooldown", "pauses") if not 0 <= getattr(self, name) <= 1]
        wrong += [name for name in ("ema", "unquantized") if not 0 <= getattr(self, name) < 1]
        wrong += [name for name in ("warmup_steps", "seed") if getattr(self, name) < 0]
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            wrong.append("betas")
        for count, seconds in (("batch", "seconds"), ("valid_clips", "valid_seconds")):
            wrong += [count, seconds] * (getattr(self, count) * getattr(self, seconds) > MOST_SECONDS)
        if wrong:
            raise ValueError(f"{', '.join(f'{name} = {getattr(self, name)}' for name in wrong)} cannot be used")


@dataclass(frozen=True)
class RunConfig:
    """A whole run: the model, the recipe, and the folder of its audio."""

    model: CodecConfig
    training: TrainingConfig
    data: str

    def __post_init__(self) -> None:
        if not set(self.training.rates) <= set(self.model.bandwidths):
            on_offer = ", ".join(f"{rate:g}" for rate in self.model.bandwidths)
            raise ValueError(f"rates = {self.training.rates} cannot be used: the model has {on_offer} kbps")
        self._check_lengths()

    def _check_lengths(self) -> None:
        """ValueError: crops or clips are too short for something that is made of them."""
        training, transform = self.training, self.model.transform
        windows = training.loss.mel_windows  # of which zeros on both sides fill three quarters [losses.MelLoss]
        clip = {"loss.mel_windows": max(w - 2 * ((w - w // 4) // 2) for w in windows)}  # samples needed
        if training.adversary.enabled:
            clip["adversary.windows"] = max(training.adversary.windows)
        crop = clip | ({"loss.l1_below": 2 * MDCT_SIZE} if training.loss.l1_below else {})
        if transform:  # k-means begins with as many frames of the crops at the start
            crop["quantizer.entries"] = (math.ceil(self.model.quantizer.entries / CROPS) - 1) * transform.hop + 1
        for name, needed in (("seconds", crop), ("valid_seconds", clip)):
            seconds, rate = getattr(training, name), self.model.sample_rate
            what, samples = max(needed.items(), key=lambda item: item[1])
            if round(seconds * rate) < samples:
                least = f"{samples} samples, {math.ceil(1000 * samples / rate) / 1000} s"
                raise ValueError(f"{name} = {seconds} cannot be used: {what} needs {least}")

    def save(self, path: Path) -> None:
        """Write it as JSON, for `load` and for readers."""
        values = {"data": self.data, "training": asdict(self.training), "model": self.model.to_dict()}
        with write_atomically(path, overwrite=True) as temporary:
            temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def load(path: Path) -> RunConfig:
    """What `RunConfig.save` wrote. InputError: missing or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        training = {name: value for name, value in values["training"].items() if name not in RETIRED}
        if not isinstance(values["data"], str):
            raise ValueError(f"data = {brief(values['data'])} where the name of a folder should be")
        return RunConfig(
            codec_config.from_dict(values["model"], str(path)), _training(training, str(path)), values["data"]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read as a run's configuration ({brief(error, 300)})") from error


def from_preset(preset: str, data: str, settings: Sequence[str]) -> RunConfig:
    """A preset, changed by settings such as "loss.mel=2". InputError names what is wrong, and for a key the nearest."""
    model = codec_config.preset_values(preset)
    training = model.pop("training", {})
    # That name means the published weights, which these will not be. (In a list: it may be what has no hash.)
    if model.get("name") in list(PUBLISHED):
        model["name"] += "_retrained"
    model = codec_config.from_dict(model, preset).to_dict()
    training = asdict(_training(training, preset))
    for setting in settings:
        apply_setting(setting, model, training)
    what = f"--set {brief(' '.join(settings), 200)}" if settings else preset
    try:
        return RunConfig(codec_config.from_dict(model, what), _training(training, what), data)
    except InputError:  # it names the settings already
        raise
    except ValueError as error:
        raise InputError(f"{what}: {brief(error, 300)}") from None


def with_steps(run: RunConfig, steps: int) -> RunConfig:
    """The same run, longer or shorter. InputError: steps below 1."""
    try:
        return replace(run, training=replace(run.training, steps=steps))
    except ValueError as error:
        raise InputError(f"--steps {steps}: {error}") from None


def _training(values: Any, name: str) -> TrainingConfig:
    try:
        if not isinstance(values, dict):
            raise ValueError(f"training = {brief(values)} where a table of options should be")
        parts = {"loss": LossConfig, "adversary": AdversaryConfig, "augment": AugmentationConfig}
        return fill(TrainingConfig, values | {name: fill(c, values.get(name, {})) for name, c in parts.items()})
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {brief(error, 300)}") from None


def fill(cls: Any, values: Mapping[str, Any]) -> Any:
    """A dataclass from a table; lists become tuples. ValueError: an unknown option, or a value of another type."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{brief(values)} where a table of options should be")
    unknown = sorted(set(values) - {f.name for f in fields(cls)})
    if unknown:
        raise ValueError(f"there is no option {brief(', '.join(unknown))} in training")
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    for field_ in fields(cls):
        if field_.default is not MISSING and not _fits(given.get(field_.name, field_.default), field_.default):
            words = f"{field_.name} = {brief(repr(given[field_.name]))} where the default is {field_.default!r}"
            raise ValueError(words)
    return cls(**given)


def apply_setting(setting: str, *trees: dict[str, Any]) -> None:
    """Change the one entry of the trees that "key=value" addresses. The value is TOML, or else a plain word."""
    key, equals, text = setting.partition("=")
    if not equals:
        raise InputError(f"--set {brief(setting, 80)}: write it as key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # ValueError: no TOML, or a number of thousands of digits
        value = text
    places = {name: table for tree in trees for name, table in _leaves(tree)}
    if key not in places:
        near = [*difflib.get_close_matches(key, places), *(name for name in places if name.endswith(f".{key}"))]
        near = list(dict.fromkeys(near)) or difflib.get_close_matches(key, places, cutoff=0.0)
        meant = f"did you mean {', '.join(near)}? (run.json of a run has all)"
        raise InputError(f"--set {brief(setting, 80)}: there is no option {brief(key)}; {meant}")
    table, name = places[key], key.split(".")[-1]
    if not _fits(value, table[name]):
        usual = brief(repr(table[name]))
        raise InputError(f"--set {brief(setting, 80)}: {brief(repr(value))} where the default is {usual}")
    table[name] = float(value) if isinstance(table[name], float) else value


def _leaves(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
    """("loss.mel", the table with its entry "mel") for every option in a tree of tables."""
    found = []
    for key, value in tree.items():
        found += _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, tree)]
    return found


def _fits(value: Any, default: Any) -> bool:
    """Can this value stand where the default stands? An int is a fine float, but a bool is no int."""
    if isinstance(default, tuple):
        entry = default[0] if default else 0.0
        filled = isinstance(value, list | tuple) and (len(value) > 0 or not default)  # empty only where that is usual
        return filled and all(_fits(v, entry) for v in value)
    if isinstance(default, float) or default is None:  # None: chunk lengths, which are numbers when they are set
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
    return type(value) is type(default) and not (type(value) is int and abs(value) > LARGEST)
