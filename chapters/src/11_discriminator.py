# %% [markdown]
# # 11 The discriminator
#
# **You will be able to** say what no fixed distance can teach a decoder; write a convolution over
# time *and* frequency with its gradients; play both sides of the game between a decoder and its
# judge; and hear what the judge is good for.
#
# **Before you start**: chapters 3 (convolution), 4 (receptive field) and 9 (spectrograms).
# Headphones help.
#
# **Reading time**: 35 minutes, and an hour for the exercises. The cells take about half a minute.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(11)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio, functional as F
from minicodec.backend import OPS, use
from minicodec.course import check, exercise, mine, yours
from minicodec.course.show import panels, play, source, spectrogram
from minicodec.files import data_folder
from minicodec.nn.layers import Conv1d
from minicodec.nn.module import Module
from minicodec.nn.optim import Adam
from minicodec.ops.conv2d import (
    conv2d_backward as library_backward,
    conv2d_forward as library_forward,
)
from minicodec.tensor import Tensor, grad, no_grad
from minicodec.training.adversarial import Adversary, discriminator_loss, feature_matching_loss
from minicodec.training.config import AdversaryConfig
from minicodec.training.discriminator import STFTDiscriminator
from minicodec.training.initial import preserve_variance
from minicodec.training.losses import MelLoss

yours()  # what you wrote in earlier chapters joins in

# %% [markdown]
# ## The idea: the best guess is a bad sound
#
# An "s" is noise. Nobody could tell one "s" from another with the same loudness and colour, but as
# lists of samples they have nothing in common. A codec at a low bitrate has no bits to say *which*
# noise it was. What should a decoder do that knows "there is an s here" and no more? Ask the losses
# that it is trained with. Here are a thousand equally likely recordings, and what three guesses
# would cost on average:

# %%
rng = np.random.default_rng(0)
recordings = rng.normal(size=(1000, 400))  # a thousand versions of the same noise
guesses = {"the mean of all": recordings.mean(axis=0), "half as loud": 0.5 * rng.normal(size=400),
           "honest noise": rng.normal(size=400)}
costs = {name: np.abs(recordings - guess).mean() for name, guess in guesses.items()}
for name, cost in costs.items():
    print(f"{name:16s} mean |x - x̂| = {cost:.2f}, level {np.std(guesses[name]):.2f}")
assert costs["the mean of all"] < costs["half as loud"] < costs["honest noise"]

# %% [markdown]
# The mean of a thousand noises is next to silence, and it wins. The guess that sounds right costs
# most. This is no fault of the L1 distance in particular: **any** fixed distance to *the one*
# recording is smallest at some compromise between everything that might have been. Pictures made so
# are blurred, voices are dull. (A mel loss, chapter 10, forgives the phases and is much better. But
# the fine pattern of a noise is chance in a spectrogram too.)
#
# What we mean is another question: not "is it *that* recording?" but "could it *be* a recording?"
# There is no formula for that. So learn it: train a network, the **discriminator** $D$, to tell
# recordings from decodings, and train the decoder to get past it. Each learns from the other.
#
# ## Convolution over time and frequency
#
# What should such a judge look at? At what we look at: a spectrogram. EnCodec's takes the complex
# one, real and imaginary parts as two channels. A pattern there (an attack, a harmonic, a patch of
# noise) means the same a moment later, and much the same a little higher. So ask one small question
# at every place of the *plane*, with a kernel of $K_t \times K_f$ taps:
#
# $$ y_{b,t,f,o} = \sum_{k=0}^{K_t-1} \sum_{m=0}^{K_f-1} \sum_i
#    x_{b,\;t s_t + k d_t,\; f s_f + m d_f,\; i} \; w_{k,m,i,o} $$
#
# It is chapter 3's formula with a second index: strides $(s_t, s_f)$, dilations $(d_t, d_f)$.
# Before it, $p_t$ frames of zeros are put before and after, $p_f$ bins of zeros below and above.
#
# ### Exercise 1

# %%
@exercise
def conv2d_forward(x, w, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co) -> y (B,To,Fo,Co). Each option is a pair: (of time, of
    frequency).

    padding = (pt, pf): pt zeros before and pt after in time, pf below and pf above in frequency.
    With padding, To = (T + 2 pt - (Kt - 1)·dt - 1) // st + 1, and Fo likewise.
    """
    raise NotImplementedError


check(conv2d_forward)

# %% [markdown]
# (`source(library_forward)`, when yours is right.) Here is what two kernels of 3 x 3 taps see in a
# picture of plucked strings. One compares moments, the other bins.

# %%
strings, rate = audio.read(data_folder() / "music_strings.flac", frames=48_000)
sizes = F.stft_magnitude(strings, n_fft=1024, hop=256, normalized=True).data
level = np.log10(sizes + 1e-3)[..., None]  # (B,T,F,1)
rise = np.repeat([[-1.0], [0.0], [1.0]], 3, axis=1)[:, :, None, None]  # later minus earlier
line = np.outer([1, 1, 1], [-1.0, 2.0, -1.0])[:, :, None, None]  # a bin minus its neighbours
views = {
    "the spectrogram": level,
    "louder than before?": np.asarray(conv2d_forward(level, rise, padding=(1, 1))),
    "louder than its neighbours?": np.asarray(conv2d_forward(level, line, padding=(1, 1))),
}
axes = panels(3, 3, sharey=True)
for one, (name, view) in zip(axes, views.items(), strict=True):
    low = None if name == "the spectrogram" else 0
    one.imshow(
        view[0, :, :, 0].T,
        origin="lower",
        aspect="auto",
        extent=(0, 2, 0, 12),
        cmap="magma",
        vmin=low,
    )
    one.set(title=name, xlabel="time / s", ylim=(0, 4))
axes[0].set_ylabel("frequency / kHz")
plt.show()

# %% [markdown]
# One kernel finds attacks, the other tones. A discriminator finds its own kernels, and stacks them:
# three layers halve the number of bins ($s_f = 2$) and reach further and further in time ($d_t$ =
# 1, 2, 4). How far does one of its verdicts see? Chapter 4's rule answers, for time and frequency
# apart, at each of the five window lengths:

# %%
receptive_field = mine("receptive_field")  # yours, if it was right; else the library's
frames = receptive_field([(3, 1, 1), (3, 1, 1), (3, 1, 2), (3, 1, 4), (3, 1, 1), (3, 1, 1)])
bins = receptive_field([(9, 1, 1), (9, 2, 1), (9, 2, 1), (9, 2, 1), (3, 1, 1), (3, 1, 1)])
for n_fft in (2048, 1024, 512, 256, 128):
    seconds = ((frames - 1) * n_fft / 4 + n_fft) / rate
    kilohertz = bins * rate / n_fft / 1000
    print(
        f"windows of {n_fft:4d}: {frames} frames = {1000 * seconds:3.0f} ms, "
        f"{bins} bins = {kilohertz:4.1f} kHz"
    )
parameters = STFTDiscriminator(2048, 32, rng=rng).parameters()
assert sum(p.data.size for p in parameters) == 94_466  # of one scale, as in the released code

# %% [markdown]
# Half a second and a kilohertz at one end: melody. A few hundredths of a second and all frequencies
# at the other: attacks. Five judges, small ones, with one pair of glasses each.
#
# ## The way back
#
# Nothing new happens. Output $(t, f)$ read input $(t s_t + k d_t,\; f s_f + m d_f)$ through
# $w_{k,m}$, so $dy$ goes back there through $w_{k,m}^\mathsf{T}$; windows overlap, so what arrives
# adds up:
#
# $$ dx_{b,\tau,\varphi,i} =
#    \sum_{\substack{t,k:\; t s_t + k d_t = \tau \\ f,m:\; f s_f + m d_f = \varphi}} \;\sum_o
#    dy_{b,t,f,o}\; w_{k,m,i,o} \qquad\qquad
#    dw_{k,m,i,o} = \sum_{b,t,f} x_{b,\;t s_t + k d_t,\; f s_f + m d_f,\; i}\; dy_{b,t,f,o} $$
#
# The zeros around $x$ get gradients too. Nobody asked for those: they are cut off.
#
# ### Exercise 2
#
# `saved` is `(padded, w)`, with `padded` (B, T + 2 pt, F + 2 pf, Ci): x with its zeros.

# %%
@exercise
def conv2d_backward(dy, saved, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    """dy (B,To,Fo,Co) -> dx (B,T,F,Ci), dw (Kt,Kf,Ci,Co). saved: (padded, w)."""
    raise NotImplementedError


check(conv2d_backward)

# %%
options = {"stride": (1, 2), "dilation": (2, 1), "padding": (2, 4)}  # as in the third layer
x, w = rng.normal(size=(2, 9, 17, 2)), rng.normal(size=(3, 9, 2, 3))
y, saved = library_forward(x, w, **options)
dy = rng.normal(size=y.shape)
dx, dw = conv2d_backward(dy, saved, **options)
np.testing.assert_allclose(np.vdot(y, dy), np.vdot(x, dx))  # the adjoint, once in x
np.testing.assert_allclose(np.vdot(y, dy), np.vdot(w, dw))  # and once in w

# %% [markdown]
# ## The judge's loss
#
# $D$ gives a number, a *logit*, for every patch of the plane: large for "a recording". One could
# ask for +1 and −1, as squares of the distance. But then an opinion of +3 on a recording would be
# punished for being too right. The **hinge** loss asks for a margin and then lets go:
#
# $$ L_D = \mathrm{mean}\,\max(0,\, 1 - D(x)) \;+\; \mathrm{mean}\,\max(0,\, 1 + D(\hat x)) $$
#
# Where $D(x) < 1$ the slope is −1: say more. Where it is above, 0: good enough, look at the harder
# cases. For decodings the same, mirrored. (At the edge itself there are two slopes; either will
# do.)
#
# ### Exercise 3

# %%
@exercise
def hinge_backward(real, fake):
    """real (*r), fake (*f) -> dreal (*r), dfake (*f): the gradients of L_D.

    real: logits D(x) of recordings, fake: logits D(x̂) of decodings. Two means, each over its own
    entries.
    """
    raise NotImplementedError


check(hinge_backward)

# %%
real, fake = (Tensor(2 * rng.normal(size=(2, 5, 4, 1)), requires_grad=True) for _ in range(2))
both = hinge_backward(real.data, fake.data), grad(discriminator_loss([real], [fake]), [real, fake])
for own, theirs in zip(*both, strict=True):
    np.testing.assert_allclose(own, theirs)

logits = np.linspace(-3, 3, 200)
axes = panels(height=2.6)
axes.plot(logits, np.maximum(0, 1 - logits), lw=5, alpha=0.4,
         label="judge, of a recording: max(0, 1 − D)")
axes.plot(logits, np.maximum(0, 1 + logits), label="judge, of a decoding: max(0, 1 + D)")
axes.plot(logits, np.maximum(0, 1 - logits), "C3--",
         label="decoder, of its decoding: max(0, 1 − D) again")
axes.set(xlabel="logit D of a patch", ylabel="loss")
axes.legend()
plt.show()

# %% [markdown]
# The decoder wants the opposite of its judge: $L_G = \mathrm{mean}\,\max(0, 1 - D(\hat x))$. The
# gradient runs through all of $D$, as through any operator, and on through the STFT (chapter 10) to
# the samples: "*here*, at 0.3 s and 5 kHz, you are found out; this change would help". In its own
# step the judge must see $\hat x$ as a constant (`detach`), or its gradient would make the decoder
# worse.
#
# ## Show me what you saw
#
# A verdict says little: one number for a patch. But on its way to it, $D$ has computed five feature
# maps for each scale, and they hold what it takes to tell sounds apart. If all of them were alike
# for $x$ and $\hat x$, it could not tell. So a third loss asks the decoder to match them, layer by
# layer:
#
# $$ L_\text{feat} = \mathop{\mathrm{mean}}_l\;
#    \frac{\mathrm{mean}\,|D_l(x) - D_l(\hat x)|}{\mathrm{mean}\,|D_l(x)|} $$
#
# ### Exercise 4

# %%
@exercise
def feature_matching(real, fake):
    """real (a list of arrays, one a layer), fake (alike) -> L_feat, a number, of one scale.

    All means but the last are over all entries of a layer's feature map.
    """
    raise NotImplementedError


check(feature_matching)

# %%
real, fake = ([rng.normal(size=(2, 5, n, 3)) for n in (8, 4, 2)] for _ in range(2))
as_tensors = [[Tensor(layer) for layer in layers] for layers in (real, fake)]
expected = float(feature_matching_loss([as_tensors[0]], [as_tensors[1]]))
np.testing.assert_allclose(feature_matching(real, fake), expected)
grown = feature_matching([10 * layer for layer in real], [10 * layer for layer in fake])
np.testing.assert_allclose(grown, feature_matching(real, fake))

# %% [markdown]
# Why divide? The judge is free to make its features ten times larger: with the next layer's weights
# ten times smaller, its verdicts are the same. The second assertion says that this cannot disturb
# the decoder. Without the division (there are implementations that leave it out) the loss grows
# tenfold, and losses that explode in the first minutes of an adversarial training are what users
# report most.
#
# ## With and without
#
# Now let them play. A codec takes hours to train, so here is a decoder's task in miniature. A
# whisper has no pitch: it is noise, shaped by the mouth. We keep what lies below 3 kHz. A small
# network gets that, and noise to make something of (as loud as the sound that we kept is at each
# moment), and must add the rest of the spectrum. What lies there can be guessed roughly (how loud
# is it, and where?) but not sample by sample.
#
# Three trainings of the same network: with the time loss alone; with a mel loss beside it; with a
# discriminator beside it. The discriminator is small, one scale of 256 samples, and both players
# begin from scratch.

# %%
wav, rate = audio.read(data_folder() / "speech_en_5.flac")
whisper = wav[0] / np.sqrt(np.mean(wav[0] ** 2))  # RMS 1
frequencies = np.fft.rfftfreq(len(whisper), 1 / rate)
muffled = np.fft.irfft(np.where(frequencies < 3000, np.fft.rfft(whisper), 0), len(whisper))
muffled = muffled.astype(np.float32)
loudness = np.sqrt(np.convolve(muffled**2, np.ones(480) / 480, "same"))  # over 20 ms


class Restorer(Module):
    """Four convolutions: (B,T,2), the muffled sound and noise, -> (B,T,1)."""

    def __init__(self, rng, C=8):
        sizes = [(2, C, 9, 1), (C, C, 9, 4), (C, C, 9, 1), (C, 1, 15, 1)]
        self.convs = [
            Conv1d(Ci, Co, K, dilation=d, causal=False, rng=rng) for Ci, Co, K, d in sizes
        ]
        preserve_variance(self)

    def __call__(self, x):
        for conv in self.convs[:-1]:
            x = F.elu(conv(x))
        return self.convs[-1](x)


def train(kind, steps):
    """kind: "time", "mel" or "judge" -> the restored whisper (T), and the adversary."""
    rng = np.random.default_rng(0)
    network, mel = Restorer(rng), MelLoss(rate, (256, 512))
    optimizer = Adam(dict(network.named_parameters()), lr=4e-3, betas=(0.5, 0.9))
    adversary = Adversary(AdversaryConfig(windows=(256,), filters=4, lr=4e-3), seed=1)
    for _ in range(steps):
        at = rng.integers(0, len(whisper) - 4096, size=4)
        original = Tensor(np.stack([whisper[a : a + 4096, None] for a in at]))
        known = np.stack([muffled[a : a + 4096] for a in at])
        noise = rng.normal(size=known.shape) * np.stack([loudness[a : a + 4096] for a in at])
        restored = network(Tensor(np.stack([known, noise], axis=-1).astype(np.float32)))
        loss = F.l1_loss(restored, original)
        if kind == "mel":
            loss = loss + 0.3 * mel(original, restored)
        if kind == "judge":
            adversary.learn(original, restored)  # the judge's step, on the detached sound
            wishes = adversary.losses(original, restored)
            loss = loss + 3 * wishes["adversarial"] + 3 * wishes["feature"]
        for p, g in zip(network.parameters(), grad(loss, network.parameters()), strict=True):
            p.grad = g
        optimizer.step()
    noise = np.random.default_rng(5).normal(size=len(whisper)) * loudness
    whole = Tensor(np.stack([muffled, noise], axis=-1)[None].astype(np.float32))
    with no_grad():
        return network(whole).data[0, :, 0], adversary


LONG = False  # True: 1000 steps with the judge, 1 to 2 minutes
results = {"time loss": train("time", 120)[0], "time and mel loss": train("mel", 120)[0]}
results["time loss and judge"], adversary = train("judge", 1000 if LONG else 200)

# %%
def power_above(signal):
    """Energy between 3 and 11 kHz, in dB against that of the recording."""
    inside = (frequencies > 3000) & (frequencies < 11_000)
    energy = [(np.abs(np.fft.rfft(s))[inside] ** 2).sum() for s in (signal, whisper)]
    return 10 * np.log10(energy[0] / energy[1])


span = slice(6_000, 54_000)
figure, grid = plt.subplots(2, 2, figsize=(9, 5.6), sharex=True, sharey=True, layout="constrained")
for axes, (name, signal) in zip(
    grid.ravel(), ({"recording": whisper} | results).items(), strict=True
):
    title = f"{name}: {power_above(signal):+.0f} dB above 3 kHz"
    spectrogram(axes, 0.1 * signal[span], rate, title, window=512)
    axes.axhline(3, color="white", lw=0.6, ls="--")
    axes.label_outer()
    play(0.06 * signal[span], rate, name)
plt.show()
assert power_above(results["time loss"]) < -15
assert power_above(results["time loss"]) + 6 < power_above(results["time loss and judge"]) < 6

errors = {name: np.abs(signal - whisper).mean() for name, signal in results.items()}
for name, error in errors.items():
    print(f"{name:20s} mean |x - x̂| = {error:.2f}")
assert errors["time loss"] < errors["time loss and judge"]

# %% [markdown]
# By the time loss the first result is the best of the three. It is as dull as it was: what cannot
# be known is left out. The mel loss makes the network bolder. The judge makes it add what a whisper
# has, roughly where a whisper has it, and that *costs* in every measure that compares samples. Both
# players are clumsy still (it likes some bands too well); in a real training they play thousands of
# times longer. But the direction is clear, and so is a warning: a codec trained this way sounds
# better and measures worse, so do not choose by SI-SDR alone (chapter 18).

# %% [markdown]
# ## Your own judge
#
# At last a judge that runs on **your** `conv2d`, if both halves are right: it learns to tell the
# whisper from its muffled version, in forty steps.

# %%
with use("student" if "student" in OPS["conv2d"].pairs else "numba"):
    judge = Adversary(AdversaryConfig(windows=(128,), filters=4, lr=5e-3), seed=2)
    shares = []
    for _ in range(40):
        at = rng.integers(0, len(whisper) - 1024, size=4)
        recorded, dull = (
            Tensor(np.stack([s[a : a + 1024, None] for a in at])) for s in (whisper, muffled)
        )
        shares.append(judge.learn(recorded, dull)["accuracy"])
print("by", "your own conv2d" if "student" in OPS["conv2d"].pairs else "the library's")
print(f"patches judged rightly: {shares[0]:.0%} at first, {np.mean(shares[-5:]):.0%} at the end")
assert np.mean(shares[-5:]) > 0.6

# %% [markdown]
# What did it look at? Its logits form a picture: one verdict for each patch.

# %%
with no_grad():
    sounds = [Tensor(s[None, span, None]) for s in (whisper, muffled)]
    verdicts = [judge.discriminator(sound).logits[0].data[0, :, :, 0] for sound in sounds]
limit = max(np.abs(v).max() for v in verdicts)
axes = panels(2, 2.8, sharey=True)
for one, name, verdict in zip(axes, ("recording", "muffled"), verdicts, strict=True):
    picture = one.imshow(verdict.T, origin="lower", aspect="auto", extent=(0, 2, 0, 12),
                         cmap="RdBu", vmin=-limit, vmax=limit)
    one.set(title=f"{name}: mean logit {verdict.mean():+.2f}", xlabel="time / s")
axes[0].set_ylabel("frequency / kHz")
plt.colorbar(picture, ax=axes, label="logit: blue is real")
plt.show()
assert verdicts[0].mean() > 0 > verdicts[1].mean()

# %% [markdown]
# Blue wherever somebody whispers, red where somebody whispers without the top; in the pauses, where
# the two are alike, it says the same of both. It finds the muffled sound out below 3 kHz too: its
# patches reach far.

#
# That was quick, and it is the trouble with the game: judging is easier than making. A judge that
# is far ahead teaches little: whatever the decoder changes, it is found out. So the judge is held
# back: EnCodec's learns in two steps out of three.

# %% [markdown]
# ## Your codec: discriminators as classes
#
# A convolution with its activation, a discriminator at one scale, and the losses of both players. Their gradients are
# those that you have written above.

# %%
# The library's parts that the cells below may use; in my_codec, they use yours.
# `Tensor` is your codec's from here on: to go back up, run the imports at the top again.
from minicodec.course.my_codec.conv import weight_norm
from minicodec.course.my_codec.discriminator import conv2d_backward, conv2d_forward, feature_matching, hinge_backward
from minicodec.course.my_codec.losses import stft
from minicodec.course.my_codec.tensor import Tensor, parameter


# %%
@exercise
def conv2d(x, w, stride=(1, 1), dilation=(1, 1)):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co), Tensors, K odd -> y (B,ceil(T/st),ceil(F/sf),Co), a Tensor.

    (K - 1)·dilation // 2 zeros stand on each side. conv2d_backward sends gradients back.
    """
    raise NotImplementedError


check(conv2d)

# %%
@exercise
def leaky_relu(x):
    """x (a Tensor) -> y, a Tensor: x where x > 0, 0.2·x elsewhere."""
    raise NotImplementedError


check(leaky_relu)

# %%
@exercise
class Conv2d:
    """A convolution K = (Kt,Kf), Ci -> Co, with LeakyReLU unless it is the last: parameters weight_v (Kt,Kf,Ci,Co),
    weight_g (1,1,1,Co), the length of each output channel's weights, and bias (Co).
    """

    def __init__(self, Ci, Co, K, rng, stride=(1, 1), dilation=(1, 1), last=False):
        """weight_v: normal random numbers of rng; weight_g: all sqrt(2 / 1.04), for LeakyReLU's sake; bias: zeros."""
        raise NotImplementedError

    def __call__(self, x):
        """x (B,T,F,Ci) -> y (B,ceil(T/st),ceil(F/sf),Co), Tensors."""
        raise NotImplementedError


check(Conv2d)

# %%
@exercise
class Judge:
    """A discriminator at one scale: an STFT with windows of n_fft samples, and six convolutions, the list `convs`:

    3x9, 2 -> C
    three times 3x9, C -> C, stride 2 in frequency, dilation 1, 2 and 4 in time
    3x3, C -> C
    3x3, C -> 1, without LeakyReLU: the logits
    """

    def __init__(self, n_fft, C, rng):
        raise NotImplementedError

    def __call__(self, x):
        """x (B,T,1), a Tensor -> logits (B,To,F',1), a Tensor, and the five feature maps, a list of Tensors."""
        raise NotImplementedError


check(Judge)

# %%
@exercise
def discriminator_loss(real, fake):
    """real, fake: lists of logits, Tensors, one for each scale -> a Tensor of one number: the mean over the scales of

    mean max(0, 1 - real) + mean max(0, 1 + fake). hinge_backward sends gradients back.
    """
    raise NotImplementedError


check(discriminator_loss)

# %%
@exercise
def adversarial_loss(fake):
    """fake: a list of logits, Tensors, one for each scale -> a Tensor of one number: the mean of mean max(0, 1 - fake).

    Its gradient is the first of hinge_backward's.
    """
    raise NotImplementedError


check(adversarial_loss)

# %%
@exercise
def feature_loss(real, fake):
    """real (a list of arrays, one a layer), fake (a list of Tensors) -> a Tensor of one number, their feature_matching.

    Where entries are equal, the slope is 0.
    """
    raise NotImplementedError


check(feature_loss)

# %% [markdown]
# ## Exercises
#
# 1. `conv2d_forward`: one question at every place of a plane.
# 2. `conv2d_backward`: both gradients, without the padding's.
# 3. `hinge_backward`: good enough is enough.
# 4. `feature_matching`: what the judge saw, whatever its units.
#
# To think about: What would the decoder learn from the judge's verdict alone, without any loss that
# knows the original? Why may the judge see the phases (real and imaginary parts), if the ear hardly
# hears them? What happens to $L_G$ and its gradient when the judge says −5 of everything, and what
# happens to $L_D$?
#
# ## What the paper says
#
# The discriminator works on complex STFTs at five scales, with windows from 2048 to 128 samples at
# 24 kHz; kernels of 3 x 8, dilations 1, 2 and 4 in time, a stride of 2 in frequency; hinge losses
# for both players; feature matching relative to the mean size of the features; an update with
# probability 2/3 [Defossez22, §3.4]. The released code has kernels of 3 x 9, as here: an odd width
# has a middle. AudioCraft's has $-\mathrm{mean}\,D(\hat x)$ for the decoder and does not divide in
# the feature matching; both are options here.
#
# ## What to read next
#
# `minicodec/training/discriminator.py` and `adversarial.py`, a page each; then
# `minicodec/ops/conv2d.py`, where a spectrogram is written on one long line to make the convolution
# a matrix product. Then chapter 12: four losses pull at one decoder, and somebody has to balance
# them.
