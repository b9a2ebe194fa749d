"""The rows: what is asked of the proxies, what is measured, and what Headrace must reach and aims at."""
import json
import re
from dataclasses import dataclass, replace

from bench.suite import measure
from bench.suite.common import get
from bench.suite.load import Load, chat_body
from bench.suite.proxies import ALL, FLOOR, HEADRACE, PEER_NAMES, Variation

AT_ONCE = ("--rate", "0")
US, US_EVENT, KB, MS, PER_CPU_S = "us/request", "us/event", "KB/request", "ms", "1/CPU s"
NO_REPLICA = Variation(replica=False)


@dataclass(frozen=True)
class Rule:
    """A limit made from the best peer and the floor; either may be missing."""
    text: str
    limit: object
    at_least: bool = False

    def of(self, best, floor):
        try:
            return self.limit(best, floor)
        except TypeError:
            return None

    def met(self, value, best, floor):
        limit = self.of(best, floor)
        if value is None or limit is None:
            return None
        return value >= limit if self.at_least else value <= limit


def of_best(factor, at_least=False):
    sign = ">=" if at_least else "<="
    return Rule(f"{sign} best" if factor == 1 else f"{sign} {factor:g} x best", lambda best, floor: factor * best, at_least)


def of_floor(factor):
    return Rule(f"<= {factor:g} x floor", lambda best, floor: factor * floor)


def best_plus(more):
    return Rule(f"<= best + {more:g}", lambda best, floor: best + more)


def fixed(number):
    return Rule(f"<= {number:g}", lambda best, floor: number)


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    unit: str
    take: object  # (stand, ground, pace) -> Sample
    must: Rule
    aim: Rule
    engine: tuple = AT_ONCE
    proxies: tuple = (HEADRACE, *PEER_NAMES)
    quick: bool = False
    more_is_better: bool = False
    repeat_max: int = 100
    repeat_least: int = 1  # of a run that repeats at all
    difference: bool = False  # of two samples
    part_of: str = ""  # another row, whose samples have this one's value among their details ...
    detail: str = ""   # ... by this name

    def repeats(self, asked):
        return min(max(asked, self.repeat_least), self.repeat_max) if asked > 1 else 1


NOTHING = Rule("-", lambda best, floor: None)
WITH_FLOOR = (HEADRACE, *PEER_NAMES, FLOOR)
CHECKING = (HEADRACE, *(name for name in PEER_NAMES if ALL[name].checks))
OPENING_S = 3       # at most, for a thousand streams to open
EXTRA_REPEATS = 7   # each is two samples, and the difference small beside them
MEMORY_REPEATS = 2  # memory hardly varies, and has to rest


# ---- ways to take a sample: (stand, ground, pace) -> Sample ----

def windowed(*load_list, unit="requests_total", variation=Variation(), **more):
    """Processor time per request or event in the middle of that load."""
    return lambda stand, ground, pace: measure.window(stand.kept(variation), ground, load_list, pace, unit, **more)


def events(*load_list):
    return windowed(*load_list, unit="events_total", opening_s=OPENING_S)


def mixed(load):
    """Per event, of a load that comes whether or not it is answered."""
    return lambda stand, ground, pace: windowed(load, unit="events_total")(stand, ground, replace(pace, warm_s=pace.warm_s + MIX_OPENING_S))


def bulk(load, bytes_each, total):
    """Processor seconds per GB."""
    def take(stand, ground, pace):
        counted = replace(load, requests=max(load.connections, round(total * pace.scale / bytes_each)))
        return measure.whole(stand.kept(Variation()), ground, counted, lambda count, run_ns: run_ns / (count * bytes_each))
    return take


def extra(plain, full):
    """Microseconds per request that the second (load, variation) costs more than the first."""
    def take(stand, ground, pace):
        return measure.difference(*(windowed(load, variation=v)(stand, ground, pace) for load, v in (plain, full)))
    return take


def pending(load, variation=Variation()):
    """KB resident per request that no replica answers."""
    def take(stand, ground, pace):
        def count(one):
            return held(one) if not variation.replica else ground.engine.counts()["requests_running"]
        warm = replace(load, **WARM)
        with stand.fresh(variation) as one:
            return measure.pending_kb(one, ground, warm, load, count, pace.rest_s, variation.replica)
    return take


def handshakes(resumed):
    """Handshakes, each with one GET, per processor second."""
    def wrong(outcome):
        ours = outcome.details.get("resumed", 0) / max(outcome.details.get("handshakes", 0), 1)
        return "" if (ours > RESUMED_LEAST if resumed else ours == 0) else f"{ours:.0%} of the handshakes were resumed"
    load = replace(HANDSHAKE, options=(*HANDSHAKE.options, *(("--resume",) if resumed else ())))
    return windowed(load, value=measure.per_cpu_second, also_right=wrong)


def added_latency(load):
    return lambda stand, ground, pace: measure.added_latency(stand.kept(Variation()), ground, load, pace)


def held(one):
    """How many requests wait for a replica; -1 when the proxy is too busy to say."""
    found = re.findall(r"^headrace_held{.*} (\d+)$", get(one.admin, "/metrics")[1], re.M)
    return sum(map(int, found)) if found else -1


# ---- loads ----

ANSWER_TOKENS = 62  # make a JSON answer of 0.6 KB
CHAT_1K = chat_body(max_tokens=ANSWER_TOKENS)
ANSWER_BYTES, GET_BYTES = 500, 30 * 1024
H1 = Load("wrk", body=CHAT_1K, name="chat", answer_bytes=ANSWER_BYTES)
H2 = Load("h2load", http=2, connections=16, streams=32, body=CHAT_1K, name="chat", answer_bytes=ANSWER_BYTES)
BULK = Load("h2load", connections=4)
UP_BYTES, DOWN_BYTES, BULK_BYTES = 25 * 10 ** 6, 100 * 10 ** 6, 6 * 10 ** 8
EVENTS_PER_S = 20
STREAMS = Load("bench", path="/v1", stream_rate=EVENTS_PER_S, options=("--kind", "stream", "--prompt", "fixed:200"))
RAMPED = replace(STREAMS, options=(*STREAMS.options, "--ramp", "0.5"))
SPREAD = ("--rate", str(EVENTS_PER_S), "--stamp")
BURST = (*SPREAD, "--burst")
LATENCY = Load("bench", path="/v1", connections=200, options=("--kind", "stream", "--output", "fixed:10000", "--ramp", "0.5"))
MIX_PER_S = 150
MIX = json.dumps({"kinds": [
    {"kind": kind, "share": share, "protocol": protocol, "prompt": "lognormal:600:0.8", "output": "uniform:20:60", "abort": 0.05}
    for kind, share in (("stream", 0.8), ("chat", 0.2)) for protocol in ("1", "2")]})
MIXED = Load("bench", http=0, path="/v1", connections=700, streams=8, body=MIX, name="mix",
             options=("--rate", str(MIX_PER_S), "--arrivals", "poisson"))
MIX_OPENING_S = 2.5  # an answer takes 1 to 3 s: from then on about as many end as begin
HANDSHAKE = Load("bench", connections=16, path="/bytes/100", answer_bytes=100, options=("--kind", "get", "--requests-per-connection", "1"))
RESUMED_LEAST = 0.95
# Connections come one after the other: memory of handshakes that are over is not that of requests which wait.
PACED = ("-r", "500")
SILENT = Load("h2load", body=CHAT_1K, name="chat", headers=(("x-engine-fault", "never"),))
HELD = Load("h2load", body=CHAT_1K, name="chat", headers=(("x-scale-up-timeout", "600"),))
WARM = {"connections": 8, "streams": 1, "requests": 400, "headers": (), "options": ()}
TOKENS, HOSTS = 10000, 100


def on(load, http, connections, streams=1):
    return replace(load, http=http, connections=connections, streams=streams)


def paced(load):
    return replace(load, options=PACED)


ROWS = (
    Row("h1-tls", "HTTP/1.1 TLS keep-alive: 1 KB POST, 0.6 KB JSON, 64 connections", US, windowed(H1),
        of_best(0.95), of_floor(1.1), proxies=WITH_FLOOR, quick=True),
    Row("h2-tls", "HTTP/2 TLS: the same, 16 connections x 32 streams", US, windowed(H2), of_best(0.85), of_best(0.65), quick=True),
    Row("h1-clear", "HTTP/1.1 in clear: the same, 64 connections", US, windowed(replace(H1, tls=False)),
        of_best(0.85), of_floor(1.2), proxies=WITH_FLOOR),
    Row("h1-30k", "HTTP/1.1 TLS: a 30 KB answer", US, windowed(Load("wrk", path=f"/bytes/{GET_BYTES}", name="get", answer_bytes=GET_BYTES)),
        of_best(0.9), of_floor(1.1), proxies=WITH_FLOOR),
    Row("up", "25 MB up, HTTP/1.1 TLS", "CPU s/GB", bulk(replace(BULK, path="/headers", body=bytes(UP_BYTES), name="up"), UP_BYTES, BULK_BYTES),
        of_best(1.05), of_best(1), proxies=WITH_FLOOR),
    Row("down", "100 MB down, HTTP/1.1 TLS", "CPU s/GB", bulk(replace(BULK, path=f"/bytes/{DOWN_BYTES}", answer_bytes=DOWN_BYTES), DOWN_BYTES, BULK_BYTES),
        of_best(1.05), of_best(1), proxies=WITH_FLOOR),
    Row("sse-h1", "Events over HTTP/1.1 TLS: 1000 streams x 20/s", US_EVENT, events(on(RAMPED, 1, 1000)),
        of_best(1), of_floor(1.05), engine=SPREAD, proxies=WITH_FLOOR),
    Row("sse-h2-burst", "Events over HTTP/2 TLS: 1000 streams on 10 connections, all at one tick", US_EVENT, events(on(STREAMS, 2, 10, 100)),
        of_best(0.9), of_best(0.7), engine=BURST, quick=True),
    Row("sse-h2-spread", "Events over HTTP/2 TLS: the same, starts spread", US_EVENT, events(on(RAMPED, 2, 10, 100)),
        of_best(0.95), of_best(0.8), engine=SPREAD),
    Row("sse-h2-single", "Events over HTTP/2 TLS: 1000 connections of one stream", US_EVENT, events(on(RAMPED, 2, 1000)),
        of_best(1), of_best(0.9), engine=SPREAD),
    Row("mixed", "Mixed chat, open loop: 80 % streaming, 5 % given up, HTTP/1.1 and HTTP/2", US_EVENT, mixed(MIXED),
        of_best(0.9), of_best(0.75), engine=SPREAD),
    Row("event-p50", "Added latency of an event, median: 200 streams x 20/s, HTTP/1.1 TLS", MS, added_latency(LATENCY),
        best_plus(0.05), NOTHING, engine=SPREAD, proxies=WITH_FLOOR),
    Row("event-p99", "The same, 99th percentile", MS, added_latency(LATENCY), NOTHING, of_best(1), engine=SPREAD, proxies=WITH_FLOOR,
        part_of="event-p50", detail="p99_ms"),
    Row("pending-h1", "Pending at a silent replica: HTTP/1.1 TLS connection", KB, pending(paced(on(SILENT, 1, 1000))),
        fixed(16), fixed(13), proxies=WITH_FLOOR, repeat_max=MEMORY_REPEATS, quick=True),
    Row("pending-h2", "Pending at a silent replica: HTTP/2 stream, 100 a connection", KB, pending(on(SILENT, 2, 20, 100)),
        fixed(6), fixed(3), repeat_max=MEMORY_REPEATS),
    Row("pending-h2-single", "Pending at a silent replica: HTTP/2 connection of one stream", KB, pending(paced(on(SILENT, 2, 1000))),
        fixed(40), fixed(30), repeat_max=MEMORY_REPEATS),
    Row("held-h1", "Held, no replica yet: HTTP/1.1 TLS connection, 1 KB body", KB, pending(paced(on(HELD, 1, 1000)), NO_REPLICA),
        fixed(13), fixed(11), proxies=(HEADRACE,), repeat_max=MEMORY_REPEATS),
    Row("held-h2", "Held, no replica yet: HTTP/2 stream, 100 a connection", KB, pending(on(HELD, 2, 20, 100), NO_REPLICA),
        fixed(4), fixed(2), proxies=(HEADRACE,), repeat_max=MEMORY_REPEATS),
    Row("handshakes", "Full TLS handshakes with one GET", PER_CPU_S, handshakes(resumed=False),
        of_best(0.97, at_least=True), of_best(1, at_least=True), more_is_better=True),
    Row("resumed", "Resumed TLS handshakes with one GET", PER_CPU_S, handshakes(resumed=True),
        of_best(0.97, at_least=True), of_best(1, at_least=True), more_is_better=True),
    Row("tokens", f"{TOKENS} tokens and {HOSTS} hosts checked: extra", US,
        extra((replace(H1, turns=(TOKENS, 1), name="tokens"), Variation(tokens=0)),
              (replace(H1, turns=(TOKENS, HOSTS), name="tokens-hosts"), Variation(tokens=TOKENS, hosts=HOSTS))),
        fixed(0.5), fixed(0.2), proxies=CHECKING, repeat_least=EXTRA_REPEATS, difference=True),
    Row("access-log", "Access log on: extra", US, extra((H1, Variation()), (H1, Variation(access_log=True))),
        fixed(1.5), fixed(0.5), repeat_least=EXTRA_REPEATS, difference=True),
)
BY_NAME = {row.name: row for row in ROWS}
