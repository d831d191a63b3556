"""Does NVIDIA's compiler accept every CUDA source of the package? It needs no GPU, and its library is a wheel."""

import ctypes
import importlib.util
import os
from functools import cache
from pathlib import Path

import pytest

from minicodec.kernels.gpu.cuda import SOURCES
from tests.host_cuda import sources

sources()  # imports all that has some
ARCHITECTURES = ("sm_75", "sm_80", "sm_90")  # Turing, Ampere, Hopper


@cache
def nvrtc():
    """The compiler's library, from the wheel nvidia-cuda-nvrtc-cu12."""
    spec = importlib.util.find_spec("nvidia") and importlib.util.find_spec("nvidia.cuda_nvrtc")
    if spec is None:
        assert not os.environ.get("MINICODEC_ALL_PEERS"), "in CI this is not skipped: nvidia-cuda-nvrtc-cu12 is missing"
        pytest.skip("pip install nvidia-cuda-nvrtc-cu12")
    (library,) = (Path(p) for folder in spec.submodule_search_locations for p in Path(folder).glob("lib/libnvrtc.so.*"))
    return ctypes.CDLL(str(library))


def compiled(code, architecture):
    """(NVRTC accepts it, what it says)."""
    library, program, size = nvrtc(), ctypes.c_void_p(), ctypes.c_size_t()
    library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernels.cu", 0, None, None)
    options = [b"--gpu-architecture=" + architecture.encode(), b"--std=c++17"]
    status = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return status == 0, log.value.decode()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", SOURCES)
def test_nvrtc_accepts(name, architecture):
    accepted, log = compiled(SOURCES[name], architecture)
    assert accepted, log
    assert not log  # no warning either


def test_nvrtc_refuses_what_is_no_cuda():
    accepted, log = compiled('extern "C" __global__ void broken(float* x) { x[0] = threadIdx.w; }', "sm_80")
    assert not accepted
    assert "threadIdx" in log or '"w"' in log
