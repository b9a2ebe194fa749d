#!/usr/bin/env python3
"""Whether `headrace bench` measures what is there: its rate against wrk (HTTP/1.1) and h2load (HTTP/2) on one target, and its
times against an engine whose token timing is known.

    make build && bench/check_client.py [--rounds 5] [--seconds 4] [--json FILE]

The target has a core of its own and is saturated; the client has the other. Rounds are interleaved, medians are compared. What is
judged: rates within 3 %, times within 1 ms. Exit code 1 when one of them is not."""
import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADRACE = os.environ.get("HEADRACE_BIN", str(ROOT / "build" / "headrace"))
ENGINE = os.environ.get("ENGINE_BIN", str(ROOT / "build" / "bench" / "engine"))
PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client", "nghttpx": "nghttp2-proxy"}
TARGET_CPU, CLIENT_CPU = "0", "1"
RATE_TOLERANCE, TIME_TOLERANCE_MS = 0.03, 1.0
CONNECTIONS, STREAMS, BODY_BYTES = 64, 32, 600
H2_CONNECTIONS = 16
READY_S = 20


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    end = time.monotonic() + READY_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > end:
            sys.exit(f"nobody listens on port {port}")
        time.sleep(0.05)


def pinned(cpu, *command):
    return ["taskset", "-c", cpu, *map(str, command)]


class Targets:
    """An engine; nghttpx and headrace in front of another one, which shares the client's core."""

    def __init__(self, directory):
        self.directory, self.running = Path(directory), []
        self.engine, self.backend, self.nghttpx, self.headrace = (free_port() for _ in range(4))
        self.start(TARGET_CPU, ENGINE, "--port", self.engine, "--rate", 0, "--keepalive-ms", 0)
        self.start(CLIENT_CPU, ENGINE, "--port", self.backend, "--rate", 0, "--keepalive-ms", 0)
        wait_for(self.backend)
        config = self.directory / "headrace.json"
        config.write_text(json.dumps({
            "workers": 1, "listeners": [{"address": f"127.0.0.1:{self.headrace}", "tls": False}],
            "admin": {"socket": str(self.directory / "admin.sock")}, "token_file": str(self.directory / "tokens.json"),
            "endpoints": {"ep": {"access": "public", "hosts": ["localhost"], "driver": "static",
                                 "addresses": [f"127.0.0.1:{self.backend}"]}}}))
        self.start(TARGET_CPU, HEADRACE, "run", "-c", config)
        self.start(TARGET_CPU, "nghttpx", "--frontend", f"127.0.0.1,{self.nghttpx};no-tls", "--backend",
                   f"127.0.0.1,{self.backend}", "--workers", 1, "--conf", "/dev/null", "--errorlog-file", "/dev/null",
                   "--backend-connections-per-host", 1024)
        for port in (self.engine, self.nghttpx, self.headrace):
            wait_for(port)
        time.sleep(1)  # the replica is found healthy

    def start(self, cpu, *command):
        self.running.append(subprocess.Popen(pinned(cpu, *command), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def stop(self):
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
                continue
            process.kill()
            process.wait()


def output_of(command):
    return subprocess.run(pinned(CLIENT_CPU, *command), capture_output=True, text=True, check=True).stdout


def target_cpu_s(process):
    """Processor seconds of the target so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def headrace_rate(url, http, seconds):
    command = [HEADRACE, "bench", "--quiet", "--json", "-", "--kind", "get", "--http", http, "--duration", seconds, "--warmup", "0.5",
               "--connections", CONNECTIONS if http == "1" else H2_CONNECTIONS]
    report = json.loads(output_of(command + ([] if http == "1" else ["--streams", STREAMS]) + [url]))
    assert report["requests"]["ok"] == report["requests"]["done"] and not any(report["errors"].values()), report
    return report["rate_per_s"]


def wrk_rate(url, seconds):
    text = output_of(["wrk", "-t", 1, "-c", CONNECTIONS, "-d", f"{seconds}s", url])
    assert "Non-2xx" not in text, text
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])


def h2load_rate(url, seconds):
    text = output_of(["h2load", "-t", 1, "-c", H2_CONNECTIONS, "-m", STREAMS, "-D", seconds, "--warm-up-time", 1, url])
    done = re.search(r"(\d+) done, (\d+) succeeded", text)
    assert done[1] == done[2] and int(done[1]), text
    return int(done[1]) / seconds


def compare_rates(targets, rounds, seconds):
    path = f"/bytes/{BODY_BYTES}"
    rows = [("engine, HTTP/1.1", targets.engine, "1", "wrk"), ("headrace, HTTP/1.1", targets.headrace, "1", "wrk"),
            ("nghttpx, HTTP/2", targets.nghttpx, "2", "h2load"), ("headrace, HTTP/2", targets.headrace, "2", "h2load")]
    results = []
    for name, port, http, other in rows:
        url, ours, theirs = f"http://localhost:{port}{path}", [], []
        for _ in range(rounds):
            theirs.append(wrk_rate(url, seconds) if other == "wrk" else h2load_rate(url, seconds))
            ours.append(headrace_rate(url, http, seconds))
        ours_rate, theirs_rate = statistics.median(ours), statistics.median(theirs)
        off = ours_rate / theirs_rate - 1
        results.append({"target": name, "other": other, "headrace": ours_rate, "theirs": theirs_rate, "off": off,
                        "ours_all": ours, "theirs_all": theirs, "good": abs(off) <= RATE_TOLERANCE})
        print(f"{name:20} headrace bench {ours_rate:9.0f}/s   {other:6} {theirs_rate:9.0f}/s   {off:+.1%}"
              f"   {'good' if results[-1]['good'] else 'MORE THAN 3 % OFF'}", flush=True)
    return results


def compare_times(seconds):
    """An engine of 50 tokens a second: the first after 20 ms, then one each 20 ms; 40 tokens last 800 ms."""
    port, results = free_port(), []
    engine = subprocess.Popen(pinned(TARGET_CPU, ENGINE, "--port", port, "--rate", 50, "--stamp"), stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        for connections in 1, 100:
            report = json.loads(output_of([HEADRACE, "bench", "--quiet", "--json", "-", "--output", "fixed:40", "--connections",
                                           connections, "--ramp", 1, "--duration", max(seconds, 4), f"http://localhost:{port}/v1"]))
            for name, expected in (("first_token_ms", 20), ("between_tokens_ms", 20), ("latency_ms", 800), ("event_age_ms", 0)):
                off = report[name]["mean"] - expected
                results.append({"connections": connections, "what": name, "expected_ms": expected, "mean_ms": report[name]["mean"],
                                "p50_ms": report[name]["p50"], "off_ms": off, "good": abs(off) <= TIME_TOLERANCE_MS})
                print(f"{connections:3} streams, {name:18} expected {expected:5.1f} ms, was {report[name]['mean']:8.3f}"
                      f" (p50 {report[name]['p50']:.3f})   {'good' if results[-1]['good'] else 'MORE THAN 1 ms OFF'}", flush=True)
    finally:
        engine.terminate()
        engine.wait()
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--json")
    options = parser.parse_args()
    missing = [package for tool, package in PACKAGES.items() if not shutil.which(tool)]
    if missing:
        sys.exit(f"missing: apt-get install {' '.join(missing)}")
    with tempfile.TemporaryDirectory() as directory:
        targets = Targets(directory)
        try:
            rates = compare_rates(targets, options.rounds, options.seconds)
        finally:
            targets.stop()
    times = compare_times(options.seconds)
    if options.json:
        Path(options.json).write_text(json.dumps({"rates": rates, "times": times}, indent=1))
    sys.exit(0 if all(one["good"] for one in rates + times) else 1)


if __name__ == "__main__":
    main()
