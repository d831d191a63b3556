"""Exercises: the library's answer is right, a stub is not written, the judge finds words for what is wrong."""

import linecache

import numpy as np
import pytest

from minicodec import functional as F
from minicodec.backend import OPS, use
from minicodec.course import notebook, student
from minicodec.course.catalogue import all_exercises, undecorated
from minicodec.course.judge import judge
from minicodec.ops import conv1d
from minicodec.tensor import Tensor, grad

EXERCISES = all_exercises()


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder of the student's own, and the table of ops as it was, afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(student, "_right", {})
    yield tmp_path
    for op in OPS.values():
        op.pairs.pop("student", None)


@pytest.mark.parametrize("fresh", [False, True], ids=["as in the chapter", "fresh sizes"])
@pytest.mark.parametrize("one", EXERCISES.values(), ids=list(EXERCISES))
def test_the_solution_is_right(one, fresh):
    verdict = judge(one, one.solution, seed=7 * fresh, fresh=fresh)
    assert verdict.status == "right", verdict.message
    assert verdict.trials >= 2, "one case proves little"


@pytest.mark.parametrize("one", EXERCISES.values(), ids=list(EXERCISES))
def test_a_stub_is_not_written_and_the_library_stands_in(one, workplace):
    names = {"exercise": student.exercise, "np": np}
    exec(one.stub(), names)
    assert judge(one, one.called(undecorated(names[one.name]))).status == "unwritten"
    assert judge(one, one.called(names[one.name])).status == "right"  # by the library's answers


# What the judge says, of wrong answers that no exercise lists.


def wrong(change):
    """conv1d's backward, with its results changed."""
    return lambda dy, saved, **attrs: change(*conv1d.conv1d_backward(dy, saved, **attrs))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda dx, dw: (-dx, dw), "the sign is wrong"),
        (lambda dx, dw: (dx, dw / 4), "4 times too small"),
        (lambda dx, dw: (dx, dw[::-1]), "axis 0 runs the wrong way round"),
        (lambda dx, dw: (np.concatenate([dx[:, :1], dx[:, :-1]], axis=1), dw), "off by one along axis 1"),
        (lambda dx, dw: (dx + 0.5, dw), "too large by 0.5"),
        (lambda dx, dw: (dx * 0, dw), "all is zero"),
        (lambda dx, dw: (dx / 0, dw), "not finite"),
        (lambda dx, dw: (dx.swapaxes(0, 1), dw), "axes are in another order"),
        (lambda dx, dw: (dw, dx), "has shape"),
        (lambda dx, dw: dx, "returned 1 result; 2 results (dx, dw)"),
        (lambda dx, dw: (dx, None), "dw: is None"),
        (lambda dx, dw: (dx, dw.astype(int)), "holds int64; expected float64"),
        (lambda dx, dw: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_the_judge_names_what_is_wrong(change, words):
    verdict = judge(EXERCISES["conv1d_backward"], wrong(change))
    assert verdict.status == "wrong"
    assert words in verdict.message


def test_one_wrong_entry_is_reported_with_its_place():
    def spoil(dx, dw):
        dw[0, 0, 0] += 1
        return dx, dw

    message = judge(EXERCISES["conv1d_backward"], wrong(spoil)).message
    assert "dw: entry [0, 0, 0] is" in message
    assert "1 of 3 entries are wrong" in message


def test_modified_inputs_are_told():
    def greedy(dy, saved, **attrs):
        result = conv1d.conv1d_backward(dy, saved, **attrs)
        dy *= 2
        return result

    assert "modified its inputs" in judge(EXERCISES["conv1d_backward"], greedy).message


def test_what_failing_cases_have_in_common():
    def no_dilation(x, w, *, stride=1, dilation=1):
        return conv1d.conv1d_forward(x, w, stride=stride)

    assert "it fails wherever dilation is given (3, 4)" in judge(EXERCISES["conv1d_forward"], no_dilation).message


# The notebook's side.


def test_right_functions_run_the_library(workplace, capsys):
    calls = []

    def conv1d_forward(x, w, *, stride=1, dilation=1):
        calls.append(x.shape)
        return conv1d.conv1d_forward(x, w, stride=stride, dilation=dilation)[0]

    student.check(student.exercise(conv1d_forward))
    assert "✓ conv1d_forward" in capsys.readouterr().out
    calls.clear()
    with use("student"):
        y = F.conv1d(np.ones((1, 9, 2), np.float32), np.ones((3, 2, 4), np.float32), stride=2)
    assert calls == [(1, 9, 2)]
    np.testing.assert_array_equal(y.data, np.full((1, 4, 4), 6, np.float32))


def test_a_backward_may_return_its_only_gradient_as_it_is(workplace, rng):
    def stft_magnitude_backward(dy, saved, *, n_fft, hop, normalized=False):
        return OPS["stft_magnitude"].pairs["numpy"][1](dy, saved, n_fft=n_fft, hop=hop, normalized=normalized)[0]

    student.check(student.exercise(stft_magnitude_backward))
    x = Tensor(rng.normal(size=(1, 64)), requires_grad=True)
    gradients = []
    for backend in ("numpy", "student"):
        with use(backend):
            gradients += grad((F.stft_magnitude(x, 16, 4) ** 2).sum(), [x])
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-12)


def test_wrong_functions_do_not(workplace, capsys):
    def conv1d_forward(x, w, *, stride=1, dilation=1):
        return x @ w[0]

    student.check(student.exercise(conv1d_forward))
    assert "✗ conv1d_forward" in capsys.readouterr().out
    assert "student" not in OPS["conv1d"].pairs


def test_answers_are_kept_for_the_next_chapter_and_judged_again(workplace, capsys):
    answer = "@exercise\ndef toeplitz(w, T):\n    return library('toeplitz')(w, T)\n"
    (workplace / "my_codec").mkdir()
    head = "from minicodec.course import exercise, library\n"
    (workplace / "my_codec/toeplitz.py").write_text(head + answer)
    wrong_answer = "@exercise\ndef conv1d_forward(x, w, **attrs):\n    return x\n"
    (workplace / "my_codec/conv1d_forward.py").write_text(head + wrong_answer)
    assert student.yours() == ["toeplitz"]
    assert "conv1d_forward: wrong" in capsys.readouterr().out


def test_a_kept_answer_may_call_the_answer_to_another_exercise(workplace):
    """As in the notebook, where a forward gives y alone."""
    (workplace / "my_codec").mkdir()
    (workplace / "my_codec/kmeans_step.py").write_text(
        "import numpy as np\nfrom minicodec.course import exercise\n\n@exercise\ndef kmeans_step(x, means):\n"
        "    counts = np.bincount(nearest_codeword_forward(x, means), minlength=len(means))\n"
        "    sums = [x[nearest_codeword_forward(x, means) == n].sum(axis=0) for n in range(len(means))]\n"
        "    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], means), counts\n"
    )
    assert student.yours() == ["kmeans_step"]


def test_unknown_exercises_are_refused():
    with pytest.raises(ValueError, match="no exercise called nonsense"):
        student.exercise(type("f", (), {"__name__": "nonsense"})())
    with pytest.raises(ValueError, match="a lambda has no name"):
        student.check(lambda x: x)


def run_cell(text, names, number):
    """As a notebook does: with the text where inspect finds it."""
    title = f"<cell {number}>"
    linecache.cache[title] = (len(text), None, text.splitlines(keepends=True), title)
    exec(compile(text, title, "exec"), names)


COMPRESSED = """
@exercise
def mu_law(x, bits, mu):
    c = quantize(compressed(x, mu), bits) / TWO ** (bits - 1) * ones[0]
    return np.sign(c) * (power(1 + mu, np.abs(c)) - 1) / mu
check(mu_law)
"""
HELPERS = """
from numpy import power
import math as m
TWO = np.int64(2)
ones = np.ones(3)
def compressed(x, mu):
    return np.sign(x) * np.log1p(mu * np.abs(x)) / logarithm(1 + mu)
def logarithm(x):
    return m.log(x)
"""


def test_helpers_and_constants_are_kept_with_an_answer(workplace, capsys, monkeypatch):
    """What stands outside of it in the notebook is not there in the next chapter."""
    names = {"np": np, "exercise": student.exercise, "check": student.check, "quantize": EXERCISES["quantize"].solution,
             "__name__": "__main__"}  # fmt: skip
    run_cell(HELPERS, names, 1)
    names["logarithm"].__module__ = names["compressed"].__module__ = "__main__"
    run_cell(COMPRESSED, names, 2)
    out = capsys.readouterr().out
    assert out == "✓ mu_law: right in all 4 cases\n"
    monkeypatch.setattr(student, "_right", {})
    assert student.yours() == ["mu_law"], capsys.readouterr().out


def test_what_cannot_be_kept_is_told_at_once(workplace, capsys):
    names = {"np": np, "exercise": student.exercise, "check": student.check, "rng": np.random.default_rng(0)}
    run_cell("@exercise\ndef snr(s, e):\n    rng.normal()\n"
             "    return 10 * np.log10((s**2).sum() / ((e - s)**2).sum())\ncheck(snr)", names, 3)  # fmt: skip
    out = capsys.readouterr().out
    assert "✓ snr" in out
    assert "It uses `rng`, which the next chapter does not have" in out
    assert not (workplace / "my_codec" / "snr.py").exists()


@pytest.mark.parametrize("text", ["def (", "import a_library_that_is_not_there\n", "x = 1\n", "raise SystemExit\n"])
def test_a_file_that_was_spoilt_does_not_stop_a_chapter(workplace, capsys, text):
    (workplace / "my_codec").mkdir()
    (workplace / "my_codec/snr.py").write_text(text)
    assert student.yours() == []
    assert "snr.py: cannot be used" in capsys.readouterr().out


def test_check_says_more_each_time(workplace, capsys, monkeypatch):
    """Where, then what kind, then a hint; a mistake of another kind begins anew."""
    monkeypatch.setattr(student, "_told", {})

    def told(mistake):
        def snr(signal, estimate):
            return EXERCISES["snr"].mistakes[mistake].function(signal, estimate)

        student.check(snr)
        return capsys.readouterr().out

    first, second, third, again = (told(0) for _ in range(4))
    assert "wrong for signal" in first
    assert "It looks like" not in first
    assert "It looks like" in second
    assert "Hint" not in second
    assert "Hint" in third
    assert third == again
    assert "It looks like" not in told(1)


CELLS = """
from minicodec.course import check, exercise
import numpy as np
@exercise
def quantize(x, bits):
    return x
@exercise
def snr(signal, estimate):
    raise NotImplementedError
assert snr(np.ones(3), np.zeros(3)) == 1
q = quantize(np.zeros(3), 8)
np.testing.assert_array_equal(q, np.arange(3))
q.missing
assert snr(np.ones(3), np.zeros(3)) == 1
assert quantize(1, 2) == 3
check(quantize)
assert quantize(1, 2) == 3
"""


def test_a_cell_that_fails_later_names_the_exercise(workplace, capsys, monkeypatch):
    """In IPython, where cells are run one by one."""
    shell = pytest.importorskip("IPython").core.interactiveshell.InteractiveShell.instance()
    for table in ("_state", "_used"):
        monkeypatch.setattr(notebook, table, {})
    out = []
    try:
        for cell in [CELLS.partition("assert")[0], *("assert" + CELLS.partition("assert")[2]).splitlines()]:
            shell.run_cell(cell)
            out.append(capsys.readouterr().out)
    finally:
        shell.set_custom_exc((), None)
        type(shell).clear_instance()
        notebook._watching.clear()
    _, unwritten, defined, earlier, error, unwritten_again, same, checked, after = out
    assert "AssertionError" in unwritten
    assert "Look at" not in unwritten
    assert defined == ""
    assert "Cells before this one called what you wrote for quantize (which has not been checked)" in earlier
    assert "Look at that exercise again: check(quantize) says more" in earlier
    assert "Mismatched elements" not in earlier
    assert "AttributeError" in error
    assert "quantize" in error
    assert "quantize" in unwritten_again
    assert "This cell calls what you wrote for quantize" in same
    assert "✗ quantize" in checked
    assert "(which was found wrong)" in after


def test_mine_is_the_readers_answer_once_it_is_right_and_else_the_librarys(workplace):
    library = student.library("receptive_field")

    def receptive_field(layers):
        return library(layers)

    assert student.mine("receptive_field") is library
    student.check(receptive_field)
    assert student.mine("receptive_field") is receptive_field
    with pytest.raises(ValueError, match="no exercise called nothing"):
        student.mine("nothing")
