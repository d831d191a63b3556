"""N ranks with a batch of B/N make the steps that one makes with B. Here the ranks are threads [thread_ranks.py].

In float64, so that rounding, which a training magnifies from step to step, leaves room for no mistake.
"""

import re
import threading

import numpy as np
import pytest

from minicodec import functional as F
from minicodec.codec.quantizer import DEAD_CHECK_EVERY
from minicodec.device import read
from minicodec.errors import InputError
from minicodec.ranks import ALONE
from minicodec.training import checkpoint, config, curves, mpi, run as runs
from minicodec.training.loop import Log
from minicodec.training.trainer import Trainer
from tests import pretend_gpu
from tests.small_run import SETTINGS as RUN_SETTINGS, make_audio
from tests.thread_ranks import together

BATCH, STEPS = 4, 20
SETTINGS = [
    f"batch={BATCH}", "seanet.filters=4", "seanet.latent=8", "quantizer.levels=2", "quantizer.entries=16",
    "bandwidths=[0.3,0.6]", "rates=[0.3,0.3,0.6]", "rate_per_item=true", "warmup_steps=2", "lr=3e-3",
    "loss.mel_windows=[128,256]", "loss.mel_drawn=1", "adversary.enabled=true", "adversary.start=9",
    "adversary.learns_before=2", "adversary.filters=2", "adversary.windows=[128,64]", "adversary.probability=0.8",
]  # fmt: skip
OWN = {"smoothness": (2.0, lambda x, y: F.l1_loss(y[:, 1:] - y[:, :-1], x[:, 1:] - x[:, :-1]))}
KILLED = 11  # at this step, entries die, to be brought back at the tenth update of their level


def crops(step, B, T=1000, C=1):
    """Chords (B,T,C), others in each step, some items much louder than others."""
    rng = np.random.default_rng(step)
    t, notes = np.arange(T) / 24_000, rng.uniform(100, 4000, (B, 4, 1))
    chords = (0.1 * np.sin(2 * np.pi * notes * t).sum(axis=1))[:, :, None] * rng.uniform(0.05, 1, (B, 1, C))
    return chords.astype(np.float64)


def in_float64(trainer):
    """The same trainer, computing in double precision."""
    networks = [trainer.codec, trainer.average, trainer.adversary.discriminator]
    for network in networks:
        for module in network.modules():
            for name, value in vars(module).items():
                if isinstance(value, np.ndarray) and value.dtype == np.float32:
                    setattr(module, name, value.astype(np.float64))
        for p in network.parameters():
            p.data = p.data.astype(np.float64)
    for optimizer in (trainer.optimizer, trainer.adversary.optimizer):
        for moments in (optimizer.m, optimizer.v):
            moments.update({name: array.astype(np.float64) for name, array in moments.items()})
    return trainer


def train(ranks, settings=(), steps=STEPS, *, double=True):
    """The figures of each step, the state after the last, the trainer, and the levels that were drawn."""
    recipe = config.from_preset("tiny_24khz", ".", [*SETTINGS, *settings])
    trainer = Trainer(recipe, losses=OWN, ranks=ranks)
    trainer = in_float64(trainer) if double else trainer
    figures, levels = [], []
    for step in range(steps):
        if step == KILLED:
            trainer.codec.quantizer.counts[0, 2:5] = 0
        levels.append(trainer.levels())
        own = ranks.own(crops(step, recipe.training.batch, C=recipe.model.channels))
        figures.append(trainer.update(own if double else own.astype(np.float32)))
    return figures, checkpoint.contents(trainer.step, trainer.state()), trainer, levels


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """They take longer than all the rest."""
    monkeypatch.setattr(curves, "draw", lambda *_: None)
    monkeypatch.setattr(curves, "comparison", lambda *_: None)


@pytest.fixture(scope="module")
def alone():
    return train(ALONE)


def same(state, wanted, rtol):
    assert state.keys() == wanted.keys()
    for name, array in wanted.items():
        size = np.abs(array).max(initial=0)
        np.testing.assert_allclose(state[name], array, rtol=rtol, atol=rtol * size, err_msg=name)


def test_ranks_make_the_steps_of_one(alone):
    """Generator, codebooks, discriminator, balancer: all that a checkpoint holds, and all that is logged."""
    wanted_figures, wanted, trainer, levels = alone
    quantizer = trainer.codec.quantizer
    assert quantizer.ready == 2
    assert quantizer.updates[0] > DEAD_CHECK_EVERY
    assert (quantizer.counts[0, 2:5] > 0.01).all()  # they did come back
    assert any(levels[n][:2] == (1, 1) != levels[n][2:] for n in range(8, STEPS))  # level 2 had no items of a rank
    results = together(2, train)
    for figures, state, _, _ in results:
        for step, (own, expected) in enumerate(zip(figures, wanted_figures, strict=True)):
            assert own.keys() == expected.keys()
            for name, value in expected.items():
                assert own[name] == pytest.approx(value, rel=1e-7, abs=1e-9), f"step {step}: {name}"
        same(state, wanted, 1e-6)
        for name, array in results[0][1].items():
            np.testing.assert_array_equal(state[name], array, name)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "settings",
    [
        ["channels=2", "normalize=true", "adversary.balanced=false", "adversary.normalized=false"],
        ["rate_per_item=false", "loss.l1_below=3000", "adversary.kind=linear", "unquantized=0.3"],
        ["quantizer.beam=3"],
    ],
    ids=["stereo", "one rate", "beam"],
)
def test_other_recipes(settings):
    _, wanted, _, _ = train(ALONE, settings)
    for _, state, _, _ in together(2, lambda ranks: train(ranks, settings)):
        same(state, wanted, 1e-6)


def test_the_same_bits_in_every_run():
    """In the precision of a training. And what is sent does not grow with the ranks: each number, at most twice."""
    first, second = (together(3, lambda ranks: train(ranks, ["batch=3"], 12, double=False)) for _ in range(2))
    for (_, state, trainer, _), (_, again, _, _) in zip(first, second, strict=True):
        for name, array in state.items():
            np.testing.assert_array_equal(again[name], array, name)
        assert trainer.ranks.size == 3


def run(ranks, folder, audio, settings=(), **options):
    """A whole run, from its start."""
    recipe = config.from_preset("tiny_24khz", str(audio), [*RUN_SETTINGS, *WITH_ALL, *settings])
    return runs.start(folder, recipe, ranks=ranks, **options).train()


WITH_ALL = ["steps=14", "batch=4", "adversary.enabled=true", "adversary.start=10", "adversary.filters=2"]
WITH_ALL += ["adversary.windows=[256]", "augment.enabled=true"]


@pytest.mark.thorough
def test_a_run_of_two_fills_its_folder_as_a_run_of_one(tmp_path, capfd):
    """With mixes drawn by both in turn. The log has every step once, since rank 0 alone writes."""
    audio = make_audio(tmp_path / "audio")
    assert run(ALONE, tmp_path / "one", audio)
    capfd.readouterr()
    assert together(2, lambda ranks: run(ranks, tmp_path / "two", audio)) == [True, True]
    assert capfd.readouterr().err.count("step 14: unquantized: SI-SDR") == 1
    one, two = (sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*")) for n in ("one", "two"))
    assert one == two
    logs = [Log(tmp_path / name / "log.jsonl", 1, np).read() for name in ("one", "two")]
    assert [line["step"] for line in logs[0]] == [line["step"] for line in logs[1]]
    for a, b in zip(*logs, strict=True):
        assert a.keys() == b.keys()
        # Of other crops they would differ by a half and more. Then a young discriminator makes much of rounding.
        for name in ("loss", "l1", "mel") if a["step"] <= 10 else ():
            assert b[name] == pytest.approx(a[name], rel=1e-2), (a["step"], name)


@pytest.mark.thorough
def test_a_run_goes_on_with_another_number_of_ranks(tmp_path):
    """Two of them, stopped by one while vectors wait for k-means; then three; then one, to the same end."""
    audio = make_audio(tmp_path / "audio")
    settings = ["batch=6", "checkpoint_every=1", "keep=20", "quantizer.entries=64", "bandwidths=[0.45,0.9]", "lr=1e-4"]

    class Stop:
        def __init__(self, steps):
            self.left = steps

        def is_set(self):
            self.left -= 1
            return self.left <= 0

    def start(ranks):
        recipe = config.from_preset("tiny_24khz", str(audio), [*RUN_SETTINGS, *WITH_ALL, *settings])
        return runs.start(tmp_path / "run", recipe, ranks=ranks).train(Stop([100, 7][ranks.rank]))

    assert together(2, start) == [False, False]
    step, state = checkpoint.load(checkpoint.in_folder(tmp_path / "run/checkpoints")[-1])
    assert step == 7
    assert len(state["model"]["quantizer.waiting"]) == 6 * 19
    assert together(3, lambda ranks: runs.resume(tmp_path / "run", ranks=ranks).train(Stop(4))) == [False] * 3
    assert runs.resume(tmp_path / "run").train()
    run(ALONE, tmp_path / "whole", audio, settings)
    last = "checkpoints/step-00000014.safetensors"
    (_, wanted), (_, found) = (checkpoint.load(tmp_path / name / last) for name in ("whole", "run"))
    for group in ("model", "average", "balancer"):  # Adam's moments differ more, as rounding does
        for key, array in wanted[group].items():
            error = np.abs(found[group][key] - array).max(initial=0)
            assert error <= 0.02 * np.abs(array).max(initial=0), (group, key)


def test_what_one_rank_notices_is_said_once(tmp_path, capfd):
    """A damaged file: both come upon it; only rank 0 speaks."""
    audio = make_audio(tmp_path / "audio")
    read = runs.AudioFolder._crop

    def damaged(self, file, start, length):
        if file.name == "chord1.wav" and threading.current_thread().name == "prefetch":
            raise InputError(f"{file.path}: is damaged")
        return read(self, file, start, length)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs.AudioFolder, "_crop", damaged)
        together(2, lambda ranks: run(ranks, tmp_path / "run", audio, ["augment.enabled=false"]))
    assert capfd.readouterr().err.count("notice: left out where it cannot be read") == 1


def test_what_cannot_be_shared_is_refused(tmp_path):
    audio = make_audio(tmp_path / "audio")
    with pytest.raises(InputError, match=r"^batch = 4 cannot be shared out among 3 ranks: choose a multiple of 3$"):
        together(3, lambda ranks: run(ranks, tmp_path / "run", audio))
    others = make_audio(tmp_path / "others")
    (others / "chord2.wav").unlink()
    expected = "the files to train on are not the same for rank 1 as for rank 0"
    with pytest.raises(InputError, match=expected):
        together(2, lambda ranks: run(ranks, tmp_path / "run", [audio, others][ranks.rank]))
    assert not (tmp_path / "run").exists()


def test_ranks_that_have_drifted_apart_are_found(tmp_path):
    """Before a checkpoint is written."""
    audio = make_audio(tmp_path / "audio")

    def work(ranks):
        recipe = config.from_preset("tiny_24khz", str(audio), [*RUN_SETTINGS, *WITH_ALL])
        training = runs.start(tmp_path / "run", recipe, ranks=ranks)
        training.trainer.codec.parameters()[0].data[...] += np.float32(1e-3 * ranks.rank)
        training.train()

    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'run'}: the weights are not the same for rank 1")):
        together(2, work)
    assert checkpoint.in_folder(tmp_path / "run/checkpoints") == []


@pytest.mark.thorough
def test_ranks_with_a_gpu_each(gpu):
    """A step with everything in it, from the same state: what the device has is summed on the host."""
    recipe = config.from_preset("tiny_24khz", ".", SETTINGS)
    trainer = Trainer(recipe)
    for step in range(13):
        trainer.update(crops(step, BATCH).astype(np.float32))
    trainer.codec.quantizer.updates[0] = DEAD_CHECK_EVERY - 1
    trainer.codec.quantizer.counts[0, 2:5] = 0
    state = {group: {k: np.array(v) for k, v in arrays.items()} for group, arrays in trainer.state().items()}

    def work(ranks):
        there = Trainer(recipe, "gpu", ranks=ranks)
        there.restore(13, state)
        figures = there.update(ranks.own(crops(13, BATCH)).astype(np.float32))
        return read([figures])[0], checkpoint.contents(there.step, there.state())

    figures = trainer.update(crops(13, BATCH).astype(np.float32))
    assert "adversarial" in figures
    for found, state_there in together(2, work):
        assert found == pytest.approx(figures, rel=1e-3)
        same(state_there, checkpoint.contents(trainer.step, trainer.state()), 1e-3)


def test_gpus_are_dealt_out_in_turn(monkeypatch):
    pretend_gpu.install(monkeypatch)
    pretend_gpu.used.clear()
    for number in range(5):
        mpi.use_gpu(number)
    assert pretend_gpu.used == [0, 1, 2, 0, 1]


def test_rows_and_lines_of_all(rng):
    x = rng.normal(size=(7, 3))
    cuts = [0, 4, 4, 7]  # rank 1 has none

    def work(ranks):
        own = x[cuts[ranks.rank] : cuts[ranks.rank + 1]]
        lines = ranks.lines(["α", "β"] if ranks.rank == 2 else [])
        return ranks.gather(own), ranks.rows(own, np.array([6, 0, 3, 4, 0])), lines, ranks.any(ranks.rank == 1)

    for gathered, rows, lines, any_ in together(3, work):
        np.testing.assert_array_equal(gathered, x)
        np.testing.assert_array_equal(rows, x[[6, 0, 3, 4, 0]])
        assert (lines, any_) == (["α", "β"], True)
