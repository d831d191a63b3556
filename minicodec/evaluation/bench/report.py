"""bench.json, and the tables made of it: for a terminal, and as Markdown for a README.

    version, machine, settings
    ceilings   {"1": {"sgemm": flop/s, "bandwidth": bytes/s}, ...} by number of threads
    ops        a record for each op, size, direction, backend and number of threads (`ops.Result`; gflops, share)
    cases      a record for each case, implementation and number of threads: median, quartiles and slowest of all calls,
               the medians of the rounds (all seconds), gflops, share of the peak, memory (bytes at the height of a
               call, beyond what the process had before), audio (seconds of it), target, limit (seconds that no call
               may exceed), error (why there are no figures), late (the seconds in which it was not done)
    ratios     a record for each case, rival and number of threads: rival's time / minicodec's. ratio, lowest and
               highest of the rounds; single, the same with the rival on the fewest threads; the target, where there
               is one, and whether it is met
    start      start-up and memory, as in `start.py`
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.table import Table

from minicodec.evaluation.bench.send import THREADS
from minicodec.evaluation.bench.targets import ERRATIC, Report, erratic, meets, quantity, target_rows, times

OP_HEADINGS = ("op", "size", "", "threads", "definition, ms", "fast, ms", "x", "GF/s", "of peak", "GB/s")
OURS = ("minicodec", "minicodec.tf32")
BUSY = 0.5  # processes that want a core before the benchmark starts its own
CASE_HEADINGS = ("case", "threads", "ms", "GF/s", "of peak", "audio s/s", "MB")
WORDS = ("op", "size", "", "case", "what")  # headings of columns of words


def ratios(cases: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """How many times as fast minicodec is, from the records of the cases."""
    records = {(c["case"], c["threads"], c["implementation"]): c for c in cases}
    for c in cases:
        if c["implementation"] in OURS or not c["rounds"]:
            continue
        # Like against like: TF32 against TF32.
        own = records[c["case"], c["threads"], "minicodec.tf32" if c["implementation"] == "torch.tf32" else "minicodec"]
        by_round = [theirs / mine for theirs, mine in zip(c["rounds"], own["rounds"], strict=True)]
        # A rival whose threads get into each other's way would better have used a single one.
        single = records[c["case"], min(r["threads"] for r in cases), c["implementation"]]["rounds"] or c["rounds"]
        ratio = {
            "case": c["case"], "against": c["implementation"], "threads": c["threads"], "target": c["target"],
            "ratio": float(np.median(by_round)), "lowest": min(by_round), "highest": max(by_round),
            "single": float(np.median(single) / np.median(own["rounds"])),
        }  # fmt: skip
        yield ratio | {"met": meets(ratio)}


def case_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: a row for each case and number of threads, the rivals beside minicodec."""
    implementations = list(dict.fromkeys(c["implementation"] for c in report["cases"]))
    rivals = [name for name in implementations if name not in OURS]
    variants = [name for name in implementations if name in OURS[1:]]
    headings = [*CASE_HEADINGS, *(f"{name}, ms" for name in variants)]
    for rival in rivals:
        headings += [f"{rival}, ms", f"MB ({rival})", f"x {rival}"]
    headings += ["target"] if "torch" in rivals else []
    theirs = {(c["case"], c["threads"], c["implementation"]): c for c in report["cases"]}
    compared = {(r["case"], r["threads"], r["against"]): r for r in report["ratios"]}
    rows = []
    for c in report["cases"]:
        if c["implementation"] != "minicodec":
            continue
        row = [c["case"], str(c["threads"]), milliseconds(c), *throughput(c), audio(c), megabytes(c)]
        row += [milliseconds(theirs.get((c["case"], c["threads"], name))) for name in variants]
        for rival in rivals:
            key = (c["case"], c["threads"], rival)
            their = theirs.get(key)
            row += [milliseconds(their), megabytes(their), times(compared.get(key))]
        if "torch" in rivals:
            row.append(verdict(compared.get((c["case"], c["threads"], "torch"))))
        rows.append(row)
    return headings, rows


def op_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: a row for each op, size, direction and number of threads."""
    rows = []
    pairs: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for r in report["ops"]:
        pairs.setdefault((r["op"], r["size"], r["direction"], r["threads"]), []).append(r)
    for (op, size, direction, threads), pair in pairs.items():
        slow, best = pair[0], pair[-1]
        fast = [milliseconds(best), f"{slow['median'] / best['median']:.2f}"] if len(pair) > 1 else ["", ""]
        gigabytes = f"{best['bytes'] / best['median'] / 1e9:.1f}"
        rows.append([op, size, direction, str(threads), milliseconds(slow), *fast, *throughput(best), gigabytes])
    return list(OP_HEADINGS), rows


def milliseconds(record: dict[str, Any] | None) -> str:
    """Median ± half the distance of the quartiles; or why there is none."""
    if record is None:
        return ""
    if record.get("error"):
        return f"not in {record['late']:g} s" if record["late"] else "fails"
    spread = (record["upper_quartile"] - record["lower_quartile"]) / 2 * 1e3
    digits = 2 if record["median"] < 0.1 else 0
    return f"{record['median'] * 1e3:.{digits}f} ± {spread:.{digits}f}"


def throughput(record: dict[str, Any]) -> list[str]:
    """GF/s and share of the peak; two empty cells where no work is counted."""
    if record["gflops"] is None:
        return ["", ""]
    return [f"{record['gflops']:.1f}", f"{record['share']:.0%}"]


def audio(record: dict[str, Any]) -> str:
    """Seconds of it that are done in a second; empty where audio is not what is counted."""
    return f"{record['audio'] / record['median']:.3g}" if record["audio"] else ""


def megabytes(record: dict[str, Any] | None) -> str:
    """Of memory, in 10^6 bytes."""
    return "" if record is None or record["memory"] is None else f"{record['memory'] / 1e6:.0f}"


def verdict(ratio: dict[str, Any] | None) -> str:
    """The target, and whether it is met."""
    if ratio is None or ratio["target"] is None:
        return ""
    return f"{ratio['target']:g} {'met' if ratio['met'] else 'MISSED'}"


def notes(report: Report) -> list[str]:
    """What the tables do not say."""
    lines = [
        "ms: median ± half the distance of the quartiles. of peak: of sgemm on as many threads, at large sizes.",
        "MB: memory at the height of a call, beyond what the process had before.",
    ]
    if report["settings"]["peer"]:
        lines.append("x: rival's time / minicodec's, median (range) over rounds; below 1, minicodec is slower.")
    if any(erratic(r) for r in report["ratios"]):
        reason = f"the rival's rounds, or one thread and several, differ {ERRATIC:g} times or more"
        lines.append(f"ERRATIC: {reason}; its best is held against the target.")
    if report["settings"]["peer"] and report["settings"]["quick"]:
        lines.append("torch.compile: not in a quick run, compiling takes minutes.")
    load = report["machine"]["load"]
    if load is not None and load > BUSY:
        lines.append(f"THE MACHINE WAS BUSY before this began (load average {load:.1f}): no figure can be trusted.")
    given = ", ".join(f"{k}={v}" for k, v in report["machine"]["environment"].items() if k not in THREADS)
    lines.append(f"Threads: {', '.join(THREADS)} set for each process; {given or 'no other such variable is set'}.")
    failures = dict.fromkeys(c["error"] for c in report["cases"] if c["error"])
    return [*lines, *failures]


def machine_line(report: Report) -> str:
    """What it was measured on."""
    m, s = report["machine"], report["settings"]
    ceilings = "; ".join(
        f"{t} thread{'s' * (t != '1')}: sgemm {c['sgemm'] / 1e9:.0f} GF/s, memory {c['bandwidth'] / 1e9:.0f} GB/s"
        for t, c in report["ceilings"].items()
    )
    versions = ", ".join(f"{name} {m[name]}" for name in ("numpy", "numba", "torch") if m[name])
    return f"{s['preset']} on {m['cpu']}, {m['cores']} cores, Python {m['python']}, {versions}. {ceilings}."


def rich_table(headings: list[str], rows: list[list[str]]) -> Table:
    """For a terminal: words to the left, numbers to the right."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True, justify="left" if heading in WORDS else "right")
    for row in rows:
        table.add_row(*row)
    return table


def start_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: start-up and memory."""
    rows = []
    for s in report["start"]:
        spread = "" if len(s["rounds"]) == 1 else "…".join(quantity(f(s["rounds"]), s["unit"]) for f in (min, max))
        rows.append([s["what"], quantity(s["median"], s["unit"]), spread])
    return ["what", "median", "range"], rows


def tables(report: Report) -> list[tuple[list[str], list[list[str]]]]:
    """All that have rows: what was meant to be reached comes first."""
    every = (target_rows(report), case_rows(report), start_rows(report), op_rows(report))
    return [(headings, rows) for headings, rows in every if rows]


def markdown(report: Report) -> str:
    """The tables, the machine and the notes."""
    parts = [machine_line(report)]
    for headings, rows in tables(report):
        lines = [headings, ["---"] * len(headings), *rows]
        parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
    return "\n\n".join([*parts, *notes(report)]) + "\n"
