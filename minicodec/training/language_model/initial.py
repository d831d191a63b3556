"""Weights to start from: what the codec knows about its codes.

A codeword is a place in the codec's latent space, and codes whose codewords are near sound alike. A model that starts
from random vectors has to find that out from how often which code follows which; ours is told. An embedding starts as
the codeword, so that the sum of a frame's embeddings is its quantized latent. The logit of a code starts as the product
of its codeword with a vector made of x, and its bias as the log of the code's frequency. Random linear maps lead from
the latent's width to D: they keep distances, roughly, and training is free to leave all of it behind.
"""

import numpy as np

from minicodec.codec.language_model import START, LanguageModel
from minicodec.codec.quantizer import ResidualVectorQuantizer

RARE = 0.1  # of the mean frequency: added to all, for those that were not seen


def initialise(lm: LanguageModel, quantizer: ResidualVectorQuantizer, rng: np.random.Generator) -> None:
    """Give an untrained language model the codewords (Q,N,latent) of its codec."""
    D, latent = lm.config.D, quantizer.codebooks.shape[2]
    scale = 1 / max(quantizer.codebooks[0].std(), 1e-6)  # the first codebook's vectors have a power of 1 per entry
    embed = rng.normal(size=(latent, D)) * scale / np.sqrt(latent)
    for embedding, output, codewords, counts in zip(
        lm.embeddings, lm.outputs, quantizer.codebooks, quantizer.counts, strict=True
    ):
        embedding.weight.data[START + 1 :] = codewords @ embed
        vectors = rng.normal(size=(D, latent)) / np.sqrt(D * latent) / max(codewords.std(), 1e-6)
        output.weight.data[...] = vectors @ codewords.T
        likely = counts + RARE * counts.mean() + 1e-9  # an untrained codec has counted nothing
        assert output.bias is not None
        output.bias.data[...] = np.log(likely / likely.sum())
