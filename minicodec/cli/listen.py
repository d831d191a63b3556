"""`minicodec listen`: a blind listening test in the browser, and what came of it."""

import argparse
import ipaddress
import sys
from pathlib import Path

from minicodec.errors import InputError

EXAMPLE = """\
example:
  minicodec evaluate runs/speech --data corpora/speech --kbps 3 6 --baselines opus --out compared
  minicodec listen compared --systems '*-6kbps' --screens 8
  minicodec listen compared --analyse
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "A MUSHRA listening test [ITU-R BS.1534-3] in the browser: hidden reference, two\nanchors, "
        "everything in random order. Each rating goes to a CSV file at once.\nCtrl-C ends it, and it can be continued."
    )
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", metavar="DIR", type=Path, help="what minicodec evaluate wrote: DIR/clips/CLIP/*.wav")
    parser.add_argument("--clips", nargs="+", metavar="NAME", default=["*"], help="only these; patterns as speech_*")
    parser.add_argument(
        "--systems", nargs="+", metavar="NAME", default=["*"], help="only these, beside reference and anchors"
    )
    parser.add_argument("--screens", type=int, metavar="N", help="clips for each listener, drawn by chance; else all")
    parser.add_argument("--results", type=Path, metavar="FILE", help="DIR/listening.csv by default")
    parser.add_argument("--host", default="127.0.0.1", help="where to serve: by default only to this machine")
    parser.add_argument("--port", type=int, default=8765, help="8765 by default; 0 takes any that is free")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--analyse", action="store_true", help="print the means of all ratings, and draw them beside the results"
    )
    instead.add_argument(
        "--export-webmushra", type=Path, metavar="NEW", help="write the test to a new folder for webMUSHRA's configs/"
    )


def run(args: argparse.Namespace) -> int:
    """Serve the test until Ctrl-C, or analyse, or export."""
    from minicodec.evaluation.listening.stimuli import find_clips

    results = args.results or args.folder / "listening.csv"
    if args.analyse:
        if args.clips != ["*"] or args.systems != ["*"] or args.screens is not None:
            raise InputError("listen --analyse: takes all ratings, without --clips, --systems, --screens")
        return _analyse(results)
    clips = find_clips(args.folder, args.clips, args.systems)
    if args.export_webmushra:
        from minicodec.evaluation.listening.webmushra import export

        print(f"{export(clips, args.export_webmushra)}: copy the folder it is in to webMUSHRA's configs")
        return 0
    screens = len(clips) if args.screens is None else args.screens
    if not 1 <= screens <= len(clips):
        raise InputError(f"--screens {screens}: there are {len(clips)} clips")
    return _serve(args, clips, screens, results)


def _serve(args, clips, screens: int, results: Path) -> int:
    from minicodec.evaluation.listening.server import Server
    from minicodec.evaluation.listening.session import ListeningTest

    with Server(ListeningTest(clips, screens, results), args.host, args.port) as server:
        if not _is_loopback(args.host):
            print(f"minicodec: all who can reach {args.host} can hear the clips and take part", file=sys.stderr)
        print(f"{server.url}  {screens} of {len(clips)} clips, {len(clips[0].conditions)} conditions; Ctrl-C ends")
        print(f"ratings: {results}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(f"\nended; minicodec listen {args.folder} --analyse shows the results")
    return 0


def _analyse(results: Path) -> int:
    from minicodec.evaluation.listening import analysis, plot, ratings

    found = analysis.analyse(ratings.read(results))
    picture = results.with_suffix(".png")
    plot.draw(found, picture)
    print(analysis.table(found))
    print(f"picture: {picture}")
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
