"""What a training or an evaluation leaves and takes up again: run.json, checkpoints, logs, rows, codes."""

import io
import json
import shutil

import numpy as np

from minicodec.evaluation import evaluate, levels
from minicodec.evaluation.settings import Clip, Condition, Settings
from minicodec.training import checkpoint, config
from minicodec.training.language_model import codes, config as lm_config
from minicodec.training.loop import Log
from tests.campaign.kinds import kind
from tests.campaign.spoil import pick, spoiled_bytes, spoiled_json, spoiled_safetensors
from tests.campaign.watch import Case

STEP = "checkpoints/step-00000002.safetensors"
SETTINGS = Settings(
    (),
    (Condition("ours", 3.0), Condition("lowpass-7kHz")),
    (Clip("a", "files", "a.wav", 0),),
    ("si_sdr",),
    1.0,
    8000,
    1,
)
CODED = {"payload_bytes": 300, "file_bytes": 350, "payload_kbps": 3.0}
FIGURES = {"si_sdr": 1.5} | dict.fromkeys(levels.names(SETTINGS.sample_rate), -1.5)
ROWS = [{"clip": "a", "category": "files", "seconds": 1.0, "system": one.system, "kbps": one.kbps, "delay_samples": 0}
        | FIGURES | (CODED if one.kbps else dict.fromkeys(CODED)) for one in SETTINGS.conditions]  # fmt: skip
LM_RUN = {
    "codec": "small.safetensors", "codec_name": "small-0", "data": "data",
    "model": {"Q": 2, "N": 16, "context": 20, "D": 8, "layers": 1, "heads": 2, "hidden": 8, "zero_past": False},
    "training": {"steps": 10, "batch": 2, "lr": 1e-3},
}  # fmt: skip


@kind("training: run.json", 12)
def run_json(case: Case) -> None:
    """The configuration of a run."""
    text = spoiled_json(case.rng, json.loads(case.samples["run/run.json"]))
    case.call(config.load, case.write("run.json", text))


@kind("training: --resume", 0.15)
def resume(case: Case) -> None:
    """A run that is at its end, so that nothing is trained: of a run.json, a checkpoint, a log that are damaged."""
    run = case.folder / "run"
    shutil.copytree(case.samples.path("run"), run)
    what, data = pick(case.rng, ("run.json", STEP, "log.jsonl")), None
    if what == "run.json":
        data = spoiled_json(case.rng, json.loads(case.samples["run/run.json"]))
    else:
        spoil = spoiled_safetensors if what == STEP else spoiled_bytes
        data = spoil(case.rng, case.samples[f"run/{what}"])
    case.write(f"run/{what}", data)
    if what == "run.json":
        found = case.call(config.load, run / "run.json")
        if found is None or found.training.steps > 2 or found.data != str(case.samples.path("data")):
            return
    case.command("train", "--resume", run, prefix="")


@kind("training: checkpoint", 1.5)
def checkpoints(case: Case) -> None:
    """Its checksum finds every change."""
    data = case.samples[f"run/{STEP}"]
    path = case.write("step-00000002.safetensors", spoiled_safetensors(case.rng, data))
    found = case.call(checkpoint.load, path)
    if found is not None and b'"sha256"' in path.read_bytes():
        same = checkpoint.checksum(_flat(found[1])) == checkpoint.checksum(_flat(case.samples.state))
        case.demand(same, "damaged, and taken for whole")


def _flat(groups: checkpoint.Groups) -> dict[str, np.ndarray]:
    return {f"{group}.{name}": array for group, named in groups.items() for name, array in named.items()}


@kind("training: log.jsonl", 8)
def log(case: Case) -> None:
    """Lines that are damaged, cut, or not ours."""
    lines = case.samples["run/log.jsonl"].splitlines()
    if case.rng.random() < 0.5:
        at = int(case.rng.integers(len(lines)))
        lines[at] = spoiled_json(case.rng, json.loads(lines[at])).encode("utf-8", "replace")
        data = b"\n".join(lines) + b"\n"
    else:
        data = spoiled_bytes(case.rng, case.samples["run/log.jsonl"])
    one = Log(case.write("log.jsonl", data), 1, np)
    if case.call(one.read) is not None:
        case.call(one.forget_after, 1)
        case.call(one.read)


@kind("training: codes (.npy)", 10)
def npy(case: Case) -> None:
    """What train-lm keeps of the audio."""
    file = io.BytesIO()
    np.save(file, case.rng.integers(16, size=(2, 30)).astype(np.int16))
    path = case.write("a.npy", spoiled_bytes(case.rng, file.getvalue(), header=128))
    found = case.call(codes._load, path, case.samples.codec, max(case.samples.codec.bandwidths))
    case.demand(found is None or (found.shape[0] == 2 and 0 <= found.min() <= found.max() < 16), "codes out of range")


@kind("training: language model's run.json", 10)
def lm_run(case: Case) -> None:
    """The configuration of a language model's training."""
    case.call(lm_config.load, case.write("run.json", spoiled_json(case.rng, LM_RUN)))


@kind("evaluation: rows.json", 8)
def rows(case: Case) -> None:
    """The figures of a clip."""
    text = (
        spoiled_json(case.rng, ROWS) if case.rng.random() < 0.7 else spoiled_bytes(case.rng, json.dumps(ROWS).encode())
    )
    case.write("clips/a/rows.json", text)
    found = case.call(evaluate.read_rows, case.folder, SETTINGS)
    if found is not None:
        from minicodec.evaluation import statistics, tables

        lines = case.call(statistics.summarise, found, SETTINGS.conditions, SETTINGS.metrics)
        tables.write_results(found, case.folder / "results.csv")
        tables.write_table(lines, case.folder / "table.csv")
