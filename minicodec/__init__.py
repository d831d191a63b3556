"""minicodec: a neural audio codec (EnCodec) from scratch in NumPy and Numba.

    codec = minicodec.load()                                    # the model that comes with it, "minicodec-24k"
    codec = minicodec.load("runs/speech")                       # a training run's folder, or a .safetensors file
    codec = minicodec.build("mini_24khz", seed=0)               # an untrained preset
    codes = codec.encode(wav, kbps=6).codes                     # wav (C,T) float32 -> (Q,frames) int16; or batches
    wav = codec.decode(codes)
    packet = codec.compress(wav, kbps=6)                        # the bytes of an .ecdc file
    wav, sample_rate = minicodec.decompress(packet, codec)     # -> wav (C,T) float32, Hz
    for tokens in minicodec.dataset("tokens"):                  # what `minicodec codes` has made of a corpus
        tokens.codes                                            # (frames,levels) int16
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minicodec.codec.fetch import fetch
    from minicodec.codec.model import Codec, build
    from minicodec.codec.pretrained import decompress, load, load_language_model
    from minicodec.corpus.dataset import dataset

__version__ = "0.1.0"
__all__ = ["Codec", "__version__", "build", "dataset", "decompress", "fetch", "load", "load_language_model"]

_HOMES = {
    "Codec": "minicodec.codec.model",
    "build": "minicodec.codec.model",
    "dataset": "minicodec.corpus.dataset",
    "fetch": "minicodec.codec.fetch",
    "load": "minicodec.codec.pretrained",
    "load_language_model": "minicodec.codec.pretrained",
    "decompress": "minicodec.codec.pretrained",
}


def __dir__() -> list[str]:
    """What Tab and `help` show: the names for users too, before somebody has asked for them."""
    return sorted(_HOMES.keys() | globals().keys() - {"Any", "TYPE_CHECKING", "_HOMES", "import_module"})


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: Numba takes most of a second to import."""
    if name not in _HOMES:
        raise AttributeError(f"module 'minicodec' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
