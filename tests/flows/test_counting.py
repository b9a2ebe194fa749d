"""What a keep-alive request costs in system calls and allocations (the budget of docs/architecture.md)."""
import json
import os
import struct
import subprocess

import pytest

from harness import BODY, CHAT, HEADRACE, ROOT

NAMES = ["reads", "writes", "epoll_ctl", "epoll_wait", "allocations", "batches", "in_batches"]
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
        before = struct.unpack(f"{len(NAMES)}Q", counts.read_bytes())
        ask(REQUESTS)
        after = struct.unpack(f"{len(NAMES)}Q", counts.read_bytes())
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


def streams_at_once(session, count, body=BODY):
    """All heads, then all bodies, in one write, as clients with many requests send them."""
    def ask(times):
        for _ in range(0, times, count):
            session.flush = lambda: None
            streams = [session.ask(body=b"", end=False) for _ in range(count)]
            for stream in streams:
                session.h2.send_data(stream, body, end_stream=True)
            del session.flush
            session.flush()
            assert all(session.wait(stream).status == 200 for stream in streams)
    return ask


def test_http2(counted):
    h, cost = counted
    session = h.http2(tls=True)
    c = cost(streams_at_once(session, 1))
    session.close()
    assert c["writes"] <= 2.1 and c["epoll_ctl"] < 0.01 and c["allocations"] < 15


def test_http2_streams_share_reads_writes_and_turns(counted):
    h, cost = counted
    session = h.http2(tls=True)
    c = cost(streams_at_once(session, 40))
    session.close()
    # Several reads or writes are one system call; the client's are shared by its streams. Without AIO there are none of these.
    calls = c["reads"] + c["writes"] + c["batches"]
    assert calls <= (0.6 if c["batches"] else 2.5)
    assert c["in_batches"] + c["reads"] + c["writes"] <= 2.5
    assert c["epoll_wait"] < 1 and c["epoll_ctl"] < 0.01
    assert c["allocations"] < 8  # nghttp2's


def test_heads_and_bodies_in_one_go_are_one_write_to_a_replica(counted):
    """More than one read of little takes in, and more heads than are begun at once."""
    h, cost = counted
    session = h.http2(tls=True)
    c = cost(streams_at_once(session, 40, json.dumps({**json.loads(BODY), "user": "u" * 900}).encode()))
    session.close()
    assert c["in_batches"] + c["reads"] + c["writes"] <= 2.5


def test_who_does_not_take_leave_costs_nothing(counted):
    h, cost = counted
    gone = h.connect()
    gone.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: {len(BODY)}\r\nConnection: close\r\n\r\n".encode() + BODY)
    while gone.recv(65536):
        pass
    with h.connect() as link:
        c = cost(keep_alive(link))
    gone.close()
    assert c["epoll_wait"] < 2.1


def test_the_optimised_program_has_jemalloc():
    """Which link-time optimisation drops when nothing names it before."""
    needed = subprocess.run(["readelf", "-d", RELEASE], capture_output=True, text=True, check=True).stdout
    assert "[libjemalloc.so" in needed
