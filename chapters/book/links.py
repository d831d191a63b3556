"""Is a built site whole? Its links lead somewhere, and nothing that a page needs comes from the network."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

NEEDED = {("script", "src"), ("img", "src"), ("audio", "src"), ("source", "src"), ("iframe", "src"), ("link", "href")}
FROM_CSS = re.compile(r"@import\s+(?:url\()?[\"']?([^\"')\s;]+)|url\(\s*[\"']?([^\"')]+)[\"']?\s*\)")


class Page(HTMLParser):
    """The anchors of a page, and what it points at: (needed to show it, address)."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[tuple[bool, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ids and addresses."""
        known = {name: value for name, value in attrs if value}
        self.anchors |= {known[name] for name in ("id", "name") if name in known}
        for name in ("href", "src"):
            if name in known:
                self.links.append(((tag, name) in NEEDED, known[name]))


def faults(site: Path) -> Iterator[str]:
    """A line for each link to nothing, and for each part of a page that the network would have to bring."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        for needed, address in page.links:
            if fault := _fault(path, needed, address, pages):
                yield f"{path.relative_to(site.resolve())}: {fault}"
    for path in sorted(site.rglob("*.css")):
        for match in FROM_CSS.finditer(path.read_text(encoding="utf-8")):
            if fault := _fault(path.resolve(), True, match[1] or match[2], pages):
                yield f"{path.relative_to(site)}: {fault}"


def _fault(path: Path, needed: bool, address: str, pages: dict[Path, Page]) -> str | None:
    parts = urlsplit(address)
    if parts.scheme == "data" or (not needed and parts.scheme in ("http", "https", "mailto")):
        return None
    if parts.scheme or parts.netloc:
        return f"needs {address}, from the network"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return f"{address}: there is no such file"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return f"{address}: that page has no such place"
    return None
