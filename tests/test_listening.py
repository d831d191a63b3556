"""The listening test without its server: the sounds, the file of ratings, and who hears what."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minicodec import audio
from minicodec.errors import InputError
from minicodec.evaluation import baselines
from minicodec.evaluation.listening import ratings
from minicodec.evaluation.listening.ratings import DRAFT, FINAL, Rating
from minicodec.evaluation.listening.session import ListeningTest, Session
from minicodec.evaluation.listening.stimuli import LOW_ANCHOR, MID_ANCHOR, find_clips
from tests.listening_folder import CONDITIONS, make_folder

ANCHORED = ["reference", "lowpass-3.5kHz", "lowpass-7kHz"]


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "compared")


@pytest.fixture
def listening(folder):
    return ListeningTest(find_clips(folder), 2, folder / "listening.csv")


@pytest.mark.parametrize(
    ("clips", "systems", "names", "judged"),
    [
        (["*"], ["*"], ["bells", "drums", "speech"], ["opus-6kbps", "ours-3kbps", "ours-6kbps"]),
        (["s*", "bells"], ["*-6kbps"], ["bells", "speech"], ["opus-6kbps", "ours-6kbps"]),
        (["drums"], ["ours-3kbps"], ["drums"], ["ours-3kbps"]),
    ],
)
def test_patterns_choose_clips_and_systems(folder, clips, systems, names, judged):
    found = find_clips(folder, clips, systems)
    assert [clip.name for clip in found] == names
    for clip in found:
        expected = {name: folder / "clips" / clip.name / f"{name}.wav" for name in ANCHORED + judged}
        assert clip.conditions == expected


def test_the_anchors_are_those_that_evaluate_makes():
    assert set(ANCHORED[1:]) == set(baselines.ANCHORS) == {LOW_ANCHOR, MID_ANCHOR}


def write(folder, name, wav, rate=8000):
    audio.write(folder / "clips" / "drums" / f"{name}.wav", wav.astype(np.float32), rate, overwrite=True)


def link_out(folder):
    path = folder / "clips" / "drums" / "opus-6kbps.wav"
    shutil.move(path, folder / "elsewhere.wav")
    path.symlink_to(folder / "elsewhere.wav")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: shutil.rmtree(f / "clips"), "clips: there is no such folder"),
        (lambda f: [shutil.rmtree(p) for p in (f / "clips").iterdir()], "clips: there is no clip"),
        (lambda f: [p.unlink() for p in f.glob("clips/*/o*.wav")], "clips: there is no system"),
        (lambda f: (f / "clips/drums/reference.wav").unlink(), "drums: has no reference.wav"),
        (lambda f: (f / "clips/drums/lowpass-7kHz.wav").unlink(), "drums: has no lowpass-7kHz.wav"),
        (lambda f: (f / "clips/drums/opus-6kbps.wav").unlink(), "drums: has no opus-6kbps.wav"),
        (lambda f: write(f, "opus-6kbps", np.zeros((1, 799))), "opus-6kbps.wav: frames 799, but 800 in reference"),
        (lambda f: write(f, "opus-6kbps", np.zeros((2, 800))), "opus-6kbps.wav: channels 2, but 1 in reference"),
        (lambda f: write(f, "opus-6kbps", np.zeros((1, 800)), 16_000), "opus-6kbps.wav: sample rate 16000, but 8000"),
        (lambda f: (f / "clips/drums/opus-6kbps.wav").write_bytes(b"no"), "opus-6kbps.wav: cannot be read as audio"),
        (link_out, "opus-6kbps.wav: is a link out of the folder"),
    ],
)
def test_a_folder_that_makes_no_fair_test_is_refused(folder, spoil, reason):
    spoil(folder)
    with pytest.raises(InputError, match=reason):
        find_clips(folder)


def test_patterns_that_match_nothing_and_too_many_conditions_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="there is no clip x"):
        find_clips(folder, clips=["drums", "x*"])
    with pytest.raises(InputError, match="there is no system reference"):  # which takes part anyhow
        find_clips(folder, systems=["reference"])
    many = [*ANCHORED, *(f"s-{kbps}kbps" for kbps in range(10))]
    with pytest.raises(InputError, match="13 conditions on a screen are too many"):
        find_clips(make_folder(tmp_path / "many", ["one"], many))


NAMES = [
    "",
    "Ann",
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@x",
    "'=1",
    "'",
    'a,"b";\'c',
    "Jürgen 音",
    ";=1",
    "; '=1",
    "＝1",
    "a; ＠'",
]


# Adds ratings from a process of its own, as soon as all have started.
SERVER = """
import sys, time
from pathlib import Path
from minicodec.evaluation.listening.ratings import DRAFT, Rating, append
time.sleep(max(0, float(sys.argv[3]) - time.time()))
for i in range(20):
    append(Path(sys.argv[1]), [Rating("t", sys.argv[2] * 32, "Ann", "c", "x", i, DRAFT)] * 3)
"""


def test_two_servers_write_the_header_once_and_lose_no_line(tmp_path):
    for attempt in range(3):
        path, start = tmp_path / f"{attempt}.csv", str(time.time() + 2)
        command = [sys.executable, "-c", SERVER, path]
        servers = [subprocess.Popen([*command, digit, start]) for digit in "0123"]
        assert [server.wait() for server in servers] == [0] * 4
        found = ratings.read(path)  # refuses a header between ratings
        assert Counter((r.session, r.score) for r in found) == {(d * 32, i): 3 for d in "0123" for i in range(20)}


def row(listener="", score=50, state=DRAFT, clip="drums", condition="reference", session="0" * 32):
    return Rating("2026-01-01T00:00:00+00:00", session, listener, clip, condition, score, state)


def test_ratings_come_back_as_they_were(tmp_path):
    path = tmp_path / "r.csv"
    rows = [row(name, score, state) for name in NAMES for score in (0, 100) for state in (DRAFT, FINAL)]
    ratings.append(path, rows[:5])
    ratings.append(path, rows[5:])
    assert ratings.read(path) == rows


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@sum", "\t=1", "'x"])
def test_no_cell_is_a_formula_to_a_spreadsheet(name, tmp_path):
    ratings.append(tmp_path / "r.csv", [row(name, clip=name)])
    line = (tmp_path / "r.csv").read_text().splitlines()[1]
    assert line == f"2026-01-01T00:00:00+00:00,{'0' * 32},'{name},'{name},reference,50,draft"


@pytest.mark.parametrize("name", [";=1+1", "Ann; =1+1", "＝1+1", "＋1", "－1", "＠sum", " =1", "a;＝b", '"=1', ';"=1'])
def test_no_cell_is_a_formula_where_semicolons_begin_cells_and_signs_are_wide(name, tmp_path):
    ratings.append(tmp_path / "r.csv", [row(name)])
    line = (tmp_path / "r.csv").read_text(encoding="utf-8").splitlines()[1]
    cells = [cell.strip(' "') for cell in re.split("[,;]", line)]
    assert not any(cell.startswith(tuple("=+-@＝＋－＠")) for cell in cells)
    assert any(cell.startswith("'") for cell in cells)


@pytest.mark.parametrize(
    "line",
    [
        *("", "a,b", "t,s,l,c,x,1,sure", "t,s,l,c,x,1,draft,more", 't,s,l,c,"x,1,draft'),
        *(f"t,s,l,c,x,{score},draft" for score in ("101", "-1", "1.0", "", "٣", "007")),
    ],
)
def test_a_damaged_file_is_refused_by_line(line, tmp_path):
    path = tmp_path / "r.csv"
    ratings.append(path, [row()])
    with open(path, "a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=r"r.csv: (line 3 is not a rating|cannot be read)"):
        ratings.read(path)


def test_another_file_is_refused(tmp_path):
    for content in (b"", b"a,b\n", b"\xff\xfe\n"):
        (tmp_path / "r.csv").write_bytes(content)
        with pytest.raises(InputError, match=r"r.csv: (its first line is not time,|cannot be read)"):
            ratings.read(tmp_path / "r.csv")


def test_a_full_disk_leaves_whole_rows_and_the_next_try_succeeds(listening, monkeypatch):
    token = listening.start("Ann")
    listening.rate(token, 1, [1, *[None] * 5], False)
    before = listening.path.read_bytes()
    real = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, data: real(file, data[: len(data) // 2]))
        with pytest.raises(OSError, match="bytes could be written"):
            listening.rate(token, 1, [1, 2, *[None] * 4], False)
    assert listening.path.read_bytes() == before
    listening.rate(token, 1, [1, 2, *[None] * 4], False)
    assert [rating.score for rating in ratings.read(listening.path)] == [1, 2]


def test_every_screen_has_all_conditions_and_no_clip_comes_twice(folder):
    clips = find_clips(folder)
    for screens in (1, 2, 3):
        session = Session("a" * 32, "", clips, screens)
        practice, *rated = [screen.clip.name for screen in session.screens]
        assert len(set(rated)) == len(rated) == screens
        assert practice == rated[-1] if screens == 3 else practice not in rated
        for screen in session.screens:
            assert sorted(screen.order) == sorted(CONDITIONS)


def test_orders_are_drawn_anew_for_every_session_and_fairly(folder):
    """Each clip first in about a third of 600 sessions, the reference at each of six numbers in about a sixth.

    The bounds are five standard deviations; the sessions' names are fixed, so the counts are always the same.
    """
    clips = find_clips(folder)
    sessions = [Session(f"{i:032x}", "", clips, 3) for i in range(600)]
    first = Counter(session.screens[1].clip.name for session in sessions)
    place = Counter(session.screens[1].order.index("reference") for session in sessions)
    assert len(first) == 3
    assert all(abs(count - 200) < 5 * (600 * 1 / 3 * 2 / 3) ** 0.5 for count in first.values())
    assert len(place) == 6
    assert all(abs(count - 100) < 5 * (600 * 1 / 6 * 5 / 6) ** 0.5 for count in place.values())
    assert Session("a" * 32, "", clips, 3).screens[1].order == Session("a" * 32, "x", clips, 3).screens[1].order
    assert any(session.screens[1].order != session.screens[2].order for session in sessions[:3])


def test_the_browser_learns_no_name(listening):
    token = listening.start("Ann")
    listening.rate(token, 1, [1, 2, 3, 4, 5, 6], True)
    state = json.dumps(listening.state(token))
    assert json.loads(state)["screens"][1] == {"scores": [1, 2, 3, 4, 5, 6], "done": True}
    for name in ("bells", "drums", "speech", *CONDITIONS, "Ann"):
        assert name not in state


def test_what_changes_is_appended_and_a_finished_screen_is_written_whole(listening):
    token = listening.start(" Ann ")
    order = listening._sessions[token].screens[1].order
    listening.rate(token, 1, [10, None, None, None, None, None], False)
    listening.rate(token, 1, [10, None, 30, None, None, None], False)
    listening.rate(token, 1, [11, 20, 30, 40, 50, 60], True)
    listening.rate(token, 1, [11, 20, 30, 40, 50, 61], False)  # gone back to; finished it remains
    found = [(r.condition, r.score, r.state) for r in ratings.read(listening.path)]
    assert found == [
        (order[0], 10, DRAFT),
        (order[2], 30, DRAFT),
        *((name, score, FINAL) for name, score in zip(order, [11, 20, 30, 40, 50, 60], strict=True)),
        (order[5], 61, FINAL),
    ]
    assert {r.listener for r in ratings.read(listening.path)} == {"Ann"}
    assert {r.clip for r in ratings.read(listening.path)} == {listening._sessions[token].screens[1].clip.name}


def test_a_test_goes_on_from_its_file(folder, listening):
    token = listening.start("Ann")
    listening.rate(token, 1, [11, 20, 30, 40, 50, 60], True)
    listening.rate(token, 2, [1, None, None, None, None, 6], False)
    again = ListeningTest(find_clips(folder), 2, listening.path)
    assert again.state(token) == listening.state(token)
    assert again.state(token)["screens"][2] == {"scores": [1, None, None, None, None, 6], "done": False}
    assert [again.stimulus(token, 2, n) for n in range(7)] == [listening.stimulus(token, 2, n) for n in range(7)]
    again.rate(token, 2, [1, 2, 3, 4, 5, 6], True)
    assert {r.listener for r in ratings.read(listening.path)} == {"Ann"}
    fewer = ListeningTest(find_clips(folder, systems=["opus*"]), 2, listening.path)
    kept = {(r.clip, r.condition): r.score for r in ratings.read(listening.path)}
    for screen in fewer._sessions[token].screens[1:]:
        assert screen.scores == [kept[screen.clip.name, name] for name in screen.order]
        assert screen.done


SIX = [0, 20, 40, 60, 80, 100]


@pytest.mark.parametrize(
    ("screen", "scores", "done"),
    [
        (0, SIX, False),
        ("1", SIX, False),
        (True, SIX, False),
        (1.0, SIX, False),
        (None, SIX, False),
        (1, SIX, 1),
        (1, SIX, None),
        (1, SIX[1:], False),
        (1, [*SIX, 1], False),
        (1, None, False),
        (1, {"0": 1}, False),
        (1, [*SIX[1:], 101], False),
        (1, [*SIX[1:], -1], False),
        (1, [*SIX[1:], 1.0], False),
        (1, [*SIX[1:], True], False),
        (1, [*SIX[1:], "1"], False),
        (1, [*SIX[1:], float("nan")], False),
        (1, [*SIX[1:], 10**400], False),
        (1, [*SIX[1:], None], True),
    ],
)
def test_ratings_that_the_page_would_not_send_are_refused(listening, screen, scores, done):
    token = listening.start("")
    with pytest.raises(InputError):
        listening.rate(token, screen, scores, done)
    assert not listening.path.exists()
    assert listening.state(token)["screens"][1] == {"scores": [None] * 6, "done": False}


def test_what_is_not_there_is_not_found(listening):
    token = listening.start("")
    for screen, number in ((-1, 0), (3, 0), (1, -1), (1, 7)):
        with pytest.raises(LookupError):
            listening.stimulus(token, screen, number)
    for screen in (-1, 3, 10**30):
        with pytest.raises(LookupError):
            listening.rate(token, screen, SIX, False)
    with pytest.raises(LookupError):
        listening.state("0" * 32)


@pytest.mark.parametrize("name", [None, 1, ["Ann"], "x" * 61, "a\nb", "a\x00", "\ud800", "a\u202eb"])
def test_a_name_is_a_short_printable_text(listening, name):
    with pytest.raises(InputError):
        listening.start(name)


def test_many_threads_lose_no_rating(listening, monkeypatch):
    append, busy = ratings.append, threading.Lock()

    def append_alone(path, rows):
        assert busy.acquire(blocking=False), "two threads write at the same time"
        time.sleep(0.001)
        append(path, rows)
        busy.release()

    def rate_all(token):
        for value in range(10):
            listening.rate(token, 1, [value] * 6, value == 9)

    monkeypatch.setattr(ratings, "append", append_alone)
    tokens = [listening.start(f"listener {i}") for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(rate_all, tokens))
    found = Counter((r.session, r.score, r.state) for r in ratings.read(listening.path))
    assert found == {(t, v, FINAL if v == 9 else DRAFT): 6 for t in tokens for v in range(10)}
