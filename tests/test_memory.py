"""Large arrays that are freed and allocated again get the same pages, without asking the system for them."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from minicodec.training.process_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def touch():
    for _ in range(8):
        np.ones(2**24, np.float32)  # 64 MiB: 16384 pages, or 32 huge ones
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has what this is about")
def test_page_faults():
    faults = {}
    for how in ("keep", "default"):
        result = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        faults[how] = int(result.stdout)
    assert faults["keep"] < 50
    assert faults["default"] > 200


PEAK = """
import numpy as np
from minicodec.training.process_memory import peak_memory
before = peak_memory()
big = np.ones(2**27, np.int8)
peak = peak_memory()
del big
print(before, peak, peak_memory())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says")
def test_peak_memory_is_in_bytes_and_stays():
    result = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    before, peak, after = map(int, result.stdout.split())
    assert before > 2**24  # an interpreter with NumPy
    assert 2**27 <= peak - before < 1.2 * 2**27
    assert after >= 0.99 * peak  # the system counts in batches of pages
