"""Interleaved rounds as in the benchmark: every closure runs once in each round, in turning order."""

import gc
import math
import os
import time

ROUNDS = int(os.environ.get("ROUNDS", 15))
SHORTEST = 2e-3  # seconds; faster closures are repeated within a sample
SLOW = 0.5  # seconds; slower ones warm up once, and not three times


class Rounds:
    def __init__(self, prefix, wait=lambda: None):
        """`wait` returns when the device has done what it was given."""
        self.prefix = prefix
        self.wait = wait
        self.entries = []

    def add(self, name, run, per=1):
        """`run` returns when its result is there, or `wait` does. Times are divided by `per`."""
        self.entries.append((name, lambda: (run(), self.wait()), per))

    def measure(self):
        """Prints the median and the quartiles of every closure in milliseconds."""
        repeats = []
        for _, run, _ in self.entries:
            seconds = sample(run, 1)
            if seconds < SLOW:
                run()
                seconds = sample(run, 1)
            repeats.append(max(1, math.ceil(SHORTEST / max(seconds, 1e-9))))
        times = [[] for _ in self.entries]
        count = len(self.entries)
        gc.collect()
        gc.disable()
        for turn in range(ROUNDS):
            for position in range(count):
                step = position if turn % 2 == 0 else count - 1 - position
                at = (turn + step) % count
                times[at].append(sample(self.entries[at][1], repeats[at]))
            gc.collect()
        gc.enable()
        for (name, _, per), found in zip(self.entries, times):
            lower, median, upper = (1e3 * quantile(found, part) / per for part in (0.25, 0.5, 0.75))
            for suffix, value in (("", median), ("_q1", lower), ("_q3", upper)):
                print(f"{self.prefix}.{name}_ms{suffix} = {value:.4f}", flush=True)


def sample(run, repeats):
    run()  # not timed: what the closure before has left in the caches is none of this one's business
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def quantile(values, part):
    values = sorted(values)
    rank = part * (len(values) - 1)
    below, above = math.floor(rank), math.ceil(rank)
    return values[below] + (values[above] - values[below]) * (rank - below)
