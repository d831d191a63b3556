"""minicodec with NumPy alone: nothing that compiles, draws or reads sound files can be imported."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minicodec
from minicodec import backend
from minicodec.codec.files.bitstream import Chunk
from minicodec.codec.files.entropy.coded_file import CodedWriter, predictor_for
from minicodec.training import config
from minicodec.training.trainer import Trainer
from tests.entropy_models import exact_lm, frames, small_codec

ALONE = """
import sys
from importlib.machinery import PathFinder

HIDDEN = {"numba", "llvmlite", "soundfile", "soxr", "matplotlib", "rich", "cupy", "scipy"}

class Hide(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in HIDDEN else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hide
"""
WORK = ALONE + """
import numpy as np
import minicodec
from minicodec import backend
from minicodec.codec.files.bitstream import Chunk
from minicodec.codec.files.entropy.coded_file import CodedWriter, predictor_for
from minicodec.training import config
from minicodec.training.trainer import Trainer
from tests.entropy_models import exact_lm, frames, small_codec

assert backend.active() == "numpy"
codec = minicodec.build("tiny_24khz", seed=3)
wav = np.load(sys.argv[1])
(chunk,) = codec.encode(wav)
encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
cuts = [(0, 1000), (1000, 1001), (1001, 5000), (5000, wav.shape[1])]
streamed = np.concatenate([*(encoder.push(wav[:, a:b]) for a, b in cuts), encoder.flush()], axis=1)
np.testing.assert_array_equal(streamed, chunk.codes)
decoded = np.concatenate([*(decoder.push(chunk.codes[:, t:t + 5]) for t in range(0, 30, 5)), decoder.flush()], axis=1)
for lm in (None, "adaptive"):
    found, rate = minicodec.decompress(codec.compress(wav, lm=lm), codec)
    np.testing.assert_allclose(found, decoded[:, :wav.shape[1]], atol=1e-6)

small = small_codec()
sound = np.random.default_rng(0).normal(size=(1, 3000)).astype(np.float32)
lm = exact_lm(codec=small.name)
packet = small.compress(sound, 0.048, lm=lm)
np.testing.assert_array_equal(small.decompress(packet, lm=lm), small.decode(small.encode(sound, 0.048), 3000))
codes = frames(50)[0].astype(np.int16)
writer = CodedWriter(predictor_for(exact_lm(), small.names, small.config.layout, 3), small.config.layout)
payload = b"".join(writer.pack([Chunk(codes)]))
codec.save(sys.argv[2] + "/m.safetensors")
assert minicodec.load(sys.argv[2] + "/m.safetensors").name == codec.name
assert not HIDDEN & {name.split(".")[0] for name in sys.modules}
np.savez(sys.argv[2] + "/found.npz", codes=chunk.codes, decoded=decoded, payload=np.frombuffer(payload, np.uint8))
"""

LEARN = ALONE + """
import numpy as np
from minicodec import backend
from minicodec.course.cases import all_cases
from minicodec.course.catalogue import all_exercises
from minicodec.course.judge import judge
from minicodec.gradcheck import check
from minicodec.training import config
from minicodec.training.trainer import Trainer

trainer = Trainer(config.from_preset("tiny_24khz", "", ["batch=2", "seconds=0.2"]))
figures = trainer.update(np.random.default_rng(0).normal(size=(2, 4800, 1)).astype(np.float32) / 10)
print(figures["loss"], figures["gradient"])
for name, op in backend.OPS.items():  # all that training and streams have loaded
    case = all_cases()[name][0]
    if name != "nearest_codeword":  # codes have no gradient
        check(op.pairs["numpy"], case.arrays(), case.attrs, np.random.default_rng(1))
for one in all_exercises().values():
    if 2 <= one.chapter <= 5:
        verdict = judge(one, one.solution)
        assert verdict.status == "right", (one.name, verdict)
assert not HIDDEN & {name.split(".")[0] for name in sys.modules}
"""


def test_it_learns_and_teaches():
    """Gradients are right, a training step is the one of the numba backend, chapters 2 to 5 can be solved."""
    root = Path(minicodec.__file__).parents[1]
    command, environment = [sys.executable, "-c", LEARN], {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    trainer = Trainer(config.from_preset("tiny_24khz", "", ["batch=2", "seconds=0.2"]))
    figures = trainer.update(np.random.default_rng(0).normal(size=(2, 4800, 1)).astype(np.float32) / 10)
    found = [float(number) for number in process.stdout.split()]
    np.testing.assert_allclose(found, [figures["loss"], figures["gradient"]], rtol=1e-4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A sound, and what that process made of it."""
    folder = tmp_path_factory.mktemp("alone")
    t = np.arange(9600)
    wav = (0.3 * np.sin(t * 0.05) + 0.1 * np.random.default_rng(0).normal(size=9600)).astype(np.float32)[None]
    np.save(folder / "wav.npy", wav)
    root = Path(minicodec.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "MINICODEC_QUIET": "1"}
    command = [sys.executable, "-c", WORK, str(folder / "wav.npy"), str(folder)]
    process = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return wav, folder


def test_it_gives_what_the_numba_backend_gives(alone):
    """The same bytes where they must be, and codes and sound as near as floats are."""
    wav, folder = alone
    found = np.load(folder / "found.npz")
    codec = minicodec.build("tiny_24khz", seed=3)
    assert backend.active() == "numba"
    (chunk,) = codec.encode(wav)
    assert (chunk.codes == found["codes"]).mean() > 0.99
    ours = codec.decode([Chunk(found["codes"])])
    np.testing.assert_allclose(found["decoded"], ours, atol=1e-5)
    assert np.abs(ours).max() > 1e-3
    small = small_codec()
    writer = CodedWriter(predictor_for(exact_lm(), small.names, small.config.layout, 3), small.config.layout)
    payload = b"".join(writer.pack([Chunk(frames(50)[0].astype(np.int16))]))
    assert found["payload"].tobytes() == payload
    assert minicodec.load(folder / "m.safetensors").name == codec.name
