"""Streaming: live audio in, codes out, and back; files of any length go the same way.

An encoder takes samples in pieces of any length and gives the codes that are due; a decoder takes codes and gives
samples. Where a stream stands is one tuple, the state of its network (stages.py): keep it to go back to it,
pickle it to go on elsewhere. Any cut gives the same bits. `Codec` codes whole files through these streams too: there
is one path, and its memory does not grow.

Latency. In steady state a frame of input (320 samples at 24 kHz: 13.3 ms) gives a frame of output. Models padded by
reflection, as the published ones, must see the first 80 ms before the mirror in front of them is known: nothing comes
out until then, and all that is due at once. pad_mode="zero" does not wait, and codes the start a little differently.
"""

import numpy as np

from minicodec.codec.quantizer import ResidualVectorQuantizer
from minicodec.codec.seanet import Decoder, Encoder
from minicodec.codec.streaming.stages import Chain, QuantizerStage
from minicodec.codec.transform import TransformDecoder, TransformEncoder
from minicodec.threads import available

PIECE_FRAMES = 96  # at most, that go through a layer at once: to use its weights well, and little memory
TILE_FRAMES = 24  # their rows are whole tiles, whichever the machine has (kernels/cpu/engine/tile.py)
LOUDEST = 100.0  # sample: audio lies within ±1, float files a little beyond; integers taken for floats are far above


def check_audio(wav: np.ndarray, channels: int) -> None:
    """ValueError: not an array (channels,n) of floats, or samples that are no audio."""
    if not isinstance(wav, np.ndarray):
        raise ValueError(f"a waveform is a NumPy array ({channels},T), not {type(wav).__name__}")
    if wav.ndim != 2 or len(wav) != channels:
        mend = ""  # libsndfile's arrays are (T,) or (T,C)
        if wav.ndim == channels == 1:
            mend = ": give wav[None]"
        elif wav.ndim == 2 and wav.shape[1] == channels:
            mend = ": give wav.T"
        raise ValueError(f"a waveform ({channels},T) is needed, this one is {wav.shape}{mend}")
    if wav.dtype.kind != "f":
        raise ValueError(f"samples are floats in -1 … 1, these are {wav.dtype}: divide 16-bit integers by 32768")
    highest, lowest = wav.max(initial=0), wav.min(initial=0)
    if not -np.inf < lowest <= highest < np.inf:  # NaN passes from any sample to both
        raise ValueError("the waveform has samples that are not finite numbers")
    if max(highest, -lowest) > LOUDEST:
        raise ValueError(f"the waveform has samples up to {max(highest, -lowest):g}, where audio lies within -1 … 1")


class _Stream:
    """What both directions share: a network that makes a frame of `hop`, or of each, where it stands, and an end."""

    def __init__(self, chain: Chain, hop: int):
        self._chain, self._hop = chain, hop
        self.state = chain.start()

    def _run(self, x: np.ndarray, last: bool = False) -> np.ndarray:
        """x (T,C) -> y (To,Co)."""
        if self.state is None:
            raise ValueError("the stream has ended: nothing can follow a flush")
        x = np.ascontiguousarray(x[None], np.float32)
        ys, state = self._chain.run(self._pieces(x), self.state, last)
        self.state = None if last else state
        y: np.ndarray = np.concatenate(ys, axis=1)[0]
        return y

    def _pieces(self, x: np.ndarray) -> list[np.ndarray]:
        """x (1,T,C) cut along T, as many pieces for every thread as for the others, of whole tiles."""
        frames, threads = max(1, -(-x.shape[1] // self._hop)), available()
        count = 1 if frames <= PIECE_FRAMES else -(-frames // (PIECE_FRAMES * threads)) * threads
        size = -(-frames // (count * TILE_FRAMES)) * TILE_FRAMES * self._hop
        return [x[:, t : t + size] for t in range(0, max(1, x.shape[1]), size)]


class StreamEncoder(_Stream):
    """Samples in, codes out: `Codec.stream_encoder` makes it.

    state    where the stream stands. Keep it and assign it again, here or in another encoder of the same model, to go
             back to that point; None after the flush
    """

    def __init__(
        self,
        encoder: Encoder | TransformEncoder,
        quantizer: ResidualVectorQuantizer,
        channels: int,
        levels: int,
        pad_mode: str | None,
    ):
        chain = Chain(encoder.layers, pad_mode)
        chain.stages.append(QuantizerStage(quantizer, levels))
        super().__init__(chain, encoder.hop)
        self.channels, self.levels = channels, levels

    def push(self, wav: np.ndarray) -> np.ndarray:
        """Samples (C,n), any n -> the codes (Q,frames) int16 that they complete, often none.

        ValueError: what `check_audio` refuses (it leaves the state as it was), or a stream that has ended.
        """
        check_audio(wav, self.channels)
        return self._run(wav.T).T.astype(np.int16)

    def flush(self) -> np.ndarray:
        """The end: the last codes (Q,frames), of a frame that is not full and of what a mirror held back."""
        return self._run(np.zeros((0, self.channels)), last=True).T.astype(np.int16)


class StreamDecoder(_Stream):
    """Codes in, samples out: `Codec.stream_decoder` makes it. `state` as that of StreamEncoder.

    start: the number of the first frame, by which a TransformDecoder makes its noise.
    """

    def __init__(
        self,
        decoder: Decoder | TransformDecoder,
        quantizer: ResidualVectorQuantizer,
        pad_mode: str | None = None,
        start: int = 0,
    ):
        layers = decoder.all_layers if isinstance(decoder, TransformDecoder) else decoder.layers
        super().__init__(Chain(layers, pad_mode, start), 1)
        self._quantizer = quantizer

    def push(self, codes: np.ndarray) -> np.ndarray:
        """Codes (Q,frames), any number of frames -> the samples (C,n) that they complete.

        ValueError: more codebooks than the model has, codes that it has not, or a stream that has ended.
        """
        self._quantizer.check(codes)
        return self._run(self._quantizer.decode(codes.astype(np.int64))).T

    def flush(self) -> np.ndarray:
        """The end: the last samples (C,n); there are some only if the model is padded by reflection, and all is short.

        Together, pushes and flush give as many samples as the frames cover, which may be more than were encoded.
        """
        width = self._quantizer.codebooks.shape[2]
        return self._run(np.zeros((0, width)), last=True).T
