"""How fast are the operators? Every op that costs something, at the sizes that occur: definition against fast pair.

A row is an op on arrays of given shapes. Both pairs, the "numpy" definition and the "numba" one, are called by turns
(so that a busy moment of the machine hurts both), and the median and the quartiles of the times are kept. Where the
work is known it is counted in multiplications and additions; GF/s are 10⁹ of them per second. The bytes are those that
have to move if every input is read once and every result is written once: work / bytes is the arithmetic intensity,
which says whether the machine's peak or its memory is the limit [Williams09, "Roofline"].
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

import minicodec.functional  # noqa: F401 -- it imports all ops
from minicodec.backend import OPS, load
from minicodec.bench.machine import timed, waiting
from minicodec.device import module

# Multiplications and additions of a forward, from the shapes of its inputs and of its result. A backward is two more
# such products, one for dx and one for dw.
PRODUCTS: dict[str, Callable[[Any, Any], float]] = {
    **dict.fromkeys(
        ("conv1d", "conv1d_layer", "conv2d", "conv2d_leaky_relu"),
        lambda shapes, y: 2 * np.prod(y) * np.prod(shapes[1][:-1]),
    ),
    **dict.fromkeys(
        ("conv_transpose1d", "conv_transpose1d_layer"),
        lambda shapes, y: 2 * np.prod(shapes[0]) * shapes[1][0] * shapes[1][2],
    ),
    "linear": lambda shapes, y: 2 * np.prod(y) * shapes[1][0],
    "lstm": lambda shapes, y: 2 * np.prod(shapes[0][:2]) * (np.prod(shapes[1]) + np.prod(shapes[2])),
    "nearest_codeword": lambda shapes, y: 2 * np.prod(shapes[0]) * shapes[1][0],
}
# One operation for each number of the result, forward and backward, whatever it is and costs.
ELEMENTWISE = ("add", "elu", "gelu", "leaky_relu")


@dataclass(frozen=True)
class Row:
    """An op at one size. `entries`: where the last input holds indices, how many different ones."""

    op: str
    shapes: tuple[tuple[int, ...], ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    entries: int = 0

    def __str__(self) -> str:
        """Of the inputs, the signal and the weight; of the attributes, what is not obvious from them."""
        shapes = ["x".join(map(str, shape)) for shape in self.shapes[:2]]
        return " ".join([*shapes, *(f"{k}={v}" for k, v in self.attrs.items() if k in ("stride", "n_fft"))])

    def arrays(self) -> list[np.ndarray]:
        """Standard normal inputs; 0.1 of that for weights, so that deep sums stay of order 1."""
        rng = np.random.default_rng(0)
        arrays: list[np.ndarray] = [rng.standard_normal(shape, np.float32) for shape in self.shapes]
        arrays[1:] = [a * np.float32(0.1) for a in arrays[1:]]
        if self.entries:
            arrays[-1] = rng.integers(0, self.entries, self.shapes[-1])
        return arrays


def seanet_rows(filters: int, latent: int, batch: int, strides: tuple[int, ...] = (2, 4, 5, 8)) -> Iterator[Row]:
    """The layers of a SEANet encoder and decoder at 24 kHz on `batch` seconds of audio. [Defossez22, §3.2]"""
    T, C = 24000, filters
    yield Row("conv1d", ((batch, T + 6, 1), (7, 1, C)))
    for stride in strides:
        yield Row("conv1d", ((batch, T + 2, C), (3, C, C // 2)))
        yield Row("conv1d", ((batch, T, C // 2), (1, C // 2, C)))
        yield Row("conv1d", ((batch, T + stride, C), (2 * stride, C, 2 * C)), {"stride": stride})
        T, C = T // stride, 2 * C
    yield Row("lstm", ((batch, T, C), (C, 4 * C), (C, 4 * C), (4 * C,), (batch, C), (batch, C)))
    yield Row("conv1d", ((batch, T + 6, C), (7, C, latent)))
    yield Row("conv1d", ((batch, T + 6, latent), (7, latent, C)))
    for stride in reversed(strides):
        yield Row("conv_transpose1d", ((batch, T, C), (2 * stride, C, C // 2)), {"stride": stride})
        T, C = T * stride, C // 2
    yield Row("conv1d", ((batch, T + 6, C), (7, C, 1)))


def other_rows(batch: int) -> Iterator[Row]:
    """What surrounds those layers: activations, norms, padding; the quantizer; the language model; spectrograms."""
    yield Row("add", ((batch, 24000, 16), (16,)))
    yield Row("elu", ((batch, 24000, 16),))
    yield Row("elu", ((batch, 600, 128),))
    yield Row("leaky_relu", ((batch, 93, 257, 32),))
    yield Row("l1_distance", ((batch, 93, 257, 32), (batch, 93, 257, 32)))
    yield Row("gelu", ((batch, 75, 800),))
    yield Row("pad1d", ((batch, 24000, 16),), {"left": 2, "right": 0})
    yield Row("conv1d_layer", ((batch, 24000, 16), (3, 16, 8), (8,)), {"left": 2, "mode": "reflect"})
    unit = ((batch, 24000, 32), (3, 32, 16), (16,), (1, 16, 32), (32,), (1, 32, 32), (32,))
    yield Row("residual_unit", unit, {"left": 2, "right": 0, "mode": "reflect"})
    yield Row("conv_transpose1d_layer", ((batch, 12000, 32), (4, 32, 16), (16,)), {"stride": 2})
    yield Row("weight_norm", ((16, 128, 256), (1, 1, 256)), {"axis": 2})
    yield Row("group_norm", ((batch, 24000, 16), (16,), (16,)))
    yield Row("layer_norm", ((batch, 75, 200), (200,), (200,)))
    yield Row("linear", ((batch, 75, 200), (200, 800)))
    yield Row("softmax", ((batch, 75, 8, 1024),))
    yield Row("softmax_cross_entropy", ((batch, 75, 8, 1024), (batch, 75, 8)), entries=1024)
    yield Row("embedding", ((1024, 200), (batch, 75, 8)), entries=1024)
    yield Row("nearest_codeword", ((batch * 75, 64), (1024, 64)))
    yield Row("stft_magnitude", ((batch, 24000),), {"n_fft": 1024, "hop": 256})
    yield Row("stft", ((batch, 24000),), {"n_fft": 1024, "hop": 256})
    conv2d = {"stride": (1, 2), "padding": (1, 4)}
    yield Row("conv2d", ((batch, 90, 257, 32), (3, 9, 32, 32)), conv2d)
    yield Row("conv2d_leaky_relu", ((batch, 90, 257, 32), (3, 9, 32, 32), (32,)), conv2d)


def rows(quick: bool) -> list[Row]:
    """mini_24khz on one second, as in use; if not quick, also in training (8 seconds), and encodec_24khz on one."""
    some = [*seanet_rows(16, 64, 1), *other_rows(1)]
    if not quick:
        some += [*seanet_rows(16, 64, 8), *other_rows(8), *seanet_rows(32, 128, 1)]
    return some


def work(row: Row, y: tuple[int, ...], direction: str) -> float | None:
    """Multiplications and additions of a row whose result has the shape y; None where they are not what it is about."""
    if row.op in PRODUCTS:
        return float(PRODUCTS[row.op](row.shapes, y)) * (2 if direction == "backward" else 1)
    return float(np.prod(y)) if row.op in ELEMENTWISE else None


def moved(arrays: list[Any], y: Any, direction: str) -> float:
    """Bytes: the inputs and y; backward, the inputs and dy are read, and a gradient of each input is written."""
    inputs = float(sum(a.nbytes for a in arrays))
    return y.nbytes + (2 * inputs if direction == "backward" else inputs)


def measure(row: Row, device: str, seconds: float, least: int) -> list[dict[str, Any]]:
    """Time the definition and the device's fast pair, if there is one -> a record for each of them and each direction.

    A record: op, size, direction, backend; median, lower_quartile, upper_quartile in seconds; flop (work), bytes.
    """
    op, put = OPS[row.op], module(device).asarray
    arrays = [put(array) for array in row.arrays()]
    fast = "cupy" if device == "gpu" else "numba"
    load(fast)
    backends = [name for name in ("numpy", fast) if name in op.pairs]
    calls: dict[str, list[Callable[[], Any]]] = {"forward": [], "backward": []}
    for name in backends:
        forward, backward = op.pairs[name]
        y, saved = forward(*arrays, **row.attrs)
        calls["forward"].append(partial(forward, *arrays, **row.attrs))
        if y.dtype.kind == "f":  # codes have no gradient
            dy = put(np.random.default_rng(1).standard_normal(y.shape, np.float32))
            calls["backward"].append(partial(backward, dy, saved, **row.attrs))
            calls["backward"][-1]()  # so that none of the timed calls compiles
    records = []
    for direction in filter(calls.get, calls):
        about: dict[str, Any] = {"flop": work(row, y.shape, direction), "bytes": moved(arrays, y, direction)}
        times = timed(calls[direction], seconds, least, waiting(device))
        for name, taken in zip(backends, times, strict=True):
            record = {"op": row.op, "size": str(row), "direction": direction, "backend": name}
            records.append(record | about | quartiles(taken))
    return records


def quartiles(times: list[float]) -> dict[str, float]:
    """The median and the quartiles."""
    low, median, high = (float(q) for q in np.quantile(times, (0.25, 0.5, 0.75)))
    return {"median": median, "lower_quartile": low, "upper_quartile": high}
