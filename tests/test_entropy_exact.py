"""Arithmetic for entropy coding: right, and the same to the bit in every implementation, order and company."""

import hashlib
import math
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import erf, softmax

from minicodec import backend
from minicodec.codec.files.entropy.chunk_coder import decode, encode
from minicodec.codec.files.entropy.positions import Positions
from minicodec.codec.files.entropy.predictor import Predictor
from minicodec.codec.files.entropy.range_coder import Decoder, encode as range_encode
from minicodec.errors import InputError
from minicodec.kernels.cpu import exact as compiled
from minicodec.ops import exact
from tests.conftest import real_gpu
from tests.entropy_models import exact_lm, frames, previous

RECORDED_FUNCTIONS = "d48c1016210bd7d9"
RECORDED = "2db9a287814c6b40"  # of what the definition gave when the format was made


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def bits(array):
    return array.view(np.int32 if array.dtype == np.float32 else np.int64)


def cases(rng):
    """Each function with arguments; sizes odd and even, numbers small and large."""
    wide = normal(rng, 3, 70) * np.float32(10) ** rng.integers(-15, 15, (3, 70)).astype(np.float32)
    yield "gelu", [wide]
    yield "gelu", [np.linspace(-15, 15, 400, dtype=np.float32)[None]]
    for R, K, N in [(1, 1, 1), (3, 7, 33), (2, 128, 65), (5, 18, 1024)]:
        yield "linear", [normal(rng, R, K), normal(rng, K, N), normal(rng, N)]
        yield "layer_norm", [normal(rng, R, K), normal(rng, K), normal(rng, K)]
        yield "cumulative_counts", [normal(rng, R, N) * 30]
    for first, T, W in [(0, 1, 5), (0, 9, 5), (3, 4, 5), (1000, 3, 40), (38, 5, 40)]:
        yield "attend", [normal(rng, 2, T, 36), normal(rng, 2, 2, 6, W), normal(rng, 2, 2, W, 6), first]


def test_compiled_gives_the_bits_of_the_definition(rng):
    for name, arguments in cases(rng):
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        ours, expected = getattr(compiled, name)(*arguments), getattr(exact, name)(*copies)
        assert ours.dtype == expected.dtype
        np.testing.assert_array_equal(bits(ours), bits(expected), name)
        for a, b in zip(arguments[:3], copies[:3], strict=True):  # rings are written to, the rest is not
            np.testing.assert_array_equal(a, b, name)


def test_functions_are_those_of_the_textbook(rng):
    x = np.linspace(-80, 0, 999, dtype=np.float32)
    np.testing.assert_allclose(exact.exp(x), np.exp(x.astype(float)), rtol=5e-4)
    np.testing.assert_allclose(exact.exp(x[-200:]), np.exp(x[-200:].astype(float)), rtol=4e-5)
    assert exact.exp(np.float32(-1e30)) == exact.exp(np.float32(-80)) > 1e-35
    x = np.linspace(-10, 10, 999, dtype=np.float32)
    np.testing.assert_allclose(exact.gelu(x), x * (1 + erf(x / math.sqrt(2))) / 2, atol=2e-6, rtol=2e-6)
    x = normal(rng, 4, 37)
    np.testing.assert_allclose(exact.fold(x), x.sum(axis=1, dtype=float), rtol=1e-5)
    w, b = normal(rng, 37, 5), normal(rng, 5)
    np.testing.assert_allclose(exact.linear(x, w, b), x.astype(float) @ w + b, rtol=1e-4, atol=1e-5)
    normed = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(exact.layer_norm(x, w[:, 0], w[:, 1]), normed * w[:, 0] + w[:, 1], rtol=1e-4, atol=1e-5)


def test_sums_are_in_the_order_that_is_written_down():
    """1e8 swallows 1, unless something takes it away first."""
    x, w = np.float32([[1, 1e8, -1e8, 1, 1]]), np.ones((5, 1), np.float32)
    for kernels in (exact, compiled):
        assert kernels.linear(x, w, np.float32([0]))[0, 0] == 2  # ((((0 + 1) + 1e8) - 1e8) + 1) + 1
        assert kernels.linear(x[:, ::-1].copy(), w, np.float32([0]))[0, 0] == 1  # ((((0 + 1) + 1) - 1e8) + 1e8) + 1
    assert exact.fold(x)[0] == 0  # ((1 + 1) - 1e8) + (1e8 + 1)


@pytest.mark.parametrize("V", [2, 16, 1024])
def test_counts_go_by_the_softmax(V, rng):
    logits = normal(rng, 20, V) * 4
    cumulative = exact.cumulative_counts(logits)
    counts = np.diff(cumulative)
    assert (cumulative[:, 0] == 0).all()
    assert counts.min() >= 1
    assert (cumulative[:, -1] >= exact.TOTAL - V).all()
    assert (cumulative[:, -1] <= exact.TOTAL).all()
    p = softmax(logits.astype(float), axis=1)
    np.testing.assert_allclose(counts / exact.TOTAL, p, rtol=1e-4, atol=2 / exact.TOTAL + V / exact.TOTAL * p.max())
    sure = exact.cumulative_counts(np.float32([[1000] + [-1000] * (V - 1)]))
    np.testing.assert_array_equal(np.diff(sure)[0, 1:], 1)


def test_positions_are_cosines_and_sines():
    """Of any frame; the rotation's errors add up to nothing that float32 shows."""
    clock = Positions(128)
    rows = np.concatenate([clock.next(n) for n in (1, 5, 9994)])
    phases = np.arange(10_000)[:, None] * 10_000.0 ** -(np.arange(64) / 63)
    np.testing.assert_allclose(rows, np.concatenate([np.cos(phases), np.sin(phases)], axis=1), rtol=0, atol=6.1e-8)


@pytest.mark.parametrize("zero_past", [False, True])
def test_predictions_are_those_of_the_language_model(zero_past):
    """Beyond the frames that attention sees, with fewer codebooks than there are."""
    lm = exact_lm(scale=2.0, zero_past=zero_past)
    numbers = previous(frames(40, Q=2, B=2))
    predictor = Predictor(lm, 2)
    counts = predictor(numbers, predictor.start(2))
    expected, _ = lm.probabilities(numbers, lm.start(2))
    assert expected.max() > 0.3
    np.testing.assert_allclose(np.diff(counts) / exact.TOTAL, expected, rtol=2e-3, atol=2e-6)


def test_bits_do_not_depend_on_implementation_or_company():
    """All frames at once, one by one, some; one sequence, two; NumPy, Numba. 50 frames, of which attention sees 12."""
    numbers = previous(frames(50, B=2))
    predictor = Predictor(exact_lm(), 3)
    expected = predictor(numbers, predictor.start(2))
    for name in ("numpy", "numba"):
        with backend.use(name):
            past = predictor.start(2)
            steps = [predictor(numbers[:, :, t : t + 1], past) for t in range(50)]
            np.testing.assert_array_equal(np.concatenate(steps, axis=1), expected)
            past = predictor.start(1)
            parts = [predictor(numbers[1:, :, a:b], past) for a, b in [(0, 7), (7, 30), (30, 50)]]
            np.testing.assert_array_equal(np.concatenate(parts, axis=1), expected[1:])


def test_bits_are_those_recorded():
    """The file format is in them: if this fails, no file that was ever written can be read any more."""
    lm = exact_lm(Q=4, N=64, D=24, heads=3, hidden=50, scale=2.0)
    numbers = previous(frames(40, Q=4, N=64))
    predictor = Predictor(lm, 4)
    counts = predictor(numbers, predictor.start(1))
    assert len(np.unique(np.diff(counts))) > 1000
    grid = np.arange(-20_000, 0, dtype=np.float32)[None] / np.float32(256)
    functions = [exact.exp(grid), exact.gelu(grid / 8), exact.gelu(-grid / 8), Positions(24).next(400)]
    assert hashlib.sha256(b"".join(f.astype("<f4").tobytes() for f in functions)).hexdigest()[:16] == RECORDED_FUNCTIONS
    assert hashlib.sha256(counts.astype("<i8").tobytes()).hexdigest()[:16] == RECORDED


def naive_stream(lm, codes, steps):
    """The counts (T,Q,N) of a Transformer in the usual arithmetic: all frames at once, or one after the other."""
    numbers, past, parts = previous(codes), lm.start(1), []
    for t in range(0, numbers.shape[2], numbers.shape[2] // steps):
        p, past = lm.probabilities(numbers[:, :, t : t + numbers.shape[2] // steps], past)
        parts.append(p[0])
    counts = 1 + np.floor(np.concatenate(parts) * np.float32(exact.TOTAL - p.shape[-1])).astype(np.int64)
    return np.pad(counts.cumsum(axis=-1), [(0, 0), (0, 0), (1, 0)])


def test_usual_arithmetic_breaks_a_stream_and_ours_does_not():
    """Written with BLAS, all frames at once; read with Numba's sums, frame by frame, as on some other machine."""
    lm = exact_lm(D=64, heads=4, hidden=256, context=60, N=256)
    codes = frames(120, N=256)
    with backend.use("numpy"):
        written = naive_stream(lm, codes, steps=1)
    read = naive_stream(lm, codes, steps=120)
    assert 0 < abs(np.diff(written) - np.diff(read)).max() < 100  # of 16 million
    symbols = codes[0].T[..., None].astype(np.int64)
    starts, stops = (np.take_along_axis(written, symbols + i, axis=-1).ravel() for i in (0, 1))
    decoder = Decoder(range_encode(starts, stops, written[..., -1].ravel()))
    decoded = [decoder.pull(counts) for counts in read]
    assert not np.array_equal(np.transpose(decoded), codes[0])

    predictor = Predictor(lm, 3)
    with backend.use("numpy"):
        data = encode(codes[0], predictor)
    (ours,) = decode([data], [120], predictor)
    np.testing.assert_array_equal(ours, codes[0])


def test_weights_that_overflow_are_refused():
    for value in (np.nan, np.inf, 2e4):
        lm = exact_lm()
        lm.outputs[2].weight.data[3, 3] = value
        with pytest.raises(InputError, match="weights beyond 10000, or that are not numbers"):
            Predictor(lm, 3)
    with pytest.raises(ValueError, match="4 codebooks; the language model has 3"):
        Predictor(exact_lm(), 4)


# Other machines

DECODES = """
import sys
from minicodec.codec.files.entropy.chunk_coder import decode
from minicodec.codec.files.entropy.predictor import Predictor
from minicodec.codec.files.entropy.range_coder import Decoder, encode as range_encode
from tests.conftest import real_gpu
from tests.entropy_models import exact_lm
(codes,) = decode([bytes.fromhex(sys.argv[1])], [60], Predictor(exact_lm(scale=2.0), 3))
print(codes.tobytes().hex())
"""
ASSEMBLY = """
from minicodec.kernels.cpu import exact as compiled
from minicodec.kernels.cpu.engine.entrance import Array
from minicodec.kernels.cpu.engine.machine_code import compile_by_numba
one, two, four, five = (Array("float32", ndim, True, True) for ndim in (1, 2, 4, 5))
kinds = {"_gelu": (two, two), "_linear": (two, two, one, two)}
kinds["_attend"] = five, four, four, "int64", "float32", four, one
for name, kind in kinds.items():
    print(compile_by_numba(getattr(compiled, name).py_func, kind).library.get_asm_str())
"""


def on_cpu(name, code, tmp_path, *arguments):
    """What `code` prints in a process that compiles for another CPU."""
    environment = os.environ | {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True, env=environment).stdout


x86_only = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="compiles for x86-64 CPUs")


@pytest.mark.thorough
@x86_only
def test_a_stream_is_decoded_by_code_for_other_cpus(tmp_path):
    """Written by NumPy. Read by code for the first x86-64 CPUs (vectors of 4), for this one; in threads or not."""
    codes, predictor = frames(60)[0], Predictor(exact_lm(scale=2.0), 3)
    with backend.use("numpy"):
        data = encode(codes, predictor)
        assert encode(codes, predictor) == data
        np.testing.assert_array_equal(decode([data], [60], predictor)[0], codes)
    np.testing.assert_array_equal(decode([data] * 3, [60, 20, 1], predictor)[0], codes)
    assert on_cpu("x86-64", DECODES, tmp_path, data.hex()).strip() == codes.astype(np.int16).tobytes().hex()


@pytest.mark.thorough
@x86_only
def test_code_for_wide_cpus_never_fuses_a_product_with_a_sum(tmp_path):
    """AVX-512 code does not run everywhere, but can be read everywhere. It has no FMA, though the CPU has."""
    assembly = on_cpu("znver4", ASSEMBLY, tmp_path)
    assert "vmulps" in assembly
    assert "zmm" in assembly
    assert "fmadd" not in assembly
    assert "fmsub" not in assembly
    assert "fnmadd" not in assembly


@pytest.mark.skipif(not real_gpu(), reason="needs a GPU")
def test_bits_on_a_gpu():
    import cupy

    lm = exact_lm()
    numbers = previous(frames(20))
    here = Predictor(lm, 3)
    expected = here(numbers, here.start(1))
    for p in lm.parameters():
        p.data = cupy.asarray(p.data)
    there = Predictor(lm, 3)
    np.testing.assert_array_equal(there(numbers, there.start(1)), expected)
