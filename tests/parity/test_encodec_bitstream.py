"""Files, byte for byte as the released `encodec` package writes them, and read by it as they were meant."""

import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from encodec import compress, decompress  # noqa: E402
from encodec.binary import BitPacker  # noqa: E402
from encodec.compress import MODELS  # noqa: E402

from minicodec.codec.files.bitstream import Chunk, Header, Layout, pack, pack_bits, unpack  # noqa: E402

LAYOUTS = {
    "encodec_24khz": Layout(sample_rate=24_000, hop=320, codebooks=32),
    "encodec_48khz": Layout(48_000, 320, 16, scales=True, chunk_samples=48_000, chunk_stride=47_520),
}


class CodesOnly:
    """A model, as far as the package's reading and writing of files knows it: given codes go in, and come out."""

    def __init__(self, name, chunks):
        layout = LAYOUTS[name]
        self.name, self.normalize, self.bits_per_codebook = name, layout.scales, layout.bits
        self.sample_rate, self.frame_rate = layout.sample_rate, layout.sample_rate // layout.hop
        self.segment_length, self.segment_stride = layout.chunk_samples, layout.chunk_stride
        self.chunks = chunks

    def to(self, device):
        return self

    def encode(self, wav):
        return [
            (torch.tensor(c.codes)[None].long(), None if c.scale is None else torch.tensor([[c.scale]]))
            for c in self.chunks
        ]

    def decode(self, frames):
        self.chunks = [
            Chunk(codes[0].numpy(), None if scale is None else float(scale.item())) for codes, scale in frames
        ]
        return torch.zeros(1, 1, 0)


def random_chunks(name, samples, codebooks, rng):
    layout = LAYOUTS[name]
    return [
        Chunk(
            rng.integers(0, 1024, (codebooks, layout.frames(n))).astype(np.int16),
            float(np.float32(rng.random())) if layout.scales else None,
        )
        for n in layout.chunk_lengths(samples)
    ]


@pytest.mark.parametrize("bits", [1, 3, 8, 10, 13, 15])
@pytest.mark.parametrize("count", [1, 7, 1001])
def test_bits_are_packed_as_by_its_packer(bits, count, rng):
    values = rng.integers(0, 2**bits, count)
    file = io.BytesIO()
    packer = BitPacker(bits, file)
    for value in values.tolist():
        packer.push(value)
    packer.flush()
    assert pack_bits(values, bits) == file.getvalue()


@pytest.mark.parametrize("codebooks", [1, 2, 8, 16])
@pytest.mark.parametrize(
    ("name", "samples"), [("encodec_24khz", 1), ("encodec_24khz", 24_001), ("encodec_48khz", 95_300)]
)
def test_files_are_the_same_bytes_and_are_read_alike(name, samples, codebooks, rng, monkeypatch):
    chunks = random_chunks(name, samples, codebooks, rng)
    model = CodesOnly(name, chunks)
    theirs = compress(model, torch.zeros(1, samples))
    ours = pack(Header(name, samples, codebooks), chunks, LAYOUTS[name])
    assert ours == theirs

    monkeypatch.setitem(MODELS, name, lambda: model)
    model.chunks = []
    decompress(ours)
    header, read = unpack(theirs, LAYOUTS[name], "x")
    assert header == Header(name, samples, codebooks)
    assert len(model.chunks) == len(read) == len(chunks)
    for a, b in zip(model.chunks, read, strict=True):
        np.testing.assert_array_equal(a.codes, b.codes)
        assert a.scale == b.scale
