"""Compiled functions and their cache: our own code is found again or made again, and nobody else's is touched."""

import importlib
import os
import re
import subprocess
import sys
import threading
import tomllib
from functools import cache
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import event
from numba.core.registry import cpu_target

import minicodec
from minicodec.kernels.cpu.engine import compile as compile_file, machine_code
from minicodec.kernels.cpu.engine.compile import compiled

FIRST = "minicodec: compiling for this machine, which takes some seconds the first time\n"
ALWAYS = (
    "minicodec: compiling, as in every run: no folder to keep the result in can be written "
    "(NUMBA_CACHE_DIR names one)\n"
)
HELPER = """
from minicodec.kernels.cpu.engine.compile import inner
@inner
def next_of(x):
    return x + 1
"""
OUTER = """
from minicodec.kernels.cpu.engine import machine_code
from minicodec.kernels.cpu.engine.compile import compiled
from package_of_two.engine.helper import next_of
@compiled
def twice(x, y):
    y[0] = 2 * next_of(x)
@compiled
def share(x, y):
    y[0] = x / y[0]
"""
MADE, FOUND = [42, float("inf"), ["twice", "share"]], [42, float("inf"), []]


class Package:
    """Two compiled functions, one of which calls a third in another file, and what new processes would get of them."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.cache = folder, folder / "cache"
        self.source = folder / "package_of_two"
        (self.source / "engine").mkdir(parents=True)
        (self.source / "engine" / "helper.py").write_text(HELPER)
        (self.source / "outer.py").write_text(OUTER)
        monkeypatch.setattr(compile_file, "PACKAGE", self.source)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delenv("MINICODEC_QUIET", raising=False)
        self.monkeypatch = monkeypatch
        self.made, make = [], machine_code.make
        monkeypatch.setattr(machine_code, "make", lambda f, kind: self.made.append(f.__name__) or make(f, kind))
        self.home(folder / "home")

    def home(self, folder):
        for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
            self.monkeypatch.setenv(name, str(folder))

    def load(self, folder=None):
        """The module with the two functions, as another process has it."""
        self.monkeypatch.setenv("NUMBA_CACHE_DIR", str(self.cache if folder is None else folder))
        for memory in (compile_file._hash, compile_file.folder_to_write, compile_file._announce):
            memory.cache_clear()
        for name in [name for name in sys.modules if name.startswith("package_of_two")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        self.monkeypatch.setattr(sys, "dont_write_bytecode", True)
        return importlib.import_module("package_of_two.outer")

    def call(self, folder=None):
        """-> both results, and the names of what was compiled for them."""
        outer = self.load(folder)
        self.made.clear()
        return [result(outer.twice, 20), result(outer.share, 1.0), list(self.made)]

    def kept(self, folder=None):
        return sorted((folder or self.cache).rglob("*.code"))


def result(function, x):
    """What it writes to an array of a zero."""
    y = np.zeros(1)
    function(x, y)
    return y[0]


@pytest.fixture
def package(tmp_path, monkeypatch):
    return Package(tmp_path, monkeypatch)


def test_the_second_run_finds_what_the_first_has_made_and_one_line_says_so(package, capsys):
    assert package.call() == MADE
    assert capsys.readouterr() == ("", FIRST)
    assert package.call() == FOUND
    assert capsys.readouterr() == ("", "")


def test_the_line_can_be_left_out(package, capsys, monkeypatch):
    monkeypatch.setenv("MINICODEC_QUIET", "1")
    assert package.call() == MADE
    assert capsys.readouterr() == ("", "")


def test_a_changed_file_that_others_call_makes_all_of_them_out_of_date(package, capsys):
    package.call()
    (package.source / "engine" / "helper.py").write_text(HELPER.replace("x + 1", "x - 1"))
    capsys.readouterr()
    assert package.call() == [38, *MADE[1:]]
    assert capsys.readouterr().err == FIRST
    assert package.call() == [38, *FOUND[1:]]
    assert len(package.kept()) == 2


def test_a_function_outside_depends_on_its_own_folder_too(package):
    """That of codec/, say, which has a few."""
    package.monkeypatch.setattr(compile_file, "PACKAGE", package.folder / "elsewhere")
    assert package.call() == MADE
    assert package.call() == FOUND
    (package.source / "outer.py").write_text(OUTER.replace("2 * next_of", "3 * next_of"))
    assert package.call() == [63, *MADE[1:]]


def empty(file, other):
    file.write_bytes(b"")


def shorter(file, other):
    file.write_bytes(file.read_bytes()[:-100])


def one_bit(file, other):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def a_pickle_of_somebody(file, other):
    file.write_bytes(b"cos\nabort\n(tR.")


def swapped(file, other):
    """Whole, but of another function."""
    file.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [empty, shorter, one_bit, a_pickle_of_somebody, swapped])
def test_a_damaged_file_is_made_again(package, damage):
    package.call()
    share, twice = package.kept()
    damage(share, twice)
    assert package.call() == [*FOUND[:2], ["share"]]
    assert package.call() == FOUND


def test_a_file_that_cannot_be_replaced_is_reported(package, capsys):
    package.call()
    share = package.kept()[0]
    share.unlink()
    share.mkdir()
    capsys.readouterr()
    assert package.call() == [*FOUND[:2], ["share"]]
    assert re.fullmatch(
        re.escape(f"{FIRST}minicodec: {share}: compiled code cannot be kept (") + r"[\w ]+\)\n", capsys.readouterr().err
    )
    assert {path.suffix for path in share.parent.iterdir()} == {".code"}


@pytest.fixture
def nowhere(package):
    """No folder can be written but one that the test names. Root may write anywhere: files stand in place of them."""
    (package.folder / "file").write_text("")
    (package.source / "__pycache__").write_text("")
    package.home(package.folder / "file" / "home")
    return package.folder / "file" / "cache"


def test_without_a_folder_to_write_all_is_compiled_in_every_run(package, nowhere, capsys):
    for _ in range(2):
        assert package.call(nowhere) == MADE
        assert capsys.readouterr().err == ALWAYS
    assert package.call() == MADE
    assert capsys.readouterr().err == FIRST


def test_the_user_s_cache_is_the_last_resort(package, nowhere):
    package.home(package.folder / "home")
    assert package.call(nowhere) == MADE
    assert package.call(nowhere) == FOUND
    assert len(package.kept(package.folder / "home")) == 2


def test_what_an_administrator_has_compiled_beside_the_package_is_found_by_all(package):
    assert package.call("") == MADE
    assert len(package.kept(package.source / "__pycache__")) == 2
    package.monkeypatch.setattr(compile_file, "folder_to_write", cache(lambda: None))  # nor can they write there
    assert package.call() == FOUND


def test_two_threads_compile_once(package, capsys):
    outer = package.load()
    y = np.zeros(4)
    threads = [threading.Thread(target=outer.twice, args=(n, y[n : n + 1])) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (y.tolist(), package.made) == ([2, 4, 6, 8], ["twice"])
    assert capsys.readouterr().err == FIRST


def test_closures_are_refused():
    """Two functions of one name would be taken for each other."""
    n = 3
    with pytest.raises(TypeError, match="closure"):
        compiled(lambda x: x + n)


CALL = """
from package_of_two.outer import twice
y = [0]
if type(twice).__name__ != "function":
    import numpy as np
    y = np.zeros(1, np.int64)
twice(20, y)
print(y[0])"""


def process(folder, code, **changes):
    """-> stdout, stderr of a process that runs the code in a changed environment."""
    environment = {**os.environ, "MINICODEC_QUIET": "", "NUMBA_CACHE_DIR": str(folder / "cache"), **changes}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(Path(minicodec.__file__).parents[1])])
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("before", ["sys.executable = sys.stderr = None", "sys.executable = ''; sys.stderr.close()"])
def test_an_application_that_embeds_python(package, before):
    """It has no python to start, and perhaps no console."""
    code = f"import sys\n{before}\n{CALL}"
    assert process(package.folder, code) == ("42\n", "")


def test_without_a_compiler_the_functions_are_python_s(package):
    assert process(package.folder, CALL + "\nprint(type(twice).__name__)", NUMBA_DISABLE_JIT="1") == (
        "42\nfunction\n",
        "",
    )


FOREIGN = """
import numba
@numba.njit(cache=True)
def theirs(x):
    return 3 * x
"""
NEIGHBOUR = """
import numba
from foreign import theirs
space = {"numba": numba, "__builtins__": {}}
exec("@numba.njit\\ndef nameless(x): return x + 2", space)
print(theirs(14), space["nameless"](40), *theirs.stats.cache_hits.values(), space["nameless"].py_func.__module__)
"""


@pytest.mark.thorough
def test_a_neighbour_s_functions_are_cached_as_without_us(package):
    """Loaded where they were kept, made again where their file has changed; and code without a module compiles."""
    (package.folder / "foreign.py").write_text(FOREIGN)
    assert process(package.folder, NEIGHBOUR) == ("42 42 None\n", "")
    files = sorted(package.cache.rglob("*"))
    assert process(package.folder, "import package_of_two.outer\n" + NEIGHBOUR) == ("42 42 1 None\n", "")
    assert sorted(package.cache.rglob("*")) == files
    (package.folder / "foreign.py").write_text(FOREIGN.replace("3 * x", "2 * x + 14"))
    assert process(package.folder, "import package_of_two.outer\n" + NEIGHBOUR) == ("42 42 None\n", "")


NUMBA_AS_IT_WAS = """
import sys
import numba
from numba.core import event

@numba.njit
def theirs(x):
    return x + 1
theirs(1)

def state():
    found = {"listeners": {kind: list(of) for kind, of in event._registered.items() if of}}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("numba", "llvmlite"):
            for owner in [module, *(v for v in vars(module).values() if isinstance(v, type))]:
                for key, value in list(vars(owner).items()):
                    if callable(value) or key.isupper():
                        found[name, str(owner), key] = repr(value)
    return found

before = state()
assert len(before) > 5000
from package_of_two.outer import twice
import numpy as np
y = np.zeros(1)
twice(20, y)
assert y[0] == 42
after = state()
print([key for key, value in before.items() if after.get(key) != value])
"""


def test_nothing_of_numba_is_changed(package):
    """No function of any module or class of Numba's, no option, no listener."""
    assert process(package.folder, NUMBA_AS_IT_WAS) == ("[]\n", FIRST)


def test_the_private_names_of_numba_are_there():
    """A version without one of them compiles everything again in each run, or fails."""
    result = machine_code.compile_by_numba(lambda x: None, ("int64",))
    _, kind, (code, _) = result.library.serialize_using_object_code()
    assert (kind, type(code)) == ("object", bytes)
    assert result.library.get_llvm_str()
    assert result.fndesc.argtypes == (numba.types.int64,)
    assert cpu_target.target_context.codegen()._tm.emit_object
    assert isinstance(event._registered, dict)  # for a test above


def test_numba_is_a_version_that_we_allow():
    """The names above are private: a later version may change them, so pyproject.toml names the last one tried."""
    project = tomllib.loads((Path(minicodec.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    (line,) = [line for line in project["project"]["dependencies"] if re.match(r"numba\b", line)]
    low, high = re.fullmatch(r"numba>=(\d+\.\d+),<(\d+\.\d+)", line).groups()
    version = tuple(map(int, numba.__version__.split(".")[:2]))
    assert tuple(map(int, low.split("."))) <= version < tuple(map(int, high.split(".")))
