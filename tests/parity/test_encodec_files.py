"""Files in both directions: the `encodec` package reads what we write and writes what we read, with the same weights.

What one program decodes from the other's file must be what it decodes from its own codes.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("encodec")

from encodec import compress, decompress  # noqa: E402
from encodec.compress import MODELS  # noqa: E402

import minicodec  # noqa: E402
from minicodec import audio  # noqa: E402
from minicodec.cli import main  # noqa: E402
from minicodec.codec.files import bitstream  # noqa: E402
from minicodec.codec.files.bitstream import Header  # noqa: E402
from minicodec.codec.files.entropy import encodec_files  # noqa: E402
from minicodec.codec.foreign.convert import ENCODEC, take_over  # noqa: E402
from minicodec.codec.language_model import LanguageModel, LanguageModelConfig  # noqa: E402
from minicodec.errors import InputError  # noqa: E402
from tests.parity.official import NAMES, arrays, clip, official  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")  # the peer's business

CASES = [(name, kbps) for name in NAMES for kbps in minicodec.build(name).bandwidths]


@pytest.fixture(scope="module")
def codecs():
    """Ours, by name, with the weights of theirs."""
    codecs = {name: minicodec.build(name) for name in NAMES}
    for name, codec in codecs.items():
        take_over(codec, arrays(official(name)), ENCODEC)
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


def test_entropy_coded(codecs, tmp_path, monkeypatch, capsys):
    """With a language model, in Python and on the command line; without it, one line says that it is missing."""
    codec, name = codecs["encodec_24khz"], "encodec_24khz"
    lm = LanguageModel(LanguageModelConfig(32, 1024, 262), rng=np.random.default_rng(0))
    chunks = codec.encode(clip(codec, "speech_en_1", 3300), 1.5)
    packet = encodec_files.pack(Header(name, 3300, 2, lm=True), chunks, lm)
    expected = codec.decode(chunks, 3300)
    wav, rate = minicodec.decompress(packet, codec, lm=lm)
    assert rate == 24_000
    np.testing.assert_array_equal(wav, expected)
    with pytest.raises(InputError, match=r"^packet: is entropy-coded: it needs the language model"):
        minicodec.decompress(packet, codec)

    monkeypatch.setattr(minicodec, "load", lambda path: codec)
    monkeypatch.setattr(minicodec, "load_language_model", lambda path, codec: lm)
    coded, out = tmp_path / "x.ecdc", tmp_path / "x.wav"
    coded.write_bytes(packet)
    assert main(["decode", str(coded), str(out), "-m", "m"]) == 2
    assert "is entropy-coded" in capsys.readouterr().err
    assert main(["decode", str(coded), str(out), "-m", "m", "--lm", "lm.th"]) == 0
    np.testing.assert_allclose(audio.read(out)[0], expected.clip(-1, 1), atol=2**-15)
