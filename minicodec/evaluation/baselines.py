"""What a neural codec has to beat: Opus and MP3 with as many bytes, and two low-pass anchors.

Both encoders come with libsndfile, through soundfile. They take a wish for a bit rate, and spend what the sound asks
for: so that wish is searched for by which the payload, measured without the container (containers.py), comes nearest to
the rate that is wanted. The rate to show beside any figure is the real one.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minicodec import audio
from minicodec.evaluation.containers import mp3_payload, opus_payload
from minicodec.fourier import convolve

NEAR = 0.01  # a payload within 1 % of the wanted one ends the search
TRIES = 8
OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)  # Hz
OPUS_KBPS = (6.0, 256.0)  # per channel, what libsndfile's compression levels 1 and 0 mean
MP3_LOW_RATES, MP3_LOW_KBPS = (16_000, 22_050, 24_000), (8.0, 160.0)  # MPEG 2
MP3_HIGH_RATES, MP3_HIGH_KBPS = (32_000, 44_100, 48_000), (32.0, 320.0)  # MPEG 1
ANCHORS = {"lowpass-3.5kHz": 3500.0, "lowpass-7kHz": 7000.0}  # [BS.1534]
TRANSITION = 500.0  # Hz, from an anchor's pass band to its stop band
STOP = 60.0  # dB; [BS.1534] asks for 50


@dataclass(frozen=True)
class Coded:
    """What a codec makes of a clip: the sound (C,T), and the bytes it took without and with the container."""

    wav: np.ndarray
    payload_bytes: int
    file_bytes: int


def opus(wav: np.ndarray, sample_rate: int, kbps: float) -> Coded:
    """wav (C,T) by way of Ogg Opus with a payload near `kbps` kbit/s. ValueError: outside of its `limits`."""
    rate = min((r for r in OPUS_RATES if r >= sample_rate), default=OPUS_RATES[-1])
    source = audio.resample(wav, sample_rate, rate)
    low, high = bounds = limits("opus", sample_rate, len(wav))

    def encode(wish: float) -> bytes:
        return _encode(source, rate, (high - wish) / (high - low), format="OGG", subtype="OPUS")

    wanted = _bytes(wav, sample_rate, kbps)
    data = _search(encode, opus_payload, wanted, kbps, bounds)
    return Coded(_decode(data, wav, sample_rate), opus_payload(data), len(data))


def mp3(wav: np.ndarray, sample_rate: int, kbps: float) -> Coded:
    """wav (C,T) by way of MP3 with a payload near `kbps` kbit/s. ValueError: outside of its `limits`.

    Below 32 kbit/s MP3 exists only at 24 kHz and less, so there a sound of more is resampled. The encoder's average
    bit rate (ABR) reaches any rate; a constant one is taken where it comes nearer, as it does at the low end.
    """
    high_rate = sample_rate > MP3_LOW_RATES[-1] and kbps >= MP3_HIGH_KBPS[0]
    rates, (low, high) = (MP3_HIGH_RATES, MP3_HIGH_KBPS) if high_rate else (MP3_LOW_RATES, MP3_LOW_KBPS)
    rate = min((r for r in rates if r >= sample_rate), default=rates[-1])
    source = audio.resample(wav, sample_rate, rate)

    def encode(wish: float, mode: str = "AVERAGE") -> bytes:
        level = min((high - wish) / (high - low), 0.9999)  # 1 itself is refused
        return _encode(source, rate, level, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode=mode)

    wanted = _bytes(wav, sample_rate, kbps)
    average, constant = _search(encode, mp3_payload, wanted, kbps, (low, high)), encode(kbps, "CONSTANT")
    data = min(average, constant, key=lambda data: abs(mp3_payload(data) - wanted))
    return Coded(_decode(data, wav, sample_rate), mp3_payload(data), len(data))


BASELINES: dict[str, Callable[[np.ndarray, int, float], Coded]] = {"opus": opus, "mp3": mp3}


def limits(baseline: str, sample_rate: int, channels: int) -> tuple[float, float]:
    """The lowest and the highest rate, kbit/s: outside, a baseline has nothing to compare with."""
    if baseline == "opus":
        return OPUS_KBPS[0] * channels, OPUS_KBPS[1] * channels
    return MP3_LOW_KBPS[0], (MP3_HIGH_KBPS if sample_rate > MP3_LOW_RATES[-1] else MP3_LOW_KBPS)[1]


def lowpass(wav: np.ndarray, sample_rate: int, hertz: float) -> np.ndarray:
    """wav (C,T) without what lies above `hertz`, and without delay. ValueError: there is nothing to remove.

    A linear-phase filter, flat to 0.01 dB up to `hertz` and 60 dB down 500 Hz above.
    """
    stop = hertz + TRANSITION
    if stop > sample_rate / 2:
        raise ValueError(f"{hertz:g} Hz: at {sample_rate} Hz, there is nothing above {sample_rate / 2:g} Hz")
    w = lowpass_filter(hertz + TRANSITION / 2, sample_rate)
    delay = len(w) // 2
    return convolve(wav, w[None])[:, delay : delay + wav.shape[1]].astype(np.float32)


def lowpass_filter(hertz: float, sample_rate: int) -> np.ndarray:
    """Taps (K,) that sum to 1: an ideal low-pass up to `hertz` under a Kaiser window [Oppenheim10, §7.5.3].

    K is odd: the taps are symmetric about the middle one, and the delay is whole.
    """
    taps = math.ceil((STOP - 7.95) / (2.285 * 2 * np.pi * TRANSITION / sample_rate) + 1) | 1
    t = np.arange(taps) - taps // 2
    w = np.sinc(2 * hertz / sample_rate * t) * np.kaiser(taps, 0.1102 * (STOP - 8.7))
    return w / w.sum()


def _bytes(wav: np.ndarray, sample_rate: int, kbps: float) -> float:
    return kbps * 1000 / 8 * wav.shape[1] / sample_rate


def _search(
    encode: Callable[[float], bytes],
    payload: Callable[[bytes], int],
    wanted: float,
    kbps: float,
    bounds: tuple[float, float],
) -> bytes:
    """The encoding whose payload comes nearest to `wanted` bytes: a bisection that begins with a wish for `kbps`."""
    low, high = bounds
    if not low <= kbps <= high:
        raise ValueError(f"{kbps:g} kbit/s: the encoder has {low:g} … {high:g}")
    high = min(high, 2 * kbps)
    wish, best, best_miss = kbps, b"", np.inf
    for _ in range(TRIES):
        data = encode(wish)
        excess = payload(data) - wanted
        if abs(excess) < best_miss:
            best, best_miss = data, abs(excess)
        if best_miss <= NEAR * wanted or (excess > 0 and wish == low):
            break
        low, high = (low, wish) if excess > 0 else (wish, high)
        wish = (low + high) / 2
    return best


def _encode(wav: np.ndarray, sample_rate: int, level: float, **form: str) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, wav.T, sample_rate, compression_level=level, **form)
    return file.getvalue()


def _decode(data: bytes, original: np.ndarray, sample_rate: int) -> np.ndarray:
    """The sound in a file, as long as the original (C,T): silence where the decoder gives less."""
    import soundfile

    frames, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    decoded = audio.resample(np.ascontiguousarray(frames.T), rate, sample_rate)[:, : original.shape[1]]
    wav = np.zeros_like(original)
    wav[:, : decoded.shape[1]] = decoded
    return wav
