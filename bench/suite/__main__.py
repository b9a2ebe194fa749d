"""`python3 -m bench.suite --help`."""
import argparse
import contextlib
import sys
import time
from dataclasses import replace

from bench.suite import docs, machine, proxies, report, work
from bench.suite.ground import Ground
from bench.suite.measure import REPEATS_SHARE, Budget, Pace, Series, Stand, taken

QUICK = Pace(warm_s=0.4, measure_s=0.8, repeat=1, scale=0.2, rest_s=2.0)


def options():
    parser = argparse.ArgumentParser(prog="bench.suite", description=__doc__)
    parser.add_argument("--rows", help="only these, by name: " + ", ".join(work.BY_NAME))
    parser.add_argument("--proxies", help="only these: " + ", ".join(proxies.ALL))
    parser.add_argument("--repeat", type=int, help="repetitions, interleaved (5)")
    parser.add_argument("--seconds", type=float, help="measured in each sample (1)")
    parser.add_argument("--write-docs", action="store_true", help="measure nothing: put the newest result into docs/performance.md")
    parser.add_argument("--quick", action="store_true", help="one short repetition of the quick rows")
    return parser.parse_args()


def chosen(text, known):
    names = text.split(",") if text else list(known)
    for name in names:
        if name not in known:
            sys.exit(f"bench.suite: {name} is not one of: {', '.join(known)}")
    return names


def pace(o):
    base = QUICK if o.quick else Pace()
    return replace(base, measure_s=o.seconds or base.measure_s, repeat=o.repeat or base.repeat)


def run_row(row, names, ground, pace, budget):
    """The samples of a row, interleaved: each repetition goes through all the proxies, up and down in turn."""
    series = {name: Series() for name in names if name in row.proxies}
    repeat = row.repeats(pace.repeat)
    ground.set_engine(row.engine)
    with contextlib.ExitStack() as stack:
        stands = {name: stack.enter_context(Stand(proxies.ALL[name], ground)) for name in series}
        for turn in range(repeat):
            for name in list(series)[::-1 if turn % 2 else 1]:
                sample = taken(lambda: row.take(stands[name], ground, pace), budget)
                series[name].samples.append(sample)
                print(f"{row.name} {turn + 1}/{repeat} {name} {report.number(sample.value)} {sample.problem}", file=sys.stderr, flush=True)
    return series


def part(row, series):
    """What another row's samples say of this one."""
    return {name: Series([replace(s, value=s.details.get(row.detail)) for s in one.samples]) for name, one in series.items()}


def run_rows(rows, names, ground, pace):
    """A line of the result for each row, as it is done."""
    budget, done = Budget(round(pace.repeat * len(rows) * len(names) * REPEATS_SHARE)), {}
    for row in rows:
        known = done.get(row.part_of)
        done[row.name] = part(row, known) if known else run_row(row, names, ground, pace, budget)
        line = report.summary(row, done[row.name])
        if not known and pace.repeat > 1 and report.undecided(line):
            print(f"{row.name}: its limit lies inside the spread: once more", file=sys.stderr, flush=True)
            done[row.name] = run_row(row, names, ground, pace, budget)
            line = report.summary(row, done[row.name]) | {"repeated": True}
        yield line


def main():
    o = options()
    if o.write_docs:
        sys.exit(None if (known := docs.newest()) and not docs.write(known) else "bench.suite: there is no result yet; make bench")
    names = chosen(o.proxies, proxies.ALL)
    rows = [work.BY_NAME[name] for name in chosen(o.rows, work.BY_NAME)]
    if o.quick and not o.rows:
        rows = [row for row in rows if row.quick]
    about = {"machine": machine.describe(), "names": names, "versions": {n: proxies.ALL[n].says_version() for n in names},
             "repeat": pace(o).repeat, "seconds": pace(o).measure_s, "began": time.strftime("%Y%m%d-%H%M%S")}
    lines = []
    with Ground(machine.prepare()) as ground:
        for line in run_rows(rows, names, ground, pace(o)):
            lines.append(line)
            report.save({**about, "rows": lines})
    result = {**about, "rows": lines}
    print(report.laid_out(report.table(lines, names)), *report.remarks(lines), sep="\n")
    print(*report.save(result), sep="\n")


if __name__ == "__main__":
    main()
