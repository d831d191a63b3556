"""A language model's training: a folder that holds all of it, and the loop that fills it.

The folder is that of the codec's own training, unless another one is named:

lm.safetensors        the weights with the best validation so far, for `encode --lm`
lm/run.json           the codec, the data, the sizes and the recipe
lm/log.jsonl          a line for every few steps, and one for each validation
lm/curves.png         the same as a picture
lm/checkpoints/       the newest few states, to go on from [training/checkpoint.py]
lm/codes/             what the codec made of the audio [codes.py]
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from minicodec.codec import pretrained, weights
from minicodec.codec.language_model import RUN_LM, LanguageModel
from minicodec.codec.model import Codec
from minicodec.errors import InputError
from minicodec.lock import Lock
from minicodec.training import checkpoint
from minicodec.training.audio_files import AudioFile
from minicodec.training.data import AudioFolder
from minicodec.training.language_model import config as configuration, curves
from minicodec.training.language_model.codes import CodeCrops, chunks, encoded
from minicodec.training.language_model.config import LanguageModelRunConfig
from minicodec.training.language_model.trainer import LanguageModelTrainer
from minicodec.training.loop import Log, what_is_left
from minicodec.training.progress import Progress
from minicodec.training.steps import Steps

Watched = Callable[[Iterable[np.ndarray], float, float], Iterable[np.ndarray]]


class LanguageModelRun:
    """The training in a folder. Made by `start` or `resume`; `prepare`, and then `train` to the last step."""

    def __init__(self, folder: Path, config: LanguageModelRunConfig, codec: Codec, device: str):
        self.folder, self.config, self.codec = folder, config, codec
        self.data = AudioFolder(config.data, sample_rate=codec.sample_rate, channels=codec.channels)
        self.trainer = LanguageModelTrainer(config, codec, device)
        codec.to(device)
        self.checkpoints = folder / "lm" / "checkpoints"
        self.lock = Lock(folder / "lm")
        self.log = Log(folder / "lm" / "log.jsonl", config.training.log_every, self.trainer.array)

    def __repr__(self) -> str:
        name, step, steps = self.codec.config.name, self.trainer.step, self.config.training.steps
        return f"LanguageModelRun({self.folder}: of {name}, step {step} of {steps})"

    def prepare(self, watched: Watched) -> None:
        """Encode the audio, or find its codes; `watched(codes, frames per second, seconds in all)` may show how far."""
        frames = max(1, round(self.config.training.seconds * self.codec.frame_rate))
        training = self._codes("training", self.data.train, watched)
        seed = self.config.training.seed
        self.crops = {kbps: CodeCrops(sequences, frames, seed=seed) for kbps, sequences in training.items()}
        self.valid = {}
        for kbps, sequences in self._codes("validation", self.data.valid, watched).items():
            held_out = chunks(sequences, frames)
            count = min(self.config.training.valid_chunks, len(held_out))
            self.valid[kbps] = held_out[np.linspace(0, len(held_out) - 1, count).astype(int)]

    def _codes(self, use: str, files: Sequence[AudioFile], watched: Watched) -> dict[float, list[np.ndarray]]:
        """For each bandwidth, the codes of the files.

        If each level takes the nearest codeword, they are the first rows of those at the highest. If it follows
        several choices, they are not.
        """
        codec, highest = self.codec, max(self.codec.bandwidths)
        found: dict[float, list[np.ndarray]] = {}
        for kbps in codec.bandwidths if codec.quantizer.beam > 1 else (highest,):
            codes = encoded(codec, kbps, files, self.folder / "lm" / "codes", self.data.notice_damage)
            found[kbps] = list(watched(codes, codec.frame_rate, sum(file.seconds for file in files)))
        if not found[highest]:
            raise InputError(f"{self.config.data}: none of the {len(files)} files for {use} can be read")
        for kbps in codec.bandwidths:
            found.setdefault(kbps, [codes[: codec.config.levels(kbps)] for codes in found[highest]])
        return found

    def train(self, stop: Event | None = None) -> bool:
        """Train until the last step (True), or until the end of a step in which `stop` is set (False); save the state.

        InputError: the training diverged, or something cannot be written; and which checkpoint is the last good one.
        """
        settings, trainer, steps = self.config.training, self.trainer, Steps(self.trainer)
        if trainer.step >= settings.steps:
            self.lock.release()
            return True
        with (
            self.lock.held(),
            Progress(settings.steps, trainer.step, settings.batch * settings.seconds) as progress,
            what_is_left(self.folder, self.checkpoints, "train-lm"),
        ):
            while True:
                steps.make(self.crops[trainer.kbps()].batch(trainer.step, settings.batch))
                last, stopped = trainer.step == settings.steps, stop is not None and stop.is_set()
                validate = last or trainer.step % settings.validate_every == 0
                save = last or stopped or trainer.step % settings.checkpoint_every == 0
                look = trainer.array is np or validate or save or trainer.step % settings.log_every == 0
                figures = steps.read() if look else []
                progress.update({"bits per code": steps.newest["loss"]} if steps.newest else {})
                for step, some in figures:
                    self.log.after_step(step, some, progress.seconds_per_step)
                if validate:
                    progress.print(f"step {trainer.step}: {self._validate()}")
                if save:
                    checkpoint.save(self.checkpoints, trainer.step, trainer.state(), settings.keep)
                if last or stopped:
                    return last

    def _validate(self) -> str:
        """Measure and log the weights, keep them if they are the best, draw curves; what to print about it."""
        trainer = self.trainer
        figures = trainer.validate(self.valid)
        self.log.write(trainer.step, {"valid": figures})
        curves.draw(self.log.read(), self.folder / "lm" / "curves.png")
        # The mean over bandwidths, all counted alike, as in training.
        loss = float(np.mean([rate["bits"] / rate["uncompressed"] for rate in figures.values()]))
        if loss < trainer.best:
            trainer.best = loss
            trainer.lm.save(self.folder / RUN_LM, overwrite=True)
        return summary(figures)


def summary(figures: dict[str, dict[str, Any]]) -> str:
    """One line for the terminal: bits per frame of the held-out files against uncompressed ones."""
    return "; ".join(
        f"{kbps} kbps: {rate['bits']:.1f} of {rate['uncompressed']} bits per frame" for kbps, rate in figures.items()
    )


def start(
    model: Path, data: Path, folder: Path | None, settings: Sequence[str], device: str = "cpu"
) -> LanguageModelRun:
    """A new training for the codec `model`, in its own folder if no other is named.

    InputError: the folder has a language model already, there is no audio to train on, or no such codec or setting.
    """
    codec = pretrained.load(model)
    if folder is None and not model.is_dir():
        raise InputError(f"{model}: is not a run's folder: say with --out where the language model shall stand")
    folder = model if folder is None else folder
    if (folder / "lm" / "run.json").exists():
        raise InputError(f"{folder}: has a language model in training; go on with --resume {folder}, or choose --out")
    if (folder / RUN_LM).exists():
        raise InputError(f"{folder / RUN_LM}: exists already and is not overwritten; choose --out")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: exists and is not a folder")
    # Absolute paths, so that the run can be resumed from any folder.
    config = configuration.for_codec(str(pretrained.find(model).resolve()), codec, str(data.resolve()), settings)
    run = LanguageModelRun(folder, config, codec, device)
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    with run.lock.kept():
        config.save(folder / "lm" / "run.json")
    return run


def resume(folder: Path, steps: int | None = None, device: str = "cpu") -> LanguageModelRun:
    """The training in a folder, as it was at its newest checkpoint; optionally to end at another step.

    Another step changes the course of the learning rate from here on. InputError: no training, damaged, or its codec
    has changed.
    """
    if not (folder / "lm" / "run.json").is_file():
        raise InputError(f"{folder}: has no training of a language model (there is no lm/run.json)")
    config = configuration.load(folder / "lm" / "run.json")
    if steps is not None:
        config = configuration.with_steps(config, steps)
    codec = pretrained.load(config.codec)
    if config.codec_name not in codec.names:
        raise InputError(f"{config.codec}: is {codec.name} now; this language model was begun for {config.codec_name}")
    _check_sizes(folder / "lm", config)
    run = LanguageModelRun(folder, config, codec, device)
    with run.lock.kept():
        run.checkpoints.mkdir(exist_ok=True)
        checkpoint.restore_newest(run.checkpoints, run.trainer.restore)
        run.log.forget_after(run.trainer.step)
        checkpoint.remove_unfinished(run.checkpoints)
        config.save(folder / "lm" / "run.json")
    return run


def _check_sizes(folder: Path, config: LanguageModelRunConfig) -> None:
    """InputError: run.json describes a larger model than the newest checkpoint holds. Found before it is built."""
    sizes = checkpoint.sizes(folder / "checkpoints")
    try:
        if "model" in sizes:
            LanguageModel(config.model, rng=weights.zeros(sizes["model"]))
    except ValueError as error:
        raise InputError(f"{folder / 'run.json'}: does not fit the newest checkpoint: {error}") from None
