"""A training step on a GPU, kernel by kernel and replayed as a CUDA graph: how long it takes, whether it is the same.

python -m minicodec.evaluation.graphs              mini_24khz with its adversary, batches of 16 x 1 s of noise
python -m minicodec.evaluation.graphs --quick      of the smallest model, and fewer

Prints a table. The exit status is 1 where no graph was used, or where the weights differ in any bit. The time of a step
holds the way of its batch to the device [training/feed.py], which is also timed beside CuPy's own copy.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from minicodec.device import host, module
from minicodec.training import config
from minicodec.training.feed import Feed
from minicodec.training.trainer import Trainer

SETTINGS = ["warmup_steps=0", "adversary.enabled=true", "adversary.start=0", "steps=1000", "log_every=1000"]
STEPS, QUICK = 80, 16
TIMED = 0.4  # share of the steps, the last


def start(preset: str, graphs: bool) -> Trainer:
    """A trainer whose codebooks are ready: in steps that start one, there is nothing to replay."""
    trainer = Trainer(config.from_preset(preset, ".", [*SETTINGS, f"graphs={str(graphs).lower()}"]), "gpu")
    quantizer = trainer.codec.quantizer
    quantizer.counts[...], quantizer.sums[...], quantizer.updates[...] = 1, quantizer.codebooks, 1
    return trainer


def timed(cupy: Any, work: Callable[[np.ndarray], Any], batches: list[np.ndarray], steps: int) -> float:
    """Milliseconds of a call with one of the batches after the other, a mean over the last of so many."""
    first = steps - max(1, round(TIMED * steps))
    for step in range(steps):
        if step == first:
            cupy.cuda.Device().synchronize()
            begun = time.perf_counter()
        work(batches[step % len(batches)])
    cupy.cuda.Device().synchronize()
    return 1000 * (time.perf_counter() - begun) / (steps - first)


def compare(preset: str, batch: tuple[int, ...], steps: int) -> int:
    """Print all; 0 if graphs were used and gave the same bits."""
    cupy = module("gpu")
    batches = [np.random.default_rng(i).normal(0, 0.1, batch).astype(np.float32) for i in range(4)]
    print(f"{preset}, batch {batch}")
    for name, send in (("CuPy's copy", cupy.asarray), ("pinned copy", Feed(cupy))):
        print(f"{name}: {timed(cupy, send, batches, steps):.3f} ms a batch")
    weights: list[list[np.ndarray]] = []
    for graphs in (False, True):
        trainer = start(preset, graphs)
        took = timed(cupy, trainer.update, batches, steps)
        weights.append([host(p.data) for p in trainer.codec.parameters()])
        print(f"{'graphs' if graphs else 'kernel by kernel'}: {took:.2f} ms a step")
    assert trainer.graphs is not None
    for notice in trainer.notices():
        print(notice)
    replayed = trainer.graphs.replayed
    same = all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    print(f"replayed: {replayed} of {steps} steps; the weights are {'the same' if same else 'NOT THE SAME'}")
    return 0 if same and replayed else 1


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m minicodec.evaluation.graphs", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args(arguments).quick
    return compare(*(("tiny_24khz", (2, 2400, 1), QUICK) if quick else ("mini_24khz", (16, 24_000, 1), STEPS)))


if __name__ == "__main__":
    sys.exit(main())
