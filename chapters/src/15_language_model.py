# %% [markdown]
# # 15 A language model of codes, and arithmetic that is the same everywhere
#
# **You will be able to** compute one head of attention by hand, and say what it looks at; train a
# small Transformer to expect the next codes, and predict to the byte what a file will weigh; and
# explain why a guess made of floats can ruin a file, and what to do.
#
# **Before you start**: chapter 14 (the range coder); chapter 2 (gradients), for the training.
#
# **Reading time**: 40 minutes, and an hour for the exercises. The cells take some fifteen seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(15)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio, functional as F
from minicodec.codec.files.entropy import chunk_coder, range_coder
from minicodec.codec.files.entropy.adaptive import Adaptive
from minicodec.codec.files.entropy.predictor import Predictor
from minicodec.codec.language_model import (
    START,
    LanguageModel,
    LanguageModelConfig,
    positions as library_positions,
)
from minicodec.course import check, exercise, yours
from minicodec.course.show import curves, panels, source
from minicodec.course.speech_codes import speech_codes
from minicodec.files import data_folder
from minicodec.kernels.cpu import exact as compiled
from minicodec.nn.optim import Adam
from minicodec.ops import exact
from minicodec.tensor import grad

yours();
rng = np.random.default_rng(0)

# %% [markdown]
# ## The idea: look at the frames before
#
# Chapter 14 counted codes: it knows how often a code came, but not *after what*. After the
# beginning of an "s" the middle of an "s" is likely. A table of all pairs of frames would have
# $(64^4)^2$ entries, so we need something that generalises: a network. It reads the frames so far,
# and gives one softmax for each codebook of the next frame. Since what it predicts is a sequence of
# symbols, it is called a *language model*.
#
# We take the codes of chapter 14: four codebooks of 64 entries, from a codec that nobody trained.

# %%
Q, N = 4, 64
codec, spoken = speech_codes(Q, N)  # codes (Q,T) of seven clips, to learn from
wav, _ = audio.read(data_folder() / "speech_en_3.flac")
codes = codec.encode(wav)[0].codes.astype(np.int64)  # (Q,T) of a clip that nobody has met


def intervals(codes, cumulative):
    """Codes (T), cumulative (T,N+1) -> where each code's counts start and stop, totals (T)."""
    rows = np.arange(len(codes))
    return cumulative[rows, codes], cumulative[rows, codes + 1], cumulative[:, -1]


def cost(starts, stops, totals):
    """-log2 p of every code, in bits."""
    return -np.log2((stops - starts) / totals)


# %% [markdown]
# The network begins with an embedding: a table with a vector of $D$ numbers for each code of each
# codebook; the $Q$ vectors of a frame are added. So the past is a row of vectors, and the question
# is how frame $t$ finds what it needs in it. An LSTM (chapter 5) carries a summary along. A
# **Transformer** [Vaswani17] looks back, each time anew:
#
# - each frame $j$ offers a *key* $k_j$ ("what I am") and a *value* $v_j$ ("what I have to say"),
#   both linear in its vector;
# - frame $t$ asks with a *query* $q_t$, and a key that points the same way answers loudly: the
#   score is $q_t \cdot k_j$;
# - a softmax makes weights of the scores, and what frame $t$ receives is the weighted mean of the
#   values.
#
# ## One head, by hand
#
# Three frames, and vectors of two numbers. Frame 2 asks $q = (2, 0)$: "who has much in the first?"
#
# | frame | key | value | score $q \cdot k$ | $e^{\text{score}/\sqrt2}$ | weight |
# |---|---|---|---|---|---|
# | 0 | (1, 0) | (10, 0) | 2 | 4.11 | 0.58 |
# | 1 | (0, 1) | (0, 10) | 0 | 1 | 0.14 |
# | 2 | (½, ½) | (5, 5) | 1 | 2.03 | 0.28 |
#
# The exponentials sum to 7.14, and each weight is its share. So frame 2 receives
# 0.58 · (10, 0) + 0.14 · (0, 10) + 0.28 · (5, 5) = (7.2, 2.8): mostly what frame 0 had to say.

# %%
query = np.array([2.0, 0.0])
keys = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
values = np.array([[10.0, 0.0], [0.0, 10.0], [5.0, 5.0]])
loudness = np.exp(keys @ query / np.sqrt(2))
weights = loudness / loudness.sum()
print("weights", weights.round(2), "  received", (weights @ values).round(1))

# %% [markdown]
# For all frames at once, with $d$ numbers each:
#
# $$ y_t = \sum_{j \le t} a_{tj}\, v_j, \qquad
#    a_{tj} = \frac{e^{q_t \cdot k_j / \sqrt d}}{\sum_{i \le t} e^{q_t \cdot k_i / \sqrt d}} $$
#
# Why $\sqrt d$? If the entries of $q$ and $k$ have variance 1, their product over $d$ entries has
# variance $d$; without the division the softmax of large $d$ would begin almost hard, with hardly a
# gradient. And $j \le t$ keeps the future out: the decoder does not have it.
#
# Exercise 1

# %%
@exercise
def causal_attention(q, k, v, context):
    """q (T,d), k (T,d), v (T,d) -> y (T,d): y[t] is a weighted mean of the v[j].

    The scores are q[t]·k[j] / sqrt(d); the weights of frame t are their softmax over the frames
    j = t - context … t (those that exist): the frame itself and `context` frames before it.
    """
    raise NotImplementedError


check(causal_attention)

# %%
# The library's coder does the same, frame by frame, with a ring of the last keys and values.
q, k, v = rng.normal(size=(3, 30, 8)).astype(np.float32)
rings = np.zeros((1, 1, 8, 10), np.float32), np.zeros((1, 1, 10, 8), np.float32)
found = exact.attend(np.concatenate([q, k, v], axis=1)[None], *rings, 0)[0]
np.testing.assert_allclose(found, causal_attention(q, k, v, context=9), rtol=1e-3, atol=1e-3)
by_hand = causal_attention(np.array([query] * 3), keys, values, context=2)[2]
np.testing.assert_allclose(by_hand, weights @ values)

# %% [markdown]
# ## Where am I?
#
# A weighted mean does not know in which order its terms came. Shuffle the past, and frame 29
# receives the very same:

# %%
shuffled = np.append(rng.permutation(29), 29)
whole = causal_attention(q, k, v, context=29)[29]
np.testing.assert_allclose(causal_attention(q, k[shuffled], v[shuffled], context=29)[29], whole,
                           rtol=1e-5, atol=1e-6)

# %% [markdown]
# But "s, then t" is not "t, then s". So each frame's vector gets something added that says *when*
# it is. The frame's number itself would grow without limit. Hands of a clock do not: a fast one
# tells neighbours apart, a slow one minutes from hours. Each hand is a cosine and a sine,
#
# $$ p_{t,i} = \cos \frac{t}{10000^{\,i/(h-1)}}, \qquad
#    p_{t,h+i} = \sin \frac{t}{10000^{\,i/(h-1)}},
#    \qquad i = 0 \ldots h - 1, \quad h = D/2. $$
#
# ### Exercise 2

# %%
@exercise
def positions(T, D):
    """T, D -> p (T,D): what is added to frame t, so that it knows when it is.

    h = D/2 angles t / 10000^(i/(h-1)), i = 0 … h - 1: first their cosines, then their sines.
    """
    raise NotImplementedError


check(positions)

# %%
p = positions(200, 48)
np.testing.assert_allclose(p, library_positions(0, 200, 48), atol=1e-4)
left, right = panels(2, 2.8)
left.imshow(p.T, aspect="auto", cmap="RdBu")
left.set(title="24 cosines, and 24 sines", xlabel="frame", ylabel="number")
for t in (60, 140):
    right.plot(p @ p[t] / 24, label=f"frame {t}")
right.set(title="how alike the positions of two frames are", xlabel="frame")
right.legend()
plt.show()

# %% [markdown]
# On the right: two positions are alike if the frames are near each other, and how alike depends on
# their distance alone (a cosine of a difference). So queries and keys can learn to say "just before
# me" or "half a second ago", wherever they are.


# %% [markdown]
# ## The rest of a layer
#
# You know it: the result is added to the frame's vector (a skip, as in chapter 6), normalised, sent
# through two linear maps with a GELU in between, added, normalised. Several attentions stand side
# by side, called *heads*, each on its own part of the vector. `source(LanguageModel)` is the whole
# model, `minicodec/codec/language_model.py` its file.
#
# To train it is to make the file short: the loss is the mean of $-\ln p$ of the codes that came,
# the *cross-entropy*. That is the file's length in bits, times $\ln 2$. Every frame of a crop is
# predicted in one pass; attention hides the future from each. Below, a small one: two layers, $D =
# 48$, trained for some seconds. (`minicodec train-lm` trains large ones.)

# %%
LONG = (
    False  # True: 600 steps, about a minute. The curve falls further, and the file does not: why?
)


def before(codes):
    """Codes (B,Q,T) -> the frames before them, as the model wants them: START, codes + 1."""
    return np.concatenate([np.full_like(codes[:, :, :1], START), codes[:, :, :-1] + 1], axis=2)


def train(steps, lr, T=64, B=8):
    """A language model of `spoken`, and the cross-entropy in bits a code at each step."""
    config = LanguageModelConfig(
        Q, N, context=40, D=48, layers=2, heads=4, hidden=128, zero_past=False
    )
    lm = LanguageModel(config, codec=codec.name, rng=np.random.default_rng(0))
    rng, along = np.random.default_rng(1), []
    parameters = dict(lm.named_parameters())
    optimizer = Adam(parameters, lr=lr, weight_decay=0.1)
    for step in range(steps):
        clips = [spoken[i] for i in rng.integers(len(spoken), size=B)]
        starts = [rng.integers(clip.shape[1] - T) for clip in clips]
        crop = np.stack([clip[:, t : t + T] for clip, t in zip(clips, starts, strict=True)])
        logits, _ = lm(before(crop), lm.start(B))
        loss = F.cross_entropy(logits, crop.transpose(0, 2, 1)).mean()
        for p, g in zip(parameters.values(), grad(loss, list(parameters.values())), strict=True):
            p.grad = g
        optimizer.lr = lr * min(1, (step + 1) / 20) * (1 - step / steps)
        optimizer.step()
        along.append(float(loss.data) / np.log(2))
    lm.eval()
    return lm, along


lm, along = train(600, 1e-3) if LONG else train(90, 3e-3)
steps = np.arange(len(along))
curves(
    steps,
    {"the model": along, "without a guess": np.full(len(along), 6)},
    height=2.8,
    xlabel="step",
    ylabel="cross-entropy / bits a code",
    title="Learning to expect what is said",
)
assert np.mean(along[-10:]) < 5

# %% [markdown]
# ## Predicted bits and real bytes
#
# `codec.compress(wav, lm=...)` takes `"adaptive"` or a language model. What should the file weigh,
# and what does it weigh? The predictors say; the file system knows.

# %%
def predicted_bytes(predictor, codes, chunk):
    """The prices of all codes, as chunks of so many frames are coded: each begins afresh."""
    total = 0.0
    for t in range(0, codes.shape[1], chunk):
        part = codes[:, t : t + chunk]
        counts = predictor(before(part[None]), predictor.start(1))[0]  # (T,Q,N+1)
        total += sum(cost(*intervals(part[q], counts[:, q])).sum() for q in range(Q))
    return total / 8


kinds = {"no guess": None, "counting": "adaptive", "language model": lm}
predictors = {"counting": (Adaptive(Q, N), 60 * 75), "language model": (Predictor(lm, Q), 5 * 75)}
predicted, payload, header = [], [], []
for kind, how in kinds.items():
    packet = codec.compress(wav, lm=how)
    same = codec.decompress(packet, lm=None if isinstance(how, str) else how)
    np.testing.assert_array_equal(
        same, codec.decode(codec.encode(wav), wav.shape[1])
    )  # nothing is lost
    if how is None:
        predicted.append(codes.size * 6 / 8)
        payload.append(-(-codes.size * 6 // 8))
    else:
        predictor, chunk = predictors[kind]
        predicted.append(predicted_bytes(predictor, codes, chunk))
        parts = [codes[:, t : t + chunk] for t in range(0, codes.shape[1], chunk)]
        payload.append(sum(len(chunk_coder.encode(part, predictor)) for part in parts))
        assert abs(payload[-1] - predicted[-1]) < 1.1 * len(parts)  # a byte at most for each chunk
    header.append(len(packet) - payload[-1])
    print(
        f"{kind:15} predicted {predicted[-1]:7.1f} bytes   written {payload[-1]:5d}",
        f"  header {header[-1]:4d}",
    )

seconds = wav.shape[1] / 24_000
axes = panels(height=2.8)
rates = [np.array(sizes) * 8 / seconds / 1000 for sizes in (payload, header, predicted)]  # kbit/s
axes.barh(range(3), rates[0], label="written: codes")
axes.barh(range(3), rates[1], left=rates[0], color="lightgrey", label="written: header")
axes.vlines(rates[2], np.arange(3) - 0.4, np.arange(3) + 0.4, color="red", label="predicted")
axes.set(
    yticks=range(3),
    yticklabels=kinds,
    xlabel="kbit/s",
    title="The file is as long as the guess is bad",
)
axes.invert_yaxis()
axes.legend()
plt.show()
assert payload[2] < payload[1] < payload[0]

# %% [markdown]
# The language model was trained on other clips; a model tested on its training data would look far
# better and be worth nothing.
#
# ## Why floats break decoders
#
# The decoder must have the *very* counts that the encoder had. Counts of codes are integers: no
# question. But a network's probabilities are sums of floats, and a float sum depends on its order:

# %%
a, b = np.float32(1), np.float32(1e8)
print("(1 + 1e8) - 1e8 =", (a + b) - b, "   1 + (1e8 - 1e8) =", a + (b - b))
assert (a + b) - b == 0
assert a + (b - b) == 1

# %% [markdown]
# 1e8 + 1 has nine digits, and a float32 keeps seven. Which order a matrix product takes depends on
# the processor, the library, the number of threads, and on how many rows there are. To every other
# program in this book a wrong last digit is nothing.
#
# To see what it is here, let us build "another machine". Number the hidden units of the language
# model in another order: columns of one matrix, and rows of the next, permuted alike. It is the
# same function, with the same weights; only the sums run in another order, as on another machine.
# Then let one machine write codes as the released EnCodec does, which rounds float probabilities to
# counts, and the other one read them.

# %%
other = LanguageModel(lm.config, codec=codec.name, rng=np.random.default_rng(0))
other.load_state_dict(lm.state_dict())
for layer in other.layers:
    order = np.random.default_rng(5).permutation(lm.config.hidden)
    layer.linear1.weight.data = np.ascontiguousarray(layer.linear1.weight.data[:, order])
    layer.linear1.bias.data = layer.linear1.bias.data[order].copy()
    layer.linear2.weight.data = np.ascontiguousarray(layer.linear2.weight.data[order])

part = codes[:, :225]  # three seconds
p, p_other = (one.probabilities(before(part[None]), one.start(1))[0][0] for one in (lm, other))


def rounded(p):
    """Float probabilities (...,N) -> cumulative counts (...,N+1), 2^24 in all, at least 1 each."""
    counts = 1 + np.floor(p * np.float32(2**24 - p.shape[-1])).astype(np.int64)
    return np.pad(counts.cumsum(axis=-1), [(0, 0)] * (p.ndim - 1) + [(1, 0)])


differ = (rounded(p) != rounded(p_other)).mean()
print(
    f"probabilities differ by at most {np.abs(p - p_other).max():.1e}; "
    f"of the counts, {differ:.0%} differ"
)
np.testing.assert_allclose(p, p_other, atol=1e-4)
assert differ > 0


def write_floats(codes, lm):
    """Codes (Q,T) -> bytes, by float probabilities, a frame at a time."""
    past, last, found = lm.start(1), np.full((1, Q, 1), START), []
    for frame in codes.T:
        p, past = lm.probabilities(last, past)
        found.append(intervals(frame, rounded(p[0, 0])))
        last = 1 + frame[None, :, None].astype(np.int64)
    return range_coder.encode(*np.concatenate(found, axis=1))


def read_floats(data, T, lm):
    """The inverse, as far as it gets: codes (Q,T), -1 where no code fits the bytes."""
    decoder, past, last = range_coder.Decoder(data), lm.start(1), np.full((1, Q, 1), START)
    found = np.full((Q, T), range_coder.DAMAGED)
    for t in range(T):
        p, past = lm.probabilities(last, past)
        found[:, t] = decoder.pull(rounded(p[0, 0]))
        last = 1 + np.maximum(found[None, :, t : t + 1], 0)
    return found


written = write_floats(part, lm)
same, elsewhere = read_floats(written, 225, lm), read_floats(written, 225, other)
assert np.array_equal(same, part)
assert not np.array_equal(elsewhere, part)

figure, axes = plt.subplots(2, 1, figsize=(9, 3.6), sharex=True, layout="constrained")
titles = "read by the machine that wrote it", "read by the other one"
for axis, found, title in zip(axes, (same, elsewhere), titles, strict=True):
    picture = np.where(found == part, 0, np.where(found < 0, 2, 1))
    axis.imshow(
        picture,
        aspect="auto",
        cmap="RdYlGn_r",
        vmin=0,
        vmax=2,
        interpolation="nearest",
        extent=(0, 3, Q + 0.5, 0.5),
    )
    axis.set(
        ylabel="level",
        yticks=range(1, Q + 1),
        title=f"{title}: {(found == part).mean():.0%} of the codes are right",
    )
axes[1].set(xlabel="time / s     (green: right, yellow: wrong, red: no code fits)")
plt.show()
first = np.flatnonzero((elsewhere != part).any(axis=0))[0]
print(f"the first wrong frame is number {first}")

# %% [markdown]
# One count of $2^{24}$ that differs by 1 shifts an interval by its last digit. That is harmless for
# 24 bits, half a dozen codes; by then the last digit has moved to the front, and a code comes out
# wrong. The model is fed with it, predicts something else, and from there on codes are right by
# luck only (in the pauses luck is frequent). Nothing in this format tells the decoder.
#
# ### The cure: the same bits everywhere
#
# IEEE 754, the standard of floats, leaves no freedom in a *single* $+, -, \cdot, /$ or root: each
# has one correctly rounded result. All the freedom is in the order, in fused instructions ($x y +
# z$ rounded once), and in functions such as exp, which every C library has its own of. So write the
# order down, and make exp of $+$ and $\cdot$. That is what `minicodec/ops/exact.py` does, and its
# only kind of sum without a natural order is this one:
#
# ### Exercise 3
#
# It must be right to the last bit, so here `check` allows no tolerance at all. The numbers are
# chosen so that another order gives quite another result.

# %%
@exercise
def fold(x):
    """x (*b,n) -> y (*b): the sum over the last axis, in this order and no other.

    As long as n > 1 numbers are left, the second half is added to the first: with
    half = ceil(n / 2), number half + i is added to number i, for i = 0 … n - half - 1
    (if n is odd, number half - 1, in the middle, waits), and `half` numbers are left.
    """
    raise NotImplementedError


check(fold)

# %% [markdown]
# (Why this order, not simply from left to right? Because a processor can add four or sixteen pairs
# at once, and the order is still the same on all of them. It is also more exact: a number takes
# part in $\log_2 n$ additions, not in $n$.)
#
# Compare with `source(exact.fold)`; `source(exact)` has the other functions. Two quite different
# implementations exist, one in plain NumPy and one in compiled code. They must agree to the last
# bit, and with your `fold`:

# %%
def bits_of(x):
    """The 32 bits of each float, as integers: no two floats that differ have the same."""
    return np.asarray(x, np.float32).view(np.int32)


x = rng.normal(size=(7, 48)).astype(np.float32)
w, bias = rng.normal(size=(48, 64)).astype(np.float32), rng.normal(size=64).astype(np.float32)
product = exact.linear(x, w, bias)
np.testing.assert_array_equal(bits_of(product), bits_of(compiled.linear(x, w, bias)))
np.testing.assert_array_equal(
    bits_of(product[3:4]), bits_of(exact.linear(x[3:4], w, bias))
)  # one row alone
ones, zeros = np.ones(48, np.float32), np.zeros(48, np.float32)
mean = fold(x) * np.float32(1 / 48)
centred = x - mean[:, None]
mine = centred / np.sqrt(fold(centred * centred) * np.float32(1 / 48) + np.float32(1e-5))[:, None]
np.testing.assert_array_equal(bits_of(mine), bits_of(compiled.layer_norm(x, ones, zeros)))

logits = 3 * rng.normal(size=(5, N)).astype(np.float32)
counts = exact.cumulative_counts(logits)
np.testing.assert_array_equal(counts, compiled.cumulative_counts(logits))
softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
np.testing.assert_allclose(
    np.diff(counts) / 2**24, softmax, atol=1e-4
)  # it is the softmax, in whole numbers
assert (np.diff(counts) >= 1).all()

# The encoder predicts all frames at once, the decoder one after the other: the counts are the same.
predictor = Predictor(lm, Q)
together, past = predictor(before(part[None]), predictor.start(1)), predictor.start(1)
one_by_one = [predictor(before(part[None])[:, :, t : t + 1], past) for t in range(225)]
np.testing.assert_array_equal(together, np.concatenate(one_by_one, axis=1))
print("the same bits, alone or together, in NumPy and in compiled code")

# %% [markdown]
# So files written with a language model decode everywhere, today and in ten years. For all that
# goes wrong nevertheless (a flipped bit on a disk), our file has a checksum over the bytes *and the
# codes* of every five seconds, and each of these chunks stands alone: damage in one is silence in
# one. That is why `predicted_bytes` began afresh every 375 frames.

# %% [markdown]
# ## Exercises
#
# 1. `causal_attention`: look at the frames that matter.
# 2. `positions`: hands of a clock.
# 3. `fold`: a sum that is the same everywhere.
#
# To think about: All codebooks of a frame are predicted at once, each without a look at the others;
# what would it gain, and what would it cost, to predict level 2 knowing level 1 of the same frame?
# What does attention cost for an hour of sound, if `context` is an hour? Could the encoder of
# *audio* (SEANet) also have to be the same on all machines? (No. Why not?)
#
# ## What the paper says
#
# A Transformer of 5 layers with 8 heads, 200 channels and 800 hidden units looks back 3.5 s, and
# predicts all codebooks of a frame in parallel; its probabilities drive a range coder [Defossez22,
# §3.3]. It saves 25 to 40 percent: 3 kbps become 1.9, and 6 become 4.1 [Defossez22, §4, tables].
# The section also names the danger of floats that differ from one machine to another, and rounds
# probabilities to 1e-6 against it. The released code rounds to 1e-8; either way a probability that
# lies close to the edge of a step falls to this side or to that, as we have seen. Rounding makes
# trouble rarer; only fixed arithmetic ends it.
#
# ## What to read next
#
# `minicodec/codec/language_model.py` and `minicodec/ops/exact.py`;
# `minicodec/codec/files/entropy/container.py` for the file. Then chapter 16: the same codec, while
# the sound is still being made.
