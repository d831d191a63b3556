"""Codes as plain arrays, and several waveforms at once: the same bits as one waveform after the other."""

import numpy as np
import pytest

from minicodec.codec.config import from_dict, preset_values
from minicodec.codec.model import Codec


@pytest.fixture(scope="module")
def stereo():
    """A small relative of encodec_48khz, with chunks of 0.1 s that overlap, and a scale for each."""
    values = preset_values("encodec_48khz") | {"name": "test", "chunk_samples": 4800, "chunk_stride": 4320}
    values["seanet"] = values["seanet"] | {"filters": 4, "latent": 8}
    values.pop("training", None)
    return Codec(from_dict(values, "test"))


def test_codes_are_an_array_and_the_sound_of_it(tiny, rng):
    wav = rng.normal(0, 0.1, (1, 5000)).astype(np.float32)
    encoded = tiny.encode(wav, 3)
    codes = encoded.codes
    assert codes.shape == (4, 16)
    assert codes.dtype == np.int16
    np.testing.assert_array_equal(codes, encoded[0].codes)
    np.testing.assert_array_equal(tiny.decode(codes, 5000), tiny.decode(encoded)[:, :5000])
    np.testing.assert_array_equal(tiny.decode(codes.astype(np.int64)), tiny.decode(encoded))
    other = codes.copy()
    other[0, 3] ^= 1
    assert (tiny.decode(other) != tiny.decode(codes)).any()


def test_a_batch_has_the_bits_of_its_items(tiny, rng):
    batch = rng.normal(0, 0.1, (3, 1, 2000)).astype(np.float32)
    alone = [tiny.encode(wav, 3) for wav in batch]
    together = tiny.encode(batch, 3)
    assert repr(together) == "[Chunk(3 x 4 codebooks x 7 frames)]"
    np.testing.assert_array_equal(together.codes, [one.codes for one in alone])
    expected = np.stack([tiny.decode(one, 2000) for one in alone])
    np.testing.assert_array_equal(tiny.decode(together, 2000), expected)
    np.testing.assert_array_equal(tiny.decode(together.codes, 2000), expected)


def test_a_list_has_waveforms_of_any_length(tiny, rng):
    wavs = [rng.normal(0, 0.1, (1, T)).astype(np.float32) for T in (700, 2000, 1)]
    together = tiny.encode(wavs, 3)
    assert [encoded.codes.shape for encoded in together] == [(4, 3), (4, 7), (4, 1)]
    for wav, encoded, decoded in zip(wavs, together, tiny.decode(together), strict=True):
        np.testing.assert_array_equal(encoded.codes, tiny.encode(wav, 3).codes)
        np.testing.assert_array_equal(decoded, tiny.decode(tiny.encode(wav, 3)))
    for decoded, of_arrays in zip(tiny.decode(together), tiny.decode([e.codes for e in together]), strict=True):
        np.testing.assert_array_equal(decoded, of_arrays)


def test_batches_of_a_model_with_chunks_and_scales(stereo, rng):
    loudness = np.float32([0.001, 0.5])[:, None, None]  # of which a batch must not make one scale
    batch = loudness * rng.normal(size=(2, 2, 9000)).astype(np.float32)
    together, alone = stereo.encode(batch, 6), [stereo.encode(wav, 6) for wav in batch]
    assert [chunk.codes.shape for chunk in together] == [(2, 4, 15), (2, 4, 15), (2, 4, 2)]
    assert together.codes.shape == (2, 4, 32)
    for i, one in enumerate(alone):
        assert [chunk.scale[i] for chunk in together] == [chunk.scale for chunk in one]
        np.testing.assert_array_equal(together.codes[i], one.codes)
    np.testing.assert_array_equal(stereo.decode(together), [stereo.decode(one) for one in alone])
    with pytest.raises(ValueError, match="test codes chunks, each with a scale: give what encode returned"):
        stereo.decode(together.codes)


def test_an_error_says_which_item(tiny):
    good = np.zeros((1, 400), np.float32)
    for wavs, reason in [
        ([good, good[0]], r"item 1: a waveform \(1,T\) is needed, this one is \(400,\)"),
        ([good, good.astype(np.int16)], "item 1: samples are floats in -1 … 1, these are int16: divide"),
        ([good, 0.5], "item 1: a waveform is a NumPy array"),
        (np.stack([good, good + np.nan]), "item 1: the waveform has samples that are not finite"),
        (np.zeros((0, 1, 400), np.float32), r"a waveform \(1,T\) is needed, this one is \(0, 1, 400\)"),
        (None, "a waveform is a NumPy array"),
    ]:
        with pytest.raises(ValueError, match=f"^{reason}"):
            tiny.encode(wavs)
    with pytest.raises(ValueError, match=r"^item 1: codes from -1 to -1"):
        tiny.decode(np.stack([np.zeros((2, 3), np.int16), np.full((2, 3), -1, np.int16)]))
