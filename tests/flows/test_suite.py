"""The bench suite, on the smallest piece of work: that it ends, and says what it should. No timing is judged."""
import json
import os
import subprocess

from harness import ENGINE, HEADRACE, ROOT

RUN_S = 120


def test_one_row_of_two_proxies(tmp_path):
    results = tmp_path / "results"
    done = subprocess.run(["/usr/bin/python3", "-m", "bench.suite", "--quick", "--rows", "h1-clear", "--proxies", "headrace,nghttpx", "--seconds", "0.3"],
                          cwd=ROOT, capture_output=True, text=True, timeout=RUN_S,
                          env={**os.environ, "HEADRACE_BIN": HEADRACE, "ENGINE_BIN": ENGINE, "BENCH_RESULTS": str(results)})
    assert done.returncode == 0, done.stderr
    result = json.loads((results / "latest.json").read_text())
    line = result["rows"][0]
    assert line["name"] == "h1-clear" and line["best"] == "nghttpx" and set(line["proxies"]) == {"headrace", "nghttpx"}
    for figures in line["proxies"].values():
        assert not figures["problems"] and 0 < figures["min"] <= figures["median"] <= figures["max"]
    assert line["must"]["limit"] > 0 and line["must"]["met"] in (True, False)
    assert "h1-clear" in done.stdout and "<svg" in (results / "latest.html").read_text()
