"""Weights under other names: the state dict of the released `encodec` package becomes ours.

Three things differ. Names: a conv is wrapped twice there (`conv.conv`). Layout: theirs is channels first, so weights
are transposed, once, here. And PyTorch's LSTM has two biases that only ever appear as a sum.
"""

import re
from collections.abc import Mapping

import numpy as np

# Where each axis of ours stands in theirs.
CONV_AXES = (2, 1, 0)  # (Co,Ci,K) -> (K,Ci,Co)
CONV_TRANSPOSE_AXES = (2, 0, 1)  # (Ci,Co,K) -> (K,Ci,Co)
LSTM_AXES = (1, 0)  # (4H,Ci) -> (Ci,4H)


def from_encodec(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """State dict of encodec's EncodecModel -> state dict of `Codec`. KeyError names a key that is unknown."""
    ours: dict[str, np.ndarray] = {}
    codebooks: dict[str, dict[int, np.ndarray]] = {}
    for key, array in state.items():
        if match := re.fullmatch(r"quantizer\.vq\.layers\.(\d+)\._codebook\.(\w+)", key):
            codebooks.setdefault(match[2], {})[int(match[1])] = array
        elif match := re.fullmatch(r"(.*)\.(conv|convtr)\.\2\.(weight|weight_g|weight_v|bias)", key):
            path, kind, name = match.groups()
            axes = CONV_AXES if kind == "conv" else CONV_TRANSPOSE_AXES
            ours[f"{_path(path)}.{name}"] = array if array.ndim == 1 else array.transpose(axes)
        elif match := re.fullmatch(r"(.*)\.(?:conv|convtr)\.norm\.(weight|bias)", key):
            ours[f"{_path(match[1])}.norm.{match[2]}"] = array
        elif match := re.fullmatch(r"(.*)\.lstm\.weight_(ih|hh)_l(\d)", key):
            ours[f"{_path(match[1])}.layers.{match[3]}.weight_{match[2]}"] = array.transpose(LSTM_AXES)
        elif match := re.fullmatch(r"(.*)\.lstm\.bias_ih_l(\d)", key):
            ours[f"{_path(match[1])}.layers.{match[2]}.bias"] = array + state[key.replace("bias_ih", "bias_hh")]
        elif not re.fullmatch(r".*\.lstm\.bias_hh_l\d", key):
            raise KeyError(key)
    return ours | _quantizer(codebooks)


def _path(theirs: str) -> str:
    return theirs.replace(".model.", ".layers.")


def _quantizer(codebooks: Mapping[str, Mapping[int, np.ndarray]]) -> dict[str, np.ndarray]:
    """{embed, cluster_size, embed_avg, inited} of each level -> the quantizer's buffers, levels stacked."""
    stacked = {name: np.stack([level[i] for i in range(len(level))]) for name, level in codebooks.items()}
    return {
        "quantizer.codebooks": stacked["embed"],
        "quantizer.counts": stacked["cluster_size"],
        "quantizer.sums": stacked["embed_avg"],
        "quantizer.updates": stacked["inited"].reshape(-1).astype(np.int64),
        "quantizer.waiting": np.zeros((0, stacked["embed"].shape[-1]), np.float32),
    }
