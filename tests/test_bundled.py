"""The models that come with minicodec, a codec and its language model: found without being named, as good as their
card says, and never in the way.
"""

import re
from pathlib import Path

import numpy as np
import pytest

import minicodec
from minicodec import audio
from minicodec.cli import main
from minicodec.codec.pretrained import BUNDLED, find
from minicodec.errors import InputError
from minicodec.files import data_folder
from minicodec.metrics import mel_distance, si_sdr

FOLDER = find(BUNDLED)
LM = minicodec.load_language_model(FOLDER, minicodec.load(FOLDER))


def clip(name):
    codec = minicodec.load()
    wav, rate = audio.read(data_folder() / f"{name}.flac")
    return audio.resample(audio.remix(wav, codec.channels), rate, codec.sample_rate)[:, : 4 * codec.sample_rate]


def rows():
    """The model card's table of clips: name, kbit/s, SI-SDR, mel distance, per cent that the language model saves."""
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    row = r"^\| `(\w+)` \| ([\d.]+) \| (-?[\d.]+) \| ([\d.]+) \| (-?\d+) \|$"
    return re.findall(row, card.replace("−", "-"), re.MULTILINE)


def test_the_card_has_figures_of_every_rate():
    assert {float(kbps) for _, kbps, *_ in rows()} == set(minicodec.load().bandwidths)
    assert (FOLDER / "model.safetensors").stat().st_size < 10_000_000
    assert (FOLDER / "lm.safetensors").stat().st_size < 4_000_000


def test_a_changed_bit_of_it_is_found(tmp_path):
    """Its file has a digest of weights and configuration."""
    content = (FOLDER / "model.safetensors").read_bytes()
    spoiled = tmp_path / "model.safetensors"
    spoiled.write_bytes(content[:-1000] + bytes([content[-1000] ^ 1]) + content[-999:])
    with pytest.raises(InputError, match="is damaged: weights and configuration are not those that were saved"):
        minicodec.load(spoiled)


@pytest.mark.parametrize("row", rows(), ids=" ".join)
def test_the_card_tells_the_truth(row):
    name, kbps, quality, distance, saved = row
    codec, wav = minicodec.load(), clip(name)
    packet = codec.compress(wav, float(kbps))
    decoded, _ = minicodec.decompress(packet)
    assert float(quality) == pytest.approx(float(si_sdr(wav, decoded)[0]), abs=0.1)  # codes can differ in a tie
    assert float(distance) == pytest.approx(float(mel_distance(wav, decoded, codec.sample_rate)), abs=0.1)
    smaller = codec.compress(wav, float(kbps), LM)
    assert float(saved) == pytest.approx(100 * (1 - len(smaller) / len(packet)), abs=1)
    np.testing.assert_array_equal(minicodec.decompress(smaller, lm=LM)[0], decoded)


def test_commands_take_it_when_no_model_is_named(tmp_path, capsys):
    packet, out = tmp_path / "a.ecdc", tmp_path / "a.wav"
    assert main(["encode", str(data_folder() / "drums_1.flac"), str(packet), "-b", "3"]) == 0
    assert main(["decode", str(packet), str(out)]) == 0
    assert main(["info", str(packet)]) == 0
    assert minicodec.load().name in capsys.readouterr().out
    original, _ = audio.read(data_folder() / "drums_1.flac")
    assert packet.read_bytes() == minicodec.load(FOLDER).compress(original, 3)
    assert si_sdr(original, audio.read(out)[0])[0] > 3
    assert main(["info", BUNDLED]) == 0
    assert minicodec.load().name in capsys.readouterr().out


def test_its_language_model_is_found_by_encode_and_by_decode(tmp_path, capsys):
    clip = str(data_folder() / "drums_1.flac")
    out = {name: tmp_path / name for name in ("a.ecdc", "b.ecdc", "a.wav", "b.wav")}
    assert main(["encode", clip, str(out["a.ecdc"]), "-b", "3"]) == 0
    assert main(["encode", clip, str(out["b.ecdc"]), "-b", "3", "--lm"]) == 0
    for name in "ab":
        assert main(["decode", str(out[f"{name}.ecdc"]), str(out[f"{name}.wav"])]) == 0
    assert out["a.wav"].read_bytes() == out["b.wav"].read_bytes()
    assert main(["info", str(out["b.ecdc"])]) == 0
    assert LM.name in capsys.readouterr().out


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = minicodec.build("tiny_24khz")
    Path(BUNDLED).mkdir()
    other.save(Path(BUNDLED) / "model.safetensors")
    assert minicodec.load(BUNDLED).name == other.name


def test_packets_of_other_models_need_them():
    other = minicodec.build("tiny_24khz")
    packet = other.compress(np.full((1, 700), 0.1, np.float32))
    with pytest.raises(InputError, match=r"^packet: needs the model tiny_24khz-"):
        minicodec.decompress(packet)


def test_an_evaluation_keeps_a_path_to_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["--kbps", "6", "--metrics", "si_sdr", "--seconds", "0.5", "--jobs", "1", "--files", "all"]
    settings += ["--baselines"]
    assert main(["evaluate", BUNDLED, "--data", str(data_folder()), "--out", "report", *settings]) == 0
    assert (tmp_path / "report" / "results.csv").is_file()
