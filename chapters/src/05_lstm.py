# %% [markdown]
# # 5 LSTM: remembering, and learning to
#
# **You will be able to** say why a plain recurrent network forgets and an LSTM does not, write both
# of its directions, and see in one picture what backpropagation through time is up against.
#
# **Before you start**: chapters 2 and 3.
#
# **Reading time**: 35 minutes; the exercises are the hardest so far: allow an hour. The cells take
# some ten seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(5)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import functional as F
from minicodec.backend import OPS, use
from minicodec.course import check, exercise, yours
from minicodec.course.show import panels, source
from minicodec.nn.layers import LSTMLayer
from minicodec.nn.optim import Adam
from minicodec.ops.lstm import lstm_backward as library_backward, lstm_forward
from minicodec.tensor import Tensor, grad

yours();

# %% [markdown]
# ## The idea: a note to oneself
#
# A convolution sees a window: some hundred milliseconds, in EnCodec's encoder (chapter 4). But what
# sounds here and now may depend on who has been speaking for ten seconds, or on the beat. A
# *recurrent* layer writes a note to itself: from frame to frame it carries a vector $h$, reads it,
# and writes it anew.
#
# $$ h_t = \tanh(x_t W + h_{t-1} V) $$
#
# That can, in principle, remember for ever. The trouble is learning it.
#
# ## Why the plain note fades
#
# How does the loss at frame $T$ reach frame $t$? Through every frame in between, and each of them
# multiplies the gradient by the same matrix $V^\mathsf{T}$ (and by slopes of tanh, which are at
# most 1). A number below 1, multiplied by itself a hundred times, is nothing; a number above 1 is
# enormous. With one unit, no input and no tanh, all is in one line: $dh_{t} = v^{T-t}\, dh_T$.
#
# Look at it: the gradient of the last output with respect to the input `lag` frames earlier, for a
# plain network and for the cell that this chapter is about.

# %%
rng = np.random.default_rng(0)
T, H = 120, 32
x = Tensor(rng.normal(size=(4, T, H)).astype(np.float32), requires_grad=True)


def plain(x, scale):
    """The network above, frame by frame."""
    V = (scale * rng.normal(size=(H, H)) / np.sqrt(H)).astype(np.float32)
    h = Tensor(np.zeros((x.shape[0], H), np.float32))
    for t in range(T):
        h = F.tanh(x[:, t] * 0.5 + F.linear(h, V))
    return h


def gated(x, forget_bias):
    """An LSTM whose forget gates are open (large bias) or half shut (0)."""
    layer = LSTMLayer(H, H, rng=np.random.default_rng(1))
    layer.bias.data[H : 2 * H] += forget_bias
    return layer(x)[:, T - 1]


def against_lag(last):
    dy = rng.normal(size=last.shape).astype(np.float32)
    return np.sqrt((grad(last, [x], dy)[0] ** 2).mean(axis=(0, 2)))[::-1]


curves = {
    "plain, small weights": against_lag(plain(x, 0.7)),
    "plain, large weights": against_lag(plain(x, 1.5)),
    "LSTM, forget bias 0": against_lag(gated(x, 0)),
    "LSTM, forget bias 4": against_lag(gated(x, 4)),
}
axes = panels(height=3.8)
for name, curve in curves.items():
    axes.semilogy(curve, label=name, ls="--" if name.startswith("plain") else "-")
axes.set(
    ylim=(1e-12, None),
    xlabel="lag / frames",
    ylabel="size of the gradient",
    title="What the last frame tells the frames before it",
)
axes.legend()
plt.show()
assert curves["plain, small weights"][60] < 1e-6 * curves["plain, small weights"][0]
assert curves["LSTM, forget bias 4"][60] > 0.01 * curves["LSTM, forget bias 4"][0]

# %% [markdown]
# The LSTM with open gates loses a factor of about $\sigma(4) = 0.98$ per frame: after 60 frames
# there is still a third. The plain network with small weights has lost everything after 40. With
# large weights its gradient does not fade, but it has become chaotic: every sequence gives another
# one, and learning from it is learning from noise. And an LSTM whose gates are half shut forgets as
# fast as the plain network. So it is the open gate that helps; let us see why.
#
# ## The cell
#
# The cure is to stop rewriting the note. An LSTM keeps a memory $c$ that is, by default, simply
# **kept**: it is multiplied by a number $f$ close to 1, and something is added. Three gates,
# numbers between 0 and 1, decide at every frame and for every unit what is forgotten ($f$), what is
# written ($i$) and what is shown ($o$):
#
# $$ z = x_t W + h_{t-1} V + b, \qquad i, f, o = \sigma(z_i), \sigma(z_f), \sigma(z_o), \qquad
#    g = \tanh(z_g) $$
# $$ c_t = f\,c_{t-1} + i\,g, \qquad h_t = o \tanh(c_t) $$
#
# The path from $c_t$ back to $c_{t-1}$ is a multiplication by $f$. No matrix, no slope of a tanh. A
# gate near 1 lets the gradient through unharmed, and where it should be shut, the network can learn
# to shut it.
#
# ### Exercise 1: one frame

# %%
@exercise
def lstm_step(x, h, c, w_ih, w_hh, b):
    """x (B,Ci), h (B,H), c (B,H), w_ih (Ci,4H), w_hh (H,4H), b (4H) -> h (B,H), c (B,H), one frame
    later.

    The columns of the weights belong to the input gate, the forget gate, the candidate and the
    output gate, H each: np.split(z, 4, axis=1) gives i, f, g, o before their sigmoids and the
    tanh.
    """
    raise NotImplementedError


check(lstm_step)

# %%
# A loop over your step is the library's operator: it returns h and c side by side.
B, Ci, H = 2, 3, 4
shapes = [(B, 7, Ci), (Ci, 4 * H), (H, 4 * H), (4 * H,), (B, H), (B, H)]
xs, w_ih, w_hh, b, h, c = (rng.normal(size=shape) for shape in shapes)
y, saved = lstm_forward(xs, w_ih, w_hh, b, h, c)
for t in range(7):
    h, c = lstm_step(xs[:, t], h, c, w_ih, w_hh, b)
    np.testing.assert_allclose(np.concatenate([h, c], axis=1), y[:, t])

# %% [markdown]
# ## Backwards through one frame
#
# Two gradients arrive at a frame: $dh$ at what it showed and $dc$ at what it kept. Take the forward
# line by line, from the last to the first, and write $s = \tanh(c_t)$:
#
# | forward | backward |
# |---|---|
# | $h = o\,s$ | $do = dh\,s$; $s$ gets $dh\,o$, and so $\;dc \mathrel{+}= dh\,o\,(1 - s^2)$ |
# | $c = f\,c_{t-1} + i\,g$ | $df = dc\,c_{t-1}$, $di = dc\,g$, $dg = dc\,i$, $dc_{t-1} = dc\,f$ |
# | $i = \sigma(z_i)$ and so on | $dz_i = di\;i(1-i)$, $dz_f = df\;f(1-f)$, $dz_o = do\;o(1-o)$ |
# | $g = \tanh(z_g)$ | $dz_g = dg\,(1 - g^2)$ |
#
# ### Exercise 2

# %%
@exercise
def lstm_step_backward(dh, dc, gates, c_before, c):
    """dh (B,H), dc (B,H), gates (B,4H), c_before (B,H), c (B,H) -> dz (B,4H), dc_before (B,H), for
    one frame.

    gates: i, f, g, o as the forward computed them (after their sigmoids and the tanh), side by
    side; c_before and c: the memory before and after this frame. dz: gradients of z, in the order
    i, f, g, o.
    """
    raise NotImplementedError


check(lstm_step_backward)

# %% [markdown]
# ## Backwards through time
#
# Now walk from the last frame to the first. What arrives at $h_t$? Two things: what somebody
# outside did with this frame's output, $dy_t$, and what frame $t+1$ sends back, because it read
# $h_t$ too: $dz_{t+1} V^\mathsf{T}$. They add. (Why? It is the first lesson of chapter 2.) The same
# for $c$.
#
# The weights were the same in all frames, so each frame contributes: $dW = \sum_t x_t^\mathsf{T}
# dz_t$ and $dV = \sum_t h_{t-1}^\mathsf{T} dz_t$. These sums can wait until all $dz$ are known, and
# then each is one matrix product.
#
# ### Exercise 3
#
# `saved` is `(x, w_ih, w_hh, h0, c0, gates, y)`: `gates` (B,T,4H) holds i, f, g, o of every frame,
# `y` (B,T,2H) holds h and c side by side, and so does `dy`: `dy[..., :H]` arrives at h, `dy[...,
# H:]` at c.

# %%
@exercise
def lstm_backward(dy, saved):
    """dy (B,T,2H) -> dx (B,T,Ci), dw_ih (Ci,4H), dw_hh (H,4H), db (4H), dh0 (B,H), dc0 (B,H)."""
    raise NotImplementedError


check(lstm_backward)

# %% [markdown]
# Compare with `source(library_backward)`.
#
# ## A test of memory
#
# One frame in forty carries a sign, +1 or −1; all others are noise. After the last frame the
# network must say which it was. To learn that, the gradient has to travel 40 frames back. Your
# `lstm_backward` is at work here, if it is right.

# %%
def remember(forget_bias, steps=110, T=40):
    """Train a small LSTM -> share of right answers at each step."""
    rng = np.random.default_rng(3)
    layer, head = (
        LSTMLayer(2, 12, rng=rng),
        Tensor(0.3 * rng.normal(size=(12, 1)).astype(np.float32), True),
    )
    layer.bias.data[12:24] += forget_bias
    parameters = dict(layer.named_parameters()) | {"head": head}
    optimizer = Adam(parameters, lr=0.02)
    right = []
    for _ in range(steps):
        sign = rng.choice([-1.0, 1.0], size=(32, 1)).astype(np.float32)
        frames = np.stack([0.3 * rng.normal(size=(32, T)), np.zeros((32, T))], axis=-1).astype(
            np.float32
        )
        frames[:, 0] = np.concatenate([sign, np.ones((32, 1))], axis=1)
        answer = F.linear(layer(Tensor(frames))[:, T - 1], head)
        loss = ((answer - sign) ** 2).mean()
        for p, g in zip(parameters.values(), grad(loss, list(parameters.values())), strict=True):
            p.grad = g
        optimizer.step()
        right.append(float((np.sign(answer.data) == sign).mean()))
    return right


with use("student" if "student" in OPS["lstm"].pairs else "numba"):
    results = {f"forget bias {bias}": remember(bias) for bias in (0, 3)}

axes = panels(height=3)
for name, right in results.items():
    axes.plot(np.convolve(right, np.ones(5) / 5, mode="valid"), label=name)
axes.axhline(0.5, color="grey", lw=0.8, label="guessing")
axes.set(xlabel="step", ylabel="share of right answers", title="Which sign was it, 40 frames ago?")
axes.legend()
plt.show()
assert np.mean(results["forget bias 3"][-10:]) > 0.95

# %% [markdown]
# A gate that starts half shut forgets: $0.5^{40}$ is nothing, so no gradient ever says that it
# should open. Started open, the cell remembers from the first step, and only has to learn *what*.
# Where a network begins can matter more than what it could express.

# %% [markdown]
# ## Your codec: the LSTM as a layer
#
# `my_codec/lstm.py` has your step and your backward. What is missing is the forward over a whole sequence, which remembers
# the gates; the layer with its weights; and the stack, with a skip over it.

# %%
# The library's parts that the cells below may use; in my_codec, they use yours.
# `Tensor` is your codec's from here on: to go back up, run the imports at the top again.
from minicodec.course.my_codec.lstm import lstm_backward
from minicodec.course.my_codec.tensor import Tensor, parameter


# %%
@exercise
def lstm_forward(x, w_ih, w_hh, b, h0, c0):
    """x (B,T,Ci), w_ih (Ci,4H), w_hh (H,4H), b (4H), h0 (B,H), c0 (B,H) -> y (B,T,2H), gates (B,T,4H).

    y[:, t] is h and c of frame t, side by side; gates[:, t] are i, f, g and o, after sigmoid and tanh.
    """
    raise NotImplementedError


check(lstm_forward)

# %%
@exercise
class LSTMLayer:
    """One layer, from the state of zeros: parameters weight_ih (H,4H), weight_hh (H,4H), bias (4H)."""

    def __init__(self, H, rng):
        """All are uniform random numbers of rng in ±1/sqrt(H), in this order."""
        raise NotImplementedError

    def __call__(self, x):
        """x (B,T,H) -> h (B,T,H), Tensors. lstm_forward computes it, lstm_backward sends gradients back."""
        raise NotImplementedError


check(LSTMLayer)

# %%
@exercise
class LSTM:
    """A stack of layers with a skip over all of them: y = x + layers(x)."""

    def __init__(self, H, depth, rng):
        raise NotImplementedError

    def __call__(self, x):
        """x (B,T,H) -> y (B,T,H), Tensors."""
        raise NotImplementedError


check(LSTM)

# %% [markdown]
# ## Exercises
#
# 1. `lstm_step`: four gates, one memory.
# 2. `lstm_step_backward`: the chain rule, line by line.
# 3. `lstm_backward`: time, backwards.
#
# To think about: Why is there a tanh around $c$ in $h = o\tanh(c)$? What does the layer need to be
# told, if a stream is cut in two and continued tomorrow? EnCodec's LSTM has 2 layers of 512 units:
# how many weights is that, and why does a stream of one frame at a time spend its time *loading*
# them?
#
# ## What the paper says
#
# Two LSTM layers stand at the end of the encoder and at the beginning of the decoder [Defossez22,
# §3.1]. They help a little: without them SI-SNR falls from 6.67 to 6.40 dB, and they hold more than
# half of the weights [Defossez22, Appendix]. The gates' order in the published weights is the one
# used here.
#
# ## What to read next
#
# `minicodec/ops/lstm.py`; below the definition stands a version that keeps the weights in the
# processor's cache. Then chapter 6 puts all the parts together.
