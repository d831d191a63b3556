"""Chapters 7 and 8: codebooks that learn, one after the other, and the codec around them."""

import numpy as np

from minicodec.course.my_codec.seanet import Decoder, Encoder
from minicodec.course.my_codec.tensor import Tensor


def nearest_codeword_forward(x, codebook):
    """x (*b,D), codebook (N,D) -> codes (*b), int64 in [0, N)."""
    return ((codebook**2).sum(axis=1) - 2 * (x @ codebook.T)).argmin(axis=-1)


def kmeans_step(x, means):
    """x (n,D), means (N,D) -> means (N,D), counts (N): each mean moves to the middle of the vectors nearest to it."""
    codes = nearest_codeword_forward(x, means)
    counts = np.bincount(codes, minlength=len(means))
    sums = np.zeros(means.shape)
    np.add.at(sums, codes, x)
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], means), counts


def kmeans(x, N, iterations, rng):
    """x (n,D) -> means (N,D), counts (N): k-means, and how many vectors each mean has in the end.

    It begins with x[rng.choice(n, N, replace=False)], N different vectors.
    """
    means = x[rng.choice(len(x), N, replace=False)]
    for _ in range(iterations):
        means, _ = kmeans_step(x, means)
    return means, np.bincount(nearest_codeword_forward(x, means), minlength=N)


def ema_update(counts, sums, x, codes, decay):
    """counts (N), sums (N,D), x (n,D), codes (n) -> counts (N), sums (N,D), codebook (N,D), after one batch."""
    n = np.bincount(codes, minlength=len(counts))
    s = np.zeros(sums.shape)
    np.add.at(s, codes, x)
    counts, sums = decay * counts + (1 - decay) * n, decay * sums + (1 - decay) * s
    total = counts.sum()
    smoothed = (counts + 1e-5) / (total + len(counts) * 1e-5) * total
    return counts, sums, sums / smoothed[:, None]


def revive(counts, sums, dead, vectors):
    """counts (N), sums (N,D), dead (k), vectors (k,D) -> counts (N), sums (N,D): dead entries become vectors."""
    counts, sums = counts.copy(), sums.copy()
    mean = counts.mean()
    counts[dead] = mean
    sums[dead] = mean * vectors
    return counts, sums


class Codebook:
    """One level's codewords, and what they learn from: codewords (N,D), counts (N), sums (N,D), updates (a number)."""

    def __init__(self, N, D):
        self.codewords, self.counts, self.sums = np.zeros((N, D), np.float32), np.zeros(N), np.zeros((N, D))
        self.updates = 0

    def start(self, x, share, rng):
        """Start from k-means over x (n,D), in 50 iterations. An entry counts share · max(1, its vectors)."""
        means, n = kmeans(x, len(self.counts), 50, rng)
        self.counts = share * np.maximum(n, 1)
        self.sums = means * self.counts[:, None]
        self.codewords = np.asarray(means, np.float32)
        self.updates = 1

    def learn(self, x, codes, rng):
        """Follow the vectors x (n,D) that chose the entries codes (n): ema_update, with decay 0.99.

        Every tenth update, entries with less than a tenth of the mean count die, and are revived: the first dead one as
        the first of x[rng.permutation(n)], and so on (from the start again, if they are more than n).
        """
        self.counts, self.sums, codewords = ema_update(self.counts, self.sums, x, codes, 0.99)
        self.updates += 1
        if self.updates % 10 == 0:
            dead = np.flatnonzero(self.counts < 0.1 * self.counts.mean())
            vectors = x[rng.permutation(len(x))[np.arange(len(dead)) % len(x)]]
            self.counts, self.sums = revive(self.counts, self.sums, dead, vectors)
            codewords[dead] = vectors
        self.codewords = np.asarray(codewords, np.float32)


def residual_encode(x, codebooks):
    """x (n,D), codebooks (Q,N,D) -> codes (Q,n): each level quantizes what the levels before it have left over."""
    codes = []
    for codebook in codebooks:
        codes.append(nearest_codeword_forward(x, codebook))
        x = x - codebook[codes[-1]]
    return np.stack(codes)


def residual_decode(codes, codebooks):
    """codes (Q,n), codebooks (at least Q, N, D) -> x (n,D): the sum of the chosen codewords."""
    x = codebooks[0][codes[0]]
    for q in range(1, len(codes)):
        x = x + codebooks[q][codes[q]]
    return x


def quantizer_backward(dz, x, codewords):
    """dz (n,D), x (n,D), codewords (Q,n,D) -> dx (n,D): what reaches the encoder, from both of its losses."""
    dx, residual = dz.copy(), x
    for codeword in codewords:
        residual = residual - codeword
        dx += 2 * residual / (len(codewords) * x.size)
    return dx


class Quantizer:
    """Q codebooks, one after the other: the list `levels`. ready: how many have been started; waiting (n,D): vectors
    that gather for the next one.
    """

    def __init__(self, Q, N, D):
        self.levels, self.ready, self.waiting = [Codebook(N, D) for _ in range(Q)], 0, np.zeros((0, D), np.float32)

    def __call__(self, z, Q, rng):
        """z (B,T,D), a Tensor -> quantized z, a Tensor: with the first Q levels, as far as they are ready; they learn.

        Each level finds its codewords before it learns. quantizer_backward sends gradients back. Then, if a level of
        these Q is not ready, its vectors wait (`gather`). Without a ready level, z itself comes back.
        """
        x = residual = z.data.reshape(-1, z.data.shape[-1])
        chosen = []
        for level in self.levels[: min(Q, self.ready)]:
            codes = nearest_codeword_forward(residual, level.codewords)
            chosen.append(level.codewords[codes])
            level.learn(residual, codes, rng)
            residual = residual - chosen[-1]
        if self.ready < Q:
            self.gather(residual, rng)
        if not chosen:
            return z

        def send_back(dz):
            return (quantizer_backward(dz.reshape(x.shape), x, np.stack(chosen)).reshape(z.data.shape),)

        return Tensor((x - residual).reshape(z.data.shape), (z,), send_back)

    def gather(self, x, rng):
        """Add x (n,D) to `waiting`. As soon as there are 2·N vectors, start the next level with them; none wait then.

        The share of its counts is n / (all that waited): they count as if they had come in batches as large as x.
        """
        self.waiting = np.concatenate([self.waiting, x])
        level = self.levels[self.ready]
        if len(self.waiting) >= 2 * len(level.counts):
            level.start(self.waiting, len(x) / len(self.waiting), rng)
            self.ready, self.waiting = self.ready + 1, self.waiting[:0]


class Codec:
    """A whole codec: encoder, quantizer, decoder, and the config that it was made by.

    config["seanet"]: a dict with filters, latent, strides, lstm_layers; config["quantizer"]: with levels, entries.
    """

    def __init__(self, config, rng):
        net, book = config["seanet"], config["quantizer"]
        sizes = net["filters"], net["latent"], net["strides"], net["lstm_layers"]
        self.config = config
        self.encoder, self.decoder = Encoder(*sizes, rng), Decoder(*sizes, rng)
        self.quantizer = Quantizer(book["levels"], book["entries"], net["latent"])

    def encode(self, wav, Q):
        """wav (T) -> codes (Q,frames): of the first Q levels."""
        z = self.encoder(Tensor(wav[None, :, None])).data[0]
        return residual_encode(z, [level.codewords for level in self.quantizer.levels[:Q]])

    def decode(self, codes, T):
        """codes (Q,frames) -> wav (T)."""
        z = residual_decode(codes, [level.codewords for level in self.quantizer.levels])
        return self.decoder(Tensor(z[None])).data[0, :T, 0]
