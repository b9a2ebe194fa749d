"""`python3 -m bench.check_client`: whether `headrace bench` measures what is there. Its rates against wrk's (HTTP/1.1) and h2load's
(HTTP/2) on the same target, and its times against what the engine says it has done.

The target, a proxy and the engine behind it, has core 0, the client core 1. (wrk takes more of a core than the engine alone does, and
would measure itself.) A rate counts only where the target is the bottleneck: its core must not have been idle, or the sample is taken
again. Requests have the same fields. Samples are interleaved, clients in turn first and last; what is judged is the median of the ratios
of neighbouring samples, as in the suite.

Times are judged at the mean and at the median, against those that the engine has written down for the same requests: from a request's
arrival to its first token and to its end, and between tokens. Of three runs that one counts in which engine and client had to wait the
least for their cores.

Exit code 1 when a rate is more than 3 % off, or a time more than 1 ms."""
import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass, replace

from bench.suite import load as loads
from bench.suite import machine, measure, proxies, report, work
from bench.suite.ground import Ground

RATE_TOLERANCE, TIME_TOLERANCE_MS = 0.03, 1.0
IDLE_MOST = 0.05  # of the time: then it was the target that could not do more
WARM_S, TAIL_S = 0.5, 0.3
BODY_BYTES = 600
OURS = "headrace bench"
WARMING = {"bench": ("--warmup", WARM_S), "h2load": ("--warm-up-time", f"{WARM_S * 1000:.0f}ms"), "wrk": ()}
FIELDS = (("content-type", "application/json"), ("user-agent", "headrace-bench"))
ASK = loads.Load("bench", path=f"/bytes/{BODY_BYTES}", answer_bytes=BODY_BYTES, options=("--kind", "get"))
H1, H2 = ASK, replace(ASK, http=2, connections=16, streams=32)
TOKENS_PER_S, TOKENS = 50, 40
LEAST_WAIT = 50  # a run is taken again whose engine or client waited for a thousandth of the time
TIMED = loads.Load("bench", path="/v1", tls=False, options=("--kind", "stream", "--output", f"fixed:{TOKENS}", "--ramp", "1"))


# ---- rates ----

@dataclass(frozen=True)
class Target:
    name: str
    proxy: str
    other: str
    load: object


TARGETS = (
    Target("headrace, HTTP/1.1", proxies.HEADRACE, "wrk", replace(H1, tls=False)),
    Target("nghttpx, HTTP/1.1 TLS", "nghttpx", "wrk", H1),
    Target("headrace, HTTP/2 TLS", proxies.HEADRACE, "h2load", H2),
    Target("nghttpx, HTTP/2", "nghttpx", "h2load", replace(H2, tls=False)),
)


def by(tool, target):
    """The same requests by one of the clients. wrk cannot warm up: then the other does not, either."""
    load, warming = target.load, WARMING[tool] if target.other == "h2load" else ()
    if tool != "bench":
        return replace(load, tool=tool, options=warming, headers=FIELDS if tool == "wrk" else FIELDS[:1])
    return replace(load, options=(*load.options, *warming), headers=FIELDS[:1])


def rate(tool, target, one, ground, seconds):
    """What the client says. Where the target's core was idle, the sample counts as crowded."""
    pids = {*one.pids(), ground.engine.process.pid}
    started = loads.start(by(tool, target), one, ground, seconds)
    time.sleep(WARM_S)
    used, began = machine.usage(pids), time.monotonic()
    time.sleep(seconds - TAIL_S if target.other == "h2load" else seconds - WARM_S - TAIL_S)
    used, took_s = machine.usage(pids).since(used), time.monotonic() - began
    outcome, idle = started.finish(seconds + loads.SLACK_S), 1 - (used.core + used.stolen) / 1e9 / took_s
    return measure.Sample(None if outcome.problem else outcome.details["rate_per_s"], outcome.problem,
                          used.crowding + (1 if idle > IDLE_MOST else 0), {"idle": idle})


def compare_rates(target, ground, o):
    ground.set_engine(work.AT_ONCE, core=machine.PROXY_CORE)
    series = {tool: measure.Series() for tool in ("bench", target.other)}
    budget = measure.Budget(o.repeat)
    one = proxies.start(proxies.ALL[target.proxy], ground, proxies.Variation())
    try:
        for turn in range(o.repeat):
            for tool in list(series)[::-1 if turn % 2 else 1]:
                sample = measure.taken(lambda: rate(tool, target, one, ground, o.seconds), budget)
                series[tool].samples.append(sample)
                print(f"{target.name} {turn + 1}/{o.repeat} {tool} {report.number(sample.value)}"
                      f"{'~' if sample.crowded else ''}, its core idle {sample.details.get('idle', 0):.0%} {sample.problem}", file=sys.stderr, flush=True)
    finally:
        one.stop()
    return judged(target, series["bench"], series[target.other])


def judged(target, ours, theirs):
    ratios = ours.ratios_to(theirs)
    off = statistics.median(ratios) - 1 if ratios else None
    idle = sum(s.details.get("idle", 0) > IDLE_MOST for s in (*ours.samples, *theirs.samples))
    return {"target": target.name, "other": target.other, "ours": report.figures(ours), "theirs": report.figures(theirs), "off": off,
            "spread": [min(ratios) - 1, max(ratios) - 1] if ratios else [], "idle": idle, "good": off is not None and abs(off) <= RATE_TOLERANCE and not idle}


def rates_shown(found):
    rows = [["target", "other", OURS, "the other", "off", "least", "most", ""]]
    for r in found:
        verdict = "good" if r["good"] else f"the target was not the bottleneck in {r['idle']} samples" if r["idle"] else "MORE THAN 3 % OFF"
        rows.append([r["target"], r["other"], *(report.number(r[w]["median"]) + ("~" if r[w]["crowded"] else "") for w in ("ours", "theirs")),
                     *("-" if x is None else f"{x:+.1%}" for x in (r["off"], *(r["spread"] or [None, None]))), verdict])
    return report.laid_out(rows)


# ---- times ----

def compare_times(connections, ground, seconds):
    """Of streams that the engine has paced: what the client says, and what the engine has written."""
    kept = measure.taken(lambda: timed(connections, ground, seconds), measure.Budget(measure.TRIES))
    if kept.problem:
        return [{"streams": connections, "what": "all", "problem": kept.problem, "good": False}]
    return kept.details["times"]


def timed(connections, ground, seconds):
    """A sample whose crowding is the share of the time that the engine or the client waited for a core."""
    log = ground.folder("times") / "log"
    ground.set_engine(("--rate", TOKENS_PER_S, "--stamp", "--log", log), core=machine.PROXY_CORE)
    one = proxies.Running("engine", ground.engine.process, ground.engine.port, 0)
    load = replace(TIMED, connections=connections, requests=max(1, round(seconds * TOKENS_PER_S / TOKENS)) * connections)
    started = loads.start(load, one, ground, 0)
    pids = [started.process.pid, ground.engine.process.pid]
    used, began = machine.usage(pids), time.monotonic()
    time.sleep(seconds - TAIL_S)
    used, took_s = machine.usage(pids).since(used), time.monotonic() - began
    outcome = started.finish(seconds + loads.SLACK_S)
    if outcome.problem:
        return measure.Sample(None, outcome.problem)
    known = known_times([json.loads(line) for line in log.read_text().splitlines()])
    times = [time_of(connections, what, outcome.details[what], known[what]) for what in known]
    crowding = used.wait / 1e9 / took_s
    print(f"{connections} streams: {crowding:.1%} of the time waited for a core", file=sys.stderr, flush=True)
    return measure.Sample(max(abs(off) for t in times for off in t["off_ms"].values()), crowding=crowding * LEAST_WAIT, details={"times": times})


def known_times(events):
    """From the engine's log, in milliseconds; a connection's request ends before its next begins, and each has an end of its own."""
    begun, known = {}, {"first_token_ms": [], "between_tokens_ms": [], "latency_ms": [], "event_age_ms": [0.0]}
    for e in (e for e in events if e["path"].startswith("/v1/chat")):
        if e["event"] == "start":
            begun[e["connection"]] = e["t"]
        elif e["event"] == "end":
            known["first_token_ms"].append(e["first_token"] - begun[e["connection"]])
            known["between_tokens_ms"].append((e["last_token"] - e["first_token"]) / (e["tokens"] - 1))
            known["latency_ms"].append(e["t"] - begun[e["connection"]])
    return known


def time_of(connections, what, said, known):
    expected = {"mean": statistics.mean(known), "p50": statistics.median(known)}
    off = {name: said[name] - expected[name] for name in expected}
    return {"streams": connections, "what": what, "known_ms": expected, "said_ms": {name: said[name] for name in (*expected, "p99", "max")},
            "off_ms": off, "good": all(abs(one) <= TIME_TOLERANCE_MS for one in off.values())}


def times_shown(found):
    rows = [["streams", "time", "engine, mean", "client, mean", "off", "engine, p50", "client, p50", "off", ""]]
    for r in found:
        if "problem" in r:
            rows.append([str(r["streams"]), r["what"], *["-"] * 6, r["problem"]])
            continue
        figures = [f"{x:.3f}" for name in ("mean", "p50") for x in (r["known_ms"][name], r["said_ms"][name], r["off_ms"][name])]
        rows.append([str(r["streams"]), r["what"].removesuffix("_ms").replace("_", " "), *figures, "good" if r["good"] else "MORE THAN 1 ms OFF"])
    return report.laid_out(rows)


# ---- both ----

def options():
    parser = argparse.ArgumentParser(prog="bench.check_client", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=11)
    parser.add_argument("--seconds", type=int, default=2, help="of a sample; of the timed streams, four times that")
    parser.add_argument("--targets", default="", help="only those whose name has this in it; - for none")
    return parser.parse_args()


def main():
    o = options()
    with Ground(machine.prepare()) as ground:
        rates = [compare_rates(target, ground, o) for target in TARGETS if o.targets in target.name]
        print(rates_shown(rates), end="\n\n", flush=True)
        times = [one for connections in (1, 100) for one in compare_times(connections, ground, 4 * o.seconds)]
    print(times_shown(times), flush=True)
    report.RESULTS.mkdir(parents=True, exist_ok=True)
    (report.RESULTS / "client.json").write_text(json.dumps({"machine": machine.describe(), "rates": rates, "times": times}, indent=1))
    sys.exit(0 if all(one["good"] for one in rates + times) else 1)


if __name__ == "__main__":
    main()
