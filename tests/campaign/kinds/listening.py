"""The server of a listening test, and the file of its ratings."""

import csv
import socket
import threading
from functools import cache
from pathlib import Path

from minicodec.evaluation.listening import analysis, ratings
from minicodec.evaluation.listening.server import Server
from minicodec.evaluation.listening.session import ListeningTest
from minicodec.evaluation.listening.stimuli import find_clips
from tests.campaign.kinds import kind
from tests.campaign.spoil import pick, spoiled_bytes, spoiled_json
from tests.campaign.watch import Case

PATHS = (
    "/", "/test", "/sessions", "/page.css", "/sounds/{0}/1/0", "/sounds/{0}/9999/99", "/sessions/{0}", "//", "*",
    "/../../etc/passwd", "/sounds/{0}/-1/0", "http://elsewhere/", "/%2e%2e/", "/test?x", "/" + "a" * 70_000,
)  # fmt: skip
HEADERS = (
    "Content-Length: -1", "Content-Length: " + "9" * 5000, "Content-Length: 5", "Transfer-Encoding: chunked",
    "Content-Type: text/html", "Host: evil", "Origin: http://evil", "Expect: 100-continue", "X: " + "y" * 70_000,
    "Connection: keep-alive", ": empty", "Content-Length: 1\r\nContent-Length: 2", "Host: [::1", "\x00: \xff",
)  # fmt: skip
NAMES = ("Ann", "=1+1", ";=1+1", "＝1+1", "＋1", "-1", "@A1", "'x", '"', '","', "\t=1", "a,b", " =1", "é" * 60, "")
FORMULAS = tuple("=+-@＝＋－＠")


@cache
def _server(folder: Path) -> tuple[Server, str]:
    """One that runs as long as this process, and a session of it."""
    server = Server(ListeningTest(find_clips(folder / "listening"), 2, folder / "ratings.csv"), "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, server.test.start("Bob")


def _answer(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # it has heard enough, and answered
            pass
        answer = b""
        try:
            while piece := connection.recv(1 << 16):
                answer += piece
        except ConnectionError:
            pass
        return answer


@kind("listening: requests", 7)
def requests(case: Case) -> None:
    """An answer, or none to what is no request; then the server goes on."""
    rng = case.rng
    server, session = _server(case.samples.folder)
    headers = [f"Host: 127.0.0.1:{server.server_port}", *(pick(rng, HEADERS) for _ in range(int(rng.integers(3))))]
    path, body = pick(rng, PATHS).format(session), b""
    method = pick(rng, ("GET", "GET", "HEAD", "PUT", "OPTIONS", "get", "X" * 100, ""))
    if rng.random() < 0.6:
        method, path = "POST", pick(rng, ("/sessions", f"/sessions/{session}"))
        rating = {"screen": 1, "scores": [0, 20, 40, 60, 80, 100], "done": False}
        content = {"listener": pick(rng, NAMES)} if path == "/sessions" else rating
        body = spoiled_json(rng, content).encode("utf-8", "replace")
        headers += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *headers, "Connection: close", "", ""])
    request = head.encode("utf-8", "replace") + body
    if rng.random() < 0.3:
        request = spoiled_bytes(rng, request)
    answer = _answer(server.server_port, request)
    status = answer.split(b" ", 2)[1] if answer.startswith(b"HTTP/1.") else b""
    case.refused = not status.startswith(b"2")
    case.demand(status != b"500", f"{request[:300]!r} is answered by {answer[:300]!r}")
    good = _answer(server.server_port, b"GET /test HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    case.demand(good.startswith(b"HTTP/1.0 200") or good.startswith(b"HTTP/1.1 200"), "it does not answer any more")
    if server.test.path.exists() and rng.random() < 0.05:
        ratings.read(server.test.path)


@kind("listening: names of listeners", 8)
def names(case: Case) -> None:
    """No name is a formula in a spreadsheet, and each is read as it was written."""
    rng, path = case.rng, case.folder / "r.csv"
    name = pick(rng, NAMES) + "".join(map(chr, rng.integers(32, 0x2100, size=int(rng.integers(4)))))
    name = "".join(c for c in name if c.isprintable()).strip()
    rating = ratings.Rating("2027-01-01T00:00:00+00:00", "0" * 32, name, "clip", "ours-3kbps", 50, ratings.FINAL)
    ratings.append(path, [rating])
    ratings.append(path, [rating])
    case.demand(ratings.read(path) == [rating] * 2, f"{name!r} is read otherwise")
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    # As spreadsheets cut a line: at commas, or where decimals have one, at semicolons.
    cells = [cell for row in csv.reader(lines) for cell in row] + [cell for line in lines for cell in line.split(";")]
    case.demand(not any(cell.strip(' "').startswith(FORMULAS) for cell in cells), f"a formula: {cells}")


@kind("listening: ratings", 6)
def rated(case: Case) -> None:
    """A damaged file of ratings."""
    rows = [
        ratings.Rating("2027-01-01T00:00:00+00:00", f"{s:032x}", "Ann", clip, condition, 10 * s, ratings.FINAL)
        for s in range(2) for clip in ("a", "b") for condition in ("reference", "lowpass-7kHz", "ours")
    ]  # fmt: skip
    path = case.folder / "r.csv"
    ratings.append(path, rows)
    path.write_bytes(spoiled_bytes(case.rng, path.read_bytes()))
    found = case.call(ratings.read, path)
    if found is not None:
        case.call(analysis.analyse, found)


@kind("listening: clips", 3)
def clips(case: Case) -> None:
    """A folder of sounds with one that is damaged, missing, or too much."""
    source = case.samples.path("listening/clips/bells")
    for file in source.iterdir():
        data = file.read_bytes()
        if case.rng.random() < 0.2:
            data = spoiled_bytes(case.rng, data, header=44)
        if case.rng.random() < 0.95:
            case.write(f"clips/bells/{file.name}", data)
    case.call(
        find_clips, case.folder, [pick(case.rng, ("*", "b*", "[", "x", ""))], [pick(case.rng, ("*", "ours*", "[!"))]
    )
