# %% [markdown]
# # 6 SEANet: the parts become a network
#
# **You will be able to** say what every layer of the codec's encoder and decoder is for, count its
# weights without running it, take a gradient through a weight that has been split into length and
# direction, and show that the whole network can learn: one second of speech, by heart.
#
# **Before you start**: chapters 3 to 5.
#
# **Reading time**: 40 minutes, and an hour for the exercises. The cells take about half a minute,
# nearly all of it in the two trainings at the end.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(6)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio, functional as F, tensor
from minicodec.backend import use
from minicodec.codec import seanet
from minicodec.codec.config import preset
from minicodec.codec.model import Codec
from minicodec.course import check, exercise, yours
from minicodec.course.show import panels, play, source, spectrogram
from minicodec.files import data_folder
from minicodec.metrics import si_sdr
from minicodec.nn.optim import Adam
from minicodec.ops.weight_norm import weight_norm_backward as library_backward
from minicodec.training.initial import initialise_codec, preserve_variance
from minicodec.training.losses import MelLoss

yours();
rng = np.random.default_rng(0)

# %% [markdown]
# ## The idea: less time, more channels
#
# A second of sound is 24 000 numbers that mean little one by one. We want 75 vectors that mean a
# lot: 13 ms of sound each. An encoder gets there in small steps. Each step looks at a few frames,
# mixes them, keeps every second (fourth, fifth, eighth) answer, and doubles the number of channels,
# so that what is lost in time can be kept side by side. The decoder is the same in a mirror: fewer
# channels, more time, until there is one channel with 24 000 samples a second again.
#
# The two together are called SEANet. Here is the encoder's whole construction. `_conv` is a causal
# convolution with weight norm, and `in_turn` calls one layer after the other. Two parts are new,
# the residual unit and weight norm; the next sections explain them.

# %%
source(seanet.Encoder)

# %% [markdown]
# Send a second through both and write down what comes out of each layer.

# %%
config = seanet.SEANetConfig()  # of EnCodec at 24 kHz
networks = [seanet.Encoder(1, config, rng=rng), seanet.Decoder(1, config, rng=rng)]
wav, rate = audio.read(data_folder() / "speech_en_1.flac")
mono = wav.mean(axis=0).astype(np.float32)
second = mono[None, 24_000:48_000, None]  # (B,T,C) = (1, 24000, 1)

MATRICES = "weight_v", "weight_ih", "weight_hh"  # what is multiplied with: no biases, no norms
stations, x = [("sound", 24_000, 1, 0, 0)], tensor.Tensor(second)
with tensor.no_grad():
    for network in networks:
        for layer in network.layers:
            kind, T, x = type(layer).__name__, x.shape[1], layer(x)
            found = layer.named_parameters()
            weights = sum(p.data.size for name, p in found if name.endswith(MATRICES))
            times = T if kind == "ConvTranspose1d" else x.shape[1]
            stations.append((kind, x.shape[1], x.shape[2], weights, weights * times))

print("layer             frames/s  channels   numbers/s    weights   products/s")
for name, frames, channels, weights, products in stations:
    if name != "ELU":  # which changes no shape, and has no weights
        print(
            f"{name:16}{frames:10}{channels:10}{frames * channels:12}{weights:11}"
            f"{products / 1e6:11.0f} M"
        )
assert x.shape == second.shape

# %% [markdown]
# 24 000 numbers become 75 · 128 = 9 600. That is not yet the compression (chapters 7 and 8 do
# that); it is the same sound in a form in which compression is easy.
#
# Where is the work, and where are the weights? A convolution uses each of its weights once for
# every frame that it writes (a transposed one: for every frame that it reads). So the few weights
# of the outer layers are used 24 000 times a second, and the many of the LSTM 75 times: it has more
# than half of the weights, and a fifth of the work.

# %%
shown = [s for s in stations if s[3]]
numbers = np.array([s[3:] for s in shown], float)
names = [f"{name} → {frames}/s × {channels}" for name, frames, channels, _, _ in shown]
half = len(shown) // 2
axes = panels(2, 4.8, sharey=True)
for ax, column, title in [
    (axes[0], 0, "weights / millions"),
    (axes[1], 1, "products per second / millions"),
]:
    colours = ["C0"] * half + ["C1"] * (len(shown) - half)
    ax.barh(np.arange(len(shown)), numbers[:, column] / 1e6, color=colours)
    ax.set(xlabel=title)
axes[0].set_yticks(np.arange(len(shown)), names, fontsize=7)
axes[0].invert_yaxis()
axes[0].set_title("encoder (blue), decoder (orange): weights")
axes[1].set_title("the same layers: work")
plt.show()
lstm = np.array(["LSTM" in name for name in names])
assert numbers[lstm, 0].sum() > 0.5 * numbers[:, 0].sum()
assert numbers[lstm, 1].sum() < 0.25 * numbers[:, 1].sum()
print(f"per second of sound: {numbers[:half, 1].sum() / 1e9:.2f} billion products in the encoder")

# %% [markdown]
# ## The residual unit: change a little
#
# Before each stride stands a residual unit. It does not replace its input, it adds to it:
#
# $$ y = \text{shortcut}(x) + [\text{ELU} \to \text{conv}_{K=3},\, C \to C/2 \;\to\; \text{ELU} \to
#    \text{conv}_{K=1},\, C/2 \to C](x) $$
#
# The shortcut is $x$ itself, or a convolution with K = 1; C is the number of channels.
#
# Why add? Think of the gradient. Through twenty layers it is multiplied by twenty matrices, and you
# have seen in chapter 5 what becomes of that. Along a sum it passes as it is: $dx = dy + \ldots$ A
# unit whose convolutions do nothing yet does no harm, either: what is there already goes through.
# (The middle of the unit has half the channels: that is cheaper, and it forces the unit to say in
# few numbers what it wants to change.)
#
# **ELU** is $a$ where $a > 0$, and $e^a - 1$ elsewhere. Without something that is not linear, twenty
# convolutions would be one convolution. ELU has no kink at 0 (its slope there is 1 from both
# sides), and it is never quite flat, so a unit that is negative everywhere can still learn.
#
# ### Exercise 1
#
# The unit with the shortcut $x$ itself (the published models have a convolution K = 1 there), and
# without biases. Write it in NumPy alone, or with `F.elu(x).data` and `F.conv1d(x, w).data`, which
# pads nothing. Causal means: the two frames of padding stand on the left.

# %%
@exercise
def residual_unit(x, w3, w1):
    """x (B,T,C), w3 (3,C,H), w1 (1,H,C) -> y (B,T,C): x + [ELU, causal conv with w3, ELU, conv
    with w1](x).

    No biases, zeros as padding. ELU(a) = a for a > 0, exp(a) - 1 elsewhere.
    """
    raise NotImplementedError


check(residual_unit)

# %%
unit = seanet.ResidualUnit(6, seanet.SEANetConfig(shortcut="identity", norm="none"), 1, rng=rng)
first, second_conv = unit.block[1], unit.block[3]
for conv in (first, second_conv):
    conv.bias.data[...] = 0
x = rng.normal(size=(2, 9, 6)).astype(np.float32)
mine = residual_unit(x, first.weight.data, second_conv.weight.data)
np.testing.assert_allclose(mine, unit(tensor.Tensor(x)).data, atol=1e-5)
print("the library's unit gives the same")

# %% [markdown]
# ## Weight norm: length and direction apart
#
# Each output channel of a convolution has a vector of K·Ci weights. That vector has a *direction*:
# what the channel looks for. And it has a *length*: how loud the channel answers. Plain gradient
# descent moves both at once, with one step size, and they get into each other's way: a long vector
# takes a larger step than a short one to turn by the same angle.
#
# Weight norm learns them apart: a vector $v$, of which only the direction counts, and a length $g$.
#
# $$ w = g\,\frac{v}{\|v\|}, \qquad
#    \|v\| = \sqrt{\textstyle\sum v^2} \;\text{ for each output channel on its own} $$
#
# ### Exercise 2
#
# Each entry along `axis` has a length of its own. For the weight (K,Ci,Co) of a convolution, `axis`
# is 2, and g has the shape (1,1,Co). (For a transposed convolution it is 1: the published weights
# were made so.)

# %%
@exercise
def weight_norm_forward(v, g, *, axis):
    """v (*v), g (*g) -> w (*v) = g v / ‖v‖, with the norm over all axes but `axis`.

    g has the shape of v with 1 everywhere but at `axis`, which may be counted from the end (-1).
    """
    raise NotImplementedError


check(weight_norm_forward)

# %% [markdown]
# ## Its backward, derived
#
# $dw$ arrives. Look at one channel, and call the direction $u = v/\|v\|$, so that $w = g\,u$. Move
# $g$ by $\delta g$: $w$ moves by $\delta g\,u$, and the loss by $\langle dw, u\rangle\,\delta g$.
# That is the first gradient:
#
# $$ dg = \langle dw, u\rangle $$
#
# Now move $v$ by $\delta v$. The part of $\delta v$ along $u$ makes $v$ longer and changes nothing.
# Only the rest turns it, and the longer $v$ is, the less: $\delta u = (\delta v - u\,\langle u,
# \delta v\rangle)\,/\,\|v\|$. So the loss moves by
#
# $$ \langle dw,\; g\,\delta u\rangle \;=\; \tfrac{g}{\|v\|}\,\bigl(\langle dw, \delta v\rangle
#    - \langle dw, u\rangle\langle u, \delta v\rangle\bigr)
#    \;=\; \bigl\langle\, \tfrac{g}{\|v\|}\,(dw - dg\,u),\; \delta v \,\bigr\rangle $$
#
# and, as in chapter 3, what stands beside $\delta v$ is the second gradient:
#
# $$ dv = \frac{g}{\|v\|}\,\bigl(dw - dg\;u\bigr) $$
#
# In words: $dw$ is cut into two parts. The part along $u$ belongs to the length, the part across
# $u$ to the direction.
#
# ### Exercise 3
#
# `saved` is `(direction, length, g, others)`: $u$, with the shape of v; $\|v\|$, with the shape of
# g; g; and the tuple of all axes but `axis`, over which sums go.

# %%
@exercise
def weight_norm_backward(dw, saved, *, axis):
    """dw (*v) -> dv (*v), dg (*g). saved: (direction (*v), length (*g), g (*g), the axes to sum
    over)."""
    raise NotImplementedError


check(weight_norm_backward)

# %% [markdown]
# When yours is right, compare it with `source(library_backward)`.
#
# Two things follow from the formula. First, $dv$ stands at a right angle to $v$ (left picture). So
# a step of gradient descent, of size $\eta$, always makes $v$ *longer*: $\|v - \eta\,dv\|^2 =
# \|v\|^2 + \eta^2\|dv\|^2$. Second, a $v$ that is twice as long gets a gradient half as long, and
# turns by a quarter of the angle (right picture: three lengths of $v$, one goal).

# %%
v, g = np.array([[1.6], [0.9]]), np.array([[1.0]])  # two weights of one channel: axis 1
dw = np.array([[-0.2], [1.1]])


def split(v):
    """dv and dg of one channel's weights v (2,1)."""
    length = np.sqrt((v**2).sum(axis=0, keepdims=True))
    return weight_norm_backward(dw, (v / length, length, g, (0,)), axis=1)


dv, dg = split(v)
u = v / np.sqrt((v**2).sum())
assert abs(np.vdot(dv, v)) < 1e-12
np.testing.assert_allclose(split(2 * v)[0], dv / 2)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2))
circle = np.linspace(0, 2 * np.pi, 200)
left.plot(np.cos(circle), np.sin(circle), color="lightgrey", label="all w of length g = 1")
arrow = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.008}
zero = np.zeros((2, 1))
arrows = [
    (zero, v, "grey", "v"),
    (zero, u, "black", "w"),
    (u, dw, "C3", "dw"),
    (u, dg * u, "C0", "its part along u: dg"),
    (u, dw - dg * u, "C2", "its part across u: for dv"),
]
for start, along, colour, name in arrows:
    left.quiver(*start[:, 0], *along[:, 0], color=colour, label=name, **arrow)
left.set(xlim=(-1.3, 2), ylim=(-1.3, 2), aspect="equal", title="dw, cut in two")
left.set(xlabel="weight 1", ylabel="weight 2")
left.legend(fontsize=7, loc="upper left")

goal = np.array([[0.0], [1.0]])  # L = |w - goal|² / 2
for size in (1, 2, 4):
    v_now, angles, lengths = size * np.array([[1.0], [0.0]]), [], []
    for _ in range(60):
        length = np.sqrt((v_now**2).sum(axis=0, keepdims=True))
        direction = v_now / length
        angles.append(np.degrees(np.arccos(np.clip((direction * goal).sum(), -1, 1))))
        lengths.append(length.item())
        step = weight_norm_backward(g * direction - goal, (direction, length, g, (0,)), axis=1)
        v_now = v_now - 0.1 * step[0]
    assert (np.diff(lengths) >= 0).all()
    right.plot(angles, label=f"‖v‖ = {size} at the start")
right.set(xlabel="step of gradient descent", ylabel="angle to the goal / degrees", ylim=(0, 130))
right.set_title("A long v turns slowly")
right.legend(loc="upper right")
plt.tight_layout()
plt.show()

# %% [markdown]
# So the length of $v$ sets the learning rate of the direction: the longer $v$ grows, the slower it
# turns. (With Adam, chapter 13, steps are about equally long whatever the gradient; there, too,
# what counts is the step against the length of $v$.)
#
# ## Count the weights
#
# How large is the encoder? One can ask the program. But whoever can count it by hand has understood
# the construction.
#
# ### Exercise 4

# %%
@exercise
def encoder_parameters(filters, latent, strides, lstm_layers):
    """filters, latent, strides (a tuple), lstm_layers -> n: how many numbers an encoder for mono
    sound learns.

    A convolution K, Ci -> Co with weight norm: K·Ci·Co for v, Co for g, Co for the bias.
    An LSTM layer of H channels: two matrices (H,4H) and one bias (4H).

    The layers, with C = filters at first:
        convolution K = 7, 1 -> C
        for each stride: a residual unit, then a convolution K = 2·stride, C -> 2·C, and C doubles
            (the unit: convolutions K = 3, C -> C//2; K = 1, C//2 -> C; shortcut: K = 1, C -> C)
        lstm_layers LSTM layers of C channels
        convolution K = 7, C -> latent
    """
    raise NotImplementedError


check(encoder_parameters)

# %%
counted = encoder_parameters(32, 128, (2, 4, 5, 8), 2)
assert counted == sum(p.data.size for p in networks[0].parameters())
print(
    f"{counted / 1e6:.2f} million in the encoder, "
    f"of which the LSTM has {2 * 8 * 512**2 / 1e6:.2f} million"
)

# %% [markdown]
# ## Do all the gradients fit together?
#
# Every layer's backward has been tested on its own. The whole is the next question: is the gradient
# of a loss with respect to *all* weights of encoder and decoder right? To test each weight would
# take a day. But one random direction is a strong test. Move all weights at once, by
# $\epsilon\,\delta$, with a small $\epsilon$ and random numbers $\delta$: the loss must move by
# $\epsilon\,\langle \text{gradient}, \delta\rangle$.

# %%
small = seanet.SEANetConfig(filters=4, latent=6, strides=(2, 4), lstm_layers=1)
encoder, decoder = seanet.Encoder(1, small, rng=rng), seanet.Decoder(1, small, rng=rng)
learned = encoder.parameters() + decoder.parameters()
for p in learned:
    p.data = p.data.astype(np.float64)  # the differences are too small for float32
noise = tensor.Tensor(rng.normal(size=(2, 50, 1)))
dy = rng.normal(size=(2, 56, 1))  # 7 frames of 8 samples come back
delta = [rng.normal(size=p.shape) for p in learned]


def loss_at(eps):
    """<decoder(encoder(noise)), dy>, with all weights moved by eps·delta."""
    for p, d in zip(learned, delta, strict=True):
        p.data = p.data + eps * d
    result = (decoder(encoder(noise)) * dy).sum()
    for p, d in zip(learned, delta, strict=True):
        p.data = p.data - eps * d
    return result


by_differences = (float(loss_at(1e-6)) - float(loss_at(-1e-6))) / 2e-6
found = tensor.grad(loss_at(0), learned)
by_gradients = sum(np.vdot(g, d) for g, d in zip(found, delta, strict=True))
print(sum(p.data.size for p in learned), "weights, all moved at once")
print(f"by differences {by_differences:.8f}, by gradients {by_gradients:.8f}")
np.testing.assert_allclose(by_gradients, by_differences, rtol=1e-5)

# %% [markdown]
# ## Where to begin
#
# An untrained network must be able to *hear*: two different sounds must give two different outputs,
# or there is nothing to learn from. What does an output of a convolution look like at the start? It
# is a sum of n = K·Ci products. If the inputs are about independent and each has power $\sigma^2$,
# the sum has power $\sigma^2 \sum w^2$. PyTorch draws weights from $\pm 1/\sqrt{n}$, uniformly:
# each has a mean square of $1/(3n)$, so the sum of n squares is $1/3$. **Every convolution loses two
# thirds of the power.** The biases keep theirs: after many layers, nothing but biases is left.
#
# The cure is one line: scale the weights so that the squares sum to 1. Weight norm makes that easy:
# it is a matter of $g$.

# %%
codecs = {
    name: Codec(preset("tiny_24khz"), seed=0) for name in ("PyTorch's weights", "power preserved")
}
initialise_codec(codecs["power preserved"])
other = mono[None, 96_000:120_000, None]

axes = panels(height=3.2)
left_over = {}
for name, codec in codecs.items():
    a, b, heard = tensor.Tensor(second), tensor.Tensor(other), []
    with tensor.no_grad():
        for layer in codec.encoder.layers + codec.decoder.layers:
            a, b = layer(a), layer(b)
            heard.append(np.sqrt(((a.data - b.data) ** 2).mean()))
    axes.semilogy(heard, ".-", label=name)
    left_over[name] = heard[-1]
axes.axvline(len(codec.encoder.layers) - 0.5, color="grey", lw=0.8)
axes.set(
    xlabel="layer (right of the line: decoder)",
    ylabel="RMS of the difference",
    title="What is left of the difference between two sounds, before training",
)
axes.legend()
plt.show()
first_conv = codecs["PyTorch's weights"].decoder.layers[0].effective_weight().data
assert abs((first_conv**2).sum(axis=(0, 1)).mean() - 1 / 3) < 0.05
assert left_over["power preserved"] > 100 * left_over["PyTorch's weights"]

# %% [markdown]
# (The last layer is made ten times weaker on purpose: sound has an RMS of about 0.1, and a decoder
# that starts by shouting has to unlearn that first.) `source(preserve_variance)` shows how it is
# done.
#
# ## One second, by heart
#
# Before one trains a network on hours, one lets it learn a single second, without a quantizer. It
# must succeed. If it does not, something is broken, and hours of data would only hide that. It is
# the cheapest test of a network that there is.
#
# The loss has two parts: the mean absolute difference of the waves, and a little of the difference
# of their spectrograms (chapter 10 is about those). Adam (chapter 13) makes the steps. We do it
# twice, from both beginnings.

# %%
LONG = False  # True: 600 steps, not 60, in 2 to 5 minutes; both reach over 20 dB
mel = MelLoss(rate, (256, 1024))


def by_heart(codec, x, steps):
    """Teach encoder and decoder the sound x (1,T,1) -> SI-SDR in dB at each step, and the last
    output (1,T,1)."""
    learned = dict(codec.named_parameters())  # without the codebooks
    optimizer = Adam(learned, lr=2e-3, betas=(0.5, 0.9))
    original, curve = tensor.Tensor(x), []
    for _ in range(steps):
        decoded = codec.decoder(codec.encoder(original))
        loss = 50 * F.l1_loss(decoded, original) + 0.1 * mel(original, decoded)
        found = tensor.grad(loss, list(learned.values()))
        for p, g in zip(learned.values(), found, strict=True):
            p.grad = g
        optimizer.step()
        curve.append(float(si_sdr(x[..., 0], decoded.data[..., 0])[0]))
    return np.array(curve), decoded.data


results = {name: by_heart(codec, second, 600 if LONG else 60) for name, codec in codecs.items()}

# %%
axes = panels(height=3)
for name, (curve, _) in results.items():
    axes.plot(np.maximum(curve, -30), label=name)
axes.axhline(0, color="grey", lw=0.8)
axes.set(
    xlabel="step",
    ylabel="SI-SDR / dB (from -30 on)",
    title="One second of speech, learned by heart (0 dB: half of the output's power is error)",
)
axes.legend()
plt.show()
assert results["power preserved"][0][-5:].mean() > 5
assert results["power preserved"][0][-5:].mean() > results["PyTorch's weights"][0][-5:].mean() + 5

axes = panels(3, 3, sharey=True)
sounds = {"the original": second} | {name: decoded for name, (_, decoded) in results.items()}
for ax, (name, sound) in zip(axes, sounds.items(), strict=True):
    spectrogram(ax, sound[0, :, 0], rate, name)
    ax.label_outer()
plt.show()
for name, sound in sounds.items():
    play(sound[0, :, 0], rate, name)

# %% [markdown]
# One is speech, a little hoarse. The other is a hum that takes no notice of its input yet, with the
# same network, the same data, the same number of steps. As in chapter 5, where a network begins
# decides.
#
# ## With your own code
#
# The same training again, eight steps on a tenth of a second, on the backend "student": it computes
# with the operators that you have written so far, in all chapters, and takes the library's plain
# definitions for the rest. The curve must be the library's.

# %%
short, curves = second[:, :2_560], {}
for backend in ("numba", "student"):
    codec = Codec(preset("tiny_24khz"), seed=1)
    initialise_codec(codec)
    with use(backend):
        curves[backend], _ = by_heart(codec, short, 8)
mine = [name for name in yours() if "weight_norm" in name]
for backend, curve in curves.items():
    print(f"SI-SDR / dB on {backend}:", curve.round(2).tolist())
print("of this chapter, these of yours ran:", ", ".join(mine) or "none yet")
np.testing.assert_allclose(curves["student"], curves["numba"], atol=0.5)

# %% [markdown]
# ## Your codec: encoder and decoder as classes
#
# Now the layers and the networks, on the Tensor of your codec, chapter 2's:
#
# | | |
# |---|---|
# | `parameter(array)` | a Tensor that is trained |
# | `Tensor(array)` | a constant |
# | `Tensor(array, parents, send_back)` | a result; `send_back(dy)` returns a tuple of gradients, one for each parent |
# | `x.data`, `x + y`, `x * 2.0` | the array inside; a sum; a Tensor times a number |
#
# You know `causal_conv1d(x, w, stride, dilation)` and `causal_conv_transpose1d(x, w, stride)` from
# chapter 4, `LSTM(H, depth, rng)` from chapter 5; `help(LSTM)` says more. `weight_norm` is made of
# exercises 2 and 3. The function `parameters` finds all that is trained, by name; the files of
# weights have the same names.
#
# A class is judged by the names of its parameters, by the numbers they begin with, by what it
# computes, and by the gradients that it sends back. So draw random numbers from the `rng` that
# comes in, in the order of the docstring.

# %%
# The library's parts that the cells below may use; in my_codec, they use yours. Here Encoder,
# Decoder and Tensor are your codec's; above, it was seanet.Encoder and tensor.Tensor.
from minicodec.course.my_codec.conv import (
    causal_conv1d,
    causal_conv_transpose1d,
    weight_norm_backward,
    weight_norm_forward,
)
from minicodec.course.my_codec.lstm import LSTM
from minicodec.course.my_codec.tensor import Tensor, elu, parameter


# %%
@exercise
def parameters(part, prefix=""):
    """part (an object) -> {path: Tensor}: the Tensors among its attributes, in lists, and in the parts of these.

    A path is made of the attributes' names and the places in lists, as in "encoder.layers.3.bias". `prefix` stands
    before each, as it is: with "net.", "net.encoder.layers.3.bias".
    """
    raise NotImplementedError


check(parameters)

# %%
@exercise
def weight_norm(v, g, axis):
    """v (*v), g (*g), Tensors; axis >= 0 -> w (*v), a Tensor: g v / ‖v‖, the norm over all axes but `axis`."""
    raise NotImplementedError


check(weight_norm)

# %%
@exercise
class Conv1d:
    """A causal convolution K, Ci -> Co: parameters weight_v (K,Ci,Co), weight_g (1,1,Co), the length of each output
    channel's weights, and bias (Co).
    """

    def __init__(self, Ci, Co, K, rng, stride=1, dilation=1):
        """weight_v: normal random numbers of rng; weight_g: ones, so that signals keep their power; bias: zeros."""
        raise NotImplementedError

    def __call__(self, x):
        """x (B,T,Ci) -> y (B,ceil(T/stride),Co), Tensors."""
        raise NotImplementedError


check(Conv1d)

# %%
@exercise
class ConvTranspose1d:
    """A causal transposed convolution K, Ci -> Co: parameters weight_v (K,Ci,Co), weight_g (1,Ci,1), the length of each
    INPUT channel's weights, and bias (Co).
    """

    def __init__(self, Ci, Co, K, rng, stride):
        """weight_v: normal random numbers of rng; weight_g: all sqrt(Co·stride / Ci); bias: zeros."""
        raise NotImplementedError

    def __call__(self, x):
        """x (B,T,Ci) -> y (B,T·stride,Co), Tensors."""
        raise NotImplementedError


check(ConvTranspose1d)

# %%
@exercise
class ResidualUnit:
    """x (B,T,C) -> x + [ELU, convolution K = 3 with C -> C//2, ELU, convolution K = 1 with C//2 -> C](x).

    These four are the list `block`.
    """

    def __init__(self, C, rng, dilation=1):
        """dilation: of the first convolution."""
        raise NotImplementedError

    def __call__(self, x):
        """x (B,T,C) -> y (B,T,C), Tensors."""
        raise NotImplementedError


check(ResidualUnit)

# %%
@exercise
class Encoder:
    """Waveform (B,T,1) -> latent (B,ceil(T/hop),D), hop the product of the strides. The list `layers`, C = filters:

    convolution K = 7, 1 -> C
    for each stride: a residual unit, ELU, a convolution K = 2·stride, C -> 2·C, and C doubles
    LSTM
    ELU, convolution K = 7, C -> D
    """

    def __init__(self, filters, D, strides, lstm_layers, rng):
        raise NotImplementedError

    def __call__(self, x):
        """x (B,T,1) -> z (B,ceil(T/hop),D), Tensors."""
        raise NotImplementedError


check(Encoder)

# %%
@exercise
class Decoder:
    """Latent (B,T,D) -> waveform (B,T·hop,1): the encoder backwards. The list `layers`, C = filters · 2^(strides):

    convolution K = 7, D -> C
    LSTM
    for each stride, the last first: ELU, a transposed convolution K = 2·stride, C -> C//2, a residual unit; C halves
    ELU, convolution K = 7, C -> 1, with lengths (weight_g) of 0.1: sound has an RMS of about 0.1
    """

    def __init__(self, filters, D, strides, lstm_layers, rng):
        raise NotImplementedError

    def __call__(self, z):
        """z (B,T,D) -> x (B,T·hop,1), Tensors."""
        raise NotImplementedError


check(Decoder)

# %% [markdown]
# ## Exercises
#
# 1. `residual_unit`: add, do not replace.
# 2. `weight_norm_forward`: length and direction.
# 3. `weight_norm_backward`: a gradient cut in two.
# 4. `encoder_parameters`: the construction, counted.
#
# For your codec: `parameters`, `weight_norm`, `Conv1d`, `ConvTranspose1d`, `ResidualUnit`,
# `Encoder`, `Decoder`.
#
# And three to think about. The first convolution has 7 taps: how many milliseconds is that, and how
# does the network see more? Where would you save if the encoder had to be twice as fast, and where
# if it had to be half as large? Why must the shortcut be a convolution, or at least something with
# weights, if a unit were to change the number of channels?
#
# ## What the paper says
#
# Encoder and decoder follow SEANet: C = 32 channels at first, strides (2, 4, 5, 8), two LSTM
# layers, latents of width 128; weight normalisation where the model streams, layer normalisation
# where it does not [Defossez22, §3.1]. The paper gives both convolutions of a residual unit K = 3;
# the released models have 3 and 1, and so has `ResidualUnit`. Width matters little: with C = 16
# SI-SNR is 6.40 dB, with 32 it is 6.67, with 64 it is 6.70 [Defossez22, Appendix]. How to begin,
# the paper does not say.
#
# ## What to read next
#
# `minicodec/codec/seanet.py`: the decoder, and the options that 48 kHz needs.
# `minicodec/nn/layers.py`: how the layers hold their weights. Then chapter 7 takes the 75 vectors a
# second and makes numbers of them that fit into a file.
