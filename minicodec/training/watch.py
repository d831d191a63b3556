"""The usual ways in which a training fails, noticed while it runs: one line that says what is seen and what to try.

    the discriminator wins       its hinge loss, 2 when it guesses, stays near 0: it has nothing left to teach
    a loss drowns, or rules      its share of the gradient at the decoder's output stays near 0, or near 1
    feature matching explodes    the discriminator's features grow without bound
    a codebook collapses         nearly all frames choose the same few entries

Nothing here touches the training.
"""

from collections import deque
from collections.abc import Mapping
from statistics import fmean, median
from typing import Any

WINDOW = 100  # steps that must agree
SILENT = 1000  # steps before the same notice is given again
WINNING = 0.1  # hinge loss
LOW_SHARE, HIGH_SHARE = 0.001, 0.99
EXPLODED = 10  # times what it was in the first steps
COLLAPSED = 0.02  # perplexity, as a share of the entries


class Watch:
    """Fed with the figures of every step and validation, it answers with the notices that are due."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[float]] = {}
        self._feature_at_first: list[float] = []
        self._told: dict[str, int] = {}

    def after_step(self, step: int, figures: Mapping[str, float]) -> list[str]:
        """Notices after an update; figures as `Trainer.update` gives them."""
        for name, value in figures.items():
            self._recent.setdefault(name, deque(maxlen=WINDOW)).append(value)
        for name in self._recent.keys() - figures.keys() - {"discriminator", "accuracy"}:
            del self._recent[name]  # a loss that takes no part any more; the discriminator skips steps
        notices = [self._winning(), *self._shares(), self._exploding(figures)]
        return [text for text in notices if text and self._is_due(text, step)]

    def after_validation(self, step: int, figures: Mapping[str, Any], entries: int) -> list[str]:
        """Notices after a validation; figures as `validate` gives them, and N, the entries of a codebook."""
        notices = []
        for level, perplexity in enumerate(figures.get("codebooks", {}).get("perplexity", []), start=1):
            if perplexity < COLLAPSED * entries:
                notices.append(
                    f"codebook {level} collapses: perplexity {perplexity:.0f} of {entries} entries; "
                    "try a longer warmup_steps, a larger batch or a lower lr"
                )
        return [text for text in notices if self._is_due(text, step)]

    def _winning(self) -> str | None:
        loss = self._usual("discriminator")
        if loss is None or loss > WINNING:
            return None
        return (
            f"the discriminator wins: its hinge loss is {loss:.3f} (2 is guessing); "
            "try adversary.probability=0.3, a lower adversary.lr, or a later adversary.start"
        )

    def _shares(self) -> list[str]:
        notices = []
        for name in [name for name in self._recent if name.startswith("share.")]:
            share = self._usual(name)
            if share is not None and not LOW_SHARE < share < HIGH_SHARE:
                what = "drowns: it has" if share <= LOW_SHARE else "rules: it has"
                notices.append(
                    f"the loss {name.removeprefix('share.')} {what} {share:.2%} of the gradient; "
                    "try other weights, or adversary.balanced=true, which makes the weights the shares"
                )
        return notices

    def _exploding(self, figures: Mapping[str, float]) -> str | None:
        if "feature" not in figures:
            return None
        if len(self._feature_at_first) < WINDOW:
            self._feature_at_first.append(figures["feature"])
            return None
        first, now = median(self._feature_at_first), self._usual("feature")
        if now is None or now < EXPLODED * first:
            return None
        return (
            f"feature matching explodes: {now:.3g}, and was {first:.3g} at first; "
            "try adversary.normalized=true, or a lower adversary.lr"
        )

    def _usual(self, name: str) -> float | None:
        """The mean of a full window, or None."""
        values = self._recent.get(name, ())
        return fmean(values) if len(values) == WINDOW else None

    def _is_due(self, text: str, step: int) -> bool:
        topic = text.split(":")[0]
        if step - self._told.get(topic, -SILENT) < SILENT:
            return False
        self._told[topic] = step
        return True
