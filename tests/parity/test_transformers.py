"""The whole codec against `transformers`' EncodecModel, through a folder as it saves one."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("encodec")
transformers = pytest.importorskip("transformers")

import minicodec  # noqa: E402
from minicodec.codec.files.bitstream import Chunk  # noqa: E402
from minicodec.codec.foreign.convert import ENCODEC, TRANSFORMERS_PARAMETRIZED, sources  # noqa: E402
from tests.parity.official import NAMES, arrays, clip, official  # noqa: E402
from tests.parity.test_encodec_codec import check_codes, relative_error, run  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")  # the peer's business

CONFIGS = {  # what the folders of facebook/encodec_24khz and facebook/encodec_48khz say, where it is no default
    "encodec_24khz": {},
    "encodec_48khz": {
        "target_bandwidths": [3.0, 6.0, 12.0, 24.0], "sampling_rate": 48_000, "audio_channels": 2, "normalize": True,
        "chunk_length_s": 1.0, "overlap": 0.01, "norm_type": "time_group_norm", "use_causal_conv": False,
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=NAMES)
def pair(request, tmp_path_factory):
    """Its model, with the weights of the `encodec` package's, and ours loaded from the folder that it saves."""
    name = request.param
    theirs = transformers.EncodecModel(transformers.EncodecConfig(**CONFIGS[name])).eval()
    state = arrays(official(name))
    codec = minicodec.build(name)
    names = dict(sources(codec, ENCODEC)), dict(sources(codec, TRANSFORMERS_PARAMETRIZED))
    renamed = {
        new: torch.from_numpy(state[old])
        for key in names[0]
        for old, new in zip(names[0][key].names, names[1][key].names, strict=True)
    }
    theirs.load_state_dict(renamed)
    folder = tmp_path_factory.mktemp("transformers")
    theirs.save_pretrained(folder)
    ours = minicodec.load(folder)
    assert ours.name.startswith(f"{name}-")  # nobody has said that these are the published weights
    assert name in ours.names
    assert ours.config == codec.config
    for file in folder.iterdir():
        file.unlink()
    return ours, theirs


@pytest.mark.parametrize("seconds", [0.5, 1.37])
def test_codec(pair, seconds):
    """Latents, scales, codes and audio."""
    ours, theirs = pair
    rate = ours.sample_rate
    wav = clip(ours, "music_song_44k_stereo", int(seconds * rate))
    with torch.no_grad():
        encoded = theirs.encode(torch.from_numpy(wav)[None], bandwidth=ours.bandwidths[-1])
        decoded = theirs.decode(
            encoded.audio_codes, encoded.audio_scales, last_frame_pad_length=encoded.last_frame_pad_length
        )
    chunks = ours.encode(wav)
    assert len(chunks) == len(encoded.audio_codes)
    same = []
    for i, (chunk, codes, scale) in enumerate(zip(chunks, encoded.audio_codes, encoded.audio_scales, strict=True)):
        stride = ours.config.chunk_stride or 0
        x = wav[:, i * stride : i * stride + (ours.config.chunk_samples or wav.shape[1])]
        if scale is not None:
            np.testing.assert_allclose(chunk.scale, scale.item(), rtol=1e-6)
            x = x / np.float32(scale.item())
        z, expected_z = run(ours.encoder, theirs.encoder, x.T[None])
        assert relative_error(z, expected_z) < 1e-5
        codes = codes[0, :, : len(z)].numpy()
        assert check_codes(chunk.codes, codes, z, expected_z, ours.quantizer.codebooks) <= 1
        same.append(Chunk(codes.astype(np.int16), None if scale is None else scale.item()))
    expected = decoded.audio_values[0].numpy()
    got = ours.decode(same)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=1e-5 * max(1, np.abs(expected).max()), rtol=0)


def test_codebooks_where_the_rate_is_no_multiple_of_the_hop(tmp_path):
    """22050 Hz, hop 320: 68.9 frames a second, which count as 69."""
    rates = [1.379, 1.38, 5.513, 5.519, 5.52, 11.04]
    config = transformers.EncodecConfig(
        sampling_rate=22_050, num_filters=4, hidden_size=8, codebook_dim=8, num_lstm_layers=1, target_bandwidths=rates
    )
    theirs = transformers.EncodecModel(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = minicodec.load(tmp_path)
    assert ours.config.quantizer.levels == config.num_quantizers == 16
    wav = clip(ours, "speech_en_1", 4000)
    found = []
    for kbps in rates:
        with torch.no_grad():
            codes = theirs.encode(torch.from_numpy(wav)[None], bandwidth=kbps).audio_codes
        (chunk,) = ours.encode(wav, kbps)
        assert chunk.codes.shape == tuple(codes.shape[2:])
        found.append(len(chunk.codes))
    assert found == [1, 2, 7, 7, 8, 16]
