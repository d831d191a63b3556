"""python -m tests.campaign --minutes 10 --seed N: hostile inputs; --kills 100: processes that are killed."""

import argparse
import sys
from pathlib import Path

from tests.campaign import kills, run


def main() -> int:
    """0 if nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long; 1 by default")
    parser.add_argument("--seed", type=int, default=0, help="inputs are drawn from it and their number")
    parser.add_argument("--inputs", type=int, metavar="N", help="end after N inputs")
    parser.add_argument("--first", type=int, metavar="N", default=0, help="the number of the first input")
    parser.add_argument("--kinds", nargs="+", default=[], metavar="KIND", help="only these, as the table names them")
    parser.add_argument("--failures", type=Path, default=Path("campaign-failures"), metavar="FOLDER")
    parser.add_argument("--kills", type=int, metavar="N", help="instead, kill so many processes at random moments")
    args = parser.parse_args()
    if args.kills is not None:
        return kills.main(args.kills, args.seed)
    found = run.campaign(args.seed, args.minutes, args.inputs, args.first, args.kinds, args.failures)
    print(run.table(found))
    return 1 if any(tally.faults for tally in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
