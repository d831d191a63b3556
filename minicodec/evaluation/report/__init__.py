"""report.html: one page that needs no other file and no network, to read and to listen to.

The page is page.html with style.css and player.js set in; what changes from one evaluation to the next is made here.
Its security policy forbids every request and every script but our own, whatever the names of files contain.
"""

import base64
import hashlib
import io
import json
import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from itertools import groupby, zip_longest
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from minicodec import audio
from minicodec.evaluation import plots, tables
from minicodec.evaluation.scores import METRICS
from minicodec.evaluation.settings import Clip, Condition, Settings
from minicodec.evaluation.statistics import Interval, Line
from minicodec.files import write_atomically
from minicodec.training.curves import decibels

CLIPS = 6  # to listen to; with eight systems each takes about a megabyte
SECONDS = 5.0  # of each
REFERENCE = Condition("original")
Rows = Sequence[dict[str, Any]]


def write(folder: Path, settings: Settings, rows: Rows, lines: Sequence[Line], loud: Sequence[Line]) -> None:
    """Write report.html for an evaluation whose sounds are in `folder`; `loud` are the lines of its levels."""
    resources = files("minicodec.evaluation.report")
    page, style, script = ((resources / name).read_text("utf-8") for name in ("page.html", "style.css", "player.js"))
    heard = chosen_clips(settings, rows)
    text = Template(page).substitute(
        policy=f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'",
        style=style,
        script=script,
        legend="".join(f"<li>{escape(sentence)}</li>" for sentence in tables.legend(settings)),
        plots=_plots(lines, loud, settings),
        table=_table(lines, settings),
        players="".join(_card(folder, settings, clip, rows) for clip in heard),
        heard=len(heard),
        clips=len(settings.clips),
        seconds=f"{SECONDS:g}",
    )
    with write_atomically(folder / "report.html", overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def chosen_clips(settings: Settings, rows: Rows) -> list[Clip]:
    """The clips to listen to: of each category in turn, long enough ones first."""
    seconds = {row["clip"]: row["seconds"] for row in rows}
    ordered = sorted(settings.clips, key=lambda clip: (clip.category, seconds[clip.name] < SECONDS))
    turns = zip_longest(*(list(group) for _, group in groupby(ordered, lambda clip: clip.category)))
    return [clip for turn in turns for clip in turn if clip is not None][:CLIPS]


def _plots(lines: Sequence[Line], loud: Sequence[Line], settings: Settings) -> str:
    """A section for each category, the first one open."""
    sections = []
    for number, category in enumerate(dict.fromkeys(line.category for line in lines)):
        chosen = [line for line in lines if line.category == category]
        figures = "".join(
            f'<figure role="img" aria-label="{name} against payload, {escape(category)}: the figures are in the table">'
            f"{plots.curves_svg(chosen, name)}<figcaption>{escape(METRICS[name].meaning)}</figcaption></figure>"
            for name in settings.metrics
        )
        figures += (
            f'<figure role="img" aria-label="level of each octave, {escape(category)}: the figures are in levels.csv">'
            f"{plots.levels_svg([line for line in loud if line.category == category])}"
            f"<figcaption>how loud each octave comes back</figcaption></figure>"
        )
        summary = f"<summary>{escape(category)}</summary>"
        sections.append(f'<details{"" if number else " open"}>{summary}<div class="grid">{figures}</div></details>')
    return "".join(sections)


def _table(lines: Sequence[Line], settings: Settings) -> str:
    heads = ["category", "system", "kbit/s", "payload", "file", "clips", *map(tables.heading, settings.metrics)]
    head = "".join(f'<th scope="col" aria-sort="none"><button>{escape(text)}</button></th>' for text in heads)
    body = []
    for line in lines:
        kbps = math.nan if line.condition.kbps is None else line.condition.kbps
        numbers = [kbps, line.payload_kbps, line.file_kbps, line.clips]
        texts = tables.cells(line)
        row = f"<td>{escape(line.category)}</td><td>{escape(texts[0])}</td>"
        row += "".join(_number(x, text) for x, text in zip(numbers, texts[1:5], strict=True))
        if line.condition.reason:
            row += f'<td colspan="{len(settings.metrics)}">{escape(line.condition.reason)}</td>'
        else:
            row += "".join(_figure(name, interval, line.clips) for name, interval in line.figures.items())
        body.append(f"<tr>{row}</tr>")
    return f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"


def _number(value: float, text: str) -> str:
    return f'<td class="n" data-v="{value:.6g}">{escape(text)}</td>'


def _figure(name: str, interval: Interval, clips: int) -> str:
    mean, _, rest = tables.figure(name, interval, clips).partition(" ")
    return f'<td class="n" data-v="{interval.mean:.6g}">{mean} <small>{escape(rest)}</small></td>'


def _card(folder: Path, settings: Settings, clip: Clip, rows: Rows) -> str:
    """A player for one clip: a tile for each system, with spectrogram and figures, and all the sounds."""
    place = folder / "clips" / clip.name
    figures = {(row["system"], row["kbps"]): row for row in rows if row["clip"] == clip.name}
    reference = _excerpt(place / "reference.wav")
    top = float(decibels(reference.mean(axis=0)).max())
    tiles, sounds = [], []
    for number, condition in enumerate([REFERENCE, *settings.possible], start=1):
        wav = reference if condition is REFERENCE else _excerpt(place / condition.file)
        row = figures.get((condition.system, condition.kbps))
        picture = base64.b64encode(plots.spectrogram(wav, top)).decode()
        sounds.append(base64.b64encode(_flac(wav, settings.sample_rate)).decode())
        key = f"<kbd>{number % 10}</kbd> " if number <= 10 else ""
        tiles.append(
            f'<button class="tile" aria-pressed="{"false" if row else "true"}">'
            f'<span class="picture"><img alt="" src="data:image/webp;base64,{picture}"></span>'
            f"<span><b>{key}{escape(_label(condition))}</b><br><small>{_caption(row, settings)}</small></span>"
            "</button>"
        )
    return (
        f'<article class="card" tabindex="-1"><h3>{escape(clip.name)}</h3>'
        f'<div class="transport"><button class="play">play</button>'
        f'<input type="range" min="0" max="1" step="0.001" value="0" aria-label="position in {escape(clip.name)}">'
        f'<output>0.0 / {reference.shape[1] / settings.sample_rate:.1f} s</output></div>'
        f'<div class="tiles">{"".join(tiles)}</div>'
        f'<script type="application/json">{json.dumps(sounds)}</script></article>'
    )


def _label(condition: Condition) -> str:
    return condition.system if condition.kbps is None else f"{condition.system} {condition.kbps:g} kbit/s"


def _caption(row: dict[str, Any] | None, settings: Settings) -> str:
    """What a system's version of this clip cost, and its figures, as HTML."""
    if row is None:
        return f"{16 * settings.sample_rate * settings.channels / 1000:g} kbit/s as 16 bit PCM"
    figures = {METRICS[name]: row[name] for name in settings.metrics if math.isfinite(row[name])}
    parts = [f"{m.title} {x:.2f}{' dB' if m.unit == 'dB' else ''}" for m, x in figures.items()]
    if row["payload_bytes"] is not None:
        container = row["file_bytes"] - row["payload_bytes"]
        parts = [f"{row['payload_kbps']:.2f} kbit/s: {row['payload_bytes']} + {container} bytes", *parts]
    return "<br>".join(parts)


def _excerpt(path: Path) -> np.ndarray:
    rate = audio.info(path).sample_rate
    return audio.read(path, frames=round(SECONDS * rate))[0]


def _flac(wav: np.ndarray, sample_rate: int) -> bytes:
    """Lossless, and decoded by every browser."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, wav.T, sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
