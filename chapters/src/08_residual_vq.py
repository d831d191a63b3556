# %% [markdown]
# # 8 Residual quantization, and a gradient through a jump
#
# **You will be able to** build a codec for any bitrate out of small codebooks; compute the gradient
# that an encoder needs although a quantizer has none; and recognise two ways of doing that which
# look right and are wrong.
#
# **Before you start**: chapter 7 (codebooks), chapter 2 (gradients).
#
# **Reading time**: 30 minutes, and as much for the exercises. The cells take some ten seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(8)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio, functional as F, tensor
from minicodec.codec.quantizer import ResidualVectorQuantizer, beam_search, kmeans
from minicodec.course import check, exercise, yours
from minicodec.course.show import panels, play, source
from minicodec.files import data_folder
from minicodec.nn.optim import Adam

yours();

# %% [markdown]
# ## The idea: say roughly which one, then correct
#
# At 6 kbit/s and 75 frames a second, a frame has 80 bits. One codebook would need $2^{80}$ entries:
# more than there are grains of sand. So do what a clerk does who gives change: the largest coin
# first, then the largest one for what is left.
#
# Level 1 takes the nearest codeword. What it missed, the **residual**, is a vector again: level 2
# has a codebook for residuals. And so on. Eight codebooks of 1024 entries cost 80 bits, hold 8192
# codewords and can say $1024^8 = 2^{80}$ different things.
#
# A lower bitrate comes for free: stop after fewer levels. One model serves them all.
#
# ### Exercise 1
#
# `F.nearest_codeword(x, codebook)` gives the codes of chapter 7: of x (n,D), n whole numbers.

# %%
@exercise
def residual_encode(x, codebooks):
    """x (n,D), codebooks (Q,N,D) -> codes (Q,n): each level quantizes what the levels before it
    have left over."""
    raise NotImplementedError


check(residual_encode)

# %% [markdown]
# ### Exercise 2

# %%
@exercise
def residual_decode(codes, codebooks):
    """codes (Q,n), codebooks (at least Q, N, D) -> x (n,D): the sum of the chosen codewords. Q may
    be fewer than all."""
    raise NotImplementedError


check(residual_decode)

# %% [markdown]
# ## A codec already
#
# Take the simplest "encoder" there is: cut the waveform into pieces of 16 samples, and call each
# piece a vector. Some clips train the codebooks by k-means, one level after the other, each on what
# the levels before it left over. Then we code a clip that was not among them.

# %%
D, N, Q = 16, 256, 8


def pieces(name):
    wav, _ = audio.read(data_folder() / name)
    return wav[0, : len(wav[0]) // D * D].reshape(-1, D).astype(np.float64)


train = np.concatenate([pieces(f"speech_en_{k}.flac") for k in (1, 2, 4)])
train = train[np.abs(train).max(axis=1) > 0]  # not the pauses
train = train[np.random.default_rng(0).choice(len(train), 8000, replace=False)]
test = pieces("speech_en_3.flac")[: 3 * 24_000 // D]

codebooks, residual = [], train
for level in range(Q):
    codebooks.append(kmeans(residual, N, 12, np.random.default_rng(level))[0])
    residual = residual - residual_decode(
        residual_encode(residual, codebooks[-1][None]), codebooks[-1][None]
    )
codebooks = np.stack(codebooks)

codes = residual_encode(test, codebooks)
levels = np.arange(1, Q + 1)
snrs = []
for q in levels:
    decoded = residual_decode(codes[:q], codebooks)
    snrs.append(10 * np.log10((test**2).sum() / ((test - decoded) ** 2).sum()))
    if q in (1, 3, 8):
        play(
            decoded.ravel(),
            24_000,
            f"{q} level(s): {q * np.log2(N) * 24 / D:.0f} kbit/s, SNR {snrs[-1]:.1f} dB",
        )

axes = panels(height=3.3)
axes.step(levels, snrs, where="post")
axes.plot(levels, snrs, "o", color="C0")
axes.set(
    xlabel="levels",
    ylabel="SNR / dB",
    title="The staircase: each level takes off some of what is left",
)
plt.show()
assert (np.diff(snrs) > 0).all()
assert np.array_equal(
    residual_encode(test, codebooks[:3]), codes[:3]
)  # a lower rate is a prefix of the higher one

# %% [markdown]
# The first steps are high and the later ones low: what remains looks more and more like noise, in
# which there are no typical vectors. For noise, chapter 1's six decibels a bit promise 3 dB for a
# level: its 8 bits are half a bit for each of 16 numbers, and $6.02 \cdot 8 / 16 = 3$. The first two
# levels beat that, because speech is no noise. From the third on they stay below: 256 codewords
# that learned from 8000 vectors, 31 each, fit those better than a new clip.
#
# This codec sends 1500 codes of 8 bits a second for each level: 12 kbit/s. EnCodec sends 75 of 10
# bits: 0.75 kbit/s. The difference is the encoder, which makes one vector out of 320 samples. To
# learn that, it needs a gradient.
#
# ## The nearest at each level is not the best of all
#
# A clerk with coins of 25, 10 and 1 gives 30 as 25 and five times 1. Three tens would be fewer: who
# takes the largest first does not always do best. So it is with codewords. One that is a little
# farther away may leave something that the next codebook knows better.
#
# To try all $256^8$ sums is out of the question. To follow a few is not. A **beam search** keeps
# after each level not one choice but the best eight so far, and tries all codewords of the next
# level on what each of them left [LeBlanc93].

# %%
wide = ResidualVectorQuantizer(Q, N, D, beam=8, rng=np.random.default_rng(0))
wide.codebooks = codebooks.astype(np.float32)
for q in (2, 4, 8):
    missed = test - residual_decode(wide.encode(test.astype(np.float32), q), codebooks)
    snr = 10 * np.log10((test**2).sum() / (missed**2).sum())
    print(f"{q} levels: SNR {snrs[q - 1]:.1f} dB, with a beam of 8 {snr:.1f} dB")
assert snr > snrs[-1] + 2
source(beam_search)

# %% [markdown]
# As many bits, and less error: at eight levels, half of its power is gone. The encoder searches eight
# times as long, and the decoder need not know. EnCodec takes the nearest; the model that comes with
# minicodec follows eight. Your codec will take the nearest.
#
# ## The jump
#
# The decoder's loss sends a gradient $dz$ back to the quantized vector $z$. The encoder made $x$.
# In between stands "take the nearest": a staircase again, now of $z$ over $x$. Its slope is 0 on
# every step and undefined at every edge. So the true gradient is zero, and an encoder that gets
# zero learns nothing.
#
# The **straight-through** estimator is a bold lie: on the way back, pretend that $z$ was $x$.
# Whatever direction would have helped $z$, send $x$ there. It usually points the right way, as long
# as $z$ is close to $x$. To keep it close, a second loss pulls the encoder to its codewords, the
# **commitment** loss. Let $r_i$ be what level $i$ is given, and $q_i$ the codeword that it chooses:
# $r_1 = x$, and $r_{i+1} = r_i - q_i$. Then
#
# $$ \ell \;=\; \frac1Q \sum_{i=1}^{Q} \operatorname{mean}\bigl( (r_i - q_i)^2 \bigr), \qquad
#    q_i \text{ constant}, $$
#
# where the mean is over all $n \cdot D$ entries: $n$ vectors of $D$ numbers. In code the
# straight-through is one line: $z = x + \operatorname{sg}(\sum_i q_i - x)$, where sg (stop gradient)
# means: this number, as a constant. Forward, $z$ is $\sum_i q_i$; backward, $z$ has slope 1 in $x$.
# The commitment is one line for each level, `F.mse_loss(r, q)`.
#
# ### Exercise 3
#
# Every residual contains $x$ with slope 1: $r_i = x - q_1 - \ldots - q_{i-1}$. So what is $dx$, the
# gradient of both losses together? (In `codewords`, `codewords[i]` holds the $q$ of one level, for
# all $n$ vectors.)

# %%
@exercise
def quantizer_backward(dz, x, codewords):
    """dz (n,D), x (n,D), codewords (Q,n,D) -> dx (n,D): what reaches the encoder, from both of its
    losses.

    dz passes straight through, and to it is added the gradient of the commitment loss: the mean
    over the Q levels of mean((residual - codeword)²), the mean over all n·D entries. Codewords are
    constants.
    """
    raise NotImplementedError


check(quantizer_backward)

# %%
# The library's quantizer, differentiated by the machine of chapter 2, agrees. (Its codebooks are
# ours, marked as initialised; eval: they stay as they are.)
quantizer = ResidualVectorQuantizer(Q, N, D, rng=np.random.default_rng(0))
quantizer.codebooks, quantizer.updates[:] = codebooks, 1
quantizer.eval()
x = tensor.Tensor(test[None, :50], requires_grad=True)
dz = np.random.default_rng(1).normal(size=(50, D)) / 1000
out = quantizer(x, Q, np.random.default_rng(0))
dx = tensor.grad((out.z * dz).sum() + out.commitment, [x])[0][0]
chosen = np.stack([codebooks[q][out.codes[0, q]] for q in range(Q)])
np.testing.assert_allclose(dx, quantizer_backward(dz, test[:50], chosen), rtol=1e-9, atol=1e-12)
print("the library's quantizer gives the same gradient")

# %% [markdown]
# ## Two ways to do it wrong
#
# Both are natural: they make *each level* a module with a straight-through of its own. Watch what
# happens to gradients.
#
# **Wrong 1.** Level by level, $\hat q_i = r_i + \operatorname{sg}(q_i - r_i)$, and $r_{i+1} = r_i -
# \hat q_i$. Forward that is still $r_i - q_i$, but backward its slope is $1 - 1 = 0$: from level 2
# on, no commitment reaches $x$. Only the first level's moves the encoder; the other seven are
# talking to nobody.
#
# **Wrong 2.** Cut the codeword off in the residual ($r_{i+1} = r_i - \operatorname{sg}(q_i)$, which
# is right), but keep the straight-through of each level in the sum: $z = \sum_i \hat q_i$. Now each
# of the $Q$ levels passes $dz$ on to its $r_i$, and each $r_i$ to $x$: the encoder's gradient is
# multiplied by $Q$. So $dz$ weighs $Q$ times as much, beside the commitment, as it should, and
# batches at a high bitrate outweigh the others.

# %%
def ways(x, codebooks):
    """x (n,D) Tensor -> for each way: (z, commitment terms), built with Tensors."""

    def level(r, codebook):
        return codebook[F.nearest_codeword(r.data, codebook)]

    results = {}
    for way in ("wrong 1", "wrong 2", "right"):
        r, z, commitments = x, None, []
        for codebook in codebooks:
            q = level(r, codebook)
            straight = r + (q - r.data)  # arrays are constants: no gradient goes into them
            commitments.append(F.mse_loss(r, q))
            r = r - (straight if way == "wrong 1" else q)
            z = straight if z is None else z + straight
        if way == "right":
            z = x + (z.data - x.data)
        results[way] = z, commitments
    return results


x = tensor.Tensor(test[:50], requires_grad=True)
axes = panels(2, 3.2)
widths = {"wrong 1": 1.5, "wrong 2": 6, "right": 1.5}  # wrong 2 lies under right
for n, (way, (z, commitments)) in enumerate(ways(x, codebooks).items()):
    factor = (tensor.grad(z, [x], dz)[0] * dz).sum() / (dz * dz).sum()
    axes[0].bar_label(axes[0].bar(n, factor), [f"{factor:.0f} dz"])
    reach = [np.abs(tensor.grad(c, [x])[0]).max() for c in commitments]
    axes[1].plot(levels, reach, "o-", lw=widths[way], ms=2 * widths[way], label=way)
    np.testing.assert_allclose(factor, {"wrong 1": 1, "wrong 2": Q, "right": 1}[way], atol=1e-9)
    assert (np.array(reach)[1:] > 1e-9).all() == (way != "wrong 1")
axes[0].set(
    xticks=range(3), xticklabels=widths, ylim=(0, 9), title="how much of dz reaches the encoder"
)
axes[1].set(
    ylim=(-5e-6, None),
    xlabel="level",
    ylabel="largest gradient",
    title="what a level's commitment tells the encoder",
)
axes[1].legend()
plt.show()

# %% [markdown]
# Neither mistake can be seen in the forward pass, and neither makes training crash. The right way:
# codewords are constants in the residuals, and **one** straight-through around all levels together.
# `source(ResidualVectorQuantizer.__call__)` shows it.
#
# ## Does an encoder learn through the jump?
#
# A small test. The encoder is a matrix that makes 4 numbers of 16 samples, the decoder another that
# goes back. Between them stand two codebooks that follow their vectors (chapter 7). All of it
# begins at random. We train it twice: with the straight-through estimator, and with the commitment
# loss alone.

# %%
def learn(way, steps=150):
    rng = np.random.default_rng(0)
    encoder = tensor.Tensor(0.5 * rng.normal(size=(D, 4)).astype(np.float32), requires_grad=True)
    decoder = tensor.Tensor(0.5 * rng.normal(size=(4, D)).astype(np.float32), requires_grad=True)
    quantizer = ResidualVectorQuantizer(2, 32, 4, rng=rng)
    optimizer = Adam({"e": encoder, "d": decoder}, lr=0.02)
    losses = []
    for _ in range(steps):
        batch = (10 * train[rng.choice(len(train), 256)]).astype(np.float32)
        latent = F.linear(tensor.Tensor(batch[None]), encoder)
        out = quantizer(latent, 2, rng)
        z = out.z if way == "straight through" else out.z.detach()  # detached: dz is cut off
        loss = ((F.linear(z, decoder) - batch[None]) ** 2).mean()
        losses.append(float(loss))
        total = loss + 0.1 * out.commitment
        encoder.grad, decoder.grad = tensor.grad(total, [encoder, decoder])
        optimizer.step()
    return losses


axes = panels(height=3)
final = {}
for way in ("straight through", "commitment only"):
    losses = learn(way)
    final[way] = np.mean(losses[-20:])
    axes.semilogy(losses, label=way)
axes.set(xlabel="step", ylabel="mean squared error")
axes.legend()
plt.show()
print({way: f"{error:.3f}" for way, error in final.items()})
assert final["straight through"] < final["commitment only"]

# %% [markdown]
# ## Your codec: the quantizer, and a whole codec
#
# Several codebooks, one after the other, each of which starts when there are enough vectors for it.
# And the codec itself: encoder, quantizer, decoder, and from waveforms to codes and back. These are
# the parts it is made of; `help(Codebook)` says more.
#
# | | |
# |---|---|
# | `Codebook(N, D)` | chapter 7: `codewords` (N,D), `counts`, `start(x, share, rng)`, `learn(x, codes, rng)` |
# | `Encoder(filters, D, strides, lstm_layers, rng)` | chapter 6: called with a Tensor (B,T,1), a Tensor (B,frames,D) |
# | `Decoder(filters, D, strides, lstm_layers, rng)` | chapter 6: and back |
# | `Tensor(array, parents, send_back)` | chapter 2: `send_back(dy)` returns a tuple of gradients, one for each parent |

# %%
# The library's parts that the cells below may use; in my_codec, they use yours. Here Tensor is your
# codec's; above, it was tensor.Tensor.
from minicodec.course.my_codec.quantizer import (
    Codebook,
    nearest_codeword_forward,
    quantizer_backward,
    residual_decode,
    residual_encode,
)
from minicodec.course.my_codec.seanet import Decoder, Encoder
from minicodec.course.my_codec.tensor import Tensor


# %%
@exercise
class Quantizer:
    """Q codebooks, one after the other: the list `levels`. ready: how many have been started;
    waiting (n,D): vectors that gather for the next one.
    """

    def __init__(self, Q, N, D):
        raise NotImplementedError

    def __call__(self, z, Q, rng):
        """z (B,T,D), a Tensor -> quantized z, a Tensor: with the first Q levels, as far as they are
        ready; they learn.

        Each level finds its codewords before it learns, from what the levels before it left over.
        quantizer_backward sends gradients back. If one of these Q levels is not ready, then what
        the others left over waits for it (`gather`). Without a ready level, z itself comes back.
        """
        raise NotImplementedError

    def gather(self, x, rng):
        """Add x (n,D) to `waiting`. As soon as there are 2·N vectors, start the next level with
        them; none wait then.

        The share of its counts is n / (all that waited): they count as if they had come in batches
        as large as x.
        """
        raise NotImplementedError


check(Quantizer)

# %%
@exercise
class Codec:
    """A whole codec: encoder, quantizer, decoder, and the config that it was made by.

    config["seanet"]: a dict with filters, latent, strides, lstm_layers; config["quantizer"]: with
    levels, entries.
    """

    def __init__(self, config, rng):
        raise NotImplementedError

    def encode(self, wav, Q):
        """wav (T) -> codes (Q,frames): of the first Q levels."""
        raise NotImplementedError

    def decode(self, codes, T):
        """codes (Q,frames) -> wav (T)."""
        raise NotImplementedError


check(Codec)

# %% [markdown]
# ## Exercises
#
# 1. `residual_encode`: coins, the largest first.
# 2. `residual_decode`: they add up.
# 3. `quantizer_backward`: once, straight through.
#
# For your codec: `Quantizer`, `Codec`.
#
# To think about: With the nearest at each level, the codes of a lower rate are the first rows of those
# of a higher one. With a beam they are not. Why? The bitrate is drawn anew for every batch in
# training; what would happen to level 8 if it were always 6 kbit/s? Why does the commitment loss stay
# outside of the loss balancer (chapter 12)?
#
# ## What the paper says
#
# Up to 32 codebooks of 1024 entries at 24 kHz, 10 bits each; a frame rate of 75 Hz makes 0.75
# kbit/s per level. During training the number of levels is drawn per batch, so that one model
# serves all rates [Defossez22, §3.2]. The commitment loss sums over levels, with the gradient taken
# with respect to the encoder only [Defossez22, §3.4]; its weight, 1, stands in the code.
#
# ## What to read next
#
# `minicodec/codec/quantizer.py`, which by now should hold no surprise. Then chapter 9 builds a
# codec that has learned nothing but a few codebooks, and sends speech at 6 kbit/s.
