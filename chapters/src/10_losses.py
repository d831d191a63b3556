# %% [markdown]
# # 10 Losses that hear
#
# **You will be able to** say why the mean error of the samples is a poor judge of sound; compute a
# spectrogram and send a gradient back through it; build the filters that resolve pitch as the ear
# does; and put them together into the loss that EnCodec is trained with.
#
# **Before you start**: chapters 2 and 3 (a backward is the adjoint of a linear map). Complex
# numbers as pairs $(\cos\theta, \sin\theta)$. Headphones help.
#
# **Reading time**: 40 minutes, and an hour and a half for the exercises. The cells take some twenty
# seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(10)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio
from minicodec.backend import OPS, use
from minicodec.course import check, exercise, yours
from minicodec.course.show import curves, panels, play, source
from minicodec.files import data_folder
from minicodec.metrics import MEL_FLOOR, mel_bins, mel_filterbank as library_filterbank, si_sdr
from minicodec.nn.optim import Adam
from minicodec.ops import stft as library
from minicodec.tensor import Tensor, grad
from minicodec.training.losses import MelLoss

yours();  # what you wrote in earlier chapters joins in

# %% [markdown]
# ## The idea: which of these is nearest?
#
# A codec is trained to make a number small: the loss, the distance between the original $x$ and
# what comes out, $\hat x$. The first distance that comes to mind is that of the samples,
# $\frac1T\sum_t (x_t - \hat x_t)^2$. Here is a voice, and three signals at **exactly the same
# distance** from it. Listen.

# %%
wav, rate = audio.read(data_folder() / "speech_en_2.flac", start=12_000, frames=2 * 24_000)
rng = np.random.default_rng(0)
spectrum = np.fft.rfft(wav[0].astype(np.float64))
spectrum[[0, -1]] = 0  # these two have no phase to turn
voice = np.fft.irfft(spectrum)

turned = np.fft.irfft(spectrum * np.exp(1j * np.pi / 3))  # every frequency's phase, by 60 degrees
noise = rng.normal(size=len(voice))
noisy = voice + noise * np.sqrt((voice**2).sum() / (noise**2).sum())
silence = np.zeros(len(voice))

candidates = {"every phase turned by 60°": turned, "noise added": noisy, "silence": silence}
play(voice, rate, "the voice")
for name, signal in candidates.items():
    play(signal, rate, name)
    print(f"  mean squared error {np.mean((signal - voice) ** 2):.6f}")
    np.testing.assert_allclose(np.mean((signal - voice) ** 2), np.mean(voice**2))

# %% [markdown]
# The first sounds like the voice. The second is a ruin. The third is nothing at all. To the mean
# squared error they are the same. (Why is the turned one as far away as silence? A turn by an angle
# $\varphi$ moves a pointer of length $r$ by $2 r \sin(\varphi/2)$, and for 60° that is $r$.)
#
# The ear works otherwise. In the inner ear, different places answer to different frequencies; each
# reports *how strongly* its frequency sounds just now, and little about phase. So the loss should
# compare what the ear compares: how much of which frequency, and when.
#
# ## The short-time Fourier transform
#
# Cut the signal into frames of $n$ samples (`n_fft`), one every `hop` samples. Fade each frame in
# and out with a window $h$, so that its cut ends do not count as sound. Then ask of each frame: how
# much does it look like a cosine with $f$ periods per frame, and how much like a sine?
#
# $$ \mathrm{Re}\,Y_{b,t,f} = \sum_{k=0}^{n-1} h_k\, x_{b,\,t\cdot\text{hop}+k}
#    \cos\theta_{fk}, \qquad
#    \mathrm{Im}\,Y_{b,t,f} = -\sum_{k=0}^{n-1} h_k\, x_{b,\,t\cdot\text{hop}+k}
#    \sin\theta_{fk}, \qquad
#    \theta_{fk} = \frac{2\pi f k}{n} $$
#
# for $f = 0 \ldots n/2$. At 24 kHz and $n = 1024$, bin $f$ stands for $f \cdot 23.4$ Hz. In one
# formula, $Y = \sum_k h_k x_k e^{-i\theta}$: one complex number for each frame and bin. $|Y|$ says
# how much of the frequency there is; the angle of $Y$ says where in its period it stands.
#
# The window is Hann's: $h_k = \frac12 - \frac12\cos(2\pi k/n)$, the *periodic* one, as if it went
# on for ever. `normalized` divides it by $\sqrt{\sum_k h_k^2}$. Then white noise of variance 1 has
# a mean $|Y|^2$ of 1 at any $n$, so windows of different lengths can be compared.
#
# ### Exercise 1
#
# Only frames that lie wholly inside x count. NumPy's `np.fft.rfft` computes the sum over $k$ for
# all $f$, quickly.

# %%
@exercise
def stft_forward(x, *, n_fft, hop, normalized=False):
    """x (B,T) -> y (B,To,F,2): y[..., 0] = Re Y, y[..., 1] = Im Y.

    To = 1 + (T - n_fft)//hop frames, F = n_fft//2 + 1 bins. Window: Hann, periodic, n_fft samples;
    normalized: divided by the root of the sum of its squares.
    """
    raise NotImplementedError


check(stft_forward)

# %%
# By hand: a cosine with 4 periods in a frame of 32. Its bin gets 32, times 1/2 (the mean of cos²),
# times 1/2 (the mean of the window). The window spreads it over three bins.
tone = np.cos(2 * np.pi * 4 * np.arange(32) / 32)[None]
sizes = np.hypot(*np.moveaxis(stft_forward(tone, n_fft=32, hop=8), -1, 0))[0, 0]
print(sizes.round(6)[:9])
np.testing.assert_allclose(sizes[:9], [0, 0, 0, 4, 8, 4, 0, 0, 0], atol=1e-6)

many = stft_forward(rng.normal(size=(1, 200_000)), n_fft=256, hop=64, normalized=True)
print("white noise, mean |Y|²:", (many**2).sum(axis=-1).mean(axis=(0, 1))[1:-1].mean())
assert abs((many**2).sum(axis=-1)[:, :, 1:-1].mean() - 1) < 0.05

# %% [markdown]
# When yours is right: `source(library.stft_forward)`.
#
# ## When, or at what pitch?
#
# How long should a frame be? Look at a voice and at drums, through 128 samples (5 ms) and through
# 2048 (85 ms).

# %%
drums, _ = audio.read(data_folder() / "drums_1.flac", start=12_000, frames=2 * 24_000)


def levels(signal, window):
    """signal (T) -> (F,To), levels in dB."""
    y = stft_forward(
        signal[None].astype(np.float64), n_fft=window, hop=window // 4, normalized=True
    )[0]
    return 10 * np.log10((y**2).sum(axis=-1).T + 1e-9)


figure, grid = plt.subplots(2, 2, figsize=(9, 5.5), sharex=True, sharey=True, layout="constrained")
for row, (name, signal) in zip(grid, [("voice", voice), ("drums", drums[0])], strict=True):
    for axes, window in zip(row, (128, 2048), strict=True):
        picture = axes.imshow(
            levels(signal, window),
            origin="lower",
            aspect="auto",
            extent=(0, 2, 0, 12),
            vmin=-70,
            vmax=10,
            cmap="magma",
        )
        axes.set_title(
            f"{name}: {rate / window:.4g} Hz a bin, {1000 * window / rate:.0f} ms a frame",
            fontsize=9,
        )
        axes.set(xlim=(0, 1.2), ylim=(0, 6))
for axes in grid[:, 0]:
    axes.set_ylabel("frequency / kHz")
for axes in grid[1]:
    axes.set_xlabel("time / s")
figure.colorbar(picture, ax=grid, label="level / dB")
plt.show()

# %% [markdown]
# The short frames show every pulse of the voice and the sharp beginnings of the drums, but no
# pitch. The long ones draw the harmonics of the voice as fine lines, and smear every stroke over 85
# ms. A frame of $n$ samples cannot tell frequencies apart that differ by less than about `rate /
# n`, and it cannot tell times apart within itself. One has to choose; or, in a loss, not to choose:
# take several.
#
# ## The way back
#
# A loss of spectrograms must tell the *samples* how to move. Hold the window fixed and the STFT is
# linear: a matrix, so its backward is the adjoint, as in chapter 3. Read the formula of $Y$ again
# and differentiate. Sample $k$ of a frame went into $\mathrm{Re}\,Y_f$ with the factor
# $h_k\cos\theta_{fk}$ and into $\mathrm{Im}\,Y_f$ with $-h_k\sin\theta_{fk}$. So from a frame it
# gets back
#
# $$ d\text{frame}_k = h_k \sum_{f=0}^{n/2}
#    \left( d\mathrm{Re}_f \cos\theta_{fk} - d\mathrm{Im}_f \sin\theta_{fk} \right) $$
#
# and since the frames overlap, sample $\tau$ of the signal **adds** what all its frames send:
#
# $$ dx_{b,\tau} = \sum_{t,k\,:\;t\cdot\text{hop} + k = \tau} d\text{frame}_{b,t,k} $$
#
# That is all. Mind the difference between the adjoint and the inverse: the inverse would restore
# $x$ from $Y$; the adjoint brings gradients home. With a Fourier transform they look alike, and
# that is a trap. `np.fft.irfft(dY)` also computes a sum of cosines and sines, but it divides by
# $n$, and it counts each bin with a mirror image (all but $f = 0$ and, for even $n$, $f = n/2$)
# twice.
#
# ### Exercise 2
#
# `saved` is `(T, window)`: the length of the signal, and the window that the forward multiplied
# with (normalised, if it was). You can use two matrices, $\cos\theta$ and $\sin\theta$, or `irfft`
# with its two corrections. Samples that no frame has seen get 0.

# %%
@exercise
def stft_backward(dy, saved, *, n_fft, hop, normalized=False):
    """dy (B,To,F,2) -> dx (B,T). saved: (T, window), window (n_fft,) as the forward used it."""
    raise NotImplementedError


check(stft_backward)

# %%
# The adjoint's identity, for any pair of arrays, and the difference to an inverse:
x, options = rng.normal(size=(2, 900)), {"n_fft": 256, "hop": 64, "normalized": True}
y, saved = library.stft_forward(x, **options)
dy = rng.normal(size=y.shape)
dx = np.asarray(stft_backward(dy, saved, **options)).reshape(x.shape)
print("<Ax, dy> =", np.vdot(y, dy), "  <x, A'dy> =", np.vdot(x, dx))
np.testing.assert_allclose(np.vdot(y, dy), np.vdot(x, dx))

# %% [markdown]
# Compare with `source(library.spectrum_adjoint)`.
#
# ## Only how strong
#
# The ear hardly cares for the angle, so the loss takes $|Y| = \sqrt{\mathrm{Re}^2 +
# \mathrm{Im}^2}$. Its derivatives: $\partial|Y|/\partial\mathrm{Re} = \mathrm{Re}/|Y|$, and the
# same for Im. In words: $|Y|$ grows fastest if one pulls at the tip of the pointer in the direction
# in which it points, $Y/|Y|$. From there on it is the way back of exercise 2.
#
# At $Y = 0$ there is no direction. Silence is full of such bins, so this is no rare case: we say
# that the gradient is 0 there.
#
# ### Exercise 3
#
# `saved` is `(T, window, Y, y)` with `Y` (B,To,F) complex and `y = |Y|`. Your `stft_backward` can
# do half of the work.

# %%
@exercise
def stft_magnitude_backward(dy, saved, *, n_fft, hop, normalized=False):
    """dy (B,To,F) -> dx (B,T). saved: (T, window, Y, y), y = |Y|. Where y = 0, Y gets no gradient.
    """
    raise NotImplementedError


check(stft_magnitude_backward)

# %%
# Silence, where |Y| = 0 in every bin:
_, saved = library.stft_magnitude_forward(np.zeros((1, 64)), n_fft=16, hop=4)
dx = np.asarray(stft_magnitude_backward(np.ones((1, 13, 9)), saved, n_fft=16, hop=4))
assert np.isfinite(dx).all(), "silence: a division by 0. np.where(y == 0, 1, y) divides safely"

# %% [markdown]
# ## Mel: pitch as we hear it
#
# A frame of 2048 samples has 1025 bins, all 11.7 Hz apart. For the ear they are not alike: it tells
# 200 Hz from 212 Hz easily, and 10 000 Hz from 10 012 not at all. The *mel* scale has steps of
# pitch that seem equal to listeners, about linear below 700 Hz and logarithmic above:
#
# $$ m = 2595 \log_{10}\!\left(1 + \frac{f}{700}\right), \qquad
#    f = 700\left(10^{m/2595} - 1\right) $$
#
# A **mel filter bank** adds the bins up into M bands that are equally wide in mel, hence wider and
# wider in Hz. Put M + 2 *corners* at equal distances in mel, from 0 Hz to half the sample rate.
# Filter $m$ is a triangle: 0 at corner $m$, 1 at corner $m + 1$, 0 again at corner $m + 2$, with
# straight sides (straight in Hz). Each filter is a column of a matrix: `magnitudes @ filters`.
#
# ### Exercise 4

# %%
@exercise
def mel_filterbank(sample_rate, window, bins):
    """sample_rate in Hz, window in samples, bins -> filters (F,bins), F = window//2 + 1.

    filters[k, m]: how high triangle m is at the frequency k · sample_rate / window.
    """
    raise NotImplementedError


check(mel_filterbank)

# %%
figure, (above, below) = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, layout="constrained")
for axes, window, bins in [(above, 2048, 20), (below, 64, mel_bins(64, rate))]:
    f = np.fft.rfftfreq(window, 1 / rate)
    axes.plot(f / 1000, mel_filterbank(rate, window, bins), ".-" if window == 64 else "-")
    axes.set(
        ylabel="weight",
        title=f"{bins} filters, windows of {window} samples: a bin every {f[1]:.4g} Hz",
    )
below.set_xlabel("frequency / kHz")
plt.show()
assert mel_filterbank(rate, 2048, 20).max(axis=0).min() > 0.9

# %% [markdown]
# The lower picture shows a limit. A window of 64 samples has a bin only every 375 Hz. Its lowest
# filters just find one bin each, and not at their tips. The recipe of the paper takes 64 filters at
# *every* window, 32 samples included. What becomes of them?

# %%
mel = 2595 * np.log10(
    1 + np.fft.rfftfreq(32, 1 / rate) / 700
)  # where the 17 bins of 32 samples lie, in mel
corners = np.linspace(0, mel[-1], 64 + 2)
inside = [
    ((mel > low) & (mel < high)).any() for low, high in zip(corners[:-2], corners[2:], strict=True)
]
print("of 64 filters over 32 samples,", inside.count(False), "have no bin at all")
assert inside.count(False) > 30
try:
    library_filterbank(rate, 32, 64)
except ValueError as error:
    print("the library refuses:", error)
windows = (32, 64, 128, 256, 512, 1024, 2048)
print("what it takes instead:", {window: mel_bins(window, rate) for window in windows})

# %% [markdown]
# More than half of them lie between two bins. They are 0 for any sound; they teach nothing, and
# they water down the mean. Nothing crashes, so nobody notices. Here the number of filters grows
# with the window, and there are more of them where the window is long.
#
# ## The loss
#
# Let $S$ be the mel spectrogram of $\hat x$ and $R$ that of the recording $x$, all magnitudes. For
# one window length, with $e = 10^{-5}$:
#
# $$ L = \mathrm{mean}\,|S - R| \;+\;
#    \mathrm{mean}\left(\log_{10}(S + e) - \log_{10}(R + e)\right)^2 $$
#
# Two terms, for two reasons. $|S - R|$ is ruled by what is loud. But ears hear *ratios*: a whisper
# of a tenth of the size is as clear as the loud word. In a logarithm, ratios become differences,
# and all levels count alike, down to the floor $e$, which keeps the logarithm of silence finite.
# The loss of a codec sums this over the windows 32, 64, …, 2048.
#
# ### Exercise 5
#
# The gradient with respect to $S$, for one window.

# %%
@exercise
def mel_loss_backward(mel, target):
    """mel (B,T,M), target (B,T,M) -> dmel (B,T,M): the gradient of L with S = mel, R = target, e =
    1e-5.

    Both means are over all B·T·M entries.
    """
    raise NotImplementedError


check(mel_loss_backward)

# %%
# The library's loss, sent back by its autograd through logarithms, filters and STFT ...
original, decoded = (signal[10_000:22_000] for signal in (voice, noisy))
x_hat = Tensor(decoded[None, :, None], requires_grad=True)
expected = grad(MelLoss(rate, (512,))(Tensor(original[None, :, None]), x_hat), [x_hat])[0].ravel()

# ... is three of your functions in a row:
options = {"n_fft": 512, "hop": 128, "normalized": True}
margin = (
    512 - 128
) // 2  # zeros on both sides: then the first hop, too, is in the middle of a frame
filters = mel_filterbank(rate, 512, mel_bins(512, rate))
target, _ = library.stft_magnitude_forward(np.pad(original, margin)[None], **options)
sizes, saved = library.stft_magnitude_forward(np.pad(decoded, margin)[None], **options)
dmel = mel_loss_backward(sizes @ filters, target @ filters)
dx = np.ravel(stft_magnitude_backward(dmel @ filters.T, saved, **options))[margin:-margin]
np.testing.assert_allclose(dx, expected, atol=1e-6 * abs(expected).max())
assert MEL_FLOOR == 1e-5

# %% [markdown]
# And what does it say about the three signals of the beginning?

# %%
mel_loss = MelLoss(rate, windows)


def distance(a, b):
    """Two signals (T) -> their mel loss."""
    return float(mel_loss(Tensor(a[None, :, None]), Tensor(b[None, :, None])))


heard = {name: distance(voice, signal) for name, signal in candidates.items()}
for name, loss in heard.items():
    print(f"{name:28s}{loss:8.2f}")
assert heard["every phase turned by 60°"] < 0.01 * heard["noise added"]
assert heard["noise added"] < heard["silence"]

# %% [markdown]
# The voice with the turned phases is nearest, by far: more than a hundred times nearer than the
# noisy one.
#
# ## Why the time loss stays
#
# If the mel loss is so good, why does every recipe keep a loss of the samples too? Look at both as
# the voice is shifted against itself, by up to 4 ms.

# %%
word = voice[4_000:16_000]
delays = np.arange(0, 97)
shifted = [voice[4_000 - d : 16_000 - d] for d in delays]
shifted = shifted[::3]
in_time = np.array([np.abs(word - s).mean() for s in shifted]) / np.abs(word).mean()
in_mel = np.array([distance(word, s) for s in shifted]) / distance(word, 0 * word)
curves(
    delays[::3] / rate * 1000,
    {"mean |x - x̂|": in_time, "mel loss": in_mel, "either loss of silence": np.ones(len(in_mel))},
    xlabel="delay / ms",
    ylabel="loss (silence = 1)",
    title="A quarter of a millisecond late, and to the time loss silence would be better",
)
assert in_time[2:].min() > 1  # silence
assert in_mel.max() < 0.1

# %% [markdown]
# The time loss is sharp: it knows the place to the sample, but only once one is near; further off
# it wanders up and down, and what it says there leads nowhere. The mel loss is wide and lenient: 4
# ms late is next to nothing to it. So they do different work. The one says how it should sound, the
# other pins the waveform down.
#
# Let us hear what the mel loss alone would be content with. No network: the samples themselves are
# the parameters. They start as faint noise, and Adam moves all of them down the mel loss of half a
# second of voice. The gradient runs through **your** `stft_magnitude_backward`, if it is right.

# %%
def sculpt(target, steps=120):
    """target (T) -> a signal (T) with nearly the same mel spectrograms, and the loss at each step.
    """
    x = Tensor(target[None, :, None].astype(np.float32))
    guess = Tensor(
        0.01 * np.random.default_rng(1).normal(size=x.shape).astype(np.float32), requires_grad=True
    )
    optimizer, losses = Adam({"samples": guess}, lr=0.01, betas=(0.9, 0.99)), []
    for step in range(steps):
        optimizer.lr = 0.01 * (1 - step / steps)
        loss = mel_loss(x, guess)
        guess.grad = np.asarray(grad(loss, [guess])[0], np.float32)
        optimizer.step()
        losses.append(float(loss))
    return guess.data[0, :, 0], losses


with use("student"):
    found, losses = sculpt(word)
whose = "your own" if "student" in OPS["stft_magnitude"].pairs else "the library's"
print("by", whose, "stft_magnitude_backward")
print(f"mel loss {losses[0]:.1f} -> {losses[-1]:.2f}; silence has {distance(word, 0 * word):.1f}")
ratio = np.abs(word - found).mean() / np.abs(word).mean()
print(
    f"SI-SDR {float(si_sdr(word, found)):.0f} dB; mean |x - x̂| is {ratio:.2f} times silence's"
)
play(word, rate, "the voice")
play(found, rate, "what the mel loss found")

axes = panels(2, 2.8)
axes[0].semilogy(losses)
axes[0].set(xlabel="step", ylabel="mel loss")
span = slice(6_000, 6_480)
axes[1].plot(np.arange(480) / 24, word[span], label="voice")
axes[1].plot(np.arange(480) / 24, found[span], label="found", lw=0.9)
axes[1].set(xlabel="time / ms", ylabel="amplitude", title="Alike in the mel loss")
axes[1].legend()
plt.show()
assert losses[-1] < 0.2 * losses[0]
assert si_sdr(word, found) < 0

# %% [markdown]
# By the mel loss it is nearly the voice; by the measure of the samples it is *worse than silence*.
# Phases came out as chance would have it, and where those of neighbouring bins do not fit together,
# a voice sounds rough. A codec trained on this loss alone has no reason to spend bits on the
# waveform. So take both losses, and watch both: when a codec learns, its mel loss alone cannot tell
# you whether more bits help.

# %% [markdown]
# ## Your codec: losses of Tensors
#
# The same losses, as operators: each gives a Tensor of one number, and knows how to send a gradient back. Your backwards
# of above do the work.

# %%
# The library's parts that the cells below may use; in my_codec, they use yours.
# `Tensor` is your codec's from here on: to go back up, run the imports at the top again.
from minicodec.course.my_codec.losses import (
    mel_filterbank,
    mel_loss_backward,
    stft_backward,
    stft_forward,
    stft_magnitude_backward,
)
from minicodec.course.my_codec.tensor import Tensor


# %%
@exercise
def hann(n_fft):
    """The periodic Hann window (n_fft,) float32, divided by the root of the sum of its squares."""
    raise NotImplementedError


check(hann)

# %%
@exercise
def l1_loss(x, target):
    """x (*x), a Tensor; target (*x), an array -> a Tensor of one number, mean |x - target|.

    Where both are equal, the slope is 0.
    """
    raise NotImplementedError


check(l1_loss)

# %%
@exercise
def stft(x, n_fft):
    """x (B,T,1), a Tensor -> y (B,To,F,2), a Tensor: normalized, hop n_fft // 4. stft_backward sends gradients back."""
    raise NotImplementedError


check(stft)

# %%
@exercise
def mel_spectrogram(x, n_fft, filters):
    """x (B,T,1), a Tensor; filters (F,M) -> mel (B,To,M), a Tensor: the magnitudes of the STFT, times the filters.

    hop = n_fft // 4; (n_fft - hop) // 2 zeros stand on both sides of x. The STFT is stft_forward's, normalized; the
    gradient goes back through stft_magnitude_backward.
    """
    raise NotImplementedError


check(mel_spectrogram)

# %%
@exercise
def mel_distance(mel, target):
    """mel (B,T,M), a Tensor; target (B,T,M), an array -> a Tensor of one number.

    mean |S - R| + mean (log10 (S + e) - log10 (R + e))², S of mel, R of target, e = 1e-5.
    """
    raise NotImplementedError


check(mel_distance)

# %%
@exercise
def mel_loss(x, target, sample_rate, windows):
    """x (B,T,1), a Tensor; target (B,T,1), an array -> a Tensor of one number: the mel_distances, summed over windows.

    A window of n samples has max(1, int(n · 5 / 32 · min(1, 24000 / sample_rate))) filters, in the precision of x.
    """
    raise NotImplementedError


check(mel_loss)

# %% [markdown]
# ## Exercises
#
# 1. `stft_forward`: what frequencies, and when.
# 2. `stft_backward`: the adjoint, which is not the inverse.
# 3. `stft_magnitude_backward`: pull the pointer outwards.
# 4. `mel_filterbank`: triangles.
# 5. `mel_loss_backward`: the loss, towards the spectrogram.
#
# To think about: The window at the first sample of a frame is 0. Why must frames overlap, then, and
# what would `dx` look like with hop = n? By how many dB may a soft band be wrong before the log
# term of the loss gets to 1? If $S$ is 0 everywhere, which samples get a gradient from the loss,
# and could training start from silence?
#
# ## What the paper says
#
# The reconstruction loss has a part in time, the L1 distance of the samples, and a part in
# frequency: L1 and L2 distances of mel spectrograms with 64 bands, over windows of $2^5$ to
# $2^{11}$ samples with a hop of a quarter window [Defossez22, §3.4]. AudioCraft's code takes the
# second distance of the logarithms, as here, and its recipe the windows from $2^6$ on. The weights
# are 0.1 for time and 1 for frequency; chapter 12 says what such weights mean. The number of
# filters that fits the window is a choice that later codecs made too.
#
# ## What to read next
#
# `minicodec/ops/stft.py` and `minicodec/training/losses.py`, 60 lines each without their comments.
# Then chapter 11: what no fixed distance can teach, and a network that learns to be the judge.
