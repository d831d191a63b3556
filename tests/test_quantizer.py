"""The quantizer learns as it should: one test for each defect of the published code, and for the basics."""

import numpy as np
import pytest

from minicodec.backend import use
from minicodec.codec import quantizer as quantizers
from minicodec.codec.quantizer import DEAD_CHECK_EVERY, DECAY, ResidualVectorQuantizer, kmeans
from minicodec.tensor import Tensor, grad

D = 4


def quantizer(levels=3, entries=8, seed=0):
    """One whose levels count as initialised, with random codebooks in a consistent state."""
    q = ResidualVectorQuantizer(levels, entries, D, rng=np.random.default_rng(seed))
    q.counts[:] = 5.0
    q.sums[:] = q.codebooks * q.counts[:, :, None]
    q.updates[:] = 1
    return q


def latents(rng, B=2, T=30, scale=1.0):
    return Tensor((scale * rng.normal(size=(B, T, D))).astype(np.float32), requires_grad=True)


def test_codes_are_the_greedy_nearest_codewords(rng):
    """Against a plain search written with loops."""
    q = quantizer()
    z = rng.normal(size=(20, D)).astype(np.float32)
    codes = q.encode(z, 3)
    assert codes.shape == (3, 20)
    for t in range(20):
        residual = z[t].astype(np.float64)
        for level in range(3):
            distances = [((residual - c) ** 2).sum() for c in q.codebooks[level].astype(np.float64)]
            assert codes[level, t] == int(np.argmin(distances))
            residual = residual - q.codebooks[level, codes[level, t]]
        np.testing.assert_allclose(z[t] - residual, q.decode(codes[:, t : t + 1])[0], atol=1e-5)


@pytest.mark.parametrize("scores", [1, 2000, 1 << 20])
def test_a_beam_finds_nearer_sums(rng, monkeypatch, scores):
    """With either backend, in blocks of any size, and whatever the shape of the latents."""
    monkeypatch.setattr(quantizers, "SCORES", scores)
    q = quantizer(entries=32)
    z = rng.normal(size=(3, 20, D)).astype(np.float32)
    errors, codes = {}, {}
    for beam in (1, 2, 8):
        q.beam = beam
        codes[beam] = q.encode(z, 3)
        with use("numpy"):
            np.testing.assert_array_equal(q.encode(z, 3), codes[beam])
        errors[beam] = ((z - q.decode(codes[beam])) ** 2).mean()
    assert codes[8].shape == (3, 3, 20)
    assert errors[8] < 0.97 * errors[2] < 0.97**2 * errors[1]


def test_fewer_levels_are_a_prefix(rng):
    q = quantizer()
    z = rng.normal(size=(20, D)).astype(np.float32)
    np.testing.assert_array_equal(q.encode(z, 2), q.encode(z, 3)[:2])


@pytest.mark.parametrize("beam", [1, 4])
def test_training_and_encoding_agree(rng, beam):
    q = quantizer()
    q.eval()
    q.beam = beam
    z = latents(rng)
    quantized = q(z, 3, rng)
    np.testing.assert_array_equal(quantized.codes[1], q.encode(z.data[1], 3))
    np.testing.assert_allclose(quantized.z.data[1], q.decode(quantized.codes[1]), atol=1e-6)


def test_with_a_beam_codewords_move_to_what_all_others_leave(rng):
    """Each item with its own number of levels. Against loops over vectors; nothing of it is greedy."""
    q = quantizer(entries=16)
    q.beam = 4
    before, counts, sums = q.codebooks.copy(), q.counts.copy(), q.sums.copy()
    z, levels = latents(rng, B=3), (3, 1, 2)
    codes = q(z, levels, rng).codes
    n, s = np.zeros(counts.shape), np.zeros(sums.shape)
    for item, used in enumerate(levels):
        np.testing.assert_array_equal(codes[item, used:], -1)
        for t, x in enumerate(z.data[item]):
            chosen = codes[item, :used, t]
            total = sum(before[level, c] for level, c in enumerate(chosen))
            for level, c in enumerate(chosen):
                n[level, c] += 1
                s[level, c] += x - (total - before[level, c])
    np.testing.assert_allclose(q.counts, DECAY * counts + (1 - DECAY) * n, rtol=1e-5)
    np.testing.assert_allclose(q.sums, DECAY * sums + (1 - DECAY) * s, atol=1e-4)
    q.codebooks, q.beam = before, 1
    assert (q.encode(z.data[0], 3) != codes[0]).any()


def test_evaluation_changes_nothing(rng):
    q = quantizer()
    q.eval()
    before = {name: a.copy() for name, a in q.named_buffers()}
    q(latents(rng), 3, rng)
    for name, a in q.named_buffers():
        np.testing.assert_array_equal(a, before[name], name)


def test_straight_through_gradient_is_one(rng):
    """Not the number of levels, as naive detaching would make it."""
    z = latents(rng)
    dy = rng.normal(size=z.shape).astype(np.float32)
    np.testing.assert_array_equal(grad(quantizer()(z, 3, rng).z, [z], dy)[0], dy)


def test_commitment_gradient_reaches_every_level(rng):
    """d/dz of mean over levels of mean (z - q_1 - ... - q_i)²; per-level straight-through would lose all but one."""
    q = quantizer()
    q.eval()
    z = latents(rng)
    _, commitment, codes = q(z, 3, rng)
    residual, expected, loss = z.data.astype(np.float64), 0.0, 0.0
    for level in range(3):
        residual = residual - q.codebooks[level][codes[:, level]]
        loss += (residual**2).mean() / 3
        expected = expected + 2 * residual / residual.size / 3
    np.testing.assert_allclose(float(commitment), loss, rtol=1e-5)
    np.testing.assert_allclose(grad(commitment, [z])[0], expected, rtol=1e-4, atol=1e-7)


def test_codewords_follow_their_vectors(rng):
    """One step of the moving averages, against the formula."""
    q = quantizer(levels=1)
    z = latents(rng)
    counts, sums = q.counts[0].astype(np.float64), q.sums[0].astype(np.float64)
    codes = q.encode(z.data.reshape(-1, D), 1)[0]
    q(z, 1, rng)
    for k in range(8):
        chosen = z.data.reshape(-1, D)[codes == k].astype(np.float64)
        N = DECAY * counts[k] + (1 - DECAY) * len(chosen)
        S = DECAY * sums[k] + (1 - DECAY) * chosen.sum(axis=0)
        np.testing.assert_allclose(q.counts[0, k], N, rtol=1e-5)
        np.testing.assert_allclose(q.codebooks[0, k], S / N, rtol=1e-3, atol=1e-4)


def test_dead_codes_come_back_to_life(rng):
    """As a vector of the batch; and the next steps, which compute codewords from N and S, must not overwrite it."""
    q = quantizer(levels=1)
    q.codebooks[0, 3] = 1e3  # so far away that nobody chooses it
    q.counts[0, 3] = 1e-3
    q.sums[0, 3] = q.codebooks[0, 3] * q.counts[0, 3]
    for _ in range(DEAD_CHECK_EVERY - 1):  # of which the first counts as update 2
        z = latents(rng)
        q(z, 1, rng)
    revived = q.codebooks[0, 3].copy()
    assert np.abs(z.data.reshape(-1, D) - revived).max(axis=1).min() < 1e-3
    for _ in range(3):
        q(latents(rng), 1, rng)
    assert np.linalg.norm(q.codebooks[0, 3] - revived) < 0.2
    assert (q.encode(rng.normal(size=(500, D)).astype(np.float32), 1) == 3).sum() > 5


def test_dead_is_judged_by_mean_usage_not_by_batch_size(rng):
    """With a tiny batch all counts are far below 2, and yet nobody is dead."""
    q = quantizer(levels=1)
    q.counts[:] = 0.01
    q.sums[:] = q.codebooks * 0.01
    before = q.codebooks.copy()
    q.updates[:] = DEAD_CHECK_EVERY - 1
    nobody = Tensor(q.codebooks[0, :1][None].copy())  # exactly on a codeword: the update moves nothing
    q(nobody, 1, rng)
    np.testing.assert_allclose(q.codebooks, before, rtol=1e-3)


def test_kmeans_keeps_its_norms(rng):
    """The first updates after k-means must not shrink the codewords: S has to be mean times count."""
    q = ResidualVectorQuantizer(1, 8, D, rng=rng)
    centres = 10 * rng.normal(size=(8, D))
    draw = lambda: Tensor((centres[rng.integers(8, size=(2, 30))] + 0.01 * rng.normal(size=(2, 30, D))).astype("f"))  # noqa: E731
    q(draw(), 1, rng)
    assert q.ready == 1
    started = q.codebooks[0].copy()
    assert np.sort(np.linalg.norm(started, axis=1))[-1] > 10
    for _ in range(5):
        q(draw(), 1, rng)
    np.testing.assert_allclose(np.linalg.norm(q.codebooks[0], axis=1), np.linalg.norm(started, axis=1), rtol=0.02)


def test_kmeans_finds_separate_clusters(rng):
    centres = rng.normal(size=(5, D)) * 100
    x = (np.repeat(centres, 40, axis=0) + rng.normal(size=(200, D))).astype(np.float32)
    best = min((kmeans(x, 5, 50, np.random.default_rng(s)) for s in range(20)), key=lambda m: inertia(x, m[0]))
    means, counts = best
    order = [int(np.argmin(((means - c) ** 2).sum(axis=1))) for c in centres]
    np.testing.assert_allclose(means[order], centres, atol=1)
    np.testing.assert_array_equal(counts[order], 40)


def inertia(x, means):
    return ((x[:, None] - means) ** 2).sum(-1).min(1).sum()


def test_levels_start_one_after_the_other_on_fresh_vectors(rng):
    """Each level's k-means sees only vectors of steps in which the level above was ready."""
    q = ResidualVectorQuantizer(3, 8, D, rng=rng)
    ready = []
    for _ in range(8):
        q(latents(rng, B=1, T=8), 3, rng)  # 8 vectors a step: k-means waits for 2 steps
        ready.append(q.ready)
    assert ready == [0, 1, 1, 2, 2, 3, 3, 3]
    assert len(q.waiting) == 0


def test_before_the_first_level_latents_pass_unquantized(rng):
    q = ResidualVectorQuantizer(3, 8, D, rng=rng)
    z = latents(rng, B=1, T=8)
    quantized = q(z, 3, rng)
    assert quantized.z is z
    assert float(quantized.commitment) == 0
    assert quantized.codes.shape == (1, 0, 8)


@pytest.mark.parametrize("levels", [1, 2])
def test_levels_above_those_drawn_do_not_learn(levels, rng):
    q = quantizer()
    before = q.codebooks.copy()
    q(latents(rng), levels, rng)
    assert (q.codebooks[:levels] != before[:levels]).any(axis=(1, 2)).all()
    np.testing.assert_array_equal(q.codebooks[levels:], before[levels:])


def test_each_item_can_use_levels_of_its_own(rng):
    """It gets what it would get alone, and so does its gradient, but for its share in the mean of a level."""
    q = quantizer()
    q.eval()
    z = latents(rng, B=3)
    together = q(z, (2, 1, 3), rng)
    for b, levels in enumerate((2, 1, 3)):
        alone = q(Tensor(z.data[b : b + 1]), levels, rng)
        np.testing.assert_allclose(together.z.data[b], alone.z.data[0], atol=1e-6)
        np.testing.assert_array_equal(together.codes[b, :levels], alone.codes[0])
        assert (together.codes[b, levels:] == -1).all()
    # Level 1 has three items, level 2 two, level 3 one: each level's mean counts a third.
    residuals = [z.data[b] - q.decode(together.codes[b, : n + 1]) for b, n in ((0, 0), (1, 0), (2, 0))]
    expected = sum((r**2).mean() for r in residuals) / 3
    expected += sum(((z.data[b] - q.decode(together.codes[b, :2])) ** 2).mean() for b in (0, 2)) / 2
    expected += ((z.data[2] - q.decode(together.codes[2])) ** 2).mean()
    assert float(together.commitment) == pytest.approx(expected / 3, rel=1e-5)
    (g,) = grad(together.commitment, [z])
    np.testing.assert_allclose(g[1], 2 * residuals[1] / residuals[1].size / 9, rtol=1e-4, atol=1e-8)


def test_a_level_learns_from_the_items_that_use_it(rng):
    q, other = quantizer(), quantizer()
    z = latents(rng, B=3)
    q(z, (1, 3, 1), np.random.default_rng(0))
    other(Tensor(z.data[1:2]), 3, np.random.default_rng(0))
    np.testing.assert_array_equal(q.counts[1:], other.counts[1:])
    np.testing.assert_array_equal(q.codebooks[1:], other.codebooks[1:])
    assert (q.counts[0] != other.counts[0]).any()


def test_all_levels_can_start_at_once(rng):
    """From k-means, each on what the level before leaves over; averages as if a batch had brought its share."""
    q = ResidualVectorQuantizer(3, 16, D, rng=rng)
    x = rng.normal(size=(2000, D)).astype(np.float32)
    q.start(x, 0.1, rng)
    assert q.ready == 3
    np.testing.assert_allclose(q.counts.sum(axis=1), 200, rtol=1e-5)
    np.testing.assert_allclose(q.sums, q.codebooks * q.counts[:, :, None], rtol=1e-3, atol=1e-4)
    codes = q.encode(x, 3)
    errors = [((x - q.decode(codes[:n])) ** 2).mean() for n in (1, 2, 3)]
    assert errors[0] < 0.45
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.5 * errors[1]


def test_more_levels_lower_the_error_on_data_they_learned(rng):
    """And all entries of all levels find a use."""
    q = ResidualVectorQuantizer(3, 16, D, rng=rng)
    for _ in range(300):
        q(latents(rng, T=40), 3, rng)
    z = rng.normal(size=(4000, D)).astype(np.float32)
    codes = q.encode(z, 3)
    errors = [((z - q.decode(codes[:n])) ** 2).mean() for n in (1, 2, 3)]
    assert errors[0] < 0.45  # rate-distortion for 1 bit per dimension: 0.25 at best
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.5 * errors[1]
    for level in range(3):
        assert len(np.unique(codes[level])) == 16
