"""The `encodec` package imports torchaudio, of which it needs nothing here: an empty module stands in for it."""

import importlib.util
import sys
from types import ModuleType

if importlib.util.find_spec("torchaudio") is None:
    sys.modules["torchaudio"] = ModuleType("torchaudio")
