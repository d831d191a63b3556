"""The keys of the bibliography, such as Defossez22, and what they are called in links."""

import re
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "bibliography.md"
KEYS = re.findall(r"^\| \[(.+?)\] \|", TABLE.read_text(encoding="utf-8"), flags=re.M)
CITATION = re.compile(r"\b(" + "|".join(map(re.escape, KEYS)) + r")\b")


def anchor(key: str) -> str:
    """The id of a key's place on the page."""
    return key.lower().replace(".", "-")
