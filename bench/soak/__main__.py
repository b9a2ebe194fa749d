"""`python3 -m bench.soak`: everything at once for a long time, and nothing may be lost, grow, or be left over.

Both protocols, streams, holds from zero, uploads, WebSockets, clients that leave, bad requests, replicas killed, the configuration
read again every few seconds. What each part may see is in bench/soak/actors.py: no request may fail, but one that was at a replica
when that was killed, and then visibly."""
import argparse
import faulthandler
import bisect
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.soak import actors
from bench.soak.ground import Ground, descriptors, eventually, resident_kb
from bench.suite import machine

SAMPLE_S, FRAIL = 1, (1, 2)
FLAT_SHARE, FLAT_KB = 0.05, 2048  # what the last fifth may have over the second
RESULTS = machine.ROOT / "bench" / "results"


class Soak:
    def __init__(self, o, directory):
        self.o, self.directory, self.over = o, Path(directory), threading.Event()
        self.kills, self.samples, self.problems = [], [], []
        self.ground = Ground(directory, o.store, o.workers, o.binary)

    def killed_since(self, when):
        return bisect.bisect_left(self.kills, when) < len(self.kills)

    def cast(self):
        parts = [actors.Crowd(self, "steady"), actors.Crowd(self, "busy"), actors.Streams(self), actors.ClearStreams(self), actors.Sleeper(self),
                 *(actors.Frail(self, protocol) for protocol in FRAIL), actors.Leaver(self), actors.Wrong(self), actors.Moving(self),
                 actors.Sockets(self), actors.Killer(self), actors.Reloader(self, self.o.reload_s, self.o.reloads)]
        if self.ground.redis:
            parts.append(actors.Pauser(self))
        return [p for p in parts if not self.o.only or type(p).__name__ in self.o.only.split(",")]

    def run(self):
        g = self.ground
        eventually(lambda: g.replicas("sleeper") == [] and g.sum("headrace_connections") == 0)
        before = {h.role: descriptors(h.process.pid) for h in g.processes}
        self.began = time.monotonic()
        cast = self.cast()
        for part in cast:
            part.start()
        while time.monotonic() < self.began + self.o.seconds and not self.over.is_set():
            self.sample()
            self.over.wait(SAMPLE_S)
        self.over.set()
        for part in cast:
            part.join(float(os.environ["DEADLINE_S"]) * 2)
            self.problems += part.problems + ([f"{part.name} does not end"] if part.is_alive() else [])
        self.settle(before)
        return {part.name: part.done for part in cast}

    def sample(self):
        dead = [h.role for h in self.ground.processes if h.process.poll() is not None]
        if dead:
            self.problems.append(f"the process has ended: {dead}")
            self.over.set()
            return
        row = {"s": round(time.monotonic() - self.began, 1)}
        for h in self.ground.processes:
            row[h.role] = {"kb": resident_kb(h.process.pid), "files": len(descriptors(h.process.pid))}
        self.samples.append(row)
        if len(self.samples) % 60 == 0:
            print(json.dumps(row), flush=True)

    def settle(self, before):
        """Nothing is left over: no request, no connection, no descriptor."""
        g = self.ground
        if any(h.process.poll() is not None for h in g.processes):
            return
        for name in ("headrace_pending", "headrace_held", "headrace_open", "headrace_connections", "headrace_replica_active"):
            self.expect(lambda: g.sum(name) == 0, lambda: f"{name} is {g.sum(name)} at the end")
        self.expect(lambda: g.replicas("sleeper") == [], lambda: f"sleeper does not sleep: {g.replicas('sleeper')}")
        self.expect(lambda: g.replicas("frail") == ["ready"] * 2, lambda: f"frail: {g.replicas('frail')}")
        for h in g.processes:
            now = lambda: descriptors(h.process.pid)  # noqa: E731
            self.expect(lambda: len(now()) <= len(before[h.role]), lambda: f"descriptors of {h.role}: {before[h.role]} at first, now {now()}")
        counts = lambda: [g.sum(name) for name in ("headrace_requests_total", "headrace_endings_total")]  # noqa: E731
        self.expect(lambda: len(set(counts())) == 1, lambda: f"requests that are over, by status and by ending: {counts()}")

    def expect(self, condition, what):
        try:
            eventually(condition, 30)
        except AssertionError:
            self.problems.append(what())
        except OSError as problem:
            self.problems.append(f"the process does not answer: {problem}")


def memory(samples, role):
    """Resident memory after the warm-up: its slope by least squares, and what the last fifth has over the second."""
    rows = [(s["s"], s[role]["kb"]) for s in samples if role in s]
    rows = rows[len(rows) // 5:]
    if len(rows) < 10:
        return None
    fifth = max(1, len(rows) // 4)
    first, last = (statistics.median(kb for _, kb in part) for part in (rows[:fifth], rows[-fifth:]))
    mean_s, mean_kb = statistics.mean(s for s, _ in rows), statistics.mean(kb for _, kb in rows)
    slope = sum((s - mean_s) * (kb - mean_kb) for s, kb in rows) / sum((s - mean_s) ** 2 for s, _ in rows)
    return {"start_kb": samples[0][role]["kb"], "second_fifth_kb": first, "last_fifth_kb": last, "peak_kb": max(kb for _, kb in rows),
            "slope_kb_per_minute": round(slope * 60, 1), "flat": last - first <= max(FLAT_KB, FLAT_SHARE * first)}


def options():
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SOAK_S", 1200)))
    parser.add_argument("--store", choices=["memory", "redis"], default="memory", help="one process, or proxy and scheduler over Redis (memory)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--binary", default=machine.HEADRACE, help="the headrace under test")
    parser.add_argument("--reload-s", type=float, default=3, help="between two reloads")
    parser.add_argument("--reloads", type=int, default=0, help="end after so many; 0: by the time")
    parser.add_argument("--only", default="", help="these actors only")
    parser.add_argument("--json", default="", help="where the figures go (bench/results/soak-...)")
    return parser.parse_args()


def main():
    faulthandler.register(signal.SIGUSR1)  # where it stands, when it does not end
    o = options()
    with tempfile.TemporaryDirectory(prefix="headrace-soak-") as directory:
        soak = Soak(o, directory)
        try:
            done = soak.run()
        finally:
            ended = soak.ground.stop()
        soak.problems += ended
    figures = {h.role: memory(soak.samples, h.role) for h in soak.ground.processes}
    soak.problems += [f"memory of {role} is not flat: {m}" for role, m in figures.items() if m and not m["flat"] and o.seconds >= 600]
    result = {"machine": machine.describe(), "options": vars(o), "done": done, "memory": figures, "kills": len(soak.kills),
              "problems": soak.problems, "samples": soak.samples}
    RESULTS.mkdir(exist_ok=True)
    Path(o.json or RESULTS / f"soak-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json").write_text(json.dumps(result, indent=1))
    for name, counts in done.items():
        print(f"{name}: {', '.join(f'{what} {n}' for what, n in sorted(counts.items()))}")
    for role, m in figures.items():
        print(f"memory of {role}: {m}")
    for problem in soak.problems[:40]:
        print("PROBLEM", problem)
    print(f"{len(soak.problems)} problems")
    sys.exit(bool(soak.problems))


if __name__ == "__main__":
    main()
