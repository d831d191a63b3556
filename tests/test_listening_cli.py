"""`minicodec listen`: serving until Ctrl-C, its options, and --analyse."""

import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from minicodec.cli import main
from minicodec.evaluation.listening import ratings
from minicodec.evaluation.listening.ratings import FINAL, Rating
from minicodec.evaluation.listening.server import Server
from tests.listening_folder import make_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("listening"))


def test_ctrl_c_ends_it_cleanly(folder, tmp_path):
    options = ["--port", "0", "--results", str(tmp_path / "r.csv")]
    command = [sys.executable, "-m", "minicodec", "listen", str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url, rest = process.stdout.readline().split(maxsplit=1)
        assert rest == "3 of 3 clips, 6 conditions; Ctrl-C ends\n"
        assert process.stdout.readline() == f"ratings: {tmp_path / 'r.csv'}\n"
        with urllib.request.urlopen(url) as answer:
            assert b"Listening test" in answer.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert out == f"\nended; minicodec listen {folder} --analyse shows the results\n"


@pytest.mark.parametrize(
    ("host", "warning"),
    [
        (None, ""),
        ("localhost", ""),
        ("0.0.0.0", "minicodec: all who can reach 0.0.0.0 can hear the clips and take part\n"),
    ],
)
def test_only_this_machine_unless_asked_for_more(folder, tmp_path, monkeypatch, capsys, host, warning):
    addresses = []

    def interrupted(server):
        addresses.append(server.server_address[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", interrupted)
    options = ["--port", "0", "--results", str(tmp_path / "r.csv"), *(["--host", host] if host else [])]
    assert main(["listen", str(folder), *options]) == 0
    assert addresses == ["0.0.0.0" if host == "0.0.0.0" else "127.0.0.1"]
    assert capsys.readouterr().err == warning


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--port", "70000"], "127.0.0.1:70000: cannot be served at ("),
        (["--port", "TAKEN"], "cannot be served at (Address already in use)"),
        (["--host", "no such host"], "no such host:8765: cannot be served at ("),
        (["--screens", "4"], "--screens 4: there are 3 clips"),
        (["--screens", "0"], "--screens 0: there are 3 clips"),
        (["--clips", "x"], "there is no clip x"),
        (["--analyse", "--systems", "opus*"], "listen --analyse: takes all ratings"),
        (["--analyse", "--export-webmushra", "x"], "not allowed with argument --analyse"),
        (["--results", "FOLDER"], "cannot be read (Is a directory)"),
    ],
)
def test_bad_options_are_one_line(folder, capsys, options, reason):
    with socket.create_server(("127.0.0.1", 0)) as other:
        known = {"TAKEN": str(other.getsockname()[1]), "FOLDER": str(folder)}
        assert main(["listen", str(folder), *(known.get(option, option) for option in options)]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1


def test_analyse_prints_the_table_and_draws_beside_the_results(tmp_path, capsys):
    scores = {"reference": {"Ann": 95, "Bob": 99}, "opus-6kbps": {"Ann": 60, "Bob": 70}}
    rows = [
        Rating("2026-01-01T00:00:00Z", f"of {listener}", listener, "drums", condition, score, FINAL)
        for condition, heard in scores.items()
        for listener, score in heard.items()
    ]
    ratings.append(tmp_path / "listening.csv", rows)
    assert main(["listen", str(tmp_path), "--analyse"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["condition", "mean", "95", "%", "interval", "median", "ratings"]
    assert lines[2].split() == ["opus-6kbps", "65.0", "1.5", "…", "128.5", "65.0", "2"]  # t = 12.706
    assert lines[-1] == f"picture: {tmp_path / 'listening.png'}"
    assert (tmp_path / "listening.png").read_bytes().startswith(b"\x89PNG")


def test_no_results_is_one_line(tmp_path, capsys):
    assert main(["listen", str(tmp_path), "--analyse"]) == 2
    reason = f"{tmp_path / 'listening.csv'}: cannot be read (No such file or directory)"
    assert capsys.readouterr().err == f"minicodec: {reason}\n"
