# SPDX-License-Identifier: Apache-2.0
"""Stands for the agent's endpoint: serves the page live, with windows and profiles of the sample. What is shown of a span is
the sum of its windows' totals. As with the agent, what is in use is of a moment: its windows last no time."""
import http.server
import json
import threading
import urllib.parse

from sample import UNITS, of_type

START, SECOND = 1795428000 * 10 ** 9, 10 ** 9


class Endpoint:
    def __init__(self, page, token=None, windows=30, types=("cpu",)):
        self.asked = []
        self.trees = {t: of_type(t, 5) for t in types}
        self.windows = [self.window(i, k, t) for i in range(windows) for k, t in enumerate(types)]
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
                    if int(q["from"]) >= int(q["to"]):
                        return self.answer(400, "text/plain", b"the time must end after it begins\n")
                    body = endpoint.flame(q)
                    return self.answer(200, "application/json", json.dumps(body).encode()) if body else self.answer(404, "text/plain", b"no window in that time\n")
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

    def window(self, i, k, type):
        w = 1 + i * 37 % 11
        return {"id": i * len(self.trees) + k + 1, "type": type, "time_ns": str(START + i * 10 * SECOND), "duration_ns": "0" if type == "heap" else str(10 * SECOND),
                "w": w, "total": w * self.trees[type].total(), "unit": UNITS.get(type, [[0, "nanoseconds"]])[-1][1]}

    def weight(self, type, begin, end):
        inside = [w["w"] for w in self.windows if w["type"] == type and int(w["time_ns"]) < int(end) and
                  int(w["time_ns"]) + max(int(w["duration_ns"]), 1) > int(begin)]
        return sum(inside), len(inside) * 10 * SECOND

    def flame(self, q):
        type, base = q["type"], "base_from" in q
        d = self.trees[type].data(base, title=type + " on node-1")
        now, ns = self.weight(type, q["from"], q["to"])
        if not ns:
            return None
        d["duration_ns"] = str(ns)
        before, ns = self.weight(type, q["base_from"], q["base_to"]) if base else (0, 0)
        d["base_duration_ns"] = str(ns)
        values = len(d["values"])
        for n in d["nodes"]:
            both = values * (2 if base else 1)
            n[3:] = [v * now for v in n[3:3 + values]] + [v * before for v in n[3 + values:3 + both]] + n[3 + both:]
        return d

    def close(self):
        self.server.shutdown()
        self.server.server_close()
