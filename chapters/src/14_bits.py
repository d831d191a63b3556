# %% [markdown]
# # 14 Bits on the wire: saying the expected in few words
#
# **You will be able to** write codes into fewer bits than they seem to have, by guessing them; say beforehand how many bits
# that will be, and find the file to be just as long; and explain why a guess made of floats can ruin a file, and what to do.
#
# **Before you start**: chapter 7 (codes). The Transformer in the middle needs chapter 2, for its training.
#
# **Reading time**: 45 minutes, and an hour and a half for the exercises. The cells take some fifteen seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(14)

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio, functional as F
from minicodec.codec.config import QuantizerConfig, preset
from minicodec.codec.files.entropy import chunk_coder, range_coder
from minicodec.codec.files.entropy.adaptive import Adaptive
from minicodec.codec.files.entropy.predictor import Predictor
from minicodec.codec.language_model import START, LanguageModel, LanguageModelConfig
from minicodec.codec.model import Codec
from minicodec.codec.quantizer import kmeans
from minicodec.course import check, exercise, library, yours
from minicodec.course.show import source
from minicodec.files import data_folder
from minicodec.kernels.cpu import exact as compiled
from minicodec.nn.optim import Adam
from minicodec.ops import exact
from minicodec.tensor import grad

yours();

# %% [markdown]
# ## The idea: news are what was not expected
#
# A codebook of 64 entries costs 6 bits a code: $2^6 = 64$. That is the price if all codes are equally likely, and they never
# are. Pauses repeat the same code for half a second; an "s" comes back every time that somebody says "s". A code that was to
# be expected is hardly news. It should cost hardly anything.
#
# How little? Suppose that a code has probability $p$ and costs $\ell$ bits. There are $2^\ell$ bit strings of length $\ell$,
# so a code of $\ell$ bits occupies a share $2^{-\ell}$ of all that can be said. The shares of all codes cannot add up to more
# than 1. So the fair price, at which every code gets the share that is its probability, is
#
# $$ \ell = -\log_2 p \;\text{ bits}, $$
#
# and no other prices are cheaper on average [Shannon48]. A code with $p = 1/2$ costs 1 bit, one with $p = 0.95$ costs 0.07.
#
# We need codes. To keep the chapter short, here is a codec that nobody trained: random weights in the encoder, and four
# codebooks of 64 entries by k-means (chapter 7), on seven clips of speech. Its sound would be nothing to hear, but its codes
# do follow the speech, and this chapter is about codes alone.

# %%
Q, N = 4, 64
codec = Codec(replace(preset("tiny_24khz"), quantizer=QuantizerConfig(Q, N), bandwidths=(1.8,)))
names = ["en_1", "en_2", "en_4", "de_1", "fr_1", "es_1", "it_1"]
sounds = [audio.read(data_folder() / f"speech_{name}.flac")[0] for name in names]  # (1,T) each
latents = [codec.encoder(sound.T[None].copy()).data[0] for sound in sounds]
residual = np.concatenate(latents)
for codebook in codec.quantizer.codebooks:
    codebook[...] = kmeans(residual, N, 15, np.random.default_rng(0))[0]
    residual = residual - codebook[F.nearest_codeword(residual, codebook)]
spoken = [codec.quantizer.encode(z, Q).astype(np.int64) for z in latents]  # (Q,T) each: to learn from

wav, _ = audio.read(data_folder() / "speech_en_3.flac")
codes = codec.encode(wav)[0].codes.astype(np.int64)  # (Q,T) of a clip that no codebook has met
plain = codec.compress(wav)
print(f"{codes.shape[1]} frames of {Q} codes of 6 bits: {codes.size * 6 / 8:.0f} bytes,")
print(f"with a header: {len(plain)} bytes")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), gridspec_kw={"width_ratios": [2, 1]})
left.plot(np.arange(300) / 75, codes[0, :300], ".", ms=4)
left.set(xlabel="time / s", ylabel="code of level 1", title="What would you bet on next?")
right.bar(np.arange(N), np.sort(np.bincount(codes[0], minlength=N) / codes.shape[1])[::-1])
right.axhline(1 / N, color="C1", label="all equal: 6 bits")
right.set(xlabel="codes, the most frequent first", ylabel="share of the frames")
right.legend()
plt.tight_layout()
plt.show()

# %% [markdown]
# ## The simplest guess: count
#
# The decoder needs the same guess as the encoder. It would cost bits to send probabilities; but both sides know the codes
# that were *already* sent. So let both count them, in step. At first each code has the count 1, and so $p = 1/64$. Each code
# that comes adds 4 to its own count. Then
#
# $$ p_t(n) = \frac{\text{count}_t(n)}{\sum_m \text{count}_t(m)} $$
#
# is known to the decoder before code $t$ arrives. (Why not start at 0? A code that never came would have $p = 0$ and cost
# infinitely many bits: it could not be said.)
#
# For what follows, counts are best added up: with counts 1, 5, 2 the row is 0, 1, 6, 8. Then code 1 owns the numbers from 1
# to 5, five of the eight.
#
# ### Exercise 1

# %%
@exercise
def adaptive_counts(codes, N):
    """codes (T) from 0 to N - 1 -> cumulative (T,N+1): added-up counts before each code comes.

    At first each of the N codes has the count 1; each code that has come adds 4 to its own.
    Row t knows codes[:t] alone. It begins with 0, and entry n + 1 is the sum of the counts of
    the codes 0 to n. So cumulative[t,N] is the total. All are integers.
    """
    raise NotImplementedError


check(adaptive_counts)

# %%
def intervals(codes, cumulative):
    """Codes (T), cumulative (T,N+1) -> where each code's counts start and stop; totals: (T) each."""
    rows = np.arange(len(codes))
    return cumulative[rows, codes], cumulative[rows, codes + 1], cumulative[:, -1]


def cost(starts, stops, totals):
    """-log2 p of every code, in bits."""
    return -np.log2((stops - starts) / totals)


bits = np.stack([cost(*intervals(level, adaptive_counts(level, N))) for level in codes])
plt.figure(figsize=(9, 3))
so_far = bits.cumsum(axis=1) / np.arange(1, codes.shape[1] + 1)
for q in range(Q):
    plt.plot(np.arange(1, codes.shape[1] + 1) / 75, so_far[q], label=f"level {q + 1}")
plt.axhline(6, color="grey", lw=0.8, label="without a guess")
plt.xlabel("time / s")
plt.ylabel("bits a code, so far")
plt.title("Counting learns while it listens, and first pays for not knowing")
plt.legend(loc="upper right")
plt.show()
print(f"counting: {bits.sum() / 8:.0f} bytes instead of {codes.size * 6 / 8:.0f}")
assert bits.sum() < 0.9 * codes.size * 6
assert bits[0].mean() < bits[-1].mean()

# %% [markdown]
# All levels gain by the pauses, in which nothing changes. Apart from these, the first level has favourites, and the last one
# hardly any: residuals look more and more like noise (chapter 8), and in noise there is nothing to guess.
#
# ## The range coder: a message is a number
#
# A code that costs 0.07 bits: how does one *write* that? Rounded up to a whole bit for each code, as Morse and Huffman do, it
# would cost fourteen times too much. The way out is not to write codes one by one. The whole message is *one* number.
#
# Take the numbers from 0 to 1. The first code cuts them into parts, one for each code, as wide as its probability, and goes
# into its own. The second code cuts *that part* into parts; and so on. In the end the message is an interval, and its width is
# the product of all probabilities. Any number in it says the whole message, so take the one with the fewest digits: an
# interval of width $W$ always contains a number of about $-\log_2 W = \sum_t -\log_2 p_t$ binary digits. That is the fair price,
# paid once for all codes together.

# %%
letters, shares = "abc", np.array([0.6, 0.1, 0.3])
edges = np.concatenate([[0], shares.cumsum()])
figure, axes = plt.subplots(figsize=(9, 3.4))
low, width = 0.0, 1.0
for row, letter in enumerate("acab"):
    for n, colour in enumerate(["#9ecae1", "#a1d99b", "#fdae6b"]):
        a, b = low + width * edges[n], low + width * edges[n + 1]
        axes.barh(-row, b - a, left=a, color=colour, edgecolor="white", height=0.6)
        if b - a > 0.02:
            axes.text((a + b) / 2, -row, letters[n], ha="center", va="center")
    n = letters.index(letter)
    low, width = low + width * edges[n], width * shares[n]
    for edge in (low, low + width):
        axes.plot([edge, edge], [-row - 0.3, -row - 0.7], color="black", lw=0.8)
number = np.ceil(low * 2**7) / 2**7
axes.plot(number, -3.5, "^", color="red")
axes.text(number + 0.01, -3.75, f"{number:.7f} = 0.{int(number * 2**7):07b} in binary digits")
axes.set(yticks=[0, -1, -2, -3], yticklabels=["1st: a", "2nd: c", "3rd: a", "4th: b"], ylim=(-4, 0.5),
         xlabel="numbers", title="“acab” is an interval; any number in it will do")
plt.show()
assert low <= number < low + width
print(f"the width is {width:.4f}, so {-np.log2(width):.1f} bits should do; 7 digits name a number in it")

# %% [markdown]
# ### With whole numbers
#
# Floats will not do: after ten codes the interval would be narrower than their last digit. So let $low$ and $width$ be
# integers, and start with $width = 2^{48}$. One code with the counts `start` to `stop` of `total`:
#
# $$ unit = \lfloor width / total \rfloor, \qquad low \leftarrow low + start \cdot unit, \qquad
#    width \leftarrow (stop - start) \cdot unit $$
#
# As soon as $width < 2^{40}$, multiply both by 256: that is one more digit, a byte, for the number to be told with. Python's
# integers may have thousands of digits, so $low$ can just grow.
#
# *Is it always decodable?* Parts of different codes do not overlap, since each counts in the same $unit$, and none is empty,
# since $stop > start$ and $unit \ge 2^{40}/2^{24} > 0$, if totals stay below $2^{24}$. So each message has an interval of its
# own.
#
# *What does it cost?* The width shrinks by $(stop - start) \cdot unit / width$, and $unit$ is at most 1 smaller than
# $width / total$, which is at least $2^{16}$. So the factor is $p$, but for one part in 65 536. That is 0.00002 bits a code.
#
# *And the end?* An interval of width at least $2^{40}$ contains a multiple of $2^{40}$: $low$, rounded up. Below that all
# digits are zero, and they need not be written: the decoder reads zeros behind the end.
#
# ### Exercise 2

# %%
@exercise
def range_encode(starts, stops, totals):
    """starts (n), stops (n), totals (n) -> bytes.

    Symbol i owns the counts starts[i] … stops[i] - 1 of totals[i]. At first low = 0 and
    width = 2**48. Each symbol narrows the interval, as above; then, as long as width is below
    2**40, both are multiplied by 256. Python's integers may be as long as they like, so low
    simply grows (NumPy's overflow: make Python's of them, by int(...) or starts.tolist()).
    In the end: low / 2**40, rounded up, as bytes, the highest first: one byte for each
    multiplication by 256, and one more. Zeros at the end are left away.
    """
    raise NotImplementedError


check(range_encode)

# %% [markdown]
# Compare with `source(range_coder._encode)`. The library must do with 64 bits, so it hands digits out as soon as they stand
# above the lowest 40 bits, and lets them be a little wrong: when $low$ grows over a digit's limit, that digit becomes 256, and
# the carry is added at the end, as in a sum on paper. The bytes are the same:

# %%
rng = np.random.default_rng(0)
totals = rng.integers(2, 1 << 24, 500)
starts = rng.integers(0, totals)
stops = rng.integers(starts + 1, totals + 1)
packed = range_encode(starts, stops, totals)
assert packed == range_coder.encode(starts, stops, totals)
expected = cost(starts, stops, totals).sum()
print(f"predicted {expected:.1f} bits, written {8 * len(packed)}")
assert 8 * len(packed) < expected + 8.1  # less than a byte more, and what rounding costs

# %% [markdown]
# ### Backwards
#
# The decoder knows the number, and follows the encoder's interval. It keeps $value = number - low$: how far the number lies
# above the interval's lower end. Which code was it? The one whose part contains $value$: the last one that starts at or
# below $\lfloor value / unit \rfloor$. Then it narrows the interval as the encoder did, and $value$ is counted from the new
# lower end. So the invariant $0 \le value < width$ holds on.
#
# ### Exercise 3

# %%
@exercise
def pull_symbol(value, width, counts):
    """value, width, counts (V+1) -> symbol, value, width: one symbol read, the interval narrowed.

    value: how far the number lies above low, 0 <= value < width (both are Python's integers).
    counts: cumulative, so the unit is width // counts[-1], and symbol s owns the values from
    counts[s] * unit to counts[s + 1] * unit - 1. The new value counts from where the symbol's
    part begins. All in whole numbers: //, not /. Multiplying by 256 comes later, not here.
    """
    raise NotImplementedError


check(pull_symbol)

# %% [markdown]
# Compare with `source(range_coder._decode)`, which does the same for many symbols, and notices numbers that no encoder wrote.
#
# ### Round trip
#
# Now the two together. The decoder cannot have `adaptive_counts` of all codes at once, since it does not know them yet. It
# asks for one more row each time, with the codes that it has so far: row $t$ depends on codes before $t$ only, so the code
# that stands at $t$ meanwhile does not matter.

# %%
def decode_adaptive(data, T, N):
    """The bytes of T codes, written by their adaptive counts -> codes (T)."""
    digits = iter(data + bytes(T + 8))  # zeros behind the end
    value, width = 0, 1 << 48
    for _ in range(6):
        value = 256 * value + next(digits)
    found = np.zeros(T, np.int64)
    for t in range(T):
        counts = adaptive_counts(found[: t + 1], N)[t]
        found[t], value, width = pull_symbol(int(value), int(width), counts)
        while width < 1 << 40:
            value, width = 256 * value + next(digits), 256 * width
    return found


level = codes[0, :150]
table = intervals(level, adaptive_counts(level, N))
packed = range_encode(*table)
print(f"150 codes: predicted {cost(*table).sum():.1f} bits, written {8 * len(packed)},")
print(f"without a guess {6 * 150}")
assert np.array_equal(decode_adaptive(packed, 150, N), level)
assert 8 * len(packed) < cost(*table).sum() + 9

# %% [markdown]
# The price that was predicted is the price that is paid, but for what fills up the last byte. That will stay so, however good
# the guess becomes. So from here on all is about the guess.
#
# ## A better guess: look at the frames before
#
# Counting knows how often a code came, but not *after what*. After the beginning of an "s" the middle of an "s" is likely. A
# table of all pairs of frames would have $(64^4)^2$ entries, so we need something that generalises: a network. It reads the
# frames so far, and gives one softmax for each codebook of the next frame. Since what it predicts is a sequence of
# symbols, it is called a *language model*.
#
# It begins with an embedding: a table with a vector of $D$ numbers for each code of each codebook; the $Q$ vectors of a frame
# are added. So the past is a row of vectors, and the question is how frame $t$ finds what it needs in the past. An LSTM
# (chapter 5) carries a summary along. A **Transformer** [Vaswani17] looks back, each time anew:
#
# - each frame $j$ offers a *key* $k_j$ ("what I am") and a *value* $v_j$ ("what I have to say"), both linear in its vector;
# - frame $t$ asks with a *query* $q_t$, and a key that points the same way answers loudly: the score is $q_t \cdot k_j$;
# - a softmax makes weights of the scores, and what frame $t$ receives is the weighted mean of the values:
#
# $$ y_t = \sum_{j \le t} a_{tj}\, v_j, \qquad
#    a_{tj} = \frac{e^{q_t \cdot k_j / \sqrt d}}{\sum_{i \le t} e^{q_t \cdot k_i / \sqrt d}} $$
#
# Why $\sqrt d$? If the entries of $q$ and $k$ have variance 1, their product over $d$ entries has variance $d$; without the
# division the softmax of large $d$ would begin almost hard, with hardly a gradient. And $j \le t$ keeps the future out: the
# decoder does not have it.
#
# ### Exercise 4

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
# The library's entropy coder does the same, frame by frame, with a ring of the last keys and values.
q, k, v = rng.normal(size=(3, 30, 8)).astype(np.float32)
rings = np.zeros((1, 1, 8, 10), np.float32), np.zeros((1, 1, 10, 8), np.float32)
found = exact.attend(np.concatenate([q, k, v], axis=1)[None], *rings, 0)[0]
np.testing.assert_allclose(found, causal_attention(q, k, v, context=9), rtol=1e-3, atol=1e-3)

# %% [markdown]
# The rest of a layer you know: the result is added to the frame's vector (a skip, as in chapter 6), normalised, sent through
# two linear maps with a GELU in between, added, normalised. Several attentions stand side by side, called *heads*, each on
# its own part of the vector. `source(LanguageModel)` is the whole model, `minicodec/codec/language_model.py` its file.
#
# To train it is to make the file short: the loss is the mean of $-\ln p$ of the codes that came, the *cross-entropy*. That is
# the file's length in bits, times $\ln 2$. Every frame of a crop is predicted in one pass; attention hides the future from
# each. Below, a small one: two layers, $D = 48$, trained for some seconds. (`minicodec train-lm` trains large ones.)

# %%
LONG = False  # True: 600 steps, about a minute. The curve falls further, and the file does not: why?


def before(codes):
    """Codes (B,Q,T) -> the frames before them, as the model wants them: START (0), and codes + 1."""
    return np.concatenate([np.full_like(codes[:, :, :1], START), codes[:, :, :-1] + 1], axis=2)


def train(steps, lr, T=64, B=8):
    """A language model of `spoken`, and the cross-entropy in bits a code at each step."""
    config = LanguageModelConfig(Q, N, context=40, D=48, layers=2, heads=4, hidden=128, zero_past=False)
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
plt.figure(figsize=(9, 2.8))
plt.plot(along)
plt.axhline(6, color="grey", lw=0.8, label="without a guess")
plt.xlabel("step")
plt.ylabel("cross-entropy / bits a code")
plt.title("Learning to expect what is said")
plt.legend()
plt.show()
assert np.mean(along[-10:]) < 5

# %% [markdown]
# ## Predicted bits and real bytes
#
# The library's coders do for whole files what you did for 150 codes: `Codec.compress(wav, lm=...)` takes `"adaptive"` or a
# language model. What should the file weigh, and what does it weigh? The predictors say; the file system knows.

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
    np.testing.assert_array_equal(same, codec.decode(codec.encode(wav), wav.shape[1]))  # nothing is lost
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
    print(f"{kind:15} predicted {predicted[-1]:7.1f} bytes   written {payload[-1]:5d}",
          f"  header {header[-1]:4d}")

seconds = wav.shape[1] / 24_000
figure, axes = plt.subplots(figsize=(9, 2.8))
rates = [np.array(sizes) * 8 / seconds / 1000 for sizes in (payload, header, predicted)]  # kbit/s
axes.barh(range(3), rates[0], label="written: codes")
axes.barh(range(3), rates[1], left=rates[0], color="lightgrey", label="written: header")
axes.vlines(rates[2], np.arange(3) - 0.4, np.arange(3) + 0.4, color="red", label="predicted")
axes.set(yticks=range(3), yticklabels=kinds, xlabel="kbit/s", title="The file is as long as the guess is bad")
axes.invert_yaxis()
axes.legend()
plt.show()
assert payload[2] < payload[1] < payload[0]

# %% [markdown]
# Two remarks. The language model was trained on other clips; a model tested on its training data would look far better and be
# worth nothing. And the header counts: a file of eight seconds pays for it visibly, one of an hour does not. Whoever reports a
# bitrate should say which bytes were counted.
#
# ## Why floats break decoders
#
# The decoder must have the *very* counts that the encoder had. Counts of codes are integers: no question. But a network's
# probabilities are sums of floats, and a float sum depends on its order:

# %%
a, b = np.float32(1), np.float32(1e8)
print("(1 + 1e8) - 1e8 =", (a + b) - b, "   1 + (1e8 - 1e8) =", a + (b - b))
assert (a + b) - b == 0
assert a + (b - b) == 1

# %% [markdown]
# 1e8 + 1 has nine digits, and a float32 keeps seven. Which order a matrix product takes depends on the processor, the library,
# the number of threads, and on how many rows there are. To every other program in this book a wrong last digit is nothing.
#
# To see what it is here, let us build "another machine". Number the hidden units of the language model in another order:
# columns of one matrix, and rows of the next, permuted alike. It is the same function, with the same weights; only the sums run
# in another order, as on another machine. Then let one machine write codes as the released EnCodec does, which rounds float
# probabilities to counts, and the other one read them.

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
    """Float probabilities (...,N) -> cumulative counts (...,N+1): at least one for each code, 2^24 in all."""
    counts = 1 + np.floor(p * np.float32(2**24 - p.shape[-1])).astype(np.int64)
    return np.pad(counts.cumsum(axis=-1), [(0, 0)] * (p.ndim - 1) + [(1, 0)])


differ = (rounded(p) != rounded(p_other)).mean()
print(f"probabilities differ by at most {np.abs(p - p_other).max():.1e}; of the counts, {differ:.0%} differ")
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

figure, axes = plt.subplots(2, 1, figsize=(9, 3.6), sharex=True)
titles = "read by the machine that wrote it", "read by the other one"
for axis, found, title in zip(axes, (same, elsewhere), titles, strict=True):
    picture = np.where(found == part, 0, np.where(found < 0, 2, 1))
    axis.imshow(picture, aspect="auto", cmap="RdYlGn_r", vmin=0, vmax=2, interpolation="nearest",
                extent=(0, 3, Q + 0.5, 0.5))
    axis.set(ylabel="level", yticks=range(1, Q + 1),
             title=f"{title}: {(found == part).mean():.0%} of the codes are right")
axes[1].set(xlabel="time / s     (green: right, yellow: wrong, red: no code fits)")
plt.tight_layout()
plt.show()
first = np.flatnonzero((elsewhere != part).any(axis=0))[0]
print(f"the first wrong frame is number {first}")

# %% [markdown]
# One count of $2^{24}$ that differs by 1 shifts an interval by its last digit. That is harmless for 24 bits, half a dozen codes;
# by then the last digit has moved to the front, and a code comes out wrong. The model is fed with it, predicts something else,
# and from there on codes are right by luck only (in the pauses luck is frequent). Nothing in this format tells the decoder.
#
# ### The cure: the same bits everywhere
#
# IEEE 754, the standard of floats, leaves no freedom in a *single* $+, -, \cdot, /$ or root: each has one correctly rounded
# result. All the freedom is in the order, in fused instructions ($x y + z$ rounded once), and in functions such as exp, which
# every C library has its own of. So write the order down, and make exp of $+$ and $\cdot$. That is what
# `minicodec/ops/exact.py` does, and its only kind of sum without a natural order is this one:
#
# ### Exercise 5
#
# It must be right to the last bit, so here `check` allows no tolerance at all. The numbers are chosen so that another
# order gives quite another result.

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
# (Why this order, not simply from left to right? Because a processor can add four or sixteen pairs at once, and the
# order is still the same on all of them. It is also more exact: a number takes part in $\log_2 n$ additions, not in $n$.)
#
# Compare with `source(exact.fold)`; `source(exact)` has the other functions. Two quite different implementations exist, one in
# plain NumPy and one in compiled code. They must agree to the last bit, and with your `fold`:

# %%
def bits_of(x):
    """The 32 bits of each float, as integers: no two floats that differ have the same."""
    return np.asarray(x, np.float32).view(np.int32)


x = rng.normal(size=(7, 48)).astype(np.float32)
w, bias = rng.normal(size=(48, 64)).astype(np.float32), rng.normal(size=64).astype(np.float32)
product = exact.linear(x, w, bias)
np.testing.assert_array_equal(bits_of(product), bits_of(compiled.linear(x, w, bias)))
np.testing.assert_array_equal(bits_of(product[3:4]), bits_of(exact.linear(x[3:4], w, bias)))  # one row alone
ones, zeros = np.ones(48, np.float32), np.zeros(48, np.float32)
mean = fold(x) * np.float32(1 / 48)
centred = x - mean[:, None]
mine = centred / np.sqrt(fold(centred * centred) * np.float32(1 / 48) + np.float32(1e-5))[:, None]
np.testing.assert_array_equal(bits_of(mine), bits_of(compiled.layer_norm(x, ones, zeros)))

logits = 3 * rng.normal(size=(5, N)).astype(np.float32)
counts = exact.cumulative_counts(logits)
np.testing.assert_array_equal(counts, compiled.cumulative_counts(logits))
softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
np.testing.assert_allclose(np.diff(counts) / 2**24, softmax, atol=1e-4)  # it is the softmax, in whole numbers
assert (np.diff(counts) >= 1).all()

# The encoder predicts all frames at once, the decoder one after the other: the counts are the same.
predictor = Predictor(lm, Q)
together, past = predictor(before(part[None]), predictor.start(1)), predictor.start(1)
one_by_one = [predictor(before(part[None])[:, :, t : t + 1], past) for t in range(225)]
np.testing.assert_array_equal(together, np.concatenate(one_by_one, axis=1))
print("the same bits, alone or together, in NumPy and in compiled code")

# %% [markdown]
# So files written with a language model decode everywhere, today and in ten years. For all that goes wrong nevertheless (a
# flipped bit on a disk), our file has a checksum over the bytes *and the codes* of every five seconds, and each of these
# chunks stands alone: damage in one is silence in one. That is why `predicted_bytes` began afresh every 375 frames.
#
# ## A message in your own code
#
# Your counts, your encoder, your decoder: if they are right, this cell runs on them alone.

# %%
mine = [name for name in ("adaptive_counts", "range_encode", "pull_symbol") if name in yours()]
sent = [range_encode(*intervals(level[:200], adaptive_counts(level[:200], N))) for level in codes]
received = np.stack([decode_adaptive(data, 200, N) for data in sent])
assert np.array_equal(received, codes[:, :200])
print(f"{received.size} codes in {sum(map(len, sent))} bytes instead of {received.size * 6 // 8};"
      f" your own: {', '.join(mine) or 'none yet'}")

# %% [markdown]
# ## Your codec: files
#
# Codes become bytes, plain or entropy-coded, and bytes become codes. The files are those of the library, to the bit: each
# reads what the other writes.

# %%
# The library's parts that the cells below may use; in my_codec, they use yours.
import json
import struct
import zlib

from minicodec.course.my_codec.bits import adaptive_counts, pull_symbol, range_encode


# %%
@exercise
def pack_bits(values, bits):
    """values (n) from 0 to 2^bits - 1 -> bytes: `bits` bits of each, least significant first.

    The first bit of all is the least significant bit of the first byte; zeros fill the last one.
    """
    raise NotImplementedError


check(pack_bits)

# %%
@exercise
def unpack_bits(data, bits, count):
    """data (bytes) -> values (count), int64: the inverse of pack_bits."""
    raise NotImplementedError


check(unpack_bits)

# %%
@exercise
def encode_codes(codes, N):
    """codes (Q,T) -> bytes: frame by frame, codebook by codebook, each by the adaptive_counts of its codebook."""
    raise NotImplementedError


check(encode_codes)

# %%
@exercise
def decode_codes(data, Q, T, N):
    """data (bytes) -> codes (Q,T), int64: the inverse of encode_codes.

    value begins as the first 6 bytes, the highest first; width as 2^48. After each symbol, as long as width is below
    2^40, width is multiplied by 256, and value too, plus the next byte. Behind the end of data there are zeros.
    """
    raise NotImplementedError


check(decode_codes)

# %%
@exercise
def plain_file(codes, samples, model, N):
    """codes (Q,frames), samples, model (a name) -> bytes of an .ecdc file of version 0. N = 2^bits entries."""
    raise NotImplementedError


check(plain_file)

# %%
@exercise
def coded_file(codes, samples, model, N, chunk=4500):
    """codes (Q,frames), samples, model (a name) -> bytes of an .ecdc file of version 1, in chunks of `chunk` frames:

    a minute, at 75 a second.

    Each chunk is coded apart. Its CRC-32 is that of its bytes, and then of its codes, frame by frame, as "<i2".
    "lm" is "adaptive".
    """
    raise NotImplementedError


check(coded_file)

# %%
@exercise
def read_file(data, hop, N):
    """data: the bytes of an .ecdc file -> model (a name), samples, codes (Q,frames), frames = ceil(samples / hop).

    ValueError: a chunk of version 1 whose CRC-32 is another.
    """
    raise NotImplementedError


check(read_file)

# %% [markdown]
# ## Exercises
#
# 1. `adaptive_counts`: a guess that both sides can make.
# 2. `range_encode`: a message as a number.
# 3. `pull_symbol`: and back.
# 4. `causal_attention`: look at the frames that matter.
# 5. `fold`: a sum that is the same everywhere.
#
# To think about: A source says one of two things, with $p = 0.9$ and $p = 0.1$. What does it cost in whole bits, and what in a
# range coder? All codebooks of a frame are predicted at once, each without a look at the others; what would it gain, and
# what would it cost, to predict level 2 knowing level 1 of the same frame? Could the encoder of *audio* (SEANet) also have to be the
# same on all machines? (No. Why not?)
#
# ## What the paper says
#
# A Transformer of 5 layers with 8 heads, 200 channels and 800 hidden units looks back 3.5 s, and predicts all codebooks of a frame
# in parallel; its probabilities drive a range coder [Defossez22, §3.3]. It saves 25 to 40 percent: 3 kbps become 1.9, and 6 become
# 4.1 [Defossez22, §4, tables]. The section also names the danger of floats that differ from one machine to another, and rounds
# probabilities to 1e-6 against it. The released code rounds to 1e-8; either way a probability that lies
# close to the edge of a step falls to this side or to that, as we have seen. Rounding makes trouble rarer; only fixed arithmetic ends it.
#
# ## What to read next
#
# `minicodec/codec/files/entropy/`: `range_coder.py` (100 lines) and `container.py` for the file; `minicodec/ops/exact.py`. Then
# chapter 16: the same codec, while the sound is still being made.
