"""The limits of HTTP/1 in time, each reached with a small value: what the client sees, and what is counted."""
import contextlib
import json
import re
import socket
import sys
from pathlib import Path

import pytest

from http1_wire import CLOSE, HOST, Replica, read_answers, send_and_read

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "flows"))
from harness import DEADLINE_S, Headrace, eventually  # noqa: E402

LIMITS = {"head_timeout_s": 1, "idle_timeout_s": 1, "body_idle_timeout_s": 1, "body_rate_min_bytes": 1000, "write_stall_s": 1}
POST = b"POST /x HTTP/1.1\r\n" + HOST
BIG = b"x" * (64 << 20)


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    replica = Replica()
    headrace = Headrace(tmp_path_factory.mktemp("limits"), {"ep": replica.endpoint(default=True)}, workers=1, client=LIMITS)
    replica.script["/big"] = ((b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG), BIG), "close")
    eventually(lambda: [r["state"] for r in headrace.status("ep")["replicas"]] == ["ready"])
    yield headrace
    headrace.stop()
    replica.stop()


@pytest.fixture
def counts(edge):
    """The test adds one to the count it names."""
    def count(name):
        return int(re.search(rf"^headrace_{name}_total (\d+)$", edge.admin("/metrics")[1], re.M)[1])

    @contextlib.contextmanager
    def one_more(name):
        before = count(name)
        yield
        eventually(lambda: count(name) == before + 1)
    return one_more


def trickle(part):
    """Again and again, until an answer comes."""
    def send(link):
        link.settimeout(0.05)
        for _ in range(int(DEADLINE_S / 0.05)):
            link.sendall(part)
            with contextlib.suppress(TimeoutError, socket.timeout):
                if data := link.recv(65536):
                    link.settimeout(DEADLINE_S)
                    return data
                return b""
        raise AssertionError("never cut")
    return send


def ask(edge, parts, tls=False):
    with contextlib.closing(edge.connect(tls)) as link:
        data, ended = send_and_read(link, parts)
    return read_answers(data, ended)


def refused(answers):
    (got,) = [a for a in answers if a.status >= 200]
    assert (got.status, got.all(b"connection"), json.loads(got.body)["error"]["code"]) == (408, [b"close"], "request_timeout")


def test_a_handshake_that_never_comes(edge, counts):
    with counts("head_timeouts"), socket.create_connection(("127.0.0.1", edge.tls_port), DEADLINE_S) as link:
        assert link.recv(1) == b""


@pytest.mark.parametrize("tls", [False, True])
def test_a_head_that_never_begins(edge, counts, tls):
    with counts("head_timeouts"):
        assert ask(edge, [], tls) == []


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("parts", [[b"GET /x HT"], [b"GET /x HTTP/1.1\r\n", trickle(b"X: y\r\n")]], ids=["stops", "trickles"])
def test_a_head_that_never_ends(edge, counts, parts, tls):
    with counts("head_timeouts"):
        refused(ask(edge, parts, tls))


def test_a_later_head_that_never_ends(edge, counts):
    with counts("head_timeouts"):
        first, second = ask(edge, [b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n", b"GET /x"])
        assert first.status == 200
        refused([second])


def test_an_idle_connection(edge, counts):
    with counts("idle_closed"):
        (got,) = ask(edge, [b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n"])
        assert got.status == 200


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("parts", [
    [POST + b"Content-Length: 5\r\n\r\nhell"],
    [POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhell"],
    [POST + b"Content-Length: 100000\r\n\r\n", trickle(b"x")],
    [POST + b"Transfer-Encoding: chunked\r\n\r\n", trickle(b"1\r\nx\r\n")],
    [POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"],
], ids=["stops", "stops-within-a-chunk", "trickles", "trickles-chunks", "waits-for-what-has-come"])
def test_a_body_that_never_ends(edge, counts, parts, tls):
    with counts("body_timeouts"):
        refused(ask(edge, parts, tls))


def test_a_body_that_stops_after_much_was_passed_on(edge, counts):
    """Reading paused and resumed by then: the client is waited for again."""
    size = 8 << 20
    with counts("body_timeouts"):
        refused(ask(edge, [POST + b"Content-Length: %d\r\n\r\n" % size, b"x" * (size - 1)]))


def test_a_body_fast_enough(edge):
    (got,) = ask(edge, [POST + CLOSE + b"Content-Length: 100000\r\n\r\n"] + [b"x" * 1000] * 100)
    assert got.status == 200


@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_takes_nothing(edge, counts, tls):
    with contextlib.closing(edge.connect(tls)) as link:
        with counts("write_stalls"):
            link.sendall(b"GET /big HTTP/1.1\r\n" + HOST + b"\r\n")
        data, ended = send_and_read(link, [])
    assert ended == "cut" and len(data) < len(BIG)
    edge.quiet("ep")


@pytest.mark.parametrize("head", [b"GET /" + b"x" * 20000, b"GET / HTTP/1.1\r\nX: " + b"y" * 40000,
                                  b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 120 + b"\r\n"], ids=["line", "bytes", "fields"])
def test_a_head_too_large_is_counted(edge, counts, head):
    with counts("heads_too_large"):
        (got,) = ask(edge, [head])
        assert got.status in (414, 431)
