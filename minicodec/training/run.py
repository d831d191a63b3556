"""A run: a folder that holds all of a training, and the loop that fills it.

run.json                 the model, the recipe and the data
log.jsonl             a line for every few steps, and one for each validation
curves.png            the same as a picture
checkpoints/          the newest few states, to go on from [training.checkpoint]
samples/              clips of the validation set: wav files, and pictures with the original above the decoded
model.safetensors     averaged weights, which `minicodec.load` takes from the folder; none before the
                      quantizer has learned

With several ranks, rank 0 alone writes all this, prints, and validates.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from minicodec import audio
from minicodec.codec import weights
from minicodec.codec.model import Codec
from minicodec.codec.pretrained import RUN_MODEL, load
from minicodec.console import one_line
from minicodec.device import what_fits
from minicodec.errors import InputError
from minicodec.files import UNFINISHED
from minicodec.lock import NAME as LOCK, Lock
from minicodec.nn.module import Module
from minicodec.ranks import ALONE, Ranks
from minicodec.training import checkpoint, config as configuration, curves, validation
from minicodec.training.adversarial import Adversary
from minicodec.training.augment import AugmentedFolder, Batches, Pauses
from minicodec.training.config import RunConfig
from minicodec.training.data import AudioFolder
from minicodec.training.discriminator import MultiScaleSTFTDiscriminator
from minicodec.training.loop import Log, what_is_left
from minicodec.training.own import Loss
from minicodec.training.prefetch import AHEAD, Prefetcher
from minicodec.training.progress import Progress
from minicodec.training.steps import Steps
from minicodec.training.trainer import Trainer
from minicodec.training.transform_start import CROPS
from minicodec.training.watch import Watch

SHOWN = ("l1", "mel", "commitment")  # while it goes on
SAMPLES = 2  # validation clips written as wav


class Run:
    """The training in a folder. Made by `start` or `resume`; `train` goes on to the last step."""

    def __init__(
        self,
        folder: Path,
        config: RunConfig,
        device: str,
        losses: Mapping[str, tuple[float, Loss]] | None,
        discriminator: Module | None,
        ranks: Ranks,
    ):
        self.folder, self.config, self.ranks = folder, config, ranks
        if config.training.batch % ranks.size:
            problem = f"batch = {config.training.batch} cannot be shared out among {ranks.size} ranks"
            raise InputError(f"{problem}: choose a multiple of {ranks.size}")
        self.data = data = AudioFolder(
            config.data,
            sample_rate=config.model.sample_rate,
            channels=config.model.channels,
            seconds=config.training.seconds,
            seed=config.training.seed,
        )
        ranks.agree(f"{config.data}: the files to train on", data.listing())
        augment, pauses = config.training.augment, config.training.pauses
        self.batches: Batches = AugmentedFolder(data, augment) if augment.enabled else data
        if pauses:
            self.batches = Pauses(self.batches, pauses, config.training.seed)
        self.trainer = Trainer(config, device, losses=losses, discriminator=discriminator, ranks=ranks)
        self.watch = Watch()
        clips = data.valid_clips(config.training.valid_clips, config.training.valid_seconds)
        self.clips = np.stack([clip for _, clip in clips])
        data.look()
        self._told, self._heard = len(data.notices), set(data.notices)
        self.checkpoints = folder / "checkpoints"
        self.lock = Lock(folder)
        self.log = Log(folder / "log.jsonl", config.training.log_every, self.trainer.array)

    def __repr__(self) -> str:
        return f"Run({self.folder}: {self.config.model.name}, step {self.trainer.step} of {self.config.training.steps})"

    def train(self, stop: Event | None = None) -> bool:
        """Train until the last step (True), or until the end of a step in which `stop` is set (False); save the state.

        InputError: the training diverged, or something cannot be written; and which checkpoint is the last good one.
        """
        settings, trainer, steps, ranks = self.config.training, self.trainer, Steps(self.trainer), self.ranks
        leads, first = ranks.rank == 0, trainer.step
        shape = (settings.batch // ranks.size, self.data.length, self.data.channels)
        if trainer.step >= settings.steps:
            self.lock.release()
            return True
        with (
            self.lock.held() if leads else nullcontext(),
            Progress(settings.steps, first, settings.batch * settings.seconds, shown=leads) as progress,
            Prefetcher(
                # A batch depends on its step alone, so the ranks make whole ones in turn and deal them out.
                lambda turn: self.batches.batch(first + ranks.rank + turn * ranks.size, settings.batch),
                0,
                ahead=max(1, AHEAD // ranks.size),
            ) as batches,
            what_is_left(self.folder, self.checkpoints, "train"),
        ):
            for x in ranks.deal(iter(batches), shape):
                steps.make(x)
                last, stopped = trainer.step == settings.steps, ranks.any(stop is not None and stop.is_set())
                validate = last or trainer.step % settings.validate_every == 0
                save = last or stopped or trainer.step % settings.checkpoint_every == 0
                look = trainer.array is np or validate or save or trainer.step % settings.log_every == 0
                figures = steps.read() if look else []
                notices = self._news() if look else []
                if leads:
                    progress.update({name: steps.newest[name] for name in SHOWN if name in steps.newest})
                    self._log(figures, notices, progress)
                    if validate:
                        progress.print(f"step {trainer.step}: {self._validate(progress)}")
                if save:
                    self.agree()
                if save and leads:
                    self.save()
                if last or stopped:
                    return last
        raise AssertionError("batches do not end")

    def _news(self) -> list[str]:
        """What any rank has noticed about the data since the last time, and none before."""
        told, self._told = self._told, len(self.data.notices)
        lines = self.ranks.lines([one_line(notice) for notice in self.data.notices[told : self._told]])
        news = [line for line in dict.fromkeys(lines) if line not in self._heard]
        self._heard.update(news)
        return news

    def _log(self, figures: list[tuple[int, dict[str, float]]], notices: list[str], progress: Progress) -> None:
        for step, some in figures:
            self.log.after_step(step, some, progress.seconds_per_step)
            self._give(self.watch.after_step(step, some), progress)
        for notice in notices:
            progress.print(f"notice: {notice}")

    def _give(self, notices: list[str], progress: Progress) -> None:
        for notice in notices:
            progress.print(f"step {self.trainer.step}: notice: {notice}")
            self.log.write(self.trainer.step, {"notice": notice})

    def _validate(self, progress: Progress) -> str:
        """Measure and log the averaged weights, write samples and curves; what to print about it."""
        codec = self.trainer.averaged_codec()
        started = self.trainer.step >= self.config.training.adversary.start
        adversary = self.trainer.adversary if started else None
        figures, decoded = self._measure(codec, adversary)
        self.log.write(self.trainer.step, figures)
        entries = codec.config.quantizer.entries
        self._give(self.watch.after_validation(self.trainer.step, figures, entries), progress)
        curves.draw(self.log.read(), self.folder / "curves.png")
        rate = list(figures["rates"])[-1]
        label = rate if rate == "unquantized" else f"{rate}kbps"
        samples = self.folder / "samples" / f"step-{self.trainer.step:08d}"
        samples.mkdir(parents=True, exist_ok=True)
        for i, (clip, result) in enumerate(zip(self.clips[:SAMPLES], decoded[:SAMPLES], strict=True), start=1):
            audio.write(samples / f"clip{i}_original.wav", clip.T, codec.sample_rate, overwrite=True)
            audio.write(samples / f"clip{i}_{label}.wav", result.T, codec.sample_rate, overwrite=True)
            title = f"validation clip {i}, step {self.trainer.step}, {label}"
            picture = samples / f"clip{i}_{label}.png"
            curves.comparison(clip.mean(axis=1), result.mean(axis=1), codec.sample_rate, picture, title)
        return validation.summary(figures)

    def _measure(self, codec: Codec, adversary: Adversary | None) -> tuple[dict[str, Any], np.ndarray]:
        """validation.validate. InputError: a GPU has too little memory for all clips; the state has been saved."""
        mel_loss = self.trainer.mel_loss
        try:
            return validation.validate(codec, self.clips, mel_loss, adversary)
        except MemoryError:
            if self.trainer.array is np:
                raise
        # Only here have the arrays of what failed been freed.
        self.save()
        tried = len(self.clips)
        fits = what_fits(
            self.trainer.array, lambda n: validation.validate(codec, self.clips[:n], mel_loss, adversary), tried
        )
        advice = f"valid_clips={fits} would fit" if fits else "not even one fits: make valid_seconds smaller"
        raise InputError(f"device gpu: too little memory for a validation with valid_clips={tried}; {advice}")

    def save(self) -> None:
        """Write a checkpoint, and the model once it is one."""
        trainer = self.trainer
        checkpoint.save(self.checkpoints, trainer.step, trainer.state(), self.config.training.keep)
        if trainer.codec.quantizer.ready == trainer.codec.quantizer.levels:
            trainer.averaged_codec().save(self.folder / RUN_MODEL, overwrite=True)

    def agree(self) -> None:
        """InputError: the ranks' states differ, as processors of different kinds can make them."""
        if self.ranks.size > 1:
            state = checkpoint.contents(self.trainer.step, self.trainer.state())
            self.ranks.agree(f"{self.folder}: the weights", checkpoint.checksum(state))


def start(
    folder: str | Path,
    config: RunConfig,
    origin: str | Path | None = None,
    device: str = "cpu",
    *,
    losses: Mapping[str, tuple[float, Loss]] | None = None,
    discriminator: Module | None = None,
    ranks: Ranks = ALONE,
) -> Run:
    """A new run, with its own recipe: from the newest checkpoint of the run `origin` on, or with the model `origin`.

    A model is its weights and codebooks alone: Adam starts anew, and so does the count of steps.
    losses, discriminator: of your own [training/own.py]. ranks: who trains together; each calls this [training/mpi.py].

    InputError: the folder is not empty, there is no audio to train on, the origin does not fit, or there is no GPU.
    """
    folder, origin = Path(folder), None if origin is None else Path(origin)
    _check_new(folder)
    run = Run(folder, config, device, losses, discriminator, ranks)
    if origin is not None and not checkpoint.restore_newest(origin / "checkpoints", run.trainer.branch):
        if (origin / "run.json").exists():
            raise InputError(f"{origin}: has no checkpoint to start from")
        model = load(origin)
        try:
            run.trainer.take_over(model)
        except ValueError as error:
            raise InputError(f"{origin}: does not fit the configuration: {error}") from error
    if origin is None and config.model.transform:
        run.trainer.start_from(run.data.batch(0, CROPS))
    run.agree()  # and before it, no rank has found the folder that rank 0 makes now
    if ranks.rank > 0:
        return run
    folder.mkdir(parents=True, exist_ok=True)
    with run.lock.kept():
        _check_new(folder)  # somebody may have been faster
        run.checkpoints.mkdir(exist_ok=True)
        begun = origin is not None or run.trainer.codec.quantizer.ready > 0
        if begun:  # before run.json, which would otherwise go on from nothing if the process died here
            checkpoint.save(run.checkpoints, run.trainer.step, run.trainer.state(), config.training.keep)
        config.save(folder / "run.json")
        if begun:
            run.save()
    return run


def _check_new(folder: Path) -> None:
    if (folder / "run.json").exists():
        raise InputError(f"{folder}: is a run already; go on with --resume {folder}, or choose another folder")
    if folder.exists() and (not folder.is_dir() or not all(map(_is_left, folder.iterdir()))):
        raise InputError(f"{folder}: exists and is not an empty folder")


def _is_left(path: Path) -> bool:
    """Is it what a start leaves that was killed before it was a run?"""
    empty = path.name == "checkpoints" and path.is_dir() and all(map(_is_left, path.iterdir()))
    return path.name == LOCK or UNFINISHED.fullmatch(path.name) is not None or empty


def _check_sizes(folder: Path, config: RunConfig, own: bool) -> None:
    """InputError: run.json describes larger networks than the newest checkpoint holds. Found before they are built.

    own: the discriminator in the checkpoint is one's own.
    """
    sizes, rival = checkpoint.sizes(folder / "checkpoints"), config.training.adversary
    try:
        if "model" in sizes:
            Codec(config.model, rng=weights.zeros(sizes["model"]))
        if "adversary" in sizes and rival.enabled and not own:
            MultiScaleSTFTDiscriminator(rival.windows, rival.filters, rng=weights.zeros(sizes["adversary"]))
    except ValueError as error:
        raise InputError(f"{folder / 'run.json'}: does not fit the newest checkpoint: {error}") from None


def resume(
    folder: str | Path,
    steps: int | None = None,
    device: str = "cpu",
    *,
    losses: Mapping[str, tuple[float, Loss]] | None = None,
    discriminator: Module | None = None,
    ranks: Ranks = ALONE,
) -> Run:
    """The run in a folder, as it was at its newest checkpoint; optionally to end at another step.

    losses, discriminator: the same as at the start, if they were your own.
    What was logged after that checkpoint is removed, since it will be logged again. On another device than before it
    goes on too, with other rounding. InputError: no run, or damaged, or another process trains it, or there is no GPU.
    """
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise InputError(f"{folder}: is no training run (it has no run.json)")
    config = configuration.load(folder / "run.json")
    if steps is not None:
        config = configuration.with_steps(config, steps)
    _check_sizes(folder, config, own=discriminator is not None)
    run = Run(folder, config, device, losses, discriminator, ranks)
    if ranks.rank > 0:
        checkpoint.restore_newest(run.checkpoints, run.trainer.restore)
        run.agree()
        return run
    with run.lock.kept():
        run.checkpoints.mkdir(exist_ok=True)
        checkpoint.restore_newest(run.checkpoints, run.trainer.restore)
        run.agree()
        run.log.forget_after(run.trainer.step)
        checkpoint.remove_unfinished(run.checkpoints)
        config.save(folder / "run.json")
    return run
