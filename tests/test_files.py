"""Files on disk: whole or not there; and the clips that ship with the package are fit for a demonstration."""

import errno
import os
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from minicodec import audio
from minicodec.errors import InputError
from minicodec.files import UNFINISHED, check_target, data_folder, write_atomically


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_write_atomically_keeps_the_old_file_on_any_error(tmp_path, error):
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")

    def fail():
        with write_atomically(path, overwrite=True) as temporary:
            assert temporary.parent.parent == tmp_path  # on the same disk, so that it can be renamed
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.bin"]
    with write_atomically(path, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_write_atomically_refuses_what_is_no_file_and_what_appears_meanwhile(tmp_path):
    def write(path, meanwhile=False):
        with write_atomically(path, overwrite=not meanwhile) as temporary:
            temporary.write_bytes(b"mine")
            if meanwhile:
                path.write_bytes(b"another's")

    with pytest.raises(InputError, match="not an ordinary file"):
        write(tmp_path)
    with pytest.raises(InputError, match="exists already"):
        write(tmp_path / "x", meanwhile=True)
    assert (tmp_path / "x").read_bytes() == b"another's"
    assert os.listdir(tmp_path) == ["x"]


def write(path, overwrite=False, content=b"new"):
    with write_atomically(path, overwrite) as temporary:
        temporary.write_bytes(content)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_new_file_has_the_permissions_of_the_umask_and_another_keeps_its_own(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "a")
        with write_atomically(tmp_path / "b.safetensors") as temporary:
            save_file({"x": np.zeros(3)}, temporary)  # which makes files that only their owner can read
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "b.safetensors").stat().st_mode & 0o777 == 0o640
    (tmp_path / "a").chmod(0o604)
    write(tmp_path / "a", overwrite=True)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o604


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("deep/real")
    (tmp_path / "dangling").symlink_to("deep/nothing yet")
    with pytest.raises(InputError, match="exists already"):
        write(tmp_path / "link")
    write(tmp_path / "link", overwrite=True)
    write(tmp_path / "dangling")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "dangling").is_symlink()
    assert (tmp_path / "deep" / "real").read_bytes() == (tmp_path / "deep" / "nothing yet").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path / "deep")) == ["nothing yet", "real"]


WRITER = """
import sys, time
from minicodec.files import write_atomically
with write_atomically(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    print("half", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_what_a_killed_process_leaves_is_removed_by_the_next_write_and_no_other_processs_work(tmp_path):
    command = [sys.executable, "-c", WRITER]
    writers = [subprocess.Popen([*command, tmp_path / name], stdout=subprocess.PIPE) for name in ("killed", "at work")]
    try:
        for writer in writers:
            assert writer.stdout.readline() == b"half\n"
        writers[0].kill()
        writers[0].wait()
        (tmp_path / ".somebody's.0123abcd.tmp.txt").write_bytes(b"")
        assert len(os.listdir(tmp_path)) == 3
        write(tmp_path / "next")
        (left,) = set(os.listdir(tmp_path)) - {"next", ".somebody's.0123abcd.tmp.txt"}
        assert left.startswith(".at work.")
        assert (tmp_path / left / "at work").read_bytes() == b"half"
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


def test_a_folder_in_which_nothing_can_be_made_is_named_before_the_work(tmp_path):
    """Root may write anywhere but in /proc."""
    if os.path.isdir("/proc"):
        for use in (lambda path: check_target(path, False), write):
            with pytest.raises(InputError, match=r"^/proc/a\.wav: cannot be written \("):
                use(Path("/proc/a.wav"))
    check_target(tmp_path / "a", False)
    assert os.listdir(tmp_path) == []
    with pytest.raises(InputError, match=r"a{300}: cannot be written \(File name too long\)"):
        check_target(tmp_path / ("a" * 300), False)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become somebody without permission")
def test_a_folder_without_permission(tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(InputError, match=r"o\.wav: cannot be written \(Permission denied\)"):
            check_target(tmp_path / "o.wav", False)
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become somebody without permission")
def test_a_folder_that_cannot_be_listed():
    """As a box into which others throw their work: who may write there need not see what lies there.

    Not in tmp_path, the folders above which belong to root alone.
    """
    with tempfile.TemporaryDirectory() as name:
        box = Path(name)
        box.chmod(0o333)
        os.seteuid(65534)
        try:
            check_target(box / "a", False)
            write(box / "a")
        finally:
            os.seteuid(0)
        assert os.listdir(box) == ["a"]


@pytest.mark.parametrize("letter", ["a", "é", "語", "🎵"])
def test_the_longest_names(tmp_path, letter):
    """A name may have 255 bytes."""
    path = tmp_path / (letter * (250 // len(letter.encode())) + ".ecdc")
    check_target(path, False)
    with write_atomically(path) as temporary:
        temporary.write_bytes(b"new")
        (unfinished,) = os.listdir(tmp_path)
        assert UNFINISHED.fullmatch(unfinished)
    assert os.listdir(tmp_path) == [path.name]


def test_a_full_disk_is_named_before_the_work(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9 - 10**6, 10**6))
    check_target(tmp_path / "a", False, size=10**6)
    with pytest.raises(InputError, match=r"a: needs 1500000 bytes; the disk has 1000000 left"):
        check_target(tmp_path / "a", False, size=1_500_000)

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(InputError, match=r"a: cannot be written \(No space left on device\)"):
        check_target(tmp_path / "a", False)
    assert os.listdir(tmp_path) == []


def test_data_folder_holds_readable_clips():
    clips = sorted(data_folder().glob("*.flac"))
    assert len(clips) >= 10
    for clip in clips:
        wav, rate = audio.read(clip)
        assert rate in (24_000, 44_100)
        assert 0.05 < np.abs(wav).max() < 10 ** (-0.9 / 20)  # full enough, and never near clipping
        assert abs(wav.mean()) < 1e-3
