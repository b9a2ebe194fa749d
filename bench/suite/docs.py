"""docs/performance.md: the figures between its markers, from the newest result."""
import json
import re

from bench.suite import machine, report

PAGE = machine.ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: written by python3 -m bench.suite --write-docs -->", "<!-- end of the figures -->"


def newest():
    path = report.RESULTS / "latest.json"
    return json.loads(path.read_text()) if path.exists() else None


def write(result):
    text = PAGE.read_text()
    PAGE.write_text(re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: f"{BEGIN}\n{figures(result)}\n{END}", text, flags=re.S))


def figures(result):
    m = result["machine"]
    said = (f"{m['date']}, commit {m['commit']}, {m['processor']}, {m['cores']} cores, Linux {m['kernel']}; medians of "
            f"{result['repeat']} interleaved samples of {result['seconds']:g} s.")
    return "\n\n".join([said, markdown(report.table(result["rows"], result["names"])), *report.remarks(result["rows"]), versions(result["versions"])])


def markdown(rows):
    head, *body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([head, "| --- | --- " + "| ---: " * (len(rows[0]) - 4) + "| --- | --- |", *body])


def versions(found):
    return "Versions: " + "; ".join(f"{name}: {version}" for name, version in found.items()) + "."
