# %% [markdown]
# # 19 Beyond EnCodec
#
# **You will be able to** read the papers that came after: you will have tried three of their ideas
# on something small, and seen in a curve what each of them buys.
#
# **Before you start**: chapters 7 and 8 (quantizers), chapter 2 (backwards).
#
# **Reading time**: 25 minutes, and half an hour for the exercises. The cells take some ten seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(19)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio, functional as F
from minicodec.backend import OPS, Op
from minicodec.codec.quantizer import ResidualVectorQuantizer
from minicodec.course import check, exercise, yours
from minicodec.course.show import panels
from minicodec.files import data_folder
from minicodec.gradcheck import check as gradcheck
from minicodec.nn.optim import Adam
from minicodec.ops.nearest_codeword import nearest_codeword_forward
from minicodec.tensor import Tensor, apply, grad

yours();

# %% [markdown]
# EnCodec is of 2022. What did its successors change? Mostly not the plan (a convolutional encoder,
# residual codes, a decoder, discriminators), but its weak spots: codewords that die, activations
# that know no periods, and codebooks that have to be learned at all. One experiment for each.
#
# ## 1 Directions instead of places
#
# Loudness varies by a factor of a thousand. Codewords that lie where the loud vectors are get
# chosen by the loud ones; all soft vectors crowd around zero and choose one and the same. The
# Descript Audio Codec (DAC) [Kumar23] therefore looks at *directions* only: both the vector and the
# codewords are divided by their lengths before they are compared (and it does that in a space of 8
# dimensions instead of 1024, "factorised" codes). On a sphere there is no far away.
#
# ### Exercise 1

# %%
@exercise
def nearest_direction(x, codebook):
    """x (n,D), codebook (N,D) -> codes (n): the codeword whose direction is nearest to that of x.

    Both are divided by their lengths (plus 1e-12) before they are compared. Ties go to the lowest
    index.
    """
    raise NotImplementedError


check(nearest_direction)

# %% [markdown]
# The test: pieces of 8 samples of speech, 256 codewords that start at random, moving averages as in
# chapter 7, and **no** revival of dead ones. How many are in use after a while?

# %%
def pieces(names, D=8):
    wavs = [audio.read(data_folder() / f"{name}.flac")[0][0] for name in names]
    x = np.concatenate([w[: len(w) // D * D].reshape(-1, D) for w in wavs]).astype(np.float64)
    return x[np.abs(x).max(axis=1) > 1e-3]


x = pieces(["speech_en_1", "speech_en_2", "speech_de_1"])


def in_use(directions, start="random", updates=120):
    """Learn 256 codewords -> share of them that 4000 vectors use, along the way."""
    rng = np.random.default_rng(0)
    codebook = 0.3 * rng.normal(size=(256, x.shape[1]))
    if start == "vectors":
        codebook = x[rng.choice(len(x), 256)].copy()
    counts, sums, used = np.ones(256), codebook.copy(), []
    for update in range(updates):
        batch = x[rng.choice(len(x), 1000)]
        if directions:
            batch = batch / np.linalg.norm(batch, axis=1, keepdims=True)
        nearest = (
            nearest_direction if directions else lambda b, c: nearest_codeword_forward(b, c)[0]
        )
        codes = nearest(batch, codebook)
        counts = 0.95 * counts + 0.05 * np.bincount(codes, minlength=256)
        sums *= 0.95
        np.add.at(sums, codes, 0.05 * batch)
        codebook = sums / (counts[:, None] + 1e-5)
        if update % 5 == 0:
            used.append(len(set(nearest(x[:4000], codebook).tolist())) / 256)
    return used


curves = {"places": in_use(False), "directions": in_use(True)}
curves["places, started on vectors of the data"] = in_use(False, start="vectors")
axes = panels(height=3)
for name, used in curves.items():
    axes.plot(np.arange(len(used)) * 5, 100 * np.array(used), label=name)
axes.set(
    xlabel="update",
    ylabel="codewords in use / %",
    title="Nobody is revived; who survives?",
    ylim=(0, None),
)
axes.legend()
plt.show()
print({name: f"{used[-1]:.0%}" for name, used in curves.items()})
assert curves["directions"][-1] > 1.3 * curves["places"][-1]
assert curves["places, started on vectors of the data"][-1] > 1.3 * curves["places"][-1]

# %% [markdown]
# The third curve is there for fairness. The random codewords are longer than most vectors: from so
# bad a start, places do not recover, and directions do not care. Started on vectors of the data,
# places do as well. So what directions buy is that a start, and a loudness, cannot be wrong;
# k-means and revival (chapter 7) are the other way to get there.
#
# A price comes with it: the length must be sent in another way. DAC leaves it to the network around
# the codebook: a linear map down to 8 dimensions and one back up.
#
# ## 2 An activation that knows periods
#
# ELU and its relatives are straight lines far out. A network of them can imitate a period where it
# was trained, but not continue it. Sound is periods. **Snake** [Ziyin20], used in BigVGAN and in
# DAC, is a line with a wave on it, whose frequency is learned:
#
# $$ y = x + \frac{1}{\alpha} \sin^2(\alpha x) $$
#
# It rises everywhere (its slope, $1 + \sin 2\alpha x$, is never negative), so it can replace an
# ELU. Its backward has two results: $dx$, and $d\alpha$, which all frames of a channel share.
#
# ### Exercise 2
#
# This is a new operator: the library does not have it. Derive both.

# %%
@exercise
def snake_backward(dy, saved):
    """dy (n,C) -> dx (n,C), dalpha (C), the gradients of y = x + sin²(alpha x) / alpha. saved: (x,
    alpha)."""
    raise NotImplementedError


check(snake_backward)

# %%
def snake_forward(x, alpha):
    """x (n,C), alpha (C) -> y (n,C)."""
    return x + np.sin(alpha * x) ** 2 / alpha, (x, alpha)


OPS.pop("snake", None)  # if this cell runs a second time
snake = Op("snake", snake_forward, snake_backward)  # that is all it takes
rng = np.random.default_rng(0)
gradcheck(
    (snake_forward, snake_backward), [rng.normal(size=(4, 3)), rng.uniform(0.5, 2, size=3)], {}, rng
)


def continue_a_wave(activation, steps=1200):
    """Fit sin(t) for t in [-6, 6] with a small network -> its curve on [-15, 15], and the errors
    inside and outside."""
    rng = np.random.default_rng(1)
    t = np.linspace(-15, 15, 400)[:, None]
    inside = np.abs(t[:, 0]) < 6
    p = {
        "w1": Tensor(rng.normal(size=(1, 24)), True), "b1": Tensor(rng.normal(size=24), True),
        "w2": Tensor(0.2 * rng.normal(size=(24, 1)), True), "b2": Tensor(np.zeros(1), True),
        "alpha": Tensor(np.full(24, 0.7), True),
    }  # fmt: skip
    optimizer = Adam(p, lr=0.01)

    def network(t):
        h = F.linear(t, p["w1"]) + p["b1"]
        h = apply(snake, h, p["alpha"]) if activation == "Snake" else F.elu(h)
        return F.linear(h, p["w2"]) + p["b2"]

    for _ in range(steps):
        loss = ((network(t[inside]) - np.sin(t[inside])) ** 2).mean()
        for parameter, g in zip(p.values(), grad(loss, list(p.values())), strict=True):
            parameter.grad = g
        optimizer.step()
    curve = network(t).data[:, 0]
    near = (np.abs(t[:, 0]) > 6) & (np.abs(t[:, 0]) < 10)
    return t[:, 0], curve, float(loss), np.mean((curve - np.sin(t[:, 0]))[near] ** 2)


axes = panels(height=3)
outside = {}
for activation in ("ELU", "Snake"):
    t, curve, error, outside[activation] = continue_a_wave(activation)
    axes.plot(
        t,
        curve,
        label=f"{activation}: error inside {error:.4f}, just outside {outside[activation]:.2f}",
    )
axes.plot(t, np.sin(t), color="black", lw=0.7, label="the wave")
axes.axvspan(-6, 6, color="grey", alpha=0.15)
axes.set(
    ylim=(-3, 3),
    xlabel="t / rad",
    ylabel="amplitude",
    title="Trained in the grey part; continued outside",
)
axes.legend(loc="upper center")
plt.show()
assert outside["Snake"] < 0.5 * outside["ELU"]

# %% [markdown]
# ## 3 No codebook at all
#
# Finite scalar quantization [Mentzer23] throws the codebook away. Let the encoder give few numbers,
# squeeze each to a range by tanh, and *round*. With levels (7, 5, 5, 5, 5) there are 4375
# combinations: 12 bits, and nothing to initialise, to average, to revive or to die. The gradient
# passes straight through, as in chapter 8.
#
# ### Exercise 3

# %%
@exercise
def fsq(x, levels):
    """x (n,D), levels (D), odd whole numbers -> y (n,D), codes (n): finite scalar quantization.

    Squeeze each dimension to between -(L-1)/2 and (L-1)/2 by (L-1)/2 · tanh(x), round to whole
    numbers; y is that divided by (L-1)/2, so from -1 to 1. The code is the whole numbers, shifted
    to 0 … L - 1, as digits of one number: the first dimension is the lowest digit (weight 1), the
    second has weight levels[0], the third levels[0]·levels[1].
    """
    raise NotImplementedError


check(fsq)

# %% [markdown]
# Chapter 8's little autoencoder again: 8 samples to 4 numbers and back, with 10 bits in between.
# Once with two residual codebooks of 32 entries, once with FSQ of (7, 5, 5, 5), which is 9.8 bits.

# %%
def learn(kind, steps=400):
    rng = np.random.default_rng(0)
    encoder, decoder = (
        Tensor(0.4 * rng.normal(size=s).astype(np.float32), True) for s in ((8, 4), (4, 8))
    )
    quantizer, levels = ResidualVectorQuantizer(2, 32, 4, rng=rng), np.array([7, 5, 5, 5])
    optimizer, losses, seen = Adam({"e": encoder, "d": decoder}, lr=0.01), [], []
    for _ in range(steps):
        batch = (10 * x[rng.choice(len(x), 256)]).astype(np.float32)
        latent = F.linear(Tensor(batch[None]), encoder)
        if kind == "residual codebooks":
            out = quantizer(latent, 2, rng)
            z, extra = out.z, 0.1 * out.commitment
            codes = (
                out.codes[0, 0] * 32 + out.codes[0, 1] if out.codes.shape[1] == 2 else np.zeros(0)
            )
        else:
            y, codes = fsq(latent.data[0], levels)
            z, extra = F.straight_through(F.tanh(latent), y[None].astype(np.float32)), 0.0
        loss = ((F.linear(z, decoder) - batch[None]) ** 2).mean()
        encoder.grad, decoder.grad = grad(loss + extra, [encoder, decoder])
        optimizer.step()
        losses.append(float(loss))
        seen.append(codes)
    return losses, len(set(np.concatenate(seen[-100:]).tolist()))


axes = panels(height=3)
final = {}
for kind in ("residual codebooks", "FSQ"):
    losses, different = learn(kind)
    final[kind] = np.mean(losses[-50:])
    axes.semilogy(
        np.convolve(losses, np.ones(10) / 10, mode="valid"),
        label=f"{kind}: {different} different codes used",
    )
axes.set(xlabel="step", ylabel="mean squared error")
axes.legend()
plt.show()
print({kind: f"{error:.4f}" for kind, error in final.items()})
assert max(final.values()) < 0.7 * np.mean((10 * x) ** 2)  # both learn

# %% [markdown]
# (The first steps of the codebooks' curve are not quantized: they wait for k-means.) Which one ends
# lower depends on the data and on how long one trains. FSQ needs no care at all; codebooks can lie
# where the vectors are, and FSQ must bring the vectors to where its grid is, by way of an encoder
# strong enough to bend space. A matrix is not.
#
# ## And further
#
# - **Mimi** (2024) makes frames six times as long, puts a Transformer on either side of the
#   quantizer, and lets the first codebook say *what* is spoken, so that language models can talk. A
#   share of its training batches is not quantized at all.
# - **DAC** (2023) judges with discriminators on several periods and bands, and puts Snake where
#   EnCodec has ELU.
# - **Diffusion decoders** give up on the waveform altogether and make up one that fits the codes.
#
# All of them still have chapters 2 to 13 inside.
#
# ## Exercises
#
# 1. `nearest_direction`: on the sphere.
# 2. `snake_backward`: an operator of your own.
# 3. `fsq`: rounding, and digits.
#
# To think about: Put Snake into `minicodec/codec/seanet.py` in place of ELU: what must change in
# checkpoints? Why are odd levels simpler to write? How would residual FSQ work, and why does it
# need a scale for each level?
#
# ## What the paper says
#
# EnCodec [Defossez22] has none of this. Its §3.2 mentions the trouble that directions and FSQ
# address: entries that fall out of use must be replaced by hand. Its activations are ELU
# [Defossez22, §3.1].
#
# ## What to read next
#
# [Kumar23] *High-Fidelity Audio Compression with Improved RVQGAN*; [Ziyin20] *Neural Networks Fail
# to Learn Periodic Functions and How to Fix It*; [Mentzer23] *Finite Scalar Quantization: VQ-VAE
# Made Simple*. You can read them now.
