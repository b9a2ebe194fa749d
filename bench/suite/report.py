"""The result of a run: a table for the terminal, JSON for machines."""
import json
import os
import statistics
from pathlib import Path

from bench.suite import machine, page
from bench.suite.measure import Series
from bench.suite.page import number
from bench.suite.proxies import FLOOR, HEADRACE, PEER_NAMES

RESULTS = Path(os.environ.get("BENCH_RESULTS", machine.ROOT / "bench" / "results"))


def summary(row, series):
    """A row's figures, with the best peer and what became of the rules. Ratios are medians of those of neighbouring samples;
    the best peer is the one that Headrace compares worst with. Differences, which may be nothing or less, have no ratio."""
    ours = series.get(HEADRACE, Series())
    ratios = {} if row.difference else {name: found for name, s in series.items()
                                        if name != HEADRACE and (found := ours.ratios_to(s)) and min(found) > 0}
    middle = {name: statistics.median(found) for name, found in ratios.items()}
    best = (min if row.more_is_better else max)((name for name in PEER_NAMES if name in middle), key=middle.get, default=None)
    value = ours.median()
    best_value, floor = (value / middle[name] if name in middle else None for name in (best, FLOOR))
    return {"name": row.name, "title": row.title, "unit": row.unit, "more_is_better": row.more_is_better, "best": best,
            "to_best": middle.get(best), "to_best_all": ratios.get(best, []), "to_floor": middle.get(FLOOR),
            "proxies": {n: figures(s) for n, s in series.items()},
            **{kind: {"text": rule.text, "limit": rule.of(best_value, floor), "met": rule.met(value, best_value, floor)}
               for kind, rule in (("must", row.must), ("aim", row.aim))}}


def undecided(line):
    """Whether the must is missed by less than the samples vary."""
    values = line["proxies"].get(HEADRACE, {}).get("values", [])
    if line["must"]["met"] is not False or len(values) < 2:
        return False
    middle, limit = statistics.median(values), line["must"]["limit"]
    varied = [middle * one / line["to_best"] for one in line["to_best_all"]] or values
    return min(varied) <= limit <= max(varied)


def figures(series):
    low, high = series.spread() or (None, None)
    return {"median": series.median(), "min": low, "max": high, "values": series.values(), "problems": series.problems(),
            "crowded": series.crowded(), "details": [s.details for s in series.samples]}


def verdict(rule):
    return f"{rule['text']}: " + {True: "met", False: "NOT MET", None: "-"}[rule["met"]]


def cells(line, names):
    made = []
    for name in names:
        f = line["proxies"].get(name)
        mark = "~" if f and f["crowded"] else ""
        made.append("-" if not f else "void" if f["median"] is None and f["problems"] else number(f["median"]) + mark)
    return made


HEADINGS = ["to best", "to floor", "must", "aim"]


def table(lines, names):
    """Rows of text cells, the heading first."""
    rows = [["work", "unit", *names, *HEADINGS]]
    for line in lines:
        rows.append([line["name"], line["unit"], *cells(line, names), number(line["to_best"]), number(line["to_floor"]),
                     verdict(line["must"]), verdict(line["aim"])])
    return rows


def laid_out(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) if i < 2 or i > len(widths) - 3 else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in rows)


def remarks(lines):
    return [f"{line['name']}, {name}: {problem}" for line in lines for name, f in line["proxies"].items() for problem in f["problems"]] + \
        (["~ the proxy had to wait for its processor in some samples, repeated ones included"]
         if any(f["crowded"] for line in lines for f in line["proxies"].values()) else [])


def save(result):
    """The two files of a run, JSON and page; `latest` names the newest of each."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    saved = []
    for suffix, text in ((".json", json.dumps(result, indent=1)), (".html", page.page(result))):
        saved.append(RESULTS / (result["began"] + suffix))
        for path in (saved[-1], RESULTS / f"latest{suffix}"):
            path.write_text(text)
    return saved
