"""The server of a listening test: the page, the sounds, and the ratings that come back.

    GET  /, /page.css, /page.js, /player.js
    GET  /test                            {"screens": how many are rated, "conditions": how many each has}
    POST /sessions                        {"listener": name or ""} -> {"session": SESSION}
    GET  /sessions/SESSION                {"screens": [{"scores": [57, null, ...], "done": false}, ...]}
    POST /sessions/SESSION                {"screen": 1, "scores": [...], "done": false}, answered when on the disk
    GET  /sounds/SESSION/SCREEN/NUMBER    a WAV file; number 0 is the open reference

No part of an address ever becomes part of a path: what is not in this table does not exist. Only pages of this server
may post (Origin, and JSON, which other sites' forms cannot send), and it answers only to its own name: a name that
somebody else's name server points at this machine (DNS rebinding) is refused.
"""

import ipaddress
import json
import re
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socket import AF_INET6
from typing import Any
from urllib.parse import urlsplit

from minicodec.errors import InputError
from minicodec.evaluation.listening.session import ListeningTest

LARGEST_POST = 4096  # bytes; twelve scores need about a hundred
PATIENCE = 30.0  # seconds that a silent connection is kept
PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/player.js": ("player.js", "text/javascript; charset=utf-8"),
}
SESSION = re.compile(r"/sessions/([0-9a-f]{32})")
SOUND = re.compile(r"/sounds/([0-9a-f]{32})/([0-9]{1,4})/([0-9]{1,2})")
ALWAYS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server(ThreadingHTTPServer):
    """Serves one test at host:port (port 0: any that is free) until it is shut down. InputError: it cannot."""

    request_queue_size = 128  # browsers of a class that connect in the same moment; the default resets the sixth

    def __init__(self, test: ListeningTest, host: str, port: int):
        self.test, self.host = test, host
        if ":" in host:
            self.address_family = AF_INET6
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{host}:{port}: cannot be served at ({reason}); see --host and --port") from error

    @property
    def url(self) -> str:
        """What to type into the browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_port}/"

    def answers_to(self, host: str) -> bool:
        """Is this Host header ours? An address is: to forge one, a name server is of no use."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in ("localhost", self.host.lower())
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a browser has gone away; anything else is a mistake of ours and shows its traceback."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class RefusedError(Exception):
    """A request that gets an error for an answer, with a line that says why."""

    def __init__(self, status: HTTPStatus, reason: str):
        super().__init__(reason)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    server_version, sys_version = "minicodec", ""
    timeout = PATIENCE

    def do_GET(self) -> None:  # noqa: D102
        self._answer(self._get)

    def do_POST(self) -> None:  # noqa: D102
        self._answer(self._post)

    def _other(self) -> None:
        self._answer(self._refuse_method)

    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _other  # noqa: N815

    def _answer(self, method: Callable[[], None]) -> None:
        try:
            if not self.server.answers_to(self.headers.get("Host", "")):
                raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, "this server has another name")
            method()
        except RefusedError as refusal:
            self._send(f"{refusal}\n".encode(), "text/plain; charset=utf-8", refusal.status)

    def _get(self) -> None:
        test = self.server.test
        if self.path in PAGE:
            name, kind = PAGE[self.path]
            self._send((files(__package__) / "page" / name).read_bytes(), kind)
        elif self.path == "/test":
            self._send_json({"screens": test.screens, "conditions": len(test.clips[0].conditions)})
        elif match := SESSION.fullmatch(self.path):
            self._send_json(self._found(test.state, match[1]))
        elif match := SOUND.fullmatch(self.path):
            path = self._found(test.stimulus, match[1], int(match[2]), int(match[3]))
            try:
                data = path.read_bytes()
            except OSError as error:
                raise RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, f"the sound is gone: {error.strerror}") from error
            self._send(data, "audio/wav")
        else:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such page")

    def _post(self) -> None:
        match = SESSION.fullmatch(self.path)
        if self.path != "/sessions" and not match:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such page")
        fields = self._posted(("screen", "scores", "done") if match else ("listener",))
        try:
            if match:
                self._found(self.server.test.rate, match[1], *fields)
                self._send_json({})
            else:
                self._send_json({"session": self.server.test.start(*fields)}, HTTPStatus.CREATED)
        except InputError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from error

    def _posted(self, names: tuple[str, ...]) -> list[Any]:
        """The fields of the JSON object that was posted, which has just these."""
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{self.headers['Host']}":
            raise RefusedError(HTTPStatus.FORBIDDEN, "only pages of this server may post")
        if self.headers.get_content_type() != "application/json":
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "application/json is expected")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,20}", length):
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "how long is it?")
        if int(length) > LARGEST_POST:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {LARGEST_POST} bytes")
        try:
            fields = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "this is not JSON") from error
        if not isinstance(fields, dict) or set(fields) != set(names):
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"an object of {', '.join(names)} is expected")
        return [fields[name] for name in names]

    def _found(self, method: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return method(*arguments)
        except LookupError as error:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such session or sound") from error
        except OSError as error:
            raise RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, f"the ratings cannot be written: {error}") from error

    def _refuse_method(self) -> None:
        raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and POST")

    def _send_json(self, content: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(content).encode(), "application/json", status)

    def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, POST")
        for name, value in {**ALWAYS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Requests are not logged: the CSV file says what happened."""
