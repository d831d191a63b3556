"""The nearest codeword: one step of a vector quantizer.

    code(x) = argmin_n ‖x - c_n‖²,        ‖x - c_n‖² = ‖x‖² - 2 x·c_n + ‖c_n‖²

The first term is the same for every n and cannot change the argmin, so it is left out; the second is one matrix
product, (rows,D) times (D,N). Ties go to the lowest index, so that two machines agree.

An argmin is piecewise constant: its derivative is 0 or does not exist. The op has no gradient; how an encoder learns
nevertheless is the quantizer's affair (the straight-through estimator, [Defossez22, §3.2]).
"""

from minicodec.backend import Op


def nearest_codeword_forward(x, codebook):
    """x (*b,D), codebook (N,D) -> codes (*b), int64 in [0, N)."""
    distance = (codebook**2).sum(axis=1) - 2 * (x @ codebook.T)
    return distance.argmin(axis=-1), ()


def nearest_codeword_backward(dy, saved):
    """dy (*b) -> nothing: neither input has a gradient."""
    return None, None


nearest_codeword = Op("nearest_codeword", nearest_codeword_forward, nearest_codeword_backward)
