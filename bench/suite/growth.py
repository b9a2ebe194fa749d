"""`python3 -m bench.suite.growth`: what a request costs Headrace as endpoints, tokens, idle connections, streams per connection
and workers grow. Each column should be flat; sizes of one table are interleaved."""
import argparse
import contextlib
import json
import socket
import ssl
import sys
from dataclasses import dataclass, replace

from bench.suite import machine, measure, proxies, report, work
from bench.suite.ground import Ground

SIZES = (10, 100, 1000, 10000)


@dataclass(frozen=True)
class Table:
    name: str
    sizes: tuple
    take: object  # (size, ground, pace) -> Sample


def measured(load, variation, ground, pace, idle=0):
    def one_with_idle(one):
        with idle_connections(one, idle):
            return measure.window(one, ground, [load], pace, "requests_total")
    return measure.running(proxies.ALL[proxies.HEADRACE], ground, variation, one_with_idle)


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


def endpoints(size, ground, pace):
    load = replace(work.H1, turns=(size, size), name=f"endpoints{size}")
    return measured(load, proxies.Variation(tokens=size, hosts=size), ground, pace)


def tokens(size, ground, pace):
    load = replace(work.H1, turns=(size, 1), name=f"tokens{size}")
    return measured(load, proxies.Variation(tokens=size), ground, pace)


def idle(size, ground, pace):
    return measured(work.H1, proxies.Variation(), ground, pace, idle=size)


def streams(size, ground, pace):
    return measured(replace(work.H2, streams=size), proxies.Variation(), ground, pace)


def workers(size, ground, pace):
    return measured(replace(work.H1, connections=64 * size), proxies.Variation(workers=size), ground, pace)


TABLES = {t.name: t for t in (
    Table("endpoints", SIZES, endpoints), Table("tokens", SIZES, tokens), Table("idle connections", (0, *SIZES), idle),
    Table("streams per connection", (1, 10, 100), streams), Table("workers", (1, 2), workers))}


def grown(table, ground, pace):
    """The series of each size."""
    budget = measure.Budget(round(pace.repeat * len(table.sizes) * measure.REPEATS_SHARE))
    series = {size: measure.Series() for size in table.sizes}
    for turn in range(pace.repeat):
        for size, one in series.items():
            sample = measure.taken(lambda: table.take(size, ground, pace), budget)
            one.samples.append(sample)
            print(f"{table.name} {size} {turn + 1}/{pace.repeat} {report.number(sample.value)} {sample.problem}", file=sys.stderr, flush=True)
    return series


def shown(table, series):
    first = next(iter(series.values())).median()
    rows = [[table.name, "us/request", "least", "most", "to the first"]]
    for size, one in series.items():
        low, high = one.spread() or (None, None)
        ratio = report.ratio(one.median(), first)
        rows.append([f"{size:,}", *map(report.number, (one.median(), low, high, ratio))])
    return report.laid_out(rows)


def options():
    parser = argparse.ArgumentParser(prog="bench.suite.growth", description=__doc__)
    parser.add_argument("--tables", default=",".join(TABLES), help="only these: " + ", ".join(TABLES))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5)
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
