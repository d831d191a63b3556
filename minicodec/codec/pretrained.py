"""Finding a model: by the folder of its training, by its file, or by its name."""

from os import PathLike
from pathlib import Path

import numpy as np

from minicodec.codec import bitstream
from minicodec.codec.config import PRESETS
from minicodec.codec.model import Codec, load_safetensors
from minicodec.errors import InputError

RUN_MODEL = "model.safetensors"  # in a training run's folder: the averaged weights of its newest checkpoint


def load(path: str | PathLike[str]) -> Codec:
    """The codec in a training run's folder or in a .safetensors file.

    InputError, in one line that names the path and says what would do, if there is none.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / RUN_MODEL).is_file():
            raise InputError(f"{path}: has no {RUN_MODEL}: is it a training run's folder, with a checkpoint saved?")
        return load_safetensors(path / RUN_MODEL)
    if path.is_file():
        if path.suffix != ".safetensors":
            raise InputError(f"{path}: models are .safetensors files or folders of training runs")
        return load_safetensors(path)
    if str(path) in PRESETS:
        raise InputError(f"{path}: is a preset without weights; train it first: minicodec train {path} --data FOLDER")
    raise InputError(f"{path}: no such model; train one with minicodec train, or try minicodec demo")


def decompress(packet: bytes, codec: Codec | None = None, source: str = "packet") -> tuple[np.ndarray, int]:
    """The bytes of an .ecdc file -> (waveform (C,T) float32, sample rate).

    InputError, beginning with `source`, for bytes that are no such file, and without a codec: the name in the file is
    somebody else's word, and not to be opened as a path.
    """
    if codec is None:
        model = bitstream.read_header(packet, source)[0].model
        raise InputError(f"{source}: needs the model {model}: load it, and pass it as codec")
    return codec.decompress(packet, source), codec.sample_rate
