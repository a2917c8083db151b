# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium driven over WebDriver (W3C), with the standard library only."""
import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Backspace": "\ue003", "Home": "\ue011", "Tab": "\ue004",
        "ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015", "Shift": "\ue008", "Space": " "}
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def missing():
    return [p for p in ("chromedriver", "chromium") if not shutil.which(p)]


class Browser:
    def __init__(self, width=1440, height=860):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.url = "http://127.0.0.1:%d" % port
        self.profile = tempfile.TemporaryDirectory(prefix="telegen-page-")
        self.driver = subprocess.Popen(["chromedriver", "--port=%d" % port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--user-data-dir=" + self.profile.name,
                 "--window-size=%d,%d" % (width, height)]
        capabilities = {"browserName": "chrome", "goog:chromeOptions": {"args": flags, "binary": shutil.which("chromium")},
                        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        for attempt in range(100):
            try:
                answer = self.call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
                break
            except OSError:
                if attempt == 99:
                    raise
                time.sleep(.1)
        self.session = "/session/" + answer["sessionId"]

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"].split("\n")[0]) from None

    def open(self, url):
        self.call("POST", self.session + "/url", {"url": url})

    def js(self, script, *args):
        return self.call("POST", self.session + "/execute/sync", {"script": script, "args": list(args)})

    def until(self, script, seconds=10):
        end = time.time() + seconds
        while time.time() < end:
            if self.js("return " + script):
                return True
            time.sleep(.05)
        return False

    def keys(self, *names):
        actions = []
        for name in names:
            key = KEYS.get(name, name)
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.act([{"type": "key", "id": "keyboard", "actions": actions}])

    def act(self, actions):
        self.call("POST", self.session + "/actions", {"actions": actions})

    def pointer(self, *steps):
        """Steps: (x, y) moves, "down" and "up" press."""
        actions = []
        for s in steps:
            if s in ("down", "up"):
                actions.append({"type": "pointer" + s.capitalize(), "button": 0})
            else:
                actions.append({"type": "pointerMove", "x": int(s[0]), "y": int(s[1]), "duration": 30})
        self.act([{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions}])

    def click(self, x, y):
        self.pointer((x, y), "down", "up")

    def choose(self, select, value):
        self.js("const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('change'))", select, value)

    def size(self, width, height):
        self.call("POST", self.session + "/window/rect", {"width": width, "height": height})

    def phone(self, width=390, height=844):
        """A screen narrower than a window can be; 0: the window's own again."""
        cmd, params = "clear", {}
        if width:
            cmd, params = "set", {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
        self.call("POST", self.session + "/goog/cdp/execute", {"cmd": "Emulation.%sDeviceMetricsOverride" % cmd, "params": params})

    def prefer(self, scheme):
        self.call("POST", self.session + "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]}})

    def screenshot(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.call("GET", self.session + "/screenshot")))

    def console(self):
        return [e["message"] for e in self.call("POST", self.session + "/se/log", {"type": "browser"})]

    def requests(self):
        urls = []
        for e in self.call("POST", self.session + "/se/log", {"type": "performance"}):
            m = json.loads(e["message"])["message"]
            if m["method"] == "Network.requestWillBeSent":
                urls.append(m["params"]["request"]["url"])
        return urls

    def close(self):
        try:
            self.call("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.profile.cleanup()
