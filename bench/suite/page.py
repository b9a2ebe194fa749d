"""The result as a page to look at: for each row bars with their least and greatest sample, and the line that must be reached."""
from html import escape

from bench.suite.proxies import FLOOR, HEADRACE

WIDTH, NAME_WIDTH, VALUE_WIDTH, BAR, GAP, TOP = 560, 80, 70, 18, 6, 20
FAR = 2.5  # a bar longer than so many times the best or the limit is cut, and says so
STYLE = """
:root { --ink: #1d2733; --dim: #66717e; --line: #dde3ea; --ours: #0b7285; --peer: #b9c4cf; --floor: #e3d9c4; --must: #c92a2a; --good: #2b8a3e; }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); max-width: 1240px; margin: 2rem auto; padding: 0 1.5rem; }
h1 { margin: 0; font-size: 1.7rem; } header p { color: var(--dim); margin: .3rem 0 1.2rem; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(480px, 1fr)); gap: 1.2rem; }
section { border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; break-inside: avoid; }
h2 { font-size: 1rem; margin: 0; } section p { margin: .15rem 0 .4rem; color: var(--dim); font-size: .86rem; }
svg { display: block; width: 100%; height: auto; } text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.ours { fill: var(--ours); } .peer { fill: var(--peer); } .floor { fill: var(--floor); } .bold { font-weight: 700; }
.whisker { stroke: var(--ink); stroke-width: 1.2; } .must { stroke: var(--must); stroke-width: 1.5; stroke-dasharray: 4 3; }
.mustword { fill: var(--must); font-size: 11px; } .dim { fill: var(--dim); }
.met { color: var(--good); font-weight: 600; } .missed { color: var(--must); font-weight: 600; }
.problem { color: var(--must); }
"""


def number(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def page(result):
    machine = result["machine"]
    must = [line["must"]["met"] for line in result["rows"] if line["must"]["met"] is not None]
    aim = [line["aim"]["met"] for line in result["rows"] if line["aim"]["met"] is not None]
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Headrace beside its peers</title><style>{STYLE}</style>
<header><h1>Headrace beside its peers</h1>
<p>{escape(machine["date"])} on {escape(machine["processor"])}, {machine["cores"]} cores, Linux {escape(machine["kernel"])}, commit {escape(machine["commit"])}.
Bars are medians, whiskers the least and the greatest sample; the dashed line is what Headrace must reach.
<span class="met">{sum(must)} of {len(must)}</span> met, <span class="met">{sum(aim)} of {len(aim)}</span> aims met.</p></header>
<main>{"".join(section(line) for line in result["rows"])}</main></html>
"""


def section(line):
    shown = {name: f for name, f in line["proxies"].items() if f["median"] is not None}
    problems = "".join(f'<p class="problem">{escape(name)}: {escape(p)}</p>' for name, f in line["proxies"].items() for p in f["problems"])
    better = "more is better" if line["more_is_better"] else "less is better"
    return f"""<section><h2>{escape(line["title"])}</h2>
<p>{escape(line["unit"])}, {better}. {rule("Must", line["must"])} {rule("Aim", line["aim"])}</p>
{chart(line, shown) if shown else ""}{problems}</section>
"""


def rule(word, r):
    if r["met"] is None:
        return ""
    return f'{word} {escape(r["text"])}: <span class="{"met" if r["met"] else "missed"}">{"met" if r["met"] else "not met"}</span>.'


def chart(line, shown):
    limit = line["must"]["limit"]
    scale = Scale([f["max"] for f in shown.values()], [f["min"] for f in shown.values()], [f["median"] for f in shown.values()], limit)
    height = TOP + len(shown) * (BAR + GAP)
    bars = "".join(bar(name, f, TOP + i * (BAR + GAP), scale) for i, (name, f) in enumerate(shown.items()))
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(line["title"])}">{bars}{must_line(limit, scale, height)}</svg>'


class Scale:
    """From values to places; nothing is negative but differences, and what is far off is cut."""

    def __init__(self, highest, lowest, medians, limit):
        near = [m for m in [min(medians, key=abs), sorted(medians)[len(medians) // 2], limit] if m is not None]
        self.high = min(max(highest + [limit or 0]), FAR * max(near)) if max(near) > 0 else max(highest)
        self.low = max(min(lowest + [0]), -self.high)

    def x(self, value):
        share = (min(max(value, self.low), self.high) - self.low) / ((self.high - self.low) or 1)
        return NAME_WIDTH + share * (WIDTH - NAME_WIDTH - VALUE_WIDTH)


def bar(name, f, y, scale):
    kind = "ours" if name == HEADRACE else "floor" if name == FLOOR else "peer"
    left, right = sorted((scale.x(0), scale.x(f["median"])))
    middle, low, high = y + BAR / 2, scale.x(f["min"]), scale.x(f["max"])
    whisker = "".join(f'<line class="whisker" x1="{a:.1f}" x2="{b:.1f}" y1="{c:.1f}" y2="{d:.1f}"/>' for a, b, c, d in (
        (low, high, middle, middle), (low, low, middle - 4, middle + 4), (high, high, middle - 4, middle + 4)))
    cut = " &#8250;" if f["median"] > scale.high else ""
    mark = " ~" if f["crowded"] else ""
    bold = "bold" if kind == "ours" else "dim" if kind == "floor" else ""
    return (f'<text class="{bold}" x="{NAME_WIDTH - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{kind}" x="{left:.1f}" y="{y}" width="{max(right - left, 1):.1f}" height="{BAR}" rx="2"/>'
            f'{whisker}<text class="{bold}" x="{WIDTH - VALUE_WIDTH + 10}" y="{middle + 4:.1f}">{number(f["median"])}{cut}{mark}</text>')


def must_line(limit, scale, height):
    if limit is None:
        return ""
    x = scale.x(limit)
    anchor = "end" if x > WIDTH * 0.8 else "middle"
    return (f'<line class="must" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{height}"/>'
            f'<text class="mustword" x="{x:.1f}" y="{TOP - 8}" text-anchor="{anchor}">must {number(limit)}</text>')
