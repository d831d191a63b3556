"""Comparisons with other programs. Without PyTorch, those that need it are not collected.

The `encodec` package imports torchaudio, of which it needs one class: a stand-in provides it where it is missing.
"""

import importlib.machinery
import importlib.util
import sys
from types import ModuleType, SimpleNamespace

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_adversary.py", "test_encodec_*.py", "test_t*.py"]


def spectrogram(n_fft, hop_length, win_length, window_fn, normalized, center, pad_mode, power):
    """torchaudio.transforms.Spectrogram as its documentation describes it, for the arguments that encodec uses."""
    import torch

    assert (win_length, normalized, center, power) == (n_fft, True, False, None)
    window = window_fn(n_fft, dtype=torch.float64)

    def transform(x):
        flat = x.reshape(-1, x.shape[-1])
        y = torch.stft(flat, n_fft, hop_length, window=window.to(x), center=False, return_complex=True)
        return (y / window.to(x).pow(2).sum().sqrt()).reshape(*x.shape[:-1], *y.shape[-2:])

    return transform


if importlib.util.find_spec("torchaudio") is None:
    stand_in = ModuleType("torchaudio")
    stand_in.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)  # which transformers looks at
    stand_in.transforms = SimpleNamespace(Spectrogram=spectrogram)
    sys.modules["torchaudio"] = stand_in
