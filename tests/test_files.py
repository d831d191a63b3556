"""Files on disk: whole or not there; and the clips that ship with the package are fit for a demonstration."""

import os

import numpy as np
import pytest

from minicodec import audio
from minicodec.errors import InputError
from minicodec.files import data_folder, write_atomically


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_write_atomically_keeps_the_old_file_on_any_error(tmp_path, error):
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")

    def fail():
        with write_atomically(path, overwrite=True) as temporary:
            assert temporary.parent == tmp_path
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


def test_data_folder_holds_readable_clips():
    clips = sorted(data_folder().glob("*.flac"))
    assert len(clips) >= 10
    for clip in clips:
        wav, rate = audio.read(clip)
        assert rate in (24_000, 44_100)
        assert 0.05 < np.abs(wav).max() < 10 ** (-0.9 / 20)  # full enough, and never near clipping
        assert abs(wav.mean()) < 1e-3
