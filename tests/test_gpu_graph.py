"""Steps replayed as CUDA graphs: the bits of steps that are made kernel by kernel."""

import numpy as np
import pytest

from minicodec.device import host, read
from minicodec.evaluation import graphs
from minicodec.kernels.gpu import cublas
from minicodec.training import config
from minicodec.training.graph import BEFORE
from minicodec.training.trainer import Trainer
from tests import pretend_gpu
from tests.test_gpu_training import audio

RECIPE = [
    "seanet.filters=2", "seanet.latent=4", "quantizer.levels=2", "quantizer.entries=8", "bandwidths=[0.45]",
    "warmup_steps=0", "lr=3e-3", "loss.mel_windows=[64]", "cooldown=1", "steps=20",
]  # fmt: skip
ADVERSARY = ["adversary.enabled=true", "adversary.filters=2", "adversary.windows=[64]", "adversary.probability=0.5"]
REVIVAL = 8  # the step, counted from 0, in which codewords come back to life
ADVERSARIAL = 12  # steps: both kinds, with and without learning, are replayed
FEW = BEFORE + 2  # the last of them is the first that is replayed


def start(*settings):
    """A trainer whose codebooks have been initialised."""
    trainer = Trainer(config.from_preset("tiny_24khz", ".", [*RECIPE, *settings]), "gpu")
    quantizer = trainer.codec.quantizer
    quantizer.counts[...], quantizer.sums[...], quantizer.updates[...] = 1, quantizer.codebooks, 1
    return trainer


def train(trainer, last, first=0):
    """All figures of the steps, read at the end."""
    return read([trainer.update(audio(step, T=400)) for step in range(first, last)])


def state(trainer):
    return {group: {k: host(a).copy() for k, a in arrays.items()} for group, arrays in trainer.state().items()}


def bits(trainer):
    return {f"{group}.{k}": a.tobytes() for group, arrays in state(trainer).items() for k, a in arrays.items()}


def test_replayed_steps_are_the_same(gpu):
    eager, trainer = start("graphs=false", *ADVERSARY), start(*ADVERSARY)
    figures, replayed_figures = train(eager, ADVERSARIAL), train(trainer, ADVERSARIAL)
    assert trainer.graphs.notices == []
    assert trainer.graphs.replayed == ADVERSARIAL - 2 * (BEFORE + 1) - 1  # the revival
    assert [("discriminator" in some) for some in figures].count(True) in range(FEW, ADVERSARIAL - FEW)
    assert figures == replayed_figures
    assert bits(eager) == bits(trainer)


@pytest.fixture
def eager(gpu):
    """Without graphs and without an adversary: after FEW steps (figures, bits), and after some more."""
    trainer = start("graphs=false")
    few = train(trainer, FEW), bits(trainer)
    return few, (train(trainer, REVIVAL + 2, FEW), bits(trainer))


def test_it_goes_on_from_a_checkpoint(gpu, eager):
    trainer, resumed = start(), start()
    assert (train(trainer, FEW), bits(trainer)) == eager[0]
    assert trainer.graphs.replayed == 1
    resumed.restore(FEW, state(trainer))
    assert (train(resumed, REVIVAL + 2, FEW), bits(resumed)) == eager[1]
    assert resumed.graphs.replayed == REVIVAL + 1 - FEW - (BEFORE + 1)


def forget_batch(trainer, kind):
    trainer.graphs._captured[kind] = trainer.graphs._captured[kind]._replace(batch=trainer.array.zeros(kind.shape))


def forget_rates(trainer, kind):
    """Learning rate and step count, as they were when the graph was captured: they go to where it does not look."""
    table = trainer.optimizer._table(list(trainer.optimizer.steps))
    trainer.optimizer._tables.clear()
    table.factors = table.factors.copy()
    trainer.optimizer._tables[tuple(trainer.optimizer.steps)] = table


def forget_counts(trainer, kind):
    advance = trainer.advance

    def without_counting(kind):
        before = trainer.codec.quantizer.updates.copy()
        advance(kind)
        trainer.codec.quantizer.updates[...] = before

    trainer.advance = without_counting


@pytest.mark.parametrize("forget", [forget_batch, forget_rates, forget_counts])
def test_a_wrong_graph_is_not_used(gpu, forget):
    """A graph that reads what was there when it was captured: noticed in the first step, which is made again."""
    eager, trainer = start("graphs=false"), start()
    train(eager, FEW)
    train(trainer, FEW - 1)
    (kind,) = trainer.graphs._captured
    forget(trainer, kind)
    train(trainer, FEW, FEW - 1)
    (notice,) = trainer.graphs.notices
    assert notice == (
        "no CUDA graphs: a replayed step was not the same as one that was made kernel by kernel; the steps are made "
        "one by one, with the same result"
    )
    assert bits(trainer) == bits(eager)


def test_where_a_step_cannot_be_captured(monkeypatch):
    pretend_gpu.install(monkeypatch)
    eager, trainer = start("graphs=false"), start()
    monkeypatch.setattr(cublas, "library", lambda cupy: (_ for _ in ()).throw(OSError("libcublas.so.12: not found")))
    assert train(eager, FEW + 1) == train(trainer, FEW + 1)
    assert trainer.graphs.notices == [
        "no CUDA graphs: a step could not be captured (libcublas.so.12: not found); the steps are made one by one, "
        "with the same result"
    ]
    assert bits(trainer) == bits(eager)


@pytest.mark.parametrize(
    "step", [lambda trainer, x: x.get(), lambda trainer, x: trainer.array.asarray(np.ones(3, np.float32))]
)
def test_a_step_that_waits_or_copies_cannot_be_captured(monkeypatch, step):
    pretend_gpu.install(monkeypatch)
    eager, trainer = start("graphs=false"), start()
    make = trainer.make
    monkeypatch.setattr(trainer, "make", lambda x, kind: (step(trainer, x.data), make(x, kind))[1])
    assert train(eager, FEW) == train(trainer, FEW)
    (notice,) = trainer.graphs.notices
    assert "a step could not be captured (cudaErrorStreamCaptureUnsupported: " in notice
    assert bits(trainer) == bits(eager)


def test_the_comparison_of_prove(monkeypatch, capsys):
    pretend_gpu.install(monkeypatch)
    monkeypatch.setattr(graphs, "SETTINGS", RECIPE)
    assert graphs.compare("tiny_24khz", (2, 400, 1), FEW) == 0
    *_, said = capsys.readouterr().out.splitlines()
    assert said == f"replayed: 1 of {FEW} steps; the weights are the same"
    monkeypatch.setattr(cublas, "library", lambda cupy: None)
    assert graphs.compare("tiny_24khz", (2, 400, 1), FEW) == 1
    *_, notice, said = capsys.readouterr().out.splitlines()
    assert notice.startswith("no CUDA graphs: a step could not be captured")
    assert said == f"replayed: 0 of {FEW} steps; the weights are the same"
