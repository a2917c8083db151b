# SPDX-License-Identifier: Apache-2.0
"""The flame page in a browser, and what is checked of it."""
import json
import os
import time

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../modules/export/page/flame.html")
MARK = "/*telegen:data*/null/*:telegen*/"
results = {True: 0, False: 0}


def check(what, good, seen=""):
    results[bool(good)] += 1
    print("%s page: %s%s" % ("ok" if good else "not ok", what, "" if good or seen == "" else ": saw %s" % (seen,)), flush=True)


def console(browser):
    return [m for m in browser.console() if "getImageData" not in m]  # that is this test, reading pixels


class Page:
    def __init__(self, browser, folder, shots):
        self.b, self.folder, self.shots = browser, folder, shots
        with open(PAGE, encoding="utf-8") as f:
            self.html = f.read()

    def load(self, data, name="page"):
        path = os.path.join(self.folder, name + ".html")
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.html.replace(MARK, json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")))
        self.b.open("file://" + path)
        self.b.until("!drawing && profile")

    def shot(self, name):
        if self.shots:
            time.sleep(.3)
            self.b.screenshot(os.path.join(self.shots, name + ".png"))

    def text(self, id):
        return self.b.js("return document.getElementById(arguments[0]).textContent", id)

    def shown(self, id):
        return self.b.js("return document.getElementById(arguments[0]).checkVisibility()", id)

    def settle(self):
        time.sleep(.3)
        self.b.until("!drawing")

    def where(self, expression):
        """Where the node of a JavaScript expression is on the screen: the middle of the part that is seen."""
        return self.b.js("""const n = %s, r = canvas.getBoundingClientRect(), s = r.width / (view.high - view.low);
            const a = Math.max(0, (profile.x[n] - view.low) * s), b = Math.min(r.width, (profile.x[n] + profile.width[n] - view.low) * s);
            return [r.x + (a + b) / 2, r.y + profile.depth[n] * ROW - scroller.scrollTop + ROW / 2]""" % expression)

    def pixel(self, expression):
        """Its colour: [red, green, blue, alpha] near its left edge, beside the label."""
        return self.b.js("""const n = %s, s = canvas.width / (view.high - view.low), k = devicePixelRatio;
            return [...canvas.getContext('2d').getImageData(Math.max(0, (profile.x[n] - view.low) * s) + 2 * k,
            (profile.depth[n] * ROW - scroller.scrollTop + 4) * k, 1, 1).data]""" % expression)


CHILD = "profile.kids(profile.kids(0)[0])[0]"


def texts(p):
    """What one drawing writes onto the canvas."""
    return p.b.js("""const seen = [], c = CanvasRenderingContext2D.prototype, had = c.fillText;
        c.fillText = function (t, ...rest) { seen.push(t); had.call(this, t, ...rest); }; draw(); c.fillText = had; return seen""")


def reconciled(p, data):
    """Every level of the drawing sums up to what is above it, and the root to the data."""
    return p.b.js("""const p = profile, whole = Math.round(p.total[0]); let good = true;
        for (let n = 0; n < p.count; n++) good = good && Math.abs(p.total[n] - p.self[n] - [...p.kids(n)].reduce((a, c) => a + p.total[c], 0)) < .5;
        return good && whole""") == sum(n[3 + data["shown"]] for n in data["nodes"])
