"""Threads that meet between frames: who takes part changes no bit, however late they come and however slow they are."""

import threading
import time

import numpy as np
import pytest
from numba import njit

from minicodec.kernels.cpu import lstm as lstm_file
from minicodec.kernels.cpu.engine.atomics import LINE, pause
from minicodec.kernels.cpu.engine.team import OVER, START, meet, new_team
from minicodec.kernels.cpu.lstm import lstm_backward_numba, lstm_forward_numba
from tests.test_lstm import layer

T, N = 2000, 24


@njit(nogil=True)
def relay(team, rank, x, teams, pauses):
    """x (T+1,N): every number of a frame depends on all of the frame before. teams (T): how many have made each."""
    T, N = x.shape[0] - 1, x.shape[1]
    t, parts = START
    while True:
        t, parts = meet(team, rank, t, parts, T)
        if t >= T:
            break
        if rank == 0:
            teams[t] = parts
        for n in range(rank * N // parts, (rank + 1) * N // parts):
            total = n
            for k in range(N):
                total = total * 3 + x[t, k]
            x[t + 1, n] = total
        for _ in range(pauses if rank > 0 else 0):
            pause()


@pytest.fixture(scope="module")
def alone():
    """What one thread makes, by NumPy."""
    x = np.zeros((T + 1, N), np.int64)
    for t in range(T):
        total = np.arange(N)
        for k in range(N):
            total = total * 3 + x[t, k]
        x[t + 1] = total
    return x


def together(helpers, pauses=0, wait=True):
    """-> x, teams; helpers that have come before the start, or at some time."""
    team, x, teams = new_team(helpers + 1), np.zeros((T + 1, N), np.int64), np.zeros(T, np.int64)
    args = x, teams, pauses
    relay(new_team(1), 0, np.zeros((1, N), np.int64), *args[1:])  # compiled
    threads = [threading.Thread(target=relay, args=(team, 1 + n, *args), daemon=True) for n in range(helpers)]
    for thread in threads:
        thread.start()
    if wait:
        wait_for(team, helpers)
    threads.append(threading.Thread(target=relay, args=(team, 0, *args), daemon=True))
    threads[-1].start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert team[0] == OVER
    return x, teams


def wait_for(team, helpers):
    """Until so many have come, but not for ever."""
    deadline = time.monotonic() + 60
    while not all(team[LINE : (1 + helpers) * LINE : LINE]):
        assert time.monotonic() < deadline, "threads that were started have not come"
        time.sleep(0.001)


@pytest.mark.parametrize("helpers", [0, 1, 3])
def test_all_who_have_come_do_their_part(helpers, alone):
    """Three helpers are more than many machines have cores for: they may be dismissed, but not at once."""
    x, teams = together(helpers)
    np.testing.assert_array_equal(x, alone)
    assert teams[0] == helpers + 1
    assert set(teams) <= {helpers + 1, 1}


def test_others_come_when_they_come(alone):
    for _ in range(20):
        x, teams = together(2, wait=False)
        np.testing.assert_array_equal(x, alone)
        assert set(teams) <= {1, 3}


def test_who_is_too_slow_is_not_waited_for_again(alone):
    x, teams = together(1, pauses=100_000)
    np.testing.assert_array_equal(x, alone)
    frames = (teams == 2).sum()  # more than once where the leader, too, had to do without its core
    assert list(teams) == [2] * frames + [1] * (T - frames)
    assert 1 <= frames < T // 20


@pytest.mark.parametrize("helpers", [1, 2, 3])
@pytest.mark.parametrize("B", [1, 3, 5])
def test_units_of_an_lstm_on_several_threads_have_the_bits_of_one(helpers, B, rng, monkeypatch):
    """All threads have come before the first frame, and each takes a part of them all."""
    arrays = layer(rng, B, 30, 24, 600)
    dy = rng.normal(size=(B, 30, 1200)).astype(np.float32)

    def run():
        y, saved = lstm_forward_numba(*arrays)
        return y, saved[5], *lstm_backward_numba(dy, saved)

    one, teams = run(), []

    def new_team_seen(threads):
        teams.append(new_team(helpers + 1))
        return teams[-1]

    def at_once(threads, tasks, work):
        others = [threading.Thread(target=work, args=(t, t + 1), daemon=True) for t in range(1, helpers + 1)]
        for other in others:
            other.start()
        wait_for(teams[-1], helpers)
        work(0, 1)
        for other in others:
            other.join(60)
            assert not other.is_alive()

    monkeypatch.setattr(lstm_file, "new_team", new_team_seen)
    monkeypatch.setattr(lstm_file, "share_out", at_once)
    for a, b in zip(one, run(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(teams) == 2
    assert all(team[helpers * LINE] > 1 for team in teams)  # the last of them has done a frame
