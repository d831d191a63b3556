# %% [markdown]
# # 9 A codec that has learnt nothing yet
#
# **You will be able to** build a whole codec in a minute out of arithmetic that is older than any
# network here: a transform, a power law, principal components, and the codebooks of chapters 7 and
# 8. You will hear it, say what is wrong with it, and know what the rest of this book has to learn.
#
# **Before you start**: chapters 3 and 4 (convolution and its transpose), 7 and 8 (codebooks).
#
# **Reading time**: 40 minutes, and an hour and a half for the exercises. The cells take about
# half a minute, most of it in the codebooks.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(9)

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import minicodec
from minicodec import audio, functional as F
from minicodec.backend import use
from minicodec.codec.config import QuantizerConfig, preset
from minicodec.codec.model import Codec
from minicodec.codec.quantizer import kmeans
from minicodec.codec.seanet import ResidualUnit
from minicodec.course import check, exercise, yours
from minicodec.course.show import curves, panels, play, spectrograms
from minicodec.evaluation.baselines import opus
from minicodec.files import data_folder
from minicodec.metrics import mel_distance, si_sdr
from minicodec.tensor import Tensor
from minicodec.training.initial import initialise_codec
from minicodec.training.transform_start import start_transform

yours();

# %% [markdown]
# ## The idea: an encoder that nobody trained
#
# After chapter 8 we have everything but an encoder. There, a vector was 16 samples in a row, and 12
# kbit/s bought a poor telephone. The encoder of chapter 6 makes one vector of 320 samples, but its
# weights are random, and training them takes days.
#
# Engineers had encoders long before they had networks. MP3, AAC and Opus all begin with the
# **modified discrete cosine transform**, the MDCT [Princen87]: cut the sound into windows that
# overlap by half, and ask each window how much it holds of each of $N$ waves,
#
# $$ X_k = \sum_{n=0}^{2N-1} w_{n,k}\, x_n, \qquad w_{n,k} = \sqrt{\tfrac2N}\;
#    \sin\frac{\pi (n + \frac12)}{2N}\; \cos\Bigl(\frac{\pi}{N}\bigl(n + \tfrac12 + \tfrac N2\bigr)
#    \bigl(k + \tfrac12\bigr)\Bigr). $$
#
# The sine is the window: it rises from 0 to 1 and falls again, so that no window begins with a
# jump. The cosine is a wave of $k + \frac12$ half periods in $N$ samples.
#
# ### Exercise 1

# %%
@exercise
def mdct_basis(N):
    """N -> w (2N,N): what sample n of a window contributes to frequency k.

    w[n,k] = sqrt(2/N) · sin(π (n + ½) / 2N) · cos(π/N · (n + ½ + N/2) · (k + ½))
    """
    raise NotImplementedError


check(mdct_basis)

# %% [markdown]
# ## Half of it is missing, and the neighbours have it
#
# A window has $2N$ samples, but only $N$ numbers come out of it. So a window alone cannot be
# undone. What comes back if one tries? There and back again is $w w^\mathsf{T}$, a matrix of $2N$
# by $2N$.

# %%
w = mdct_basis(16)
there_and_back = w @ w.T
axes = panels(3, 3.0)
for k in (0, 1, 5):
    axes[0].plot(w[:, k], ".-", lw=0.8, label=f"k = {k}")
axes[0].set(title="three of 16 waves", xlabel="n")
axes[0].legend()
axes[1].imshow(there_and_back, cmap="RdBu", vmin=-1, vmax=1)
axes[1].set(title="one window, there and back", xlabel="sample n", ylabel="what comes back at n")
both = np.zeros((64, 64))
for start in (0, 16, 32):
    both[start : start + 32, start : start + 32] += there_and_back
axes[2].imshow(both, cmap="RdBu", vmin=-1, vmax=1)
axes[2].set(title="three windows, added", xlabel="sample n")
plt.show()
np.testing.assert_allclose(both[16:48, 16:48], np.eye(32), atol=1e-6)

# %% [markdown]
# In the middle: on the diagonal stands $\sin^2$, the window twice; and across it lies a mirror
# image of each half, the **alias**, with a minus in the first half (red) and a plus in the second
# (blue). The next window begins where this one has its second half. There, its own mirror image has
# the other sign: added up, the two cancel. On the diagonal, $\sin^2 + \cos^2 = 1$. On the right,
# where windows overlap, nothing but the identity is left. (The first half window has no neighbour
# before it and stays spoilt: 13 ms.)
#
# So the inverse of this encoder is its own transpose, overlapped and added. You have built both
# already: chapter 3's convolution, with a stride of $N$ and known weights, and chapter 4's
# transposed one. With $N = 320$ there are 75 frames a second, as in EnCodec.

# %%
N, rate = 320, 24_000
basis = mdct_basis(N).astype(np.float32)


def analyse(wav):
    """wav (T) -> X (ceil(T/N), N): zeros fill the last window."""
    x = np.pad(wav, (0, -len(wav) % N + N)).astype(np.float32)
    return F.conv1d(Tensor(x[None, :, None]), Tensor(basis[:, None]), stride=N).data[0]


def synthesise(X):
    """X (n,N) -> wav (n·N)."""
    painted = F.conv_transpose1d(Tensor(X[None]), Tensor(basis[:, :, None]), stride=N)
    return painted.data[0, : len(X) * N, 0]


def clip(name, seconds=None):
    wav, _ = audio.read(data_folder() / f"{name}.flac", frames=seconds and seconds * rate)
    return wav[0]


voice = clip("speech_en_3", 4)
X = analyse(voice)
error = synthesise(X)[N : len(voice)] - voice[N:]
print(f"{len(voice)} samples -> {X.shape[0]} frames of {X.shape[1]}, "
      f"and back within {np.abs(error).max():.0e}")
print(f"energy of the samples {np.sum(voice**2):.2f}, of the frames {np.sum(X**2):.2f}")
assert np.abs(error).max() < 1e-5

# %% [markdown]
# A convolution with 640 taps and one channel is slow in plain NumPy: 640 thin products, one for
# each tap. Take a hop of $N$ samples as one row of $N$ numbers. A window is then a row and the next
# one, and the whole transform is two matrix products,
#
# $$ X_t = h_t\, w_{:N} + h_{t+1}\, w_{N:}, $$
#
# with $h_t$ the samples $tN \dots (t+1)N - 1$. The way back is the transpose: each frame adds its
# first half to its own hop, and its second half to the next one.
#
# ### Exercise 2

# %%
@exercise
def mdct(x, w):
    """x (B,T), w (2N,N) -> X (B,Tz,N), Tz = ceil(T/N).

    Frame t is samples t·N ... t·N + 2N - 1, times w. Zeros stand after the end of x.
    """
    raise NotImplementedError


check(mdct)

# %% [markdown]
# ### Exercise 3

# %%
@exercise
def inverse_mdct(X, w):
    """X (B,Tz,N), w (2N,N) -> x (B,To), To = Tz·N: the transpose, overlapped and added.

    Frame t adds w X[b,t] to samples t·N ... t·N + 2N - 1. What lies beyond the end is cut off.
    """
    raise NotImplementedError


check(inverse_mdct)

# %%
np.testing.assert_allclose(mdct(voice[None], basis)[0], X, atol=1e-5)
np.testing.assert_allclose(inverse_mdct(X[None], basis)[0], synthesise(X), atol=1e-5)

# %% [markdown]
# Nothing is lost, and the energy is the same: an error that we make in $X$ has the same energy in
# the sound. Nothing is gained yet, either: as many numbers as before. But look at them.

# %%
share = np.sort((X**2).ravel())[::-1].cumsum() / (X**2).sum()
axes = panels(2, 3.0)
axes[0].imshow(20 * np.log10(np.abs(X.T) + 1e-4), origin="lower", aspect="auto", cmap="magma",
               vmin=-70, extent=(0, len(X) * N / rate, 0, rate / 2000))
axes[0].set(title="|X| in dB: every column is a frame", xlabel="time / s", ylabel="frequency / kHz")
axes[1].semilogx(np.arange(1, len(share) + 1) / len(share) * 100, share * 100)
samples = np.sort((voice**2).ravel())[::-1].cumsum() / (voice**2).sum()
axes[1].semilogx(np.arange(1, len(samples) + 1) / len(samples) * 100, samples * 100)
axes[1].legend(["of the transform", "of the samples"])
axes[1].set(title="how few hold how much", xlabel="% of the numbers, largest first",
            ylabel="% of the energy")
axes[1].grid(alpha=0.3)
plt.show()
needed = np.searchsorted(share, 0.9) / len(share)
print(f"{needed:.1%} of the numbers hold 90 % of the energy; of samples, "
      f"{np.searchsorted(samples, 0.9) / len(samples):.0%} are needed")
assert needed < 0.06

# %% [markdown]
# That is why everybody transforms: a few numbers hold nearly all of it, and they are easy to find.
#
# ## What some minutes of sound say
#
# From here on the codec needs *data*, though only its statistics. Four of the clips are set aside
# for listening; all others are what it may look at. (Each is cut into seconds twice, the second
# time half a hop later: that makes other frames of the same sound.)

# %%
held_out = ["speech_en_3", "speech_de_1", "drums_2", "music_harp"]
names = sorted(path.stem for path in data_folder().glob("*.flac"))
seen = [clip(name) for name in names if name not in held_out and "44k" not in name]
crops = np.concatenate([
    wav[start : start + (len(wav) - start) // rate * rate].reshape(-1, rate)
    for wav in seen for start in (0, N // 2)
])
frames = np.concatenate([analyse(crop) for crop in crops])
std = np.sqrt((frames.astype(float) ** 2).mean(axis=0))
print(f"{len(crops)} seconds, {len(frames)} frames")
curves((np.arange(N) + 0.5) * rate / 2 / N / 1000, {"std": 20 * np.log10(std)}, height=2.6,
       xlabel="frequency / kHz", ylabel="dB", title="How strong each frequency is, over all clips")

# %% [markdown]
# Between 200 Hz and 10 kHz the strength falls by some 30 dB: a thousand times less energy. Ears do
# not hear it like that. They compress, in frequency as in level, and hardly notice an error of a
# hundredth beside something loud. MP3 and AAC therefore round not $X$ but $|X|^{3/4}$, with its
# sign. We do that twice:
#
# - each *frequency* is divided by $\text{std}^{1/4}$: among frequencies, the strong lose some of
#   their lead;
# - each *number* is **companded**, and a power of $\frac43$ undoes that in the decoder:
#
# $$ y = x\,(x^2 + s^2)^{(p - 1)/2}, \qquad p = \tfrac34. $$
#
# For $|x| \gg s$ that is $\operatorname{sign}(x)\,|x|^p$. A pure power has an infinite slope at 0,
# and whoever wants to send gradients through it later had better not have that. $s$ makes it
# smooth: near 0 it is a straight line.
#
# ### Exercise 4

# %%
@exercise
def companding_forward(x, *, power, smoothing):
    """x (*x) -> y (*x), y = x (x² + s²)^((p - 1)/2)."""
    raise NotImplementedError


check(companding_forward)

# %% [markdown]
# ### Exercise 5
#
# One day a loss will send a gradient back through here, so let us have its backward at once.
# `saved` is what the forward computed on its way: $x$, $q = x^2 + s^2$ and $q^{(p-1)/2}$.

# %%
@exercise
def companding_backward(dy, saved, *, power, smoothing):
    """dy (*x), saved: x, x² + s² and (x² + s²)^((p - 1)/2), (*x) each -> dx (*x)."""
    raise NotImplementedError


check(companding_backward)

# %%
config = preset("transform_24khz").transform
p, s = config.power, config.smoothing
gain = np.maximum(std, 1e-5) ** (p - 1)
gain /= np.sqrt(((std * gain) ** 2).mean())  # so that all of it has a mean square of 1


def squeeze(X):
    """X (n,N) -> y (n,N)."""
    return companding_forward(X * gain, power=p, smoothing=s)


def stretch(y):
    """The way back: the power 1/p, smoothed such that the two slopes at 0 cancel."""
    return companding_forward(y, power=1 / p, smoothing=s**p) / gain


x = np.linspace(-3, 3, 601)
squeezed = companding_forward(x, power=p, smoothing=s)
codes = np.rint(squeezed / 0.4) * 0.4  # a coarse quantiser
curves(x, {"companded": squeezed, "and rounded to steps of 0.4": codes}, height=2.8,
       xlabel="x", ylabel="y", title="Equal steps of y are wide steps of x where x is large")
again = synthesise(stretch(squeeze(X)))[N : len(voice)]
print(f"there and back: {si_sdr(voice[N:], again):.0f} dB")

# %% [markdown]
# (There and back is not exact: between "straight line" and "power" the two smoothed curves differ
# by some per cent. At 6 kbit/s nobody will notice.)
#
# ## Principal components: 320 numbers become 64
#
# A codebook for vectors of 320 numbers would be hard to fill. Which directions of that space are in
# use at all? The matrix $y^\mathsf{T} y$ tells: its eigenvector with the largest eigenvalue is the
# direction that holds the most power, the next one holds the most of what is left, and so on. Keep
# $D$ of them: as the columns of $c$, they are an encoder, and $c^\mathsf{T}$ is its decoder. No
# other $D$ directions lose less, in the mean square.
#
# ### Exercise 6

# %%
@exercise
def principal_components(x, D):
    """x (n,N), D -> c (N,D): its columns are D eigenvectors of xᵀx (N,N).

    They are those with the largest eigenvalues. No mean is removed.
    """
    raise NotImplementedError


check(principal_components)

# %%
D = 64
y = squeeze(frames)
values = np.linalg.eigvalsh(y.T @ y)
components = principal_components(y, D)

axes = panels(2, 3.0)
axes[0].plot(np.arange(1, N + 1), values[::-1].cumsum() / values.sum() * 100)
axes[0].axvline(D, color="C1", label=f"D = {D}")
axes[0].set(title="what D components hold", xlabel="D", ylabel="% of the power (companded)")
axes[0].legend()
axes[1].imshow(np.abs(components[:, ::-1].T), aspect="auto", cmap="magma", extent=(0, 12, D, 1))
axes[1].set(title="|c|: what each component mixes", xlabel="frequency / kHz", ylabel="component")
plt.show()
print(f"{D} components hold {values[-D:].sum() / values.sum():.0%} of the power")
assert values[-D:].sum() > 0.7 * values.sum()

# %% [markdown]
# Look on the right: nearly all components lie below 2 or 3 kHz, for that is where the power is.
# What lies above will not be sent. Keep that in mind for when you hear it.
#
# ## Codebooks, stage by stage
#
# The rest is chapter 8: k-means for 1024 codewords; then k-means for what is left over; eight
# times. One code is 10 bits, 75 times a second: each stage costs 0.75 kbit/s.

# %%
Q, entries = 8, 1024
latents = (y @ components).astype(np.float32)
choice = np.random.default_rng(0).permutation(len(latents))[:16_000]
residual, codebooks = latents[choice], []
for level in range(Q):
    codebooks.append(kmeans(residual, entries, 8, np.random.default_rng(level))[0])
    residual = residual - codebooks[-1][F.nearest_codeword(residual, codebooks[-1])]
codebooks = np.stack(codebooks)


def encode(wav):
    """wav (T) -> codes (Q,n)."""
    codes, residual = [], (squeeze(analyse(wav)) @ components).astype(np.float32)
    for codebook in codebooks:
        codes.append(F.nearest_codeword(residual, codebook))
        residual = residual - codebook[codes[-1]]
    return np.stack(codes)


def decode(codes, length):
    """codes (at most Q, n) -> wav (T)."""
    z = sum(codebook[level] for codebook, level in zip(codebooks, codes, strict=False))
    return synthesise(stretch(z @ components.T).astype(np.float32))[:length]


tests = {name: clip(name, 4) for name in held_out}
levels = np.arange(1, Q + 1)
staircase = {
    name: [float(si_sdr(wav, decode(encode(wav)[:q], len(wav)))) for q in levels]
    for name, wav in tests.items()
}
curves(levels * 0.75, staircase, style="o-", xlabel="kbit/s", ylabel="SI-SDR / dB",
       title="Clips that it has never met")
print({name: f"{figures[-1]:.1f} dB at 6 kbit/s" for name, figures in staircase.items()})
assert all((np.diff(figures) > 0).all() for figures in staircase.values())
assert staircase["speech_en_3"][-1] > 5

# %%
play(voice, rate, "the original")
for q in (2, 4, 8):
    play(decode(encode(voice)[:q], len(voice)), rate, f"{q * 0.75:g} kbit/s")
drums = tests["drums_2"]
play(drums, rate, "drums")
play(decode(encode(drums), len(drums)), rate, "drums at 6 kbit/s")

# %% [markdown]
# You understand every word, at 6 kbit/s, with a codec that has learnt nothing but a covariance
# matrix and some averages. How much of that is memory?

# %%
figures = [float(si_sdr(wav, decode(encode(wav), len(wav)))) for wav in seen]
print(f"the clips that it was made from: {np.mean(figures):.1f} dB; "
      f"the others: {np.mean([one[-1] for one in staircase.values()]):.1f} dB")

# %% [markdown]
# 16 000 vectors for 1024 codewords are few: the codebooks know some of their clips by heart. With
# hours of sound, and nothing else changed, it is about 6 dB on a mix of speech and music.
#
# ## It is a network
#
# Look at what we have: a strided convolution, a function that acts on each number, a matrix; a
# residual quantizer; a matrix, a function, a transposed convolution. Those are *layers*, and their
# weights happen to be known. The preset `transform_24khz` of this library is that codec with
# something in between: residual units (chapter 6), on both sides.
#
# ```
#   encoder   MDCT · gain  →  companding  →  5 residual units  →  320 → 64      codes
#   decoder   64 → 320     →  8 residual units  →  companding back  →  MDCTᵀ / gain
# ```
#
# A residual unit adds to what passes through it. If it begins as nothing, the network begins as
# *our* codec, and whatever it learns starts from there. `start_transform` begins a training just
# so, from data. Does it find what we found?
#
# (The preset has two things more: it follows eight choices of codewords at once (chapter 8), and from
# 1 kHz on it makes up the signs, as you will at the end of this chapter. Both are turned off here.)

# %%
model = preset("transform_24khz")
model = replace(model, transform=replace(model.transform, noise_from=0))  # no random signs
model = replace(model, quantizer=replace(model.quantizer, beam=1))  # the nearest at each level
# Codebooks of 2 entries: no k-means to wait for.
few = Codec(replace(model, quantizer=QuantizerConfig(Q, 2), bandwidths=(0.6,)))
initialise_codec(few)
last_layers = [unit.block[-1].weight for unit in few.modules() if isinstance(unit, ResidualUnit)]
tenths = [weight.data.copy() for weight in last_layers]
for weight in last_layers:
    weight.data[...] = 0  # units that add nothing
start_transform(few, crops[:, :, None], 8, np.random.default_rng(0))

mdct, down = few.encoder.layers[0].weight.data[:, 0], few.encoder.layers[-1].weight.data[0]
signs = np.sign((down * components).sum(axis=0))  # an eigenvector may point either way
print(f"gains agree within {np.abs(mdct - basis * gain).max() / np.abs(mdct).max():.0e}, "
      f"components within {np.abs(down * signs - components).max():.0e}")
np.testing.assert_allclose(mdct, basis * gain, atol=1e-4 * np.abs(mdct).max())
np.testing.assert_allclose(down * signs, components, atol=5e-3)

# %% [markdown]
# It does. Give that network our codebooks, and the library's codec is ours: the same codes, the
# same sound. And it writes files.

# %%
codec = Codec(model)
codec.encoder, codec.decoder = few.encoder, few.decoder
codec.quantizer.codebooks[...] = codebooks * signs
codec.quantizer.updates[:] = 1  # they are there, no training needs to look for them

(chunk,) = codec.encode(voice[None], 6.0)
ours = encode(voice)
same = (chunk.codes == ours).all(axis=0)
print(f"{same.mean():.1%} of the frames have the same {Q} codes")
packet = codec.compress(voice[None], kbps=6)
decoded = minicodec.decompress(packet, codec)[0][0]
seconds = len(voice) / rate
print(f"{len(packet)} bytes for {seconds:g} s: {len(packet) * 8 / seconds / 1000:.2f} kbit/s")
print(f"SI-SDR {float(si_sdr(voice, decoded)):.2f} dB, "
      f"by our own functions {staircase['speech_en_3'][-1]:.2f} dB")
assert same.mean() > 0.98
assert abs(float(si_sdr(voice, decoded)) - staircase["speech_en_3"][-1]) < 0.1

for weight, tenth in zip(last_layers, tenths, strict=True):
    weight.data[...] = tenth
begun = codec.decode(codec.encode(voice[None], 6.0))[0, : len(voice)]
print(f"with units that begin at a tenth, as in training: {float(si_sdr(voice, begun)):.2f} dB")
for weight in last_layers:
    weight.data[...] = 0

# %% [markdown]
# (Where codes differ, two codewords were equally near, to the last digit.) `minicodec train
# transform_24khz` begins here, and not at noise: that is why it codes in its first minute.
#
# And it runs on your code: the convolution of chapter 3, the transposed one of chapter 4, and the
# companding of this chapter, where they are written.

# %%
with use("student"):
    yours_decoded = codec.decode(codec.encode(voice[None, :rate], 6.0))[0, :rate]
needed = {"conv1d_forward", "conv_transpose1d_forward", "companding_forward"}
written = sorted(needed & set(yours()))
print("written by you:", ", ".join(written) or "nothing yet; the library stood in")
assert np.abs(yours_decoded - decoded[:rate])[: rate - 2 * N].max() < 1e-3

# %% [markdown]
# ## What is wrong with it
#
# Put it beside Opus, and beside the model that comes with this library, all at 6 kbit/s. That model
# began as the codec of this chapter, with other recordings. Then it was trained for hours.

# %%
trained = minicodec.load()
contenders = {"this chapter": codec, "trained": trained}
table, distances = {}, {}
for name, wav in tests.items():
    coded = {}
    for who, one in contenders.items():
        coded[who] = one.decode(one.encode(wav[None], 6.0))[0, : len(wav)]
    coded["Opus"] = opus(wav[None], rate, 6).wav[0, : len(wav)]
    table[name] = coded
    for who, sound in coded.items():
        distances.setdefault(who, []).append(mel_distance(wav, sound, rate))
        print(f"{name:12} {who:13} SI-SDR {float(si_sdr(wav, sound)):5.1f} dB, "
              f"mel distance {distances[who][-1]:5.1f} dB")
assert np.mean(distances["trained"]) < np.mean(distances["this chapter"])

spectrograms({"original": voice, **table["speech_en_3"]}, rate, height=3.2)
for who, sound in table["speech_en_3"].items():
    play(sound, rate, who)

# %% [markdown]
# The two measures contradict each other. SI-SDR compares waves, and there this chapter is ahead.
# The mel distance (chapter 10) compares what an ear gets to know: how loud each band is at each
# moment. There the trained codec is ahead, and by far. Listen, and decide which one you believe.
#
# What exactly is wrong? Three things, of which two can be seen.
#
# **It is dull.** Components were chosen by power, codewords by squared error, and power is below 3
# kHz. An s is all above that. Nobody told the codec that ears care.
#
# **It warbles.** A steady tone is the same sound in every frame. For this codec it is not:

# %%
t = np.arange(rate) / rate
tone = (0.3 * np.sin(2 * np.pi * 443 * t)).astype(np.float32)
X_tone, codes = analyse(tone)[:-1], encode(tone)[:, :-1]
strongest = np.argsort((X_tone**2).sum(axis=0))[-3:]
curves(np.arange(len(X_tone)) * N / rate,
       {f"frequency {k}": X_tone[:, k] for k in sorted(strongest)}, height=2.6,
       xlabel="time / s", ylabel="X", title="One steady tone, as the transform sees it")
print(f"{codes.shape[1]} frames of the same tone: {len(np.unique(codes[0]))} different codes of "
      f"the first level, {len(np.unique(codes, axis=1).T)} different sets of {Q}")
play(tone, rate, "a tone")
play(decode(encode(tone), len(tone)), rate, "and what becomes of it")
assert len(np.unique(codes, axis=1).T) > 5

# %% [markdown]
# Each frame catches the wave at another point of its period, at another *phase*; the numbers change
# all the time, though nothing has happened. So the codebooks spend bits on phases, and every frame
# errs in its own way. A decoder that saw its neighbours could tell that this is one tone.
#
# **It smears.** A window is 640 samples long. An error made in the frame of a stroke spreads over
# all of it, also over the silence before:

# %%
energy = np.convolve(drums**2, np.ones(240) / 240, "same")
attack = int(np.argmax(np.diff(energy[rate // 2 :: 60]))) * 60 + rate // 2
around = slice(attack - 1_200, attack + 900)
coded = table["drums_2"]["this chapter"]
axes = panels(2, 2.6, sharey=True)
for one, sound, name in zip(axes, (drums, coded), ("a stroke", "at 6 kbit/s"), strict=True):
    one.plot(np.arange(-1_200, 900) / rate * 1000, sound[around], lw=0.8)
    one.set(title=name, xlabel="time / ms")
plt.show()

# %% [markdown]
# That is **pre-echo**. MP3 and AAC switch to shorter windows when a stroke comes; it takes an
# expert to say when.
#
# ## Your codec: where it begins
#
# In `my_codec`, too, these functions are layers. Its `transform.py` has what this chapter built:
# your `mdct` and `inverse_mdct`, of which each is the other's backward; your companding; between
# them your residual units of chapter 6; and `start`, which begins with your principal components
# and your k-means. In chapter 20 your codec begins there. Two parts are missing: companding for the
# Tensors of chapter 2, and signs for what the codes leave open.
#
# ### Exercise 7

# %%
# The library's part that the cell below may use; in my_codec, it uses yours. Here Tensor is your
# codec's; above, it was the library's.
from minicodec.course.my_codec.tensor import Tensor


@exercise
def companding(x, power, smoothing):
    """x (*x), a Tensor -> y (*x), a Tensor: companding_forward.

    companding_backward sends gradients back.
    """
    raise NotImplementedError


check(companding)

# %% [markdown]
# ### Exercise 8
#
# A codec that learns has one more fault, which none of the usual measures hears. High up, few bits say
# how loud a frequency is, and none which sign it has. So the decoder makes up a pattern of signs, and
# repeats it in every frame. What repeats 75 times a second is a buzz.
#
# Noise would be better, and it costs no bits: multiply by signs that only look random. A **hash** makes
# them, the same ones whenever a file is decoded: it stirs the bits of a whole number until nobody sees
# where it came from. This one is the last step of MurmurHash3.

# %%
@exercise
def noise_signs(frames, N, first):
    """frames, N, first -> (frames,N) whole numbers: 1 for frequencies below `first`, from there on 1
    or -1 by a hash.

    The hash of frequency k in frame t begins as h = t·N + k, of 32 bits: what exceeds them is lost.
    Three times it becomes (h xor h >> shift) · factor: 16 and 0x85EBCA6B, 13 and 0xC2B2AE35, 16 and
    1. Its last bit says the sign: 0 for 1, 1 for -1.
    """
    raise NotImplementedError


check(noise_signs)

# %% [markdown]
# ### Exercise 9

# %%
# In my_codec, this part uses your noise_signs.
from minicodec.course.my_codec.transform import noise_signs


@exercise
def with_noise_signs(x, first):
    """x (B,T,N), a Tensor -> y (B,T,N), a Tensor: each item times noise_signs.

    Gradients go back the same way.
    """
    raise NotImplementedError


check(with_noise_signs)

# %% [markdown]
# ## Why the rest of this book learns
#
# | what you hear | why | what changes it |
# |---|---|---|
# | dull | a squared error counts power | losses that hear: chapter 10 |
# | it sounds "coded" | the mean of all possible sounds is none of them | a judge: chapter 11 |
# | warbles, smears | frames know no neighbours | networks: chapters 3 to 6, trained in 13 |
# | strange to sounds that it never met | four minutes of data | more: chapter 13 |
# | 10 bits for every code, likely or not | nobody predicts | chapters 14 and 15 |
#
# None of these asks for more bits. They ask for an encoder, a decoder and codebooks that fit each
# other and an ear; nobody can write those down. But all that we built here can be differentiated,
# down to the quantizer (chapter 8). So begin here or at noise, say what is good, and walk downhill.
#
# ## Exercises
#
# 1. `mdct_basis`: a window, a wave, and a half.
# 2. `mdct`: two matrix products.
# 3. `inverse_mdct`: each window adds to two hops.
# 4. `companding_forward`: wide steps where it is loud.
# 5. `companding_backward`: a product rule inside of a chain rule.
# 6. `principal_components`: the directions that hold the most.
# 7. For `my_codec`: `companding`.
# 8. For `my_codec`: `noise_signs`.
# 9. For `my_codec`: `with_noise_signs`.
#
# To think about: Why must the window satisfy $\sin^2 + \cos^2 = 1$, and which other windows do (the
# variant of exercise 1 has one)? A principal component is worth its eigenvalue; how many bits is it
# worth? (Chapter 1's six decibels.) What would you hear if the codebooks were made from drums only?
#
# ## What the paper says
#
# Nothing of transforms: its encoder learns from the first step on [Defossez22, §3.1]. The MDCT and
# its cancelling aliases are from [Princen87]; residual codebooks by k-means are older still
# [Juang82]. Opus at these rates is a codec of another kind, which models the voice (linear
# prediction), and uses the MDCT from some 20 kbit/s on [Valin12].
#
# ## What to read next
#
# `minicodec/codec/transform.py` and `minicodec/training/transform_start.py`: this chapter, in the
# library. Then chapter 10: what should be small, if not the squared error?
