"""Large arrays that are freed and allocated again get the same pages, without asking the system for them."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from minicodec.training.memory import keep_freed_memory
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
