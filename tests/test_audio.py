"""Audio files: what is read is what was written, and nothing that is not audio gets through."""

import os
import re
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings, strategies as st
from scipy.signal import resample_poly

from minicodec import audio, mp3_header
from minicodec.errors import InputError

FORMATS = ["wav", "flac", "ogg", "opus", "mp3"]


def noise(channels=1, frames=40_000, seed=0):
    """Noise with most of its energy below 2 kHz, so that lossy formats keep it."""
    white = np.random.default_rng(seed).standard_normal((channels, frames + 15))
    smooth = np.stack([np.convolve(row, np.hanning(16), "valid") for row in white])
    return (0.1 * smooth / smooth.std()).astype(np.float32)


def save(path, wav, rate=24_000):
    """Write wav (C,T) in the format that the suffix names, also those that minicodec only reads."""
    if path.suffix == ".opus":
        soundfile.write(path, wav.T, rate, format="OGG", subtype="OPUS")
    else:
        soundfile.write(path, wav.T, rate)
    return path


def wav_file(rate=24_000, channels=1, data=bytes(200), promised=None, kind=1, bits=16):
    """The bytes of a RIFF file whose header need not be true."""
    promised = len(data) if promised is None else promised
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * frame % 2**32, frame % 2**16, bits)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", promised) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_write_and_read_give_back_every_16_bit_value(tmp_path, suffix):
    wav = (np.arange(-32768, 32768) / 32768).astype(np.float32).reshape(2, -1)
    path = tmp_path / f"a.{suffix}"
    assert audio.write(path, wav, 44_100) == 0
    back, rate = audio.read(path)
    assert rate == 44_100
    assert back.dtype == np.float32
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, wav)
    about = audio.info(path)
    assert (about.channels, about.frames, about.subtype, about.seconds) == (2, 32768, "PCM_16", 32768 / 44_100)


def test_write_rounds_to_nearest_and_counts_clipped_samples(tmp_path):
    wav = np.array([[0.4 / 32768, 0.6 / 32768, -0.6 / 32768, 1.0, -1.0, 1.001, -7.0]], np.float32)
    assert audio.write(tmp_path / "a.wav", wav, 24_000) == 2
    back, _ = audio.read(tmp_path / "a.wav")
    np.testing.assert_array_equal(back * 32768, [[0, 1, -1, 32767, -32768, 32767, -32768]])


def test_write_never_replaces_unasked_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.wav"
    audio.write(path, noise(), 24_000)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"a\.wav: the file exists already"):
        audio.write(path, noise(seed=1), 24_000)
    with pytest.raises(InputError, match="cannot be written"):
        audio.write(path, noise(1025, 4), 24_000, overwrite=True)  # libsndfile stops at 1024 channels
    with pytest.raises(InputError, match="NaN"):
        audio.write(path, np.full((1, 3), np.nan), 24_000, overwrite=True)
    with pytest.raises(InputError, match="no samples"):
        audio.write(path, np.zeros((1, 0)), 24_000, overwrite=True)
    with pytest.raises(InputError, match=r"written as \.wav or \.flac"):
        audio.write(tmp_path / "a.mp3", noise(), 24_000)
    with pytest.raises(InputError, match="no folder"):
        audio.write(tmp_path / "none" / "a.wav", noise(), 24_000)
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
    assert path.read_bytes() == before
    audio.write(path, noise(seed=1), 24_000, overwrite=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize("suffix", FORMATS)
def test_parts_and_blocks_equal_the_whole(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", noise(2, 100_000))
    whole, rate = audio.read(path)
    reference, _ = soundfile.read(path, dtype="float32")
    assert rate == 24_000
    # The MP3 decoder, once it has been sent to a place (soundfile does so), may round the last bit the other way.
    ulp = 1e-7 if suffix == "mp3" else 0
    np.testing.assert_allclose(whole, reference.T, rtol=0, atol=ulp)
    np.testing.assert_array_equal(np.concatenate(list(audio.blocks(path, 7001)), axis=1), whole)
    for start in (1, 5_000, 20_345, 77_777, 99_990):
        part, _ = audio.read(path, start=start, frames=3000)
        np.testing.assert_allclose(part, whole[:, start : start + 3000], rtol=0, atol=ulp)
    rest, _ = audio.read(path, start=90_001)
    np.testing.assert_allclose(rest, whole[:, 90_001:], rtol=0, atol=ulp)
    with pytest.raises(InputError, match="no samples from sample"):
        audio.read(path, start=whole.shape[1] + 5)


@pytest.mark.parametrize("suffix", FORMATS)
def test_inexact_read_gives_clean_sound_from_nearby(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", noise(1, 100_000))
    whole, rate = audio.read(path)
    tolerance = 5e-3 if suffix == "opus" else 1e-7  # Opus fills quiet bands with noise from a generator it carries on
    for start in (0, 3_000, 33_333, 66_666, 99_000):
        part, _ = audio.read(path, start=start, frames=200, exact=False)
        near = whole[0, max(0, start - rate // 4) : start + rate // 4 + 200]
        windows = np.lib.stride_tricks.sliding_window_view(near, part.shape[1])
        assert np.abs(windows - part[0]).max(axis=1).min() < tolerance


def cut_ogg(path):
    """Make the first page of sound claim to end 1500 samples earlier, as in Ogg files cut without decoding them."""
    pages = re.split(b"(?=OggS\\0)", path.read_bytes())[1:]  # the first two: headers
    page = bytearray(pages[2])
    page[6:14] = struct.pack("<q", struct.unpack("<q", page[6:14])[0] - 1500)
    page[22:26] = bytes(4)
    check = 0
    for byte in page:  # Ogg's CRC-32, which takes the highest bit first
        check ^= byte << 24
        for _ in range(8):
            check = (check << 1 ^ 0x104C11DB7 * (check >> 31)) & 0xFFFFFFFF
    page[22:26] = struct.pack("<I", check)
    path.write_bytes(b"".join([*pages[:2], page, *pages[3:]]))


def test_ogg_files_in_which_libsndfile_cannot_seek(tmp_path):
    path = save(tmp_path / "a.ogg", noise(1, 150_000), 44_100)
    cut_ogg(path)
    whole, _ = audio.read(path)
    off = 0
    for start in range(21_000, 120_000, 9_000):
        np.testing.assert_array_equal(audio.read(path, start=start, frames=800)[0], whole[:, start : start + 800])
        part, _ = audio.read(path, start=start, frames=800, exact=False)
        candidates = np.flatnonzero(whole[0] == part[0, 0])
        places = [i for i in candidates if np.array_equal(whole[0, i : i + 800], part[0])]
        assert len(places) == 1
        assert abs(places[0] - start) < 11_025
        off += not np.array_equal(part, whole[:, start : start + 800])
    assert off > 5  # otherwise this file proves nothing


def test_lossy_formats_come_back_close(tmp_path):
    wav = noise(1, 48_000)
    back, _ = audio.read(save(tmp_path / "a.ogg", wav))
    assert back.shape == wav.shape
    assert np.mean((back - wav) ** 2) < 0.1 * np.mean(wav**2)


def test_flac_of_unknown_or_false_length_is_read_to_its_end(tmp_path):
    path = save(tmp_path / "a.flac", noise())
    whole, _ = audio.read(path)
    content = bytearray(path.read_bytes())
    for top, low in ((0x0F, b"\xff\xff\xff\xff"), (0x00, b"\0\0\0\0")):  # 36 bits of STREAMINFO: 2^36 - 1, unknown
        content[21] = content[21] & 0xF0 | top
        content[22:26] = low
        path.write_bytes(content)
        assert audio.info(path).frames > 10**10
        np.testing.assert_array_equal(audio.read(path)[0], whole)


BAD = {
    "text.wav": b"this is no sound\n" * 40,
    "nothing.wav": b"",
    "no_samples.wav": wav_file(data=b""),
    "rate_zero.wav": wav_file(rate=0),
    "rate_huge.wav": wav_file(rate=2**31 - 1),
    "no_channels.wav": wav_file(channels=0),
    "nan.wav": wav_file(kind=3, bits=32, data=struct.pack("<3f", 0, float("nan"), 0)),
    "inf.wav": wav_file(kind=3, bits=32, data=struct.pack("<3f", 0, float("inf"), 0)),
    "headerless.raw": bytes(4000),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_by_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BAD[name])
    for use in (audio.read, lambda p: list(audio.blocks(p, 100))):
        with pytest.raises(InputError) as caught:
            use(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_missing_files_folders_and_truncated_flac_are_refused(tmp_path):
    for path, reason in ((tmp_path / "none.wav", "no such file"), (tmp_path, "is a folder")):
        for use in (audio.read, audio.info):
            with pytest.raises(InputError, match=reason):
                use(path)
    path = save(tmp_path / "a.flac", noise())
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InputError, match="cannot be read as audio"):
        audio.read(path)


def test_a_wav_header_that_promises_too_much_gives_what_is_there(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_file(data=bytes(200), promised=2**32 - 40))
    assert audio.read(path)[0].shape == (1, 100)


def test_a_wav_header_that_says_there_is_nothing_is_not_believed(tmp_path):
    """As some programs write it into pipes. Later chunks and odd ones before do not confuse anybody."""
    wav = noise(2, 5000)
    path = save(tmp_path / "a.wav", wav)
    whole, _ = audio.read(path)
    content = bytearray(path.read_bytes())
    odd = b"junk" + struct.pack("<I", 3) + b"abc\0"
    content[12:12] = odd
    size = content.index(b"data") + 4
    content[4:8] = content[size : size + 4] = bytes(4)
    path.write_bytes(content)
    np.testing.assert_array_equal(audio.read(path)[0], whole)
    np.testing.assert_array_equal(audio.read(path, start=777, frames=100)[0], whole[:, 777:877])
    np.testing.assert_array_equal(np.concatenate(list(audio.blocks(path, 701)), axis=1), whole)
    assert audio.info(path).frames == 5000
    assert audio.flaw(path, 5000) == "its header says that it is empty; the 0.21 s behind it are used"


LIST = b"LIST" + struct.pack("<I", 1000) + bytes(1000)
ODD = b"id3 " + struct.pack("<I", 3) + b"abc"  # whose last byte, a 0 that makes it even, may be missing at the end


@pytest.mark.parametrize("behind", [LIST, LIST + LIST, LIST + ODD, ODD + b"\0" + LIST, ODD + b"\0"], ids=len)
def test_chunks_behind_an_empty_sound_are_not_taken_for_it(tmp_path, behind):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_file(data=behind, promised=0))
    for use in (audio.read, lambda p: list(audio.blocks(p, 100))):
        with pytest.raises(InputError, match=r"a\.wav: there are no samples in it"):
            use(path)


@pytest.mark.parametrize("behind", [LIST[:-2], LIST + b"ab", LIST + bytes(8), b"\0" + LIST[1:]], ids=len)
def test_what_is_not_chunks_to_the_very_end_is_sound(tmp_path, behind):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_file(data=behind, promised=0))
    assert audio.read(path)[0].shape == (1, len(behind) // 2)


@pytest.mark.parametrize(("suffix", "mode"), [("wav", None), ("mp3", "CONSTANT"), ("mp3", "VARIABLE")])
def test_what_is_missing_at_the_end_is_told(tmp_path, suffix, mode):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(1, 240_000)[0], 24_000, bitrate_mode=mode)
    assert audio.flaw(path, 240_000) is None
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    got = audio.read(path)[0].shape[1]
    assert abs(got - 120_000) < 5000
    missing = (240_000 - got) / 24_000
    assert audio.flaw(path, got) == f"{missing:.2f} of its 10.00 s are missing (cut off, or damaged)"


def without_length(path):
    """Take away the first frame of an MP3 file, which says how many there are."""
    data = path.read_bytes()
    first = mp3_header._frame(int.from_bytes(data[:4], "big"))
    assert b"Xing" in data[:first] or b"Info" in data[:first]
    path.write_bytes(data[first:])


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
@pytest.mark.parametrize("loud", ["first", "last"])
@pytest.mark.parametrize(("rate", "channels"), [(24_000, 1), (44_100, 2), (8000, 1)])
def test_an_mp3_that_does_not_say_its_length_is_read_in_whole(tmp_path, mode, loud, rate, channels):
    """libsndfile alone stops after 3.8 of 10 s, or believes that there are 55."""
    wav = noise(channels, 10 * rate)
    wav[:, slice(5 * rate, None) if loud == "first" else slice(5 * rate)] *= 1e-4
    path = tmp_path / "a.mp3"
    soundfile.write(path, wav.T, rate, bitrate_mode=mode, compression_level=0.2)
    whole, _ = audio.read(path)
    without_length(path)
    path.write_bytes(b"ID3\x04\0\0\0\0\x0f\x50" + bytes(2000) + path.read_bytes() + b"TAG" + bytes(125))
    got, _ = audio.read(path)
    assert 0 < got.shape[1] - whole.shape[1] < 3000
    assert audio.info(path).frames == got.shape[1]
    assert audio.flaw(path, got.shape[1]) is None
    shift = 576  # of what the lost frame said is to be left out
    np.testing.assert_allclose(got[:, shift:][:, : whole.shape[1]][:, 5000:], whole[:, 5000:], rtol=0, atol=1e-4)
    middle, _ = audio.read(path, start=7 * rate, frames=100)
    np.testing.assert_allclose(middle, got[:, 7 * rate :][:, :100], rtol=0, atol=1e-4)


def test_a_cut_mp3_without_length_and_what_is_none(tmp_path):
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(1, 240_000)[0], 24_000, bitrate_mode="VARIABLE")
    assert mp3_header.read(path) is None  # it has all that is needed
    without_length(path)
    frames = mp3_header.read(path).frames
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b"\xff" * 300 + data[len(data) // 2 :])  # it finds its way
    assert frames - 3 <= mp3_header.read(path).frames <= frames
    path.write_bytes(data[: len(data) // 2])
    assert mp3_header.read(path).frames == pytest.approx(frames / 2, abs=2)
    for other in (b"", b"ID3", b"ID3" + b"\x7f" * 300, b"\xff\xfb" * 500, b"RIFF" + data, bytes(1000)):
        path.write_bytes(other)
        assert mp3_header.read(path) is None


@pytest.mark.parametrize("promised", [0x7FFFFFFF, 0xFFFFFFFF, 2**32 - 40])
def test_a_length_that_stands_for_unknown_is_no_flaw(tmp_path, promised):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_file(data=bytes(200), promised=promised))
    assert audio.flaw(path, 100) is None


def test_a_wav_file_too_long_for_its_header_gets_another(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "WAV_BYTES", 4000)
    wav = noise(2, 2000)
    audio.write(tmp_path / "long.wav", wav, 24_000)
    audio.write(tmp_path / "short.wav", wav[:, :1000], 24_000)
    assert [audio.info(tmp_path / f"{name}.wav").format for name in ("long", "short")] == ["RF64", "WAV"]
    np.testing.assert_allclose(audio.read(tmp_path / "long.wav")[0], wav, rtol=0, atol=0.51 / 32768)
    unannounced = r"b\.wav: a WAV file of more than 4 GiB has to announce its length"
    with audio.writer(tmp_path / "b.wav", 2, 24_000) as file:
        file.write(wav[:, :1000])
        with pytest.raises(InputError, match=unannounced):
            file.write(wav[:, 1000:])


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_names_that_are_no_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b"gr\xfc\xdfe.wav")
    audio.write(path, noise(), 24_000)
    assert audio.read(path)[0].shape == (1, 40_000)
    assert os.listdir(os.fsencode(tmp_path)) == [b"gr\xfc\xdfe.wav"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(suffix=st.sampled_from(FORMATS), data=st.data())
def test_damaged_bytes_give_finite_samples_or_an_input_error(tmp_path, suffix, data):
    good = tmp_path / f"good.{suffix}"
    if not good.exists():
        save(good, noise(1, 6000))
    content = bytearray(good.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    garbage = data.draw(st.binary(max_size=40))
    kept = data.draw(st.sampled_from([0, start, len(content)]))  # only garbage, truncated, spoiled in the middle
    content = content[: min(start, kept)] + garbage + content[start + len(garbage) : kept]
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(content)
    try:
        wav, rate = audio.read(path)
    except InputError:
        pass
    else:
        assert wav.size > 0
        assert np.isfinite(wav).all()
        assert audio.RATES[0] <= rate <= audio.RATES[1]


@given(
    frames=st.integers(0, 3000),
    rate_in=st.integers(1000, 96_000),
    rate_out=st.sampled_from([1000, 8000, 24_000, 44_100, 48_000, 95_999]),
)
@settings(max_examples=60, deadline=None)
def test_resampled_length_is_the_rounded_one(frames, rate_in, rate_out):
    out = audio.resample(np.ones((2, frames), np.float32), rate_in, rate_out)
    assert out.shape == (2, int(np.floor(frames * rate_out / rate_in + 0.5)))
    assert out.dtype == np.float32
    assert out.flags.c_contiguous


@pytest.mark.parametrize(("rate_in", "rate_out"), [(48_000, 24_000), (44_100, 24_000), (16_000, 24_000)])
def test_resample_agrees_with_scipy_and_the_formula(rate_in, rate_out):
    def tones(rate):
        time = np.arange(2 * rate) / rate
        return np.stack([np.sin(2 * np.pi * f * time + 0.3) + np.cos(2 * np.pi * 3.3 * f * time) for f in (440, 997)])

    wav = tones(rate_in)
    out = audio.resample(wav.astype(np.float32), rate_in, rate_out)
    middle = slice(rate_out // 4, -rate_out // 4)  # the edges of a cut sine are no band-limited signal
    np.testing.assert_allclose(out[:, middle], tones(rate_out)[:, middle], atol=1e-5)
    peer = resample_poly(wav, rate_out // 100, rate_in // 100, axis=1, window=("kaiser", 10.0))
    np.testing.assert_allclose(out[:, middle], peer[:, middle], atol=2e-3)


def test_resample_removes_what_the_new_rate_cannot_hold():
    wav = np.sin(2 * np.pi * 15_000 * np.arange(48_000) / 48_000)[None].astype(np.float32)
    assert np.abs(audio.resample(wav, 48_000, 24_000)[:, 1000:-1000]).max() < 1e-5


def test_resample_edges():
    wav = noise()
    assert audio.resample(wav, 24_000, 24_000) is wav
    with pytest.raises(InputError, match="0 Hz"):
        audio.resample(wav, 24_000, 0)
    with pytest.raises(InputError, match="shape"):
        audio.resample(wav[0], 24_000, 48_000)


def test_remix():
    wav = np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 1.0]], np.float32)
    np.testing.assert_array_equal(audio.remix(wav, 1), [[3, 3]])
    np.testing.assert_array_equal(audio.remix(wav, 2), [[3, 3], [3, 3]])
    np.testing.assert_array_equal(audio.remix(wav[:1], 2), [[1, 2], [1, 2]])
    stereo = wav[:2]
    assert audio.remix(stereo, 2) is stereo
    with pytest.raises(InputError, match="not 3"):
        audio.remix(wav, 3)


def test_importing_audio_is_cheap():
    """`minicodec --help` imports this module: no numeric library but NumPy may come with it."""
    heavy = ("soundfile", "soxr", "scipy", "numba")
    code = f"import sys, minicodec.audio; print([m for m in {heavy} if m in sys.modules])"
    root = Path(audio.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("size", [0x7FFFFFFF, 0xFFFFFFFE])
def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path, size):
    path = tmp_path / "a.wav"
    data = bytearray(wav_file(data=bytes(200), promised=200))
    at = data.index(b"fmt ") + 4
    data[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            audio.read(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
