"""Imports point down the layers, never up; and nothing but the allowed packages comes in."""

import ast
import sys
from pathlib import Path

import pytest

import minicodec

ROOT = Path(minicodec.__file__).parent
# From the leaves up. A module may import from its own layer and from those before it.
LAYERS = [
    {"errors", "console"},
    {"files", "lock", "audio", "fourier", "threads", "workers", "download", "wav_header", "mp3_header"},
    {"backend", "device", "ranks"},
    {"ops"},
    {"kernels"},
    {"tensor"},
    {"functional", "gradcheck"},
    {"metrics"},
    {"nn"},
    {"codec"},
    {"corpus"},
    {"training"},
    {"evaluation", "bench"},
    {"course"},
    {"cli"},
    {"__main__"},
]
ALLOWED = {"numpy", "numba", "matplotlib", "soundfile", "soxr", "safetensors", "rich", "pooch", "cupy"}
ALLOWED |= {"pystoi", "pesq", "mpi4py", "distributed", "pyarrow"}  # in extras
ALLOWED |= {"llvmlite", "cupyx"}  # what numba and cupy are made of
ALLOWED |= {"IPython"}  # in notebooks
CODEC_LAYERS = [  # the same within codec/
    {"weights", "weight_cache", "overlap"},
    {"seanet", "transform", "quantizer", "language_model"},
    {"transform"},
    {"streaming", "files"},
    {"batch"},
    {"config", "presets"},
    {"model"},
    {"foreign"},
    {"pretrained"},
    {"fetch"},
]
# Nobody else imports what only comparisons need.
PEERS = {ROOT / "bench" / "torch_peer": {"torch", "onnxruntime", "openvino", "encodec"}}


def layer(name, layers=LAYERS):
    return next(i for i, names in enumerate(layers) if name in names)


def modules():
    return sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def imports(path):
    """All modules that a file imports, by full name, wherever in the file the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "minicodec":
                yield from (f"minicodec.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    own = layer(path.relative_to(ROOT).parts[0].removesuffix(".py"))
    for name in imports(path):
        package, *rest = name.split(".")
        if package == "minicodec":
            assert not rest or rest[0].startswith("__") or layer(rest[0]) <= own, f"{path.name} imports {name}"
        else:
            allowed = ALLOWED | PEERS.get(path.parent, set()) | set(sys.stdlib_module_names)
            assert package in allowed, f"{path.name} imports {name}"


def test_layers_are_all_there():
    """A file that no layer names would escape the test above."""
    names = {p.relative_to(ROOT).parts[0].removesuffix(".py") for p in modules()}
    assert names <= set().union(*LAYERS)


def codec_part(name):
    """model of minicodec.codec.model, files of minicodec.codec.files.bitstream."""
    return name.removeprefix("minicodec.codec.").split(".")[0]


@pytest.mark.parametrize("path", sorted((ROOT / "codec").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_within_the_codec_point_down(path):
    if path == ROOT / "codec" / "__init__.py":
        return
    own = layer(codec_part(module_name(path)), CODEC_LAYERS)
    for name in imports(path):
        if name.startswith("minicodec.codec."):
            assert layer(codec_part(name), CODEC_LAYERS) <= own, f"{path.name} imports {name}"


def module_name(path):
    return ".".join(["minicodec", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")


def imports_when_loaded(body):
    """The import statements that run when the module does, and those for type checkers; not those within functions."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for block in ("body", "orelse", "finalbody", "handlers"):
                yield from imports_when_loaded(getattr(node, block, []))


def graph_of_imports(sources):
    """Module -> the modules of ours that it names, of a dict name -> text."""
    graph = {name: set() for name in sources}
    for name, text in sources.items():
        for node in imports_when_loaded(ast.parse(text).body):
            if isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names} & graph.keys()
            else:
                found = {f"{node.module}.{alias.name}" for alias in node.names}
                graph[name] |= found & graph.keys() or {node.module} & graph.keys()
    return graph


def circle(graph):
    """Modules of which each imports the next, and the last one the first; none if there is no such circle."""
    done = set()

    def visit(name, path):
        if name in path:
            return path[path.index(name) :]
        if name not in done:
            for other in sorted(graph[name]):
                if found := visit(other, [*path, name]):
                    return found
            done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def test_imports_make_no_circle():
    """Between modules, wherever they stand; imports for type checkers count."""
    assert circle(graph_of_imports({module_name(p): p.read_text(encoding="utf-8") for p in ROOT.rglob("*.py")})) == []


def test_a_circle_would_be_found():
    sources = {
        "m": "if TYPE_CHECKING:\n    from m.a import A",
        "m.a": "import numpy\nimport m.b\ndef later():\n    import m",
        "m.b": "try:\n    from m import c\nfinally:\n    pass",
        "m.c": "class C:\n    from m.d import D",
        "m.d": "",
    }
    assert circle(graph_of_imports(sources)) == []
    sources["m.d"] = "if TYPE_CHECKING:\n    from m.a import A"
    assert circle(graph_of_imports(sources)) == ["m.a", "m.b", "m.c", "m.d"]


@pytest.mark.parametrize("path", sorted((ROOT / "ops").glob("*.py")), ids=lambda p: p.name)
def test_what_an_op_means_needs_numpy_alone(path):
    """ops/ imports NumPy, `backend` and ops: no Numba, no CuPy, no kernels."""
    ours = {name for name in imports(path) if name.startswith("minicodec")}
    assert all(name == "minicodec.backend" or name.startswith("minicodec.ops") for name in ours), ours
    others = {name.split(".")[0] for name in imports(path)} - {"minicodec"}
    assert others <= {"numpy", "math"}, others


def test_kernels_have_the_names_of_what_they_make_fast():
    """Who wants to know what `lstm` means opens ops/lstm.py, and why it is fast, kernels/cpu/lstm.py."""
    import minicodec.ops.fused as fused

    meanings = {p.stem for p in (ROOT / "ops").glob("*.py")} | {n.removesuffix("_forward") for n in vars(fused)}
    machinery = {"cublas", "cuda", "lstm_loops", "__init__", "fingerprint", "streaming", "gammatone"}
    for device in ("cpu", "gpu"):
        assert {p.stem for p in (ROOT / "kernels" / device).glob("*.py")} - machinery <= meanings


def test_who_asks_for_an_op_loads_its_kernels():
    """Nothing outside kernels/ imports them when it is imported itself: `backend` does, at first use."""
    for path in modules():
        if path.is_relative_to(ROOT / "kernels"):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:  # those in functions wait until they are called
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                assert not any(name.startswith("minicodec.kernels") for name in names), path
