"""What the fast nearest codeword promises: the best code, lowest index first, whatever rows stand beside it."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from minicodec.codec.quantizer import beam_search
from minicodec.kernels.cpu.nearest_codeword import nearest_codeword_forward_numba, pack_codebooks, search
from minicodec.ops.nearest_codeword import nearest_codeword


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(("R", "N", "D"), [(1000, 1024, 128), (600, 1000, 64), (7, 5, 3)])
def test_equals_scipy(R, N, D, backend, rng):
    """A search tree finds the same neighbours (random distances differ by far more than rounding)."""
    x, codebook = (rng.normal(size=shape).astype(np.float32) for shape in [(R, D), (N, D)])
    codes, _ = nearest_codeword.pairs[backend][0](x, codebook)
    distance, expected = cKDTree(codebook.astype(np.float64)).query(x.astype(np.float64), k=2)
    clear = distance[:, 1] - distance[:, 0] > 1e-4
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(codes[clear], expected[clear, 0])


@pytest.mark.parametrize("D", [8, 128])
def test_a_codeword_is_its_own_neighbour(D, rng):
    codebook = rng.normal(size=(1024, D)).astype(np.float32)
    codes, _ = nearest_codeword_forward_numba(codebook[::-1], codebook)
    np.testing.assert_array_equal(codes, np.arange(1024)[::-1])


def test_ties_go_to_the_lowest_index(rng):
    """Every codeword stands there two to four times, equal ones tie to the bit: 48 apart (the same lane of a later
    panel), in another lane, and in the unfilled last panel.
    """
    once = rng.normal(size=(48, 30)).astype(np.float32)
    codebook = np.concatenate([once, once, once[:41][::-1], once[:20]])
    codes, _ = nearest_codeword_forward_numba(rng.normal(size=(500, 30)).astype(np.float32), codebook)
    assert codes.max() < len(once)
    assert len(np.unique(codes)) > 35


def test_chunks_give_the_codes_of_the_whole(rng):
    """On a grid whose cells have many equally near corners, any change of rounding would change a code."""
    codebook = (rng.integers(-1, 2, size=(729, 6)) * 0.1).astype(np.float32)
    x = (rng.integers(-3, 4, size=(700, 6)) * 0.05).astype(np.float32)
    whole, _ = nearest_codeword_forward_numba(x, codebook)
    for chunk in (1, 5, 64, 257):
        parts = [nearest_codeword_forward_numba(x[i : i + chunk], codebook)[0] for i in range(0, 700, chunk)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("R", [1, 7, 96, 200])
@pytest.mark.parametrize(("Q", "N", "D"), [(8, 1024, 128), (3, 50, 6)])
def test_all_levels_in_one_call_are_one_level_after_the_other(Q, N, D, R, rng):
    """What a level leaves is x - c to the bit: the last levels choose by the digits that remain."""
    codebooks = (rng.normal(size=(Q, N, D)) * 0.3 ** np.arange(Q)[:, None, None]).astype(np.float32)
    x = rng.normal(size=(R, D)).astype(np.float32)
    residual, before = x, x.copy()
    codes = search(x, pack_codebooks(codebooks))
    for q, codebook in enumerate(codebooks):
        expected, _ = nearest_codeword_forward_numba(residual, codebook)
        np.testing.assert_array_equal(codes[q], expected)
        residual = residual - codebook[expected]
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("beam", [1, 2, 8])
@pytest.mark.parametrize(("R", "Q", "N", "D"), [(200, 8, 1024, 64), (1, 8, 64, 32), (97, 5, 2, 3)])
def test_a_beam_is_that_of_the_definition(R, Q, N, D, beam, rng):
    """Compared by what is left of the vectors: of choices that differ by rounding alone, either will do."""
    codebooks = (rng.normal(size=(Q, N, D)) * 0.7 ** np.arange(Q)[:, None, None]).astype(np.float32)
    x = rng.normal(size=(R, D)).astype(np.float32)
    codes, expected = search(x, pack_codebooks(codebooks), beam), beam_search(x.astype(np.float64), codebooks, beam)
    assert (codes == expected).all(axis=0).mean() > 0.98
    np.testing.assert_allclose(left_over(x, codes, codebooks), left_over(x, expected, codebooks), rtol=1e-4)


def left_over(x, codes, codebooks):
    """The squared distance of each vector from its codewords' sum."""
    chosen = sum(codebook[of_level] for codebook, of_level in zip(codebooks, codes, strict=True))
    return ((x - chosen) ** 2).sum(axis=1)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_beam_of_all_choices_is_an_exhaustive_search(backend, rng):
    """The nearest of all sums of codewords, as SciPy's search tree finds it; the greedy choice mostly is another."""
    codebooks = (rng.normal(size=(3, 4, 6)) * 0.8 ** np.arange(3)[:, None, None]).astype(np.float32)
    x = rng.normal(size=(300, 6)).astype(np.float32)
    sums = (codebooks[0][:, None, None] + codebooks[1][None, :, None] + codebooks[2][None, None]).reshape(64, 6)
    _, nearest = cKDTree(sums.astype(np.float64)).query(x.astype(np.float64))
    found = search(x, pack_codebooks(codebooks), 16) if backend == "numba" else beam_search(x, codebooks, 16)
    np.testing.assert_array_equal(found, np.unravel_index(nearest, (4, 4, 4)))
    assert (search(x, pack_codebooks(codebooks)) != found).any(axis=0).mean() > 0.3


def test_a_beam_through_no_vectors(rng):
    """As where a push completes no frame."""
    assert beam_search(np.zeros((0, 5)), rng.normal(size=(3, 4, 5)), 2).shape == (3, 0)


def test_codes_of_a_beam_do_not_depend_on_the_cut(rng):
    codebooks = (rng.integers(-1, 2, size=(3, 729, 6)) * 0.1).astype(np.float32)
    x = (rng.integers(-3, 4, size=(400, 6)) * 0.05).astype(np.float32)
    packed = pack_codebooks(codebooks)
    whole = search(x, packed, 8)
    for chunk in (1, 5, 64, 257):
        parts = [search(x[i : i + chunk], packed, 8) for i in range(0, 400, chunk)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_widths_must_agree():
    with pytest.raises(ValueError, match="vectors of 3 numbers, codewords of 4"):
        nearest_codeword_forward_numba(np.zeros((2, 3), np.float32), np.zeros((5, 4), np.float32))
