"""The kinds of input. Each is a function of a Case: it spoils a good file, has it read, and demands what must hold."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from tests.campaign.watch import Case

MODULES = ("sounds", "models", "packets", "trainings", "submissions", "listening", "words", "arrays")


@dataclass(frozen=True)
class Kind:
    """name, as the table has it; how often it is drawn, beside others; what it does."""

    name: str
    weight: float
    work: Callable[[Case], None]


KINDS: dict[str, Kind] = {}


def kind(name: str, weight: float) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Decorate a function that is a kind of input."""

    def register(work: Callable[[Case], None]) -> Callable[[Case], None]:
        KINDS[name] = Kind(name, weight, work)
        return work

    return register


def load() -> dict[str, Kind]:
    """All of them."""
    for module in MODULES:
        import_module(f"tests.campaign.kinds.{module}")
    return KINDS
