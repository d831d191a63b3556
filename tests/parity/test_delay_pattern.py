"""The delay pattern of the book's example against MusicGen's own, in `transformers`."""

import ast
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

EXAMPLE = Path(__file__).parents[2] / "chapters" / "book" / "examples" / "7_delay_pattern.py"


def example():
    """The functions of the example, without running it."""
    tree = ast.parse(EXAMPLE.read_text(encoding="utf-8"))
    tree.body = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) or ast.unparse(node).startswith("PAD =")
    ]
    names = {"np": np}
    exec(compile(tree, EXAMPLE, "exec"), names)
    return SimpleNamespace(**names)


# (MusicGen leaves sequences alone that are shorter than 2 · levels - 1.)
@pytest.mark.parametrize(("frames", "levels"), [(10, 4), (7, 8), (1, 2), (3, 1)])
def test_it_is_musicgens(frames, levels, rng):
    from transformers.models.musicgen.modeling_musicgen import MusicgenForCausalLM

    ours = example()
    codes = rng.integers(0, 1024, (frames, levels))
    model = SimpleNamespace(num_codebooks=levels, config=SimpleNamespace(audio_channels=1))
    # What generation begins with: a column that starts, then what is known, here everything.
    begun = np.concatenate([np.full((levels, 1), ours.PAD), codes.T], axis=1)
    length = frames + levels
    _, mask = MusicgenForCausalLM.build_delay_pattern_mask(model, torch.from_numpy(begun), ours.PAD, length)
    assert mask.shape == (levels, length)
    np.testing.assert_array_equal(ours.delayed(codes), mask.numpy().T)
    np.testing.assert_array_equal(ours.undelayed(ours.delayed(codes)), codes)
