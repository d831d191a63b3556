# %% [markdown]
# # 2 Reverse-mode differentiation, on one page
#
# **You will be able to** write the program that computes every gradient in this book, in fifty
# lines; say why it visits a graph in the order it does; and check any gradient, yours or anybody's,
# so that a mistake cannot hide.
#
# **Before you start**: derivatives, the chain rule, NumPy arrays. No machine learning.
#
# **Reading time**: 40 minutes, and an hour for the exercises. The cells take a few seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(2)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import functional as F
from minicodec.backend import OPS, use
from minicodec.course import check, exercise, yours
from minicodec.course.show import panels, source
from minicodec.gradcheck import check as gradcheck, numeric_grad
from minicodec.tensor import Tensor, apply, grad, topological_order

yours();

# %% [markdown]
# ## The idea: who is to blame?
#
# A codec turns a waveform into another one, by a few million multiplications with numbers that
# nobody has chosen yet: its parameters. At the end stands one number, the loss $L$: how bad the
# result is. Training asks each parameter the same question: *if you were a little larger, by how
# much would $L$ change?* That is $\partial L/\partial x$, and there are millions of them. We write
# `dx` for it, always: the gradient of $L$ with respect to `x`, in the shape of `x`.
#
# One could find out by trying: change one parameter, run everything again, look. That takes a run
# per parameter. The program of this chapter finds them **all** for the price of about two runs
# more.
#
# Blame is handed backwards. Suppose $y = a \cdot b$, and somebody has told us `dy`: how strongly
# $L$ reacts to $y$. Then we know all we need, without knowing what $L$ is: moving $a$ by a little
# moves $y$ by $b$ times that, so
#
# $$ da = dy \cdot b, \qquad db = dy \cdot a. $$
#
# Every operator knows how to do this for itself. The rest is bookkeeping.
#
# ## A small graph, by hand
#
# Take $y = ab$ and $L = y + a$, at $a = 2$, $b = 5$. Backwards from $dL = 1$: the sum passes 1 to
# both sides, so $dy = 1$, and $a$ gets 1. The product passes $dy\,b = 5$ to $a$ and $dy\,a = 2$ to
# $b$. In all, $a$ has received $1 + 5 = 6$: $L$ depends on $a$ along two paths, and the chain rule
# adds over paths.

# %%
a, b = Tensor(2.0, requires_grad=True), Tensor(5.0, requires_grad=True)
L = a * b + a
da, db = grad(L, [a, b])
print("da =", da, " db =", db)
assert (float(da), float(db)) == (6, 2)

# %% [markdown]
# A `Tensor` is an array that remembers how it was made. That is all the magic there is:

# %%
y = L.parents[0]
print("L was made of", L.parents)
print("and its first parent of", y.parents)
print(
    "which would pass dy = 1 on as", y.send_back(np.float32(1), (True, True))
)  # yes, both want a gradient

# %% [markdown]
# ## Operators are pairs of functions
#
# An operator of minicodec is two plain functions on arrays. The forward returns the result and
# `saved`, whatever the backward will need; the backward takes `dy` and `saved`, and returns one
# gradient for each input. Nobody in there knows what a Tensor is. `apply` is the only place where
# the two worlds meet: it runs the forward on the arrays inside, and makes the Tensor that
# remembers.

# %%
source(apply)

# %% [markdown]
# ### Exercise 1: the backward of a product
#
# For arrays there is one thing more to think about. NumPy *broadcasts*: in `a * b` with `a` (2,3,4)
# and `b` (4,), each entry of `b` is used six times. An axis of length 1, as in (3,1) times (2,1,5),
# is stretched, too, on either side. Each use sends back a gradient, and what happens to several
# gradients of one thing you know from above. `saved` is `(a, b)`.
#
# (A right answer is kept in the folder `my_codec`, for later chapters. Only the function is: put
# helpers inside it.)

# %%
@exercise
def mul_backward(dy, saved):
    """dy (*y) -> da (*a), db (*b), the gradients of y = a * b, in the shapes of a and b. saved: (a,
    b)."""
    raise NotImplementedError


check(mul_backward)

# %% [markdown]
# ## Is this gradient right? Ask the forward
#
# A gradient is a claim about the forward: "move this entry by $\varepsilon$, and the result moves
# by so much". Claims can be tested. The result $y$ may be a whole array; fix some $dy$, and watch
# the number $\langle y, dy\rangle = \sum y\,dy$, whose gradient the backward claims to be:
#
# $$ dx_i \;\approx\; \frac{\langle f(x + \varepsilon e_i),\, dy\rangle
#    - \langle f(x - \varepsilon e_i),\, dy\rangle}{2\varepsilon} $$
#
# ### Exercise 2: central differences

# %%
@exercise
def numeric_gradient(f, x, dy, eps):
    """f (a function of x), x (*x), dy (*y) -> dx (*x): central differences of <f(x), dy>, entry by
    entry."""
    raise NotImplementedError


check(numeric_gradient)

# %% [markdown]
# How small should $\varepsilon$ be? Taylor's series says that the error of the formula is
# $\varepsilon^2 f'''/6$: smaller is better. The computer says that $f$ is rounded to 16 digits, so
# the difference has an absolute error of about $10^{-16}$, which we then divide by $2\varepsilon$:
# larger is better. Both are right.

# %%
steps = np.logspace(-12, -0.5, 60)
x = np.array([0.7])
one_sided = [abs(float((np.sin(x + e) - np.sin(x))[0] / e) - np.cos(0.7)) for e in steps]
central = [abs(float(numeric_gradient(np.sin, x, np.ones(1), e)[0]) - np.cos(0.7)) for e in steps]

axes = panels(height=3.5)
axes.loglog(steps, one_sided, ".-", label="one side: error ~ eps")
axes.loglog(steps, central, ".-", label="central: error ~ eps²")
axes.axvline(1e-6, color="grey", lw=0.8, label="minicodec's choice")
axes.set(
    xlabel="eps",
    ylabel="error of the derivative of sin at 0.7",
    title="The V of numerical differentiation: rounding on the left, curvature on the right",
)
axes.legend()
plt.show()
assert min(central) < 1e-10, "see exercise 2"
assert np.argmin(one_sided) < np.argmin(
    central
)  # the valley of the central V is deeper, and farther right

# %% [markdown]
# At the bottom of the central V agree ten digits. That is why gradients are checked in float64,
# with central differences and $\varepsilon = 10^{-6}$, and why agreement to six digits is then a
# strong statement. In float32 the left arm would be lifted by nine powers of ten: at $\varepsilon =
# 10^{-6}$ the check could not tell a right gradient from one that is wrong by 1 %, and even the
# best $\varepsilon$ would leave only five digits.
#
# ### Why a *random* dy
#
# Many checks that one sees use $dy = 1$ everywhere: they differentiate `y.sum()`. Here is a softmax
# ($e^{z_i} / \sum_j e^{z_j}$) whose backward is plainly wrong: it returns zeros. The outputs of a
# softmax add up to 1 whatever the input, so the sum's gradient **is** zero, and the check with ones
# is content.

# %%
softmax = OPS["softmax"]
z = np.random.default_rng(0).normal(size=(2, 5))


def lazy_backward(dy, saved):
    return (np.zeros_like(z),)


expected_with_ones = numeric_grad(lambda: softmax.pairs["numpy"][0](z)[0], z, np.ones_like(z))
print("largest gradient with dy = 1:", np.abs(expected_with_ones).max())
assert np.allclose(lazy_backward(None, None)[0], expected_with_ones, atol=1e-8)

try:
    gradcheck((softmax.pairs["numpy"][0], lazy_backward), [z], {}, np.random.default_rng(1))
except AssertionError as error:
    print("with a random dy:", str(error).strip().splitlines()[0])
else:
    raise AssertionError("the wrong gradient went through")

# %% [markdown]
# ## The order of the sweep
#
# A node may pass its gradient on only when it is complete: after **every** node that used it has
# sent its share. Here is the smallest graph on which the naive way (follow the parents as you find
# them) goes wrong:
#
# ```
#   0 ──► 1 ──► 2 ──► 3 ──► 4          4 is made of 3 and of 1
#         └─────────────────┘          3 is made of 2 and of 0
#   └─────────────────┘
# ```
#
# Going back from 4, one meets 3 and 1. If 1 passes on at once what it has, it sends too little: the
# rest, which comes the long way over 3 and 2, arrives after the post has gone. In *topological*
# order (parents before children) read backwards, each node comes after all that use it.

# %%
def naive(edges, root):
    """Breadth first, from the root: passes gradients on in the order in which nodes are found."""
    g = np.zeros(len(edges))
    g[root] = 1
    queue = [root]
    for n in queue:
        for parent, slope in edges[n]:
            g[parent] += g[n] * slope
            if parent not in queue:
                queue.append(parent)
    return g


# All slopes are 1, so d(4)/d(n) counts the paths from n to 4.
graph = [[], [(0, 1.0)], [(1, 1.0)], [(0, 1.0), (2, 1.0)], [(3, 1.0), (1, 1.0)]]
print("naive:", naive(graph, 4))
print("right:", np.array([3.0, 2, 1, 1, 1]), "(from 0: 0-3-4, 0-1-4 and 0-1-2-3-4)")
assert naive(graph, 4)[0] != 3

# %% [markdown]
# ### Exercise 3: the sweep
#
# A graph is a list: node `n` was made of `edges[n] = [(parent, slope), ...]`, where slope is
# $\partial n/\partial$parent. One of the tests is a chain of 10 000 nodes: Python gives up
# recursion after 1000 calls, and the graph of an LSTM is deeper than that.

# %%
@exercise
def reverse_sweep(edges, root):
    """edges (edges[n] = [(parent, slope), ...]), root -> g (N): the derivative of root with
    respect to every node.

    Numbers say nothing about the order: a parent may have a larger number than its child. A node
    may be used by several others, or twice by the same one. Nodes that root does not depend on get
    0.
    """
    raise NotImplementedError


check(reverse_sweep)

# %%
assert reverse_sweep(graph, 4).tolist() == [3, 2, 1, 1, 1]
source(topological_order)

# %% [markdown]
# `grad` is your sweep, on Tensors: for each node in reversed topological order, ask it to send its
# gradient back, and add what arrives. Is it the same? Build the graph above out of Tensors and
# compare.

# %%
nodes = [Tensor(np.float64(1.0), requires_grad=True)]
for parents in graph[1:]:
    total = nodes[parents[0][0]] * 1.0
    for parent, _ in parents[1:]:
        total = total + nodes[parent]
    nodes.append(total)
swept = [float(g) for g in grad(nodes[4], nodes)]
print(swept)
assert swept == reverse_sweep(graph, 4).tolist()
source(grad)

# %% [markdown]
# ## What it costs
#
# One sweep, however many parameters. Time both directions on a chain of 30 layers, and count the
# derivatives that come out.

# %%
import time

rng = np.random.default_rng(0)
weights = [
    Tensor(rng.normal(size=(300, 300)).astype(np.float32) / 17, requires_grad=True)
    for _ in range(30)
]


def forward():
    h = Tensor(np.ones((200, 300), np.float32))
    for w in weights:
        h = F.elu(F.linear(h, w))
    return (h * h).mean()


times = {"forward": [], "forward and all gradients": []}
for _ in range(5):
    start = time.perf_counter()
    loss = forward()
    times["forward"].append(time.perf_counter() - start)
    gradients = grad(loss, weights)
    times["forward and all gradients"].append(time.perf_counter() - start)
parameters = sum(w.data.size for w in weights)
for what, some in times.items():
    print(f"{what}: {1e3 * min(some[1:]):.1f} ms")
print(
    f"{parameters:,} derivatives; by one-sided differences they would take "
    f"{parameters * min(times['forward']):,.0f} s"
)

# %% [markdown]
# ## Train something with it
#
# Your `mul_backward`, if it is right, now works inside every Tensor product (`use("student")`). Fit
# a straight line, by stepping against the gradient. The path is drawn on the loss's landscape: the
# steps cross its contours at right angles.

# %%
x = rng.normal(size=50)
noisy = 1.5 * x - 0.7 + 0.1 * rng.normal(size=50)


def line_loss(slope, offset):
    return ((slope * x + offset - noisy) ** 2).mean()


slope, offset = Tensor(np.float64(-1.0), True), Tensor(np.float64(1.0), True)
path = []
with use("student"):
    for _ in range(25):
        path.append((float(slope), float(offset)))
        d_slope, d_offset = grad(line_loss(slope, offset), [slope, offset])
        slope.data, offset.data = slope.data - 0.15 * d_slope, offset.data - 0.15 * d_offset

slopes, offsets = np.meshgrid(np.linspace(-1.5, 3, 60), np.linspace(-2, 1.5, 60))
landscape = np.mean((slopes[..., None] * x + offsets[..., None] - noisy) ** 2, axis=-1)
plt.figure(figsize=(7, 4.5))
plt.contour(slopes, offsets, landscape, levels=15, cmap="Blues_r")
plt.plot(*np.transpose(path), ".-", color="C1")
plt.xlabel("slope")
plt.ylabel("offset")
plt.gca().set_aspect("equal")
plt.title("Twenty-five steps against the gradient")
plt.show()
print("slope", float(slope), "offset", float(offset))
assert abs(float(slope) - 1.5) < 0.1
assert abs(float(offset) + 0.7) < 0.1

# %% [markdown]
# ## Your codec: a Tensor of your own
#
# From here on you build a codec of your own, in the folder `my_codec` beside this notebook: a package of plain Python
# files. Each chapter adds parts to it. When `check` finds a part right, it stands in its file, as you wrote it; where you
# have written nothing yet, the library's stands in. Its first file is `tensor.py`: your Tensor, which knows two
# operators and indexing, the order of the sweep, and the sweep. An operator returns `Tensor(y, parents, send_back)`.
# `unbroadcast` comes before it: the gradient of `+` needs it where one of the two arrays was stretched.
# (Your `Tensor` takes the name of the library's: to run a cell above again, run the first imports again.)

# %%
@exercise
def unbroadcast(g, shape):
    """g (*y), shape of an array that broadcasting stretched to (*y) -> dx, of that shape: the sum over all its uses."""
    raise NotImplementedError


check(unbroadcast)

# %%
@exercise
class Tensor:
    """An array that remembers how it was made.

    data           the array
    requires_grad  is it a parameter, or made of one?
    parents        the Tensors it was made of; () if it does not require a gradient
    send_back      dy -> one gradient for each parent
    """

    def __init__(self, data, parents=(), send_back=None, requires_grad=False):
        raise NotImplementedError

    def __add__(self, other):
        raise NotImplementedError

    def __mul__(self, factor):
        raise NotImplementedError

    def __getitem__(self, index):
        raise NotImplementedError


check(Tensor)

# %%
@exercise
def parents_first(root):
    """root (a Tensor) -> list of all Tensors that it was made of and that require a gradient, parents before children.

    root itself is the last. No recursion: the graph of a training step is deeper than Python allows.
    """
    raise NotImplementedError


check(parents_first)

# %%
@exercise
def gradients(y, xs, dy=None):
    """y (a Tensor), xs (Tensors), dy (*y), or None for a number y -> dxs, a list: d<y, dy>/dx for each x.

    Zeros for an x that y was not made of. Each gradient is in the precision of its Tensor.
    """
    raise NotImplementedError


check(gradients)

# %%
@exercise
def elu(x):
    """x (a Tensor) -> y, a Tensor: x where x > 0, exp(x) - 1 elsewhere."""
    raise NotImplementedError


check(elu)

# %% [markdown]
# ## Exercises
#
# 1. `mul_backward`: each use sends its share.
# 2. `numeric_gradient`: the judge of all gradients.
# 3. `reverse_sweep`: the right order, without recursion.
#
# To think about: Why must `grad` drop a node's gradient once it has been passed on, in a network
# that just fits into memory? What is the gradient of `abs` at 0, and why do the tests stay away
# from there? If a network had one input and a million outputs, which direction of the sweep would
# you want?
#
# ## What the paper says
#
# Nothing: EnCodec [Defossez22] takes automatic differentiation for granted, as everybody does. It
# is older than neural networks; Linnainmaa published the reverse sweep in 1970. One detail of the
# paper leans on it, though: its loss balancer [Defossez22, §3.4] needs the gradient with respect to
# the decoder's *output*, one for each loss. That is why `grad(y, xs)` is the primary call here, and
# why it returns gradients instead of storing them in the Tensors.
#
# ## What to read next
#
# `minicodec/tensor.py` is what you have just built; read it from top to bottom.
# `minicodec/gradcheck.py` is exercise 2. Then chapter 3: the operator that a codec spends most of
# its time in.
