"""HTTP/2 held to its rules, byte by byte: from clients, over TLS and in clear, and from replicas."""
import contextlib
import socket
import threading

import pytest

import http2_cases
from http2_frames import (END_HEADERS, END_STREAM, HEADERS, PREFACE, PROBE, Wire, block, data, frame, goaway, head, literal, ping, request, reset,
                          settings, window)
from harness import Engine, Headrace, eventually, free_port, read_all

CLEAR_OR_TLS = pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])


def ready(h, name):
    eventually(lambda: all(r["state"] == "ready" for r in h.status(name)["replicas"]) and h.status(name)["replicas"])


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """One proxy for all cases; "cold" never starts, so that what is sent to it waits."""
    directory = tmp_path_factory.mktemp("edge")
    engine = Engine(directory)
    h = Headrace(directory, {"ep": engine.endpoint(default=True), "closed": engine.endpoint(access="authenticated"),
                             "cold": {"access": "public", "driver": "static", "addresses": [f"127.0.0.1:{free_port()}"]}})
    ready(h, "ep")
    h.engine = engine
    yield h
    h.stop()
    engine.stop()


@CLEAR_OR_TLS
@pytest.mark.parametrize("name,section,sent,accepted,stream", http2_cases.CASES, ids=[c[0] for c in http2_cases.CASES])
def test_what_a_client_sends(edge, tls, name, section, sent, accepted, stream):
    wire = Wire(edge.connect(tls, "h2"))
    wire.send(sent + head(stream=PROBE))
    came = wire.came_of(stream, "served" in accepted)
    assert came in accepted, f"RFC 9113, {section}" if section[0].isdigit() else section
    wire.close()


@CLEAR_OR_TLS
@pytest.mark.parametrize("name,section,fields,there,not_there", http2_cases.FORWARDED, ids=[c[0] for c in http2_cases.FORWARDED])
def test_what_goes_on_to_the_replica(edge, tls, name, section, fields, there, not_there):
    wire = Wire(edge.connect(tls, "h2"))
    wire.send(head(request(*fields, path="/headers")) + head(stream=PROBE))
    assert wire.came_of(1, False) == "200", section
    seen = wire.bodies[1].decode().lower().replace('"body_bytes"', "")
    assert all(text in seen for text in there) and not any(text in seen for text in not_there), seen
    wire.close()


# How a connection may begin: (name, section, bytes, over TLS, in clear); a status is that of an HTTP/1 answer.
OPENINGS = [
    ("a wrong preface", "3.4", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + settings(), "goaway PROTOCOL_ERROR", "505"),
    ("a preface of HTTP/3", "3.4", b"PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n" + settings(), "goaway PROTOCOL_ERROR", "505"),
    ("HTTP/1 where HTTP/2 was agreed", "3.4", b"GET /bytes/3 HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\n\r\n", "goaway PROTOCOL_ERROR", "200"),
    ("HEADERS before SETTINGS", "3.4", PREFACE + head(), "goaway PROTOCOL_ERROR", "goaway PROTOCOL_ERROR"),
    ("PING before SETTINGS", "3.4", PREFACE + ping(), "goaway PROTOCOL_ERROR", "goaway PROTOCOL_ERROR"),
    ("an ACK before SETTINGS", "3.4", PREFACE + settings(ack=True), "goaway PROTOCOL_ERROR", "goaway PROTOCOL_ERROR"),
    ("a preface of frames", "3.4", settings() + head() + b"\r\n\r\n", "goaway PROTOCOL_ERROR", "400"),
]


@CLEAR_OR_TLS
@pytest.mark.parametrize("name,section,sent,over_tls,in_clear", OPENINGS, ids=[c[0] for c in OPENINGS])
def test_how_a_connection_begins(edge, tls, name, section, sent, over_tls, in_clear):
    expected = over_tls if tls else in_clear
    if expected.startswith("goaway"):
        wire = Wire(edge.connect(tls, "h2"), hello=sent)
        wire.until(lambda: wire.closed)
        assert "goaway " + str(wire.goaway) == expected, section
        wire.close()
    else:
        with edge.connect() as link:
            link.sendall(sent)
            assert read_all(link).startswith(b"HTTP/1.1 %d " % int(expected)), section


@CLEAR_OR_TLS
def test_the_preface_may_come_in_any_pieces(edge, tls):
    """RFC 9113, 3.4. In clear fewer than four bytes could still be HTTP/1."""
    whole = PREFACE + settings() + head(stream=PROBE)
    for first in (4, 10, 23, 24, 26, 40):
        wire = Wire(edge.connect(tls, "h2"), hello=whole[:first])
        for i in range(first, len(whole)):
            wire.send(whole[i:i + 1])
        assert wire.until(lambda: PROBE in wire.over) and wire.status[PROBE] == 200
        wire.close()


@CLEAR_OR_TLS
def test_what_is_said_first(edge, tls):
    """RFC 9113, 3.4 and 6.5: our SETTINGS come first, and a client's are acknowledged; a PING is answered as it is."""
    wire = Wire(edge.connect(tls, "h2"))
    wire.send(settings((3, 5)) + ping(b"abcdefgh"))
    assert wire.until(lambda: wire.acks == 2 and wire.pings == [b"abcdefgh"])
    assert (wire.their_settings[3], wire.their_settings[4], wire.their_settings[6]) == (100, 65535, 32768)
    wire.close()


@CLEAR_OR_TLS
def test_a_stream_beyond_the_limit_is_refused(edge, tls):
    """RFC 9113, 5.1.2: REFUSED_STREAM, so that it may be sent again; the others go on."""
    wire = Wire(edge.connect(tls, "h2"))
    held = request(("x-scale-up-timeout", "60"), authority="cold.localhost")
    wire.send(b"".join(head(held, stream=2 * i + 1) for i in range(101)))
    wire.until(lambda: 201 in wire.over or wire.goaway)
    assert wire.over == {201: "reset REFUSED_STREAM"} and wire.goaway is None
    wire.send(reset(1) + head(stream=203))
    assert wire.until(lambda: 203 in wire.over) and wire.status[203] == 200
    wire.close()


def test_nothing_that_was_malformed_reached_the_replica(edge):
    """Of all cases before, by what the engine has seen: no method, path or body that was not to pass."""
    for line in edge.engine.events("end"):
        assert line["method"] in ("GET", "POST", "OPTIONS", "PURGE") and line["path"].split("?")[0] in (
            "/", "/bytes/3", "/echo", "/headers", "/slow", "*", "/health", "/v1/models"), line


# The replica's side.

def answer(*fields, end=False, stream=1):
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(fields))


S = (":status", "200")
CUT = "aborted"

# (name, section, what the replica says to its first request, what the client must see); "close" ends its connection.
ANSWERS = [
    ("a good answer", "8.1", answer(S) + data(b"abc"), "200"),
    ("a good answer without a body", "8.1", answer(S, end=True), "200"),
    ("a good answer and trailers", "8.1", answer(S) + data(b"abc", end=False) + answer(("x-t", "1"), end=True), "200"),
    ("no :status", "8.3.2", answer(("x", "y"), end=True), "502"),
    ("an empty :status", "8.3.2", answer((":status", ""), end=True), "502"),
    (":status of two digits", "8.3.2", answer((":status", "20"), end=True), "502"),
    (":status of four digits", "8.3.2", answer((":status", "2000"), end=True), "502"),
    (":status with letters", "8.3.2", answer((":status", "2xx"), end=True), "502"),
    (":status 101", "8.6", answer((":status", "101")), "502"),
    (":status 099", "RFC 9110, 15", answer((":status", "099"), end=True), "502"),
    (":status twice", "8.3", answer(S, S, end=True), "502"),
    (":status behind a field", "8.3", answer(("x", "y"), S, end=True), "502"),
    ("a request's pseudo-field", "8.3", answer(S, (":path", "/"), end=True), "502"),
    ("an unknown pseudo-field", "8.3", answer(S, (":color", "blue"), end=True), "502"),
    ("an upper-case name", "8.2.1", answer(S, ("X-Upper", "1"), end=True), "502"),
    ("an empty name", "8.2.1", answer(S, ("", "1"), end=True), "502"),
    ("a name with a space", "8.2.1", answer(S, ("x y", "1"), end=True), "502"),
    ("a value with CR", "8.2.1", answer(S, ("x", "a\rb"), end=True), "502"),
    ("a value with LF", "8.2.1", answer(S, ("x", "a\nb"), end=True), "502"),
    ("a value with NUL", "8.2.1", answer(S, ("x", "a\0b"), end=True), "502"),
    ("a value that splits the answer", "10.3", answer(S, ("x", "1\r\n\r\nevil"), end=True), "502"),
    ("connection", "8.2.2", answer(S, ("connection", "close"), end=True), "502"),
    ("transfer-encoding", "8.2.2", answer(S, ("transfer-encoding", "chunked"), end=True), "502"),
    ("upgrade", "8.2.2", answer(S, ("upgrade", "x"), end=True), "502"),
    ("DATA before HEADERS", "8.1", data(b"abc"), "502"),
    ("a length that is none", "RFC 9110, 8.6", answer(S, ("content-length", "x"), end=True), "502"),
    ("a negative length", "RFC 9110, 8.6", answer(S, ("content-length", "-5"), end=True), "502"),
    ("two lengths", "RFC 9110, 8.6", answer(S, ("content-length", "3"), ("content-length", "4")) + data(b"abc"), "502"),
    ("a length and less", "8.1.1", answer(S, ("content-length", "5")) + data(b"abc"), CUT),
    ("a length and more", "8.1.1", answer(S, ("content-length", "2")) + data(b"abc"), CUT),
    ("a length and nothing", "8.1.1", answer(S, ("content-length", "2"), end=True), "502"),
    ("a length that is right", "8.1.1", answer(S, ("content-length", "3")) + data(b"abc"), "200"),
    ("trailers with a pseudo-field", "8.1", answer(S) + data(b"abc", end=False) + answer(S, ("x", "y"), end=True), CUT),
    ("trailers that do not end", "8.1", answer(S) + data(b"abc", end=False) + answer(("x", "y")), CUT),
    ("trailers with an upper-case name", "8.2.1", answer(S) + data(b"abc", end=False) + answer(("X", "y"), end=True), CUT),
    ("an interim answer that ends the stream", "8.1", answer((":status", "103"), end=True), "502"),
    ("an interim answer and a good one", "8.1", answer((":status", "103")) + answer(S, end=True), "200"),
    ("RST_STREAM before the head", "5.4.2", reset(), "502"),
    ("RST_STREAM in the body", "5.4.2", answer(S) + data(b"abc", end=False) + reset(), CUT),
    ("RST_STREAM in the body without an error", "8.1", answer(S) + data(b"abc", end=False) + reset(code=0), CUT),
    ("closed in the body", "8.1", answer(S) + data(b"abc", end=False) + b"close", CUT),
    ("closed in the head", "8.1", answer(S)[:-2] + b"close", "502"),
    ("closed in a DATA frame", "8.1", answer(S) + data(b"abcdef")[:-3] + b"close", CUT),
    ("closed behind the head", "8.1", answer(S) + b"close", CUT),
    ("closed without a word", "8.1", b"close", "502"),
    ("GOAWAY with an error in the body", "6.8", answer(S) + data(b"abc", end=False) + goaway(1, 2) + b"close", CUT),
    ("GOAWAY, and the answer all the same", "6.8", goaway(1) + answer(S) + data(b"abc"), "200"),
    ("PUSH_PROMISE", "6.6", frame(5, END_HEADERS, 1, b"\0\0\0\2" + block(request())), "502"),
    ("an answer on a stream nobody asked on", "5.1", answer(S, end=True, stream=7), "502"),
    ("an answer on a stream of its own", "5.1.1", answer(S, end=True, stream=2), "502"),
    ("HPACK that is wrong", "4.3", frame(HEADERS, END_HEADERS, 1, b"\xbe"), "502"),
    ("a frame that is too large", "4.2", frame(0, 0, 1, b"x" * 16385), "502"),
    ("a frame that is too large in the body", "4.2", answer(S) + frame(0, 0, 1, b"x" * 16385), CUT),
    ("WINDOW_UPDATE by 0 in the body", "6.9", answer(S) + data(b"abc", end=False) + window(0, 1), CUT),
    ("a bad setting", "6.5.2", settings((5, 1)), "502"),
    ("HEADERS within a head", "6.10", frame(HEADERS, 0, 1, literal(":status", "200")) + answer(S, end=True), "502"),
    ("unknown frames", "5.5", frame(0xbe, 0, 0, b"x") + answer(S) + frame(0xbe, 0, 1, b"x") + data(b"abc"), "200"),
    ("a head without end", "10.5.1", frame(HEADERS, 0, 1, literal(":status", "200")) + 100 * frame(9, 0, 1, literal("x", "y" * 1000)), "502"),
    ("DATA behind the end", "5.1", answer(S) + data(b"abc") + data(b"evil"), "200"),
]


class Replica:
    """An h2c server that answers the first request of each connection with given bytes; to /good like a good one."""

    def __init__(self):
        self.says, self.links = b"", []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            self.links.append(link)
            threading.Thread(target=self.serve, args=(link,), daemon=True).start()

    def serve(self, link):
        """What it is asked does not matter: the first HEADERS is the request."""
        try:
            link.sendall(settings())
            got = b""
            while not got.startswith(PREFACE) or not self.asked(got[len(PREFACE):]):
                if not (part := link.recv(65536)):
                    return
                got += part
            link.sendall(settings(ack=True) + self.says.removesuffix(b"close"))
            if self.says.endswith(b"close"):
                link.shutdown(socket.SHUT_WR)
            while link.recv(65536):
                pass
        except OSError:
            pass
        finally:
            link.close()

    @staticmethod
    def asked(frames):
        while len(frames) >= 9:
            size, kind = int.from_bytes(frames[:3], "big"), frames[3]
            if kind == HEADERS and len(frames) >= 9 + size:
                return True
            frames = frames[9 + size:]
        return False

    def hang_up(self):
        """A connection is for one answer: the next case gets its own."""
        for link in self.links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        self.links.clear()

    def stop(self):
        self.hang_up()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    replica = Replica()
    h = Headrace(tmp_path_factory.mktemp("behind"), {"ep": {
        "access": "public", "driver": "static", "addresses": [f"127.0.0.1:{replica.port}"], "protocol": "h2c", "default": True, "head_timeout_s": 5,
        "health": {"interval_ms": 600000}}})
    ready(h, "ep")
    h.replica = replica
    yield h
    h.stop()
    replica.stop()


def seen_by_http1(h):
    got = h.raw(b"GET / HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\n\r\n")
    while got.startswith(b"HTTP/1.1 103 "):
        got = got.split(b"\r\n\r\n", 1)[1]
    first, _, body = got.partition(b"\r\n\r\n")
    length = [int(line.split(b":")[1]) for line in first.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    whole = body.endswith(b"0\r\n\r\n") or b"\r\n0\r\n" in body if b"chunked" in first.lower() else length and len(body) == length[0]
    return first.split(b" ")[1].decode() if whole else CUT


def seen_by_http2(h):
    wire = Wire(h.connect(True, "h2"))
    wire.send(head(request(path="/")))
    assert wire.until(lambda: 1 in wire.over)
    wire.close()
    return str(wire.status[1]) if wire.over[1] == "end" else CUT


@pytest.mark.parametrize("seen", [seen_by_http1, seen_by_http2], ids=["http1", "http2"])
@pytest.mark.parametrize("name,section,says,accepted", ANSWERS, ids=[c[0] for c in ANSWERS])
def test_what_a_replica_answers(behind, seen, name, section, says, accepted):
    behind.replica.hang_up()
    behind.replica.says = says
    assert seen(behind) == accepted, section
