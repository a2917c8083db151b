# SPDX-License-Identifier: Apache-2.0
"""Stands for the agent's endpoint: serves the page live, with windows and profiles of the sample."""
import http.server
import json
import threading
import urllib.parse

from sample import sample

START, SECOND = 1795428000 * 10 ** 9, 10 ** 9


class Endpoint:
    def __init__(self, page, token=None, windows=30):
        self.asked, self.windows = [], [
            {"id": i + 1, "type": "cpu", "time_ns": str(START + i * 10 * SECOND), "duration_ns": str(10 * SECOND),
             "total": int((6 + 5 * ((i * 37) % 11) / 11) * SECOND)} for i in range(windows)]
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                url = urllib.parse.urlparse(self.path)
                endpoint.asked.append(self.path)
                if url.path == "/":
                    return self.answer(200, "text/html; charset=utf-8", page)
                if token and self.headers.get("Authorization") != "Bearer " + token:
                    return self.answer(401, "text/plain", b"token wanted\n")
                if url.path == "/api/windows":
                    body = {"v": 1, "title": "node-1", "banner": "This is a recording.", "windows": endpoint.windows}
                    return self.answer(200, "application/json", json.dumps(body).encode())
                if url.path == "/api/flame":
                    q = dict(urllib.parse.parse_qsl(url.query))
                    body = sample(20, 2000, seed=int(q["from"]) % 97).data("base_from" in q, title="cpu on node-1")
                    return self.answer(200, "application/json", json.dumps(body).encode())
                return self.answer(404, "text/plain", b"no such thing\n")

            def answer(self, status, kind, body):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
