"""The codec: SEANet encoder and decoder, residual vector quantizer, bitstream, presets."""
