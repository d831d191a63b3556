"""What a training's validation says of a codec is what encoding and decoding make of the clips."""

from dataclasses import replace

import numpy as np
import pytest

import minicodec
from minicodec.codec.model import Codec
from minicodec.metrics import si_sdr
from minicodec.tensor import Tensor
from minicodec.training.losses import MelLoss
from minicodec.training.validation import validate


@pytest.mark.parametrize("beam", [1, 4])
def test_each_bandwidth_has_codes_of_its_own(beam, rng):
    """With a beam, those at a low one are not the first rows of those at a high one."""
    config = minicodec.build("tiny_24khz").config
    codec = Codec(replace(config, quantizer=replace(config.quantizer, entries=64, beam=beam), bandwidths=(0.45, 3.6)))
    codec.quantizer.updates[:] = 1
    clip = (0.1 * rng.normal(size=(1, 3200, 1))).astype(np.float32)
    codec.quantizer.codebooks *= 0.3 * codec.encoder(Tensor(clip)).data.std()  # as large as what they are to code
    figures, _ = validate(codec, clip, MelLoss(24_000, [256]))
    for kbps in codec.bandwidths:
        decoded = codec.decode(codec.encode(clip[0].T, kbps), 3200)
        assert figures["rates"][f"{kbps:g}"]["si_sdr"] == pytest.approx(float(si_sdr(clip[0].T, decoded)[0]), abs=1e-3)
