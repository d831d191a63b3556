"""CUDA C on the CPU: what CuPy's RawModule does with a kernel's source, done with g++, for tests without a GPU.

    kernel = RawModule(code=source).get_function("name")        as cupy.RawModule, with the arguments it takes
    kernel(grid, block, args, shared_mem=0)                     as cupy.RawKernel; returns when all is done
    gemmStridedBatchedEx(...)                                   as cupy.cuda.cublas.gemmStridedBatchedEx
    furnish(cupy)                                               puts these into a stand-in for the module cupy

Arrays among `args` are NumPy arrays, or anything with `.data.ptr`, `.dtype`, `.nbytes` and `.flags.c_contiguous`, whose
pointer is an address of the host. The same source runs as on a GPU, one thread at a time (host_cuda.h), under more
supervision than there:

    arguments        their number and types must be those of the kernel's declaration
    memory           each array is put between guards: what is read there is NaN, what is written there an error;
                     shared memory starts as NaN, with a guard behind it
    __syncthreads    threads that wait at different ones, or for a thread that has left, are an error
    races            every launch is done twice, first thread first and last thread first, and must give the same bits
    waiting          for other blocks works (`__nanosleep` in the loop) in a cooperative module, else it is an error

What it cannot notice: whether a source is CUDA that NVRTC accepts (test_cuda_sources.py), limits of registers, and
orders of memory accesses that only a GPU has.

Sources must follow these rules: entry points are `extern "C" __global__ void name(...)`; shared memory is one
`extern __shared__ float name[];`. All sources of the package are compiled together, in a second or two, and kept in
the folder for temporary files until they change.
"""

import ctypes
import fcntl
import hashlib
import os
import re
import subprocess
import tempfile
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from pkgutil import iter_modules
from types import SimpleNamespace

import numpy as np

HEADER = Path(__file__).with_suffix(".h")
ENTRY = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\(([^)]*)\)')
SHARED = re.compile(r"extern __shared__ float (\w+)\[\];")
TYPES = {
    "float": np.float32, "double": np.float64, "int": np.int32, "unsigned": np.uint32, "long long": np.int64,
    "float2": np.complex64, "float*": np.uint64,
}  # fmt: skip
ERRORS = {
    1: "a thread has left while others wait for it at __syncthreads()",
    2: "threads of a block wait at different __syncthreads()",
    3: "threads wait for something that never comes (is the module cooperative?)",
    4: "a thread wrote behind the end of shared memory",
}
SHARED_BY_DEFAULT, SHARED_AT_MOST, THREADS_AT_MOST = 48 * 1024, 227 * 1024, 1024
MULTIPROCESSORS = 3  # of the GPU that is played
GUARD = 256  # bytes


class RawModule:
    """cupy.RawModule, for source code."""

    def __init__(
        self, code=None, *, path=None, options=(), backend="nvrtc", translate_cucomplex=False,
        enable_cooperative_groups=False, name_expressions=None, jitify=None,
    ):  # fmt: skip
        assert code is not None, "only source code"
        assert not name_expressions, "no templates"
        self.code, self.cooperative = code, enable_cooperative_groups

    def get_function(self, name):
        """A RawKernel."""
        return RawKernel(self.code, name, self.cooperative)


class RawKernel:
    """cupy.RawKernel, as RawModule.get_function returns it."""

    def __init__(self, code, name, cooperative):
        library, number = library_of(code)
        self.name, self.cooperative = name, cooperative
        self.parameters = dict(entries(code))[name]
        self.function = library[f"launch_{number}_{name}"]
        self.max_dynamic_shared_size_bytes = SHARED_BY_DEFAULT

    def __call__(self, grid, block, args, *, shared_mem=0):
        grid, block = ((*map(int, size), 1, 1)[:3] for size in (grid, block))
        threads = int(np.prod(block))
        if not (1 <= threads <= THREADS_AT_MOST and min(grid) >= 1 and max(grid[1:]) < 65536):
            raise ValueError(f"{self.name}: cannot launch {grid} blocks of {block} threads")
        if shared_mem > min(self.max_dynamic_shared_size_bytes, SHARED_AT_MOST):
            raise ValueError(f"{self.name}: {shared_mem} bytes of shared memory, {self.max_dynamic_shared_size_bytes}")
        if len(args) != len(self.parameters):
            raise TypeError(f"{self.name} takes {len(self.parameters)} arguments, got {len(args)}")
        values = [checked(self.name, *p, a) for p, a in zip(self.parameters, args, strict=True)]
        results = []
        for last_first in (0, 1):
            memory = Guarded([v for v in values if not isinstance(v, np.generic)])
            packed = [v if isinstance(v, np.generic) else np.uint64(memory.address(v)) for v in values]
            cells = [np.array(v) for v in packed]
            pointers = (ctypes.c_void_p * len(cells))(*(c.ctypes.data for c in cells))
            sizes = [(ctypes.c_uint * 3)(*size) for size in (grid, block)]
            error = self.function(pointers, *sizes, ctypes.c_size_t(shared_mem), int(self.cooperative), last_first)
            if error:
                raise RuntimeError(f"{self.name}: {ERRORS[error]}")
            memory.check(self.name)
            results.append(memory)
        if results[0].contents() != results[-1].contents():
            raise RuntimeError(f"{self.name}: a race: other bits when the last thread runs first")
        results[0].copy_back()


def checked(kernel, ctype, name, value):
    """The value as the kernel's parameter wants it: an array, or a NumPy scalar of exactly its type; or TypeError."""
    where = f"{kernel}: parameter {ctype} {name}"
    if ctype.endswith("*"):
        if not hasattr(value, "dtype") or isinstance(value, np.generic):
            raise TypeError(f"{where} got {value!r}")
        wanted = TYPES[ctype.removesuffix("*").strip()]
        if value.dtype != wanted or not value.flags.c_contiguous:
            raise TypeError(f"{where} got {value.dtype}, contiguous: {value.flags.c_contiguous}")
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = np.int64(value) if isinstance(value, int) else np.float64(value)  # what CuPy makes of them
    if not isinstance(value, np.generic) or value.dtype != TYPES[ctype]:
        raise TypeError(f"{where} got {value!r}")
    return value


def pointer(array):
    """Where an array's numbers are."""
    return array.data.ptr if hasattr(array.data, "ptr") else array.ctypes.data


class Guarded:
    """Copies of arrays, each between two guards. An array that is given twice is copied once."""

    def __init__(self, arrays):
        self.sizes = {pointer(a): a.nbytes for a in arrays}
        starts = sorted(self.sizes)
        for one, next_one in pairwise(starts):
            if one + self.sizes[one] > next_one:
                raise ValueError("two arguments overlap in memory")
        self.blocks = {}
        for start, size in self.sizes.items():
            block = np.full(GUARD + size + GUARD, 0xFF, np.uint8)
            block[GUARD : GUARD + size] = np.frombuffer((ctypes.c_char * size).from_address(start), np.uint8)
            self.blocks[start] = block

    def address(self, array):
        return self.blocks[pointer(array)].ctypes.data + GUARD

    def check(self, name):
        for block in self.blocks.values():
            if (block[:GUARD] != 0xFF).any() or (block[-GUARD:] != 0xFF).any():
                raise RuntimeError(f"{name}: wrote outside an array")

    def contents(self):
        return [block.tobytes() for block in self.blocks.values()]

    def copy_back(self):
        for start, block in self.blocks.items():
            ctypes.memmove(start, block.ctypes.data + GUARD, self.sizes[start])


# Compiling


def entries(code):
    """The kernels of a source: (name, [(type, parameter), ...])."""
    for name, parameters in ENTRY.findall(code):
        plain = [" ".join(re.sub(r"\bconst\b|__restrict__", "", p).split()) for p in parameters.split(",")]
        yield name, [re.fullmatch(r"(.*?) ?(\w+)", p).groups() for p in plain]


def launcher(number, name, parameters, waits):
    """C++ that calls a kernel with an array of pointers to its arguments, as cuLaunchKernel does."""
    values = ", ".join(f"*({ctype}*)arguments_{number}[{i}]" for i, (ctype, _) in enumerate(parameters))
    return f"""
static void body_{number}_{name}() {{ source_{number}::{name}({values}); }}
extern "C" int launch_{number}_{name}(void** arguments, const unsigned* grid, const unsigned* block, size_t shared,
                                      int cooperative, int last_first) {{
    arguments_{number} = arguments;
    return host_run(body_{number}_{name}, grid, block, shared, cooperative, last_first, {waits});
}}
"""


def translated(number, code):
    """A source as C++, in a namespace of its own, with a launcher for each kernel."""
    body = SHARED.sub(r"float* \1 = (float*)host_shared;", code)
    assert "__shared__" not in body, "shared memory is to be declared as: extern __shared__ float name[];"
    body = body.replace('extern "C" ', "")
    waits = int(any(word in code for word in ("__syncthreads", "__nanosleep", "__shared__")))
    launchers = "".join(launcher(number, *entry, waits) for entry in entries(code))
    return f"namespace source_{number} {{\n{body}\n}}\nstatic void** arguments_{number};\n{launchers}"


def library_of(code):
    """(the shared library with this source's kernels, the source's number in it)."""
    package = sources()
    codes = package if code in package else (code,)
    return compiled(codes), codes.index(code)


@cache
def sources():
    """All CUDA sources of the package."""
    import minicodec.kernels.gpu
    from minicodec.kernels.gpu.cuda import SOURCES

    for module in iter_modules(minicodec.kernels.gpu.__path__):
        import_module(f"minicodec.kernels.gpu.{module.name}")
    return tuple(SOURCES.values())


@cache
def compiled(codes):
    """A shared library of some sources; of several processes that want it at once, one compiles."""
    text = HEADER.read_text() + "".join(translated(i, code) for i, code in enumerate(codes))
    folder = Path(tempfile.gettempdir()) / f"minicodec-host-cuda-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    library = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.so"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            new = library.with_suffix(".new")
            command = ["g++", "-std=c++17", "-O1", "-w", "-fPIC", "-shared", "-x", "c++", "-", "-o", str(new)]
            done = subprocess.run(command, input=text, text=True, capture_output=True)
            if done.returncode:
                raise RuntimeError(f"g++ refuses a CUDA source:\n{done.stderr}")
            new.replace(library)
    return ctypes.CDLL(str(library))


# cuBLAS. Its matrices lie in memory column by column, and column j begins at number j·ld.

OP_N, OP_T, R_32F, COMPUTE_32F, COMPUTE_32F_FAST_TF32 = 0, 1, 0, 68, 77  # values of the C interface


def gemmStridedBatchedEx(  # noqa: N802 - its name
    handle, transa, transb, m, n, k, alpha, A, Atype, lda, strideA, B, Btype, ldb, strideB, beta, C, Ctype, ldc,
    strideC, batchCount, computeType, algo,
):  # fmt: skip
    """C = alpha·op(A) op(B) + beta·C for batchCount matrices, op(A) (m,k), op(B) (k,n), C (m,n), all float32.

    Refuses what cuBLAS refuses: leading dimensions below the columns' length.
    """
    if (Atype, Btype, Ctype) != (R_32F,) * 3 or computeType not in (COMPUTE_32F, COMPUTE_32F_FAST_TF32) or algo != -1:
        raise ValueError("CUBLAS_STATUS_NOT_SUPPORTED")
    a_shape, b_shape = (m, k) if transa == OP_N else (k, m), (k, n) if transb == OP_N else (n, k)
    too_small = lda < max(1, a_shape[0]) or ldb < max(1, b_shape[0]) or ldc < max(1, m)
    if too_small or min(m, n, k, batchCount) < 0 or not {transa, transb} <= {OP_N, OP_T}:
        raise ValueError("CUBLAS_STATUS_INVALID_VALUE")
    alpha, beta = (ctypes.c_float.from_address(p).value for p in (alpha, beta))
    for b in range(batchCount):
        one, two = columns(A + 4 * b * strideA, a_shape, lda), columns(B + 4 * b * strideB, b_shape, ldb)
        product = (one if transa == OP_N else one.T) @ (two if transb == OP_N else two.T)
        c = columns(C + 4 * b * strideC, (m, n), ldc)
        c[...] = alpha * product + (beta * c if beta else 0)  # beta = 0: C may hold anything, NaN too


def columns(address, shape, ld):
    """The matrix (rows,columns) of floats at an address, a view."""
    rows, n = shape
    numbers = np.frombuffer((ctypes.c_float * ((n - 1) * ld + rows)).from_address(address), np.float32)
    return np.lib.stride_tricks.as_strided(numbers, shape, (4, 4 * ld))


def furnish(cupy):
    """Give a stand-in for the module cupy what the CuPy pairs of the ops use of it beyond arrays."""
    cupy.RawModule = RawModule
    cupy.cuda.cublas = SimpleNamespace(
        gemmStridedBatchedEx=gemmStridedBatchedEx, CUBLAS_OP_N=OP_N, CUBLAS_OP_T=OP_T, CUBLAS_GEMM_DEFAULT=-1,
        CUBLAS_COMPUTE_32F=COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32=COMPUTE_32F_FAST_TF32,
    )  # fmt: skip
    cupy.cuda.device = SimpleNamespace(get_cublas_handle=lambda: 0)
    cupy.cuda.runtime.CUDA_R_32F = R_32F
    cupy.cuda.runtime.getDevice = lambda: 0
    cupy.cuda.runtime.cudaDevAttrMultiProcessorCount = 16
    cupy.cuda.runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
    limits = {16: MULTIPROCESSORS, 97: SHARED_AT_MOST}
    cupy.cuda.runtime.deviceGetAttribute = lambda attribute, device: limits[attribute]
