"""Streaming: however a signal is cut, the bits of the whole; and the whole is what the layers themselves say."""

import pickle
from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minicodec
from minicodec import functional as F
from minicodec.backend import use
from minicodec.codec.config import CodecConfig, QuantizerConfig, preset
from minicodec.codec.model import Codec
from minicodec.codec.seanet import SEANetConfig
from minicodec.codec.streaming import stream as streaming
from minicodec.codec.streaming.convolution import FrameBuffer
from minicodec.codec.streaming.stages import Chain
from minicodec.codec.transform import TransformConfig
from minicodec.tensor import Tensor, no_grad

HOP = 6  # of the small models


def noise(T, channels=1, seed=0):
    return (0.3 * np.random.default_rng(seed).normal(size=(channels, T))).astype(np.float32)


def spread_codebooks(codec):
    """Codewords that look like latents and their residuals, so that all are used and a wrong latent changes codes."""
    rng = np.random.default_rng(1)
    with no_grad(), use("numpy"):  # nothing is compiled while tests are collected
        z = codec.encoder(Tensor(noise(200 * codec.config.network.hop, codec.channels).T[None].copy())).data[0]
    shape = codec.quantizer.codebooks.shape[1:]
    for q, codebook in enumerate(codec.quantizer.codebooks):
        codebook[...] = z.std(axis=0) * rng.normal(size=shape) * 0.6**q + (q == 0) * z.mean(axis=0)
    return codec


def small(**options):
    seanet = SEANetConfig(filters=4, latent=6, strides=(2, 3), lstm_layers=2, residual_units=2, **options)
    return spread_codebooks(Codec(CodecConfig("small", 600, 1, (1.2,), QuantizerConfig(3, 16), seanet), seed=3))


def small_transform(noise_from=0):
    config = TransformConfig(hop=HOP, latent=4, encoder=(1, 2), decoder=(1, 2, 4), noise_from=noise_from)
    return spread_codebooks(Codec(CodecConfig("small", 600, 1, (1.2,), QuantizerConfig(3, 16), None, config), seed=3))


SMALL = {
    "zeros, identity": small(shortcut="identity"),
    "mirror, 1x1 shortcut": small(pad_mode="reflect"),
    "mirror, no norm": small(pad_mode="reflect", norm="none", residual_kernel=5),
    "transform": small_transform(),
    "transform with noise": small_transform(2),
}


@pytest.fixture(scope="module")
def tiny():
    return spread_codebooks(minicodec.build("tiny_24khz", seed=1))


def by_definition(codec, wav):
    """Latents (T,D) as the layers of the encoder make them, all at once."""
    with no_grad():
        return codec.encoder(Tensor(np.ascontiguousarray(wav.T[None]))).data[0]


def decoded_by_definition(codec, codes):
    with no_grad():
        return codec.decoder(Tensor(codec.quantizer.decode(codes.astype(int))[None])).data[0].T


def assert_nearest(codes, z, codebooks):
    """Level by level, codes (Q,T) name the codewords nearest to what latents z (T,D) leave over.

    Where two are equally near but for rounding, either will do.
    """
    residual = z.astype(np.float64)
    for level_codes, codebook in zip(codes, codebooks.astype(np.float64), strict=True):
        squares = ((residual[:, None] - codebook) ** 2).sum(axis=2)
        chosen = squares[np.arange(len(z)), level_codes]
        rounding = 1e-6 * np.linalg.norm(residual, axis=1) * np.linalg.norm(codebook, axis=1).max()
        np.testing.assert_array_less(chosen, squares.min(axis=1) + rounding)
        residual -= codebook[level_codes]


def in_pieces(stream, x, sizes):
    """All that comes out when x (C,T) goes in, in pieces of these sizes, over and over."""
    out, t, i = [], 0, 0
    while t < x.shape[1]:
        out.append(stream.push(x[:, t : t + sizes[i % len(sizes)]]))
        t += sizes[i % len(sizes)]
        i += 1
    return np.concatenate([*out, stream.flush()], axis=1)


cuts = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any)


def test_padding_of_no_known_kind_is_refused_before_anything_is_pushed():
    with pytest.raises(ValueError, match="pad_mode 'mirror': choose one of zero, reflect"):
        SMALL["mirror, 1x1 shortcut"].stream_encoder(pad_mode="mirror")


@pytest.mark.parametrize("mode", ["zero", "reflect"])
@pytest.mark.parametrize("elu", [False, True])
def test_frames_are_padded_where_they_lie_whatever_lay_there_before(mode, elu):
    buffer, rng = FrameBuffer(3, elu), np.random.default_rng(0)
    buffer.join(np.zeros((1, 0, 3), np.float32), np.full((1, 40, 3), np.nan, np.float32))
    memory = buffer.memory
    for m, n, left, right in [(4, 9, 6, 3), (0, 9, 0, 3), (4, 9, 6, 0), (2, 9, 0, 0), (1, 1, 6, 8), (0, 1, 2, 0)]:
        before, x = (rng.normal(size=(1, count, 3)).astype(np.float32) for count in (m, n))
        frames = np.concatenate([before, F.elu(Tensor(x)).data if elu else x], axis=1)
        with use("numpy"):
            expected = F.pad1d(Tensor(frames), left, right, mode).data
        padded = buffer.join(before, x, left, right, mode)
        np.testing.assert_array_equal(padded, expected)
        assert np.shares_memory(padded, memory)


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=25, deadline=None)
@given(T=st.integers(1, 150), sizes=cuts)
def test_any_cut_of_a_signal_gives_the_codes_of_the_whole(name, T, sizes):
    codec, wav = SMALL[name], noise(T, seed=T)
    codes = codec.encode(wav)[0].codes
    np.testing.assert_array_equal(in_pieces(codec.stream_encoder(), wav, sizes), codes)
    assert_nearest(codes, by_definition(codec, wav), codec.quantizer.codebooks)


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=25, deadline=None)
@given(T=st.integers(1, 40), sizes=cuts)
def test_any_cut_of_the_codes_gives_the_samples_of_the_whole(name, T, sizes):
    codec = SMALL[name]
    codes = np.random.default_rng(T).integers(0, 16, (3, T)).astype(np.int16)
    (chunk,) = codec.encode(noise(T * HOP))
    wav = codec.decode([replace(chunk, codes=codes)])
    np.testing.assert_array_equal(in_pieces(codec.stream_decoder(), codes, sizes), wav)
    np.testing.assert_allclose(wav, decoded_by_definition(codec, codes), rtol=1e-5, atol=1e-6)
    assert wav.shape == (1, T * HOP)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("piece", [1, 3, 40])
@pytest.mark.parametrize("name", SMALL)
def test_threads_that_follow_each_other_give_the_bits_of_one(name, piece, threads, monkeypatch):
    """One push of 50 frames and a bit, cut into pieces, each a thread's: against 51 pushes."""
    codec, wav = SMALL[name], noise(50 * HOP + 1)
    codes = in_pieces(codec.stream_encoder(), wav, [HOP])
    decoded = in_pieces(codec.stream_decoder(), codes, [1])
    monkeypatch.setattr(streaming, "PIECE_FRAMES", piece)
    monkeypatch.setattr(streaming, "TILE_FRAMES", min(piece, streaming.TILE_FRAMES))
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    np.testing.assert_array_equal(in_pieces(codec.stream_encoder(), wav, [wav.shape[1]]), codes)
    np.testing.assert_array_equal(in_pieces(codec.stream_decoder(), codes, [51]), decoded)
    numba.set_num_threads(before)


def test_the_small_models_use_all_codes_and_differ():
    """Else the tests above would compare constants."""
    wav = noise(3000)
    codes = [codec.encode(wav)[0].codes for codec in SMALL.values()]
    assert all(len(np.unique(level)) >= 12 for one in codes for level in one)
    assert not np.array_equal(codes[0], codes[1])


@pytest.mark.parametrize("sizes", [[1], [320], [319, 1, 640], [9011], [7, 4001]])
def test_the_codec_of_the_course_streams_to_the_bit(tiny, sizes):
    wav = noise(900 if sizes == [1] else 9011)
    codes = tiny.encode(wav, 6)[0].codes
    np.testing.assert_array_equal(in_pieces(tiny.stream_encoder(6), wav, sizes), codes)
    assert_nearest(codes, by_definition(tiny, wav), tiny.quantizer.codebooks[:8])
    assert len(np.unique(codes)) > codes.size // 3
    decoded = tiny.decode(tiny.encode(wav, 6))
    frames = [max(1, size // 320) for size in sizes]
    np.testing.assert_array_equal(in_pieces(tiny.stream_decoder(), codes, frames), decoded)
    np.testing.assert_allclose(decoded, decoded_by_definition(tiny, codes), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_streams_run_on_any_backend(name):
    """A student's convolution serves streams too; the definitions stand for it here."""
    codec, wav = SMALL[name], noise(100)
    chain, x = Chain(codec.encoder.layers, None), np.ascontiguousarray(wav.T[None])
    z, _ = chain(x, chain.start(), True)
    with use("numpy"):
        by_ops, _ = chain(x, chain.start(), True)
        np.testing.assert_allclose(by_ops, z, rtol=1e-4, atol=1e-5)
        assert not np.array_equal(by_ops, z)
        assert in_pieces(codec.stream_encoder(), wav, [33]).shape == (3, 17)


def test_a_frame_in_a_frame_out(tiny):
    """The code comes with the last sample of its frame, 13.3 ms after the first, and not a sample later."""
    wav = noise(320 * 4)
    encoder, decoder = tiny.stream_encoder(1.5), tiny.stream_decoder()
    counts = [encoder.push(wav[:, t : t + 1]).shape[1] for t in range(wav.shape[1])]
    assert [t for t, count in enumerate(counts) if count] == [319, 639, 959, 1279]
    assert max(counts) == 1
    codes = tiny.encode(wav, 1.5)[0].codes
    assert [decoder.push(codes[:, t : t + 1]).shape for t in range(4)] == [(1, 320)] * 4
    assert encoder.flush().shape == (2, 0)
    assert decoder.flush().shape == (1, 0)


def test_a_mirror_is_awaited_and_then_all_that_is_due_comes():
    codec = SMALL["mirror, 1x1 shortcut"]
    wav = noise(30 * HOP)
    encoder = codec.stream_encoder()
    totals = np.cumsum([encoder.push(wav[:, t : t + HOP]).shape[1] for t in range(0, wav.shape[1], HOP)])
    assert set(totals[:6]) == {0}  # the last conv shows frames 1 … 6 before frame 0
    assert list(totals[8:]) == list(range(9, 31))
    decoder = codec.stream_decoder()
    codes = codec.encode(wav)[0].codes
    totals = np.cumsum([decoder.push(codes[:, t : t + 1]).shape[1] for t in range(30)])
    assert set(totals[:6]) == {0}
    assert list(totals[8:]) == [HOP * t for t in range(9, 31)]


def test_zeros_instead_of_the_mirror_do_not_wait():
    mirror, wav = SMALL["mirror, 1x1 shortcut"], noise(20 * HOP + 1)
    zeros = small()
    zeros.load_state_dict(mirror.state_dict())
    encoder = mirror.stream_encoder(pad_mode="zero")
    codes = [encoder.push(wav[:, :HOP])]
    assert codes[0].shape == (3, 1)
    codes += [encoder.push(wav[:, HOP:]), encoder.flush()]
    expected = zeros.encode(wav)[0].codes
    np.testing.assert_array_equal(np.concatenate(codes, axis=1), expected)
    assert not np.array_equal(mirror.encode(wav)[0].codes, expected)
    decoded = in_pieces(mirror.stream_decoder(pad_mode="zero"), expected, [1])
    np.testing.assert_array_equal(decoded, zeros.decode(zeros.encode(wav)))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("first", [0, 1, 20, 75])
def test_a_state_can_be_kept_and_restored(name, first):
    codec, wav = SMALL[name], noise(100)
    encoder = codec.stream_encoder()
    before = encoder.push(wav[:, :first])
    kept, pickled = encoder.state, pickle.dumps(encoder.state)
    rest = np.concatenate([encoder.push(wav[:, first:]), encoder.flush()], axis=1)
    np.testing.assert_array_equal(np.concatenate([before, rest], axis=1), codec.encode(wav)[0].codes)
    for state in (kept, pickle.loads(pickled)):
        again = codec.stream_encoder()
        again.state = state
        np.testing.assert_array_equal(in_pieces(again, wav[:, first:], [7]), rest)

    codes = codec.encode(wav)[0].codes
    decoder, n = codec.stream_decoder(), first // HOP
    decoder.push(codes[:, :n])
    kept = decoder.state
    rest = np.concatenate([decoder.push(codes[:, n:]), decoder.flush()], axis=1)
    decoder.state = kept
    np.testing.assert_array_equal(in_pieces(decoder, codes[:, n:], [1]), rest)


def test_nothing_in_nothing_out():
    for codec in SMALL.values():
        assert codec.stream_encoder().flush().shape == (3, 0)
        assert codec.stream_decoder().flush().shape == (1, 0)


def test_bad_input_is_refused_and_changes_nothing():
    codec, wav = SMALL["zeros, identity"], noise(100)
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    codes = [encoder.push(wav[:, :33])]
    for bad, reason in [
        (noise(5, 2), r"\(1,T\) is needed"),
        (noise(5)[0], "needed"),
        (wav * np.nan, "not finite"),
        (np.full((1, 5), -np.inf), "not finite"),
        (np.full((1, 5), 12_000, np.int16), "samples are floats in -1 … 1, these are int16: divide"),
        (np.full((1, 5), -12_000.0), "samples up to 12000, where audio lies within"),
    ]:
        with pytest.raises(ValueError, match=reason):
            encoder.push(bad)
    codes += [encoder.push(wav[:, 33:]), encoder.flush()]
    codes = np.concatenate(codes, axis=1)
    np.testing.assert_array_equal(codes, codec.encode(wav)[0].codes)
    for bad, reason in [
        (codes + 16, "but the codebooks have 16 entries"),
        (codes - 16, "codes from -16"),
        (codes[0], "are needed"),
        (codes + 0.7, "codes are integers, these are float64"),
        (np.zeros((4, 2), int), r"codes \(1…3,frames\) are needed, these are \(4, 2\)"),
    ]:
        with pytest.raises(ValueError, match=reason):
            decoder.push(bad)
    np.testing.assert_array_equal(in_pieces(decoder, codes, [2]), codec.decode(codec.encode(wav)))
    for stream, x in [(encoder, wav), (decoder, codes)]:
        with pytest.raises(ValueError, match="the stream has ended"):
            stream.push(x)
        with pytest.raises(ValueError, match="the stream has ended"):
            stream.flush()


def test_what_cannot_stream_says_so(tiny):
    with pytest.raises(ValueError, match="7 kbps is not on offer"):
        tiny.stream_encoder(7)
    config = preset("tiny_24khz")
    for other in [
        replace(config, normalize=True),
        replace(config, chunk_samples=24_000, chunk_stride=23_760),
        replace(config, seanet=replace(config.seanet, causal=False)),
    ]:
        codec = Codec(other)
        with pytest.raises(ValueError, match="tiny_24khz codes whole chunks, it cannot stream"):
            codec.stream_encoder()
        with pytest.raises(ValueError, match="it cannot stream"):
            codec.stream_decoder()
