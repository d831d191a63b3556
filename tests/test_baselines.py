"""Opus and MP3 at equal bytes: payloads against files counted in other ways, rates, lengths, delays, the anchors."""

import io

import numpy as np
import pytest
import soundfile

from minicodec import audio
from minicodec.evaluation import baselines
from minicodec.evaluation.baselines import limits, lowpass, mp3, opus
from minicodec.evaluation.containers import mp3_payload, ogg_packets, opus_payload
from minicodec.files import data_folder


@pytest.fixture(scope="module")
def speech():
    """2 s at 24 kHz."""
    return audio.read(data_folder() / "speech_en_4.flac", start=12_000, frames=48_000)[0]


def encoded(wav, sample_rate, level, **form):
    file = io.BytesIO()
    soundfile.write(file, wav.T, sample_rate, compression_level=level, **form)
    return file.getvalue()


def delay(reference, estimate):
    n = 2 * reference.shape[1]
    correlation = np.fft.irfft(np.fft.rfft(estimate[0], n) * np.fft.rfft(reference[0], n).conj())
    return (int(np.argmax(correlation)) + n // 2) % n - n // 2


def page(segments, body):
    return b"OggS" + bytes(22) + bytes([len(segments)]) + bytes(segments) + body


def test_packets_of_ogg_span_segments_and_pages():
    first = page([19, 255, 0, 255, 255], bytes(19 + 255 + 510))
    second = page([10, 7, 0], bytes(17))
    assert ogg_packets(first + second) == [19, 255, 520, 7, 0]
    assert opus_payload(first + second) == 527
    with pytest.raises(ValueError, match="byte 816"):
        ogg_packets(first + b"OggX" + second[4:])


def test_opus_payload_is_the_file_without_pages_and_headers(speech):
    """Counted from outside: 27 bytes a page and one for each of its segments, the two headers, and the rest."""
    data = encoded(speech, 24_000, 0.97, format="OGG", subtype="OPUS")
    packets = ogg_packets(data)
    assert len(packets) - 2 == 101  # 2 s in frames of 20 ms, and one for the encoder's look-ahead
    assert data[28:36] == b"OpusHead"
    starts = [i for i in range(len(data)) if data.startswith(b"OggS\0", i)]
    overhead = sum(27 + data[i + 26] for i in starts)
    assert opus_payload(data) == len(data) - overhead - packets[0] - packets[1]


@pytest.mark.parametrize(("rate", "channels"), [(24_000, 1), (16_000, 2), (48_000, 1), (44_100, 2)])
def test_mp3_payload_is_the_file_without_its_xing_frame(rate, channels):
    wav = np.random.default_rng(0).normal(size=(channels, rate), scale=0.1).astype(np.float32)
    data = encoded(wav, rate, 0.9, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="AVERAGE")
    assert b"Xing" in data[:40] or b"Info" in data[:40]
    second = data.find(data[:2], 4)  # the second frame begins as the first does, but for its bit rate
    while (data[second + 2] & 0x0C) != (data[2] & 0x0C):
        second = data.find(data[:2], second + 1)
    assert 40 < second < 500
    assert mp3_payload(data) == len(data) - second


@pytest.mark.parametrize(("rate", "samples", "kbps"), [(24_000, 576, 32), (16_000, 576, 8), (48_000, 1152, 32)])
def test_mp3_payload_of_a_constant_rate(rate, samples, kbps):
    """Too low for a Xing frame: all of the file is sound, in frames of the standard's length at one of its rates."""
    wav = np.random.default_rng(0).normal(size=(1, rate), scale=0.1).astype(np.float32)
    level = (320 - kbps) / 288 if rate > 24_000 else (160 - kbps) / 152
    data = encoded(wav, rate, min(level, 0.999), format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT")
    frames = len(soundfile.read(io.BytesIO(data))[0]) / samples
    assert frames == int(frames)
    assert mp3_payload(data) == len(data)
    assert mp3_payload(data) == pytest.approx(frames * samples / rate * kbps * 125, abs=frames)  # frames are padded


def test_mp3_tags_do_not_count(speech):
    data = encoded(speech, 24_000, 0.95, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT")
    tagged = b"ID3\4\0\0" + bytes([0, 0, 1, 2]) + bytes(130) + data + b"TAG" + bytes(125)
    assert mp3_payload(tagged) == mp3_payload(data)
    with pytest.raises(ValueError, match="byte 0"):
        mp3_payload(b"\0" + data)


@pytest.mark.parametrize(
    ("codec", "kbps", "channels", "near"),
    [(opus, 8, 1, 0.02), (opus, 24, 2, 0.02), (mp3, 8, 1, 0.04), (mp3, 12, 1, 0.06), (mp3, 21, 2, 0.06)],
)
def test_the_payload_comes_near_to_the_rate(speech, codec, kbps, channels, near):
    wav = audio.remix(speech, channels)
    coded = codec(wav, 24_000, kbps)
    assert coded.payload_bytes * 8 / 1000 / 2 == pytest.approx(kbps, rel=near)
    assert coded.payload_bytes < coded.file_bytes or codec is mp3
    assert coded.wav.shape == wav.shape
    assert coded.wav.dtype == np.float32


def test_the_search_beats_the_encoders_own_idea_of_a_rate(speech):
    """The average rate of MP3 overshoots by a tenth when it is asked for 12."""
    level = (160 - 12) / 152
    naive = encoded(speech, 24_000, level, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="AVERAGE")
    wanted = 12_000 / 8 * 2
    assert mp3_payload(naive) > 1.08 * wanted
    assert abs(mp3(speech, 24_000, 12).payload_bytes - wanted) < 0.06 * wanted


def test_resampled_as_each_needs(speech):
    """44.1 kHz is no rate of Opus, nor of MP3 at 12 kbit/s: out comes 44.1 kHz all the same, as long and in time."""
    wav = audio.resample(speech[:, :24_000], 24_000, 44_100)
    for codec, kbps in ((opus, 12), (mp3, 12), (mp3, 40)):
        coded = codec(wav, 44_100, kbps)
        assert coded.wav.shape == wav.shape
        assert coded.payload_bytes * 8 / 1000 == pytest.approx(kbps, rel=0.08)
        assert delay(wav, coded.wav) in range(-3, 4) or delay(wav, coded.wav) in range(1900, 2100)


def test_what_an_encoder_cannot_do_is_refused(speech):
    assert limits("opus", 24_000, 2) == (12, 512)
    assert limits("mp3", 24_000, 1) == (8, 160)
    assert limits("mp3", 48_000, 2) == (8, 320)
    for codec, kbps, low in ((opus, 5.9, "6"), (mp3, 7, "8"), (mp3, 161, "160")):
        with pytest.raises(ValueError, match=low):
            codec(speech, 24_000, kbps)


@pytest.mark.parametrize(("name", "hertz"), baselines.ANCHORS.items())
def test_an_anchor_is_flat_below_silent_above_and_in_time(name, hertz):
    t = np.arange(24_000) / 24_000
    low, high = (np.sin(2 * np.pi * f * t)[None].astype(np.float32) for f in (hertz - 50, hertz + 500))
    inside = slice(1000, -1000)
    np.testing.assert_allclose(lowpass(low, 24_000, hertz)[:, inside], low[:, inside], rtol=0, atol=2e-3)
    assert np.abs(lowpass(high, 24_000, hertz)[:, inside]).max() < 1e-3  # -60 dB
    assert float(name.removeprefix("lowpass-").removesuffix("kHz")) * 1000 == hertz
    with pytest.raises(ValueError, match="nothing"):
        lowpass(low, 6_000, hertz)
    assert lowpass(low[:, :10], 24_000, hertz).shape == (1, 10)
