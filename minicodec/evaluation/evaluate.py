"""Every system on every clip: code it, count the bytes, align, measure, and keep the sound for ears.

    OUT/evaluation.json                                the settings; a run that goes on must have the same
    OUT/clips/CLIP/reference.wav                       the original, as all systems got it
    OUT/clips/CLIP/opus-6kbps.wav, lowpass-7kHz.wav …  what came back: as long, and in time with it
    OUT/clips/CLIP/rows.json                           the clip's figures, written last: without it, it is not done

A run may be killed at any moment. The next one finds which clips are done, and does the others.
"""

import json
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minicodec import audio
from minicodec.codec.files import bitstream
from minicodec.codec.model import Codec
from minicodec.codec.pretrained import load
from minicodec.errors import InputError
from minicodec.evaluation import levels
from minicodec.evaluation.baselines import ANCHORS, BASELINES, Coded, lowpass
from minicodec.evaluation.scores import align, measure
from minicodec.evaluation.settings import Clip, Condition, Settings
from minicodec.files import write_atomically
from minicodec.workers import Killed, each

ROWS = "rows.json"
Row = dict[str, Any]  # clip, category, system, kbps …, the metrics and levels: a line of results.csv


def read_rows(folder: Path, settings: Settings) -> list[Row]:
    """The rows of all clips that are done, in the order of the settings."""
    paths = [(clip, folder / "clips" / clip.name / ROWS) for clip in settings.clips]
    return [row for clip, path in paths if path.is_file() for row in _rows(path, clip, settings)]


def _rows(path: Path, clip: Clip, settings: Settings) -> list[Row]:
    problem = "its rows are others, perhaps of another version"
    try:
        rows = json.loads(path.read_bytes())
        pairs = list(zip(rows, settings.possible, strict=True)) if isinstance(rows, list) else []
        if pairs and all(_is_row(row, clip, condition, settings) for row, condition in pairs):
            return list(rows)
    except (OSError, ValueError, RecursionError) as error:
        problem = str(error)
    raise InputError(f"{path}: is damaged ({problem}); delete the folder {path.parent}, and the clip is done again")


def _is_row(row: Any, clip: Clip, condition: Condition, settings: Settings) -> bool:
    """Is it what `evaluate_clip` writes: with all that tables and pages need?"""
    about = {"clip": clip.name, "category": clip.category, "system": condition.system, "kbps": condition.kbps}
    sizes = ("payload_bytes", "file_bytes", "payload_kbps")
    figures = ("seconds", "delay_samples", *settings.metrics, *levels.names(settings.sample_rate))
    if not isinstance(row, dict) or row.keys() != {*about, *sizes, *figures}:
        return False
    coded = [row[name] is None for name in sizes] != [True] * 3  # anchors are not
    return (
        all(row[name] == value for name, value in about.items())
        and all(type(row[name]) in (int, float) for name in (*figures, *(sizes if coded else ())))
        and row["seconds"] > 0
    )


def readable(settings: Settings, notice: Callable[[str], None]) -> Settings:
    """Without the clips that cannot be read, each of which `notice` is told. InputError: none is left."""
    clips = []
    for clip in settings.clips:
        try:
            read_excerpt(clip, settings)
        except InputError as error:
            notice(f"left out: {error}")
        else:
            clips.append(clip)
    if not clips:
        raise InputError(f"none of the {len(settings.clips)} files to evaluate can be read")
    return replace(settings, clips=tuple(clips))


def remaining(folder: Path, settings: Settings) -> list[Clip]:
    """The clips that are not done yet."""
    return [clip for clip in settings.clips if not (folder / "clips" / clip.name / ROWS).is_file()]


def run(
    folder: Path, settings: Settings, clips: Sequence[Clip], jobs: int, cluster: str | None = None
) -> Iterator[Clip]:
    """Evaluate `clips` in `jobs` processes, or on a Dask cluster; each is yielded when it is done, in any order.

    A clip whose worker dies is tried again, alone. InputError: a file that cannot be read, or a clip that has killed
    two workers. What is done stays done.
    """
    deaths: Counter[str] = Counter()
    todo = deque(clips)
    start = _start_worker, (folder.absolute(), settings)
    for clip, result in each(todo, _work, *start, jobs, cluster, alone=lambda clip: clip.name in deaths):
        if not isinstance(result, Killed):
            yield clip
            continue
        deaths[clip.name] += 1
        if deaths[clip.name] == 2:
            advice = "perhaps for its memory; go on with fewer --jobs"
            raise InputError(f"{folder}: two workers were killed at {clip.path}, {advice}")
        todo.append(clip)


def evaluate_clip(folder: Path, clip: Clip, settings: Settings, codecs: dict[str, Codec]) -> None:
    """Write the sounds and the rows of one clip. InputError names a file that cannot be read."""
    place = folder / "clips" / clip.name
    if place.exists():  # what a killed run left
        shutil.rmtree(place)
    place.mkdir(parents=True)
    reference = read_excerpt(clip, settings)
    audio.write(place / "reference.wav", reference, settings.sample_rate)
    rows = []
    for condition in settings.possible:
        coded = _code(condition, reference, settings.sample_rate, codecs)
        estimate, row = _judge(reference, coded, settings)
        audio.write(place / condition.file, estimate, settings.sample_rate)
        about = {"clip": clip.name, "category": clip.category, "seconds": reference.shape[1] / settings.sample_rate}
        rows.append(about | {"system": condition.system, "kbps": condition.kbps} | row)
    with write_atomically(place / ROWS) as temporary:
        temporary.write_text(json.dumps(rows), encoding="utf-8")


def read_excerpt(clip: Clip, settings: Settings) -> np.ndarray:
    """(C,T) at the settings' rate, at most `seconds` long, within -1 … 1."""
    rate = audio.info(clip.path).sample_rate
    wav, _ = audio.read(clip.path, start=clip.start, frames=int(np.ceil(settings.seconds * rate)))
    wav = audio.resample(audio.remix(wav, settings.channels), rate, settings.sample_rate)
    return np.clip(wav[:, : round(settings.seconds * settings.sample_rate)], -1, 1)


def _code(condition: Condition, wav: np.ndarray, sample_rate: int, codecs: dict[str, Codec]) -> Coded:
    if condition.kbps is None:
        return Coded(lowpass(wav, sample_rate, ANCHORS[condition.system]), 0, 0)
    if condition.system in BASELINES:
        return BASELINES[condition.system](wav, sample_rate, condition.kbps)
    codec = codecs[condition.system]
    packet = codec.compress(wav, condition.kbps)
    _, header = bitstream.read_header(packet, condition.system)
    return Coded(codec.decompress(packet), len(packet) - header, len(packet))


def _judge(reference: np.ndarray, coded: Coded, settings: Settings) -> tuple[np.ndarray, Row]:
    """What came back, in time with the reference (silence where it is missing then), and its figures."""
    decoded = np.clip(coded.wav, -1, 1)  # as a loudspeaker would
    s, e, delay = align(reference, decoded, settings.sample_rate)
    estimate = np.zeros_like(reference)
    start = max(0, -delay)
    estimate[:, start : start + e.shape[1]] = e
    row: Row = {"payload_bytes": None, "file_bytes": None, "payload_kbps": None, "delay_samples": delay}
    if coded.file_bytes:
        kbps = coded.payload_bytes * 8 / 1000 / (reference.shape[1] / settings.sample_rate)
        row |= {"payload_bytes": coded.payload_bytes, "file_bytes": coded.file_bytes, "payload_kbps": kbps}
    figures = measure(s, e, settings.sample_rate, settings.metrics)
    return estimate, row | figures | levels.measure(s, e, settings.sample_rate)


# In the worker processes


def _start_worker(folder: Path, settings: Settings) -> tuple[Path, Settings, dict[str, Codec]]:
    codecs = {model.system: load(model.path) for model in settings.models}
    for model in settings.models:
        if codecs[model.system].name != model.weights:
            raise InputError(f"{model.path}: is another model where a worker runs: {codecs[model.system].name}")
    return folder, settings, codecs


def _work(state: tuple[Path, Settings, dict[str, Codec]], clip: Clip) -> None:
    folder, settings, codecs = state
    evaluate_clip(folder, clip, settings, codecs)
