"""Language model and range coder against the `encodec` package: probabilities, counts, bits, whole files."""

import io
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("encodec")

from encodec import compress, decompress  # noqa: E402
from encodec.compress import MODELS  # noqa: E402
from encodec.model import LMModel  # noqa: E402
from encodec.modules.transformer import create_sin_embedding  # noqa: E402
from encodec.quantization.ac import ArithmeticCoder, ArithmeticDecoder, build_stable_quantized_cdf  # noqa: E402

import minicodec  # noqa: E402
from minicodec import functional as F  # noqa: E402
from minicodec.codec.files.bitstream import Header  # noqa: E402
from minicodec.codec.files.entropy import encodec_files  # noqa: E402
from minicodec.codec.files.entropy.encodec_coder import (  # noqa: E402
    CodingError,
    RangeDecoder,
    RangeEncoder,
    cumulative_counts,
)
from minicodec.codec.foreign.convert import LANGUAGE_MODEL, sources  # noqa: E402
from minicodec.codec.language_model import positions  # noqa: E402
from minicodec.errors import InputError  # noqa: E402
from minicodec.tensor import grad  # noqa: E402
from tests.parity.test_encodec_bitstream import LAYOUTS, CodesOnly, random_chunks  # noqa: E402

FRAME_RATES = {"encodec_24khz": 75, "encodec_48khz": 150}


class Codes:
    """A codec, as far as finding its language model goes."""

    def __init__(self, name):
        self.config = minicodec.codec.config.preset(name)
        self.frame_rate = self.config.frame_rate
        self.name = name


@pytest.fixture(scope="module", params=FRAME_RATES)
def pair(request, tmp_path_factory):
    """The package's model with livelier weights (its probabilities would be nearly uniform), ours from its file."""
    name = request.param
    torch.manual_seed(0)
    layout = LAYOUTS[name]
    theirs = LMModel(layout.codebooks, 1024, num_layers=5, dim=200, past_context=int(3.5 * FRAME_RATES[name])).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p += 0.1 * torch.randn_like(p)
    path = tmp_path_factory.mktemp("lm") / "encodec_lm.th"
    torch.save(theirs.state_dict(), path)
    return name, minicodec.load_language_model(path, Codes(name)), theirs, path


def numbers(Q, T, seed=0):
    """Random codes (1,Q,T), plus one; the first frame is the start."""
    codes = np.random.default_rng(seed).integers(1, 1025, (1, Q, T))
    codes[:, :, 0] = 0
    return codes


@pytest.mark.parametrize("Q", [2, 8])
def test_probabilities_all_at_once(pair, Q):
    """Further than attention reaches back."""
    name, ours, theirs, _ = pair
    codes = numbers(Q, int(4 * FRAME_RATES[name]))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(codes))[0].permute(0, 3, 2, 1).numpy()
    p, _ = ours.probabilities(codes, ours.start(1))
    assert expected.max() > 0.05
    assert abs(p - expected).max() < 1e-5
    np.testing.assert_allclose(p, expected, rtol=1e-3)


def test_probabilities_step_by_step(pair):
    """The same, a frame at a time, past the point where the first frames are forgotten."""
    name, ours, theirs, _ = pair
    first = int(3.5 * FRAME_RATES[name]) - 8
    codes = numbers(4, first + 16)
    with torch.no_grad():
        _, states, offset = theirs(torch.from_numpy(codes[:, :, :first]))
    _, past = ours.probabilities(codes[:, :, :first], ours.start(1))
    for t in range(first, first + 16):
        with torch.no_grad():
            expected, states, offset = theirs(torch.from_numpy(codes[:, :, t : t + 1]), states, offset)
        p, past = ours.probabilities(codes[:, :, t : t + 1], past)
        assert abs(p - expected.permute(0, 3, 2, 1).numpy()).max() < 1e-5, t


def test_gradients_of_the_cross_entropy(pair):
    """Of all weights, as train-lm has them: through heads, layers, attention, norms and embeddings."""
    _, ours, theirs, _ = pair
    codes, targets = numbers(4, 40), np.random.default_rng(1).integers(0, 1024, (1, 4, 40))
    p = theirs(torch.from_numpy(codes))[0]  # (B,N,Q,T)
    expected = -torch.log(p.gather(1, torch.from_numpy(targets)[:, None])).mean()
    expected.backward()
    logits, _ = ours(codes, ours.start(1))
    loss = F.cross_entropy(logits, targets.transpose(0, 2, 1)).mean()
    assert float(loss) == pytest.approx(expected.item(), rel=1e-5)
    parameters = dict(ours.named_parameters())
    gradients = dict(zip(parameters, grad(loss, list(parameters.values())), strict=True))
    their_gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, source in sources(ours, LANGUAGE_MODEL):
        if all(their_gradients[n] is None for n in source.names):  # a codebook that takes no part
            assert not gradients[name].any()
            continue
        g = source.combine(*(their_gradients[n].numpy() for n in source.names))
        assert abs(gradients[name] - g).max() < 2e-5 * abs(g).max(), name


def test_positions():
    """PyTorch's powers of 10 000 err by a last digit here and there; a phase of 1000 makes 1000 times that of it."""
    t = torch.arange(1001).view(1, -1, 1)
    error = abs(positions(0, 1001, 200) - create_sin_embedding(t, 200)[0].numpy()).max(axis=1)
    assert (error <= 2e-7 + np.arange(1001) * np.finfo(np.float32).eps).all()


def random_pdf(rng, V):
    """From nearly certain to nearly uniform. In float32 the sum can exceed 1, where the package's coder may stop."""
    x = rng.normal(size=V) * rng.choice([0.1, 1, 5, 20])
    return torch.softmax(torch.from_numpy(x.astype(np.float32)), 0) * np.float32(1 - 1e-6)


@pytest.mark.parametrize("V", [2, 100, 1024])
def test_counts_are_theirs(V, rng):
    for _ in range(50):
        pdf = random_pdf(rng, V)
        expected = build_stable_quantized_cdf(pdf, 24)
        np.testing.assert_array_equal(cumulative_counts(pdf.numpy()), expected.numpy())


def pull_until_refused(decoder, cdfs):
    """The symbols and, last, why there are no more."""
    symbols = []
    for cdf in cdfs:
        try:
            symbols.append(decoder.pull(cdf))
        except CodingError as error:
            return [*symbols, str(error)]
    return symbols


@pytest.mark.parametrize("V", [2, 100, 1024])
def test_bits_are_theirs_and_read_alike(V, rng):
    """Likely symbols, and improbable ones."""
    cdfs = [build_stable_quantized_cdf(random_pdf(rng, V), 24) for _ in range(400)]
    widths = [np.diff(cdf.numpy(), prepend=0) for cdf in cdfs]
    symbols = [int(rng.integers(V)) if i % 5 == 0 else int(rng.choice(V, p=w / w.sum())) for i, w in enumerate(widths)]
    file = io.BytesIO()
    theirs, ours = ArithmeticCoder(file), RangeEncoder()
    for symbol, cdf in zip(symbols, cdfs, strict=True):
        theirs.push(symbol, cdf)
        ours.push(symbol, cdf.numpy())
    theirs.flush()
    data = ours.finish()
    assert data == file.getvalue()

    file.seek(0)
    theirs, decoder = ArithmeticDecoder(file), RangeDecoder(b"xx" + data, 2)
    for symbol, cdf in zip(symbols, cdfs, strict=True):
        assert theirs.pull(cdf) == decoder.pull(cdf.numpy()) == symbol
    assert decoder.position == 2 + len(data)
    assert pull_until_refused(decoder, [cdf.numpy() for cdf in cdfs])[-1] == "is cut off"


def test_bits_that_nobody_wrote(rng):
    """Refused, or read as some symbol, as by theirs; never another exception, and no endless growth."""
    cdfs = [build_stable_quantized_cdf(random_pdf(rng, 1024), 24) for _ in range(60)]
    endings = set()
    for _ in range(40):
        data = rng.bytes(40)
        theirs, expected = ArithmeticDecoder(io.BytesIO(data)), []
        for cdf in cdfs:
            try:
                expected.append(theirs.pull(cdf))
            except RuntimeError:  # "Binary search failed"
                expected.append("is damaged, or was made with other probabilities")
                break
            if expected[-1] is None:
                expected[-1] = "is cut off"
                break
        assert pull_until_refused(RangeDecoder(data, 0), [cdf.numpy() for cdf in cdfs]) == expected
        endings.add(expected[-1])
    assert len(endings) == 2


def test_an_interval_that_never_decides():
    """0111… always lies in the middle half, whose ends begin with different digits: no digit is ever final."""
    quarters = np.array([1, 3, 4]) << 22
    *symbols, reason = pull_until_refused(RangeDecoder(b"\xfe" + b"\xff" * 10_000, 0), [quarters] * 80_000)
    assert set(symbols) == {1}
    assert len(symbols) < 5000
    assert reason.startswith("is damaged")


class TheirNumbers:
    """The package's model with the face of ours: where its numbers agree to the last bit, its files are read."""

    def __init__(self, theirs):
        self.theirs = theirs

    def start(self, B):
        return None, 0

    def probabilities(self, codes, past):
        with torch.no_grad():
            p, *past = self.theirs(torch.from_numpy(codes), *past)
        return p.permute(0, 3, 2, 1).numpy(), past


def test_files_in_both_directions(pair, monkeypatch, rng):
    """With the same numbers: theirs are read here, ours there, and they are the same bytes."""
    name, _, theirs, _ = pair
    if name == "encodec_48khz":  # in chunks of 10 frames, instead of 150
        layout = replace(LAYOUTS[name], chunk_samples=3_200, chunk_stride=3_168)
        monkeypatch.setitem(LAYOUTS, name, layout)
    samples, codebooks = 4_801, 3
    chunks = random_chunks(name, samples, codebooks, rng)
    model = CodesOnly(name, chunks)
    model.get_lm_model = lambda: theirs
    monkeypatch.setitem(MODELS, name, lambda: model)
    data = compress(model, torch.zeros(1, samples), use_lm=True)
    lm = TheirNumbers(theirs)
    header, read = encodec_files.unpack(data, LAYOUTS[name], lm, "x")
    assert header == Header(name, samples, codebooks, lm=True)
    assert len(read) == len(chunks)
    for a, b in zip(read, chunks, strict=True):
        np.testing.assert_array_equal(a.codes, b.codes)
        assert a.scale == b.scale

    assert encodec_files.pack(header, chunks, lm) == data
    model.chunks = []
    decompress(data)
    for a, b in zip(model.chunks, chunks, strict=True):
        np.testing.assert_array_equal(a.codes, b.codes)


def test_files_of_our_own_numbers(pair, rng):
    """Written and read with our model; cut off, with a byte too many."""
    name, ours, _, _ = pair
    header = Header(name, 1_601, 3, lm=True)
    chunks = random_chunks(name, header.audio_length, header.codebooks, rng)
    data = encodec_files.pack(header, chunks, ours)
    again, read = encodec_files.unpack(data, LAYOUTS[name], ours, "x")
    assert again == header
    np.testing.assert_array_equal(read[0].codes, chunks[0].codes)
    assert read[0].scale == chunks[0].scale
    for end in (len(data) - 1, len(data) - 5, len(data) - 10):
        with pytest.raises(InputError, match=r"^x: is (cut off|damaged)"):
            encodec_files.unpack(data[:end], LAYOUTS[name], ours, "x")
    with pytest.raises(InputError, match=r"^x: goes on after its end"):
        encodec_files.unpack(data + b"\0", LAYOUTS[name], ours, "x")


def test_the_wrong_language_model(pair):
    name, _, _, path = pair
    other = Codes(next(n for n in FRAME_RATES if n != name))
    with pytest.raises(InputError, match=rf"holds no language model for {other.name}: (missing|surplus) "):
        minicodec.load_language_model(path, other)
    with pytest.raises(InputError, match="is a language model"):
        minicodec.load(path)
