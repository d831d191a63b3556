# %% [markdown]
# # 12 The loss balancer: weights that mean what they say
#
# **You will be able to** say why the weights of a sum of losses mean so little, measure who really
# steers a decoder, and write the small piece of code that makes a weight of 3 mean "three times as
# much as a weight of 1".
#
# **Before you start**: chapter 2 (gradients), chapter 10 (the time and the mel loss), chapter 11
# (the discriminator's two losses).
#
# **Reading time**: 25 minutes, and half an hour for the exercises. The cells take some fifteen
# seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(12)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio, functional as F
from minicodec.codec.quantizer import ResidualVectorQuantizer
from minicodec.course import check, exercise, yours
from minicodec.course.show import panels, play, source
from minicodec.files import data_folder
from minicodec.nn.layers import Conv1d, Linear
from minicodec.nn.optim import Adam
from minicodec.tensor import Tensor, grad
from minicodec.training.adversarial import Adversary
from minicodec.training.balancer import Balancer
from minicodec.training.config import AdversaryConfig
from minicodec.training.losses import MelLoss

yours();

# %% [markdown]
# ## The idea: count votes, not decibels
#
# By now we have four losses: the waveform should agree (`l1`), the spectrogram should agree
# (`mel`), the discriminator should be fooled (`adversarial`), and its features should agree
# (`feature`). One adds them, with weights:
#
# $$ L \;=\; \sum_i \lambda_i\, L_i $$
#
# That is a meeting in which everybody shouts. $\lambda = 3$ for one and $\lambda = 1$ for the other
# does not mean that the first counts three times as much: it means nothing, until we know how loud
# the two are by nature. The *value* of a loss does not say that. A loss of 1000 that cannot be
# changed has no say at all. What moves the decoder is a loss's **gradient**.
#
# So let us measure gradients. The decoder in this chapter is small: it gets speech in 17 steps
# (chapter 1's uniform quantiser, and nothing else) and should give back what was there before. It
# is three convolutions.

# %%
speech = audio.read(data_folder() / "speech_en_2.flac")[0][0]
mel_loss = MelLoss(24_000, windows=(64, 256, 1024))


def coarse(x):
    """What the decoder is given: x in steps of 1/8."""
    return np.round(x * 8).astype(np.float32) / 8


def crops(rng, B=4, T=4096):
    """Random pieces of the speech, x (B,T,1)."""
    starts = rng.integers(0, len(speech) - T, size=B)
    return np.stack([speech[start : start + T] for start in starts])[..., None]


class Decoder:
    """x (B,T,1) -> decoded (B,T,1)."""

    def __init__(self, C=12):
        rng = np.random.default_rng(0)
        self.layers = [Conv1d(a, b, 15, causal=False, rng=rng) for a, b in [(1, C), (C, C), (C, 1)]]
        self.parameters = [p for layer in self.layers for _, p in layer.named_parameters()]

    def __call__(self, x):
        first, second, last = self.layers
        return last(F.elu(second(F.elu(first(x)))))


x = crops(np.random.default_rng(1))
decoder = Decoder()
decoded = decoder(Tensor(coarse(x)))
adversary = Adversary(AdversaryConfig(windows=(1024, 256), filters=8), seed=0)
losses = {"l1": F.l1_loss(decoded, Tensor(x)), "mel": mel_loss(Tensor(x), decoded)}
losses |= adversary.losses(Tensor(x), decoded)
gradients = {name: grad(loss, [decoded])[0] for name, loss in losses.items()}

# %% [markdown]
# `grad(loss, [decoded])` is $g_i = \partial L_i / \partial \hat x$: in which direction this loss
# would like to move each sample of the decoder's output $\hat x$, and how much it cares. We need
# one number for "how much".
#
# ### Exercise 1: how loud is a gradient?
#
# Each item of the batch has a gradient of its own, a long vector: all its times and channels. Take
# its Euclidean norm, and the mean of these norms over the batch.

# %%
@exercise
def gradient_size(g):
    """g (B,T,C) -> size (), a number: the mean over the batch of each item's Euclidean norm.

    That is the square root of the sum of its squares, over all times and channels of the item.
    """
    raise NotImplementedError


check(gradient_size)

# %%
weights = {"l1": 0.1, "mel": 1.0, "adversarial": 3.0, "feature": 3.0}
sizes = {name: gradient_size(g) for name, g in gradients.items()}
weighted = sum(weights[name] * sizes[name] for name in losses)
axes = panels(3, 3)
bars = [
    ("value of the loss L", [float(loss) for loss in losses.values()]),
    ("size of dL/dx̂", list(sizes.values())),
    ("share in the sum of λ dL/dx̂", [weights[name] * sizes[name] / weighted for name in losses]),
]
for one, (title, heights) in zip(axes, bars, strict=True):
    one.bar(list(losses), heights, color=["C0", "C1", "C2", "C3"], log=True)
    one.set(title=title)
    one.tick_params(axis="x", rotation=25)
plt.show()
print("weights:", weights)
print("shares :", {name: f"{weights[name] * sizes[name] / weighted:.5%}" for name in losses})
assert weights["mel"] * sizes["mel"] > 0.99 * weighted

# %% [markdown]
# (The axes are logarithmic.) The weights are those of the paper; they ask for little `l1` and much
# `adversarial`. What the decoder would be told in a plain sum is more than 99 % `mel`. The others
# sit in the meeting and are not heard.
#
# One can see where the sizes come from. The gradient of `l1`, a mean over $B \cdot T$ samples, is
# $\pm 1/(BT)$ at every sample, whatever the error; the norm of $T$ such numbers is $1/(B\sqrt T)$.
# So it depends on how long the crops are! The mel loss holds a logarithm. In a pause the mel bins
# are near 0, where the slope of a logarithm is immense. Neither number says anything about how much
# the loss *matters*.

# %%
print(f"l1: {sizes['l1']:.6f} measured, {1 / (4 * np.sqrt(4096)):.6f} by the formula")
np.testing.assert_allclose(sizes["l1"], 1 / (4 * np.sqrt(4096)), rtol=1e-2)

# %% [markdown]
# ## All losses pass through one door
#
# The weights could be set by trial and error, and would be wrong again when the crops get longer,
# or as the decoder learns. It can be done once and for all, because of a property of our losses.
# Each of them sees the networks only through $\hat x$. Let $w$ be any weight of the decoder or the
# encoder. By the chain rule, with the matrix $J = \partial\hat x/\partial w$,
#
# $$ dw \;=\; \sum_i \lambda_i\, J^\mathsf{T} g_i
#    \;=\; J^\mathsf{T} \Bigl(\sum_i \lambda_i\, g_i\Bigr). $$
#
# Everything that the losses have to say to the networks goes through the one array $d\hat x =
# \sum_i \lambda_i g_i$. There we can stand at the door, look at each $g_i$ on its own, and decide
# how much of it passes. And it is cheap: each loss is differentiated only as far as $\hat x$;
# through the networks goes a single sweep (`grad(decoded, parameters, d_decoded)`), as many losses
# as there may be.

# %%
plain = losses["l1"] * weights["l1"]
for name in ("mel", "adversarial", "feature"):
    plain = plain + losses[name] * weights[name]
separately = grad(plain, decoder.parameters)
door = sum(weights[name] * gradients[name] for name in losses)
together = grad(decoded, decoder.parameters, door)
for a, b in zip(separately, together, strict=True):
    np.testing.assert_allclose(
        a, b, atol=0.01 * np.abs(b).max()
    )  # float32, and terms of very unequal size

# %% [markdown]
# ## The balancer
#
# Now divide each $g_i$ by its own size. Then all are equally loud, and the weights decide alone:
#
# $$ d\hat x \;=\; \sum_i \; R\,
#    \frac{\lambda_i}{\sum_j \lambda_j} \cdot \frac{g_i}{\langle n_i \rangle}, \qquad
#    n_i = \text{the size of } g_i, \qquad
#    \langle n_i\rangle = \text{its average over the last steps.} $$
#
# $R$ (`norm`, 1) is how loud the whole is. If a loss is multiplied by 1000, $g_i$ and $\langle
# n_i\rangle$ are, and nothing changes. Since $\lambda_i/\sum_j\lambda_j$ are shares, only their
# ratios matter.
#
# Why the *average* size, and not that of this very batch? Because the size of a gradient is also
# news. In a batch that the decoder already does well, the gradient is small and *should* count for
# little. Divided by its own size, every batch would get the same vote. The average is slow: it
# takes out the unit of the loss, and lets the news through.
#
# ## An average that is right from the first step
#
# The usual moving average, $a \leftarrow \beta a + (1-\beta)\,n$ with $\beta = 0.999$, remembers
# about a thousand steps. But it starts at 0. After the first step it is $n/1000$: the first
# gradient would be divided by a thousandth of its size. So keep two sums, that of the sizes and
# that of the weights they have by now,
#
# $$ \text{total} \leftarrow \beta\,\text{total} + n, \qquad
#    \text{count} \leftarrow \beta\,\text{count} + 1, \qquad
#    \langle n\rangle = \text{total}/\text{count}. $$
#
# After $t$ steps, count is $1 + \beta + \dots + \beta^{t-1} = (1-\beta^t)/(1-\beta)$: what the
# total would be if all sizes had been 1. The quotient is a true weighted mean at every step, the
# first included.
#
# ### Exercise 2
#
# For K losses at once.

# %%
@exercise
def running_average(totals, counts, sizes, decay):
    """totals (K), counts (K), sizes (K), decay -> totals (K), counts (K), averages (K), one step
    later.

    totals = decay · totals + sizes, counts = decay · counts + 1, averages = totals / counts.
    All is 0 before the first step. The inputs are not changed: the results are new arrays.
    """
    raise NotImplementedError


check(running_average)

# %%
# A loss whose gradient has a size of about 5, with an outlier at step 150, divided by three things.
rng = np.random.default_rng(0)
sizes_seen = 5 * np.exp(0.3 * rng.normal(size=300))
sizes_seen[150] *= 8
total, count, from_zero = np.zeros(1), np.zeros(1), 0.0
passed = {"average from 0": [], "total / count": [], "its own size": []}
for size in sizes_seen:
    total, count, average = running_average(total, count, np.array([size]), 0.999)
    from_zero = 0.999 * from_zero + 0.001 * size
    for name, divisor in zip(passed, (from_zero, average[0], size), strict=True):
        passed[name].append(size / divisor)

axes = panels(height=3.3)
for name, curve in passed.items():
    axes.semilogy(curve, label="divided by " + name, lw=1)
axes.set(
    xlabel="step",
    ylabel="size of what passes",
    title="A loss that joins at step 0; what passes is meant to have a size of 1",
)
axes.legend()
plt.show()
np.testing.assert_allclose(passed["average from 0"][0], 1000)
np.testing.assert_allclose(passed["total / count"][0], 1)
assert 4 < passed["total / count"][150] < 30

# %% [markdown]
# Without the count, the losses would begin a thousand times too strong, and would still be four
# times too strong after 300 steps. With it, all passes at about its weight, and outliers and quiet
# batches remain what they are.
#
# ### Exercise 3: the sum
#
# A loss may reach 0, and then its average is 0 as well. Add $10^{-12}$ to the averages, as the
# library does.

# %%
@exercise
def balance(gradients, averages, weights, norm):
    """gradients (K,B,T,C), averages (K), weights (K), norm -> dx (B,T,C): the K gradients in their
    shares.

    Each is divided by its average size + 1e-12, and multiplied by norm · weight / (sum of weights).
    """
    raise NotImplementedError


check(balance)

# %% [markdown]
# Put your three functions together, and they are the library's `Balancer`, step after step:

# %%
class MyBalancer:
    """Combines losses of a decoded signal. weights: name -> share."""

    def __init__(self, weights, norm=1.0, decay=0.999):
        self.weights, self.norm, self.decay = np.array(list(weights.values())), norm, decay
        self.totals, self.counts = np.zeros(len(weights)), np.zeros(len(weights))

    def __call__(self, losses, decoded):
        """-> d_decoded (B,T,C), the share of each loss in it."""
        g = np.stack([grad(loss, [decoded])[0] for loss in losses.values()])
        sizes = np.array([gradient_size(one) for one in g])
        self.totals, self.counts, averages = running_average(
            self.totals, self.counts, sizes, self.decay
        )
        parts = self.weights * sizes / (averages + 1e-12)
        return balance(g, averages, self.weights, self.norm).astype(np.float32), parts / parts.sum()


def balanced_steps(balancer, steps=4):
    """d_decoded and shares of the four losses, on some batches."""
    rng = np.random.default_rng(3)
    for _ in range(steps):
        x = crops(rng, B=2)
        decoded = decoder(Tensor(coarse(x)))
        losses = {"l1": F.l1_loss(decoded, Tensor(x)), "mel": mel_loss(Tensor(x), decoded)}
        yield balancer(losses | adversary.losses(Tensor(x), decoded), decoded)


for (mine, my_shares), (librarys, its_shares) in zip(
    balanced_steps(MyBalancer(weights)), balanced_steps(Balancer(weights)), strict=True
):
    np.testing.assert_allclose(mine, librarys, rtol=1e-3, atol=1e-5 * np.abs(librarys).max())
    np.testing.assert_allclose(my_shares, list(its_shares.values()), rtol=1e-4)
print({name: round(share, 3) for name, share in its_shares.items()})

# %% [markdown]
# When yours is right, compare: `source(Balancer)`. The shares are now near the weights divided by
# their sum (7.1): 0.014, 0.14, 0.42, 0.42. They need not be equal to them: the averages have seen
# four batches, and this batch is what it is.
#
# ## Multiply a loss by 1000
#
# The proof. Train the decoder with `l1` and `mel`, weights 1 and 1: once as they are, and once with
# `l1` multiplied by 1000 (as if somebody had decided to measure it in thousandths). First in a
# plain sum, then with the balancer: yours, if it is right.

# %%
def train(balancer, factor, steps=80):
    """-> the decoder, and its losses (steps,2): l1 and mel, before l1 is multiplied by `factor`."""
    rng, decoder, curve = np.random.default_rng(5), Decoder(), []
    optimizer = Adam({str(n): p for n, p in enumerate(decoder.parameters)}, lr=3e-3)
    for _ in range(steps):
        x = crops(rng)
        decoded = decoder(Tensor(coarse(x)))
        l1, mel = F.l1_loss(decoded, Tensor(x)), mel_loss(Tensor(x), decoded)
        curve.append((float(l1), float(mel)))
        d_decoded, _ = balancer({"l1": l1 * factor, "mel": mel}, decoded)
        for p, dp in zip(
            decoder.parameters, grad(decoded, decoder.parameters, d_decoded), strict=True
        ):
            p.grad = dp
        optimizer.step()
    return decoder, np.array(curve)


equal = {"l1": 1.0, "mel": 1.0}
trained = {}
for factor in (1, 1000):
    trained["plain sum", factor] = train(Balancer(equal, balanced=False), factor)
    trained["balanced", factor] = train(MyBalancer(equal), factor)

axes = panels(2, 3.5, sharey=True)
for (kind, factor), (_, curve) in trained.items():
    style = {"lw": 4, "alpha": 0.4} if factor == 1 else {"lw": 1.2, "color": "black"}
    axes[int(kind == "balanced")].semilogy(curve[:, 0], label=f"l1 · {factor}", **style)
    axes[int(kind == "balanced")].set(xlabel="step", title=kind)
axes[0].set_ylabel("mean |x - x̂|")
for one in axes:
    one.legend()
plt.show()

curves = {key: curve for key, (_, curve) in trained.items()}
ten_steps = {
    key: curve.reshape(-1, 10, 2).mean(axis=1) for key, curve in curves.items()
}  # single ones show rounding
np.testing.assert_allclose(ten_steps["balanced", 1], ten_steps["balanced", 1000], rtol=0.05)
at_the_end = {key: curve[-20:].mean(axis=0) for key, curve in curves.items()}
assert at_the_end["plain sum", 1][0] > 2 * at_the_end["balanced", 1][0]
assert at_the_end["plain sum", 1000][0] < 0.5 * at_the_end["plain sum", 1][0]
assert at_the_end["plain sum", 1][1] > 0.95 * at_the_end["balanced", 1][1]
for (kind, factor), (l1, mel) in at_the_end.items():
    print(f"{kind:10s} l1 · {factor:4d}: l1 {l1:.4f}, mel {mel:.2f}")

# %% [markdown]
# On the right, two curves lie on one another: the unit in which a loss is measured has no influence
# any more. On the left, the same two losses with the same two weights lead to two different
# decoders. In the plain sum 1 : 1, the waveform had no say, and came out wrong. The mel loss, which
# had all the say, gained nothing by it: a waveform that is right has the right spectrogram.
#
# Be fair to the plain sum, though: with `l1 · 1000` it does as well as the balancer. Good weights
# exist. But they had to be found, and here they lie a factor of a thousand from the ones that
# looked fair; the balancer needs no search.

# %%
piece = slice(24_000, 24_000 + 48_000)
play(coarse(speech[piece]), 24_000, "What the decoder is given: 17 steps")
for key in [("plain sum", 1), ("balanced", 1)]:
    decoded_piece = trained[key][0](Tensor(coarse(speech[piece])[None, :, None])).data[0, :, 0]
    play(decoded_piece, 24_000, f"{key[0]}, weights 1 and 1")

# %% [markdown]
# ## Who stays outside: the commitment loss
#
# There is a fifth loss, which pulls the encoder to its codewords (chapter 8). Can it be balanced as
# well? It is computed from the *latents*, which lie before the decoder. It does not pass through
# the door: its gradient with respect to $\hat x$ is 0, and there is nothing to divide.

# %%
rng = np.random.default_rng(0)
encoder, back = Linear(16, 8, rng=rng), Linear(8, 16, rng=rng)
quantizer = ResidualVectorQuantizer(2, 32, 8, rng=rng)
quantizer.updates[:] = 1
quantizer.eval()
pieces = Tensor(crops(rng, B=2, T=1600).reshape(2, 100, 16))
latents = encoder(pieces)
out = quantizer(latents, 2, rng)
decoded = back(out.z)
assert not grad(out.commitment, [decoded])[0].any()  # nothing passes through the door

weight_of = [encoder.weight]
through_the_door, beside_it = {}, grad(out.commitment, weight_of)[0]
for factor in (1, 1000):
    d_decoded, _ = Balancer({"l1": 1.0})({"l1": F.l1_loss(decoded, pieces) * factor}, decoded)
    through_the_door[factor] = grad(decoded, weight_of, d_decoded)[0]
np.testing.assert_allclose(through_the_door[1], through_the_door[1000], rtol=1e-3, atol=1e-6)
both = grad((decoded * d_decoded).sum() + out.commitment, weight_of)[0]
np.testing.assert_allclose(both, through_the_door[1] + beside_it, rtol=1e-3, atol=1e-5)
print(
    "gradient of the encoder's weights: "
    f"{np.linalg.norm(through_the_door[1]):.4f} through the door,",
    f"{np.linalg.norm(beside_it):.4f} from the commitment",
)

# %% [markdown]
# So it is added beside, with a weight of its own: $(\hat x \cdot d\hat x)\text{.sum()} +
# \lambda_c\,\ell$ is a number whose gradient is both together, in one sweep (the trainer calls it
# `surrogate`). And here $R$ gets its meaning. What comes through the door has the size $R$,
# whatever the losses are; what comes from the commitment has the size that it has by nature. Since
# Adam does not care about the size of the whole gradient, doubling $R$ is the same as halving the
# commitment's weight.
#
# Two things that a balancer does *not* do. It does not notice when a loss is nearly 0: it makes a
# tiny gradient as loud as it is told to, so training rests only because the learning rate falls or
# gradients of different batches cancel. And it does not make peace: if two losses pull in opposite
# directions, they cancel, and $d\hat x$ is shorter than $R$.

# %% [markdown]
# ## Your codec: the balancer as a class
#
# It remembers the usual size of each gradient from step to step.

# %%
# The library's parts that the cells below may use; in my_codec, they use yours.
from minicodec.course.my_codec.balancer import balance, gradient_size, running_average
from minicodec.course.my_codec.tensor import gradients


# %%
@exercise
class Balancer:
    """Makes the weights of K losses their shares of the gradient. weights: {name: number}.

    totals (K), counts (K): of the running averages, in the order of the weights; zeros at first.
    """

    def __init__(self, weights, decay=0.999):
        raise NotImplementedError

    def __call__(self, losses, decoded):
        """losses {name: Tensor of one number}, all made of decoded (B,T,C), a Tensor -> dx (B,T,C), with norm = 1."""
        raise NotImplementedError


check(Balancer)

# %% [markdown]
# ## Exercises
#
# 1. `gradient_size`: how loud is it?
# 2. `running_average`: right from the first step.
# 3. `balance`: the sum, in shares.
#
# To think about: The discriminator's losses join late, at step 10 000, say: what is their average
# at that step, and what would it be without the count? `l1`'s gradient has the same size in every
# batch; which of the four losses has the most varying one, and why? Adam divides by the size of
# gradients, too (`minicodec/nn/optim.py`): why does that not make the balancer superfluous?
#
# ## What the paper says
#
# The balancer stands in [Defossez22, §3.4], with $R = 1$, $\beta = 0.999$ and the weights 0.1
# (time), 1 (mel), 3 (adversarial) and 3 (feature matching) for the 24 kHz model. The commitment
# loss is left out of it; that its weight is 1 stands only in the code. The authors report an
# ablation: with all weights 1, SI-SNR is 10.3 dB with the balancer and 6.2 dB without; with the
# weights 1, 2, 100 and 1, it is 8.4 dB with, and −35.8 dB, a ruined model, without.
#
# ## What to read next
#
# `minicodec/training/balancer.py` (it is as short as yours) and the middle of `Trainer.update` in
# `minicodec/training/trainer.py`, where it stands between the losses and the networks. Then chapter
# 13 trains the whole codec.
