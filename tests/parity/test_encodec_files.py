"""Files in both directions: the `encodec` package reads what we write and writes what we read, with the same weights.

What one program decodes from the other's file must be what it decodes from its own codes.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("encodec")

from encodec import compress, decompress  # noqa: E402
from encodec.compress import MODELS  # noqa: E402
from encodec.model import LMModel  # noqa: E402

import minicodec  # noqa: E402
from minicodec.cli import main  # noqa: E402
from minicodec.codec.files import bitstream  # noqa: E402
from minicodec.codec.foreign.convert import ENCODEC, take_over  # noqa: E402
from minicodec.errors import InputError  # noqa: E402
from tests.parity.official import NAMES, arrays, clip, official  # noqa: E402
from tests.parity.test_encodec_bitstream import LAYOUTS, CodesOnly, random_chunks  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")  # the peer's business

CASES = [(name, kbps) for name in NAMES for kbps in minicodec.build(name).bandwidths]


@pytest.fixture(scope="module")
def codecs():
    """Ours, by name, with the weights of theirs."""
    codecs = {name: minicodec.build(name) for name in NAMES}
    for name, codec in codecs.items():
        take_over(codec, arrays(official(name)), ENCODEC)
        codec.published = codec.digest  # as if these were the published weights
    return codecs


@pytest.mark.parametrize(("name", "kbps"), CASES)
def test_cross_decoding(name, kbps, codecs, monkeypatch):
    ours, theirs = codecs[name], official(name)
    theirs.set_target_bandwidth(kbps)
    monkeypatch.setitem(MODELS, name, lambda: theirs)
    wav = clip(theirs, "speech_en_1", 50_001 if (name, kbps) == ("encodec_48khz", 3) else 5001)
    written_there = compress(theirs, torch.from_numpy(wav))
    written_here = ours.compress(wav, kbps)
    header, chunks = bitstream.unpack(written_here, ours.config.layout, "here")
    expected_header, expected_chunks = bitstream.unpack(written_there, ours.config.layout, "there")
    assert header == expected_header
    for chunk, expected in zip(chunks, expected_chunks, strict=True):
        np.testing.assert_array_equal(chunk.codes, expected.codes)
        if expected.scale is not None:  # the root of a mean, which may differ in its last digit
            np.testing.assert_allclose(chunk.scale, expected.scale, rtol=1e-6)
    assert bitstream.pack(header, expected_chunks, ours.config.layout) == written_there

    read_here, rate = minicodec.decompress(written_there, ours)
    read_there, expected_rate = decompress(written_here)
    assert rate == expected_rate
    assert read_here.shape == tuple(read_there.shape) == wav.shape
    scale = max(1, np.abs(read_here).max())
    np.testing.assert_allclose(read_here, read_there.detach().numpy(), atol=1e-5 * scale, rtol=0)


def test_what_the_package_entropy_codes(tmp_path, monkeypatch, capsys):
    """Its own decoder alone can read it: one line says so, in Python, of `decode` and of `info`."""
    name = "encodec_24khz"
    torch.manual_seed(0)
    model = CodesOnly(name, random_chunks(name, 3300, 2, np.random.default_rng(0)))
    model.get_lm_model = lambda: LMModel(LAYOUTS[name].codebooks, 1024, num_layers=1, dim=40, past_context=262).eval()
    monkeypatch.setitem(MODELS, name, lambda: model)
    packet = compress(model, torch.zeros(1, 3300), use_lm=True)
    line = "is entropy-coded by the released encodec package: it alone can decode it, on the machine that did"
    codec = minicodec.build(name)
    with pytest.raises(InputError, match=f"^packet: {line}$"):
        minicodec.decompress(packet, codec)
    coded, out = tmp_path / "x.ecdc", tmp_path / "x.wav"
    coded.write_bytes(packet)
    assert main(["decode", str(coded), str(out), "-m", "m"]) == 2
    assert capsys.readouterr().err == f"minicodec: {coded}: {line}\n"
    assert main(["info", str(coded)]) == 0
    printed = capsys.readouterr().out
    assert line in printed
    assert "0.14 s, 3300 samples at 24000 Hz" in printed
    assert "2 of 32, 11 frames" in printed
