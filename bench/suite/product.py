"""`python3 -m bench.suite.product`: what a peer cannot be asked for. Wakes from zero, ten thousand held requests released at
once, a storm of aborts, reloads under load, two proxies on one Redis."""
import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.suite import load as loads
from bench.suite import machine, measure, proxies, report, work
from bench.suite.common import eventually
from bench.suite.ground import Ground

sys.path.insert(0, str(machine.ROOT / "tests" / "flows"))
from harness import Headrace, process_endpoint  # noqa: E402

HELD, RELEASE_S, HEALTH_MS = 10000, 120, 100
AT_ONCE_MAX = 1000  # at the engine: with all ten thousand a process would need more files than some systems grant
OPENED_PER_S = 400  # handshakes all at once would keep each other waiting beyond client.head_timeout_s
STORM_S, STORM_CONNECTIONS, STORM_STREAMS = 5, 50, 10
RELOAD_EVERY_S, RELOAD_SLACK_S = 0.2, 0.15  # one takes some hundredths
RELOAD_RATE, RELOAD_STREAMS = 200, 100
ROOM_KB, PER_MS = 1024.0, 1e6


# ---- wake from zero ----

def wakes(o):
    """Milliseconds from a replica's first healthy answer to the first held request that reaches it."""
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        (directory / "headrace").mkdir()
        names = [f"e{i}" for i in range(o.wakes)]
        h = Headrace(directory / "headrace", {name: sleeper(directory, name) for name in names})
        try:
            delays = sorted(wake(h, directory, name) for name in names)
        finally:
            h.stop()
    return {"wakes": len(delays), "median_ms": statistics.median(delays), "p99_ms": delays[max(0, int(len(delays) * 0.99) - 1)], "max_ms": delays[-1]}


def sleeper(directory, name):
    return process_endpoint("--load-ms", 200, "--tokens", 1, "--rate", 0, "--log", str(directory / name), log_directory=directory,
                            scaling={"max_replicas": 1, "scale_to_zero_s": 1})


def wake(h, directory, name):
    answer = h.call(host=f"{name}.localhost", X_Scale_Up_Timeout="60")
    assert answer.status == 200, (answer.body, h.errors()[-2000:])
    events = [json.loads(line) for line in (directory / name).read_text().splitlines()]
    healthy = next(e["t"] for e in events if e["event"] == "healthy")
    return next(e["t"] for e in events if e["event"] == "start" and e["path"].startswith("/v1")) - healthy


# ---- held requests, released at once ----

def release(ground, count, http):
    connections = count if http == 1 else count // 100
    load = loads.Load("bench", http=http, path="/v1", connections=connections, streams=count // connections, requests=count,
                      options=("--kind", "chat", "--prompt", "fixed:600", "--scale-up-timeout", "600", "--ramp", connections / OPENED_PER_S))
    one = proxies.start(proxies.ALL[proxies.HEADRACE], ground, proxies.Variation(replica=False, health_ms=HEALTH_MS, concurrency=AT_ONCE_MAX))
    try:
        before = machine.resident_kb(one.pids())
        started = loads.start(load, one, ground, 0)
        eventually(lambda: work.held(one) >= count, connections / OPENED_PER_S + RELEASE_S)
        held_kb = machine.resident_kb(one.pids())
        ground.set_engine(work.AT_ONCE, one.engine)
        began = time.monotonic()
        outcome = started.finish(RELEASE_S)
        return {"answered": outcome.ok, "lost": count - outcome.ok, "seconds_to_the_last": time.monotonic() - began,
                "held_mb": (held_kb - before) / ROOM_KB, "peak_mb": (peak_kb(one) - before) / ROOM_KB, "problem": outcome.problem}
    finally:
        one.stop()


def peak_kb(one):
    text = Path(f"/proc/{one.process.pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+)", text, re.M).group(1))


def held_http1(o):
    return on_ground(lambda ground: release(ground, o.held, 1), work.AT_ONCE)


def held_http2(o):
    return on_ground(lambda ground: release(ground, o.held, 2), work.AT_ONCE)


# ---- a storm of aborts ----

def abort_storm(o):
    """Every request is given up; afterwards nothing of them is left in the engine or in the proxy."""
    def storm(ground):
        one = proxies.start(proxies.ALL[proxies.HEADRACE], ground, proxies.Variation())
        try:
            before = machine.resident_kb(one.pids())
            given_up = sum(storm_of(one, ground, http) for http in (1, 2))
            began = time.monotonic()
            eventually(lambda: ground.engine.counts()["requests_running"] == 0)
            gone_s = time.monotonic() - began
            time.sleep(measure.REST_S)
            return {"given_up": given_up, "seconds_until_the_engine_is_free": gone_s,
                    "left_mb": (machine.resident_kb(one.pids()) - before) / ROOM_KB, "still_answers": proxies.answers(one, proxies.Variation())}
        finally:
            one.stop()
    return on_ground(storm, work.SPREAD)


def storm_of(one, ground, http):
    load = loads.Load("bench", http=http, path="/v1", connections=STORM_CONNECTIONS * (STORM_STREAMS if http == 1 else 1),
                      streams=1 if http == 1 else STORM_STREAMS, options=("--kind", "stream", "--output", "fixed:20", "--abort", "1"))
    outcome = loads.start(load, one, ground, STORM_S).finish(loads.SLACK_S)
    assert not outcome.problem, outcome.problem
    return outcome.details["requests"]["aborted"]


# ---- reloads under load ----

def reload_load(o):
    """Requests that come whatever happens, and streams that are open all the time; each by both protocols."""
    seconds = o.reloads * (RELOAD_EVERY_S + RELOAD_SLACK_S) + work.OPENING_S
    asking = loads.Load("bench", path="/bytes/600", answer_bytes=600, connections=32, options=("--kind", "get", "--rate", RELOAD_RATE))
    open_all_the_time = replace(work.RAMPED, connections=RELOAD_STREAMS)
    return seconds, [asking, replace(asking, http=2, connections=4, streams=8),
                     open_all_the_time, replace(open_all_the_time, http=2, connections=RELOAD_STREAMS // 10, streams=10)]


def changed(one):
    """The file says something else than before, and the proxy is told so; what that took, in seconds."""
    config = Path(one.process.args[-1])
    known = json.loads(config.read_text())
    known["replica"]["eject_s"] = 21 - known["replica"].get("eject_s", 10)
    config.write_text(json.dumps(known))
    began = time.monotonic()
    subprocess.run([machine.HEADRACE, "reload", "-c", str(config)], check=True, capture_output=True, cwd=machine.ROOT)
    return time.monotonic() - began


def reload_under_load(o):
    """What fails or is cut while the configuration changes again and again, and what a change costs a proxy at rest."""
    def reloads(ground):
        one = proxies.start(proxies.ALL[proxies.HEADRACE], ground, proxies.Variation())
        try:
            used = one.usage()
            at_rest = [changed(one) for _ in range(o.reloads)]
            cost_ms = one.usage().since(used).run / PER_MS / o.reloads
            before, (seconds, load_list) = machine.resident_kb(one.pids()), reload_load(o)
            started = [loads.start(load, one, ground, seconds) for load in load_list]
            measure.opened(ground, 2 * RELOAD_STREAMS, work.OPENING_S)
            took = []
            while len(took) < o.reloads:
                took.append(changed(one))
                time.sleep(RELOAD_EVERY_S)
            beside = all(s.process.poll() is None for s in started)
            outcomes = [s.finish(seconds + loads.SLACK_S) for s in started]
            time.sleep(measure.REST_S)
            return {"reloads": len(took), "cpu_ms_each_at_rest": cost_ms, "took_ms_at_rest": statistics.median(at_rest) * 1e3,
                    "took_ms_under_load": statistics.median(took) * 1e3, "took_ms_max": max(took) * 1e3, **lost(outcomes),
                    "left_mb": (machine.resident_kb(one.pids()) - before) / ROOM_KB,
                    "problem": "; ".join(o.problem for o in outcomes if o.problem) or ("" if beside else "the load ended before the reloads")}
        finally:
            one.stop()
    return on_ground(reloads, work.SPREAD)


def lost(outcomes):
    said = [o.details for o in outcomes]
    asked = sum(s["requests"]["started"] for s in said)
    return {"answered": sum(o.ok for o in outcomes), "events": sum(s["events"] for s in said),
            "failed": sum(sum(s["errors"].values()) - s["errors"]["truncated"] + s["requests"]["done"] - s["requests"]["ok"] for s in said),
            "cut": sum(s["errors"]["truncated"] for s in said), "events_lost": sum(s["events_lost"] + s["events_doubled"] for s in said),
            "open_at_the_end": asked - sum(s["requests"]["done"] + sum(s["errors"].values()) for s in said),
            "p99_ms": max(s["latency_ms"]["p99"] for s in said[:2])}


def two_proxies(o):
    """What Redis has to do, by bench/redis_commands.py."""
    done = subprocess.run([sys.executable, str(machine.ROOT / "bench" / "redis_commands.py"), "--endpoints", str(o.endpoints), "--seconds", "3"],
                          capture_output=True, text=True, check=True)
    return done.stdout


# ---- all of it ----

def on_ground(do, engine):
    with Ground(machine.prepare()) as ground:
        ground.set_engine(engine)
        return do(ground)


PARTS = {"wakes": wakes, "held-http1": held_http1, "held-http2": held_http2, "abort-storm": abort_storm, "reload": reload_under_load, "two-proxies": two_proxies}


def said(value):
    if isinstance(value, str):
        return "\n" + value
    return ", ".join(f"{name} {v if isinstance(v, (bool, int, str)) else report.number(v)}" for name, v in value.items() if v != "")


def options():
    parser = argparse.ArgumentParser(prog="bench.suite.product", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="only these: " + ", ".join(PARTS))
    parser.add_argument("--wakes", type=int, default=50)
    parser.add_argument("--held", type=int, default=HELD)
    parser.add_argument("--reloads", type=int, default=50)
    parser.add_argument("--endpoints", type=int, default=1000)
    return parser.parse_args()


def main():
    o, found = options(), {}
    for name in o.parts.split(","):
        found[name] = PARTS[name](o)
        print(f"{name}: {said(found[name])}", flush=True)
    report.RESULTS.mkdir(exist_ok=True)
    (report.RESULTS / "product.json").write_text(json.dumps({"machine": machine.describe(), "parts": found}, indent=1))


if __name__ == "__main__":
    main()
