"""Companding: what is loud is made smaller and what is soft larger, before it is quantized [as in MP3 and AAC].

    y = x (x² + s²)^((p - 1)/2)          nearly sign(x) |x|^p, but smooth at 0, where it is x s^(p - 1)

A quantizer errs by about as much everywhere. Of companded coefficients (p = 3/4), a step is wider where they are large
and hide more; a power of 4/3 undoes it.
"""

from minicodec.backend import Op


def companding_forward(x, *, power, smoothing):
    """x (*x) -> y (*x), y = x (x² + s²)^((p - 1)/2)."""
    square = x * x + smoothing**2
    factor = square ** ((power - 1) / 2)
    return x * factor, (x, square, factor)


def companding_backward(dy, saved, *, power, smoothing):
    """dy (*x) -> dx (*x), dx = dy (p x² + s²) (x² + s²)^((p - 3)/2)."""
    x, square, factor = saved
    return (dy * (power * x * x + smoothing**2) / square * factor,)


companding = Op("companding", companding_forward, companding_backward)
