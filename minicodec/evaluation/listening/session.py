"""Who hears what: the order of clips and conditions, drawn for every session, and the ratings given so far.

The browser knows a screen and a condition only by number, so neither the page nor its requests tell what is what. The
numbers are drawn from the session's random name; with the rows of the CSV file that is all there is to a session, so
a server that was stopped goes on where it was.
"""

import random
import secrets
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from minicodec.errors import InputError
from minicodec.evaluation.listening import ratings
from minicodec.evaluation.listening.ratings import DRAFT, FINAL, Rating
from minicodec.evaluation.listening.stimuli import REFERENCE, Clip

LONGEST_NAME = 60  # characters


class Screen:
    """A clip whose conditions are hidden behind the numbers 1 … n, and their scores so far (None: not yet rated)."""

    def __init__(self, clip: Clip, order: list[str]):
        self.clip, self.order = clip, order
        self.scores: list[int | None] = [None] * len(order)
        self.done = False


class Session:
    """One listener's way through the test. Screen 0 is for practice, and its ratings are not kept.

    The clip for practice is one that is not rated later, if there is one, or else the one that comes last.
    """

    def __init__(self, token: str, listener: str, clips: Sequence[Clip], screens: int):
        self.token, self.listener = token, listener
        draw = random.Random(token)
        order = draw.sample(clips, len(clips))
        order = [order[min(screens, len(order) - 1)], *order[:screens]]
        self.screens = [Screen(clip, draw.sample(list(clip.conditions), len(clip.conditions))) for clip in order]

    def restore(self, rating: Rating) -> None:
        """Take over a row of the file; one for a clip or condition that does not take part today stays there."""
        for screen in self.screens[1:]:
            if screen.clip.name == rating.clip and rating.condition in screen.order:
                screen.scores[screen.order.index(rating.condition)] = rating.score
                screen.done = rating.state == FINAL and None not in screen.scores


class ListeningTest:
    """All sessions of a test whose ratings go to the CSV file `path`, which is created by the first of them.

    Its methods may be called from several threads. LookupError: there is no such session, screen or condition.
    """

    def __init__(self, clips: Sequence[Clip], screens: int, path: Path):
        self.clips, self.screens, self.path = clips, screens, path
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        for rating in ratings.read(path) if path.exists() else []:
            if rating.session not in self._sessions:
                self._add(rating.session, rating.listener)
            self._sessions[rating.session].restore(rating)

    def start(self, listener: Any) -> str:
        """Begin a session -> its name. InputError: `listener` is not a short printable text."""
        if not isinstance(listener, str) or len(listener) > LONGEST_NAME or not listener.isprintable():
            raise InputError(f"a listener's name has at most {LONGEST_NAME} printable characters")
        token = secrets.token_hex(16)
        self._add(token, listener.strip())
        return token

    def state(self, token: str) -> dict[str, Any]:
        """What the browser may know of a session: how many conditions, and the ratings it has given."""
        screens = self._sessions[token].screens
        return {"screens": [{"scores": screen.scores, "done": screen.done} for screen in screens]}

    def stimulus(self, token: str, screen: int, number: int) -> Path:
        """The sound behind a number of a screen; 0 is the reference that everybody knows to be it."""
        at = self._screen(token, screen)
        if not 0 <= number <= len(at.order):
            raise LookupError
        return at.clip.conditions[at.order[number - 1] if number else REFERENCE]

    def rate(self, token: str, screen: Any, scores: Any, done: Any) -> None:
        """Keep the scores of a screen: for every condition an integer 0 … 100, or None if not yet rated.

        `done`: the listener leaves the screen; then no None is left. A screen that was done once remains so. What
        changed is in the file when this returns. InputError: anything else; OSError: it cannot be written.
        """
        if type(screen) is not int or type(done) is not bool:
            raise InputError("a screen is a number, and done true or false")
        at = self._screen(token, screen)
        if screen == 0:
            raise InputError("screen 0 is for practice")
        if not isinstance(scores, list) or len(scores) != len(at.order):
            raise InputError(f"{len(at.order)} scores are expected")
        if not all(s is None or (type(s) is int and 0 <= s <= 100) for s in scores):
            raise InputError("a score is an integer from 0 to 100, or null")
        with self._lock:
            finished = done or at.done
            if finished and None in scores:
                raise InputError("a finished screen has a score for every condition")
            self._keep(self._sessions[token], at, scores, finished)

    def _keep(self, session: Session, at: Screen, scores: list[int | None], done: bool) -> None:
        time = datetime.now(UTC).isoformat(timespec="seconds")
        state = FINAL if done else DRAFT
        rows = [
            Rating(time, session.token, session.listener, at.clip.name, condition, score, state)
            for condition, score, before in zip(at.order, scores, at.scores, strict=True)
            if score is not None and (score != before or done != at.done)
        ]
        if rows:
            ratings.append(self.path, rows)
        at.scores, at.done = [new if new is not None else old for new, old in zip(scores, at.scores, strict=True)], done

    def _add(self, token: str, listener: str) -> None:
        self._sessions[token] = Session(token, listener, self.clips, self.screens)

    def _screen(self, token: str, screen: int) -> Screen:
        if screen < 0:
            raise LookupError
        return self._sessions[token].screens[screen]
