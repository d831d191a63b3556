"""Ranks that are threads of one process: what mpi4py's communicator does, with a barrier."""

import threading
from contextlib import suppress
from types import SimpleNamespace

from minicodec.ranks import Together


class ThreadComm:
    """The methods of MPI.COMM_WORLD that `Together` calls, for buffers that are NumPy arrays."""

    def __init__(self, rank, board, barrier, turn):
        self.rank, self.board, self.barrier, self.turn = rank, board, barrier, turn
        self.moved = 0  # bytes that this rank has sent to others

    def Get_rank(self):  # noqa: N802
        return self.rank

    def Get_size(self):  # noqa: N802
        return len(self.board)

    def _exchange(self, sent, receive, others):
        if sent is not None:
            assert sent.flags.c_contiguous
            self.moved += others * sent.nbytes
        self.board[self.rank] = sent
        self._wait()
        receive(self.board)
        self._wait()

    def _wait(self):
        self.turn.release()
        try:
            self.barrier.wait()
        finally:
            self.turn.acquire()

    def Ibarrier(self):  # noqa: N802
        return SimpleNamespace(Test=lambda: True)  # what follows waits itself

    def Allgather(self, sent, received):  # noqa: N802
        def receive(board):
            assert len({(a.dtype, a.size) for a in board}) == 1, "not the same on every rank"
            received.reshape(len(board), -1)[...] = [a.reshape(-1) for a in board]

        self._exchange(sent, receive, len(self.board) - 1)

    def Alltoall(self, sent, received):  # noqa: N802
        def receive(board):
            assert len({(a.dtype, a.size) for a in board}) == 1, "not the same on every rank"
            received.reshape(len(board), -1)[...] = [a.reshape(len(board), -1)[self.rank] for a in board]

        self._exchange(sent, receive, 1 - 1 / len(self.board))

    def Scatter(self, sent, received, root):  # noqa: N802
        def receive(board):
            received.reshape(-1)[...] = board[root].reshape(len(board), -1)[self.rank]

        self._exchange(sent, receive, 1 - 1 / len(self.board))


def together(size, work):
    """[work(ranks) of each of `size` ranks]. What the first of them raised, which ends the others.

    One works at a time, until it has to wait for the others.
    """
    board, barrier, turn = [None] * size, threading.Barrier(size, timeout=280), threading.Lock()
    results, errors = [None] * size, []

    def begin(rank):
        try:
            with turn, suppress(threading.BrokenBarrierError):
                results[rank] = work(Together(ThreadComm(rank, board, barrier, turn)))
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=begin, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
