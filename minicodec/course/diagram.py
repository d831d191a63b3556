"""The codec in blocks, each with the number of the chapter that builds it; every chapter begins with it.

    you_are_here(8)          in a notebook: the diagram, with chapter 8 marked

It is drawn on a card of its own, so that it reads the same on a light and on a dark page.
"""

from html import escape
from typing import Any, NamedTuple

WIDTH, HEIGHT = 920, 318
INK, LINE, CARD, GROUP, BLOCK, HERE = "#1d2b3a", "#5b6b7b", "#f6f8fa", "#e3eaf2", "#ffffff", "#ffb84d"


class Group(NamedTuple):
    """A frame with a title, and its blocks (chapter, name) below each other, or side by side where it is `wide`."""

    title: str
    x: int
    y: int
    width: int
    height: int
    blocks: tuple[tuple[int, str], ...]
    wide: bool = False


GROUPS = (
    Group("sound", 14, 34, 110, 62, ((1, "numbers"),)),
    Group("encoder", 152, 34, 152, 150, ((3, "convolution"), (4, "down"), (5, "LSTM"), (6, "SEANet"))),
    Group("quantizer", 332, 34, 152, 92, ((7, "codebooks"), (8, "residuals"))),
    Group("file", 512, 34, 152, 92, ((14, "range coder"), (15, "prediction"))),
    Group("decoder", 692, 34, 104, 92, ((4, "up"), (6, "SEANet"))),
    Group("sound", 824, 34, 84, 62, ((18, "good?"),)),
    Group("training", 332, 150, 464, 62,
          ((13, "train"), (12, "balancer"), (11, "judge"), (10, "losses")), wide=True),
    Group("under all of it", 14, 242, 170, 62, ((2, "gradients"),), wide=True),
    Group("before it learns", 198, 242, 138, 62, ((9, "transform"),), wide=True),
    Group("in use", 350, 242, 226, 62, ((16, "streams"), (17, "speed")), wide=True),
    Group("doors", 590, 242, 318, 62, ((0, "in"), (19, "beyond"), (20, "yours")), wide=True),
)  # fmt: skip
ARROWS = (  # points of lines, the last of which has the head
    ((124, 65), (150, 65)), ((304, 65), (330, 65)), ((484, 65), (510, 65)), ((664, 65), (690, 65)),
    ((796, 65), (822, 65)),
    ((866, 96), (866, 181), (798, 181)),  # what came out, to the losses
    ((332, 181), (306, 181)),  # gradients, to the encoder
)  # fmt: skip


def diagram(chapter: int | None = None) -> str:
    """The diagram as the text of an SVG file; the blocks of `chapter` are marked."""
    parts = [_box(0, 0, WIDTH, HEIGHT, CARD, 10)]
    parts += [_group(group, chapter) for group in GROUPS]
    parts += [_arrow(points) for points in ARROWS]
    here = "numbers are chapters" if chapter is None else f"you are here: chapter {chapter}"
    parts.append(_text(14, 19, here, bold=True))
    alt = "The codec as a diagram of blocks, with the chapter that builds each; " + here
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" role="img" '
        f'style="max-width: {WIDTH}px" aria-label="{escape(alt)}" font-family="sans-serif" font-size="13">'
        f"<title>{escape(alt)}</title>{''.join(parts)}</svg>"
    )


def you_are_here(chapter: int) -> Any:
    """The diagram as a cell's output."""
    from IPython.display import SVG

    return SVG(diagram(chapter))


def _group(group: Group, chapter: int | None) -> str:
    parts = [_box(group.x, group.y, group.width, group.height, GROUP, 8)]
    parts.append(_text(group.x + 8, group.y + 17, group.title, colour=LINE))
    n, left, inner = len(group.blocks), group.x + 6, group.width - 6
    width = inner // n - 6 if group.wide else inner - 6
    for i, (number, name) in enumerate(group.blocks):
        x, y = (left + i * (width + 6), group.y + 26) if group.wide else (left, group.y + 26 + 31 * i)
        marked = number == chapter
        parts.append(_box(x, y, width, 27, HERE if marked else BLOCK, 5, LINE))
        parts.append(_text(x + 8, y + 18, str(number), bold=True))
        parts.append(_text(x + 30, y + 18, name, bold=marked))
    return "".join(parts)


def _box(x: int, y: int, width: int, height: int, fill: str, radius: int, line: str = "none") -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" fill="{fill}" stroke="{line}"/>'


def _text(x: int, y: int, text: str, *, bold: bool = False, colour: str = INK) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" fill="{colour}"{weight}>{escape(text)}</text>'


def _arrow(points: tuple[tuple[int, int], ...]) -> str:
    (x, y), right = points[-1], points[-1][0] > points[-2][0]
    back = x - 7 if right else x + 7
    path = " ".join(f"{a},{b}" for a, b in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="1.5"/>'
        f'<polygon points="{x},{y} {back},{y - 4} {back},{y + 4}" fill="{LINE}"/>'
    )
