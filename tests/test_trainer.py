"""The trainer: it learns, it stops when it must, it takes the settings it is given, and writes the run's folder."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec.cli import main
from minicodec.errors import InputError
from minicodec.tensor import Tensor
from minicodec.training import checkpoint, config, run as runs
from minicodec.training.loop import Log
from minicodec.training.trainer import DivergedError, Trainer
from tests.small_run import SETTINGS, make_audio


@pytest.fixture
def audio_folder(tmp_path):
    return make_audio(tmp_path / "audio")


@pytest.fixture
def trainer():
    return Trainer(config.from_preset("tiny_24khz", "nowhere", SETTINGS))


def tone(B=2, T=6000, amplitude=0.3):
    return (amplitude * np.sin(2 * np.pi * 440 / 24_000 * np.arange(T, dtype=np.float32)))[None, :, None].repeat(B, 0)


def test_loss_falls_on_a_tone(trainer):
    """To less than half, with and without quantizer; and then both codebooks have been initialised."""
    losses = [trainer.update(tone())["mel"] for _ in range(40)]
    assert trainer.codec.quantizer.ready == 2
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) / 2


def test_the_warm_up_has_a_mel_weight_of_its_own():
    """With 0 in the warm-up, L1 has all of the gradient until it ends, and not a step longer."""
    settings = [*SETTINGS, "loss.warmup_mel=0", "loss.mel=1", "warmup_steps=2"]
    trainer = Trainer(config.from_preset("tiny_24khz", "nowhere", settings))
    shares = [trainer.update(tone())["share.mel"] for _ in range(3)]
    assert shares[:2] == [0, 0]
    assert shares[2] > 0.01


def test_training_starts_with_signals_that_keep_their_power(rng):
    """Noise arrives in the latents at about its own level; with PyTorch's initial weights, 30 dB of it are lost."""
    trainer = Trainer(config.from_preset("tiny_24khz", "nowhere", []))
    x = Tensor(rng.normal(size=(2, 24_000, 1)).astype(np.float32))
    assert 0.3 < trainer.codec.encoder(x).data.std(axis=1).mean() < 3
    assert minicodec.build("tiny_24khz").encoder(x).data.std(axis=1).mean() < 0.04


def test_learning_rates_fall_in_the_cooldown():
    """Constant for 8 of 12 steps, then 1 - sqrt of the part of the fall that is over; steps shrink with them."""
    settings = [*SETTINGS, "steps=12", "cooldown=0.3333333333", "adversary.enabled=true", "adversary.lr=1e-4"]
    settings += ["adversary.windows=[64]", "adversary.filters=2"]
    trainer = Trainer(config.from_preset("tiny_24khz", "nowhere", settings))
    trainer.config = replace(trainer.config, adversary=replace(trainer.config.adversary, probability=1.0))
    rates, moved = [], []
    for _ in range(13):
        before = {name: p.data.copy() for name, p in trainer.codec.named_parameters()}
        trainer.update(tone())
        rates.append((trainer.optimizer.lr / 3e-3, trainer.adversary.optimizer.lr / 1e-4))
        moved.append(max(abs(p.data - before[name]).max() for name, p in trainer.codec.named_parameters()))
    expected = [1] * 9 + [1 - 0.25**0.5, 1 - 0.5**0.5, 1 - 0.75**0.5, 0]
    np.testing.assert_allclose(rates, np.repeat(expected, 2).reshape(13, 2), atol=1e-6)
    assert moved[11] < 0.3 * max(moved[:9])
    assert moved[12] == 0


def test_no_quantizer_in_the_warm_up(trainer):
    for _ in range(6):
        assert trainer.levels() == 0
        assert trainer.update(tone())["commitment"] == 0
    assert not trainer.codec.quantizer.counts.any()
    assert trainer.levels() == 2  # k-means for all of them
    while trainer.codec.quantizer.ready < 2:
        trainer.update(tone())
    drawn = set()
    for _ in range(20):
        drawn.add(trainer.levels())
        trainer.step += 1
    assert drawn == {1, 2}  # 0.3 and 0.6 kbps


def test_a_share_of_batches_is_unquantized():
    trainer = Trainer(config.from_preset("tiny_24khz", "nowhere", [*SETTINGS, "unquantized=0.25", "warmup_steps=0"]))
    trainer.codec.quantizer.updates[:] = 1
    drawn = []
    for trainer.step in range(2000):
        drawn.append(trainer.levels())
    assert np.mean(np.array(drawn) == 0) == pytest.approx(0.25, abs=0.05)  # five standard errors


def test_average_follows_the_weights(trainer):
    first = [p.data.copy() for p in trainer.codec.parameters()]
    trainer.update(tone())
    for start, p, mean in zip(first, trainer.codec.parameters(), trainer.average.parameters(), strict=True):
        np.testing.assert_allclose(mean.data, 0.99 * start + 0.01 * p.data, rtol=1e-4, atol=1e-7)


def test_a_corrected_average_forgets_the_start():
    """After one step it is the weights; after two, their mean with shares 0.99 : 1."""
    trainer = Trainer(config.from_preset("tiny_24khz", "nowhere", [*SETTINGS, "ema_corrected=true"]))
    seen = []
    for _ in range(2):
        trainer.update(tone())
        seen.append([p.data.copy() for p in trainer.codec.parameters()])
    for first, second, mean in zip(*seen, trainer.average.parameters(), strict=True):
        np.testing.assert_allclose(mean.data, (0.99 * first + second) / 1.99, rtol=1e-4, atol=1e-7)


def test_rates_and_windows_are_drawn_for_each_step():
    """Listed twice, drawn twice as often; and the same again at the same step, whatever came before."""
    settings = [*SETTINGS, "warmup_steps=0", "rates=[0.3,0.6,0.6]", "rate_per_item=true", "batch=3", "loss.mel_drawn=1"]
    trainer = Trainer(config.from_preset("tiny_24khz", "nowhere", settings))
    trainer.codec.quantizer.updates[:] = 1
    levels, windows = [], []
    for trainer.step in range(1000):
        levels.append(trainer.levels())
        windows.append(trainer.mel_windows())
    assert np.mean(np.array(levels) == 1) == pytest.approx(1 / 3, abs=0.05)
    assert {len(one) for one in levels} == {3}
    assert max(len(set(one)) for one in levels) == 2
    assert np.mean(np.array(windows) == 128) == pytest.approx(1 / 2, abs=0.08)
    trainer.step = 7
    assert (trainer.levels(), trainer.mel_windows()) == (levels[7], windows[7])


def test_items_of_a_batch_train_at_rates_of_their_own():
    """A level that one item of three uses is counted for that one alone."""
    settings = [*SETTINGS, "warmup_steps=0", "rates=[0.3,0.6]", "rate_per_item=true", "batch=3"]
    trainer = Trainer(config.from_preset("tiny_24khz", "nowhere", settings))
    while trainer.codec.quantizer.ready < 2:
        trainer.update(tone(B=3))
    while trainer.levels() != (1, 2, 1):
        trainer.step += 1
    counts = trainer.codec.quantizer.counts.sum(axis=1)
    trainer.update(tone(B=3))
    frames = tone().shape[1] // 320 + 1
    expected = 0.99 * counts + 0.01 * np.array([3 * frames, frames])
    np.testing.assert_allclose(trainer.codec.quantizer.counts.sum(axis=1), expected, rtol=1e-4)


def test_averaged_codec_has_the_newest_codebooks(trainer):
    for _ in range(12):
        trainer.update(tone())
    averaged = trainer.averaged_codec()
    np.testing.assert_array_equal(averaged.quantizer.codebooks, trainer.codec.quantizer.codebooks)
    assert averaged.quantizer.ready == 2


@pytest.mark.parametrize("steps", [3, 7, 12])  # in the warm-up, with vectors waiting for k-means, after it
def test_restored_trainer_goes_on_alike(trainer, steps, tmp_path):
    for _ in range(steps):
        trainer.update(tone())
    path = checkpoint.save(tmp_path, trainer.step, trainer.state(), keep=1)
    other = Trainer(config.from_preset("tiny_24khz", "nowhere", [*SETTINGS, "seed=0"]))
    other.restore(*checkpoint.load(path))
    assert trainer.update(tone()) == other.update(tone())
    a, b = (checkpoint.save(tmp_path, n, t.state(), keep=2).read_bytes() for n, t in ((1, trainer), (1, other)))
    assert a == b


def test_nan_stops_before_any_weight_changes(trainer):
    trainer.update(tone())
    before = {name: array.copy() for name, array in trainer.codec.state_dict().items()}
    x = tone()
    x[1, 100] = np.nan
    with pytest.raises(DivergedError, match=r"^step 2: not a finite number among loss nan, l1 nan"):
        trainer.update(x)
    for name, array in trainer.codec.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_exploding_loss_stops(trainer):
    for _ in range(5):
        trainer.update(tone())
    with pytest.raises(DivergedError, match=r"^step 6: the loss was about .* and has exploded: loss "):
        trainer.update(tone(amplitude=1e5))


def test_divergence_names_step_loss_and_checkpoint(audio_folder, tmp_path, capsys, monkeypatch):
    """One line and exit status 2, through the command line; the NaN appears in the data of step 7."""
    original = runs.AudioFolder.batch

    def poisoned(self, step, size):
        return original(self, step, size) * (np.float32(np.nan) if step == 6 else np.float32(1))

    monkeypatch.setattr(runs.AudioFolder, "batch", poisoned)
    folder = tmp_path / "run"
    arguments = ["train", "tiny_24khz", "--data", str(audio_folder), "--out", str(folder), "--set", *SETTINGS]
    assert main(arguments) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"minicodec: {folder}: step 7: not a finite number among loss nan")
    assert f"the last good checkpoint is {folder / 'checkpoints' / 'step-00000004.safetensors'}" in line


def test_a_run_fills_its_folder(audio_folder, tmp_path, capsys, pictures):
    """And what is in it says what it should; then it cannot be overwritten, but can be lengthened."""
    folder = tmp_path / "run"
    arguments = ["train", "tiny_24khz", "--data", str(audio_folder), "--out", str(folder), "--set", *SETTINGS]
    assert main([*arguments, "--steps", "14"]) == 0
    assert "step 14 reached" in capsys.readouterr().out

    stored = config.load(folder / "run.json")
    assert stored == config.from_preset("tiny_24khz", str(audio_folder), [*SETTINGS, "steps=14"])
    log = Log(folder / "log.jsonl", 1, np).read()
    assert [line["step"] for line in log] == [*range(1, 15), 14]
    assert set(log[-1]["rates"]) == {"unquantized", "0.3", "0.6"}
    assert [p.name for p in checkpoint.in_folder(folder / "checkpoints")] == [
        f"step-{n:08d}.safetensors" for n in (8, 12, 14)
    ]
    samples = folder / "samples/step-00000014"
    assert sorted(p.name for p in samples.iterdir()) == ["clip1_0.6kbps.png", "clip1_0.6kbps.wav", "clip1_original.wav"]
    for picture in (folder / "curves.png", samples / "clip1_0.6kbps.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert soundfile.info(samples / "clip1_0.6kbps.wav").frames == 6000

    codec = minicodec.load(folder)
    _, state = checkpoint.load(checkpoint.in_folder(folder / "checkpoints")[-1])
    for name, p in codec.named_parameters():
        np.testing.assert_array_equal(p.data, state["average"][name])
    np.testing.assert_array_equal(codec.quantizer.codebooks, state["model"]["quantizer.codebooks"])

    assert main(arguments) == 2
    assert "is a run already; go on with --resume" in capsys.readouterr().err
    assert main(["train", "--resume", str(folder), "--steps", "16"]) == 0
    assert [line["step"] for line in Log(folder / "log.jsonl", 1, np).read()] == [*range(1, 15), 14, 15, 16, 16]


def test_a_run_can_begin_with_a_model(audio_folder, tmp_path):
    """With its weights and codebooks, at step 0; not with another model."""
    recipe = config.from_preset("tiny_24khz", str(audio_folder), [*SETTINGS, "steps=14"])
    runs.start(tmp_path / "first", recipe).train()
    model = (tmp_path / "first/model.safetensors").rename(tmp_path / "lost.safetensors")
    trainer = runs.start(tmp_path / "second", recipe, model).trainer
    assert trainer.step == 0
    wanted = minicodec.load(model).state_dict()
    for own in (trainer.codec.state_dict(), trainer.average.state_dict()):
        for name, array in wanted.items():
            np.testing.assert_array_equal(own[name], array)
    assert runs.resume(tmp_path / "second").trainer.codec.quantizer.ready == 2
    other = config.from_preset("tiny_24khz", str(audio_folder), [*SETTINGS, "seanet.latent=6"])
    with pytest.raises(InputError, match=r"lost\.safetensors: does not fit the configuration: .*has shape"):
        runs.start(tmp_path / "third", other, model)


def test_no_model_before_the_quantizer_has_learned(audio_folder, tmp_path, capsys):
    """Its random codebooks would decode to noise."""
    folder = tmp_path / "run"
    arguments = ["train", "tiny_24khz", "--data", str(audio_folder), "--out", str(folder), "--set", *SETTINGS]
    assert main([*arguments, "--steps", "5"]) == 0
    assert "the quantizer needs more" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"has no model\.safetensors"):
        minicodec.load(folder)


def test_the_log_forgets_what_comes_after_the_checkpoint(audio_folder, tmp_path):
    """Steps 5 … 7 were logged and then lost, the last in mid-line."""
    folder = tmp_path / "run"
    run = runs.start(str(folder), config.from_preset("tiny_24khz", str(audio_folder), [*SETTINGS, "steps=4"]))
    assert repr(run) == f"Run({folder}: tiny_24khz, step 0 of 4)"
    run.train()
    with open(folder / "log.jsonl", "a") as file:
        file.write('{"step": 5, "loss": 1.0}\n{"step": 6, "loss": 1.0}\n{"step": 7, "lo')
    resumed = runs.resume(str(folder))
    assert resumed.trainer.step == 4
    assert [line["step"] for line in Log(folder / "log.jsonl", 1, np).read()] == [1, 2, 3, 4, 4]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("loss.mle=2", "--set loss.mle=2: there is no option loss.mle; did you mean loss.mel, "),
        ("filters=8", "did you mean seanet.filters, adversary.filters? (run.json of a run has all)"),
        ("steps", "--set steps: write it as key=value"),
        ("steps=many", "--set steps=many: 'many' where the default is 3000"),
        ("steps=1.5", "1.5 where the default is 3000"),
        ("seanet.causal=1", "1 where the default is True"),
        ("batch=0", "batch = 0 cannot be used"),
        ("betas=[0.9]", "betas = (0.9,) cannot be used"),
        ("lr=nan", "lr=nan: nan where the default is 0.001"),
        ("loss.mel=inf", "inf where the default is 1.0"),
        ("lr=1e400", "lr=1e400: inf where the default is 0.001"),
        ("loss.l1=-1", "loss.l1 = -1.0 cannot be used"),
        ("loss.l1_above=-0.1", "loss.l1_above = -0.1 cannot be used"),
        ("steps=" + "9" * 5000, "where the default is 3000"),
        ("steps=" + "9" * 40, "where the default is 3000"),
        ("betas=" + "[" * 3000, "where the default is (0.5, 0.9)"),
        ("batch=1_000_000", "batch = 1000000, seconds = 0.5 cannot be used"),
        ("valid_seconds=1e9", "valid_clips = 4, valid_seconds = 1000000000.0 cannot be used"),
        ("adversary.windows=[1000000]", "adversary.windows = (1000000,) cannot be used"),
        ("adversary.filters=100_000_000", "adversary.filters = 100000000 cannot be used"),
        ("cooldown=1.5", "cooldown = 1.5 cannot be used"),
        ("pauses=1.1", "pauses = 1.1 cannot be used"),
        ("bandwidths=[100]", "100 kbps need 133 of 8 codebooks"),
        ("loss.mel_drawn=8", "loss.mel_drawn = 8 cannot be used: there are 3"),
        ("loss.mel_kind=mel", "loss.mel_kind = 'mel': choose fitting, absolute or published"),
        ("loss.mel_relative=-1", "loss.mel_relative = -1.0 cannot be used"),
        ("loss.mel_floor=0", "loss.mel_floor = 0.0 cannot be used"),
        ("rates=[1]", "rates = (1,) cannot be used: the model has 0.75, 1.5, 3, 6 kbps"),
        ("loss.mel_windows=[16]", "loss.mel_windows = (16,) cannot be used"),
    ],
)
def test_settings_that_are_refused(setting, message, tmp_path, capsys):
    assert main(["train", "tiny_24khz", "--data", str(tmp_path), "--out", str(tmp_path / "x"), "--set", setting]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert len(err) < 1000
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("preset", "setting", "message"),
    [
        ("mini_24khz", "seconds=0.04", "seconds = 0.04 cannot be used: adversary.windows needs 1024 samples, 0.043 s"),
        ("mini_24khz", "valid_seconds=0.04", "valid_seconds = 0.04 cannot be used: adversary.windows needs 1024 "),
        ("tiny_24khz", "seconds=0.01", "seconds = 0.01 cannot be used: loss.mel_windows needs 256 samples, 0.011 s"),
        ("tiny_24khz", "valid_seconds=0.01", "valid_seconds = 0.01 cannot be used: loss.mel_windows needs 256 samples"),
        ("transform_24khz", "seconds=0.04", "seconds = 0.04 cannot be used: quantizer.entries needs 961 "),
    ],
)
def test_crops_that_are_too_short_are_refused(preset, setting, message, tmp_path, capsys):
    assert main(["train", preset, "--data", str(tmp_path), "--out", str(tmp_path / "x"), "--set", setting]) == 2
    err = capsys.readouterr().err
    assert f"--set {setting}: {message}" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("settings", "samples"),
    [
        (["loss.mel_windows=[1024,64]"], 256),
        (["loss.mel_windows=[100]"], 26),
        (["loss.mel_windows=[100]", "loss.mel_kind=published"], 26),
        (["loss.l1_below=4000"], 640),
        (["adversary.enabled=true", "adversary.filters=2", "adversary.probability=1", "adversary.windows=[300]"], 300),
    ],
)
def test_the_shortest_crops_that_can_be_used(settings, samples):
    """With so many samples a step can be made, and with one fewer none is begun."""
    options = [[*SETTINGS, *settings, f"seconds={T / 24_000}"] for T in (samples - 1, samples)]
    with pytest.raises(InputError, match=f"needs {samples} samples"):
        config.from_preset("tiny_24khz", "nowhere", options[0])
    trainer = Trainer(config.from_preset("tiny_24khz", "nowhere", options[1]))
    trainer.update(np.random.default_rng(0).normal(0, 0.1, (2, samples, 1)).astype(np.float32))


PRESET = """
name = "mine"
sample_rate = 24000
channels = 1
bandwidths = [6.0]
seanet.filters = 8
training.seconds = 0.5
"""


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("training.seconds = 0.5", "training = 5", "training = 5 where a table of options should be"),
        ('name = "mine"', 'name = ["a"]', "name should be str, not ['a']"),
        ("seconds = 0.5", "seconds = 0.01", "seconds = 0.01 cannot be used: loss.mel_windows needs 512 samples"),
    ],
)
def test_presets_of_ones_own_that_are_refused(before, after, reason, tmp_path, capsys):
    path = tmp_path / "my.toml"
    path.write_text(PRESET.replace(before, after))
    assert main(["train", str(path), "--data", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"minicodec: {path}: {reason}")
    assert err.count("\n") == 1


SHARES = [f"adversary.{name}=0" for name in ("l1", "mel", "adversarial", "feature")]


def test_weights_that_leave_no_shares_are_refused():
    with pytest.raises(InputError, match="are all 0, so there are no shares to balance"):
        config.from_preset("tiny_24khz", "x", SHARES)
    config.from_preset("tiny_24khz", "x", [*SHARES, "adversary.balanced=false"])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(("steps", v) for v in ("xxxxxxxx", True, 1e400, 10**30, None, [1], {})),
        *(("lr", v) for v in ("1", [0.1], float("nan"))),
        *(("betas", v) for v in (0.5, "ab", [], [0.5, "x"], [0.5, 1e400])),
        *(("loss", v) for v in (3, [], "mel", {"mel_windows": "xxxx"}, {"mel_windows": [64, 1e9]})),
        ("adversary", {"windows": [10**9]}),
        ("augment", {"gain": ["a", "b"]}),
    ],
)
def test_a_run_json_that_cannot_be(place, value, tmp_path):
    """One line that names the file, and nothing is built."""
    path = tmp_path / "run.json"
    config.from_preset("tiny_24khz", "x", []).save(path)
    values = json.loads(path.read_text())
    values["training"][place] = value
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"^[^\n]*run\.json: [^\n]{1,200}$"):
        config.load(path)


def test_settings_reach_the_model_and_the_recipe():
    changed = config.from_preset(
        "mini_24khz", "x", ["seanet.filters=4", "loss.mel=2", "bandwidths=[1.5, 6]", "lr=1", "seanet.pad_mode=reflect"]
    )
    assert changed.model.seanet.filters == 4
    assert changed.model.seanet.pad_mode == "reflect"
    assert changed.model.bandwidths == (1.5, 6)
    assert changed.training.loss.mel == 2.0
    assert isinstance(changed.training.lr, float)


def test_a_retrained_preset_has_a_name_of_its_own():
    """The published name stands for the published weights."""
    assert config.from_preset("encodec_24khz", "x", []).model.name == "encodec_24khz_retrained"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "EMPTY", "--out", "x"], "no readable audio files"),
        (["--out", "x"], "needs a PRESET, --data FOLDER and --out RUN"),
        (["--resume", "EMPTY"], "takes a run as it is"),
    ],
)
def test_command_lines_that_are_refused(arguments, message, tmp_path, capsys):
    arguments = [a.replace("EMPTY", str(tmp_path)).replace("x", str(tmp_path / "run")) for a in arguments]
    assert main(["train", "tiny_24khz", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_resume_of_no_run(tmp_path, capsys):
    assert main(["train", "--resume", str(tmp_path)]) == 2
    assert "is no training run (it has no run.json)" in capsys.readouterr().err
    (tmp_path / "run.json").write_text(json.dumps({"model": 1}))
    assert main(["train", "--resume", str(tmp_path)]) == 2
    assert "run.json: " in capsys.readouterr().err
