"""The server of the listening test: what it gives, what it refuses, and what it writes."""

import http.client
import json
import re
import socket
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import pytest

from minicodec.evaluation.listening import ratings
from minicodec.evaluation.listening.server import Server
from minicodec.evaluation.listening.session import ListeningTest
from minicodec.evaluation.listening.stimuli import find_clips
from tests.listening_folder import CONDITIONS, make_folder

SIX = [0, 20, 40, 60, 80, 100]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("listening"))


@pytest.fixture
def server(folder, tmp_path):
    with Server(ListeningTest(find_clips(folder), 2, tmp_path / "r.csv"), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, method, path, body=None, host=None, **headers):
    """Send just this -> status, headers, body. The path goes out as it is, whatever is in it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection._validate_path = lambda url: None  # ours is to be tested, not http.client's
    connection._encode_request = str.encode
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    names = {"Host": f"127.0.0.1:{server.server_port}" if host is None else host}
    if body is not None:
        names |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    names |= {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in names.items():
        if value:
            connection.putheader(name, value)
    connection.endheaders(body)
    with connection.getresponse() as answer:
        return answer.status, dict(answer.headers), answer.read()


def post(server, path, content):
    status, _, body = ask(server, "POST", path, json.dumps(content).encode())
    return status, json.loads(body) if status < 300 else body.decode()


def start(server, name="Ann"):
    status, answer = post(server, "/sessions", {"listener": name})
    assert status == 201
    return answer["session"]


def test_the_page_comes_from_here_alone(server):
    kinds = {"": "html", "page.css": "css", "page.js": "javascript", "player.js": "javascript"}
    for path, kind in kinds.items():
        with urllib.request.urlopen(server.url + path) as answer:
            body = answer.read()
            assert answer.headers["Content-Type"] == f"text/{kind}; charset=utf-8"
            assert "default-src 'none'; script-src 'self'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert not [name for name in answer.headers if name.startswith("Access-Control")]
        assert body == (files("minicodec.evaluation.listening") / "page" / (path or "index.html")).read_bytes()
        assert not re.search(rb"https?:|//\w+\.|\beval\(|<script>|style=", body)


def test_behind_the_numbers_are_all_conditions_and_zero_is_the_reference(server, folder):
    token = start(server)
    heard = set()
    for screen in range(3):
        sounds = [ask(server, "GET", f"/sounds/{token}/{screen}/{number}") for number in range(7)]
        assert {(status, headers["Content-Type"]) for status, headers, _ in sounds} == {(200, "audio/wav")}
        (clip,) = [p for p in (folder / "clips").iterdir() if (p / "reference.wav").read_bytes() == sounds[0][2]]
        assert sorted(body for *_, body in sounds[1:]) == sorted((clip / f"{n}.wav").read_bytes() for n in CONDITIONS)
        heard.add(clip.name)
    assert heard == {"bells", "drums", "speech"}


def test_no_answer_tells_a_name(server):
    token = start(server)
    answers = [
        ask(server, "GET", "/test"),
        ask(server, "POST", f"/sessions/{token}", json.dumps({"screen": 1, "scores": SIX, "done": True}).encode()),
        ask(server, "GET", f"/sessions/{token}"),
        ask(server, "GET", f"/sounds/{token}/1/3"),
        ask(server, "GET", f"/sounds/{token}/1/9"),
    ]
    assert [status for status, *_ in answers] == [200, 200, 200, 200, 404]
    assert json.loads(answers[0][2]) == {"screens": 2, "conditions": 6}
    everything = repr(answers)
    for name in ("bells", "drums", "speech", "Ann", *CONDITIONS):
        assert name not in everything


def test_ratings_are_in_the_file_when_the_answer_comes(server):
    token = start(server, "=Ann")
    assert post(server, f"/sessions/{token}", {"screen": 2, "scores": SIX, "done": False}) == (200, {})
    found = ratings.read(server.test.path)
    assert [(r.session, r.listener, r.score, r.state) for r in found] == [(token, "=Ann", s, "draft") for s in SIX]
    state = json.loads(ask(server, "GET", f"/sessions/{token}")[2])
    assert state["screens"][2] == {"scores": SIX, "done": False}


def test_a_hundred_listeners_at_once_are_all_served(server):
    """All connections are made before the first is taken up."""
    server.shutdown()  # from here on nobody accepts; the system keeps those that wait
    connections = [socket.create_connection(("127.0.0.1", server.server_port), timeout=20) for _ in range(100)]
    for connection in connections:
        connection.sendall(b"GET /test HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    again = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    again.start()
    for connection in connections:
        with connection:
            assert connection.makefile("rb").read().startswith(b"HTTP/1.0 200 ")
    server.shutdown()
    again.join()


def test_posts_at_the_same_time_lose_nothing(server):
    tokens = [start(server, f"listener {i}") for i in range(4)]
    posts = [(token, screen, value) for value in range(5) for screen in (1, 2) for token in tokens]
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(post, server, f"/sessions/{t}", {"screen": k, "scores": [v] * 6, "done": False})
            for t, k, v in posts
        ]
        assert {job.result()[0] for job in jobs} == {200}
    found = ratings.read(server.test.path)
    for token in tokens:
        state = json.loads(ask(server, "GET", f"/sessions/{token}")[2])["screens"]
        last = {(r.clip, r.condition): r.score for r in found if r.session == token}
        assert len(last) == 12
        assert sorted(state[1]["scores"] + state[2]["scores"]) == sorted(last.values())
    assert {r.score for r in found} == {0, 1, 2, 3, 4}


SECRETS = [b"root:", b"def ", b"RIFF", b"time,session"]


@pytest.mark.parametrize(
    "path",
    [
        *("/../../../../etc/passwd", "//etc/passwd", "/etc/passwd", "/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd"),
        *("/..\\..\\etc\\passwd", "/page.css/../../server.py", "/../server.py", "/server.py", "/page/index.html"),
        *("/page.css%00", "/page.css\x00", "/%00", "/index.html", "/r.csv", "/../r.csv", "/clips/drums/reference.wav"),
        *("file:///etc/passwd", "http://127.0.0.1/etc/passwd", "/?x=/etc/passwd", "*", "/test/", "/Test"),
        *("/sounds/TOKEN/1/../../../r.csv", "/sounds/TOKEN/1/%00", "/sounds/TOKEN/1/1.wav", "/sounds/TOKEN/1/1%20"),
        *("/sounds/TOKEN/1/-1", "/sounds/TOKEN/-1/1", "/sounds/TOKEN/1/7", "/sounds/TOKEN/3/1", "/sounds/TOKEN/1/٣"),
        *("/sounds/TOKEN/99999/1", "/sounds/TOKEN/drums/reference", "/sounds//1/1", "/sounds/0/1/1", "/sounds/TOKEN/1"),
        *("/sessions", "/sessions/", "/sessions/0", "/sessions/TOKEN/", "/sessions/" + "0" * 32, "/" + "a" * 60_000),
    ],
)
def test_nothing_else_can_be_had(server, path):
    status, _, body = ask(server, "GET", path.replace("TOKEN", start(server)))
    assert status == 404
    assert not any(secret in body for secret in SECRETS)
    assert body.count(b"\n") == 1


def test_a_raw_nul_or_a_torn_request_does_no_harm(server):
    for request in (
        b"GET /page.css\0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HT",
    ):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda connection=connection: connection.recv(65536), b""))
        assert b" 200 " not in answer
    start(server)


def test_a_sound_that_is_gone_is_an_error_and_not_the_end(server, tmp_path):
    token = start(server)
    conditions = server.test._sessions[token].screens[1].clip.conditions
    conditions["reference"] = tmp_path / "gone.wav"
    status, _, body = ask(server, "GET", f"/sounds/{token}/1/0")
    assert (status, body) == (500, b"the sound is gone: No such file or directory\n")


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
def test_other_methods(server, method):
    status, headers, _ = ask(server, method, "/")
    assert (status, headers["Allow"]) == (405, "GET, POST")
    assert not [name for name in headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("path", ["/", "/test", "/page.js", "/sounds/TOKEN/1/1", "/r.csv"])
def test_other_places_take_no_posts(server, path):
    assert ask(server, "POST", path.replace("TOKEN", start(server)), b"{}")[0] == 404


OTHERS = [
    "evil.example",
    "evil.example:PORT",
    "127.0.0.1.evil.example",
    "localhost.evil.example:PORT",
    "@",
    "[",
    "",
    "a:b",
]


@pytest.mark.parametrize("host", OTHERS)
def test_another_name_for_this_machine_is_refused(server, host):
    host = host.replace("PORT", str(server.server_port))
    assert ask(server, "GET", "/", host=host)[0] == 421
    assert ask(server, "POST", "/sessions", b'{"listener": ""}', host=host)[0] == 421


@pytest.mark.parametrize("host", ["127.0.0.1:PORT", "localhost:PORT", "LOCALHOST", "[::1]:PORT", "192.168.1.7:PORT"])
def test_its_own_names_and_addresses_are_not(server, host):
    assert ask(server, "GET", "/", host=host.replace("PORT", str(server.server_port)))[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": ""}, 415),
        ({"Content_Length": ""}, 411),
        ({"Content_Length": "-1"}, 411),
        ({"Content_Length": "1e3"}, 411),
        ({"Content_Length": "", "Transfer_Encoding": "chunked"}, 411),
        ({"Content_Length": "4097"}, 413),
        ({"Content_Length": "9" * 18}, 413),
    ],
)
def test_posts_from_elsewhere_and_of_any_size_are_refused(server, headers, status):
    assert ask(server, "POST", "/sessions", b'{"listener": ""}', **headers)[0] == status
    assert not server.test._sessions


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b"1", b'"listener"', b"\xff\xfe", b"[" * 4000, b'{"a":' * 800),
        *(b"{}", b'{"listener": 1}', b'{"listener": null}', b'{"listener": "a", "admin": true}', b'{"LISTENER": ""}'),
        *(b'{"listener": "\\u0000"}', b'{"listener": "\\ud800"}', b'{"listener": "a\\nb"}', b"9" * 4096, b"NaN"),
        b'{"listener": "%s"}' % (b"x" * 61),
    ],
)
def test_hostile_posts_start_no_session(server, body):
    status, _, text = ask(server, "POST", "/sessions", body)
    assert status == 400
    assert text.count(b"\n") == 1
    assert not server.test._sessions


@pytest.mark.parametrize(
    ("screen", "scores", "done", "status"),
    [
        ("0", SIX, "false", 400),
        ("1", SIX[1:], "false", 400),
        ("1", [*SIX[1:], 101], "false", 400),
        ("1", [*SIX[1:], 1e400], "false", 400),
        ("1", [*SIX[1:], 0.5], "false", 400),
        ("1", [*SIX[1:], [1]], "false", 400),
        ("1", [*SIX[1:], None], "true", 400),
        ("1", SIX, '"true"', 400),
        ("1e0", SIX, "false", 400),
        ('"1"', SIX, "false", 400),
        ("3", SIX, "false", 404),
        ("-1", SIX, "false", 404),
        ("9" * 4000, SIX, "false", 404),
    ],
)
def test_hostile_ratings_are_not_written(server, screen, scores, done, status):
    body = f'{{"screen": {screen}, "scores": {json.dumps(scores)}, "done": {done}}}'.encode()
    assert ask(server, "POST", f"/sessions/{start(server)}", body)[0] == status
    assert ask(server, "POST", f"/sessions/{'0' * 32}", b'{"screen": 1, "scores": [], "done": false}')[0] == 404
    assert not server.test.path.exists()


def test_ratings_that_cannot_be_written_are_not_confirmed(server):
    token = start(server)
    rating = {"screen": 1, "scores": SIX, "done": True}
    server.test.path.mkdir()
    status, reason = post(server, f"/sessions/{token}", rating)
    assert (status, reason.split(":")[0]) == (500, "the ratings cannot be written")
    server.test.path.rmdir()
    assert post(server, f"/sessions/{token}", rating) == (200, {})
    assert len(ratings.read(server.test.path)) == 6
