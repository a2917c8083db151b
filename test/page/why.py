# SPDX-License-Identifier: Apache-2.0
"""The flame page by type of profile: what threads wait for, for which locks, what memory is; live, the switch between types."""
import collections
import os
import re

from endpoint import Endpoint
from page import check, reconciled
from sample import CLASS, IDLE, LOCKS, MARK, memory, off, sample

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bpf/reason.h"), encoding="utf-8") as file:
    REASONS = file.read().split("enum off_reason", 1)[0]
SNAPSHOT = """const path = []; for (let n = zoomed; n > 0; n = profile.parent[n]) path.unshift(profile.name(n));
    const of = id => document.getElementById(id);
    return [type, of('range').value, of('base').value, of('process').value, of('container').value, of('value').value, pattern, of('matched').textContent,
        path, profile.total[0], profile.hidden, [...chosen.names], chosen.out, noIdle, by, apart, of('top').hidden, sort.key, sort.down,
        of('summary').textContent]"""


def classes(data):
    """What each class comes to, by the data itself; "": lost, of none."""
    sums = collections.Counter()
    for n in data["nodes"]:
        name, kind = (data["names"][data["frames"][n[1]][0]], data["frames"][n[1]][1]) if n[1] >= 0 else ("", None)
        lost = kind == MARK and name.startswith(("[lost", "[blocks whose"))
        sums[name[1:-1] if kind == CLASS else "" if lost else "running"] += n[3 + data["shown"]]
    return {k: v for k, v in sums.items() if v}


def idle(data):
    total, nodes = 0, data["nodes"]
    for n in nodes:
        why = data["names"][data["frames"][n[1]][0]] if n[1] >= 0 else ""
        up = n[0]
        while n[1] >= 0 and data["frames"][n[1]][1] == CLASS and why != "[scheduler]" and nodes[up][1] >= 0:
            if data["names"][data["frames"][nodes[up][1]][0]] in IDLE:
                total += n[3 + data["shown"]]
                break
            up = nodes[up][0]
    return total


def human(p, v):
    return p.b.js("return human(arguments[0], profile.unit)", v)


def chips(p):
    return p.b.js("return [...document.querySelectorAll('#chips .chip')].map(c => [c.children[1].textContent, c.querySelector('b').textContent, "
                  "c.getAttribute('aria-pressed')])")


def click_chip(p, name, shift=False):
    p.b.js("""[...document.querySelectorAll('#chips button')].find(c => c.dataset.why === arguments[0])
        .dispatchEvent(new MouseEvent('click', {shiftKey: arguments[1]}))""", name, shift)
    p.settle()


def top(p):
    return p.b.js("return canvas.getBoundingClientRect().top")


def total(p):
    return p.b.js("return profile.total[0]")


def reasons(p):
    data = off().data()
    p.load(data, "offcpu")
    sums, whole, hides = classes(data), sum(n[4] for n in data["nodes"]), idle(data)
    lost = sums.pop("")
    order = sorted(sums, key=sums.get, reverse=True)
    check("a chip for each reason, the largest first", chips(p) == [[k, human(p, sums[k]), "true"] for k in order] and len(order) > 9, chips(p))
    untold = [w for w in re.findall(r'\bX\(\w+, "([^"]+)"\)', REASONS) if not p.b.js("return meaning(arguments[0])", w)]
    check("each reason says what it means", untold == [], untold)
    check("chips and what was lost are all there is", sum(sums.values()) + lost == whole and
          p.b.js("return profile.sizes.reduce((a, b) => a + b)") == whole and total(p) == whole and reconciled(p, data))
    check("time off the CPU is told in threads too", "threads at a time" in p.text("summary") and " off the CPU in 60 s" in p.text("summary"), p.text("summary"))
    check("a stack whose block was lost is a loss", "blocks whose stack was lost" in p.text("losses") and "store full" in p.text("losses"), p.text("losses"))
    check("nothing is hidden at first", p.text("hidden") == "nothing hidden" and p.b.js("return document.getElementById('all').disabled"))
    p.shot("offcpu")
    before = top(p)
    click_chip(p, "sleep")
    check("a click takes a reason out", total(p) == whole - sums["sleep"] and reconciled(p, data) is False and
          ["sleep", human(p, sums["sleep"]), "false"] in chips(p) and p.b.js(
              "return [...Array(profile.count).keys()].every(n => profile.name(n) !== '[sleep]' || !profile.total[n])"), (total(p), chips(p)))
    check("and tells what is hidden", p.text("hidden").startswith("%s of %s hidden (" % (human(p, sums["sleep"]), human(p, whole))), p.text("hidden"))
    click_chip(p, "sleep")
    check("a second click puts it back", total(p) == whole)
    click_chip(p, "io", True)
    check("with Shift only that one is shown", total(p) == sums["io"] and not p.shown("losses"), total(p))
    click_chip(p, "network")
    check("and others can come to it", total(p) == sums["io"] + sums["network"])
    p.b.js("document.getElementById('all').click()")
    check("everything can be shown again", total(p) == whole and p.text("hidden") == "nothing hidden")
    p.b.keys("i")
    p.settle()
    mutex = sum(n[4] for n in data["nodes"] if n[1] >= 0 and data["names"][data["frames"][n[1]][0]] == "[mutex]")
    check("i hides who waits for work", total(p) == whole - hides and "Hide idle " + human(p, hides) == p.b.js(
        "return document.querySelector('#chips .idle').textContent.replace(/ +/g, ' ')") and p.text("hidden").startswith(human(p, hides)), (total(p), whole - hides))
    shown = dict((k, v) for k, v, _ in chips(p))
    check("chips tell what is left", shown["waiting"] == "0" and shown["io"] == human(p, sums["io"]) and shown["mutex"] not in ("0", human(p, mutex)), shown)
    check("nothing moved", top(p) == before, (before, top(p)))
    p.shot("offcpu-idle")
    p.b.js("document.querySelector('#chips .idle').focus()")
    p.b.keys("Tab", "Space")
    p.settle()
    check("keys reach a reason, and stay on it", p.b.js("return [document.activeElement.dataset.why, ...chosen.names]") == [order[0], order[0]])
    p.b.keys("Space")
    p.settle()
    p.b.js("document.getElementById('all').click()")
    p.b.choose("process", "cbash")
    click_chip(p, "io", True)
    check("where all is hidden that is told", p.shown("message") and p.text("message").startswith("Everything here is hidden: "), p.text("message"))
    p.b.choose("process", "")
    p.b.js("document.getElementById('all').click()")
    p.b.keys("t")
    self = {}
    for n in data["nodes"]:
        up = data["nodes"][n[0]][1] if n[0] >= 0 else -1
        if n[1] >= 0 and data["frames"][n[1]][1] == CLASS and up >= 0:
            self[up] = self.get(up, 0) + n[4]
    best = max(self, key=self.get)
    row = p.b.js("return [...document.querySelectorAll('tbody tr')][0].textContent")
    check("a function's own time is what it waits for", row.startswith(data["names"][data["frames"][best][0]]) and human(p, self[best]) in row, row)
    p.b.keys("t")
    node = "[...Array(profile.count).keys()].find(n => profile.name(n) === '[waiting]')"
    p.b.pointer(p.where(node))
    p.settle()
    check("the tip tells what a reason is", "poll, select or epoll" in p.text("tip"), p.text("tip"))


def by_class(p):
    data = off().data()
    p.load(data, "by")
    sums, whole = classes(data), sum(n[4] for n in data["nodes"])
    p.b.keys("r")
    p.settle()
    tops = p.b.js("return [...profile.kids(0)].map(n => [profile.name(n), profile.total[n]])")
    lost = sums.pop("")
    check("r makes a tree for each reason", [t for t in tops if t[0][1:-1] in sums] ==
          [["[%s]" % k, sums[k]] for k in sorted(sums, key=sums.get, reverse=True)] and
          sum(t[1] for t in tops if t[0][1:-1] not in sums) == lost, tops)
    check("with processes below", p.b.js("return profile.name(profile.kids(profile.kids(0)[0])[0])") == "java (1210)" and
          p.b.js("return [...Array(profile.count).keys()].every(n => profile.kind(n) !== CLASS || profile.depth[n] === 1)"))
    check("and the same total", total(p) == whole and reconciled(p, data))
    check("its button is pressed", p.b.js("return document.getElementById('by').getAttribute('aria-pressed')") == "true" and "reason" in p.text("by"))
    p.shot("offcpu-by-reason")
    p.b.keys("p")
    p.settle()
    check("each process apart there too", total(p) == whole and reconciled(p, data))
    p.b.keys("p", "r")
    p.settle()
    base = off().data(base=True)
    p.load(base, "off-diff")
    click_chip(p, "mutex", True)
    now, before = (sum(n[v] for n in base["nodes"] if n[1] >= 0 and base["names"][base["frames"][n[1]][0]] == "[mutex]") for v in (4, 6))
    check("a difference has reasons too", p.b.js("return [profile.total[0], profile.baseTotal[0]]") == [now, before], p.text("summary"))
    p.shot("offcpu-diff")


def others(p):
    data = off("wall").data()
    p.load(data, "wall")
    sums, whole = classes(data), sum(n[3] for n in data["nodes"])
    check("wall clock: what runs is a reason too", ["running", human(p, sums["running"]), "true"] in chips(p), chips(p))
    check("wall clock: totals hold", total(p) == whole and reconciled(p, data) and p.b.js("return profile.sizes.reduce((a, b) => a + b)") == whole)
    p.b.keys("r")
    p.settle()
    check("wall clock: by reason too", total(p) == whole and reconciled(p, data))
    p.shot("wall-by-reason")
    p.b.keys("r")
    data = off("mutex").data()
    p.load(data, "mutex")
    sums, whole = classes(data), sum(n[4] for n in data["nodes"])
    names = {w[0] for waits in LOCKS.values() for w in waits}
    check("locks: a chip for each class", {c[0] for c in chips(p)} == names and "lock class" in p.text("by"), chips(p))
    check("locks: time waited, and totals hold", "waited for locks" in p.text("summary") and total(p) == whole and reconciled(p, data), p.text("summary"))
    check("locks: nobody is idle", not p.b.js("return !!document.querySelector('#chips .idle')"))
    p.b.choose("value", "contentions")
    p.settle()
    waits = sum(n[3] for n in data["nodes"])
    check("locks: waits are counted", total(p) == waits and " waits in 60 s" in p.text("summary"), p.text("summary"))
    p.b.choose("value", "delay/s")
    p.settle()
    check("locks: threads that wait at a time", p.text("summary").startswith(human(p, whole)) and " threads on average over 60 s" in p.text("summary") and
          abs(float(p.text("summary").split()[0]) / (whole / 60e9) - 1) < .05, p.text("summary"))
    p.shot("mutex")
    for type, words, count in (("memory", "became resident", "page faults"), ("heap", "in use", "objects in use"), ("allocs", "allocated", "allocations")):
        data = memory(type).data()
        p.load(data, type)
        whole = sum(n[4] for n in data["nodes"])
        check(type + ": bytes", p.text("summary").startswith(human(p, whole)) and "iB " + words in p.text("summary") and reconciled(p, data), p.text("summary"))
        check(type + ": no reasons", not p.shown("reasons") and not p.shown("by"))
        name = data["values"][0][0]
        p.b.choose("value", name)
        p.settle()
        check(type + ": counts", count in p.text("summary") and total(p) == sum(n[3] for n in data["nodes"]), p.text("summary"))
    data = sample().data()
    p.load(data, "cpu")
    p.b.choose("value", "cpu/s")
    p.settle()
    check("cpu: in CPUs", p.text("summary").startswith("%.2f CPUs on average over 60 s" % (total(p) / 60e9)), p.text("summary"))
    check("cpu: no reasons", not p.shown("reasons"))


def crowded(p):
    evil = "<img src=x onerror=\"document.title='owned'\">"
    t = off()
    for i in range(400):
        t.add(t.node(t.node(0, t.frame("f", 0, "")), t.frame("[%s%d]" % (evil, i), CLASS, "")), 5 + i)
    data = t.data()
    p.load(data, "crowded")
    check("reasons are never markup", p.b.js("return document.images.length") == 0 and evil in p.text("chips"))
    named = {c[0] for c in chips(p)}
    rest = sum(v for k, v in classes(data).items() if k and k not in named)
    check("very many are gathered, and totals hold", len(named) == 252 and rest > 0 and ["other", human(p, rest), "true"] in chips(p) and
          p.b.js("return profile.sizes.reduce((a, b) => a + b)") == total(p) == sum(n[4] for n in data["nodes"]), (len(named), rest))
    p.b.keys("r")
    p.settle()
    check("and each has its tree", reconciled(p, data) and "[other]" in p.b.js("return [...profile.kids(0)].map(n => profile.name(n))"))
    check("they leave room for the graph", p.b.js("return document.getElementById('flame').clientHeight") > 400)
    p.b.keys("r")


def embedded(p):
    crowded(p)
    reasons(p)
    by_class(p)
    others(p)


ALL = ("cpu", "offcpu", "wall", "mutex", "memory", "heap")


def tabs(p):
    return p.b.js("return [...document.getElementById('types').children].map(b => b.textContent + (b.getAttribute('aria-pressed') === 'true' ? '*' : ''))")


def come(p, type):
    p.b.until("profile && profile.data.type === '%s' && document.getElementById('message').hidden" % type)
    p.settle()


def switches(p, endpoint):
    p.b.open(endpoint.url)
    come(p, "cpu")
    check("live: a tab for each type that is on", tabs(p) == ["CPU*", "Off-CPU", "Wall clock", "Locks", "Memory"], tabs(p))
    for key, type in enumerate(("cpu", "offcpu", "wall", "mutex", "memory"), 1):
        p.b.keys(str(key))
        come(p, type)
        p.b.choose("range", "all")
        p.b.until("profile.data.duration_ns === '300000000000'")
        p.settle()
        kept = sum(w["total"] for w in endpoint.windows if w["type"] == type)
        check("live: %s: the windows' totals are what is shown" % type, total(p) == kept and p.b.js("return type") == type, (total(p), kept))
    p.b.choose("value", "heap:inuse_space")
    come(p, "heap")
    last = [w for w in endpoint.windows if w["type"] == "heap"][-1]
    check("live: of what is in use the last window is shown", tabs(p)[-1] == "Memory*" and total(p) == last["total"] and "GiB in use" in p.text("summary"),
          p.text("summary"))
    p.b.keys("1")
    come(p, "cpu")
    p.b.keys("5")
    come(p, "heap")
    check("live: a tab comes back to what it showed", p.b.js("return document.getElementById('value').value") == "inuse_space")
    p.b.keys("1")
    come(p, "cpu")
    one = [w for w in endpoint.windows if w["type"] == "cpu"][4]
    p.b.choose("range", "w%d" % one["id"])
    p.b.until("profile.data.duration_ns === '10000000000'")
    p.b.js("document.querySelector('#types button').focus()")
    p.b.keys("Tab", "Space")
    come(p, "offcpu")
    same = [w for w in endpoint.windows if w["type"] == "offcpu" and w["time_ns"] == one["time_ns"]][0]
    check("live: tabs are reached by keys, and the time stays", total(p) == same["total"] and tabs(p)[1] == "Off-CPU*", (total(p), same))
    p.shot("live-offcpu")


def links(p, endpoint):
    p.b.open("about:blank")
    p.b.open(endpoint.url + "#type=offcpu")
    come(p, "offcpu")
    check("live: the address picks the type", tabs(p)[1] == "Off-CPU*", tabs(p))
    p.b.choose("process", "cpostgres")
    p.b.choose("value", "off_cpu/s")
    for name in ("sleep", "short blocks"):
        click_chip(p, name)
    p.b.keys("i", "r", "p", "t")
    p.b.js("setSearch('^(pread|recv)$'); document.querySelectorAll('thead button')[2].click()")
    p.b.js("zoom([...Array(profile.count).keys()].find(n => profile.name(n) === 'PortalRun' && profile.total[n] > 0))")
    p.settle()
    seen, address = p.b.js(SNAPSHOT), p.b.js("return location.href")
    p.b.open("about:blank")
    p.b.open(address)
    come(p, "offcpu")
    again = p.b.js(SNAPSHOT)
    check("live: the address brings the same view back", again == seen and again[8][-1] == "PortalRun" and again[10] > 0, (seen, again, address))
    p.b.open(endpoint.url + "#type=offcpu&range=60&reason=io,network&idle=hidden")
    p.b.until("chosen.out === false")
    come(p, "offcpu")
    check("live: another address in the same tab is another view", [c[0] for c in chips(p) if c[2] == "true"] == ["network", "io"], chips(p))
    p.b.keys("3")
    come(p, "wall")
    check("live: reasons stay from off-CPU to wall clock", [c[0] for c in chips(p) if c[2] == "true"] == ["network", "io"], chips(p))
    p.b.keys("4")
    come(p, "mutex")
    check("live: but are not classes of locks", p.text("hidden") == "nothing hidden" and p.b.js("return document.getElementById('all').disabled") and "reason" not in p.b.js("return location.hash"))
    p.b.choose("process", "p1210")
    p.b.keys("2")
    come(p, "offcpu")
    check("live: a process stays from type to type", p.b.js("return [...profile.kids(0)].map(n => profile.name(n))") == ["java (1210)"])
    p.b.choose("process", "cbash")
    p.b.keys("4")
    come2 = p.b.until("profile.data.type === 'mutex'")
    p.settle()
    check("live: also where it has nothing", come2 and p.text("message") == "No samples here." and
          p.b.js("return document.getElementById('process').selectedOptions[0].textContent") == "bash", p.text("message"))


def gaps(p, endpoint):
    cut = int(endpoint.windows[0]["time_ns"]) + 200 * 10 ** 9
    had, endpoint.windows = endpoint.windows, [w for w in endpoint.windows if w["type"] != "mutex" or int(w["time_ns"]) >= cut]
    p.b.open("about:blank")
    p.b.open(endpoint.url + "#type=offcpu&range=w2&q=java")
    come(p, "offcpu")
    p.b.js("zoom([...profile.kids(0)].find(n => profile.name(n) === 'java (1210)'))")
    p.b.keys("4")
    p.b.until("document.getElementById('message').textContent.startsWith('no window')")
    check("live: a time without windows of the type is told", p.text("message") == "no window in that time" and not p.shown("reasons") and
          not p.text("summary") and not p.text("matched"), p.text("message"))
    p.b.keys("i", "r", "2")
    come(p, "offcpu")
    check("live: and the way back shows what was seen", p.b.js("return profile.name(zoomed)") == "java (1210)" and p.shown("reasons") and
          not p.b.js("return by || noIdle"), p.text("summary"))
    endpoint.windows = had


def later(p, endpoint):
    endpoint.windows = [w for w in endpoint.windows if w["type"] in ("cpu", "wall")]
    p.b.open("about:blank")
    p.b.open(endpoint.url + "#type=offcpu&process=cjava")
    come(p, "cpu")
    check("live: types that are off have no tab", tabs(p) == ["CPU*", "Wall clock"], tabs(p))
    endpoint.windows += [endpoint.window(i, 1, "offcpu") for i in range(30)]
    endpoint.windows.sort(key=lambda w: int(w["time_ns"]))
    check("live: a type that was asked for may come later", p.b.js("return location.hash").startswith("#type=offcpu") and
          p.b.until("profile.data.type === 'offcpu'", 15) and tabs(p) == ["CPU", "Off-CPU*", "Wall clock"], tabs(p))


def live(p, parts=(switches, links, gaps, later)):
    endpoint = Endpoint(p.html.encode(), types=ALL)
    try:
        for part in parts:
            part(p, endpoint)
    finally:
        endpoint.close()


def narrow(p):
    endpoint = Endpoint(p.html.encode(), types=ALL)
    try:
        p.b.phone()
        p.b.open("about:blank")
        p.b.open(endpoint.url + "#type=offcpu&idle=hidden")
        come(p, "offcpu")
        wide = p.b.js("return [document.documentElement.scrollWidth, innerWidth, document.getElementById('flame').clientHeight]")
        check("narrow: nothing reaches over the side", wide[:2] == [390, 390], wide)
        check("narrow: half of it is the graph", wide[2] > 400, wide)
        check("narrow: reasons are one row that scrolls", p.b.js("return document.getElementById('chips').offsetHeight < 34 && document.getElementById('chips').scrollWidth > 390"))
        check("narrow: filters wait behind a button", not p.shown("process") and p.shown("more"))
        p.shot("narrow")
        p.b.js("document.getElementById('more').click()")
        check("narrow: and come with it", p.shown("process") and p.shown("by") and p.b.js("return document.documentElement.scrollWidth") == 390)
        p.shot("narrow-filters")
        p.load(sample().data(banner="This is a recording of another machine, not of this one."))
        check("narrow: standing alone too", p.b.js("return document.documentElement.scrollWidth") == 390 and not p.shown("types"))
        p.shot("narrow-alone")
    finally:
        p.b.phone(0)
        endpoint.close()
