#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what subjects say of themselves (test/programs/truth.h) with what was captured.

truth.py SAID STEM CASE...     SAID: what they printed; STEM: captures are STEM.offcpu.pb.gz and so on. Prints `ok CASE` or
                               `not ok CASE: ...`. Cases, all of subjects whose thread or function has NAME:
  off:NAME[:PERCENT]           a path's time off the CPU in all threads, within PERCENT (5) of these threads' lives; what
                               of it was short blocks has no path, so that of these threads may be missing
  sum:NAME[:PERCENT]           all time off the CPU of each thread, against its own count (1)
  wall:NAME[:PERCENT]          all of each thread's time, on and off (2); all-NAME, also of sum: of all but that one
  ran:NAME[:PERCENT]           likewise waiting for a CPU: preempted, scheduler, cgroup_limit
  reason:NAME=REASON           of what a path was not runnable, nearly all has this reason
  runs:NAME=REASON             of what a path was runnable, most has this one
  lock:NAME=CLASS[:PERCENT]    the path's waits are contentions of this class, as long as it says (5)
  nolock:NAME                  it is no contention, but for the mutex of a condition variable
  cut:NAME[:PERCENT]           of a path's time at most so much (5) has a stack that does not reach its start
  grow:NAME[:PERCENT]          bytes (5)
  mapped:NAME[:PERCENT]        bytes by which mapped memory grew (5); where that is 0, there is nothing of it
  churn:NAME[:PERCENT]         of all threads of the process together (5)
  show                         a table of all
truth.py --whole STEM PID...   each thread of these, which were there all the time: its wall time is the capture's, to 2 %
A bar is of what was measured, and as many nanoseconds more as SLACK (in the environment) says.
"""
import gzip, os, re, sys

RUNNABLE = {"preempted", "scheduler", "cgroup_limit"}
BARE = {"short blocks", "blocks not sampled", "blocks whose stack was lost", "not yet started"}


def varint(b, i):
    n = shift = 0
    while True:
        n |= (b[i] & 127) << shift
        shift += 7
        i += 1
        if b[i - 1] < 128:
            return n, i


def fields(b):
    """(number, value) of each field of a message; packed numbers are bytes."""
    i = 0
    while i < len(b):
        key, i = varint(b, i)
        if key & 7 == 2:
            n, i = varint(b, i)
            yield key >> 3, b[i:i + n]
            i += n
        else:
            n, i = varint(b, i)
            yield key >> 3, n


def numbers(v):
    if isinstance(v, int):
        return [v]
    out, i = [], 0
    while i < len(v):
        n, i = varint(v, i)
        out.append(n)
    return out


class Capture:
    """samples: (names of functions leaf to root, labels, values)"""

    def __init__(self, path):
        strings, functions, locations, raw = [], {}, {}, []
        with gzip.open(path) as f:
            data = f.read()
        for n, v in fields(data):
            if n == 6:
                strings.append(v.decode(errors="replace"))
            elif n == 5:
                f = dict(fields(v))
                functions[f[1]] = f.get(2, 0)
            elif n == 4:
                id, lines = 0, []
                for m, w in fields(v):
                    if m == 1:
                        id = w
                    elif m == 4:
                        lines.append(dict(fields(w)).get(1, 0))
                locations[id] = lines
            elif n == 2:
                raw.append(v)
            elif n == 10:
                self.duration = v
            elif n == 12:
                self.period = v
        self.samples = []
        for v in raw:
            stack, values, labels = [], [], {}
            for n, w in fields(v):
                if n == 1:
                    stack += numbers(w)
                elif n == 2:
                    values += numbers(w)
                elif n == 3:
                    l = dict(fields(w))
                    labels[strings[l[1]]] = strings[l[2]] if l.get(2) else l.get(3, 0)
            names = [strings[functions[f]] for id in stack for f in locations[id] if f]
            self.samples.append((names, labels, values))

    def sum(self, column=-1, tid=None, pid=None, name=None, where=lambda names, labels: True):
        total = 0
        for names, labels, values in self.samples:
            if tid is not None and labels.get("tid") != tid or pid is not None and labels.get("pid") != pid:
                continue
            if name and not any(re.search(r"(^|[.:])" + name + r"\b", n) for n in names):
                continue
            if where(names, labels):
                total += values[column]
        return total


class Thread:
    def __init__(self, tid):
        self.tid, self.names, self.elapsed, self.cpu, self.paths = tid, set(), 0, 0, {}

    @property
    def name(self):
        return "+".join(sorted(self.names))


threads, grown, churned = {}, {}, {}
captures = {}


def read(said):
    for line in open(said):
        w = line.split()
        if w[:1] == ["path"]:
            threads.setdefault(int(w[1]), Thread(int(w[1]))).paths[w[2]] = tuple(map(int, w[3:6]))
        elif w[:1] == ["thread"]:
            t = threads.setdefault(int(w[1]), Thread(int(w[1])))
            t.names.add(w[2]) # before an exec and after it
            t.elapsed += int(w[3])
            t.cpu += int(w[4])
        elif w[:1] == ["churn"]:
            churned[w[2]] = (int(w[1]), int(w[3]))
        elif w[:1] == ["grow"]:
            grown[w[2]] = grown.get(w[2], 0) + int(w[3])


def capture(kind):
    if kind not in captures:
        captures[kind] = Capture(sys.argv[2] + "." + kind + ".pb.gz")
    return captures[kind]


def reason(labels):
    return labels.get("reason", "")


def off(t, path):
    return capture("offcpu").sum(tid=t.tid, name=path)


def ran(t, path):
    return capture("offcpu").sum(tid=t.tid, name=path, where=lambda n, l: reason(l) in RUNNABLE)


def paths(name):
    for t in threads.values():
        for p, said in t.paths.items():
            if name == p or name in t.names:
                yield t, p, said


SLACK = int(os.environ.get("SLACK", "20000000"))
wrong = []


def near(what, got, want, bar):
    if abs(got - want) > bar + SLACK:
        wrong.append("%s: %.3f s, should be %.3f s" % (what, got / 1e9, want / 1e9))


def judge(kind, name, percent, value):
    part = lambda default: (float(percent) if percent else default) / 100
    found = False
    if kind in ("sum", "wall"):
        for t in threads.values():
            if (name in t.names or name == "all" or name[:4] == "all-" and name[4:] not in t.names) and t.elapsed:
                found = True
                if kind == "sum":
                    near("thread %d %s" % (t.tid, t.name), capture("offcpu").sum(tid=t.tid), t.elapsed - t.cpu,
                         part(1) * t.elapsed)
                else:
                    near("thread %d %s" % (t.tid, t.name), capture("wall").sum(tid=t.tid), t.elapsed, part(2) * t.elapsed)
    elif kind == "churn":
        if name in churned:
            found = True
            pid, want = churned[name]
            near(name, capture("offcpu").sum(pid=pid, name=name), want, part(5) * want)
    elif kind in ("grow", "mapped"):
        if name in grown:
            found = True
            got = capture("memory" if kind == "grow" else kind).sum(name=name)
            if abs(got - grown[name]) > part(5) * grown[name]:
                wrong.append("%s: %.3f MB, should be %.3f MB" % (name, got / 1e6, grown[name] / 1e6))
    elif kind in ("off", "ran"):
        together = {}
        for t, p, said in paths(name):
            found = True
            s = together.setdefault(p, [0, 0, 0, 0])
            s[0] += (off if kind == "off" else ran)(t, p)
            s[1] += said[kind == "ran"]
            s[2] += t.elapsed or sum(x[0] for x in t.paths.values())
            s[3] += capture("offcpu").sum(tid=t.tid, where=lambda n, l: reason(l) == "short blocks")
        for p, (got, want, life, short) in together.items():
            near(p, max(got, min(got + short, want)), want, part(5) * life)
    else:
        together = {}
        for t, p, said in paths(name):
            found = True
            life = t.elapsed or sum(x[0] for x in t.paths.values())
            if kind == "runs":
                it = capture("offcpu").sum(tid=t.tid, name=p, where=lambda n, l: reason(l) == value)
                if it < 0.5 * ran(t, p) or not it:
                    wrong.append("thread %d %s: %.3f s of %.3f s" % (t.tid, p, it / 1e9, ran(t, p) / 1e9))
            elif kind == "reason":
                all = off(t, p) - ran(t, p)
                it = capture("offcpu").sum(tid=t.tid, name=p, where=lambda n, l: reason(l) == value)
                if it < 0.95 * all or not it:
                    wrong.append("thread %d %s: %.3f s of %.3f s" % (t.tid, p, it / 1e9, all / 1e9))
            elif kind == "cut":
                s = together.setdefault(p, [0, 0, 0, 0])
                s[0] += capture("offcpu").sum(tid=t.tid, name=p, where=lambda n, l: n[-1].startswith("[truncated"))
                s[1] += off(t, p)
            elif kind in ("lock", "nolock"):
                s = together.setdefault(p, [0, 0, 0, 0])
                right = lambda n, l: l.get("lockClass") == value
                s[0] += capture("mutex").sum(tid=t.tid, name=p, where=right)
                s[1] += capture("mutex").sum(tid=t.tid, name=p)
                s[2] += said[0] - said[1]
                s[3] += life
        for p, (it, all, want, life) in together.items():
            if kind == "cut" and it > part(5) * all:
                wrong.append("%s: %.3f s of %.3f s" % (p, it / 1e9, all / 1e9))
            if kind == "nolock" and all > 0.02 * want + SLACK or kind == "lock" and it < 0.97 * all:
                wrong.append("%s: %.3f s of %.3f s" % (p, it / 1e9, all / 1e9))
            if kind == "lock":
                near(p, all, want, part(5) * want)
    if not found:
        wrong.append("no subject said a word")


def show():
    for t in sorted(threads.values(), key=lambda t: t.tid):
        o, w = capture("offcpu").sum(tid=t.tid), capture("wall").sum(tid=t.tid)
        bare = capture("offcpu").sum(tid=t.tid, where=lambda n, l: reason(l) in BARE)
        print("%-10s %7d off %.3f shown %.3f (bare %.3f)  elapsed %.3f wall %.3f" %
              (t.name, t.tid, (t.elapsed - t.cpu) / 1e9, o / 1e9, bare / 1e9, t.elapsed / 1e9, w / 1e9))
        for p, said in t.paths.items():
            by = {}
            for names, labels, values in capture("offcpu").samples:
                if labels.get("tid") == t.tid and any(re.search(r"(^|[.:])" + p + r"\b", n) for n in names):
                    by[reason(labels)] = by.get(reason(labels), 0) + values[-1]
            print("    %-14s %.3f shown %.3f, runnable %.3f shown %.3f, locks %.3f, %d times  %s" %
                  (p, said[0] / 1e9, off(t, p) / 1e9, said[1] / 1e9, ran(t, p) / 1e9,
                   capture("mutex").sum(tid=t.tid, name=p) / 1e9, said[2],
                   " ".join("%s=%.3f" % (k, v / 1e9) for k, v in sorted(by.items()))))
    for name, (pid, want) in churned.items():
        o = capture("offcpu")
        bare = o.sum(pid=pid, where=lambda n, l: reason(l) in BARE)
        print("%-14s %.3f shown %.3f of %.3f, bare %.3f" %
              (name, want / 1e9, o.sum(pid=pid, name=name) / 1e9, o.sum(pid=pid) / 1e9, bare / 1e9))
    for name, n in grown.items():
        print("%-14s %.1f MB shown %.1f MB" % (name, n / 1e6, capture("memory").sum(name=name) / 1e6))


def whole(pids):
    seen = {}
    for names, labels, values in capture("wall").samples:
        if labels.get("pid") in pids:
            key = labels["pid"], labels.get("tid"), labels.get("comm")
            seen[key] = seen.get(key, 0) + values[-1]
    for (pid, tid, comm), ns in seen.items():
        near("thread %d %s" % (tid, comm), ns, capture("wall").duration, 0.02 * capture("wall").duration)
    missing = pids - {key[0] for key in seen}
    if missing:
        wrong.append("nothing of %s" % missing)


if sys.argv[1] == "--whole":
    whole({int(p) for p in sys.argv[3:]})
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(bool(wrong))
read(sys.argv[1])
failed = 0
for case in sys.argv[3:]:
    if case == "show":
        show()
        continue
    wrong.clear()
    kind, rest = case.split(":", 1)
    rest, _, percent = rest.partition(":")
    name, _, value = rest.partition("=")
    judge(kind, name, percent, value)
    print("not ok %s: %s" % (case, "; ".join(wrong)) if wrong else "ok " + case)
    failed |= bool(wrong)
sys.exit(failed)
