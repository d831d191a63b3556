"""`minicodec models`: which models there are: bundled, in the cache, to fetch."""

import argparse
import textwrap

from minicodec.cli.text import columns, table
from minicodec.codec.foreign.released import RELEASED, cache_folder, fetched, in_cache
from minicodec.codec.pretrained import BUNDLED, find

HEADINGS = ("name", "where", "size", "rates", "good for", "licence")
BUNDLED_ROW = ("24 kHz mono; 0.75, 1.5, 3, 6 kbit/s", "trying things out; streams", "MIT")


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments."""
    parser.epilog = "Other models are folders and files: a training run's folder, for example. info describes one."


def run(args: argparse.Namespace) -> int:
    """Print a table, and where the cache is."""
    size = (find(BUNDLED) / "model.safetensors").stat().st_size
    rows = [(BUNDLED, "bundled", f"{size / 1e6:.0f} MB", *BUNDLED_ROW)]
    for name, one in RELEASED.items():
        where = "in the cache" if in_cache(name) else "to fetch"
        rows.append((name, where, f"{one.megabytes} MB", one.rates, one.use, one.licence_word))
    rows += [(name, "in the cache", "", "", "", "see its model card") for name in fetched()]
    print("\n".join(table(HEADINGS, rows)))
    print(f"\ncache: {cache_folder()}")
    print(textwrap.fill("To fetch one: minicodec fetch NAME. It tells the licence before it downloads.", columns()))
    return 0
