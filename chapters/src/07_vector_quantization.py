# %% [markdown]
# # 7 Vector quantization: a vocabulary of vectors
#
# **You will be able to** turn vectors into whole numbers and back, let the vocabulary learn from
# the data without a single gradient, revive words that nobody uses, and find the mistakes that keep
# published codebooks from learning.
#
# **Before you start**: chapter 1 (quantisers). Gradients are not needed until chapter 8.
#
# **Reading time**: 35 minutes, and an hour for the exercises. The cells take a few seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(7)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec.codec.quantizer import ResidualVectorQuantizer, kmeans
from minicodec.course import check, exercise, yours
from minicodec.course.show import panels, source
from minicodec.tensor import Tensor

yours();

# %% [markdown]
# ## The idea: say which one it is
#
# Chapter 1 quantised one number at a time, with codes spread evenly or by a logarithm. An encoder
# (chapter 6) makes a vector of every short stretch of sound, a *latent* of, say, 128 numbers, and
# they are anything but evenly spread: speech visits a few regions of that space over and over. So
# make a list of N typical vectors, the **codebook**, give the same list to both sides, and send
# only *which one* is nearest: $\log_2 N$ bits for a whole vector. With N = 1024, 10 bits.
#
# In two dimensions one can look at it. Here are vectors from twelve clumps, as speech sounds might
# be:

# %%
rng = np.random.default_rng(4)
centres = rng.uniform(-1, 1, size=(12, 2))


def draw(n, rng=rng):
    """n vectors (n,2) of the twelve clumps."""
    return centres[rng.integers(12, size=n)] + 0.07 * rng.normal(size=(n, 2))


def voronoi(axes, codebook, x, title):
    """Colour the plane by which codeword is nearest; draw vectors, and codewords (crossed out if
    nobody chooses them)."""
    grid = np.stack(np.meshgrid(np.linspace(-1.4, 1.4, 280), np.linspace(-1.4, 1.4, 280)), axis=-1)
    axes.imshow(
        nearest_codeword_forward(grid, codebook) % 20,
        origin="lower",
        extent=(-1.4, 1.4, -1.4, 1.4),
        cmap="tab20",
        alpha=0.35,
        interpolation="nearest",
    )
    axes.plot(*x[:600].T, ".", color="black", ms=1.5)
    used = np.bincount(nearest_codeword_forward(x, codebook), minlength=len(codebook)) > 0
    axes.plot(*codebook[used].T, "o", color="white", mec="black", ms=7)
    axes.plot(*codebook[~used].T, "X", color="red", mec="black", ms=8)
    axes.set(
        title=f"{title}: {used.sum()} of {len(codebook)} used",
        xlim=(-1.4, 1.4),
        ylim=(-1.4, 1.4),
        xlabel="latent 1",
    )

# %% [markdown]
# ### Exercise 1: the nearest one
#
# $\|x - c\|^2 = \|x\|^2 - 2\,x\cdot c + \|c\|^2$. The first term is the same for all codewords, so
# it cannot change which is nearest. The second is one matrix product for all vectors and all
# codewords at once. Ties go to the lowest index: two machines that disagree about a tie would send
# different files.

# %%
@exercise
def nearest_codeword_forward(x, codebook):
    """x (*b,D), codebook (N,D) -> codes (*b), integers in [0, N)."""
    raise NotImplementedError


check(nearest_codeword_forward)

# %%
x = draw(1000)
axes = panels(2, 4.5)
voronoi(axes[0], x[:16], x, "16 of the vectors")
voronoi(axes[1], rng.uniform(-1.4, 1.4, size=(16, 2)), x, "16 random points")
axes[0].set_ylabel("latent 2")
plt.show()

# %% [markdown]
# Each region (they are called Voronoi cells) sends the same number. Codewords in the wrong place
# are waste, and a red cross is a codeword that nobody chooses: it costs bits and says nothing.
#
# ## k-means
#
# Where should the codewords lie? Two observations answer that. If the codewords are fixed, each
# vector should choose the nearest. If the choices are fixed, each codeword should be the *mean* of
# the vectors that chose it: no other point has a smaller sum of squared distances to them. So do
# one, then the other, again and again; neither step can make the error larger.
#
# ### Exercise 2: one round

# %%
@exercise
def kmeans_step(x, means):
    """x (n,D), means (N,D) -> means (N,D), counts (N): each mean moves to the middle of the
    vectors nearest to it.

    A mean that is nearest to none stays where it is. counts: how many vectors each mean had before
    it moved.
    """
    raise NotImplementedError


check(kmeans_step)

# %%
means, errors = x[:16], []
for _ in range(20):
    errors.append(np.mean((x - means[nearest_codeword_forward(x, means)]) ** 2))
    means, counts = kmeans_step(x, means)
assert (np.diff(errors) <= 1e-12).all(), "the error rose: see exercises 1 and 2"
np.testing.assert_allclose(
    kmeans(x, 16, 1, np.random.default_rng(0))[0],
    kmeans_step(x, x[np.random.default_rng(0).choice(len(x), 16, replace=False)])[0],
)

axes = panels(2, 4.2)
voronoi(axes[0], means, x, "after 20 rounds")
axes[1].semilogy(errors, ".-")
axes[1].set(xlabel="round", ylabel="mean squared error", title="It never rises")
plt.show()

# %% [markdown]
# ## Learning while the encoder moves
#
# k-means wants all vectors at once, and all of them at rest. But the encoder is learning too, so
# its vectors move, and they come in batches. The cure is a *moving average*. Keep, for each
# codeword, how many vectors chose it (a count $m$) and their sum ($S$), and let both forget slowly:
#
# $$ m \leftarrow \gamma m + (1-\gamma)\,m_{\text{batch}}, \qquad
#    S \leftarrow \gamma S + (1-\gamma)\,s_{\text{batch}},
#    \qquad c = S / m, \qquad \gamma = 0.99 $$
#
# It is k-means over, roughly, the last hundred batches. The counts are *smoothed* before dividing,
# so that none is zero (exercise 3 says how; it hardly matters otherwise). No gradient is involved:
# the choice of a codeword is a jump, and has none.
#
# ### Exercise 3

# %%
@exercise
def ema_update(counts, sums, x, codes, decay):
    """counts (N), sums (N,D), x (n,D), codes (n) -> counts (N), sums (N,D), codebook (N,D), after
    one batch.

    new = decay · old + (1 - decay) · this batch's, for both. The codebook is sums / smoothed,
    where smoothed = (counts + e) / (total + N e) · total, with e = 1e-5 and total the sum of the
    new counts.
    """
    raise NotImplementedError


check(ema_update)

# %%
# The library's quantizer does the same (pretend that it has had one update; its decay is 0.99):
library = ResidualVectorQuantizer(1, 16, 2, rng=np.random.default_rng(0))
library.codebooks, library.updates[:] = x[None, :16].copy(), 1
library.counts, library.sums = np.full((1, 16), 8.0), 8 * x[None, :16]
expected = ema_update(
    library.counts[0], library.sums[0], x, nearest_codeword_forward(x, x[:16]), 0.99
)
library(Tensor(x[None]), 1, np.random.default_rng(0))
np.testing.assert_allclose(library.codebooks[0], expected[2], rtol=1e-6)

# %% [markdown]
# ## Death and resurrection
#
# A codeword that nobody chooses gets nothing: $m$ and $S$ shrink together, their ratio stays, and
# the codeword stays where it is (until $m$ is as small as the smoothing, which then pulls it to 0).
# If it lies in an empty place, it is dead for good. And encoders do move away from codewords: this
# is called codebook collapse.
#
# So look from time to time who is hardly ever chosen (less than a tenth of the mean usage), and put
# such a codeword onto a random vector of the batch, where there certainly is something to do. But
# where does one *write* it?
#
# ### Exercise 4
#
# The codebook is only a result: the next update computes it anew from $S$ and $m$.

# %%
@exercise
def revive(counts, sums, dead, vectors):
    """counts (N), sums (N,D), dead (k) entries, vectors (k,D) -> counts (N), sums (N,D): dead
    entries become vectors.

    Each dead entry gets the mean of all counts (before the change), and the sum that makes its
    codeword the vector.
    """
    raise NotImplementedError


check(revive)

# %%
def train(updates, reviving, start, rng):
    """Learn from batches of 200 vectors -> codebooks along the way."""
    counts, codebook = np.full(len(start), 200 / len(start)), start
    sums, along = codebook * counts[:, None], [codebook]
    for update in range(1, updates + 1):
        x = draw(200, rng)
        counts, sums, codebook = ema_update(
            counts, sums, x, nearest_codeword_forward(x, codebook), 0.97
        )
        if reviving and update % 10 == 0:
            dead = np.flatnonzero(counts < 0.1 * counts.mean())
            counts, sums = revive(
                counts, sums, dead, x[rng.choice(len(x), len(dead), replace=False)]
            )
            codebook = sums / counts[:, None]
        along.append(codebook)
    return along


start = np.random.default_rng(1).uniform(-1.4, 1.4, size=(24, 2))
lame, lively = (train(300, reviving, start, np.random.default_rng(2)) for reviving in (False, True))
axes = panels(3, 3.4, sharey=True)
voronoi(axes[0], start, x, "start")
voronoi(axes[1], lame[-1], x, "no revival")
voronoi(axes[2], lively[-1], x, "revival")
axes[0].set_ylabel("latent 2")
plt.show()


def usage(codebook):
    """How many of the codewords 2000 new vectors use, and their mean squared error."""
    x = draw(2000, np.random.default_rng(9))
    codes = nearest_codeword_forward(x, codebook)
    return len(set(codes.tolist())), np.mean((x - codebook[codes]) ** 2)


for name, codebook in [("without revival", lame[-1]), ("with revival", lively[-1])]:
    print("{}: {} of 24 used, mean squared error {:.5f}".format(name, *usage(codebook)))
assert usage(lively[-1])[0] > usage(lame[-1])[0]
assert usage(lively[-1])[1] < usage(lame[-1])[1]

# %% [markdown]
# ## Find the mistake
#
# Here is how the released quantizer of EnCodec (and others that share the code) does it, in the
# order in which it happens. Two things are wrong. Read it and find them before you go on: what does
# each line write, and who overwrites it?

# %%
def released_update(counts, sums, codebook, x, decay=0.99):
    codes = nearest_codeword_forward(x, codebook)
    if (counts < 2).any():  # "dead": replace by vectors of the batch
        dead = np.flatnonzero(counts < 2)
        codebook = codebook.copy()
        codebook[dead] = x[: len(dead)]
    return ema_update(counts, sums, x, codes, decay)


def released_start(x, N):
    means, counts = kmeans(x, N, 20, np.random.default_rng(0))
    return counts.astype(float), means, means  # counts, sums, codebook

# %% [markdown]
# **One.** The replacement is written into the codebook, and then `ema_update` computes the codebook
# anew from $S$ and $m$, in which the dead are still dead. The new codeword does not live for a
# single step.
#
# **Two.** The start hands over *means* where the averages need *sums*. At the first update the
# codebook becomes (0.99·mean + …)/(0.99·count + …): a codeword that stood for twenty vectors is
# suddenly almost twenty times too short.
#
# Both can be measured:

# %%
x0 = draw(400, np.random.default_rng(5))
counts, sums, codebook = released_start(x0, 16)
right_counts, right_codebook = counts, codebook
right_sums = right_codebook * right_counts[:, None]
norms = {"as released: S = mean": [], "right: S = mean · count": []}
for _ in range(60):
    x = draw(400, rng)
    norms["as released: S = mean"].append(np.sqrt((codebook**2).sum(axis=1)).mean())
    codes = nearest_codeword_forward(x, codebook)
    counts, sums, codebook = ema_update(counts, sums, x, codes, 0.99)  # right, from a wrong start
    norms["right: S = mean · count"].append(np.sqrt((right_codebook**2).sum(axis=1)).mean())
    codes = nearest_codeword_forward(x, right_codebook)
    right_counts, right_sums, right_codebook = ema_update(right_counts, right_sums, x, codes, 0.99)

axes = panels(height=3)
for name, curve in norms.items():
    axes.plot(curve, label=name)
axes.set(
    ylim=(0, None),
    xlabel="update",
    ylabel="mean length of the codewords",
    title="A start that forgets to multiply",
)
axes.legend()
plt.show()
assert norms["as released: S = mean"][1] < 0.3 * norms["right: S = mean · count"][1]

far_away = np.array([[0.1, 0.1], [9.0, 9.0]])  # nobody is near the second
few = np.array([50.0, 0.5])
_, _, after = released_update(few, far_away * few[:, None], far_away, draw(50))
print("where the revived codeword lies after one released update:", after[1])
np.testing.assert_allclose(after[1], [9, 9], rtol=1e-3)  # where it was: nothing has been revived

# %% [markdown]
# Such mistakes do not crash. Training goes on, the loss falls, the codec works, a little worse than
# it could: codebooks that are half in use, for years. What finds them is a test of what the code is
# *meant* to do: "after the update, the revived codeword lies on its vector".
# `minicodec/codec/quantizer.py` lists five such promises, and `tests/test_quantizer.py` holds it to
# them.

# %% [markdown]
# ## Your codec: a codebook that learns
#
# A level of the quantizer, as an object: it starts from k-means, follows the vectors that choose it, and now and then
# revives the dead.

# %%
# The library's parts that the cells below may use; in my_codec, they use yours.
from minicodec.course.my_codec.quantizer import ema_update, kmeans_step, nearest_codeword_forward, revive


# %%
@exercise
def kmeans(x, N, iterations, rng):
    """x (n,D) -> means (N,D), counts (N): k-means, and how many vectors each mean has in the end.

    It begins with x[rng.choice(n, N, replace=False)], N different vectors.
    """
    raise NotImplementedError


check(kmeans)

# %%
@exercise
class Codebook:
    """One level's codewords, and what they learn from: codewords (N,D), counts (N), sums (N,D), updates (a number)."""

    def __init__(self, N, D):
        raise NotImplementedError

    def start(self, x, share, rng):
        """Start from k-means over x (n,D), in 50 iterations. An entry counts share · max(1, its vectors)."""
        raise NotImplementedError

    def learn(self, x, codes, rng):
        """Follow the vectors x (n,D) that chose the entries codes (n): ema_update, with decay 0.99.

        Every tenth update, entries with less than a tenth of the mean count die, and are revived: the first dead one as
        the first of x[rng.permutation(n)], and so on (from the start again, if they are more than n).
        """
        raise NotImplementedError


check(Codebook)

# %% [markdown]
# ## Exercises
#
# 1. `nearest_codeword_forward`: which one is it?
# 2. `kmeans_step`: one round.
# 3. `ema_update`: k-means that forgets.
# 4. `revive`: in the place that counts.
#
# To think about: Why is "fewer than 2 counts" a bad definition of dead, if a batch may hold 8 or 64
# clips? How many bits would a codebook need that makes 60 dB of SNR from 128-dimensional vectors,
# if each bit per number buys 6 dB? (Then read chapter 8.) Why must both sides have the same
# codebook to the last bit, but not the same encoder?
#
# ## What the paper says
#
# Codebooks of 1024 entries learn by moving averages with decay 0.99; entries that are not used are
# replaced by candidates of the current batch [Defossez22, §3.2], following SoundStream
# [Zeghidour21]. That the averages must be written, not the codewords, stands in neither.
#
# ## What to read next
#
# `minicodec/ops/nearest_codeword.py` (one matrix product, and what makes ties safe) and the second
# half of `minicodec/codec/quantizer.py`. Then chapter 8: one codebook is not enough, and the
# encoder must learn through the jump.
