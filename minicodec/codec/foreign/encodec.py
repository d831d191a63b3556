"""The released EnCodec's own files: encodec_24khz-d7cc33bc.th, encodec_48khz-7e698e3e.th, and their language models."""

import hashlib
import sys
from pathlib import Path

import numpy as np

from minicodec.codec import weights
from minicodec.codec.config import preset
from minicodec.codec.foreign.convert import ENCODEC, LANGUAGE_MODEL, take_over
from minicodec.codec.foreign.torch_file import read_torch_file
from minicodec.codec.language_model import SECONDS, LanguageModel, LanguageModelConfig
from minicodec.codec.model import PUBLISHED, Codec
from minicodec.errors import InputError


def load(path: Path) -> Codec:
    """The codec in a .th file, 24 or 48 kHz. InputError, naming the file and what is wrong.

    It has the published name if the file is the published one, to its last bit.
    """
    state = read_torch_file(path)
    if "transformer.norm_in.weight" in state:
        raise InputError(f"{path}: is a language model: it does not make audio, but goes with a model that does")
    # The two differ in their norms, so one key tells which of them a file should hold.
    config = preset("encodec_48khz" if "encoder.model.0.conv.norm.weight" in state else "encodec_24khz")
    try:
        weights.check_finite(state)
        codec = Codec(config, rng=weights.zeros(sys.maxsize))  # to be filled; drawing them takes longer than reading
        take_over(codec, state, ENCODEC)
    except ValueError as error:
        raise InputError(f"{path}: holds no weights of {config.name}: {error}") from None
    with open(path, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest().startswith(PUBLISHED[config.name]):
            codec.published = codec.digest
    codec.eval()
    return codec


def load_language_model(path: Path, codec: Codec) -> LanguageModel:
    """The language model in a .th file, for the codes of a codec. InputError, naming the file: it is not that."""
    quantizer, context = codec.config.quantizer, int(SECONDS * codec.frame_rate)
    sizes = LanguageModelConfig(quantizer.levels, quantizer.entries, context)
    state = read_torch_file(path)
    try:
        weights.check_finite(state)
        lm = LanguageModel(sizes, codec=codec.name, rng=np.random.default_rng(0))
        take_over(lm, state, LANGUAGE_MODEL)
    except ValueError as error:
        raise InputError(f"{path}: holds no language model for {codec.config.name}: {error}") from None
    lm.eval()
    return lm
