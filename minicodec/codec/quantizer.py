"""Residual vector quantizer: a latent vector becomes a few integers [Defossez22, §3.2; Zeghidour21].

Level 1 replaces a vector by the nearest of N codewords; level 2 does the same with what is left over, the residual;
and so on. Q levels of N = 1024 entries cost 10·Q bits per frame and act like a codebook of 1024^Q entries. Stopping
after fewer levels gives a lower bitrate from the same model.

Codebooks are not trained by gradients (the choice of a codeword has none) but follow the vectors that choose them:
a codeword is the mean of its vectors, kept as an exponential moving average of their count N and sum S [Oord17,
appendix A]. The published code gets several details wrong; here they are right, and each has its test:

    a codeword that nobody chooses comes back to life as a random vector, in N and S, so that the next update keeps it
    k-means hands over counts and SUMS, so that the first update does not shrink the codewords
    each level starts from k-means over fresh vectors, after the levels above it have settled
    "nobody chooses it" is judged against the mean usage, not against a count that depends on the batch size
    the gradient passes straight through once, around all levels together, and the commitment loss reaches them all
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minicodec import functional as F
from minicodec.backend import active, xp
from minicodec.codec.weight_cache import cached
from minicodec.nn.module import Module
from minicodec.ranks import ALONE, Ranks
from minicodec.tensor import Tensor

DECAY = 0.99  # of the moving averages
EPSILON = 1e-5  # Laplace smoothing of the counts
DEAD_SHARE = 0.1  # below this share of the mean usage, an entry is dead
DEAD_CHECK_EVERY = 10  # updates of a level
KMEANS_ITERATIONS = 50
SCORES = 1 << 23  # of a beam search in memory at once: one for each vector, choice and codeword
INIT_VECTORS_PER_ENTRY = 2  # k-means waits until it has this many vectors for each entry


class Quantized(NamedTuple):
    """What the quantizer makes of latents (B,T,D) in training."""

    z: Tensor  # (B,T,D), with the gradient of the input
    commitment: Tensor  # scalar: mean over levels of mean (residual - codeword)²
    codes: Any  # (B,Q,T) integers, Q the levels used; -1 where an item uses fewer


class ResidualVectorQuantizer(Module):
    """Q codebooks of N codewords of width D, one after the other.

    Buffers: codebooks (Q,N,D), random until training initialises them; counts (Q,N) and sums (Q,N,D) of the moving
    averages; updates (Q), how often a level has learned, 0 before it is initialised; waiting (n,D), vectors that
    the next level's k-means still gathers.

    beam: how many choices of codewords are followed at once; 1: the nearest is taken at each level.
    """

    def __init__(self, levels: int, entries: int, width: int, *, beam: int = 1, rng: np.random.Generator):
        self.beam = beam
        self.codebooks = rng.normal(size=(levels, entries, width)).astype(np.float32)
        self.counts = np.zeros((levels, entries), np.float32)
        self.sums = np.zeros((levels, entries, width), np.float32)
        self.updates = np.zeros(levels, np.int64)
        self.waiting = np.zeros((0, width), np.float32)

    @property
    def levels(self) -> int:
        """Q, all codebooks."""
        return len(self.codebooks)

    @property
    def ready(self) -> int:
        """How many levels have been initialised."""
        return int((self.updates > 0).sum())

    def packed(self, levels: int) -> Any:
        """The first codebooks as kernels/cpu/nearest_codeword.py searches them."""
        from minicodec.kernels.cpu.nearest_codeword import pack_codebooks

        codebooks = self.codebooks[:levels]
        return cached(self, lambda _: pack_codebooks(codebooks), [codebooks])

    def encode(self, z: Any, levels: int, packed: Any = None) -> Any:
        """Latents z (...,D) -> codes (levels,...) integers; `packed` saves a little time, while codebooks stay."""
        if active() == "numba" and isinstance(z, np.ndarray) and z.dtype == np.float32:
            from minicodec.kernels.cpu.nearest_codeword import search

            return search(z, self.packed(levels) if packed is None else packed, self.beam)
        if self.beam > 1:
            rows = z.reshape(-1, z.shape[-1])
            some = max(1, SCORES // (self.beam * self.codebooks.shape[1]))
            parts = [rows[i : i + some] for i in range(0, max(1, len(rows)), some)]
            found = [beam_search(part, self.codebooks[:levels], self.beam) for part in parts]
            return xp(z).concatenate(found, axis=1).reshape(levels, *z.shape[:-1])
        codes, residual = [], z
        for codebook in self.codebooks[:levels]:
            codes.append(F.nearest_codeword(residual, codebook))
            residual = residual - codebook[codes[-1]]
        return xp(z).stack(codes)

    def check(self, codes: np.ndarray) -> None:
        """ValueError unless these are codes (Q,frames) of the first Q codebooks."""
        levels, entries, _ = self.codebooks.shape
        if codes.ndim != 2 or not 1 <= len(codes) <= levels:
            raise ValueError(f"codes (1…{levels},frames) are needed, these are {codes.shape}")
        if codes.dtype.kind not in "iu":
            raise ValueError(f"codes are integers, these are {codes.dtype}")
        if codes.size and not 0 <= codes.min() <= codes.max() < entries:
            raise ValueError(f"codes from {codes.min()} to {codes.max()}, but the codebooks have {entries} entries")

    def decode(self, codes: Any) -> Any:
        """Codes (Q,...) -> latents (...,D), the sum of Q codewords."""
        z = self.codebooks[0][codes[0]]
        for codebook, level_codes in zip(self.codebooks[1:], codes[1:], strict=False):
            z = z + codebook[level_codes]
        return z

    def __call__(
        self, z: Tensor, levels: int | Sequence[int], rng: np.random.Generator, ranks: Ranks = ALONE
    ) -> Quantized:
        """Quantize latents z (B,T,D) with the first `levels` codebooks, for each item its own number or one for all.

        In training mode, let these learn, each from the items that use it.

        Levels that are not initialised yet are left out; in training the first of them gathers vectors. While there
        is no level at all, z passes unquantized. rng starts k-means and revives dead entries.

        With several ranks, `levels` has a number for each item of the whole batch, and codebooks learn from all of it;
        the commitment loss is this rank's share.
        """
        residual, codes, commitment = z, [], Tensor(xp(z.data).zeros((), z.dtype))
        everybody = np.broadcast_to(levels, z.shape[0] * ranks.size)
        each = ranks.own(everybody)
        active = min(everybody.max(), self.ready)
        chosen = self._choose(z.data, each, active) if self.beam > 1 and active else None
        lessons = []
        for q in range(active):
            items, users = np.flatnonzero(each > q), int((everybody > q).sum())
            given = residual if len(items) == len(each) else residual[items]
            level_codes = F.nearest_codeword(given.data, self.codebooks[q]) if chosen is None else chosen[q][items]
            codeword = self.codebooks[q][level_codes]
            lessons.append((given.data, level_codes, users))
            if len(items):
                commitment = commitment + F.mse_loss(given, codeword) * (len(items) / users)
            if len(items) < len(each):
                level_codes, codeword = _among_all(level_codes, -1, items, each), _among_all(codeword, 0, items, each)
            residual = residual - codeword
            codes.append(level_codes)
        if chosen is not None:  # with all levels in view: a codeword is to be what the others leave of a vector
            left = [residual.data[np.flatnonzero(each > q)] for q in range(active)]
            lessons = [
                (x + self.codebooks[q][of_level], of_level, users)
                for q, (x, (_, of_level, users)) in enumerate(zip(left, lessons, strict=True))
            ]
        if self.training and lessons:
            self._learn(lessons, rng, ranks)
        if self.training and active < everybody.max():
            self._gather(active, ranks.gather(residual.data), rng)
        if not codes:
            return Quantized(z, commitment, xp(z.data).zeros((z.shape[0], 0, z.shape[1]), np.int64))
        quantized = F.straight_through(z, z.data - residual.data)
        return Quantized(quantized, commitment / len(codes), xp(z.data).stack(codes, axis=1))

    def _choose(self, z: Any, each: np.ndarray, active: int) -> Any:
        """Latents z (B,T,D), and how many levels each may use -> codes (active,B,T) by beam search, -1 beyond these."""
        codes = xp(z).full((active, *z.shape[:2]), -1)
        used = np.minimum(each, active)
        for levels in set(used):
            items = np.flatnonzero(used == levels)
            codes[:levels, items] = self.encode(z[items], levels)
        return codes

    # Learning. x (B,T,D) are the vectors that a level was given; with a beam, what all others leave of the latents.

    def _learn(self, lessons: list[tuple[Any, Any, int]], rng: np.random.Generator, ranks: Ranks) -> None:
        """Move the averages towards the vectors that chose each entry; now and then revive dead entries.

        lessons, for each level: the vectors of this rank, their codes, and how many items of all ranks use the level.
        """
        vectors = [x.reshape(-1, x.shape[-1]) for x, _, _ in lessons]
        statistics: list[Any] = []
        for q, (x, (_, codes, _)) in enumerate(zip(vectors, lessons, strict=True)):
            statistics += _count_and_sum(x, codes.reshape(-1), len(self.codebooks[q]))
        statistics = ranks.sum(statistics)
        for q, (x, (of_items, _, users)) in enumerate(zip(vectors, lessons, strict=True)):
            n, s = statistics[2 * q : 2 * q + 2]
            self.counts[q] = DECAY * self.counts[q] + (1 - DECAY) * n
            self.sums[q] = DECAY * self.sums[q] + (1 - DECAY) * s
            self.updates[q] += 1
            if self.updates[q] % DEAD_CHECK_EVERY == 0:
                self._revive_dead_entries(q, x, users * of_items.shape[1], rng, ranks)
            self._set_codewords(q)

    def _set_codewords(self, q: int) -> None:
        """Codeword = S / N, with counts smoothed so that none is 0 and their total stays."""
        total = self.counts[q].sum()
        smoothed = (self.counts[q] + EPSILON) / (total + len(self.counts[q]) * EPSILON) * total
        self.codebooks[q] = self.sums[q] / smoothed[:, None]

    def _revive_dead_entries(self, q: int, x: Any, count: int, rng: np.random.Generator, ranks: Ranks) -> None:
        """Make each entry that hardly anybody chooses a vector of x (n,D), the next one in a random order.

        count: how many vectors all ranks have together; x are this one's.

        How many those are, only the device knows that counts them. So all entries are given a vector, and those that
        live keep theirs. N and S are written, since codewords are computed from them. With N at the mean usage, an
        entry has some two hundred updates to find vectors of its own before it counts as dead again.
        """
        mean = self.counts[q].mean()
        dead = self.counts[q] < DEAD_SHARE * mean
        order = xp(x).asarray(rng.permutation(count))
        vectors = ranks.rows(x, order[(dead.cumsum() - 1) % count])
        self.counts[q] = xp(x).where(dead, mean, self.counts[q])
        self.sums[q] = xp(x).where(dead[:, None], mean * vectors, self.sums[q])

    def _gather(self, q: int, x: Any, rng: np.random.Generator) -> None:
        """Collect vectors for level q; once there are enough, start it from k-means."""
        x = x.reshape(-1, x.shape[-1])
        self.waiting = xp(x).concatenate([self.waiting, x])
        entries = len(self.codebooks[q])
        if len(self.waiting) < INIT_VECTORS_PER_ENTRY * entries:
            return
        self._start(q, self.waiting, len(x) / len(self.waiting), rng)
        self.waiting = self.waiting[:0]

    def start(self, x: Any, share: float, rng: np.random.Generator) -> None:
        """Start all levels at once, from k-means over vectors x (n,D), then over what the level before leaves of them.

        share: how much a training step will bring, as a share of x.
        """
        for q in range(self.levels):
            self._start(q, x, share, rng)
            x = x - self.codebooks[q][F.nearest_codeword(x, self.codebooks[q])]

    def _start(self, q: int, x: Any, share: float, rng: np.random.Generator) -> None:
        means, n = kmeans(x, len(self.codebooks[q]), KMEANS_ITERATIONS, rng)
        self.counts[q] = xp(x).maximum(n, 1) * share  # as if each batch had counted its share
        self.sums[q] = means * self.counts[q][:, None]
        self._set_codewords(q)
        self.updates[q] = 1


def beam_search(z: Any, codebooks: Any, beam: int) -> Any:
    """Latents z (n,D), codebooks (Q,N,D) -> codes (Q,n), whose codewords add up to nearly z [LeBlanc93].

    The nearest codeword at each level need not be the best choice of all levels together: a codeword a little farther
    away may leave something that the next codebook knows better. So after each level not one choice stays, but the
    `beam` best so far, and the next level tries all of its codewords on what each of them left.
    """
    x, array, n = z[:, None], xp(z), len(z)  # (n,B,D): what B choices have left of each vector; at first, B = 1
    cost = array.zeros((n, 1), x.dtype)  # the square of that, less ‖z‖²
    paths = array.zeros((0, n, 1), np.int64)  # their codes
    for q, codebook in enumerate(codebooks):
        entries, keep = len(codebook), beam if q + 1 < len(codebooks) else 1
        scores = cost[..., None] + (codebook**2).sum(axis=1) - 2 * (x @ codebook.T)  # (n,B,N)
        scores = scores.reshape(n, scores.shape[1] * entries)
        best = array.argsort(scores, axis=1, kind="stable")[:, :keep]
        choice, code = best // entries, best % entries
        cost = array.take_along_axis(scores, best, axis=1)
        x = array.take_along_axis(x, choice[..., None], axis=1) - codebook[code]
        paths = array.concatenate([array.take_along_axis(paths, choice[None], axis=2), code[None]])
    return paths[:, :, 0]


def _among_all(values: Any, others: float, items: np.ndarray, each: np.ndarray) -> Any:
    """Values (n,...) of some items of a batch, among those of all."""
    everybody = xp(values).full((len(each), *values.shape[1:]), others, values.dtype)
    everybody[items] = values
    return everybody


def _count_and_sum(x: Any, codes: Any, N: int) -> tuple[Any, Any]:
    """Vectors x (n,D) and their codes (n) -> how many chose each entry (N), and their sum (N,D)."""
    if xp(x) is not np:
        from minicodec.kernels.gpu.embedding import sums_by_index

        s, n = sums_by_index(x, codes, N)
        return n, s
    n, s = np.bincount(codes, minlength=N).astype(x.dtype), np.zeros((N, x.shape[1]), x.dtype)
    np.add.at(s, codes, x)
    return n, s


def kmeans(x: Any, N: int, iterations: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Lloyd's algorithm: vectors x (n,D), n >= N -> (means (N,D), how many vectors each has (N)).

    Starts from N different vectors. A mean that loses all its vectors stays where it is.
    """
    means = x[xp(x).asarray(rng.choice(len(x), N, replace=False))]
    for _ in range(iterations):
        n, s = _count_and_sum(x, F.nearest_codeword(x, means), N)
        means = xp(x).where(n[:, None] > 0, s / xp(x).maximum(n, 1)[:, None], means)
    n, _ = _count_and_sum(x, F.nearest_codeword(x, means), N)
    return means, n
