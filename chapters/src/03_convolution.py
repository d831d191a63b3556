# %% [markdown]
# # 3 Convolution and its adjoint
#
# **You will be able to** compute a 1-D convolution by hand, write it as a matrix, and send a
# gradient back through it — to its input and to its kernel — without looking anything up, because
# you will know why each index is where it is.
#
# **Before you start**: chapter 2 (a backward turns `dy` into `dx`); matrix products in NumPy.
#
# **Reading time**: 35 minutes, and as much again for the exercises. The cells take a few seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(3)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import functional as F
from minicodec.backend import OPS, use
from minicodec.course import check, exercise, yours
from minicodec.course.show import panels, source
from minicodec.ops.conv1d import (
    conv1d_backward as library_backward,
    conv1d_forward as library_forward,
)
from minicodec.tensor import Tensor, grad

yours()  # what you wrote in earlier chapters joins in

# %% [markdown]
# ## The idea: one small question, asked everywhere
#
# An audio signal has 24 000 numbers a second. A layer that looked at all of them at once, a full
# matrix, would need 24 000² weights for one second, and would have to learn what an "s" is once for
# every position in which it can stand.
#
# A convolution asks one small question of *every* stretch of the signal: "how much do these K
# frames look like my kernel?" The same K weights slide along. A kernel that answers loudly to a
# rising edge finds every rising edge.

# %%
rng = np.random.default_rng(0)
steps = np.repeat([0.0, 1.0, 0.2, 0.8, 0.0], 12) + 0.03 * rng.normal(size=60)
edge = np.array([-1.0, -1.0, 0.0, 1.0, 1.0]) / 2
answers, _ = library_forward(steps[None, :, None], edge[:, None, None])

figure, (above, below) = plt.subplots(2, 1, figsize=(9, 4), sharex=True)
above.plot(steps, ".-", label="signal x")
above.set(ylabel="amplitude")
below.plot(
    np.arange(2, 58),
    answers[0, :, 0],
    ".-",
    color="C1",
    label="answers y, at the middle of their windows",
)
below.axhline(0, color="grey", lw=0.5)
below.set(xlabel="time / frames", ylabel="answer")
for axes in (above, below):
    axes.legend(loc="upper right")
plt.show()

# %% [markdown]
# The kernel (−1, −1, 0, 1, 1)/2 is loud where the signal rises, negative where it falls, and silent
# where nothing happens. Nobody had to say where the edges are.
#
# ## The formula
#
# Signals have channels: at each frame there are $C_i$ numbers, and each output frame gets $C_o$. So
# every tap of the kernel is a matrix. With stride $s$ (how far the window moves) and dilation $d$
# (how far its taps are apart):
#
# $$ y_{b,t,o} \;=\; \sum_{k=0}^{K-1} \sum_{i} \; x_{b,\,ts + kd,\, i} \; w_{k,i,o} $$
#
# The letters are the same in the whole book: B items of a batch, T frames in and To out, Ci and Co
# channels, K taps. Nothing is padded here: only whole windows count, so To is smaller than T.
#
# Channels come last, so for one tap $k$ the sum over $i$ is a matrix product, and the whole
# definition is K of them.
#
# (What mathematicians call convolution flips the kernel; this is *correlation*. The field says
# convolution anyway, and for a kernel that is learned the difference is only a matter of the order
# in which it is stored.)
#
# Check it by hand, on numbers small enough for one's head: two taps, one channel.

# %%
x = np.array([1.0, 2.0, 3.0, 4.0])[None, :, None]
w = np.array([10.0, 1.0])[:, None, None]
y, _ = library_forward(x, w)
print(y[0, :, 0])
assert y[0, :, 0].tolist() == [1 * 10 + 2 * 1, 2 * 10 + 3 * 1, 3 * 10 + 4 * 1]

# %% [markdown]
# ### Exercise 1
#
# Write it yourself. Return `y` alone, or `y` and anything you like. `check` tries the sizes that
# the library is tested on, and tells you in words what is wrong. Until you have written something,
# the library's version stands in; a wrong one is used as it is, and cells below may stop at it.

# %%
@exercise
def conv1d_forward(x, w, *, stride=1, dilation=1):
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co), To = (T - (K - 1)·dilation - 1) // stride + 1."""
    raise NotImplementedError


check(conv1d_forward)

# %% [markdown]
# When yours is right, compare it with the library's: `source(library_forward)` shows it.
#
# ## A convolution is a matrix
#
# Hold $w$ fixed, and $y$ is *linear* in $x$: there is a matrix $A$ with $y = xA$. It is a strange
# one. Most of it is zeros, since a window sees only K frames; and every diagonal is constant, since
# the question is the same everywhere (with several channels: every block of $C_i \times C_o$ on
# it). Such a matrix is called Toeplitz.
#
# ### Exercise 2
#
# Build it, for stride 1: `x.ravel() @ A` must be `conv1d(x, w).ravel()`. Begin with one channel:
# which rows of column $t$ are not zero? With more, every entry becomes a block.

# %%
@exercise
def toeplitz(w, T):
    """w (K,Ci,Co) -> A (T*Ci,To*Co): the matrix with conv1d(x, w).ravel() == x.ravel() @ A, To = T
    - K + 1."""
    raise NotImplementedError


check(toeplitz)

# %%
w = np.array([3.0, 2.0, 1.0])[:, None, None]
x = rng.normal(size=(1, 16, 1))
A = toeplitz(w, 16)
np.testing.assert_allclose(x.ravel() @ A, library_forward(x, w)[0].ravel())

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
for axes, matrix, title in [(left, A, "A: y = x A"), (right, A.T, "Aᵀ: dx = dy Aᵀ")]:
    picture = axes.imshow(matrix, cmap="Blues")
    axes.set(title=title, xlabel="column", ylabel="row")
figure.colorbar(picture, ax=(left, right), label="weight")
plt.show()

# %% [markdown]
# ## The backward, derived
#
# Somebody hands us $dy$, the gradient of the loss with respect to every entry of $y$. We want $dx$.
#
# **In one line.** If $x$ moves by $\delta x$, $L$ changes by $\langle dy, \delta x\,A\rangle =
# \langle dy\,A^\mathsf{T}, \delta x\rangle$. What stands beside $\delta x$ *is* the gradient: $dx =
# dy\,A^\mathsf{T}$. The right-hand picture is the whole secret. $A^\mathsf{T}$ is called the
# adjoint of $A$: the matrix with $\langle xA,\, dy\rangle = \langle x,\, dy\,A^\mathsf{T}\rangle$
# for all $x$ and $dy$.
#
# **In indices**, because nobody wants to store that matrix. Differentiate the formula: $\partial
# y_{b,t,o} / \partial x_{b,\tau,i}$ is $w_{k,i,o}$ if $\tau = ts + kd$, and 0 otherwise. So
#
# $$ dx_{b,\tau,i} \;=\; \sum_{t,k\,:\;ts+kd=\tau}\; \sum_o \; dy_{b,t,o}\, w_{k,i,o}
#    \qquad\qquad
#    dw_{k,i,o} \;=\; \sum_b \sum_t \; x_{b,\,ts+kd,\,i}\; dy_{b,t,o} $$
#
# Read the first one as a journey. On the way out, frame $ts+kd$ met $w_k$ and went into $y_t$. On
# the way home, $dy_t$ meets $w_k^\mathsf{T}$ and goes to frame $ts + kd$, *the same frame*. Windows
# overlap, so several pieces of mail arrive at one frame, and they **add**. Frames that no window
# looked at (between windows, if the stride exceeds them, or at the end, where none fits any more)
# get 0.
#
# The second one: $w_k$ was used at every time and in every item of the batch. It collects from all
# of them.
#
# Is that true? `dx` must be `dy @ A.T`, and the adjoint's identity must hold for any pair of
# arrays.

# %%
dy = rng.normal(size=(1, 14, 1))
dx, dw = library_backward(dy, (x, w))
np.testing.assert_allclose(dx.ravel(), dy.ravel() @ A.T)
np.testing.assert_allclose(np.vdot(library_forward(x, w)[0], dy), np.vdot(x, dx))
print("<xA, dy> =", np.vdot(library_forward(x, w)[0], dy))
print("<x, dy Aᵀ> =", np.vdot(x, dx))

# %% [markdown]
# ### Exercise 3
#
# The heart of the chapter. `saved` is `(x, w)`. Beware of the frames that belong to several
# windows.

# %%
@exercise
def conv1d_backward(dy, saved, *, stride=1, dilation=1):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co). saved: the forward's (x, w)."""
    raise NotImplementedError


check(conv1d_backward)

# %% [markdown]
# Then compare: `source(library_backward)`. Yours may well be shorter.
#
# ## See a gradient arrive
#
# Put a single 1 into $dy$, at frame 10, and look at where it comes home. With kernel size 5 and
# stride 2, the window of $y_{10}$ began at frame 20: there, and in the four frames after it, stands
# the kernel. Then put one into $dy_{20}$ and into its neighbour $dy_{21}$.

# %%
w = np.array([1.0, 2.0, 3.0, 2.0, 1.0])[:, None, None]
x = rng.normal(size=(1, 99, 1))
axes = panels(height=2.5)
for frames, colour in [([10], "C0"), ([20, 21], "C1")]:
    dy = np.zeros((1, 48, 1))
    dy[0, frames] = 1
    dx, _ = conv1d_backward(dy, (x, w), stride=2)
    name = " and ".join(map(str, frames))
    axes.stem(
        np.flatnonzero(dx),
        dx[dx != 0],
        linefmt=colour,
        markerfmt=colour + "o",
        basefmt=" ",
        label=f"dy = 1 at {name}",
    )
    if len(frames) == 1:
        assert np.flatnonzero(dx).tolist() == list(range(20, 25))
axes.set(
    xlabel="time / frames",
    ylabel="dx",
    title="Stride 2, K = 5: where windows overlap, their mail adds up",
)
np.testing.assert_array_equal(dx[0, 40:47, 0], [1, 2, 3 + 1, 2 + 2, 1 + 3, 2, 1])
axes.legend()
plt.show()

# %% [markdown]
# ## Learn a kernel
#
# Gradients are for learning. Hide a kernel, show its answers to noise, and let plain gradient
# descent find it. The cell runs on **your** functions if they are right (`use("student")`),
# otherwise on the library's.

# %%
hidden = np.array([0.5, -1.0, 2.0, 0.3])[:, None, None].astype(np.float32)
noise = rng.normal(size=(4, 64, 1)).astype(np.float32)
target = library_forward(noise, hidden)[0]
guess = Tensor(np.zeros((4, 1, 1), np.float32), requires_grad=True)
losses = []
with use("student"):
    for _ in range(60):
        loss = F.mse_loss(F.conv1d(noise, guess), target)
        guess.data = guess.data - 0.2 * grad(loss, [guess])[0]
        losses.append(float(loss))

both = {"conv1d_forward", "conv1d_backward"} <= set(yours())
whose = (
    "your own conv1d, both ways" if both else "conv1d, the library's where yours is not right yet"
)
print("found:", guess.data.ravel().round(3), "by", whose)
np.testing.assert_allclose(guess.data, hidden, atol=1e-3)
axes = panels(height=2.5)
axes.semilogy(losses)
axes.set(
    xlabel="step",
    ylabel="mean squared error",
    title="The kernel is found: a constant factor a step, until float32 has no more digits",
)
plt.show()

# %% [markdown]
# ## Exercises
#
# 1. `conv1d_forward`: the sum over taps.
# 2. `toeplitz`: the same as a matrix.
# 3. `conv1d_backward`: both gradients.
#
# And three to think about. Why does the error above fall by a constant factor per step? What would
# `dw` be if the loss were a mean over the batch? With stride 2 and K = 4, how many windows does a
# frame in the middle belong to?
#
# ## What the paper says
#
# EnCodec's encoder begins with a convolution of K = 7, goes on with residual blocks of convolutions
# with K = 3, and ends, after an LSTM, with one of K = 7 again [Defossez22, §3.1]: nearly all of its
# arithmetic is this operator. How a convolution is differentiated the paper does not say: that is
# taken to be known. Now it is.
#
# ## What to read next
#
# `minicodec/ops/conv1d.py`: below the definition stands the fast pair, which sees the overlapping
# windows as the rows of one matrix. Then chapter 4: what stride does to a signal, how to undo it,
# and how the future stays out of the past.
