"""Other programs' weights: which of their numbers becomes which of ours, and what is said when some do not fit."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import minicodec
from minicodec.cli import main
from minicodec.codec.foreign.convert import ENCODEC, TRANSFORMERS, TRANSFORMERS_PARAMETRIZED, sources, take_over
from minicodec.codec.foreign.transformers_folder import to_config
from minicodec.codec.quantizer import ResidualVectorQuantizer
from minicodec.errors import InputError
from minicodec.nn.layers import LSTM, Conv1d, ConvTranspose1d
from tests.test_torch_file import archive, state_dict, storage, tensor

SMALL = {  # a config.json of transformers, as small as it can be
    "model_type": "encodec", "audio_channels": 1, "chunk_length_s": None, "codebook_dim": 4, "codebook_size": 16,
    "compress": 2, "dilation_growth_rate": 2, "hidden_size": 4, "kernel_size": 5, "last_kernel_size": 5,
    "norm_type": "weight_norm", "normalize": False, "num_filters": 2, "num_lstm_layers": 1, "num_residual_layers": 1,
    "overlap": None, "pad_mode": "constant", "residual_kernel_size": 3, "sampling_rate": 8000,
    "target_bandwidths": [4.0, 8.0], "trim_right_ratio": 1.0, "upsampling_ratios": [4, 2], "use_causal_conv": True,
}  # fmt: skip


def write_folder(folder, config, naming, rng):
    """A folder of transformers with random weights; the weights."""
    folder.mkdir()
    codec = minicodec.Codec(to_config(config, "config.json"))
    state = {
        name: rng.normal(size=source.shape).astype(np.float32)
        for _, source in sources(codec, naming)
        for name in source.names
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(state, folder / "model.safetensors")
    return state


def test_axes_of_convolutions(rng):
    """Theirs are (Co,Ci,K), transposed ones (Ci,Co,K)."""
    conv, up = Conv1d(2, 3, 4, rng=rng), ConvTranspose1d(2, 3, 4, rng=rng)
    w, v = rng.normal(size=(3, 2, 4)), rng.normal(size=(2, 3, 4))
    take_over(conv, {"conv.conv.weight": w, "conv.conv.bias": np.arange(3)}, ENCODEC)
    take_over(up, {"convtr.convtr.weight": v, "convtr.convtr.bias": np.arange(3)}, ENCODEC)
    for k in range(4):
        for i in range(2):
            for o in range(3):
                assert conv.weight.data[k, i, o] == np.float32(w[o, i, k])
                assert up.weight.data[k, i, o] == np.float32(v[i, o, k])
    np.testing.assert_array_equal(conv.bias.data, [0, 1, 2])


def test_biases_of_an_lstm_are_added(rng):
    lstm = LSTM(3, 2, rng=rng)
    state = {}
    for i in range(2):
        state |= {f"lstm.weight_{k}_l{i}": rng.normal(size=(12, 3)) for k in ("ih", "hh")}
        state |= {f"lstm.bias_{k}_l{i}": np.arange(12) * 10**i for k in ("ih", "hh")}
    take_over(lstm, state, ENCODEC)
    np.testing.assert_array_equal(lstm.layers[1].bias.data, 20 * np.arange(12))
    np.testing.assert_array_equal(lstm.layers[0].weight_hh.data[2, 7], np.float32(state["lstm.weight_hh_l0"][7, 2]))


def test_levels_of_a_quantizer_are_stacked(rng):
    quantizer = ResidualVectorQuantizer(2, 4, 3, rng=rng)
    state = {}
    for q in range(2):
        state |= {f"vq.layers.{q}._codebook.{k}": rng.normal(size=(4, 3)) for k in ("embed", "embed_avg")}
        state |= {f"vq.layers.{q}._codebook.cluster_size": np.full(4, q), f"vq.layers.{q}._codebook.inited": np.ones(1)}
    take_over(quantizer, state, ENCODEC)
    np.testing.assert_array_equal(quantizer.codebooks[1], state["vq.layers.1._codebook.embed"].astype(np.float32))
    np.testing.assert_array_equal(quantizer.sums[0], state["vq.layers.0._codebook.embed_avg"].astype(np.float32))
    np.testing.assert_array_equal(quantizer.counts, [[0] * 4, [1] * 4])
    assert quantizer.ready == 2


def test_what_does_not_fit_is_listed_by_name(rng):
    conv = Conv1d(2, 3, 4, norm="weight_norm", rng=rng)
    before = conv.state_dict()["bias"].copy()
    state = {
        "conv.conv.weight_g": np.ones((1, 1, 3)), "conv.conv.bias": np.ones(3), "conv.conv.weight": np.ones((3, 2, 4)),
    }  # fmt: skip
    with pytest.raises(ValueError, match="weight_g") as caught:
        take_over(conv, state, ENCODEC)
    assert str(caught.value) == (
        "missing conv.conv.weight_v; surplus conv.conv.weight; "
        "conv.conv.weight_g has shape (1, 1, 3), expected (3, 1, 1)"
    )
    np.testing.assert_array_equal(conv.bias.data, before)


def test_long_lists_are_cut(rng):
    with pytest.raises(ValueError, match=r"surplus x1; and 48 more$"):
        take_over(Conv1d(2, 3, 4, norm="weight_norm", rng=rng), {f"x{i}": np.ones(1) for i in range(50)}, ENCODEC)


@pytest.mark.parametrize("naming", [TRANSFORMERS, TRANSFORMERS_PARAMETRIZED], ids=["old names", "new names"])
def test_a_folder_of_transformers(naming, tmp_path, rng):
    state = write_folder(tmp_path / "m", SMALL, naming, rng)
    codec = minicodec.load(tmp_path / "m")
    assert codec.name.startswith("transformers-")
    assert codec.config.seanet.strides == (2, 4)
    assert (codec.sample_rate, codec.config.quantizer.levels, codec.config.seanet.pad_mode) == (8000, 2, "zero")
    new = naming is TRANSFORMERS_PARAMETRIZED
    g, v = (
        ("parametrizations.weight.original0", "parametrizations.weight.original1") if new else ("weight_g", "weight_v")
    )
    np.testing.assert_array_equal(
        codec.encoder.layers[0].weight_g.data[0, 0], state[f"encoder.layers.0.conv.{g}"][:, 0, 0]
    )
    np.testing.assert_array_equal(
        codec.decoder.layers[3].weight_v.data, state[f"decoder.layers.3.conv.{v}"].transpose(2, 0, 1)
    )
    np.testing.assert_array_equal(
        codec.encoder.layers[1].block[1].bias.data, state["encoder.layers.1.block.1.conv.bias"]
    )
    np.testing.assert_array_equal(codec.quantizer.codebooks[1], state["quantizer.layers.1.codebook.embed"])


BAD_CONFIGS = {
    "another model": ({"model_type": "dac"}, "model_type is dac"),
    "compress": ({"compress": 4}, "compress is 4"),
    "last kernel": ({"last_kernel_size": 3}, "last_kernel_size is 3"),
    "padding": ({"pad_mode": "circular"}, "circular"),
    "norm": ({"norm_type": "batch_norm"}, "batch_norm"),
    "entries": ({"codebook_size": 1000, "target_bandwidths": [20.0]}, "power of two"),
    "a text": ({"sampling_rate": "24000"}, "describes no EnCodec"),
    "no bandwidths": ({"target_bandwidths": []}, "describes no EnCodec"),
    "filters that the file lacks": ({"num_filters": 1000}, "larger than the 10000 numbers"),
    "16384 entries": ({"codebook_size": 1 << 14, "target_bandwidths": [14.0, 28.0]}, "larger than the 10000 numbers"),
    "a million filters": ({"num_filters": 10**6}, "filters should be 2 … 8192, not 1000000"),
    "filters in words": ({"num_filters": "xxxxxxxx"}, "filters should be int, not xxxxxxxx"),
    "a million layers": ({"num_lstm_layers": 10**6}, "lstm_layers should be 0 … 8, not 1000000"),
    "a kernel of a million": ({"kernel_size": 10**6, "last_kernel_size": 10**6}, "kernel should be 1 … 64"),
    "a stride of a million": ({"upsampling_ratios": [10**6, 2]}, "should be 1 … "),
    "a text among the strides": ({"upsampling_ratios": ["x" * 8, 2 * 10**12]}, "must be numbers"),
    "a text for seconds": ({"chunk_length_s": "conv", "sampling_rate": 10**9}, "must be numbers"),
    "texts for rates": ({"target_bandwidths": ["x" * 10**6]}, "must be numbers"),
    "a negative stride": ({"upsampling_ratios": [-4, -2]}, "strides should be 1 … 8192, not -2"),
    "strides in words": ({"upsampling_ratios": "42"}, "describes no EnCodec"),
    "no table": ({"upsampling_ratios": {"4": 2}}, "describes no EnCodec"),
    "hop 0": ({"upsampling_ratios": [0]}, "describes no EnCodec"),
    "an endless rate": ({"sampling_rate": 1e400}, "describes no EnCodec"),
    "an endless bandwidth": ({"target_bandwidths": [4.0, 1e400]}, "describes no EnCodec"),
    "entries in thousands of digits": ({"codebook_size": 10**4000}, "levels should be"),
    "a mode that is a list": ({"pad_mode": []}, "describes no EnCodec"),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_configurations_that_cannot_be(name, tmp_path):
    changes, reason = BAD_CONFIGS[name]
    save_file({"x": np.zeros(10_000, np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(SMALL | changes))
    with pytest.raises(InputError, match=reason) as caught:
        minicodec.load(tmp_path)
    assert str(caught.value).count(f"{tmp_path / 'config.json'}: ") == 1
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_folders_that_are_not_whole(tmp_path, rng):
    folder = tmp_path / "m"
    state = write_folder(folder, SMALL, TRANSFORMERS, rng)
    weights = folder / "model.safetensors"
    save_file({k: v for k, v in state.items() if "lstm.bias_hh" not in k}, weights)
    with pytest.raises(InputError, match=r"missing encoder.layers.7.lstm.bias_hh_l0; missing decoder.layers.1.lstm"):
        minicodec.load(folder)
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        minicodec.load(folder)
    weights.unlink()
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        minicodec.load(folder)
    for text, reason in (
        ("{", "describes no"),
        ("[]", "describes no"),
        ("[" * 100_000, "describes no"),
        ("{}", "does"),
    ):
        (folder / "config.json").write_text(text)
        with pytest.raises(InputError, match=reason):
            minicodec.load(folder)


def test_a_torch_file_of_something_else(tmp_path):
    """It is found to be one by its content, whatever its name."""
    path = tmp_path / "weights.bin"
    path.write_bytes(archive(state_dict(a=tensor())))
    with pytest.raises(InputError, match=r"24khz: missing encoder.model.0.conv.conv") as caught:
        minicodec.load(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(archive(state_dict(**{"encoder.model.0.conv.norm.weight": tensor(storage())})))
    with pytest.raises(InputError, match="holds no weights of encodec_48khz: missing"):
        minicodec.load(path)
    path.write_bytes(b"\x80\x02}.")
    with pytest.raises(InputError, match=r"models are .safetensors files, EnCodec's .th files, or folders"):
        minicodec.load(path)


def test_convert(tmp_path, capsys, rng):
    write_folder(tmp_path / "m", SMALL, TRANSFORMERS_PARAMETRIZED, rng)
    out = tmp_path / "m.safetensors"
    assert main(["convert", str(tmp_path / "m"), str(out)]) == 0
    before, after = minicodec.load(tmp_path / "m"), minicodec.load(out)
    assert capsys.readouterr().out.startswith(f"{out}: {before.name}, 8000 Hz, {out.stat().st_size} bytes")
    assert after.config == before.config
    assert after.name == before.name
    wav = rng.uniform(-1, 1, (1, 1000)).astype(np.float32)
    assert after.compress(wav) == before.compress(wav)

    assert main(["convert", str(tmp_path / "m"), str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "m"), str(out), "-f"]) == 0
    assert main(["convert", str(tmp_path / "m"), str(tmp_path / "m.th")]) == 2
    assert "ends with .safetensors" in capsys.readouterr().err
