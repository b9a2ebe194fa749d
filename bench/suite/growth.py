"""`python3 -m bench.suite.growth`: what a request costs Headrace as endpoints, tokens, idle connections, streams per connection
and workers grow. Each column should be flat; sizes of one table are interleaved.

Two workers need both cores, which the client and the model server then share with them. So both cores are alike in that table (each has
a client, a model server, and a worker if there are two), and far from full: an answer takes 20 ms, and a worker has 64 connections."""
import argparse
import contextlib
import json
import os
import socket
import ssl
import statistics
import sys
from dataclasses import dataclass, replace

from bench.suite import load as loads
from bench.suite import machine, measure, proxies, report, work
from bench.suite.ground import Engine, Engines, Ground
from bench.suite.load import Load

SIZES = (10, 100, 1000, 10000)
WARM_S, WARM_TRIES = 4, 5
ROUND_S = 2.5  # for ten thousand to have had their turn: what is asked for the first time in a while costs more
CORES = (machine.PROXY_CORE, machine.LOAD_CORE)
CONNECTIONS_OF_WORKER, ANSWER_TOKENS, ANSWER_S = 64, 62, 0.02
PACE = ("--rate", round(ANSWER_TOKENS / ANSWER_S))
PACED = Load("bench", path="/v1", answer_bytes=work.ANSWER_BYTES,
             options=("--kind", "chat", "--prompt", "fixed:900", "--output", f"fixed:{ANSWER_TOKENS}"))


@dataclass(frozen=True)
class Size:
    """One size of what grows: the proxy, and the load that is measured."""
    load: object  # or several
    variation: object = proxies.Variation()
    idle: int = 0

    @property
    def loads(self):
        return self.load if isinstance(self.load, tuple) else (self.load,)


@dataclass(frozen=True)
class Table:
    name: str
    sizes: tuple
    of: object  # (size, ground) -> Size
    engines: object = lambda: Engine(*work.AT_ONCE)
    crowds: bool = True  # whether a sample that had to wait is taken again
    warm_s: float = 0.5  # of each sample


def endpoints(size, ground):
    return Size(replace(work.H1, turns=(size, size), name=f"endpoints{size}"), proxies.Variation(tokens=size, endpoints=size))


def tokens(size, ground):
    return Size(replace(work.H1, turns=(size, 1), name=f"tokens{size}"), proxies.Variation(tokens=size))


def idle(size, ground):
    return Size(work.H1, idle=size)


def streams(size, ground):
    return Size(replace(work.H2, streams=size))


def workers(size, ground):
    half = replace(PACED, connections=CONNECTIONS_OF_WORKER * size // len(CORES))
    further = tuple(engine.port for engine in ground.engine.each[1:])
    return Size(tuple(replace(half, core=core) for core in CORES),
                proxies.Variation(workers=size, replicas=further, core=",".join(map(str, CORES[:size]))))


TABLES = {t.name: t for t in (
    Table("endpoints", SIZES, endpoints, warm_s=ROUND_S), Table("tokens", SIZES, tokens, warm_s=ROUND_S),
    Table("idle connections", (0, *SIZES), idle),
    Table("streams per connection", (1, 10, 100), streams), Table("workers", (1, 2), workers, lambda: Engines(*PACE), crowds=False))}


@contextlib.contextmanager
def idle_connections(one, count):
    """Handshaken TLS connections that say nothing."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", one.tls)))
            stack.enter_context(context.wrap_socket(plain))
        yield


def spread(one, count):
    """A core for each worker: they are the threads that have run the most."""
    def has_run(task):
        return int((task / "schedstat").read_text().split()[0])
    for core, task in zip(CORES, sorted(machine.tasks(one.process.pid), key=has_run, reverse=True)[:count]):
        os.sched_setaffinity(int(task.name), {core})


@contextlib.contextmanager
def standing(size, ground):
    """The proxy of a size, warm: each endpoint has its replica and a connection to it."""
    one = proxies.start(proxies.ALL[proxies.HEADRACE], ground, size.variation)
    try:
        for _ in range(WARM_TRIES):
            if not any(s.finish(loads.SLACK_S).problem for s in [loads.start(load, one, ground, WARM_S) for load in size.loads]):
                break
        if size.variation.workers > 1:
            spread(one, size.variation.workers)
        with idle_connections(one, size.idle):
            yield one
    finally:
        one.stop()


def grown(table, ground, pace):
    """The series of each size; all stand at the same time, and are measured in turn."""
    pace = replace(pace, warm_s=table.warm_s)
    budget = measure.Budget(round(pace.repeat * len(table.sizes) * measure.REPEATS_SHARE) if table.crowds else 0)
    ground.stop_engine()
    ground.engine = table.engines()
    series = {size: measure.Series() for size in table.sizes}
    with contextlib.ExitStack() as stack:
        sizes = {size: table.of(size, ground) for size in table.sizes}
        ones = {size: stack.enter_context(standing(sizes[size], ground)) for size in sizes}
        for turn in range(pace.repeat):
            for size in list(series)[::-1 if turn % 2 else 1]:
                sample = measure.taken(lambda: measure.window(ones[size], ground, sizes[size].loads, pace, "requests_total"), budget)
                series[size].samples.append(sample)
                print(f"{table.name} {size} {turn + 1}/{pace.repeat} {report.number(sample.value)} {sample.problem}", file=sys.stderr, flush=True)
    return series


def of_workers(series):
    """The same without the main thread, which publishes counts once a second or so, whatever the requests."""
    return measure.Series([replace(s, value=s.value - s.details["first_ms_per_s"] * 1000 / s.details["per_s"] if s.value else None) for s in series.samples])


def middle(numbers):
    numbers = list(numbers)
    return statistics.median(numbers) if numbers else None


def shown(table, series):
    first = next(iter(series.values()))
    rows = [[table.name, "us/request", "least", "most", "to the first", "workers alone", "to the first", "main thread, ms/s"]]
    for size, one in series.items():
        low, high = one.spread() or (None, None)
        workers = of_workers(one)
        rows.append([f"{size:,}", *map(report.number, (
            one.median(), low, high, middle(one.ratios_to(first)), workers.median(), middle(workers.ratios_to(of_workers(first))),
            middle(s.details["first_ms_per_s"] for s in one.samples if s.details)))])
    return report.laid_out(rows)


def options():
    parser = argparse.ArgumentParser(prog="bench.suite.growth", description=__doc__)
    parser.add_argument("--tables", default=",".join(TABLES), help="only these: " + ", ".join(TABLES))
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1)
    return parser.parse_args()


def main():
    o = options()
    files = machine.prepare()
    found = {}
    with Ground(files) as ground:
        for name in o.tables.split(","):
            series = grown(TABLES[name], ground, measure.Pace(measure_s=o.seconds, repeat=o.repeat))
            print(shown(TABLES[name], series), end="\n\n", flush=True)
            found[name] = {size: report.figures(one) for size, one in series.items()}
    report.RESULTS.mkdir(exist_ok=True)
    (report.RESULTS / "growth.json").write_text(json.dumps({"machine": machine.describe(), "tables": found}, indent=1))


if __name__ == "__main__":
    main()
