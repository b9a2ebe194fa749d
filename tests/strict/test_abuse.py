"""Clients that abuse the edge: it lives and does not grow, they are cut off, and whoever stands beside them is served."""
import os
import re
import threading
import time
from pathlib import Path

import pytest

from attacks import FLOODS, SOME, hpack_bomb, made_you_reset, never_read, rapid_reset, zero_window
from http2_frames import PREFACE, Wire, block, data, frame, head, ping, request
from harness import Engine, Headrace, eventually, free_port

IDLE = int(os.environ.get("HEADRACE_IDLE_CONNECTIONS", "500"))
GROWTH_BYTES = 64 << 20
BINARY = os.environ.get("HEADRACE_RELEASE_BIN")  # memory is that of the real thing
SMALL = {"head_timeout_s": 1, "body_idle_timeout_s": 1, "write_stall_s": 1, "http2_resets_burst": 200, "http2_control_burst": 200,
         "connections_max": 20000, "address_connections_max": 20000}


def most_resident(h, again=False):
    """Bytes; the most since it was last asked with `again`."""
    status = Path(f"/proc/{h.process.pid}/status").read_text()
    if again:
        Path(f"/proc/{h.process.pid}/clear_refs").write_text("5")
        status = Path(f"/proc/{h.process.pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.M)[1]) << 10


def limited(h, limit):
    line = next(x for x in h.admin("/metrics")[1].splitlines() if x.startswith("headrace_client_limits_total") and f'"{limit}"' in x)
    return float(line.split()[-1])


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    directory = tmp_path_factory.mktemp("abuse")
    engine = Engine(directory)
    h = Headrace(directory, {"ep": engine.endpoint(default=True)}, binary=BINARY, client=SMALL)
    eventually(lambda: all(r["state"] == "ready" for r in h.status("ep")["replicas"]) and h.status("ep")["replicas"])
    for _ in range(20):
        assert h.call().status == 200
    yield h
    h.stop()
    engine.stop()


class Neighbour:
    """A client that does nothing wrong, on a connection of its own, for as long as the abuse lasts."""

    def __init__(self, h):
        self.h, self.before, self.over, self.statuses = h, most_resident(h, again=True), False, []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        link = self.h.http2(tls=True)
        while not self.over or len(self.statuses) < 10:
            self.statuses.append(link.call().status)
        link.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *failed):
        self.over = True
        self.thread.join()
        if not failed[0]:
            assert set(self.statuses) == {200} and self.h.process.poll() is None
            assert most_resident(self.h) - self.before < GROWTH_BYTES


def cut(wire, feed=None):
    """Fed until the other side has closed."""
    wire.link.settimeout(0.01)
    end, i = time.monotonic() + 30, 0
    while not wire.closed:
        assert time.monotonic() < end, "it was never cut off"
        if feed:
            wire.send(feed(i))
            i += 1
        try:
            wire.turn()
        except TimeoutError:
            pass


@pytest.mark.parametrize("name,flood,limit", FLOODS, ids=[f[0] for f in FLOODS])
def test_floods_are_cut_off(edge, name, flood, limit):
    before = limited(edge, limit)
    with Neighbour(edge):
        wire = Wire(edge.connect(True, "h2"))
        cut(wire, flood)
        assert wire.goaway in ("ENHANCE_YOUR_CALM", None)  # None: it was lost in what the client sent on
        wire.close()
    eventually(lambda: limited(edge, limit) == before + 1)
    edge.quiet("ep")


@pytest.mark.parametrize("flood", [rapid_reset, made_you_reset])
def test_what_is_taken_back_at_once_does_not_reach_a_replica(edge, flood):
    def asked():
        return next(float(x.split()[-1]) for x in edge.admin("/metrics")[1].splitlines() if x.startswith("headrace_endpoint_requests_total"))
    before = asked()
    wire = Wire(edge.connect(True, "h2"))
    wire.send(flood(0) + ping())
    assert wire.until(lambda: wire.pings)
    edge.quiet("ep")
    assert asked() - before <= SOME / 8  # but those whose reset came in another piece
    wire.close()


def test_made_you_reset_is_cut_off(edge):
    """As many streams as are allowed at once, again when those are reset: 200 times, and no more."""
    before = limited(edge, "http2_resets")
    with Neighbour(edge):
        wire = Wire(edge.connect(True, "h2"))
        for i in range(10):
            wire.send(made_you_reset(i))
            wire.until(lambda: len(wire.over) >= (i + 1) * SOME or wire.goaway)
        assert wire.goaway == "ENHANCE_YOUR_CALM" and set(wire.over.values()) == {"reset FLOW_CONTROL_ERROR"}
        assert 200 <= len(wire.over) < 210 + SOME
        wire.close()
    eventually(lambda: limited(edge, "http2_resets") == before + 1)
    edge.quiet("ep")


@pytest.mark.parametrize("tls", [False, True])
def test_many_requests_in_one_piece_are_all_answered(edge, tls):
    """They have their turns, with others in between; one that came after the last of them, too."""
    with Neighbour(edge):
        for _ in range(5):
            wire = Wire(edge.connect(tls, "h2"))
            asked = b"".join(head(request(method="POST", path="/echo"), stream=2 * k + 1, end=False) + data(b"%d" % k, stream=2 * k + 1) for k in range(100))
            wire.send(asked[:3000])
            wire.send(asked[3000:])
            wire.send(ping(b"behind 1"))
            assert wire.until(lambda: len(wire.over) == 100 and wire.pings)
            assert set(wire.over.values()) == {"end"} and set(wire.status.values()) == {200}
            assert wire.bodies == {2 * k + 1: b"%d" % k for k in range(100)}
            wire.close()
    edge.quiet("ep")


def test_a_head_that_is_larger_than_it_came_is_431(edge):
    before = limited(edge, "head_size")
    with Neighbour(edge):
        wire = Wire(edge.connect(True, "h2"))
        for i in range(50):
            wire.send(hpack_bomb(i, 20))
            assert wire.until(lambda: 2 * i + 1 in wire.over) and wire.status[2 * i + 1] == 431
        wire.close()
    assert limited(edge, "head_size") == before + 50


def test_streams_of_a_closed_window_are_ended(edge):
    """1000 streams, 100 at once, none of which takes a byte; a PING does not put it off."""
    before = limited(edge, "write_stall")
    with Neighbour(edge):
        hello, requests = zero_window(100)
        wires = [Wire(edge.connect(True, "h2"), hello) for _ in range(10)]
        for wire in wires:
            wire.send(requests)
        for wire in wires:
            wire.send(ping())
            assert wire.until(lambda: len(wire.over) == 100)
            assert set(wire.over.values()) == {"reset ENHANCE_YOUR_CALM"}
            wire.close()
    eventually(lambda: limited(edge, "write_stall") == before + 1000)
    edge.quiet("ep")


def test_a_reader_that_takes_nothing_is_cut_off(edge):
    """Its windows are open, it only never reads."""
    before = limited(edge, "write_stall")
    with Neighbour(edge):
        hello, requests = never_read(20)
        wire = Wire(edge.connect(True, "h2"), hello)
        wire.send(requests)
        eventually(lambda: limited(edge, "write_stall") > before)
        wire.close()
    edge.quiet("ep")


def test_a_head_that_never_ends_is_cut_off(edge):
    before = limited(edge, "head_timeout")
    text = frame(1, 1, 1, block(request(("x", "y" * 15000))))
    with Neighbour(edge):
        unfinished = Wire(edge.connect(True, "h2"))
        assert unfinished.until(lambda: unfinished.acks and unfinished.their_settings)  # no ACK may stand within the head
        unfinished.send(head(block(request()), end_headers=False))
        cut(unfinished)
        dribbled = Wire(edge.connect(True, "h2"))
        assert dribbled.until(lambda: dribbled.acks and dribbled.their_settings)
        cut(dribbled, lambda i: text[i:i + 1])
        silent = Wire(edge.connect(True, "h2"), PREFACE[:10])
        silent.send = lambda octets: None
        cut(silent)
        for wire in (unfinished, dribbled, silent):
            wire.close()
        assert unfinished.goaway == dribbled.goaway == "ENHANCE_YOUR_CALM"
    eventually(lambda: limited(edge, "head_timeout") == before + 3)


def test_a_body_that_does_not_come_is_408(edge):
    before = limited(edge, "body_idle")
    with Neighbour(edge):
        wire = Wire(edge.connect(True, "h2"))
        wire.send(head(request(("content-length", "9"), method="POST", path="/v1/chat/completions"), end=False) + data(b"x", end=False))
        assert wire.until(lambda: 1 in wire.over) and wire.status[1] == 408
        wire.close()
    assert limited(edge, "body_idle") > before


def test_idle_connections_cost_little(edge):
    with Neighbour(edge):
        links = [edge.connect() for _ in range(IDLE)]
        wires = [Wire(edge.connect(True, "h2")) for _ in range(20)]
        for wire in wires:
            wire.until(lambda: wire.acks)
    for one in (*links, *wires):
        one.close()


def test_uploads_that_wait_have_a_limit(tmp_path):
    """Each fits its stream's window; together they do not fit the buffer, and the last gives way. Others go on."""
    engine = Engine(tmp_path)
    h = Headrace(tmp_path, {"ep": engine.endpoint(default=True),
                            "cold": {"access": "public", "driver": "static", "addresses": [f"127.0.0.1:{free_port()}"]}},
                 client={"http2_buffer_bytes": 65536})
    eventually(lambda: all(r["state"] == "ready" for r in h.status("ep")["replicas"]) and h.status("ep")["replicas"])
    wire = Wire(h.connect(True, "h2"))
    for stream in (1, 3, 5):
        wire.send(head(request(("x-scale-up-timeout", "60"), method="POST", authority="cold.localhost"), stream=stream, end=False)
                  + 2 * data(b"x" * 15000, stream=stream, end=False))
    assert wire.until(lambda: 5 in wire.over) and wire.status[5] == 503 and set(wire.over) == {5}
    wire.send(head(stream=7))
    assert wire.until(lambda: 7 in wire.over) and wire.status[7] == 200
    assert limited(h, "http2_buffer") == 1
    wire.close()
    h.stop()
    engine.stop()


def test_connections_of_an_address_have_a_limit(tmp_path):
    engine = Engine(tmp_path)
    h = Headrace(tmp_path, {"ep": engine.endpoint(default=True)}, client={"address_connections_max": 3})
    links = [h.connect() for _ in range(3)]
    eventually(lambda: 'headrace_connections 3' in h.admin("/metrics")[1])
    with h.connect() as one_more:
        assert one_more.recv(1) == b""
    assert limited(h, "address") == 1
    links.pop().close()
    eventually(lambda: 'headrace_connections 2' in h.admin("/metrics")[1])
    link = h.connect()
    link.sendall(b"GET /bytes/3 HTTP/1.1\r\nHost: ep.localhost\r\n\r\n")
    eventually(lambda: link.recv(100))
    for link in (*links, link):
        link.close()
    h.stop()
    engine.stop()
