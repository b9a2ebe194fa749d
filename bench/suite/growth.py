"""`python3 -m bench.suite.growth`: what a request costs Headrace as endpoints, tokens, idle connections, streams per connection
and workers grow. Each column should be flat; sizes of one table are interleaved."""
import argparse
import contextlib
import json
import socket
import ssl
import statistics
import sys
from dataclasses import dataclass, replace

from bench.suite import load as loads
from bench.suite import machine, measure, proxies, report, work
from bench.suite.ground import Ground

SIZES = (10, 100, 1000, 10000)
WARM_S, WARM_TRIES = 4, 5


@dataclass(frozen=True)
class Size:
    """One size of what grows: the proxy, and the load that is measured."""
    load: object
    variation: object = proxies.Variation()
    idle: int = 0


@dataclass(frozen=True)
class Table:
    name: str
    sizes: tuple
    of: object  # size -> Size


def endpoints(size):
    return Size(replace(work.H1, turns=(size, size), name=f"endpoints{size}"), proxies.Variation(tokens=size, endpoints=size))


def tokens(size):
    return Size(replace(work.H1, turns=(size, 1), name=f"tokens{size}"), proxies.Variation(tokens=size))


def idle(size):
    return Size(work.H1, idle=size)


def streams(size):
    return Size(replace(work.H2, streams=size))


def workers(size):
    return Size(replace(work.H1, connections=64 * size), proxies.Variation(workers=size))


TABLES = {t.name: t for t in (
    Table("endpoints", SIZES, endpoints), Table("tokens", SIZES, tokens), Table("idle connections", (0, *SIZES), idle),
    Table("streams per connection", (1, 10, 100), streams), Table("workers", (1, 2), workers))}


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


@contextlib.contextmanager
def standing(size, ground):
    """The proxy of a size, warm: each endpoint has its replica and a connection to it."""
    one = proxies.start(proxies.ALL[proxies.HEADRACE], ground, size.variation)
    try:
        for _ in range(WARM_TRIES):
            if not loads.start(size.load, one, ground, WARM_S).finish(loads.SLACK_S).problem:
                break
        with idle_connections(one, size.idle):
            yield one
    finally:
        one.stop()


def grown(table, ground, pace):
    """The series of each size; all stand at the same time, and are measured in turn."""
    budget = measure.Budget(round(pace.repeat * len(table.sizes) * measure.REPEATS_SHARE))
    series = {size: measure.Series() for size in table.sizes}
    with contextlib.ExitStack() as stack:
        sizes = {size: table.of(size) for size in table.sizes}
        ones = {size: stack.enter_context(standing(sizes[size], ground)) for size in sizes}
        for turn in range(pace.repeat):
            for size in list(series)[::-1 if turn % 2 else 1]:
                sample = measure.taken(lambda: measure.window(ones[size], ground, [sizes[size].load], pace, "requests_total"), budget)
                series[size].samples.append(sample)
                print(f"{table.name} {size} {turn + 1}/{pace.repeat} {report.number(sample.value)} {sample.problem}", file=sys.stderr, flush=True)
    return series


def shown(table, series):
    first = next(iter(series.values()))
    rows = [[table.name, "us/request", "least", "most", "to the first"]]
    for size, one in series.items():
        low, high = one.spread() or (None, None)
        ratios = one.ratios_to(first)
        ratio = statistics.median(ratios) if ratios else None
        rows.append([f"{size:,}", *map(report.number, (one.median(), low, high, ratio))])
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
        ground.set_engine(work.AT_ONCE)
        for name in o.tables.split(","):
            series = grown(TABLES[name], ground, measure.Pace(measure_s=o.seconds, repeat=o.repeat))
            print(shown(TABLES[name], series), end="\n\n", flush=True)
            found[name] = {size: report.figures(one) for size, one in series.items()}
    report.RESULTS.mkdir(exist_ok=True)
    (report.RESULTS / "growth.json").write_text(json.dumps({"machine": machine.describe(), "tables": found}, indent=1))


if __name__ == "__main__":
    main()
