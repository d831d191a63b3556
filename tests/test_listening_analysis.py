"""What `listen --analyse` makes of the ratings: who is left out, means, intervals, the picture."""

import math

import pytest
from scipy.special import stdtrit

from minicodec.errors import InputError
from minicodec.evaluation.listening.analysis import analyse, half_interval, post_screen, student_t, table
from minicodec.evaluation.listening.plot import picture
from minicodec.evaluation.listening.ratings import DRAFT, FINAL, Rating


def rate(listener, clip, condition, score, state=FINAL, session=None):
    return Rating(
        "2026-01-01T00:00:00+00:00", session or f"of {listener}", listener, str(clip), condition, score, state
    )


def rate_all(listener, references, anchors, systems=()):
    """Scores of one listener, clip by clip."""
    columns = {"reference": references, "lowpass-7kHz": anchors, "opus-6kbps": systems}
    return [rate(listener, clip, name, score) for name, scores in columns.items() for clip, score in enumerate(scores)]


THREE = [
    *rate_all("Ann", [100, 100], [60, 50], [70, 80]),  # the means are 100, 55, 75
    *rate_all("Bob", [90, 100], [40, 40], [60, 60]),  # 95, 40, 60
    *rate_all("Cem", [96, 96], [70, 90], [30, 60]),  # 96, 80, 45
]
T = 4.302652729911275  # 97.5 % point of Student's t with 2 degrees of freedom, from a printed table: 4.303


def test_means_and_intervals_by_hand():
    found = analyse(THREE)
    assert found.listeners == ["Ann", "Bob", "Cem"]
    assert found.excluded == {}
    # Variances over the listeners: (3²+2²+1²)/2 = 7; (15²+0²+15²)/2 = 225; (10/3)²+(55/3)²+(65/3)² over 2.
    expected = [
        ("reference", 97.0, T * math.sqrt(7 / 3), 98.0),
        ("opus-6kbps", 60.0, T * 15 / math.sqrt(3), 60.0),
        ("lowpass-7kHz", 175 / 3, T * math.sqrt((10**2 + 55**2 + 65**2) / 9 / 2 / 3), 55.0),
    ]
    assert [s.condition for s in found.summaries] == [name for name, *_ in expected]
    for summary, (_, mean, half, median) in zip(found.summaries, expected, strict=True):
        assert summary.mean == pytest.approx(mean, rel=1e-12)
        assert summary.half == pytest.approx(half, rel=1e-6)
        assert (summary.median, summary.ratings) == (median, 6)


def test_one_listener_has_no_interval():
    found = analyse(THREE[:6])
    assert [s.mean for s in found.summaries] == [100, 75, 55]
    assert all(math.isnan(s.half) for s in found.summaries)
    assert "one listener has no interval" in table(found)
    assert "nan" not in table(found)
    assert half_interval([50.0, 50.0]) == 0


GOOD = [100] * 20
LOW = [10] * 20


@pytest.mark.parametrize(
    ("references", "anchors", "reason"),
    [
        ([90] * 20, [90] * 20, None),  # neither below nor above
        ([89] * 3 + [100] * 17, LOW, None),  # 15 % is not more than 15 %
        ([89] * 4 + [100] * 16, LOW, "rated the hidden reference below 90 in 20% of 20 clips"),
        (GOOD, [91] * 3 + [90] * 17, None),
        (GOOD, [91] * 4 + [90] * 16, "rated lowpass-7kHz above 90 in 20% of the clips"),
        (
            [0] * 20,
            [100] * 20,
            "rated the hidden reference below 90 in 100% of 20 clips"
            " and rated lowpass-7kHz above 90 in 100% of the clips",
        ),
    ],
)
def test_post_screening(references, anchors, reason):
    """Four listeners who hear well, so that one who does not is no more than 25 % of all."""
    others = [row for name in ("A", "B", "C", "D") for row in rate_all(name, GOOD, LOW)]
    expected = {} if reason is None else {"Eve": reason}
    assert post_screen([*others, *rate_all("Eve", references, anchors)]) == expected


def test_a_clip_whose_anchor_many_rate_high_excludes_nobody():
    """Of four listeners two (50 %) rate the anchor of clip 0 above 90: with little above 7 kHz that is no wonder."""
    rows = [row for name in ("A", "B") for row in rate_all(name, GOOD[:2], [95, 10])]
    rows += [row for name in ("C", "D") for row in rate_all(name, GOOD[:2], [20, 10])]
    assert post_screen(rows) == {}
    rows += [row for i in range(4) for row in rate_all(f"E{i}", GOOD[:2], [20, 10])]  # now two of eight: 25 %
    assert list(post_screen(rows)) == ["A", "B"]


def test_who_is_excluded_counts_in_no_mean():
    found = analyse([*THREE, *rate_all("Deaf", [10, 100], [10, 10], [100, 100])])
    assert found.summaries == analyse(THREE).summaries
    assert found.excluded == {"Deaf": "rated the hidden reference below 90 in 50% of 2 clips"}
    assert "3 of 4 listeners" in table(found)
    assert "excluded: Deaf rated the hidden reference below 90" in table(found)


def test_the_last_rating_of_a_finished_screen_counts():
    rows = [
        rate("", 0, "reference", 10, DRAFT, "a"),
        rate("", 0, "reference", 95, FINAL, "a"),
        rate("", 0, "reference", 99, FINAL, "a"),
        rate("", 1, "reference", 0, DRAFT, "a"),
        rate("", 0, "reference", 91, FINAL, "b"),  # without a name another session is another listener
        rate("Ann", 0, "reference", 92, FINAL, "c"),
        rate("Ann", 0, "reference", 94, FINAL, "d"),  # the same name, the same listener, twice
    ]
    found = analyse(rows)
    assert found.listeners == ["Ann", "session a", "session b"]
    assert sorted(found.summaries[0].listener_means) == [91, 93, 99]
    assert found.summaries[0].ratings == 4


def test_nothing_to_analyse_is_said_plainly():
    with pytest.raises(InputError, match="no listener has finished a screen"):
        analyse([rate("Ann", 0, "reference", 95, DRAFT)])
    with pytest.raises(InputError, match="leaves no listener: Ann rated the hidden reference below 90 in 100%"):
        analyse([rate("Ann", 0, "reference", 5)])


def test_the_picture_shows_every_condition_the_best_on_top():
    axes = picture(analyse(THREE)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["lowpass-7kHz", "opus-6kbps", "reference"]
    bars = [container for container in axes.containers if container.has_xerr]
    for bar, mean, half in zip(bars, [175 / 3, 60, 97], [50.20, 37.26, 6.572], strict=True):
        ((left, y), (right, _)) = bar.lines[2][0].get_segments()[0]
        assert bar.lines[0].get_xdata()[0] == pytest.approx(mean)
        assert (right - left) / 2 == pytest.approx(half, rel=1e-3)
        assert y == bars.index(bar)
    assert "3 listeners, 0 excluded" in axes.get_title()


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 30, 59, 1000])
@pytest.mark.parametrize("share", [0.5, 0.95, 0.999])
def test_students_t_is_that_of_scipy(freedom, share):
    assert student_t(freedom, share) == pytest.approx(stdtrit(freedom, (1 + share) / 2), rel=1e-9)
