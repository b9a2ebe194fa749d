#!/usr/bin/python3
"""How long after a replica's first healthy answer the first held request reaches it, over many wakes.

    bench/wakes.py [WAKES]      median and p99 in ms; build first (make build)
"""
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "flows"))
from harness import Headrace, eventually, process_endpoint  # noqa: E402

WAKES = int(sys.argv[1]) if len(sys.argv) > 1 else 100


def main():
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        log = directory / "engine.log"
        names = [f"e{i}" for i in range(WAKES)]
        (directory / "h").mkdir()
        h = Headrace(directory / "h", {
            name: process_endpoint("--load-ms", 200, "--tokens", 1, "--rate", 0, "--log", f"{log}.{name}", log_directory=directory,
                                   scaling={"max_replicas": 1, "scale_to_zero_s": 1}) for name in names})
        delays = []
        try:
            for name in names:
                answer = h.call(host=f"{name}.localhost", X_Scale_Up_Timeout="60")
                assert answer.status == 200, (answer.body, h.status(name), h.errors()[-2000:])
                lines = [json.loads(line) for line in Path(f"{log}.{name}").read_text().splitlines()]
                healthy = next(e["t"] for e in lines if e["event"] == "healthy")
                reached = next(e["t"] for e in lines if e["event"] == "start" and e["path"].startswith("/v1"))
                delays.append(reached - healthy)
        finally:
            h.stop()
        delays.sort()
        print(f"{WAKES} wakes: median {statistics.median(delays):.2f} ms, p99 {delays[int(len(delays) * 0.99) - 1]:.2f} ms, "
              f"max {delays[-1]:.2f} ms")


if __name__ == "__main__":
    main()
