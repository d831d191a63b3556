"""A small synthesiser: each instrument is a function that returns one note or one stroke as (T,) float64.

`rate` is the sample rate in Hz, `f` a frequency in Hz, `seconds` a duration; `rng` is the only source of chance.
"""

import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, sosfilt


def pitch(note):
    """MIDI number -> Hz: 69 is the A of 440 Hz, 12 make an octave."""
    return 440 * 2 ** ((note - 69) / 12)


def clock(rate, seconds):
    """The times of all samples, in seconds."""
    return np.arange(round(rate * seconds)) / rate


def envelope(t, attack, release):
    """Rise and fall along half a cosine, flat between."""
    edge = np.clip(np.minimum(t / attack, (t[-1] - t) / release), 0, 1)
    return 0.5 - 0.5 * np.cos(np.pi * edge)


def filtered(x, rate, kind, cut, order=2):
    """Butterworth "lowpass", "highpass" or (with two frequencies) "bandpass"."""
    return sosfilt(butter(order, cut, kind, fs=rate, output="sos"), x)


def pluck(rate, f, seconds, rng, ring=3.0, bright=0.5):
    """A string [Karplus and Strong, 1983]: a burst of noise runs through a delay line of one period.

    Each pass averages neighbours, so high partials die first; `ring` is the time of a 60 dB decay.
    """
    period = rate / f
    whole = int(period - 0.5)
    part = period - 0.5 - whole  # the average of two neighbours delays by half a sample; interpolation by the rest
    loop = 10 ** (-3 * period / rate / ring) * np.convolve([0.5, 0.5], [1 - part, part])
    burst = np.zeros(round(rate * seconds))
    burst[:whole] = lfilter([bright], [1, bright - 1], rng.uniform(-1, 1, whole))
    y = lfilter([1], np.concatenate([[1], np.zeros(whole - 1), -loop]), burst)
    return y * envelope(clock(rate, seconds), 0.001, 0.05)


def bell(rate, f, seconds, ratio=3.5, index=4.0):
    """Frequency modulation [Chowning, 1973] with an inharmonic ratio; the partials fade into a plain tone."""
    t = clock(rate, seconds)
    inner = index * np.exp(-3 * t / seconds) * np.sin(2 * np.pi * f * ratio * t)
    return np.exp(-6 * t / seconds) * np.sin(2 * np.pi * f * t + inner) * envelope(t, 0.002, 0.1)


def organ(rate, f, seconds, stops=(1.0, 0.8, 0.6, 0.5, 0, 0.3, 0, 0.25)):
    """Harmonics of pipes that speak a little one after the other."""
    t = clock(rate, seconds)
    pipes = [(k, level) for k, level in enumerate(stops, start=1) if level and k * f < 0.45 * rate]
    tones = [
        level * np.sin(2 * np.pi * k * f * 1.0004**k * t) * envelope(t, 0.02 + 0.01 * k, 0.08) for k, level in pipes
    ]
    return np.sum(tones, axis=0) / 3


def pad(rate, f, seconds, low=400.0, high=3000.0):
    """Three detuned saw-tooths behind a low-pass that opens and closes once."""
    t = clock(rate, seconds)
    cut = low + (high - low) * np.sin(np.pi * t / seconds) ** 2
    y = np.zeros_like(t)
    for detune in (0.996, 1.0, 1.005):
        for k in range(1, int(min(0.45 * rate, 2.5 * high) / f) + 1):
            y += np.sin(2 * np.pi * k * f * detune * t + k * detune) / k * np.exp(-((k * f / cut) ** 2))
    return y / 3 * envelope(t, 0.4, 0.6)


def flute(rate, f, seconds, rng):
    """Few harmonics, a vibrato that comes late, and breath around the tone."""
    t = clock(rate, seconds)
    vibrato = 0.006 * np.clip(t / 0.5 - 0.3, 0, 1) * np.sin(2 * np.pi * 5.2 * t)
    phase = 2 * np.pi * np.cumsum(f * (1 + vibrato)) / rate
    tone = np.sin(phase) + 0.35 * np.sin(2 * phase) + 0.12 * np.sin(3 * phase) + 0.04 * np.sin(4 * phase)
    breath = filtered(rng.standard_normal(len(t)), rate, "bandpass", (0.8 * f, min(4 * f, 0.4 * rate)))
    return (tone + 0.08 * breath) * envelope(t, 0.06, 0.09)


def bass(rate, f, seconds):
    """A saturated sine with a soft stroke."""
    t = clock(rate, seconds)
    return np.tanh(2 * np.exp(-2 * t) * np.sin(2 * np.pi * f * t)) * envelope(t, 0.005, 0.04)


def kick(rate, seconds=0.4):
    """A sine that falls from 150 to 48 Hz."""
    t = clock(rate, seconds)
    return np.sin(2 * np.pi * (48 * t + 102 * 0.03 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / 0.09) * envelope(
        t, 0.001, 0.05
    )


def snare(rate, rng, seconds=0.25):
    """A drum head of 190 Hz under rattling wires."""
    t = clock(rate, seconds)
    wires = filtered(rng.standard_normal(len(t)), rate, "bandpass", (1200, 9000))
    return 0.6 * np.sin(2 * np.pi * 190 * t) * np.exp(-t / 0.05) + 0.5 * wires * np.exp(-t / 0.06)


def hat(rate, rng, seconds=0.06):
    """A cymbal: noise above 6.5 kHz that dies within `seconds`."""
    t = clock(rate, 2 * seconds)
    return 0.5 * filtered(rng.standard_normal(len(t)), rate, "highpass", 6500, 4) * np.exp(-3 * t / seconds)


def clap(rate, rng):
    """Three hands at almost the same time."""
    t = clock(rate, 0.25)
    bursts = sum(np.exp(-(t - d) / w) * (t >= d) for d, w in ((0, 0.006), (0.011, 0.006), (0.023, 0.05)))
    return 0.8 * filtered(rng.standard_normal(len(t)), rate, "bandpass", (900, 4000)) * bursts


def drum(rate, f, rng, seconds=0.6):
    """A skin: the modes of a round membrane stand in these ratios, none of them whole."""
    t = clock(rate, seconds)
    modes = zip((1, 1.594, 2.136, 2.296, 2.653, 2.918), (1, 0.6, 0.4, 0.25, 0.2, 0.15), strict=True)
    skin = sum(a * np.sin(2 * np.pi * f * m * t) * np.exp(-t * (4 + 5 * m)) for m, a in modes)
    return 0.5 * skin + 0.15 * rng.standard_normal(len(t)) * np.exp(-t / 0.006)


def room(x, rate, rng, seconds=1.0, wet=0.2):
    """Reverberation: a tail of noise that decays by 60 dB and loses its high frequencies."""
    t = clock(rate, seconds)
    tail = filtered(rng.standard_normal(len(t)), rate, "lowpass", 5000, 1) * 10 ** (-3 * t / seconds)
    tail[: int(0.012 * rate)] = 0
    echo = fftconvolve(x, tail / np.sqrt(np.sum(tail**2)))[: len(x)]
    return x + wet * echo


def track(rate, seconds, events):
    """Add up (time in s, level, sound) into one line of `seconds`; what rings longer is cut (and faded later)."""
    y = np.zeros(round(rate * seconds))
    for time, level, sound in events:
        start = round(time * rate)
        part = sound[: max(0, len(y) - start)]
        y[start : start + len(part)] += level * part
    return y
