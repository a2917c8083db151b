# SPDX-License-Identifier: Apache-2.0
# Truth: 70 % of the CPU time in work70, 20 % in work20, 10 % in work10, called by turn by turn().
# python3 split.py [SECONDS], else until it is ended. From outside all of it is the interpreter's own loop
# (_PyEval_EvalFrameDefault) unless a Python of 3.12 or later runs with -X perf: then "py::work70:FILE" and so on.
import sys
import time

UNIT = 2000  # iterations


def work70(x):
    for _ in range(7 * UNIT):
        x = x * 1664525 + 5 & 0xFFFFFFFF
    return x


def work20(x):
    for _ in range(2 * UNIT):
        x = x * 1664525 + 1 & 0xFFFFFFFF
    return x


def work10(x):
    for _ in range(UNIT):
        x = x * 1664525 + 3 & 0xFFFFFFFF
    return x


def turn(x):
    return work10(work20(work70(x)))


def main():
    end = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 1e9)
    x = 1
    while time.monotonic() < end:
        x = turn(x)


main()
