"""Fetching what the official package makes: its files, from a server on this machine; then its `.ecdc` files by name.

The weights are random ones: the published files cannot be had here.
"""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("encodec")

from encodec.compress import compress  # noqa: E402
from encodec.model import LMModel  # noqa: E402

import minicodec  # noqa: E402
from minicodec import audio  # noqa: E402
from minicodec.cli import main  # noqa: E402
from minicodec.codec.foreign.released import RELEASED  # noqa: E402
from tests.file_server import serve  # noqa: E402
from tests.parity.official import NAMES, clip, official  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")  # the peer's business


def saved(module):
    """The bytes of the file that PyTorch makes of a module's state."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    return file.getvalue()


@pytest.fixture(params=NAMES)
def fetched(request, tmp_path, monkeypatch):
    """The name of a codec that was fetched, with its language model, after one broken connection each."""
    name = request.param
    model, lm = official(name), RELEASED[name].lm
    torch.manual_seed(1)
    quantizer = model.quantizer
    lm_model = LMModel(quantizer.n_q, quantizer.bins, num_layers=5, dim=200, past_context=int(3.5 * model.frame_rate))
    monkeypatch.setenv("MINICODEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("minicodec.download.PAUSE", 0)
    monkeypatch.chdir(tmp_path)
    with serve({}) as server:
        for one, content in ((name, saved(model)), (lm, saved(lm_model))):
            file = f"{one}-{hashlib.sha256(content).hexdigest()[:8]}.th"
            server.files[file] = content
            monkeypatch.setitem(RELEASED, one, replace(RELEASED[one], url=server.url, files=(file,)))
            server.budgets = [1_000_000]
            assert main(["fetch", one]) == 0
        ranges = [wanted for _, _, wanted in server.requests]
        assert [ranges[0], ranges[2]] == [None, None]
        assert all(wanted.startswith("bytes=") for wanted in (ranges[1], ranges[3]))
    return name


def test_a_file_of_the_official_package_is_decoded_by_the_model_that_it_names(fetched, capsys):
    model = official(fetched)
    wav = clip(model, "music_song_44k_stereo", int(1.37 * model.sample_rate))
    model.set_target_bandwidth(6.0)
    with torch.no_grad(), open("theirs.ecdc", "wb") as file:
        frames = model.encode(torch.from_numpy(wav)[None])
        expected = model.decode(frames)[0].numpy()[:, : wav.shape[1]]
        file.write(compress(model, torch.from_numpy(wav)))
    assert main(["decode", "theirs.ecdc", "-r"]) == 0
    got, rate = audio.read("theirs_decompressed.wav")
    assert rate == model.sample_rate
    expected = expected / max(1, np.abs(expected).max())
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3)
    assert np.abs(expected).max() > 0.05


def test_its_language_model_makes_files_that_come_back(fetched):
    codec = minicodec.load(fetched)
    wav = clip(official(fetched), "speech_en_1", codec.sample_rate // 2)
    audio.write("in.wav", wav, codec.sample_rate)
    options = ["-b", "3", "-m", fetched]
    assert main(["encode", "in.wav", *options, "--lm"]) == 0
    assert main(["encode", "in.wav", "plain.ecdc", *options]) == 0
    for name in ("in", "plain"):
        assert main(["decode", f"{name}.ecdc", "-r", "-m", fetched]) == 0
    np.testing.assert_array_equal(audio.read("in_decompressed.wav")[0], audio.read("plain_decompressed.wav")[0])
