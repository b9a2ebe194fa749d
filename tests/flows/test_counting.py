"""What a keep-alive request costs in system calls and allocations (the budget of docs/architecture.md)."""
import os
import struct
import subprocess

import pytest

from harness import BODY, CHAT, HEADRACE, ROOT

NAMES = ["reads", "writes", "epoll_ctl", "epoll_wait", "allocations"]
WARM, REQUESTS = 200, 2000
RELEASE = os.environ.get("HEADRACE_RELEASE_BIN", HEADRACE)


@pytest.fixture
def counted(start, tmp_path):
    library = tmp_path / "count.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-D_GNU_SOURCE", str(ROOT / "tests/counting/count.c"), "-o", str(library), "-ldl"],
                   check=True)
    counts = tmp_path / "counts"
    counts.write_bytes(bytes(8 * len(NAMES)))
    engine = start.engine("--tokens", 1, "--rate", 0)
    h = start.headrace({"ep": engine.endpoint(default=True, health={"interval_ms": 600000})}, binary=RELEASE, workers=1,
                       env={"LD_PRELOAD": str(library), "HEADRACE_COUNTS": str(counts)}, log={"access": ""},
                       store={"refresh_ms": 60000, "lease_ms": 600000}, scheduler={"tick_ms": 60000})

    def cost(ask):
        ask(WARM)
        before = struct.unpack("5Q", counts.read_bytes())
        ask(REQUESTS)
        after = struct.unpack("5Q", counts.read_bytes())
        per_request = {name: (b - a) / REQUESTS for name, a, b in zip(NAMES, before, after)}
        print("per request:", per_request)
        return per_request
    return h, cost


def keep_alive(link):
    """Requests on the connection, one after the other, each with its whole answer."""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()

    def ask(times):
        for _ in range(times):
            link.sendall(head + BODY)
            data = b""
            while b"\r\n\r\n" not in data:
                data += link.recv(65536)
            at, length = data.index(b"\r\n\r\n") + 4, int(data.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(data) < at + length:
                data += link.recv(65536)
    return ask


@pytest.mark.parametrize("tls", [False, True])
def test_http1(counted, tls):
    h, cost = counted
    with h.connect(tls) as link:
        c = cost(keep_alive(link))
    # The scheduler's and the main thread's own timers add a trace of their own.
    assert c["reads"] + c["writes"] <= 4.1
    assert c["epoll_ctl"] < 0.01
    assert c["allocations"] < (10 if tls else 0.1)  # OpenSSL releases its buffers between records


@pytest.fixture
def h2load(counted, tmp_path):
    h, cost = counted
    body = tmp_path / "body"
    body.write_bytes(BODY)

    def cost_with(streams):
        def ask(times):
            done = subprocess.run(["h2load", "-n", str(times), "-c", "1", "-m", str(streams), "-d", str(body),
                                   f"https://localhost:{h.tls_port}{CHAT}"], capture_output=True, text=True, timeout=60)
            assert f"{times} succeeded" in done.stdout, done.stdout
        return cost(ask)
    return cost_with


def test_http2(h2load):
    c = h2load(1)
    assert c["epoll_ctl"] < 0.05 and c["reads"] + c["writes"] <= 4.1 and c["allocations"] < 15


def test_http2_streams_share_reads_writes_and_turns(h2load):
    c = h2load(32)
    assert c["reads"] + c["writes"] <= 2.3  # one of each to the replica: head and body go out together
    assert c["epoll_wait"] < 1 and c["epoll_ctl"] < 0.05
    assert c["allocations"] < 9  # nghttp2's
