# %% [markdown]
# # 1 Sound as numbers
#
# **You will be able to** say what a sound file holds; predict how loud the noise of a quantiser is,
# and why a telephone spends its 8 bits unevenly; and tell what six thousand bits a second sound
# like.
#
# **Before you start**: Python and NumPy. Headphones help.
#
# **Reading time**: 25 minutes, and half an hour for the exercises. The cells take a few seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(1)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio
from minicodec.course import check, exercise, yours
from minicodec.course.show import curves, panels, play, spectrograms
from minicodec.evaluation.baselines import opus
from minicodec.files import data_folder
from minicodec.metrics import si_sdr

yours();

# %% [markdown]
# ## The idea: pressure, measured often
#
# Sound is air pressure that changes quickly. A microphone turns it into a voltage; a converter
# reads that voltage 24 000 times a second and writes down a number. That list of numbers is all
# there is. `audio.read` gives them as floats between −1 and 1, in an array (channels, time).

# %%
wav, rate = audio.read(data_folder() / "speech_en_2.flac", frames=3 * 24_000)
voice = wav[0]
print(wav.shape, wav.dtype, rate, "samples per second")
play(voice, rate, "three seconds")

axes = panels(3, 2.6)
for one, (start, length) in zip(axes, [(0, 72_000), (9_000, 1_200), (9_435, 60)], strict=True):
    t = np.arange(start, start + length) / rate
    one.plot(t, voice[start : start + length], ".-" if length < 100 else "-", lw=0.7, ms=3)
    one.set(xlabel="time / s", title=f"{length / rate * 1000:g} ms")
axes[0].set_ylabel("amplitude")
plt.show()

# %% [markdown]
# From left to right: sentences; the period of a voice (a pulse every 9 ms or so: 114 a second);
# samples. A tone needs more than two samples a period to be told from others, so 24 000 samples a
# second hold frequencies up to 12 kHz. People hear up to 20 kHz when they are young; for speech,
# little is missing.
#
# ## How many bits is a number worth?
#
# A file cannot hold real numbers. Pulse code modulation, PCM, divides the range −1 … 1 into $2^b$
# steps and writes down the number of the nearest one. CDs and most .wav files use $b = 16$.
#
# ### Exercise 1

# %%
@exercise
def quantize(x, bits):
    """x (*x) in [-1, 1], bits -> codes (*x): whole numbers, round(x · 2^(bits-1)), from
    -2^(bits-1) to 2^(bits-1) - 1.

    +1 itself has no code of its own; it gets the largest.
    """
    raise NotImplementedError


check(quantize)

# %%
assert np.array_equal(quantize(voice, 16) / 2**15, voice)  # the file has 16 bits: nothing is lost
t = np.linspace(0, 1, 400)
wave = 0.9 * np.sin(2 * np.pi * t)
coarse = quantize(wave, 3) / 4
curves(t, {"a wave": wave, "3 bits: eight codes": coarse, "the error": coarse - wave},
       xlabel="time / periods", ylabel="amplitude")

# %% [markdown]
# How bad is that error? Ears hear ratios, so we measure one, in decibels: ten times the logarithm
# of the signal's energy over the error's. 20 dB means a hundred times the energy, 60 dB a million
# times.
#
# ### Exercise 2

# %%
@exercise
def snr(signal, estimate):
    """signal (*x), estimate (*x) -> dB, a number: 10 log10 of the energy of the signal over that of
    the error."""
    raise NotImplementedError


check(snr)

# %% [markdown]
# ## Six decibels a bit
#
# Within one step of width $\Delta$, the error lies anywhere between $-\Delta/2$ and $\Delta/2$, and
# for a lively signal all places are equally likely. Its mean square is then
#
# $$ \frac{1}{\Delta}\int_{-\Delta/2}^{\Delta/2} e^2\,de \;=\; \frac{\Delta^2}{12}. $$
#
# One bit more halves $\Delta$, so the error's energy falls to a quarter: by $10 \log_{10} 4 = 6.02$
# dB. That is the one number to remember from this chapter. Does a voice obey?

# %%
bits = np.arange(3, 15)
loud = voice / np.abs(voice).max()
quiet = loud / 100
step = 2.0 ** (1 - bits)
measured = {
    name: [snr(x, quantize(x, b) / 2 ** (b - 1)) for b in bits]
    for name, x in [("loud", loud), ("quiet", quiet)]
}
sounding = np.mean(loud != 0)  # the pauses of this clip are exact zeros, and those are not rounded
predicted = 10 * np.log10(np.mean(loud**2) / (sounding * step**2 / 12))

axes = panels(height=3.5)
axes.plot(bits, measured["loud"], "o", label="a voice, as loud as it gets")
axes.plot(bits, predicted, "-", lw=0.8, label="energy of the voice over Δ²/12")
axes.plot(bits, measured["quiet"], "s", label="the same voice, 40 dB quieter")
axes.axhline(0, color="grey", lw=0.5)
axes.set(xlabel="bits per sample", ylabel="SNR / dB", title="6.02 dB a bit")
axes.legend()
plt.show()
slope = np.polyfit(bits[4:], measured["loud"][4:], 1)[0]
print(f"slope: {slope:.2f} dB per bit")
assert abs(slope - 6.02) < 0.1
assert np.abs(measured["loud"] - predicted)[4:].max() < 0.5

# %%
for b in (8, 5, 3):
    play(
        quantize(loud, b) / 2 ** (b - 1),
        rate,
        f"{b} bits: {b * rate / 1000:.0f} kbit/s, SNR {measured['loud'][b - 3]:.0f} dB",
    )

# %% [markdown]
# The line holds from 6 bits on; with fewer, the error is no longer noise, it follows the voice and
# sounds like a broken radio. And look at the squares: a quiet voice loses 40 dB, since its steps
# are as wide as the loud one's.
#
# ## Uneven steps
#
# Voices are quiet most of the time and loud sometimes. The telephone's answer, from the 1960s:
# squeeze the amplitude through a logarithm, quantise *that*, and stretch again. Steps are then
# narrow near zero and wide far out, and the *relative* error is the same everywhere.
#
# $$ f(x) = \operatorname{sign}(x)\,\frac{\ln(1 + \mu|x|)}{\ln(1 + \mu)}, \qquad
#    f^{-1}(c) = \operatorname{sign}(c)\,\frac{(1 + \mu)^{|c|} - 1}{\mu} $$
#
# ### Exercise 3

# %%
@exercise
def mu_law(x, bits, mu):
    """x (*x) in [-1, 1], bits, mu -> y (*x): compressed by f, quantised, divided by 2^(bits-1),
    expanded again."""
    raise NotImplementedError


check(mu_law)

# %%
levels = np.arange(0, -61, -5)
axes = panels(height=3.5)
for name, coder in [
    ("uniform, 8 bits", lambda x: quantize(x, 8) / 128),
    ("mu law, 8 bits", lambda x: mu_law(x, 8, 255.0)),
]:
    figures = [snr(loud * 10 ** (level / 20), coder(loud * 10 ** (level / 20))) for level in levels]
    axes.plot(levels, figures, "o-", label=name)
    if name.startswith("mu"):
        assert max(figures[:7]) - min(figures[:7]) < 6  # over 30 dB of loudness
axes.set(
    xlabel="level of the voice / dB",
    ylabel="SNR / dB",
    title="A telephone should not care how loud one speaks",
)
axes.legend()
plt.show()
play(quantize(loud / 30, 8) / 128 * 30, rate, "a quiet voice, 8 bits, uniform (amplified for you)")
play(mu_law(loud / 30, 8, 255.0) * 30, rate, "the same, 8 bits, mu law")

# %% [markdown]
# Hold on to that idea: **spend codes where signals are.** The codec of this book does the same,
# with vectors of 128 numbers instead of single ones, and it learns from data where they are
# (chapters 7 and 8).
#
# ## Six thousand bits a second
#
# 24 000 samples of 16 bits are 384 kbit/s. EnCodec sounds good with 6: a quarter of a **bit** for
# each sample. By "six dB a bit" that would be 1.5 dB, so no quantiser of samples can do it. Hear
# what PCM makes of 6 kbit/s: 2 bits, and 3000 samples a second.

# %%
slow = audio.resample(wav, rate, 3000)[0]
loudest = np.abs(slow).max()
pcm = audio.resample(loudest * quantize(slow / loudest, 2)[None] / 2, 3000, rate)[0]
play(voice, rate, "the original")
play(pcm, rate, "PCM at 6 kbit/s")

# %% [markdown]
# What else is there? Two things: what can be *predicted* need not be sent, and what cannot be
# *heard* need not be right. Opus, the best of the classical codecs, was built by people who knew a
# great deal about both. At 6 kbit/s it does this:

# %%
classic = opus(wav, rate, 6).wav[0, : len(voice)]
spectrograms({"the original: 384 kbit/s": voice, "Opus at 6 kbit/s": classic}, rate)
play(voice, rate, "the original")
play(classic, rate, "Opus at 6 kbit/s")

n = min(len(voice), len(classic))
print(f"SI-SDR of Opus: {float(si_sdr(voice[:n], classic[:n])):.1f} dB")


def above_4_khz(x):
    power = np.abs(np.fft.rfft(x)) ** 2
    return power[len(power) // 3 :].sum() / power.sum()


print(
    f"energy above 4 kHz: {above_4_khz(voice):.2%} of the original, "
    f"{above_4_khz(classic):.2%} of Opus"
)
assert above_4_khz(classic) < 0.1 * above_4_khz(voice)

# %% [markdown]
# It understood that this is speech, sent the pitch, the shape of the vocal tract and a little
# noise, and gave up all above 4 kHz. It works for one voice. For music at this rate it does not.
#
# The SNR is low, and yet one understands every word. A good codec at this rate is *not* close to
# the original, sample by sample. That is why this book needs losses that hear (chapter 10), and why
# no single number will tell how good it is (chapter 18). The number printed above, SI-SDR, is
# exercise 2 with two changes: the means are taken off first, and the estimate may be louder or
# quieter.

# %%
x, e = np.random.default_rng(0).normal(size=(2, 1000))
x, e = x - x.mean(), e - e.mean()
e -= np.vdot(e, x) / np.vdot(x, x) * x  # an error that has nothing in common with x
np.testing.assert_allclose(float(si_sdr(x, x + 0.1 * e)), snr(x, x + 0.1 * e))
np.testing.assert_allclose(float(si_sdr(x, 5 * (x + 0.1 * e))), snr(x, x + 0.1 * e))

# %% [markdown]
# ## Exercises
#
# 1. `quantize`: PCM.
# 2. `snr`: how loud an error is.
# 3. `mu_law`: steps where they are needed.
#
# To think about: How many bits per sample does a CD's 90 dB need? Why is the error of a 3-bit sine
# not noise, and what would adding a little noise *before* quantising do to it? How many codes a
# second would a codec need that sends one code of 10 bits for each 320 samples, and how many kbit/s
# is that?
#
# ## What the paper says
#
# The 24 kHz model of EnCodec sends 1.5 to 24 kbit/s, 16 to 256 times less than PCM [Defossez22,
# §3.2]. In its listening tests Opus at 6 kbit/s got about 20 to 30 of 100 points, EnCodec at 6
# kbit/s 69 to 93, depending on what was played [Defossez22, §4]. Chapter 18 shows how such points
# are given.
#
# ## What to read next
#
# `minicodec/audio.py`: how files of any kind become arrays. Then chapter 2, the machine that
# learns.
