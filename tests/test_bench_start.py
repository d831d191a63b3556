"""`minicodec bench start`: the first use, and the memory of long files. No duration is asserted."""

import contextlib
from types import SimpleNamespace

import pytest

import minicodec
from minicodec.errors import InputError
from minicodec.evaluation.bench import machine, start


def test_start_up_and_memory(monkeypatch):
    """The first use takes 5 s with nothing compiled and 2 s after that; the second process of each pair finds it."""
    caches, numbers = [], {start.IDLE: 1e8, start.DONE: 3e8, start.IMPORT: 0.1}

    def number(code, *arguments, **changes):
        if "NUMBA_CACHE_DIR" not in changes:
            return numbers[code]
        caches.append(changes["NUMBA_CACHE_DIR"])
        return 5.0 if caches.count(caches[-1]) == 1 else 2.0

    monkeypatch.setattr(start, "_number", number)
    found = {r["what"]: (r["unit"], r["median"], r["met"]) for r in start.measure("mini_24khz", True, 1, print)}
    assert found == {
        "import minicodec": ("s", 0.1, True),
        "first use: compiling, encode and decode": ("s", 3.0, None),
        "later uses: from nothing to the first encode and decode": ("s", 2.0, None),
    } | {
        f"memory, {what} {length}": ("bytes", 2e8, None)
        for what in ("encode", "decode")
        for length in ("15 s", "1 minute")
    }
    assert {start.record(what, "s", [limit])["met"] for what, limit in start.LIMITS.items()} == {False}


def test_every_limit_is_that_of_something_measured(monkeypatch):
    monkeypatch.setattr(start, "_number", lambda code, *arguments, **changes: 1.0)
    monkeypatch.setattr(start.audio, "writer", lambda *_: contextlib.nullcontext(SimpleNamespace(write=lambda x: None)))
    found = [r["what"] for r in start.measure("mini_24khz", False, 3, lambda line: None)]
    assert set(start.LIMITS) < set(found)
    assert len(set(found)) == len(found)


@pytest.mark.skipif(machine.sys.platform != "linux", reason="other systems do not tell")
def test_what_processes_say_of_themselves(tmp_path):
    assert 0 < start._number(start.IMPORT) < 60
    model = tmp_path / "m.safetensors"
    minicodec.build("tiny_24khz", seed=0).save(model)
    assert 2**24 < start._number(start.IDLE, str(model)) < 2**30
    with pytest.raises(InputError, match=r"^bench: start: the process ended with 1: .*no_such_model"):
        start._number(start.IDLE, str(tmp_path / "no_such_model"))
