"""Downloads, against a server of our own on this machine: whole, checked, resumed, and never outside the folder."""

import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from minicodec import download
from minicodec.errors import InputError
from minicodec.training import datasets
from minicodec.training.datasets import DATASETS, Dataset, fetch, unpack


def archive(*members):
    """The bytes of a .tar.gz of (name, content) pairs or of TarInfos, which may be as evil as one likes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                entry = tarfile.TarInfo(member[0])
                entry.size = len(member[1])
                tar.addfile(entry, io.BytesIO(member[1]))
    return out.getvalue()


NOISE = np.random.default_rng(0).bytes(900_000)  # random: gzip cannot shrink it
GOOD = archive(("set/readme.txt", b"hello"), ("set/deep/noise.bin", NOISE))


@pytest.fixture
def server(monkeypatch):
    """Serves `server.content`; sends only `server.budgets.pop(0)` bytes of an answer, then hangs up."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            state.ranges.append(wanted)
            if self.path != "/set.tar.gz":
                self.send_error(404)
                return
            start = int(wanted[6:-1]) if wanted and state.resumes else 0
            if start >= len(state.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.content)}")
                self.end_headers()
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            self.end_headers()
            self.wfile.write(body[: state.budgets.pop(0) if state.budgets else None])

        def log_message(self, *args):
            pass

    state = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.content, state.budgets, state.ranges, state.resumes = GOOD, [], [], True
    thread = threading.Thread(target=state.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{state.server_port}/set.tar.gz"
    monkeypatch.setitem(DATASETS, "tiny", Dataset(url, hashlib.sha256(GOOD).hexdigest(), "CC0", "noise"))
    monkeypatch.setattr(download, "PAUSE", 0)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    yield state
    state.shutdown()
    state.server_close()
    thread.join()


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_fetch_downloads_checks_unpacks_and_then_does_nothing(server, tmp_path, capsys):
    assert fetch("tiny", tmp_path / "new") == tmp_path / "new" / "tiny"
    assert files(tmp_path) == ["new/tiny/set/deep/noise.bin", "new/tiny/set/readme.txt"]
    assert (tmp_path / "new/tiny/set/deep/noise.bin").read_bytes() == NOISE
    assert "tiny: 1 of 1 MB" in capsys.readouterr().err
    assert server.ranges == [None]
    fetch("tiny", tmp_path / "new")
    assert server.ranges == [None]


def test_a_broken_download_resumes_in_the_same_call(server, tmp_path):
    server.budgets = [400_000, 100_000]
    steps = []
    fetch("tiny", tmp_path, report=lambda done, total: steps.append((done, total)))
    assert server.ranges == [None, "bytes=400000-", "bytes=500000-"]
    assert (tmp_path / "tiny/set/deep/noise.bin").read_bytes() == NOISE
    assert steps[-1] == (len(GOOD), len(GOOD))


def test_a_download_given_up_resumes_in_the_next_call(server, tmp_path):
    server.budgets = [100_000] * download.ATTEMPTS
    with pytest.raises(InputError, match=r"set\.tar\.gz: the connection broke off, 5 times"):
        fetch("tiny", tmp_path)
    assert files(tmp_path) == ["tiny.part"]
    fetch("tiny", tmp_path)
    assert server.ranges[-1] == "bytes=500000-"
    assert files(tmp_path) == ["tiny/set/deep/noise.bin", "tiny/set/readme.txt"]


def test_ctrl_c_keeps_what_came(server, tmp_path):
    def report(done, total):
        if done > 300_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("tiny", tmp_path, report=report)
    kept = (tmp_path / "tiny.part").stat().st_size
    fetch("tiny", tmp_path)
    assert kept > 300_000
    assert server.ranges == [None, f"bytes={kept}-"]
    assert (tmp_path / "tiny/set/deep/noise.bin").read_bytes() == NOISE


def test_a_server_that_ignores_ranges_and_a_part_that_is_complete_or_too_long(server, tmp_path):
    for number, (resumes, part) in enumerate(((False, GOOD[:1000]), (True, GOOD), (True, GOOD + b"more"))):
        server.resumes = resumes
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "tiny.part").write_bytes(part)
        fetch("tiny", folder)
        assert (folder / "tiny/set/deep/noise.bin").read_bytes() == NOISE


def test_another_checksum_is_refused_and_the_download_thrown_away(server, tmp_path):
    server.content = GOOD[:-9] + b"x" + GOOD[-8:]
    with pytest.raises(InputError, match="the checksum is not that of tiny"):
        fetch("tiny", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_refusals(server, tmp_path):
    mirror = f"http://127.0.0.1:{server.server_port}/elsewhere"
    for name, url, reason in (
        ("nothing", None, "nothing: no such dataset; there are librispeech-dev-clean"),
        ("tiny", mirror, "404"),
        ("tiny", "file:///etc/passwd", "only http"),
        ("tiny", "http://127.0.0.1:1/", "refused"),
    ):
        with pytest.raises(InputError, match=reason) as caught:
            fetch(name, tmp_path, url=url)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def member(name, kind=tarfile.REGTYPE, link="", size=0):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, size
    return entry


def huge(name):
    """An archive that claims a member of a petabyte: only its header, since tarfile itself checks what it writes."""
    entry = member(name, size=10**15)
    return entry.tobuf(tarfile.GNU_FORMAT) + bytes(10 * 512)


EVIL = {
    "parent": archive(("ok.txt", b"ok"), ("../outside.txt", b"evil")),
    "deep parent": archive(("a/../../outside.txt", b"evil")),
    "absolute": archive(("/tmp/minicodec-outside.txt", b"evil")),
    "symlink": archive(member("link", tarfile.SYMTYPE, ".."), ("link/outside.txt", b"evil")),
    "inner symlink": archive(("a.txt", b"a"), member("b.txt", tarfile.SYMTYPE, "a.txt")),
    "hard link": archive(member("link", tarfile.LNKTYPE, "../secret.txt")),
    "device": archive(member("null", tarfile.CHRTYPE)),
    "pipe": archive(member("pipe", tarfile.FIFOTYPE)),
    "petabyte": huge("huge.bin"),
    "cut": GOOD[:500_000],
    "no archive": b"<html>not found</html>" * 40,
}


@pytest.mark.parametrize("name", EVIL)
def test_evil_archives_write_nothing(tmp_path, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    path = tmp_path / "a.tar.gz"
    path.write_bytes(EVIL[name])
    with pytest.raises(InputError) as caught:
        unpack(path, inside / "target")
    assert str(path) in str(caught.value)
    assert files(tmp_path) == ["a.tar.gz", "secret.txt"]
    assert list(inside.iterdir()) == []


def test_an_archive_that_grows_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(archive(("a", bytes(600)), ("b", bytes(600))))
    monkeypatch.setattr(datasets, "UNPACKED_LIMIT", 1000)
    with pytest.raises(InputError, match="no room"):
        unpack(path, tmp_path / "target")
    monkeypatch.setattr(datasets, "UNPACKED_LIMIT", 1200)
    unpack(path, tmp_path / "target")
    assert files(tmp_path / "target") == ["a", "b"]


def test_the_table_is_well_formed():
    """Sums of 64 hexadecimal digits, every one of its own: a pasted line is found here."""
    assert len({dataset.sha256 for dataset in DATASETS.values()}) == len(DATASETS)
    assert len({dataset.url for dataset in DATASETS.values()}) == len(DATASETS)
    for dataset in DATASETS.values():
        assert len(bytes.fromhex(dataset.sha256)) == 32
