"""report.html: alone in the world, safe from names, and with the sounds and figures of the folder it is about."""

import base64
import hashlib
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from matplotlib.axes import Axes

from minicodec import audio
from minicodec.evaluation import levels, plots, report
from minicodec.evaluation.settings import Clip, Condition, Model, Settings
from minicodec.evaluation.statistics import summarise

EVIL = """<img src="http://x.example" onerror='alert(1)'>&"'"""
CONDITIONS = (
    Condition("codec", 6.0),
    Condition("opus", 3.0, "goes from 6 to 256 kbit/s"),
    Condition("opus", 6.0),
    Condition("lowpass-7kHz"),
)
SECONDS = {"a0": 6.0, "a1": 1.0, "b0": 1.0, "b1": 6.0, "b2": 6.0}  # of the clips; the first letter is the category


class Page(HTMLParser):
    """The elements as (name, attributes), the text in each kind, and the rows of the table."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.rows, self._open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("br", "img", "input", "meta"):  # which have no end
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        kind = self._open[-1] if self._open else ""
        self.texts.append((kind, data))
        if "td" in self._open or "th" in self._open:
            self.rows[-1].append(data.strip())

    def all(self, tag, **wanted):
        return [a for name, a in self.elements if name == tag and wanted.items() <= a.items()]

    def text(self, tag):
        return [data for kind, data in self.texts if kind == tag]


def row(clip, condition, kbps):
    size = round(kbps * 125 * SECONDS[clip.name[:2]]) if kbps else None
    return {
        "clip": clip.name, "category": clip.category, "seconds": SECONDS[clip.name[:2]],
        "system": condition.system, "kbps": condition.kbps, "payload_bytes": size,
        "file_bytes": size and size + 99, "payload_kbps": kbps or None, "delay_samples": 0,
        "si_sdr": float("nan") if clip.name == "b0" else 4.25,
        "mel_distance": 3.5 if condition.system == "opus" else 2.5,
        **dict.fromkeys(levels.names(8000), -3.0),
    }  # fmt: skip


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """(folder, settings, rows) with sounds; a category and a clip have hostile names."""
    folder = tmp_path_factory.mktemp("report")
    clips = [Clip(name if name != "b1" else "b1" + EVIL.replace("/", ""), name[0], "x", 0) for name in SECONDS]
    clips[-1] = Clip("b2", EVIL, "x", 0)
    models = (Model("codec", "runs/x", "codec-0123"),)
    settings = Settings(models, CONDITIONS, tuple(clips), ("si_sdr", "mel_distance"), 6.0, 8000, 1)
    rng = np.random.default_rng(0)
    rows = []
    for clip in clips:
        place = folder / "clips" / clip.name
        place.mkdir(parents=True)
        for name in ["reference.wav", *(condition.file for condition in settings.possible)]:
            wav = 0.1 * rng.normal(size=(1, round(SECONDS[clip.name[:2]] * 8000)))
            audio.write(place / name, wav.astype(np.float32), 8000)
        rows += [row(clip, c, {"codec": 6.0, "opus": 6.4}.get(c.system, 0.0)) for c in settings.possible]
    return folder, settings, rows


@pytest.fixture(scope="module")
def page(evaluation):
    folder, settings, rows = evaluation
    lines, loud = (summarise(rows, settings.conditions, names) for names in (settings.metrics, levels.names(8000)))
    report.write(folder, settings, rows, lines, loud)
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_nothing_is_loaded_from_elsewhere(page):
    """No address but data, in any attribute; and a policy that forbids what a test could overlook."""
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert "url(" not in (value or "").replace("url(#", ""), (tag, name)
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                assert value.startswith(("data:", "#")), (tag, name)
    assert not page.all("link")
    assert not page.all("iframe")
    (style, *_), (script, *_) = page.text("style"), [s for s in page.text("script") if "use strict" in s]
    for text in (style, script):
        assert "http" not in text
        assert "@import" not in text
    (policy,) = (a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_names_are_text_and_nothing_else(page):
    assert not [a for _, a in page.elements if "onerror" in a]
    assert len(page.all("img")) == 5 * 4  # the spectrograms
    assert EVIL in page.text("summary")
    assert "b1" + EVIL.replace("/", "") in page.text("h3")
    assert any(a.get("aria-label") == f"position in b1{EVIL.replace('/', '')}" for a in page.all("input"))


def test_the_sounds_are_those_of_the_folder(evaluation, page):
    folder, settings, rows = evaluation
    sounds = [json.loads(text) for text in page.text("script") if text.startswith("[")]
    clips = report.chosen_clips(settings, rows)
    assert len(sounds) == len(clips) == 5
    for clip, versions in zip(clips, sounds, strict=True):
        names = ["reference.wav", "codec-6kbps.wav", "opus-6kbps.wav", "lowpass-7kHz.wav"]
        for name, version in zip(names, versions, strict=True):
            pcm, rate = soundfile.read(io.BytesIO(base64.b64decode(version)), dtype="int16")
            whole, _ = soundfile.read(folder / "clips" / clip.name / name, dtype="int16")
            assert rate == 8000
            np.testing.assert_array_equal(pcm, whole[:40_000])


def test_every_category_is_heard_and_long_clips_first(evaluation):
    _, settings, rows = evaluation
    assert [clip.name[:2] for clip in report.chosen_clips(settings, rows)] == ["b2", "a0", "b1", "a1", "b0"]


def test_captions_tell_real_bytes(page):
    tiles = page.all("button", **{"class": "tile"})
    assert [tile["aria-pressed"] for tile in tiles] == ["true", "false", "false", "false"] * 5
    small = page.text("small")
    assert small.count("128 kbit/s as 16 bit PCM") == 5
    assert small.count("6.40 kbit/s: 4800 + 99 bytes") == 3  # the clips of 6 s by Opus, asked for 6
    assert sum(text.endswith(" + 99 bytes") for text in small) == 10
    assert small.count("SI-SDR 4.25 dB") == 4 * 3  # all but b0, for which it is NaN


def test_the_table_has_every_line_and_can_be_sorted(page):
    heads = page.all("th")
    assert len(heads) == 8
    assert all(head == {"scope": "col", "aria-sort": "none"} for head in heads)
    assert [text for text in page.rows[0] if text][:3] == ["category", "system", "kbit/s"]
    lines = [[text for text in line if text] for line in page.rows[1:]]
    assert len(lines) == 4 * 4  # three categories and all, four conditions
    assert ["all clips", "opus", "3", "–", "–", "0", "goes from 6 to 256 kbit/s"] in lines
    assert ["all clips", "opus", "6", "6.40", "6.60", "5", "4.25", "[4.25, 4.25] (4)", "3.50", "[3.50, 3.50]"] in lines
    values = [cell["data-v"] for cell in page.all("td", **{"class": "n"})]
    assert "6.4" in values
    assert values.count("nan") > 0  # sorted to the end by the page


def test_curves_take_the_pages_colours_and_are_the_same_every_time(evaluation):
    _, settings, rows = evaluation
    lines = [s for s in summarise(rows, settings.conditions, settings.metrics) if s.category == "all clips"]
    svg = plots.curves_svg(lines, "si_sdr")
    assert svg == plots.curves_svg(lines, "si_sdr")
    assert "currentColor" in svg
    assert plots.INK not in svg
    text = Page(svg).text("text")
    assert "payload (kbit/s)" in text
    assert "SI-SDR (dB), higher is better" in text
    assert text[-3:] == ["codec", "opus", "lowpass-7kHz"]


def test_levels_of_each_category_are_drawn(evaluation, page, monkeypatch):
    _, settings, rows = evaluation
    lines = [s for s in summarise(rows, settings.conditions, levels.names(8000)) if s.category == "all clips"]
    drawn, plot = [], Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda axes, *a, **k: drawn.append((a[0], k["alpha"])) or plot(axes, *a, **k))
    text = Page(plots.levels_svg(lines)).text("text")
    assert text[:6] == ["62", "125", "250", "500", "1k", "2k"]
    assert text[-2:] == ["codec", "opus"]  # anchors are as loud as the original, or gone
    rates = sorted((c.kbps, c.system) for c in settings.possible if c.kbps)
    assert len(drawn) == len(rates) > 1
    assert all(list(means) == [-3.0] * 6 for means, _ in drawn)
    assert max(alpha for _, alpha in drawn) == 1
    categories = {clip.category for clip in settings.clips} | {"all clips"}
    labels = [a["aria-label"] for a in page.all("figure") if a["aria-label"].startswith("level of each octave")]
    assert sorted(labels) == [f"level of each octave, {c}: the figures are in levels.csv" for c in sorted(categories)]


def test_a_spectrogram_shows_a_tone_where_it_is():
    """1 kHz at a sample rate of 8 kHz is a bright line at a quarter of the height; silence is black."""
    import matplotlib.image

    t = np.arange(16_000) / 8000
    wav = np.where(t < 1, np.sin(2 * np.pi * 1000 * t), 0)[None].astype(np.float32)
    top = float(plots.decibels(wav[0]).max())
    picture = matplotlib.image.imread(io.BytesIO(plots.spectrogram(wav, top)), format="webp").astype(float)
    brightness = picture[..., :3].sum(axis=2)
    assert brightness.shape[0] == 128
    left, right = brightness[:, :25].mean(axis=1), brightness[:, -25:].mean(axis=1)
    assert abs(127 - int(left.argmax()) - 32) <= 1
    assert right.max() < 0.1 * left.max()
