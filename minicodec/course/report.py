"""Grades as files: CSV for all, JUnit's XML, and Gradescope's results.json for each student."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from minicodec.course.grade import Grade

FORMULA = "=+-@\t\r＝＋－＠"  # what a spreadsheet would compute; some take full-width characters for the narrow ones


def write_csv(grades: Sequence[Grade], path: Path) -> None:
    """A line per student and exercise."""
    with path.open("w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerow(["submission", "exercise", "chapter", "points", "maximum", "status", "message"])
        for g in grades:
            row = [g.submission, g.exercise, g.chapter, g.points, g.maximum, g.status, g.message]
            writer.writerow(["'" + c if isinstance(c, str) and c[:1] and c[0] in FORMULA else c for c in row])


def write_junit(grades: Sequence[Grade], path: Path) -> None:
    """JUnit's XML: a suite per student, a case per exercise."""
    root = ElementTree.Element("testsuites")
    for name in dict.fromkeys(g.submission for g in grades):
        mine = [g for g in grades if g.submission == name]
        failures = [g for g in mine if g.status != "right"]
        suite = ElementTree.SubElement(
            root, "testsuite", name=name, tests=str(len(mine)), failures=str(len(failures)), errors="0"
        )
        for g in mine:
            case = ElementTree.SubElement(suite, "testcase", classname=f"chapter {g.chapter}", name=g.exercise)
            if g.status != "right":
                ElementTree.SubElement(case, "failure", message=g.status).text = g.message
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def write_gradescope(grades: Sequence[Grade], path: Path) -> None:
    """Gradescope's results.json for one student."""
    tests = [
        {"name": f"{g.chapter}. {g.exercise}", "score": g.points, "max_score": g.maximum, "output": g.message}
        for g in grades
    ]
    path.write_text(json.dumps({"score": sum(g.points for g in grades), "tests": tests}, indent=1), encoding="utf-8")


def file_names(names: Sequence[str]) -> dict[str, str]:
    """Name of a submission -> name of its Gradescope file, which any disk takes: not too long, no two the same."""
    found: dict[str, str] = {}
    for name in names:
        short = "".join("_" if c in '/\\:*?"<>|\n' else c for c in name)
        short = short.encode()[:200].decode(errors="ignore")
        candidate, number = short, 2
        while candidate.casefold() in {other.casefold() for other in found.values()}:
            candidate, number = f"{short}-{number}", number + 1
        found[name] = candidate
    return found
