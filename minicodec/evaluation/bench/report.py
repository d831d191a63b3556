"""bench.json, and the tables made of it: for a terminal, and as Markdown for a README.

    version, machine, settings
    ceilings   {"1": {"sgemm": flop/s, "bandwidth": bytes/s}, ...} by number of threads
    ops        a record for each op, size, direction, backend and number of threads (`ops.Result`; gflops, share)
    cases      a record for each case, implementation and number of threads: median, quartiles, the medians of the
               rounds (all seconds), gflops, share of the peak, memory (bytes at the height of a call, beyond what the
               process had before), error (why there are no figures)
    ratios     a record for each case, rival and number of threads: rival's time / minicodec's. ratio, lowest and
               highest of the rounds; the target, where there is one, and whether it is met
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.table import Table

Report = dict[str, Any]
OP_HEADINGS = ("op", "size", "", "threads", "definition, ms", "fast, ms", "x", "GF/s", "of peak", "GB/s")
BUSY = 0.5  # processes that want a core before the benchmark starts its own
CASE_HEADINGS = ("case", "threads", "ms", "GF/s", "of peak", "MB")


def ratios(cases: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """How many times as fast minicodec is, from the records of the cases."""
    ours = {(c["case"], c["threads"]): c for c in cases if c["implementation"] == "minicodec"}
    for c in cases:
        if c["implementation"] == "minicodec" or not c["rounds"]:
            continue
        own = ours[c["case"], c["threads"]]
        by_round = [theirs / mine for theirs, mine in zip(c["rounds"], own["rounds"], strict=True)]
        ratio, target = float(np.median(by_round)), c["target"]
        # The targets are set against eager PyTorch.
        met = None if target is None or c["implementation"] != "torch" else ratio >= target
        yield {
            "case": c["case"], "against": c["implementation"], "threads": c["threads"], "ratio": ratio,
            "lowest": min(by_round), "highest": max(by_round), "target": target, "met": met,
        }  # fmt: skip


def case_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: a row for each case and number of threads, the rivals beside minicodec."""
    rivals = list(dict.fromkeys(c["implementation"] for c in report["cases"] if c["implementation"] != "minicodec"))
    headings = [*CASE_HEADINGS]
    for rival in rivals:
        headings += [f"{rival}, ms", f"MB ({rival})", f"x {rival}"]
    headings += ["target"] if "torch" in rivals else []
    theirs = {(c["case"], c["threads"], c["implementation"]): c for c in report["cases"]}
    compared = {(r["case"], r["threads"], r["against"]): r for r in report["ratios"]}
    rows = []
    for c in report["cases"]:
        if c["implementation"] != "minicodec":
            continue
        row = [c["case"], str(c["threads"]), milliseconds(c), *throughput(c), megabytes(c)]
        for rival in rivals:
            key = (c["case"], c["threads"], rival)
            their = theirs.get(key)
            row += [milliseconds(their), megabytes(their), times_as_fast(compared.get(key))]
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
        return "fails"
    spread = (record["upper_quartile"] - record["lower_quartile"]) / 2 * 1e3
    digits = 2 if record["median"] < 0.1 else 0
    return f"{record['median'] * 1e3:.{digits}f} ± {spread:.{digits}f}"


def throughput(record: dict[str, Any]) -> list[str]:
    """GF/s and share of the peak; two empty cells where no work is counted."""
    if record["gflops"] is None:
        return ["", ""]
    return [f"{record['gflops']:.1f}", f"{record['share']:.0%}"]


def megabytes(record: dict[str, Any] | None) -> str:
    """Of memory, in 10^6 bytes."""
    return "" if record is None or record["memory"] is None else f"{record['memory'] / 1e6:.0f}"


def times_as_fast(ratio: dict[str, Any] | None) -> str:
    """The ratio, with its range if there were several rounds; what is slower than the rival is marked."""
    if ratio is None:
        return ""
    mark = " SLOWER" if ratio["ratio"] < 1 else ""
    spread = "" if ratio["lowest"] == ratio["highest"] else f" ({ratio['lowest']:.2f}…{ratio['highest']:.2f})"
    return f"{ratio['ratio']:.2f}{spread}{mark}"


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
    if report["settings"]["peer"] and report["settings"]["quick"]:
        lines.append("torch.compile: not in a quick run, compiling takes minutes.")
    load = report["machine"]["load"]
    if load is not None and load > BUSY:
        lines.append(f"THE MACHINE WAS BUSY before this began (load average {load:.1f}): no figure can be trusted.")
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
        table.add_column(heading, no_wrap=True, justify="left" if heading in ("op", "size", "", "case") else "right")
    for row in rows:
        table.add_row(*row)
    return table


def markdown(report: Report) -> str:
    """Both tables, the machine and the notes."""
    parts = [machine_line(report)]
    for headings, rows in (case_rows(report), op_rows(report)):
        if rows:
            lines = [headings, ["---"] * len(headings), *rows]
            parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
    return "\n\n".join([*parts, *notes(report)]) + "\n"
