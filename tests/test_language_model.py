"""The language model of codes: its past, its file, and what its file must not be."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minicodec.cli import main
from minicodec.codec import language_model
from minicodec.codec.language_model import METADATA_KEY, START, LanguageModel, LanguageModelConfig
from minicodec.errors import InputError

CONFIG = LanguageModelConfig(Q=3, N=16, context=5, D=12, layers=2, heads=2, hidden=20, zero_past=False)


@pytest.fixture
def lm():
    """With livelier weights than those of the start, whose probabilities are nearly uniform."""
    model = LanguageModel(CONFIG, codec="tiny-1234abcd", rng=np.random.default_rng(1))
    for p in model.parameters():
        p.data += np.random.default_rng(p.data.size).normal(size=p.shape).astype(np.float32) * np.float32(0.3)
    return model


def numbers(rng, B=2, Q=3, T=14):
    codes = rng.integers(1, 17, (B, Q, T))
    codes[:, :, 0] = START
    return codes


def test_step_by_step_equals_all_at_once(lm, rng):
    """Beyond the context too; what is kept of the past does not grow."""
    codes = numbers(rng)
    whole, _ = lm.probabilities(codes, lm.start(2))
    past = lm.start(2)
    for t in range(codes.shape[2]):
        p, past = lm.probabilities(codes[:, :, t : t + 1], past)
        np.testing.assert_allclose(p[:, 0], whole[:, t], rtol=1e-4)
        assert past.layers[0][0].shape[2] == min(t + 1, CONFIG.context)


def test_a_frame_depends_on_its_context_alone(lm, rng):
    """One layer sees `context` frames back, two layers twice as many; no layer sees the future."""
    codes = numbers(rng, B=1)
    before, _ = lm.probabilities(codes, lm.start(1))
    codes[0, 1, 2] = codes[0, 1, 2] % 16 + 1
    changed = (lm.probabilities(codes, lm.start(1))[0] != before).any(axis=(0, 2, 3))
    np.testing.assert_array_equal(changed, [2 <= t <= 2 + 2 * CONFIG.context for t in range(14)])


def test_a_past_of_zeros_is_seen(lm, rng):
    """The published models' convention gives other probabilities with the same weights."""
    other = LanguageModel(LanguageModelConfig(**{**vars(CONFIG), "zero_past": True}), rng=rng)
    other.load_state_dict(lm.state_dict())
    codes = numbers(rng, T=1)
    difference = other.probabilities(codes, other.start(2))[0] - lm.probabilities(codes, lm.start(2))[0]
    assert abs(difference).max() > 1e-3


def test_what_was_saved_is_loaded(lm, rng, tmp_path):
    lm.save(tmp_path / "lm.safetensors")
    again = language_model.load(tmp_path / "lm.safetensors")
    assert (again.config, again.codec, again.name) == (CONFIG, "tiny-1234abcd", lm.name)
    codes = numbers(rng)
    np.testing.assert_array_equal(
        again.probabilities(codes, again.start(2))[0], lm.probabilities(codes, lm.start(2))[0]
    )
    with pytest.raises(InputError, match="exists already"):
        lm.save(tmp_path / "lm.safetensors")


def test_half_precision(lm, tmp_path):
    """What is loaded is the model of the rounded weights, and the file has half the size."""
    lm.save(tmp_path / "lm.safetensors")
    lm.save(tmp_path / "half.safetensors", half=True)
    again = language_model.load(tmp_path / "half.safetensors")
    assert (again.config, again.codec) == (CONFIG, "tiny-1234abcd")
    assert again.name != lm.name
    rounded = again.state_dict()
    for name, array in lm.state_dict().items():
        np.testing.assert_array_equal(rounded[name], array.astype(np.float16).astype(np.float32))
    numbers_saved = sum(array.size for array in rounded.values())
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("lm", "half")]
    assert sizes[0] - sizes[1] == pytest.approx(2 * numbers_saved, abs=100)  # the headers differ by some digits
    lm.norm_in.weight.data[0] = 1e5
    with pytest.raises(ValueError, match="weights up to 100000 do not fit into half precision"):
        lm.save(tmp_path / "large.safetensors", half=True)


def test_convert_takes_it(lm, tmp_path, capsys):
    whole, half, same = (tmp_path / f"{name}.safetensors" for name in ("lm", "half", "same"))
    lm.save(whole)
    assert main(["convert", str(whole), str(half), "--half"]) == 0
    name = language_model.load(half).name
    assert capsys.readouterr().out == f"{half}: {name}, {half.stat().st_size} bytes\n"
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    assert main(["convert", str(whole), str(same)]) == 0
    assert same.read_bytes() == whole.read_bytes()


def test_the_digest_is_of_weights_and_sizes(lm):
    before = lm.digest
    lm.outputs[2].bias.data[3] += 1
    after = lm.digest
    other = LanguageModel(LanguageModelConfig(**{**vars(CONFIG), "context": 6}), rng=np.random.default_rng(0))
    other.load_state_dict(lm.state_dict())
    assert len({before, after, other.digest}) == 3


@pytest.mark.parametrize("sizes", [{"D": 13}, {"heads": 5}, {"layers": 0}, {"context": 0}])
def test_sizes_that_cannot_be_used(sizes):
    with pytest.raises(ValueError, match=next(iter(sizes))):
        LanguageModelConfig(**{**vars(CONFIG), **sizes})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Q": 10**9}, "Q = 1000000000"),
        ({"hidden": 10**4000}, "hidden = a number of many digits"),
        ({"Q": 60_000}, "Q = 60000"),
        ({"hidden": 60_000}, "it would be larger than the "),
        ({"layers": 60_000}, "layers = 60000"),
        ({"D": "12"}, "D = 12"),
        ({"heads": True}, "heads = True"),
        ({"zero_past": 1}, "zero_past = 1"),
        ({"D": 13}, "cannot be used"),
        ({"layers": 1}, "surplus layers.1"),
        ({"depth": 1}, "depth"),
    ],
)
def test_a_file_with_another_configuration(lm, tmp_path, change, message):
    path = tmp_path / "x.safetensors"
    lm.save(path)
    about = {"codec": "x", "config": {**vars(CONFIG), **change}}
    save_file(load_file(path), path, {METADATA_KEY: json.dumps(about)})
    with pytest.raises(InputError, match=message) as caught:
        language_model.load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_files_that_hold_no_language_model(lm, model, tmp_path):
    lm.outputs[0].weight.data[1, 1] = np.nan
    lm.save(tmp_path / "nan.safetensors")
    (tmp_path / "text.safetensors").write_text("nothing of the kind")
    for path, message in [
        (tmp_path / "nan.safetensors", "weight holds NaN or infinity"),
        (tmp_path / "text.safetensors", "cannot be read as safetensors"),
        (tmp_path / "none.safetensors", "cannot be read as safetensors"),
        (model, "is no language model"),
    ]:
        with pytest.raises(InputError, match=message):
            language_model.load(path)


def test_a_changed_bit_is_found(lm, tmp_path):
    path = tmp_path / "x.safetensors"
    lm.save(path)
    assert language_model.load(path).digest == lm.digest
    data = bytearray(path.read_bytes())
    data[-100] ^= 1  # the last digit of some weight
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.safetensors: .*weights and sizes are not those that were saved"):
        language_model.load(path)
