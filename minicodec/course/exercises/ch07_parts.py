"""Chapters 7 and 8, for my_codec: codebooks that learn, several of them, and the codec around them."""

import numpy as np

from minicodec.course.calling import array_of, both_ways, constant, flat, variable
from minicodec.course.catalogue import of_part
from minicodec.course.my_codec.tensor import parameters

CONFIG = {"seanet": {"filters": 2, "latent": 3, "strides": (2, 3), "lstm_layers": 1},
          "quantizer": {"levels": 3, "entries": 4}}  # fmt: skip


def _means(part, x, N, iterations, seed):
    return part(x, N, iterations, np.random.default_rng(seed))


def _vectors(rng, fresh):
    for n, N, D, iterations in [(9, 3, 2, 1), (12 + int(fresh), 4, 3, 3), (5, 5, 2, 2), (8, 2, 2, 0)]:
        yield rng.normal(size=(n, D)), N, iterations, int(rng.integers(99))


def _levelled(part, N, x, batches, seed):
    """A Codebook that starts from x, and learns from batches, by codes that are told: what it holds at each stage."""
    rng = np.random.default_rng(seed)
    book = part(N, x.shape[1])
    book.start(x, 0.25, rng)
    started = [np.array(book.codewords), np.array(book.counts), np.array(book.sums), np.array([book.updates])]
    book.counts[-1], book.sums[-1] = 1e-3, 0  # hardly anybody chooses the last one
    for batch, codes in batches:
        book.learn(batch, codes, rng)
    return *started, np.array(book.codewords), np.array(book.counts), np.array(book.sums), np.array([book.updates])


def _lives(rng, fresh):
    for N, D, n, steps in [(4, 2, 8, 3), (4, 2, 8 + int(fresh), 12), (6, 3, 3, 9)]:
        batches = []
        for _ in range(steps):
            codes = rng.integers(2, size=n)
            batches.append((rng.normal(size=(n, D)), codes))
        x = rng.normal(size=(3 * N, D)) if N < 6 else np.repeat(rng.normal(size=(2, D)), 9, axis=0)
        yield N, x, batches, int(rng.integers(99))


def _quantized(part, z, Q, levels, earlier, dz, seed):
    """A Quantizer whose first levels are there, after earlier latents: what it makes of z, and what is left in it."""
    rng = np.random.default_rng(seed)
    whole = part(len(levels) + 1, levels[0].shape[0], z.shape[-1])
    for level, codewords in zip(whole.levels, levels, strict=False):
        level.codewords, level.sums, level.counts = codewords.astype(np.float32), 5.0 * codewords, np.full(len(codewords), 5.0)
        level.updates = 1
        whole.ready += 1
    for before in earlier:
        whole(constant(before), Q, rng)
    given = variable(z)
    y = whole(given, Q, rng)
    (dx,) = both_ways(y, [given], dz)[1:] if y is not given else (dz,)
    learnt = [flat([getattr(level, name) for level in whole.levels]) for name in ("counts", "codewords")]
    return array_of(y), dx, np.array([whole.ready, len(whole.waiting)]), *learnt


def _latents(rng, fresh):
    T = 4 + int(fresh)
    books = [rng.normal(size=(3, 2)), 0.5 * rng.normal(size=(3, 2))]
    for B, frames, Q in [(2, T, 2), (1, T, 1), (1, T, 3), (2, T, 3), (2, T, 0)]:
        z = rng.normal(size=(B, frames, 2))
        yield z, Q, books, [], rng.normal(size=z.shape), 3
    z = rng.normal(size=(2, 2, 2))  # with those before, exactly as many as a level starts from
    yield z, 3, books, [rng.normal(size=(1, 2, 2))], rng.normal(size=z.shape), 3


def _coded(part, wav, Q, T, seed):
    """A Codec with weights that a seed draws -> the parts that learn, is the config kept; codes, and their sound."""
    codec = part(CONFIG, np.random.default_rng(seed))
    rng = np.random.default_rng(seed + 1)
    for level in codec.quantizer.levels:
        level.codewords = rng.normal(size=level.codewords.shape).astype(np.float32)
    learns = " ".join(sorted({path.partition(".")[0] for path in parameters(codec)}))
    codes = codec.encode(wav, Q)
    return learns, codec.config == CONFIG, np.asarray(codes), np.asarray(codec.decode(codes, T), np.float64)


def _sounds(rng, fresh):
    for T, Q in [(18, 3), (25 + int(fresh), 2), (6, 1)]:
        yield rng.normal(size=T).astype(np.float32), Q, T, 4


BOOK = ("codewords at the start", "counts at the start", "sums at the start", "updates at the start",
        "codewords", "counts", "sums", "updates")  # fmt: skip
EXERCISES = [
    of_part(
        "kmeans", 7, _vectors, _means, returned=("means", "counts"),
        slips=[
            ("replace=False", "replace=True", "the same vector can be drawn twice: replace=False"),
            ("x[rng.choice(len(x), N, replace=False)]", "x[:N]", "the first vectors are drawn, not the first N"),
            ("for _ in range(iterations)", "for _ in range(1)", "one iteration is made, whatever `iterations` says"),
            ("return means, np.bincount(nearest_codeword_forward(x, means), minlength=N)",
             "return means, np.bincount(nearest_codeword_forward(x, x[:N]), minlength=N)",
             "the counts are those of the means in the end"),
            ("return means, np.bincount(nearest_codeword_forward(x, means), minlength=N)",
             "return means, np.bincount(nearest_codeword_forward(x, means), minlength=N) / len(x)",
             "the counts are numbers of vectors, not shares"),
        ],
        hint="kmeans_step moves the means once; its counts are those before the move.",
    ),
    of_part(
        "Codebook", 7, _lives, _levelled, points=2, returned=BOOK, rtol=1e-5,
        slips=[
            ("share * np.maximum(n, 1)", "share * n", "an entry without vectors counts as if it had one: max(1, n)"),
            ("share * np.maximum(n, 1)", "np.maximum(n, 1)", "the share is left out: as if each batch had counted so much"),
            ("means * self.counts[:, None]", "means", "sums are means times counts"),
            ("self.updates % 10 == 0", "self.updates % 10 == 9", "the dead are revived at updates 10, 20, …, the start being 1"),
            ("self.updates = 1", "self.updates = 0", "the start is update number 1"),
            ("x[rng.permutation(len(x))[np.arange(len(dead)) % len(x)]]", "x[np.arange(len(dead)) % len(x)]",
             "the vectors for the dead come in the order of rng.permutation"),
            ("0.1 * self.counts.mean()", "self.counts.mean()", "dead are those below a TENTH of the mean count"),
            ("            codewords[dead] = vectors\n", "", "the codewords of revived entries are set at once, too"),
        ],
        hint="start: kmeans. learn: ema_update; and every tenth time np.flatnonzero(counts < …), revive.",
    ),
    of_part(
        "Quantizer", 8, _latents, _quantized, points=2, rtol=1e-5,
        returned=("z", "dz", "how many are ready, and how many wait", "the levels' counts", "the levels' codewords"),
        slips=[
            ("            residual = residual - chosen[-1]\n", "", "each level gets what the levels before it left over"),
            ("nearest_codeword_forward(residual,", "nearest_codeword_forward(x,",
             "every level quantizes z itself: the next one is for what is left, the residual"),
            ("            level.learn(residual, codes, rng)\n", "", "the levels do not learn"),
            ("level.learn(residual,", "level.learn(x,", "a level learns from the vectors that it was given: residuals, not z"),
            ("            chosen.append(level.codewords[codes])\n            level.learn(residual, codes, rng)\n",
             "            level.learn(residual, codes, rng)\n            chosen.append(level.codewords[codes])\n",
             "the codewords are looked up before the level learns: learning moves them"),
            ("[Codebook(N, D) for _ in range(Q)]", "[Codebook(N, D)] * Q",
             "all levels are one and the same Codebook: make a new one for each"),
            ("quantizer_backward(dz.reshape(x.shape), x, np.stack(chosen)).reshape(z.data.shape),", "dz,",
             "dz passes, but the gradient of the commitment loss does not: see quantizer_backward"),
            ("return Tensor((x - residual)", "return Tensor(residual", "the residual is what is NOT there: z is x less it"),
            ("if self.ready < Q:", "if self.ready < len(self.levels):", "vectors wait only if one of the first Q levels is not ready"),
            ("[: min(Q, self.ready)]", "[: self.ready]", "only the first Q levels are used"),
            ("if not chosen:\n            return z\n", "", "without a level that is ready, z itself comes back"),
            ("self.gather(residual, rng)", "self.gather(x, rng)",
             "the next level is for what is left after the others: residuals wait, not z"),
            ("        if self.ready < Q:\n            self.gather(residual, rng)\n", "",
             "nothing waits for the next level: call gather while fewer than Q are ready"),
            ("self.ready + 1, self.waiting[:0]", "self.ready + 1, self.waiting", "vectors go on waiting after they were used"),
            ("self.ready + 1, self.waiting[:0]", "self.ready, self.waiting[:0]", "ready does not count the level that started"),
            ("self.levels[self.ready]", "self.levels[0]", "the level to start is the first that is not ready"),
            (">= 2 * len(level.counts)", ">= len(level.counts)", "a level starts when 2·N vectors wait"),
            (">= 2 * len(level.counts)", "> 2 * len(level.counts)", "2·N vectors are enough to start: >=, not >"),
            ("len(x) / len(self.waiting)", "1.0", "the share is n / (all that waited)"),
            ("len(x) / len(self.waiting)", "len(self.waiting) / len(x)", "the share is upside down: n / (all that waited)"),
        ],
        hint="a loop over the levels that keeps the chosen codewords; then Tensor(their sum, (z,), send_back), where "
             "send_back(dz) returns (quantizer_backward(...),).",
    ),
    of_part(
        "Codec", 8, _sounds, _coded, returned=("parts with parameters", "config is kept", "codes", "wav"), rtol=1e-5,
        slips=[
            ("self.config = config", "self.config = {}", "self.config is the config that came in: files are written by it"),
            ("residual_encode(z, [", "residual_encode(z.T, [", "a vector for each frame: (frames,D), as .data[0] has it"),
            ("for level in self.quantizer.levels[:Q]])", "for level in self.quantizer.levels[:Q]]).T", "codes are (Q,frames)"),
            ("self.quantizer.levels[:Q]]", "self.quantizer.levels]", "only the first Q levels code"),
            ("data[0, :T, 0]", "data[0, :, 0]", "wav has T samples: the last frame makes more"),
            ("data[0, :T, 0]", "data[0, -T:, 0]", "the surplus stands at the end"),
            ("return residual_encode(z,", "return residual_encode(z[::-1],", "the frames run backwards"),
            ("self.encoder, self.decoder = Encoder(*sizes, rng), Decoder(*sizes, rng)",
             "self.decoder, self.encoder = Decoder(*sizes, rng), Encoder(*sizes, rng)",
             "the encoder is made first: both draw from rng"),
        ],
        hint="wav[None, :, None] is (1,T,1); .data[0] takes the only item of the batch.",
    ),
]  # fmt: skip
