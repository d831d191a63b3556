"""A web server on this machine that serves files, resumes, breaks off, redirects and refuses as a test wants it."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD; see `serve`."""

    def do_GET(self):
        state, path = self.server, self.path.lstrip("/")
        wanted = self.headers.get("Range")
        state.requests.append((self.command, path, wanted))
        if path in state.redirects:
            self.send_response(302)
            self.send_header("Location", "/" + state.redirects[path])
            for name, value in state.headers.get(path, {}).items():
                self.send_header(name, value)
            self.end_headers()
            return
        if path not in state.files:
            self.send_error(404)
            return
        content = state.files[path]
        start = int(wanted[6:-1]) if wanted else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: state.budgets.pop(0) if state.budgets else None])

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args):
        pass


@contextmanager
def serve(files):
    """The server: `files` {path: bytes}, `redirects` {path: path}, `headers` of redirections {path: {name: value}},
    `budgets`, after how many bytes the next answers break off; `requests`, what was asked for; `url`.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.redirects, server.headers, server.budgets, server.requests = files, {}, {}, [], []
    server.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
