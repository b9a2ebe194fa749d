#!/usr/bin/env python3
"""What Redis has to do: commands per second at several request rates, and for many endpoints.

    bench/redis_commands.py [--seconds 5] [--endpoints 1000]

Two proxies and a scheduler on one Redis, all of this machine. Commands are those that Redis itself has
counted (each one inside a script counts, too) and those that were sent to it."""
import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "flows"))
from fleet import Redis  # noqa: E402
from harness import STREAM, Engine, Headrace, eventually  # noqa: E402


def numbers(redis, edges):
    info = dict(line.split(":", 1) for line in redis.cli("info").splitlines() if ":" in line)
    sent = sum(float(line.split()[1]) for edge in edges for line in edge.admin("/metrics")[1].splitlines()
               if line.startswith("headrace_store_commands_total "))
    cpu = float(info["used_cpu_sys"]) + float(info["used_cpu_user"])
    done = sum(edge.status("e0")["requests_total"] for edge in edges[:1])
    return time.monotonic(), float(info["total_commands_processed"]), sent, cpu, done


def measure(name, redis, edges, seconds, load=None):
    processes = load() if load else []
    time.sleep(0.5)
    before = numbers(redis, edges)
    time.sleep(seconds)
    after = numbers(redis, edges)
    took, commands, sent, cpu, done = (b - a for a, b in zip(before, after))
    print(f"{name:44} {done / took:9.0f} {sent / took / len(edges):12.1f} {commands / took:14.0f} {100 * cpu / took:9.1f}")
    for p in processes:
        p.terminate()
        p.wait()


def h2load(edges, per_second, seconds):
    if not per_second:
        return []
    clients = 10
    return [subprocess.Popen(["h2load", "--h1", "-c", str(clients), "-D", str(seconds + 3), "--rps", str(per_second // len(edges) // clients),
                              "-H", ":authority: e0.localhost", f"http://127.0.0.1:{edge.port}/v1/models"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for edge in edges]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=int, default=5)
    options.add_argument("--endpoints", type=int, default=1000)
    o = options.parse_args()
    running = []
    with tempfile.TemporaryDirectory() as directory:
        d = Path(directory)

        def add(one):
            running.append(one)
            return one

        def role(name, role, endpoints, redis):
            (d / name).mkdir()
            return add(Headrace(d / name, endpoints, role=role, redis=redis.settings(), log={"access": ""}))
        redis, engine = add(Redis(d / "redis")), add(Engine(d, "--rate", "1", "--tokens", "100"))
        try:
            endpoints = {f"e{i}": engine.endpoint(health={"interval_ms": 60000}) for i in range(o.endpoints)}
            role("scheduler", "scheduler", endpoints, redis)
            edges = [role(f"proxy{i}", "proxy", {}, redis) for i in range(2)]
            for edge in edges:
                eventually(lambda: edge.call(method="GET", path="/v1/models", body=None, host=f"e{o.endpoints - 1}.localhost").status == 200)
            time.sleep(4)
            print(f"{'':44} {'requests':>9} {'sent by each':>12} {'Redis counted':>14} {'Redis CPU':>9}")
            print(f"{'two proxies, a scheduler':44} {'per s':>9} {'per s':>12} {'per s':>14} {'%':>9}")
            for rate in (0, 1000, 20000):
                measure(f"{o.endpoints} endpoints, one busy: {rate} wanted", redis, edges, o.seconds,
                        lambda: h2load(edges, rate, o.seconds))
            sessions = []
            for edge in edges:
                for i in range(o.endpoints):
                    if i % 100 == 0:
                        sessions.append(edge.http2())
                    sessions[-1].ask(body=STREAM, host=f"e{i}.localhost")
            measure(f"{o.endpoints} endpoints, a stream on each of each proxy", redis, edges, o.seconds)
            for s in sessions:
                s.close()
        finally:
            for one in reversed(running):
                one.stop()


if __name__ == "__main__":
    main()
