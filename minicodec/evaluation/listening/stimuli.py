"""The sounds of a listening test, as `minicodec evaluate` leaves them, checked before anybody listens.

    DIR/clips/<clip>/reference.wav
    DIR/clips/<clip>/lowpass-3.5kHz.wav, lowpass-7kHz.wav      the anchors
    DIR/clips/<clip>/<system>-<kbps>kbps.wav                   what is to be judged
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from minicodec import audio
from minicodec.errors import InputError

REFERENCE = "reference"
LOW_ANCHOR, MID_ANCHOR = "lowpass-3.5kHz", "lowpass-7kHz"
ALWAYS = (REFERENCE, LOW_ANCHOR, MID_ANCHOR)
MOST_CONDITIONS = 12  # on a screen: more than anybody can compare [BS.1534-3]


@dataclass(frozen=True)
class Clip:
    """One item of the test: its conditions by name, the hidden reference and the anchors among them."""

    name: str
    conditions: dict[str, Path]


def find_clips(folder: Path, clips: Sequence[str] = ("*",), systems: Sequence[str] = ("*",)) -> list[Clip]:
    """The clips in `folder` whose names match one of the patterns `clips` (*, ?, [abc]), with the chosen systems.

    Reference and anchors always take part; `systems` chooses among the rest. Every clip has the same conditions.
    InputError: nothing there or chosen, a pattern that matches nothing, a condition that a clip lacks, too many of
    them, a file that is no audio, lies outside of the folder (a link), or differs from its reference in sample rate,
    channels or length.
    """
    root = folder / "clips"
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder; minicodec evaluate makes it")
    folders = sorted(p for p in root.iterdir() if p.is_dir())
    names = _chosen(root, [p.name for p in folders], clips, "clip")
    files = {p.name: {f.stem: f for f in sorted(p.glob("*.wav"))} for p in folders if p.name in names}
    found = sorted(set().union(*files.values()) - set(ALWAYS))
    conditions = [*ALWAYS, *_chosen(root, found, systems, "system")]
    if len(conditions) > MOST_CONDITIONS:
        raise InputError(
            f"{root}: {len(conditions)} conditions on a screen are too many, {MOST_CONDITIONS} the most; "
            "choose with --systems"
        )
    return [Clip(name, _checked(root, name, files[name], conditions)) for name in names]


def _chosen(root: Path, names: Sequence[str], patterns: Sequence[str], kind: str) -> list[str]:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(f"{root}: there is no {kind}" + (f" {pattern}" if pattern != "*" else ""))
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _checked(root: Path, clip: str, files: dict[str, Path], conditions: Sequence[str]) -> dict[str, Path]:
    chosen = {}
    for condition in conditions:
        path = files.get(condition)
        if path is None:
            raise InputError(f"{root / clip}: has no {condition}.wav, which the test needs in every clip")
        if not path.resolve().is_relative_to(root.resolve()):
            raise InputError(f"{path}: is a link out of the folder")
        info, reference = audio.info(path), audio.info(files[REFERENCE])
        for what in ("sample_rate", "channels", "frames"):
            if getattr(info, what) != getattr(reference, what):
                name = what.replace("_", " ")
                raise InputError(
                    f"{path}: {name} {getattr(info, what)}, but {getattr(reference, what)} in {REFERENCE}.wav"
                )
        chosen[condition] = path
    return chosen
