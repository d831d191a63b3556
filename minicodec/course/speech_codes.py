"""Something to predict, for chapters 14 and 15: the codes of speech, from a codec that nobody trained.

Random weights in the encoder, and codebooks by k-means, on seven clips. Its sound would be nothing to hear, but its
codes follow the speech, and it is made in two seconds.
"""

from dataclasses import replace

import numpy as np

from minicodec import audio, functional as F
from minicodec.codec.config import QuantizerConfig, preset
from minicodec.codec.model import Codec
from minicodec.codec.quantizer import kmeans
from minicodec.files import data_folder
from minicodec.tensor import Tensor

NAMES = ("en_1", "en_2", "en_4", "de_1", "fr_1", "es_1", "it_1")


def speech_codes(Q: int = 4, N: int = 64) -> tuple[Codec, list[np.ndarray]]:
    """A codec with Q codebooks of N entries, and the codes (Q,T) of the clips that they were made from."""
    kbps = Q * (N.bit_length() - 1) * 75 / 1000
    codec = Codec(replace(preset("tiny_24khz"), quantizer=QuantizerConfig(Q, N), bandwidths=(kbps,)))
    sounds = [audio.read(data_folder() / f"speech_{name}.flac")[0] for name in NAMES]  # (1,T) each
    latents = [codec.encoder(Tensor(sound.T[None].copy())).data[0] for sound in sounds]
    residual = np.concatenate(latents)
    for codebook in codec.quantizer.codebooks:
        codebook[...] = kmeans(residual, N, 15, np.random.default_rng(0))[0]
        residual = residual - codebook[F.nearest_codeword(residual, codebook)]
    return codec, [codec.quantizer.encode(z, Q).astype(np.int64) for z in latents]
