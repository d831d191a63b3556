"""Checkpoints that time has damaged are noticed, and the one beside them is offered."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minicodec.errors import InputError
from minicodec.training import checkpoint, config
from minicodec.training.loop import Log
from minicodec.training.trainer import Trainer
from tests.small_run import SETTINGS

MODEL = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "empty": np.zeros((0, 3))}
GROUPS = {"model": MODEL, "count": {"n": np.array(3)}}


def test_any_flipped_bit_is_noticed(tmp_path):
    """Every byte of the file: names, shapes, numbers, the checksum itself."""
    path = checkpoint.save(tmp_path, 7, GROUPS, keep=1)
    content = path.read_bytes()
    step, groups = checkpoint.load(path)
    assert step == 7
    assert {f"{g}.{n}" for g, named in groups.items() for n in named} == {"model.w", "model.empty", "count.n"}
    for i in range(len(content)):
        for bit in (0, 4):
            path.write_bytes(content[:i] + bytes([content[i] ^ 1 << bit]) + content[i + 1 :])
            with pytest.raises(InputError, match=f"{path.name}: (is damaged|cannot be read as a checkpoint)"):
                checkpoint.load(path)


def test_checkpoints_of_older_versions_are_believed(tmp_path):
    path = tmp_path / "step-00000007.safetensors"
    save_file({"step": np.array(7), "model.w": GROUPS["model"]["w"]}, path)
    assert checkpoint.load(path)[0] == 7


@pytest.mark.parametrize("step", [np.array([7]), np.array(7.0), np.array(-7), np.zeros((0,), np.int64), None])
def test_a_step_that_is_none(step, tmp_path):
    path = tmp_path / "step-00000007.safetensors"
    save_file({"model.w": np.ones(3)} | ({} if step is None else {"step": step}), path)
    with pytest.raises(InputError, match=r"is no checkpoint \(it does not say of which step\)"):
        checkpoint.load(path)


def test_the_whole_one_beside_a_damaged_one_is_offered(tmp_path):
    older, newest = (checkpoint.save(tmp_path, step, GROUPS, keep=3) for step in (4, 8))
    taken = []
    newest.write_bytes(newest.read_bytes()[:-5])
    with pytest.raises(InputError) as caught:
        checkpoint.restore_newest(tmp_path, lambda step, groups: taken.append(step))
    assert str(caught.value).startswith(f"{newest}: cannot be read as a checkpoint (")
    assert str(caught.value).endswith(f"; {older} is whole: delete the damaged one to go on from there")
    older.write_bytes(b"")
    with pytest.raises(InputError, match=r"; there is no other$"):
        checkpoint.restore_newest(tmp_path, lambda step, groups: taken.append(step))
    newest.unlink()
    older.unlink()
    assert not checkpoint.restore_newest(tmp_path, lambda step, groups: taken.append(step))
    assert not checkpoint.restore_newest(tmp_path / "missing", lambda step, groups: taken.append(step))
    assert taken == []


def test_arrays_of_other_shapes_do_not_fit(tmp_path):
    """An array of each kind in a checkpoint, with one axis more, with one fewer, as text would be, and missing."""
    settings = [*SETTINGS, "adversary.enabled=true", "adversary.filters=2", "adversary.windows=[64]"]
    trainer = Trainer(config.from_preset("tiny_24khz", "nowhere", [*settings, "seanet.filters=2", "seanet.latent=4"]))
    path = checkpoint.save(tmp_path, 0, trainer.state(), keep=1)
    arrays, refused = load_file(path), 0
    names = {name for name in arrays if not name.startswith(("average", "optimizer.m", "optimizer.v", "adversary"))}
    names |= {max(n for n in arrays if n.startswith(p)) for p in ("average", "optimizer.m", "adversary", "optimizer.v")}
    kinds = {re.sub(r"\d+", "#", name): name for name in sorted(names - {"step"})}  # layers are alike
    for name in kinds.values():
        for spoil in (lambda a: np.stack([a, a]), lambda a: a[..., None], lambda a: None):
            changed = spoil(arrays[name])
            rest = {key: array for key, array in arrays.items() if key != name}
            save_file(rest if changed is None else rest | {name: np.ascontiguousarray(changed)}, path)
            with pytest.raises(InputError, match=f"{path.name}: does not fit the configuration"):
                checkpoint.restore_newest(tmp_path, trainer.restore)
            refused += 1
    assert refused == 3 * len(kinds) > 100


LINES = b'{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.5}\n'


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (LINES, [1, 2]),
        (b"", []),
        (LINES + b'{"step": 3, "lo', [1, 2]),  # cut by a crash
        (LINES + b"\x00\x00\x00", [1, 2]),
    ],
)
def test_a_log_and_one_that_a_crash_has_cut(content, found, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    log = Log(path, 1, np)
    assert [line["step"] for line in log.read()] == found
    log.forget_after(1)
    assert path.read_bytes() == LINES[: 25 if found else 0]


NO_ENTRIES = [b'{"step": 2, "lo', b"\xff\xfe", b"[]", b'{"loss": 1}', b'{"step": "2"}', b"", b"[" * 9999]


@pytest.mark.parametrize("line", NO_ENTRIES)
def test_a_damaged_log_loses_nothing(line, tmp_path):
    path = tmp_path / "log.jsonl"
    content = b'{"step": 1}\n' + line + b'\n{"step": 3}\n'
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Log(path, 1, np).forget_after(3)
    assert str(caught.value).startswith(f"{path}: line 2 is damaged (")
    assert "delete the line, or the file, to go on" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_what_is_no_finite_number_is_null(tmp_path):
    log = Log(tmp_path / "log.jsonl", 1, np)
    log.write(3, {"a": float("nan"), "rates": {"6": {"si_sdr": -float("inf"), "list": [1.0, float("inf")]}}})
    entry = {"step": 3, "a": None, "rates": {"6": {"si_sdr": None, "list": [1.0, None]}}}
    assert json.loads((tmp_path / "log.jsonl").read_text()) == entry
    assert log.read() == [entry]
