# %% [markdown]
# # 14 Bits on the wire: saying the expected in few words
#
# **You will be able to** write codes into fewer bits than they seem to have, by guessing them; say
# beforehand how many bits that will be, and find the file to be just as long.
#
# **Before you start**: chapter 7 (codes).
#
# **Reading time**: 30 minutes, and an hour for the exercises. The cells take some five seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(14)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio
from minicodec.codec.files.entropy import chunk_coder, range_coder
from minicodec.codec.files.entropy.adaptive import Adaptive
from minicodec.course import check, exercise, yours
from minicodec.course.show import curves, panels, source
from minicodec.course.speech_codes import speech_codes
from minicodec.files import data_folder

yours();

# %% [markdown]
# ## The idea: what was expected is no news
#
# A codebook of 64 entries costs 6 bits a code: $2^6 = 64$. That is the price if all codes are
# equally likely, and they never are. Pauses repeat the same code for half a second; an "s" comes
# back every time that somebody says "s". A code that was to be expected is hardly news. It should
# cost hardly anything.
#
# How little? Suppose that a code has probability $p$ and costs $\ell$ bits. There are $2^\ell$ bit
# strings of length $\ell$, so a code of $\ell$ bits occupies a share $2^{-\ell}$ of all that can be
# said. The shares of all codes cannot add up to more than 1. So the fair price, at which every code
# gets the share that is its probability, is
#
# $$ \ell = -\log_2 p \;\text{ bits}, $$
#
# and no other prices are cheaper on average [Shannon48]. A code with $p = 1/2$ costs 1 bit, one
# with $p = 0.95$ costs 0.07.
#
# We need codes. To keep the chapter short, they come from a codec that nobody trained: random
# weights in the encoder, and four codebooks of 64 entries by k-means (chapter 7) on seven clips of
# speech. Its sound would be nothing to hear, but its codes do follow the speech, and this chapter
# is about codes alone. (`source(speech_codes)` shows how they are made.)

# %%
Q, N = 4, 64
codec, spoken = speech_codes(Q, N)
wav, _ = audio.read(data_folder() / "speech_en_3.flac")
codes = codec.encode(wav)[0].codes.astype(np.int64)  # (Q,T) of a clip that no codebook has met
plain = codec.compress(wav)
print(f"{codes.shape[1]} frames of {Q} codes of 6 bits: {codes.size * 6 / 8:.0f} bytes,")
print(f"with a header: {len(plain)} bytes")

left, right = panels(2, 3.2, gridspec_kw={"width_ratios": [2, 1]})
left.plot(np.arange(300) / 75, codes[0, :300], ".", ms=4)
left.set(xlabel="time / s", ylabel="code of level 1", title="What would you bet on next?")
right.bar(np.arange(N), np.sort(np.bincount(codes[0], minlength=N) / codes.shape[1])[::-1])
right.axhline(1 / N, color="C1", label="all equal: 6 bits")
right.set(xlabel="codes, the most frequent first", ylabel="share of the frames")
right.legend()
plt.show()

# %% [markdown]
# ## The simplest guess: count
#
# The decoder needs the same guess as the encoder. It would cost bits to send probabilities; but
# both sides know the codes that were *already* sent. So let both count them, in step. At first each
# code has the count 1, and so $p = 1/64$. Each code that comes adds 4 to its own count. Then
#
# $$ p_t(n) = \frac{\text{count}_t(n)}{\sum_m \text{count}_t(m)} $$
#
# is known to the decoder before code $t$ arrives. (Why not start at 0? A code that never came would
# have $p = 0$ and cost infinitely many bits: it could not be said.)
#
# For what follows, counts are best added up: with counts 1, 5, 2 the row is 0, 1, 6, 8. Then code 1
# owns the numbers from 1 to 5, five of the eight.
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
    """Codes (T), cumulative (T,N+1) -> where each code's counts start and stop, totals (T)."""
    rows = np.arange(len(codes))
    return cumulative[rows, codes], cumulative[rows, codes + 1], cumulative[:, -1]


def cost(starts, stops, totals):
    """-log2 p of every code, in bits."""
    return -np.log2((stops - starts) / totals)


bits = np.stack([cost(*intervals(level, adaptive_counts(level, N))) for level in codes])
number = np.arange(1, codes.shape[1] + 1)
so_far = {f"level {q + 1}": bits[q].cumsum() / number for q in range(Q)}
curves(
    number / 75,
    so_far | {"without a guess": np.full(len(number), 6)},
    xlabel="time / s",
    ylabel="bits a code, so far",
    title="Counting learns while it listens, and first pays for not knowing",
)
print(f"counting: {bits.sum() / 8:.0f} bytes instead of {codes.size * 6 / 8:.0f}")
assert bits.sum() < 0.9 * codes.size * 6
assert bits[0].mean() < bits[-1].mean()

# %% [markdown]
# All levels gain by the pauses, in which nothing changes. Apart from these, the first level has
# favourites, and the last one hardly any: residuals look more and more like noise (chapter 8), and
# in noise there is nothing to guess.
#
# ## The range coder: a message is a number
#
# A code that costs 0.07 bits: how does one *write* that? Rounded up to a whole bit for each code,
# as Morse and Huffman do, it would cost fourteen times too much. The way out is not to write codes
# one by one. The whole message is *one* number.
#
# Take the numbers from 0 to 1. The first code cuts them into parts, one for each code, as wide as
# its probability, and goes into its own. The second code cuts *that part* into parts; and so on. In
# the end the message is an interval, and its width is the product of all probabilities. Any number
# in it says the whole message, so take the one with the fewest digits: an interval of width $W$
# always contains a number of about $-\log_2 W = \sum_t -\log_2 p_t$ binary digits. That is the fair
# price, paid once for all codes together.

# %%
letters, shares = "abc", np.array([0.6, 0.1, 0.3])
edges = np.concatenate([[0], shares.cumsum()])
axes = panels(height=3.4)
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
axes.set(
    yticks=[0, -1, -2, -3],
    yticklabels=["1st: a", "2nd: c", "3rd: a", "4th: b"],
    ylim=(-4, 0.5),
    xlabel="numbers",
    title="“acab” is an interval; any number in it will do",
)
plt.show()
assert low <= number < low + width
print(
    f"the width is {width:.4f}, so {-np.log2(width):.1f} bits should do; 7 digits name a number"
)

# %% [markdown]
# ### With whole numbers
#
# Floats will not do: after ten codes the interval would be narrower than their last digit. So let
# `low` and `width` be integers, and start with a width of $2^{48}$. One code with the counts
# `start` to `stop` of `total`:
#
# $$ u = \Bigl\lfloor \frac{\text{width}}{\text{total}} \Bigr\rfloor, \qquad
#    \text{low} \leftarrow \text{low} + \text{start} \cdot u, \qquad
#    \text{width} \leftarrow (\text{stop} - \text{start}) \cdot u . $$
#
# As soon as the width is below $2^{40}$, multiply both by 256: that is one more digit, a byte, for
# the number to be told with. Python's integers may have thousands of digits, so `low` can just
# grow.
#
# *Is it always decodable?* Parts of different codes do not overlap, since each counts in the same
# unit $u$, and none is empty, since stop > start and $u \ge 2^{40}/2^{24} > 0$, if totals stay
# below $2^{24}$. So each message has an interval of its own.
#
# *What does it cost?* The width shrinks by (stop − start) · $u$ / width, and $u$ is at most 1
# smaller than width / total, which is at least $2^{16}$. So the factor is $p$, but for one part in
# 65 536. That is 0.00002 bits a code.
#
# *And the end?* An interval of width at least $2^{40}$ contains a multiple of $2^{40}$: `low`,
# rounded up. Below that all digits are zero, and they need not be written: the decoder reads zeros
# after the end.
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
    multiplication by 256, and one more. Zeros at the end are left out.
    """
    raise NotImplementedError


check(range_encode)

# %% [markdown]
# Compare with `source(range_coder._encode)`. The library must do with 64 bits, so it hands digits
# out as soon as they stand above the lowest 40 bits, and lets them be a little wrong: when `low`
# grows over a digit's limit, that digit becomes 256, and the carry is added at the end, as in a sum
# on paper. The bytes are the same:

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
# The decoder knows the number, and follows the encoder's interval. It keeps `value`, the number
# minus `low`: how far the number lies above the interval's lower end. Which code was it? The one
# whose part contains `value`: the last one that starts at or below `value // unit`. Then it narrows
# the interval as the encoder did, and `value` is counted from the new lower end. So 0 ≤ `value` <
# `width` stays true.
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
# Compare with `source(range_coder._decode)`, which does the same for many symbols, and notices
# numbers that no encoder wrote.
#
# ### Round trip
#
# Now the two together. The decoder cannot have `adaptive_counts` of all codes at once, since it
# does not know them yet. It asks for one more row each time, with the codes that it has so far: row
# $t$ depends on codes before $t$ only, so the code that stands at $t$ meanwhile does not matter.

# %%
def decode_adaptive(data, T, N):
    """The bytes of T codes, written by their adaptive counts -> codes (T)."""
    digits = iter(data + bytes(T + 8))  # zeros after the end
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
# The price that was predicted is the price that is paid, but for what fills up the last byte.
# That will stay so, however good the guess becomes.
#
# ## A file
#
# For a whole file, level by level, the library does what you did for 150 codes:
# `codec.compress(wav, lm="adaptive")`. Count its bytes. They are the payload and a **header**,
# which says what the file is: its model, its length, how many codebooks. And before there was a
# guess, codes were simply **packed**: six bits, six bits, six bits, without gaps.

# %%
counted = codec.compress(wav, lm="adaptive")
np.testing.assert_array_equal(codec.decompress(counted), codec.decompress(plain))  # nothing is lost
payload = len(chunk_coder.encode(codes, Adaptive(Q, N)))
print(f"packed   {len(plain):5d} bytes, of which {-(-codes.size * 6 // 8)} are codes")
print(
    f"counted  {len(counted):5d} bytes, of which {payload} are codes; "
    f"predicted {bits.sum() / 8:.1f}"
)
assert abs(payload - bits.sum() / 8) < 1.1
assert len(counted) < len(plain)

# %% [markdown]
# The header counts: a file of eight seconds pays for it visibly, one of an hour does not. Whoever
# reports a bitrate should say which bytes were counted.
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
#
# To think about: A source says one of two things, with $p = 0.9$ and $p = 0.1$. What does it cost
# in whole bits, and what in a range coder? A code that came adds 4 to its count: what would 1 do,
# and what 100? Why does the library start its counts afresh every minute?
#
# ## What the paper says
#
# Codes are packed with 10 bits each; probabilities of a small Transformer, of which the next
# chapter tells, drive a range coder [Defossez22, §3.3]. Counting is ours: it needs no network and
# saves less.
#
# ## What to read next
#
# `minicodec/codec/files/bitstream.py` (the file), `minicodec/codec/files/entropy/range_coder.py`
# (100 lines) and `adaptive.py`. Then chapter 15: a better guess.
