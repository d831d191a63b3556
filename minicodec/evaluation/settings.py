"""What an evaluation is made of: which systems at which rates, on which excerpts, by which metrics.

All of it is written to OUT/evaluation.json, so that figures can be traced to what made them, and so that a run that
was interrupted goes on only with the settings it began with.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from minicodec.codec.model import Codec
from minicodec.codec.pretrained import find
from minicodec.errors import InputError
from minicodec.evaluation.baselines import ANCHORS, BASELINES, TRANSITION, limits
from minicodec.files import UNFINISHED, write_atomically
from minicodec.training.audio_files import AudioFile

SETTINGS = "evaluation.json"
SHORTEST = 0.5  # seconds; in less there is nothing to hear


@dataclass(frozen=True)
class Model:
    """A trained codec: the name it has in tables, where it is, and what its files call it (a hash of its weights)."""

    system: str
    path: str
    weights: str


@dataclass(frozen=True)
class Clip:
    """A file to evaluate; `name` is that of its folder, `start` (samples, at its own rate) where its excerpt begins."""

    name: str
    category: str
    path: str
    start: int


@dataclass(frozen=True)
class Condition:
    """A system at a rate in kbit/s; anchors have none. `reason` says why it is left out, if it is."""

    system: str
    kbps: float | None = None
    reason: str = ""

    @property
    def file(self) -> str:
        """The name of its sound in a clip's folder."""
        return f"{self.system}.wav" if self.kbps is None else f"{self.system}-{self.kbps:g}kbps.wav"


@dataclass(frozen=True)
class Settings:
    """All that decides about the figures. `seconds` is the longest excerpt; rates and channels are the models'."""

    models: tuple[Model, ...]
    conditions: tuple[Condition, ...]
    clips: tuple[Clip, ...]
    metrics: tuple[str, ...]
    seconds: float
    sample_rate: int
    channels: int

    @property
    def possible(self) -> list[Condition]:
        """The conditions that are not left out."""
        return [condition for condition in self.conditions if not condition.reason]


def settings_for(
    paths: Sequence[str],
    files: Sequence[AudioFile],
    *,
    kbps: Sequence[float],
    baselines: Sequence[str],
    metrics: Sequence[str],
    seconds: float,
    codecs: Sequence[Codec],
) -> Settings:
    """The settings for `codecs`, loaded from `paths`, on `files`.

    InputError: models that differ in sample rate or channels (their originals would be different sounds), two of the
    same name, no clip that is long enough, no rate that a model has.
    """
    sample_rate, channels = codecs[0].sample_rate, codecs[0].channels
    for path, codec in zip(paths, codecs, strict=True):
        if (codec.sample_rate, codec.channels) != (sample_rate, channels):
            raise InputError(f"{path}: differs from {paths[0]} in sample rate or channels: evaluate it by itself")
    names = _system_names(paths, codecs)
    models = [Model(n, str(find(p).resolve()), c.name) for n, p, c in zip(names, paths, codecs, strict=True)]
    conditions = []
    for rate in kbps:
        conditions += [_of_model(name, codec, rate) for name, codec in zip(names, codecs, strict=True)]
        conditions += [_of_baseline(name, rate, sample_rate, channels) for name in baselines]
    if all(condition.reason for condition in conditions if condition.system in names):
        raise InputError(f"{', '.join(paths)}: {conditions[0].reason}")
    conditions += [Condition(name) for name, hertz in ANCHORS.items() if hertz + TRANSITION <= sample_rate / 2]
    clips = _clips([file for file in files if file.seconds >= SHORTEST], seconds)
    if not clips:
        raise InputError(f"of {len(files)} files to evaluate, none is {SHORTEST} s long")
    return Settings(tuple(models), tuple(conditions), tuple(clips), tuple(metrics), seconds, sample_rate, channels)


def open_folder(folder: Path, settings: Settings) -> None:
    """Make `folder` the place of this evaluation. InputError: it has other things in it, or other settings."""
    values = json.loads(json.dumps(asdict(settings)))
    path = folder / SETTINGS
    if path.is_file():
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path}: is damaged ({error})") from None
        changed = [key for key in values if not isinstance(old, dict) or old.get(key) != values[key]]
        if changed:
            raise InputError(f"{folder}: holds an evaluation with other {', '.join(changed)}; choose another --out")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(not UNFINISHED.fullmatch(path.name) for path in folder.iterdir())  # of a start that was killed
    except OSError as error:
        raise InputError(f"{folder}: cannot be used as a folder ({error.strerror})") from None
    if occupied:
        raise InputError(f"{folder}: is not empty, and holds no evaluation to go on with")
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _of_model(name: str, codec: Codec, kbps: float) -> Condition:
    if kbps not in codec.bandwidths:
        return Condition(name, kbps, f"has {', '.join(f'{rate:g}' for rate in codec.bandwidths)} kbit/s")
    if codec.config.levels(kbps) > codec.quantizer.ready:
        return Condition(name, kbps, f"only {codec.quantizer.ready} of its codebooks are trained")
    return Condition(name, kbps)


def _of_baseline(name: str, kbps: float, sample_rate: int, channels: int) -> Condition:
    low, high = limits(name, sample_rate, channels)
    return Condition(name, kbps, "" if low <= kbps <= high else f"goes from {low:g} to {high:g} kbit/s")


def _system_names(paths: Sequence[str], codecs: Sequence[Codec]) -> list[str]:
    """The names of the presets; where two models share one, with that of their folder or file."""
    names = [codec.config.name for codec in codecs]
    if len(set(names)) < len(names):
        names = [f"{name}_{Path(path).resolve().stem}" for name, path in zip(names, paths, strict=True)]
    names = [_plain(name) for name in names]
    for i, name in enumerate(names):
        if name in names[:i] or name in BASELINES or name in ANCHORS:
            raise InputError(f"{paths[i]}: another system is called {name}, too: rename its folder")
    return names


def _clips(files: Sequence[AudioFile], seconds: float) -> list[Clip]:
    """Clips of the middle `seconds` of each file: music often begins and ends in silence."""
    clips: list[Clip] = []
    for file in files:
        parts = file.name.split("/")
        stem = name = _plain(file.name.rsplit(".", 1)[0])
        number = 2
        while any(clip.name.lower() == name.lower() for clip in clips):  # "a.wav", "a.mp3", and "A.wav" on some disks
            name, number = f"{stem}_{number}", number + 1
        start = max(0, file.frames - int(seconds * file.sample_rate)) // 2
        category = _plain(parts[0]) if len(parts) > 1 else "files"
        clips.append(Clip(name, category, str(file.path.resolve()), start))
    return clips


def _plain(name: str) -> str:
    """A name that can be a folder's on any system, and that no spreadsheet takes for a formula."""
    return re.sub(r"[^\w.-]+", "_", name.replace("/", "-"))[-60:].strip("-._") or "_"
