"""Matrix products: of two arrays, and of an array with a weight matrix (a linear layer; its bias is `add`).

With Y = A B, entry Y[i, j] = Σ_k A[i, k] B[k, j] meets A[i, k] through B[k, j] and the other way round, so

    dA = dY Bᵀ        dB = Aᵀ dY

which one can also read off the shapes: no other product of these arrays fits.
"""

from minicodec.backend import Op
from minicodec.ops.arithmetic import unbroadcast


def matmul_forward(a, b):
    """a (*a,T,C), b (*b,C,To) -> y (*y,T,To), the axes in front broadcast against each other."""
    if a.ndim < 2 or b.ndim < 2:
        raise ValueError(f"matmul: matrices have at least 2 axes; got shapes {a.shape} and {b.shape}")
    return a @ b, (a, b)


def matmul_backward(dy, saved):
    """dy (*y,T,To) -> da (*a,T,C), db (*b,C,To)."""
    a, b = saved
    return unbroadcast(dy @ b.swapaxes(-1, -2), a.shape), unbroadcast(a.swapaxes(-1, -2) @ dy, b.shape)


matmul = Op("matmul", matmul_forward, matmul_backward)


def linear_forward(x, w):
    """x (*b,Ci), w (Ci,Co) -> y (*b,Co)."""
    return x @ w, (x, w)


def linear_backward(dy, saved):
    """dy (*b,Co) -> dx (*b,Ci), dw (Ci,Co): every row of x used the same w, so dw is a sum over rows."""
    x, w = saved
    Ci, Co = w.shape
    return dy @ w.T, x.reshape(-1, Ci).T @ dy.reshape(-1, Co)


linear = Op("linear", linear_forward, linear_backward)
