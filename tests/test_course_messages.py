"""What `check` and failing cells say to somebody who goes wrong in ways that readers did."""

import numpy as np
import pytest

from minicodec.course import notebook, student
from minicodec.course.catalogue import all_exercises, described
from minicodec.course.judge import judge
from minicodec.course.my_codec import quantizer, tensor
from tests.test_course import run_cell

EXERCISES = all_exercises()


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """A notebook's names, with nothing said or written before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(student, "_right", {})
    for module, table in ((student, "_told"), (notebook, "_state"), (notebook, "_used"), (notebook, "_written")):
        monkeypatch.setattr(module, table, {})
    return {"np": np, "exercise": student.exercise, "check": student.check, **vars(tensor)}


WRONG_WEIGHTS = """
@exercise
def weight_norm(v, g, axis):
    return Tensor(v.data * g.data, (v, g), lambda dw: (dw, dw))
check(weight_norm)
"""
CONVOLUTION = """
@exercise
class Conv1d:
    def __init__(self, Ci, Co, K, rng, stride=1, dilation=1):
        self.weight_v = parameter(rng.normal(size=(K, Ci, Co)))
        self.weight_g = parameter(np.ones((1, 1, Co)))
        self.bias = parameter(np.zeros(Co))
        self.stride, self.dilation = stride, dilation

    def __call__(self, x):
        def weights():
            return weight_norm(self.weight_v, self.weight_g, 2)
        return causal_conv1d(x, weights(), self.stride, self.dilation) + self.bias
check(Conv1d)
"""


def test_an_earlier_answer_that_is_wrong_is_named(cells, capsys):
    """Else the later exercise, which is right, would get the blame, and hints that lead astray."""
    cells["causal_conv1d"] = student.library("causal_conv1d")
    run_cell(WRONG_WEIGHTS, cells, 1)
    capsys.readouterr()
    for _ in range(3):
        run_cell(CONVOLUTION, cells, 2)
        said = capsys.readouterr().out
        assert "It calls weight_norm, found wrong before: mend that first." in said
        assert "Hint" not in said
        assert "It looks like" not in said
    cells["weight_norm"] = student.library("weight_norm")  # the library's: imported over the reader's
    run_cell(CONVOLUTION.replace(" + self.bias", ""), cells, 3)
    assert "It calls" not in capsys.readouterr().out
    run_cell(CONVOLUTION, cells, 4)
    assert capsys.readouterr().out.startswith("✓ Conv1d")


def test_what_is_not_written_is_not_to_blame(cells, capsys):
    cells["causal_conv1d"] = student.library("causal_conv1d")
    run_cell("@exercise\ndef weight_norm(v, g, axis):\n    raise NotImplementedError\ncheck(weight_norm)", cells, 1)
    run_cell(CONVOLUTION.replace(" + self.bias", ""), cells, 2)
    said = capsys.readouterr().out
    assert "✗ Conv1d" in said
    assert "It calls" not in said


def test_an_error_in_a_class_has_its_line(cells, capsys):
    cells["causal_conv1d"] = student.library("causal_conv1d")
    cells["weight_norm"] = student.library("weight_norm")
    run_cell(CONVOLUTION.replace("self.stride, self.dilation =", "self.steps, self.dilation ="), cells, 1)
    assert "no attribute 'stride' (line 13: return causal_conv1d(x, weights(), self.stride" in capsys.readouterr().out


def test_an_error_in_a_helper_has_its_line(cells, capsys):
    run_cell("@exercise\ndef bitrate(levels, entries, frame_rate):\n    def bits():\n        return levels / zero\n"
             "    zero = 0\n    return bits()\ncheck(bitrate)", cells, 1)  # fmt: skip
    assert "ZeroDivisionError: division by zero (line 4: return levels / zero)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda kbps: kbps * 60, "60 times what is expected"),
        (lambda kbps: kbps / 1024, "0.000976562 times what is expected"),
        (lambda kbps: kbps * 1.5, "1.5 times what is expected"),
        (lambda kbps: -kbps, "the sign is wrong"),
        (lambda kbps: f"{kbps} kbit/s", "the result: is a text, '6.0 kbit/s'; expected a number"),
    ],
)
def test_one_number(change, words):
    one = EXERCISES["bitrate"]
    assert words in judge(one, lambda *args: change(one.solution(*args))).message


def test_a_factor_that_tells_nothing_is_not_told():
    one = EXERCISES["encoder_parameters"]
    assert "times what" not in judge(one, lambda *args: one.solution(*args) + 123).message
    assert "times what" not in judge(EXERCISES["snr"], lambda s, e: 0.717 * EXERCISES["snr"].solution(s, e)).message


def test_indices_that_are_no_whole_numbers():
    def residual_encode(x, codebooks):
        codes = np.zeros((len(codebooks), len(x)))
        return codebooks[0][codes[0]]

    message = judge(EXERCISES["residual_encode"], residual_encode).message
    assert "indices are whole numbers" in message
    assert "runs out of its array" not in message


def test_a_codec_whose_parts_have_other_names_is_wrong():
    """Files, training and streaming look for them by name."""

    class Codec(quantizer.Codec):
        def __init__(self, config, rng):
            super().__init__(config, rng)
            self.enc = self.__dict__.pop("encoder")

        def encode(self, wav, Q):
            z = self.enc(tensor.Tensor(wav[None, :, None])).data[0]
            return quantizer.residual_encode(z, [level.codewords for level in self.quantizer.levels[:Q]])

    one = EXERCISES["Codec"]
    assert "is 'decoder enc'; expected 'decoder encoder'" in judge(one, one.called(Codec)).message


def test_a_call_in_words():
    words = described({"sizes": (2, 3), "options": {"stride": 2}, "x": np.zeros((1, 4)), "more": {}})
    assert words == "sizes=(2, 3), stride=2, x (1,4)"


def test_a_traceback_ends_where_the_readers_code_does():
    def answer():
        student.library("snr")(None, None)

    try:
        answer()
    except TypeError as error:
        trace = notebook._without_the_library(error.__traceback__)
    names = []
    while trace:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert names == ["test_a_traceback_ends_where_the_readers_code_does", "answer"]
