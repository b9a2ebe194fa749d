"""`python3 -m bench.abuse`: each abuse against the release build with its default limits, and well-behaved clients beside it.

The proxy has core 0, one worker. The model server, the neighbours (`headrace bench`, open loop, one by HTTP/1.1 and one by HTTP/2, over
TLS) and the attacker share core 1, where the attacker comes last, so that what the neighbours feel is the proxy: as root all but the
attacker are put before the machine's other work (round robin of the real-time class). The attacker comes again and again at a bounded
rate; what it sends is made before, and what it gets is not looked at."""
import argparse
import contextlib
import json
import os
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.suite import machine
from bench.suite.common import eventually

for folder in ("flows", "strict"):
    sys.path.insert(0, str(machine.ROOT / "tests" / folder))
import attacks  # noqa: E402
from harness import Headrace  # noqa: E402
from http2_frames import PREFACE, settings  # noqa: E402

RESULTS = machine.ROOT / "bench" / "results"
GROWTH_MAX_KB, P99_MAX, RATE = 64 << 10, 3.0, 200
FLOODS = {name: (feed, limit) for name, feed, limit in [*attacks.FLOODS, ("MadeYouReset", attacks.made_you_reset, "http2_resets")]}
# What, who does it, how many at once (a flood: connections a second), for how long, the limit that ends it, and within how many seconds
# (a flood is cut by its frames, however fast they come).
ABUSES = [
    ("rapid reset", "flood", 5, 8, "http2_resets", 0),
    ("MadeYouReset", "flood", 5, 8, "http2_resets", 0),
    ("CONTINUATION flood", "flood", 20, 8, "http2_continuations", 0),
    ("SETTINGS flood", "flood", 20, 8, "http2_control", 0),
    ("PING flood", "flood", 20, 8, "http2_control", 0),
    ("HPACK bomb", "flood", 20, 8, "head_size", 0),
    ("1000 streams of zero window", "wait", 10, 34, "write_stall", 32),
    ("slow head", "dribble", 200, 14, "head_timeout", 12),
    ("slow body", "dribble", 200, 64, "body_idle", 62),
    ("slow read", "wait", 200, 66, "write_stall", 62),
    ("5000 idle connections", "idle", 5000, 90, "idle", 77),
]
HEAD = b"GET /bytes/3 HTTP/1.1\r\nHost: ep.localhost\r\nX: "
BODY = b"POST /echo HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: 100000\r\n\r\n"
LARGE = b"GET /bytes/8000000 HTTP/1.1\r\nHost: ep.localhost\r\n\r\n"
ASK = b"GET /bytes/3 HTTP/1.1\r\nHost: ep.localhost\r\n\r\n"
OPENED_PER_S = {"idle": 400, "dribble": 100, "wait": 100}  # handshakes cost, too


# ---- the attacker, a process of its own ----

def connect(port, alpn):
    link = socket.create_connection(("127.0.0.1", port), 30)
    context = connect.contexts.setdefault(alpn, ssl._create_unverified_context())
    context.set_alpn_protocols([alpn])
    return context.wrap_socket(link)


connect.contexts = {}


def drained(link):
    """Whether it is closed; what came is thrown away."""
    try:
        while link.recv(1 << 18):
            pass
        return True
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
        return False
    except OSError:
        return True


def flood(o):
    """One connection after the other, each until it is cut."""
    feed, made, cut, frames, longest = FLOODS[o.attack][0], [], 0, [], 0.0
    end, turn = time.monotonic() + o.seconds, 0
    while time.monotonic() < end:
        began = time.monotonic()
        link, i = connect(o.port, "h2"), 0
        link.setblocking(False)
        rest, closed = PREFACE + settings(), False
        while not closed and time.monotonic() < began + 20:
            if not rest:
                if len(made) == i:
                    made.append(feed(i))
                rest, i = made[i], i + 1
            try:
                rest = rest[link.send(rest):]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
                select.select([link], [link], [], 0.05)
            except OSError:
                closed = True
            closed = drained(link) or closed
        link.close()
        cut += closed
        frames.append(i * attacks.SOME)
        longest = max(longest, time.monotonic() - began)
        turn += 1
        time.sleep(max(0.0, began + 1 / o.count - time.monotonic()))
    return {"connections": turn, "cut": cut, "longest_s": longest, "batches_max": max(frames) // attacks.SOME}


def lasting(o, links, each_turn=None, read=True):
    """How long each of the connections lasts."""
    lasted, end = [], time.monotonic() + o.seconds
    while links and time.monotonic() < end:
        time.sleep(0.25)
        now, stay = time.monotonic(), []
        for link, since in links:
            gone = False
            if each_turn:
                try:
                    link.send(each_turn)
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    pass
                except OSError:
                    gone = True
            if gone or (drained(link) if read else hung_up(link)):
                lasted.append(now - since)
                link.close()
            else:
                stay.append((link, since))
        links = stay
    return {"connections": len(lasted) + len(links), "cut": len(lasted), "longest_s": max(lasted, default=0.0)}


def hung_up(link):
    """Without a byte read: reset, or ended by the other side."""
    poll = select.poll()
    poll.register(link, select.POLLRDHUP)
    return any(what & (select.POLLRDHUP | select.POLLHUP | select.POLLERR) for _, what in poll.poll(0))


def opened(o, alpn, send):
    links = []
    for _ in range(o.count):
        began = time.monotonic()
        link = connect(o.port, alpn)
        link.sendall(send)
        link.setblocking(False)
        links.append((link, time.monotonic()))
        time.sleep(max(0.0, began + 1 / OPENED_PER_S[o.how] - time.monotonic()))
    return links


def wait(o):
    if "window" in o.attack:
        return lasting(o, opened(o, "h2", b"".join(attacks.zero_window(100))))
    return lasting(o, opened(o, "http/1.1", LARGE), read=False)


def dribble(o):
    """A byte each quarter of a second."""
    return lasting(o, opened(o, "http/1.1", HEAD if "head" in o.attack else BODY), b"x")


def idle(o):
    return lasting(o, opened(o, "http/1.1", ASK))


ATTACKERS = {"flood": flood, "wait": wait, "dribble": dribble, "idle": idle}


# ---- the ground ----

def place(pid, core):
    """On that core; before all other work of the machine, where that is allowed."""
    for task in machine.tasks(pid):
        os.sched_setaffinity(int(task.name), {core})
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(1))


class Stand:
    def __init__(self, directory):
        self.directory = Path(directory)
        # What nobody takes would be copied into the kernel's buffers on the neighbours' core, where it would be taken for the proxy's doing.
        self.engine = machine.spawn([str(machine.ROOT / "build" / "bench" / "engine"), "--port", 0, "--rate", 0, "--keepalive-ms", 0, "--unsent", 131072],
                                    stdout=subprocess.PIPE, text=True)
        port = int(self.engine.stdout.readline().rsplit(":", 1)[1])
        endpoint = {"access": "public", "driver": "static", "addresses": [f"127.0.0.1:{port}"], "default": True, "health": {"interval_ms": 60000}}
        self.h = Headrace(directory, {"ep": endpoint}, binary=machine.HEADRACE, workers=1)
        self.pid = self.h.process.pid
        place(self.pid, machine.PROXY_CORE)
        place(self.engine.pid, machine.LOAD_CORE)
        eventually(lambda: [r["state"] for r in self.h.status("ep")["replicas"]] == ["ready"])

    def resident_kb(self):
        return machine.resident_kb([self.pid])

    def limited(self, limit):
        line = next(x for x in self.h.admin("/metrics")[1].splitlines() if x.startswith("headrace_client_limits_total") and f'"{limit}"' in x)
        return int(float(line.split()[-1]))

    def neighbours(self, seconds):
        """By protocol: how many were served of how many, and the p99 in milliseconds."""
        started = {}
        for http in ("1", "2"):
            said = self.directory / f"said-{http}.json"
            command = [machine.HEADRACE, "bench", "--quiet", "--json", said, "--insecure", "--http", http, "--connections", 8 if http == "1" else 2,
                       "--streams", 1 if http == "1" else 8, "--rate", RATE, "--warmup", 1, "--duration", seconds + 1, "--kind", "chat", "--output", "fixed:4",
                       "--host", "ep.localhost", f"https://127.0.0.1:{self.h.tls_port}/v1"]
            started[http] = machine.spawn(command, stdout=subprocess.DEVNULL), said
            place(started[http][0].pid, machine.LOAD_CORE)
        found = {}
        for http, (process, said) in started.items():
            process.wait(seconds + 60)
            text = json.loads(said.read_text())
            found[http] = {"asked": text["requests"]["done"] + sum(text["errors"].values()), "served": text["requests"]["ok"],
                           "p50_ms": text["latency_ms"]["p50"], "p99_ms": text["latency_ms"]["p99"]}
        return found

    def stop(self):
        self.h.stop()
        machine.stop(self.engine)


class Peak(threading.Thread):
    """The most that is resident, looked at often."""

    def __init__(self, stand):
        super().__init__(daemon=True)
        self.stand, self.over, self.most_kb = stand, threading.Event(), 0
        self.start()

    def run(self):
        while not self.over.wait(0.2):
            self.most_kb = max(self.most_kb, self.stand.resident_kb())


def abuse(stand, row, quiet_s):
    name, how, count, seconds, limit, within_s = row
    quiet = [stand.neighbours(quiet_s)]
    before, counted, peak = stand.resident_kb(), stand.limited(limit), Peak(stand)
    attacker = machine.spawn([sys.executable, "-m", "bench.abuse", "--attack", name, "--how", how, "--port", stand.h.tls_port, "--count", count,
                              "--seconds", seconds], stdout=subprocess.PIPE, text=True)
    used = machine.usage([stand.pid])
    beside = stand.neighbours(seconds)
    used = machine.usage([stand.pid]).since(used)
    said, _ = attacker.communicate(timeout=seconds + 120)
    peak.over.set()
    peak.join()
    attack = json.loads(said) if said else {"connections": 0, "cut": 0, "longest_s": 0}
    counted = stand.limited(limit) - counted
    alive = stand.h.process.poll() is None
    stand.h.quiet("ep")
    quiet.append(stand.neighbours(quiet_s))
    by_protocol = {}
    for http, b in beside.items():
        quiet_ms = sum(q[http]["p99_ms"] for q in quiet) / len(quiet)
        by_protocol[http] = {**b, "quiet_p99_ms": quiet_ms, "ratio": b["p99_ms"] / quiet_ms}
    growth = peak.most_kb - before
    good = {"alive": alive, "growth": growth < GROWTH_MAX_KB, "cut": counted >= (1000 if "streams" in name else attack["connections"]) > 0,
            "in time": how == "flood" or attack["longest_s"] <= within_s + 3, "served": all(b["served"] == b["asked"] for b in beside.values()),
            "p99": all(b["ratio"] < P99_MAX for b in by_protocol.values())}
    return {"abuse": name, "attack": attack, "limit": limit, "counted": counted, "growth_kb": growth, "busy": used.run / 1e9 / seconds, "crowding": used.crowding, "neighbours": by_protocol,
            "wrong": [what for what, well in good.items() if not well]}


HEADINGS = ["abuse", "connections", "cut by", "counted", "longest s", "proxy busy", "growth MiB", "served", "p99 HTTP/1.1 ms (quiet)", "p99 HTTP/2 ms (quiet)", ""]


def line(found):
    n, attack = found["neighbours"], found["attack"]
    return [found["abuse"], str(attack["connections"]), found["limit"], str(found["counted"]), f"{attack['longest_s']:.2f}", f"{100 * found['busy']:.0f} %",
            f"{found['growth_kb'] / 1024:.1f}", f"{sum(b['served'] for b in n.values())} of {sum(b['asked'] for b in n.values())}",
            *(f"{n[http]['p99_ms']:.2f} ({n[http]['quiet_p99_ms']:.2f})" for http in ("1", "2")),
            "NOT MET: " + ", ".join(found["wrong"]) if found["wrong"] else "met"]


def options():
    parser = argparse.ArgumentParser(prog="bench.abuse", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="these abuses only, divided by commas")
    parser.add_argument("--quiet-s", type=float, default=6, help="how long the neighbours are alone, before and after each abuse")
    for name in ("attack", "how"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    for name in ("port", "count"):
        parser.add_argument(f"--{name}", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    o = options()
    machine.prepare()
    if o.attack:
        print(json.dumps(ATTACKERS[o.how](o)))
        return
    found = []
    with tempfile.TemporaryDirectory(prefix="headrace-abuse-") as directory:
        stand = Stand(directory)
        try:
            stand.neighbours(2)
            print("| " + " | ".join(HEADINGS) + " |\n" + "| --- " * len(HEADINGS) + "|", flush=True)
            for row in ABUSES:
                if not o.only or row[0] in o.only.split(","):
                    found.append(abuse(stand, row, o.quiet_s))
                    print("| " + " | ".join(line(found[-1])) + " |", flush=True)
        finally:
            stand.stop()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "abuse.json").write_text(json.dumps({"machine": machine.describe(), "abuses": found}, indent=1))
    sys.exit(any(one["wrong"] for one in found))


if __name__ == "__main__":
    main()
