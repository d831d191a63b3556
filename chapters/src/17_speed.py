# %% [markdown]
# # 17 Loops, caches, registers
#
# **You will be able to** say how fast a layer could be on a given machine before you write it, see
# what keeps a program from that, and rearrange a convolution, step by step, until it is nearly
# there.
#
# **Before you start**: chapter 3 (convolution). No knowledge of processors is needed.
#
# **Reading time**: 40 minutes, and an hour for the exercises. The cells take about 15 seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(17)

# %%
import os

for library in ("OPENBLAS", "MKL", "OMP", "NUMBA"):  # one core: we compare ideas, not cores
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minicodec import backend
from minicodec.bench import ops as bench
from minicodec.bench.machine import bandwidth, timed
from minicodec.course import check, exercise, yours
from minicodec.course.show import panels, source
from minicodec.device import module
from minicodec.errors import InputError
from minicodec.kernels.cpu.conv1d import conv1d_forward_numba
from minicodec.kernels.cpu.engine import loops, tile
from minicodec.kernels.cpu.engine.products import multiply, pack
from minicodec.ops.conv1d import conv1d_forward

yours();

# %% [markdown]
# ## The idea: arithmetic is cheap, numbers are far away
#
# A core of today can do some fifty to two hundred billion multiplications and additions in a
# second. Now ask it for one number that lies somewhere in memory. It waits for about a hundred
# nanoseconds; in that time it could have done ten thousand of them. So between memory and core
# there are **caches**: small, near, fast copies of what was used a short while ago. A program is
# fast if what it needs next is already near.
#
# One can see the caches. The cell below walks through a list in random order: every entry says
# where the next one lies, so the core cannot fetch in advance. The only thing that changes is how
# much memory the list takes.

# %%
@njit
def walk(following, steps):
    place = 0
    for _ in range(steps):
        place = following[place]
    return place


def nanoseconds_per_step(kilobytes, rng):
    """A list of 64-byte entries (what a cache fetches at once) in random order, walked through."""
    n = kilobytes * 1024 // 64
    order = rng.permutation(n)
    following = np.zeros((n, 8), np.int64)
    following[order, 0] = 8 * np.roll(order, -1)
    following, steps = following.ravel(), 60_000
    times = []
    for _ in range(5):
        start = time.perf_counter()
        walk(following, steps)
        times.append(time.perf_counter() - start)
    return min(times) / steps * 1e9


rng = np.random.default_rng(0)
sizes = [4 * 2**k for k in range(15)]  # 4 KiB ... 64 MiB
latencies = [nanoseconds_per_step(size, rng) for size in sizes]

axes = panels(height=3.2)
axes.loglog(sizes, latencies, "o-", base=2)
axes.set_yscale("log", base=10)
axes.set_xticks(sizes[::2], [f"{s} KiB" if s < 1024 else f"{s // 1024} MiB" for s in sizes[::2]])
axes.grid(alpha=0.3)
axes.set(
    xlabel="size of the list", ylabel="time for a step / ns", title="How far away is a number?"
)
plt.show()
assert latencies[-1] > 3 * latencies[0]

# %% [markdown]
# The lowest step of these stairs is the first-level cache (32 or 48 KiB on most cores), then come
# the second level (512 KiB to 2 MiB), the third, which the cores share, and at the top the memory
# itself. (If other programs run beside this one, the stairs are bumpy: they want the caches, too.)
#
# ## Two ceilings, and a roof
#
# A machine has two limits: how much it computes in a second (the **peak**), and how many bytes a
# second come from memory and go there (the **bandwidth**). A layer has two numbers as well: its
# work, and the bytes that must move at the very least, if every input is read once and every output
# is written once.
#
# ### Exercise 1: work and traffic
#
# Count them for a convolution of $K$ taps from $C_i$ to $C_o$ channels. A multiplication and an
# addition are two operations.

# %%
@exercise
def conv1d_cost(B, T, K, Ci, Co, stride):
    """x (B,T,Ci), w (K,Ci,Co), float32, no padding -> operations (), bytes (), whole numbers.

    operations: a multiplication and an addition for every tap, input channel and output number.
    bytes: x and w are read once, y (B,To,Co) is written once, 4 bytes a number;
    To = (T - K) // stride + 1.
    """
    raise NotImplementedError


check(conv1d_cost)

# %%
# The package's own count, by which `minicodec bench` draws its rooflines:
row = bench.Row("conv1d", ((2, 102, 16), (3, 16, 8)))
shape = (2, 100, 8)
operations, moved = conv1d_cost(2, 102, 3, 16, 8, 1)
assert operations == bench.work(row, shape, "forward")
assert moved == bench.moved(row.arrays(), np.zeros(shape, np.float32), "forward")

# %% [markdown]
# ### Exercise 2: how long at least?
#
# A core computes while other numbers are on their way to it. So how long does a layer take, at the
# least? (Several layers at once: arrays of n.)

# %%
@exercise
def least_time(operations, moved, peak, bandwidth):
    """operations (n), moved (n) bytes, peak operations/s, bandwidth bytes/s -> seconds (n)."""
    raise NotImplementedError


check(least_time)

# %% [markdown]
# Divide the work by that time, and you have the greatest speed that is possible:
#
# $$ \text{speed} \;=\; \min\bigl(\text{peak},\;\; \text{bandwidth} \cdot I\bigr), \qquad
#    I \;=\; \frac{\text{operations}}{\text{bytes}} $$
#
# $I$ is called the *arithmetic intensity*: how often is each byte used? Draw speed against $I$,
# both on logarithmic axes, and it is a slope that ends in a flat roof; hence the name **roofline**
# [Williams09]. Left of the edge memory decides, right of it the core does. Let us measure both for
# this machine. (The peak is what a product of two matrices in the cache reaches, the bandwidth what
# copying a large array does. If other programs are running, both come out too low, and a layer may
# seem to do more than 100 %.)

# %%
a, b = rng.standard_normal((2, 384, 384), np.float32)
PEAK = 2 * 384**3 / min(timed([lambda: a @ b], 0.5)[0])
BANDWIDTH = max(bandwidth(0.1, 1) for _ in range(3))
print(f"peak {PEAK / 1e9:.0f} GF/s (10⁹ operations a second), bandwidth {BANDWIDTH / 1e9:.0f} GB/s")
print(f"the edge lies at {PEAK / BANDWIDTH:.1f} operations a byte")

# %% [markdown]
# ## One layer, written again and again
#
# Our specimen is a layer in the middle of an encoder: K = 3, from 64 to 32 channels. The work is
# the same every time, 12 288 operations a frame; what changes is the order in which the numbers are
# met.
#
# **Plain Python.** The formula of chapter 3, as loops.

# %%
x = rng.standard_normal((1, 3002, 64), np.float32)
w = rng.standard_normal((3, 64, 32), np.float32) * np.float32(0.1)
expected, _ = conv1d_forward(x.astype(np.float64), w.astype(np.float64))
speeds = {}


def clock(name, function, frames):
    """Operations a second, of the best of several calls; and is the result right?"""
    np.testing.assert_allclose(function(), expected[:, :frames], rtol=1e-3, atol=1e-3)
    times, end = [], time.perf_counter() + 0.15
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    speeds[name] = conv1d_cost(1, frames + 2, 3, 64, 32, 1)[0] / min(times)
    print(f"{name:<28} {speeds[name] / 1e9:9.4f} GF/s, {speeds[name] / PEAK:8.3%} of the peak")


def in_python(x, w):
    K, Ci, Co = w.shape
    y = np.zeros((1, x.shape[1] - K + 1, Co), np.float32)
    for t in range(y.shape[1]):
        for o in range(Co):
            for k in range(K):
                for i in range(Ci):
                    y[0, t, o] += x[0, t + k, i] * w[k, i, o]
    return y


clock("Python loops", lambda: in_python(x[:, :7], w), 5)

# %% [markdown]
# For every product, Python looks up what `*` means for these two things, makes an object for the
# result, and forgets it again.
#
# **Compiled loops.** Numba turns the same lines into machine code. But a compiler keeps our
# *order*, and the order matters. Here are three; before you run them, guess which is the fastest.
# Hint: in memory, the last axis is the one whose numbers are neighbours, and a cache never fetches
# one number alone but a line of sixteen.

# %%
@njit
def time_innermost(x, w, y):
    for o in range(w.shape[2]):
        for k in range(w.shape[0]):
            for i in range(w.shape[1]):
                for t in range(y.shape[1]):
                    y[0, t, o] += x[0, t + k, i] * w[k, i, o]
    return y


@njit
def inputs_innermost(x, w, y):
    for t in range(y.shape[1]):
        for o in range(w.shape[2]):
            for k in range(w.shape[0]):
                for i in range(w.shape[1]):
                    y[0, t, o] += x[0, t + k, i] * w[k, i, o]
    return y


@njit
def outputs_innermost(x, w, y):
    for t in range(y.shape[1]):
        for k in range(w.shape[0]):
            for i in range(w.shape[1]):
                for o in range(w.shape[2]):
                    y[0, t, o] += x[0, t + k, i] * w[k, i, o]
    return y


for nest in (time_innermost, inputs_innermost, outputs_innermost):
    clock(f"Numba, {nest.__name__}",
          lambda nest=nest: nest(x, w, np.zeros((1, 3000, 32), np.float32)), 3000)
assert speeds["Numba, outputs_innermost"] > 2 * speeds["Numba, time_innermost"]

# %% [markdown]
# With time innermost, every step jumps 64 numbers ahead in x and 32 in y: of each line that the
# cache fetches, one number is used. With inputs innermost, x is read in order, but w in jumps, and
# all products go into *one* sum, in which each addition must wait for the one before it (about four
# cycles). With outputs innermost, w and y are read and written side by side: the compiler takes 8
# or 16 of them at once, as a **vector**. Same formula, same compiler, and a factor of ten or more
# between the first and the last.
#
# And still far from the peak. Count what a step of the last one does: load some of w, load some of
# y, multiply, add, store y. Three trips to the cache for one useful thing.
#
# ## A convolution is a product of matrices
#
# Nobody multiplies matrices with plain loops: a library called BLAS has been tuned for decades. The
# definition in chapter 3 uses it once for every tap. Can we make it *one* product?
#
# ### Exercise 3: windows as rows
#
# Let row $t$ hold everything that the window of $y_t$ sees. (This is known as im2col.)

# %%
@exercise
def window_rows(x, K, stride):
    """x (B,T,Ci) -> rows (B,To,K*Ci): row t is what the window of y[t] sees, frame after frame.

    To = (T - K) // stride + 1. conv1d(x, w) is then rows @ w.reshape(K * Ci, Co).
    """
    raise NotImplementedError


check(window_rows)

# %%
clock("NumPy, tap by tap", lambda: conv1d_forward(x, w)[0], 3000)
clock("NumPy, windows as rows", lambda: window_rows(x, 3, 1) @ w.reshape(-1, 32), 3000)

# %% [markdown]
# One product instead of three, and it may even be *slower*: the rows are K copies of x, which must
# be written and read again. That is traffic, and it was not in our count.
#
# Now look at two rows that follow each other. Row $t+1$ begins in memory $C_i$ numbers after row
# $t$, and most of its numbers are the same ones. Channels last, a window is a stretch of x *as it
# lies there*. So tell the product not where the matrix is, but how far apart its rows begin; then
# rows may overlap, and nothing is copied:
#
# $$ y_{t,o} \;=\; \sum_{p=0}^{K C_i - 1} x_{\text{flat}}[\,t \cdot s\,C_i + p\,]
#    \;\; w_{\text{flat}}[\,p, o\,] $$
#
# BLAS has no such product. So we write our own, and while we are at it, we choose the order of its
# loops with care.

# %%
flat, s, Ci = x.ravel(), 1, 64
t = 1234
np.testing.assert_array_equal(flat[t * s * Ci : t * s * Ci + 3 * Ci], window_rows(x, 3, 1)[0, t])

# %% [markdown]
# ## Registers, tiles, panels
#
# The nearest place of all is inside the core: 16 or 32 **registers**, each of which holds a vector
# of 4, 8 or 16 numbers. A multiply-add of two registers costs nothing but itself. The plan:
#
# - **Tile.** Keep R rows times V vectors of the *output* in registers, from beginning to end of the
#   sum. A step $p$ loads V vectors of w's row $p$ and R single numbers of x, and does R·V
#   multiply-adds. With R = 6 and V = 2: 8 loads feed 12 products of vectors, where the loops above
#   needed 3 loads and stores for one.
# - **Panel.** A tile reads only L·V columns of w (L numbers in a vector), row after row. Rows of w
#   are $C_o$ numbers apart. If those columns are copied, once, so that they lie one after the
#   other, the panel is read as one run and stays in the first-level cache while all rows of x pass
#   by.
#
# ### Exercise 4: panels

# %%
@exercise
def pack_panels(w, columns):
    """w (P,N) -> panels (J,P,columns), J = ceil(N / columns): w, cut into groups of columns.

    panels[j, p, n] is w[p, j * columns + n]. Where the last panel has more columns than are left
    of w, they are 0.
    """
    raise NotImplementedError


check(pack_panels)

# %%
weights = rng.standard_normal((20, 50), np.float32)
np.testing.assert_array_equal(pack_panels(weights, tile.COLUMNS), pack(weights[None]).panels[:, 0])
print(f"tiles here: {tile.ROWS} rows x {tile.VECTORS} vectors of {tile.LANES} numbers")

# %% [markdown]
# Here is the whole scheme in NumPy. It is slow, since NumPy knows nothing of registers, but it does
# just what the fast one does: your rows, your panels, and tiles that grow by one outer product at a
# time.

# %%
def multiply_tiles(rows, panels, R):
    """rows (M,P), panels (J,P,L) -> (M,J*L): tile by tile."""
    (M, P), (J, _, L) = rows.shape, panels.shape
    y = np.empty((M, J * L), rows.dtype)
    for j, panel in enumerate(panels):  # a panel stays in the cache ...
        for m in range(0, M, R):  # ... while all rows pass by
            tile = np.zeros((min(R, M - m), L), rows.dtype)  # these would be registers
            for p in range(P):
                tile += np.outer(rows[m : m + R, p], panel[p])  # R + L numbers, R·L products
            y[m : m + R, j * L : (j + 1) * L] = tile
    return y


toy = multiply_tiles(window_rows(x[:, :43], 3, 1)[0], pack_panels(w.reshape(-1, 32), 16), 6)
np.testing.assert_allclose(toy, expected[0, :41], rtol=1e-3, atol=1e-3)

clock("the package's tiles", lambda: conv1d_forward_numba(x, w)[0], 3000)
assert speeds["the package's tiles"] > 50 * speeds["Python loops"]

# %% [markdown]
# The inner loop of it is sixty lines in `minicodec/kernels/cpu/engine/tile.py`, written in the
# language of the compiler's middle, because no compiler finds it by itself:
# `source(tile.make_tile)` shows it. Every convolution, transposed convolution and linear layer of
# the codec, forward and backward, is this one tile with other steps between its rows.
#
# Where do real layers lie? All of EnCodec's at 24 kHz, on one second of sound, and what becomes of
# our specimen:

# %%
def measure(row):
    """Arithmetic intensity and speed of an op's fast pair."""
    arrays = row.arrays()
    forward = backend.OPS[row.op].pairs["numba"][0]
    y, _ = forward(*arrays, **row.attrs)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        forward(*arrays, **row.attrs)
        times.append(time.perf_counter() - start)
    operations = bench.work(row, y.shape, "forward")
    return operations / bench.moved(arrays, y, "forward"), operations / min(times)


layers = list(bench.seanet_rows(32, 128, 1))
second = [(row.op, *measure(row)) for row in layers]
H = 512  # one frame: a stream that must answer at once
frame = [
    bench.Row("conv1d", ((1, 7, H), (7, H, 128))),
    bench.Row("conv1d", ((1, 3, 256), (3, 256, 128))),
    bench.Row("lstm", ((1, 1, H), (H, 4 * H), (H, 4 * H), (4 * H,), (1, H), (1, H))),
]
live = [(row.op, *measure(row)) for row in frame]

axes = panels(height=5.5)
intensity = np.geomspace(0.3, 300, 100)
roof = 1 / least_time(np.ones(100), 1 / intensity, PEAK, BANDWIDTH)
axes.loglog(intensity, roof / 1e9, "black", label="roof, measured")
for op, colour in [("conv1d", "C0"), ("conv_transpose1d", "C1"), ("lstm", "C2")]:
    for points, face, when in [(second, colour, "one second"), (live, "none", "one frame")]:
        some = np.array([point[1:] for point in points if point[0] == op])
        if len(some):
            axes.plot(
                some[:, 0], some[:, 1] / 1e9, "o", color=colour, mfc=face, label=f"{op}, {when}"
            )
operations, moved = conv1d_cost(1, 3002, 3, 64, 32, 1)
for (name, speed), marker in zip(speeds.items(), "v1234s*", strict=False):
    axes.plot(operations / moved, speed / 1e9, marker, color="C3", ms=9, label=name)
axes.set(
    xlabel="arithmetic intensity / (operations per byte)",
    ylabel="speed / (GF/s)",
    ylim=(1e-4, 3e-9 * PEAK),
    title="The roof, the codec's layers below it, and one layer's way up",
)
axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
axes.grid(alpha=0.3)
plt.show()

# %% [markdown]
# The red marks stand in one column: same work, same least traffic. They climb by a factor of tens
# of thousands.
#
# The full green point, the LSTM, lies well below the roof although a whole second is given to it.
# Its least traffic counts the weights once; but each frame needs the result of the frame before, so
# the recurrent weights pass by again at every frame, and they are too large for the nearest caches.
#
# And look at the hollow points. With a whole second at hand, a weight that was fetched is used for
# 75 frames or more. A live stream has *one* frame, so every weight is fetched to be used once: two
# operations for four bytes, on the steep side of the roof. No cleverness in the tile helps there;
# only smaller weights, or weights that stay in a cache, do. (A point may lie above the slope: the
# slope is that of memory, and what fits in a cache comes faster.)

# %%
# The two LSTM layers of EnCodec, frame by frame: how long does it take only to fetch their weights?
operations, moved = 2 * 2 * (512 + 512) * 2048, 2 * 4 * (512 + 512) * 2048
seconds = least_time(np.array([operations]), np.array([moved]), PEAK, BANDWIDTH)[0]
print(f"{moved / 1e6:.1f} MB of weights: {1000 * seconds:.2f} ms if they come from memory")
print(f"a frame lasts {1000 / 75:.1f} ms")
assert operations / moved == 0.5

# %% [markdown]
# ## Fast, and the same to the last bit
#
# There is a price for choosing the order of a sum freely: floating-point addition is not
# associative. $(a + b) + c$ and $a + (b + c)$ are rounded differently. Usually nobody cares. But
# EnCodec is a streaming codec, and the package promises that a file coded in chunks gives the same
# bytes as coded whole. If the order of a sum depended on how many frames there are, a latent might
# differ in its last bit, a codeword might tip over, and (chapter 15) a decoder might lose its way
# for good.
#
# So the engine fixes one order for every output, whatever the tile, the chunk or the number of
# threads: blocks of 256 terms, each summed from its first term to its last, then block after block.
# (Blocks, because a panel of 256 rows fits in the first-level cache; and because a sum of sums
# rounds less than one long sum.)
#
# ### Exercise 5: that order
#
# `check` compares bits here, so mind what is rounded when. What is to be added cancels nearly, so
# that another order gives another number for all to see.

# %%
@exercise
def blocked_sum(terms, depth):
    """terms (P) float32 -> total () float32: the sum of the sums of blocks of `depth` terms.

    Blocks begin at 0, depth, 2·depth, ...; the last may be shorter. A block's terms are added
    one after the other, from the first to the last, beginning with 0; then the blocks' sums,
    likewise. Every single result is rounded to float32.
    """
    raise NotImplementedError


check(blocked_sum)

# %%
# The package's product with a column of ones is a sum, and it is yours, to the bit:
terms = (1000 * rng.standard_normal(1500)).astype(np.float32)
ones, out = np.ones((1, 1500, 1), np.float32), np.empty((1, 1, 1), np.float32)
multiply(terms, ones, out, batch_step=1500, row_step=1500)
print("the engine", out.item(), "you", blocked_sum(terms, loops.DEPTH), "np.sum", terms.sum())
assert out.item() == blocked_sum(terms, loops.DEPTH)

# %%
# The same convolution, whole and in chunks of 7 frames:
x = rng.standard_normal((1, 702, 64), np.float32)
for name, convolve in [("the package", conv1d_forward_numba), ("NumPy's BLAS", conv1d_forward)]:
    whole = convolve(x, w)[0]
    chunks = np.concatenate([convolve(x[:, t : t + 9], w)[0] for t in range(0, 700, 7)], axis=1)
    most = np.abs(whole - chunks).max()
    print(f"{name}: {(whole != chunks).mean():.1%} of the numbers differ, by up to {most:.1e}")
    assert name != "the package" or np.array_equal(whole, chunks)

# %% [markdown]
# (What BLAS does here depends on its version and on your processor: it may differ, and it promises
# nothing.)
#
# ## And the GPU?
#
# A graphics processor is the same story with larger numbers: thousands of slow cores instead of a
# few quick ones, memory with a bandwidth of thousands of GB/s. For one of those that large models
# are trained on (H100 SXM) the maker's data sheet names 67 000 GF/s in float32 and 3350 GB/s: an
# edge at 20 operations a byte, not far from where a CPU has it. So the same layers are good or bad
# there for the same reasons, and a single frame of a live stream, which cannot keep thousands of
# cores busy, gains little.
#
# The package's definitions run on a GPU as they are: they ask an array where it lives (`xp(x)`) and
# use CuPy instead of NumPy if it lives there. If you have CuPy and a device, the next cell tries
# it; otherwise it says so, and nothing is missing.

# %%
def on_gpu():
    """The specimen with 300 000 frames, on the first GPU."""
    try:
        cupy = module("gpu")
    except InputError as error:
        return f"skipped: {error}"
    random = cupy.random.default_rng(0)
    x, weights = random.standard_normal((1, 300_002, 64), cupy.float32), cupy.asarray(w)
    y = conv1d_forward(x, weights)[0]
    here, _ = conv1d_forward(x[:, :52].get(), w)
    np.testing.assert_allclose(y[:, :50].get(), here, rtol=1e-3, atol=1e-2)
    times = []
    for _ in range(5):
        cupy.cuda.Device().synchronize()  # a GPU works while Python goes on: wait for it
        start = time.perf_counter()
        conv1d_forward(x, weights)
        cupy.cuda.Device().synchronize()
        times.append(time.perf_counter() - start)
    operations, _ = conv1d_cost(1, 300_002, 3, 64, 32, 1)
    return f"{operations / min(times) / 1e9:.0f} GF/s, tap by tap"


print(on_gpu())

# %% [markdown]
# ## Measuring without fooling oneself
#
# - The first call compiles. Call once before you look at the clock.
# - Other programs disturb; they never make yours faster. Take the least of several times, or the
#   median with quartiles, and let two rivals run *by turns*, so that a busy moment hurts both.
# - Check the result of what you time. A fast wrong kernel is easily written.
# - One speed means little. "60 GF/s" is nothing to be proud of below a roof of 170, and a marvel on
#   a slope that ends at 50.
#
# `minicodec bench` does all of this for every operator and for the whole codec.
#
# ## Exercises
#
# 1. `conv1d_cost`: work and traffic.
# 2. `least_time`: the roof.
# 3. `window_rows`: a convolution as one product.
# 4. `pack_panels`: what lies together is read together.
# 5. `blocked_sum`: one order, for all chunks and threads.
#
# To think about: A convolution with K = 1 and 16 channels in and out: on which side of the roof is
# it, and does it help to fuse it with the activation that follows? Why must the R·V sums of a tile
# be at least eight or so, if a multiply-add takes four cycles and a core can begin two in each?
# Batching eight streams on a server multiplies the speed of the LSTM by nearly eight: why?
#
# ## What the paper says
#
# On one core of a laptop of 2019, at 6 kbit/s, the 24 kHz model encodes about 10 seconds of sound
# per second, and decodes as much; with entropy coding by a Transformer, 1.6. The 48 kHz model does
# 6.8 and 5.1, with entropy coding about 0.7: no longer in real time [Defossez22, §4]. The latency
# of the streamable model, 13 ms, is one frame of 320 samples: it says nothing of the time for
# computing, which must fit in as well.
#
# ## What to read next
#
# `minicodec/kernels/cpu/engine/tile.py` (the tile), `loops.py` (the loops around it) and
# `products.py` (what keeps them safe), in this order; then `spread` in `minicodec/ops/conv1d.py`,
# where a transposed convolution becomes the same product. Of the literature: Williams, Waterman and
# Patterson, "Roofline" (2009); Goto and van de Geijn, "Anatomy of high-performance matrix
# multiplication" (2008). Then chapter 18: fast it is; is it good?
