"""HTTP/2 in clear to replicas: nghttpx in front of the engine, and a server of our own that misbehaves."""
import contextlib
import json
import socket
import subprocess
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import pytest
from hyperframe.frame import GoAwayFrame

from harness import BODY, DEADLINE_S, STREAM, eventually, free_port, read_all
from test_stream import post

WAIT = {"X_Scale_Up_Timeout": "60"}


def endpoint(port, **more):
    return {"access": "public", "driver": "static", "addresses": [f"127.0.0.1:{port}"], "protocol": "h2c", "default": True,
            "health": {"interval_ms": 600000}, **more}


def connections(port):
    """Established ones of this machine to that port."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


class Front:
    """nghttpx: HTTP/2 in clear in front of an engine."""

    def __init__(self, engine, *args, port=None):
        self.port = port or free_port()
        self.process = subprocess.Popen(["nghttpx", "--conf=/dev/null", f"-f127.0.0.1,{self.port};no-tls", f"-b127.0.0.1,{engine.port};;proto=http/1.1",
                                         "--workers=1", "--no-via", "--add-x-forwarded-for", "--log-level=ERROR", *args],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def listens():
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return True
        eventually(listens)

    def stop(self):
        """Its own worker goes with it, at once."""
        if self.process.poll() is None:
            children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True).stdout
            for pid in [self.process.pid, *map(int, children.split())]:
                subprocess.run(["kill", "-KILL", str(pid)], stderr=subprocess.DEVNULL)
        self.process.wait(DEADLINE_S)


class Peer:
    """One connection at our own server: what each path asks for is a method here."""

    def __init__(self, server, link):
        self.server, self.link, self.lock = server, link, threading.RLock()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.open, self.bodies, self.paths = {}, {}, {}

    def flush(self):
        if data := self.h2.data_to_send():
            self.link.sendall(data)

    def answer(self, stream, status=200, body=b"", end=True, **fields):
        with self.lock:
            fields = {k.replace("_", "-"): str(v) for k, v in fields.items()}
            self.h2.send_headers(stream, [(":status", str(status)), *fields.items()], end_stream=end and not body)
            if body:
                self.h2.send_data(stream, body, end_stream=end)
            self.flush()

    def run(self):
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            if not self.server.speaks:
                self.link.recv(1)
                eventually(lambda: self.server.closing, 60)
                return
            with self.lock:
                self.h2.local_settings = h2.settings.Settings(client=False, initial_values={
                    h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.server.streams_max})
                self.h2.initiate_connection()
                self.flush()
            while data := self.link.recv(65536):
                self.server.heard(self)
                with self.lock:
                    for e in self.h2.receive_data(data):
                        self.take(e)
                    self.flush()
        self.link.close()

    def take(self, e):
        stream = getattr(e, "stream_id", None)
        if isinstance(e, h2.events.RequestReceived):
            self.open[stream], self.bodies[stream] = e.headers, b""
            fields = dict(e.headers)
            self.paths[stream] = fields[":path"]
            self.server.requests.append(fields[":path"])
            if at_head := self.server.at_head.get(fields[":path"]):
                at_head(self, stream)
        elif isinstance(e, h2.events.DataReceived):
            self.bodies[stream] += e.data
            self.h2.acknowledge_received_data(e.flow_controlled_length, stream)
        elif isinstance(e, h2.events.TrailersReceived):
            self.open[stream] = self.open[stream] + [("trailer:" + k, v) for k, v in e.headers]
        elif isinstance(e, h2.events.WindowUpdated):
            self.server.on_credit()
        elif isinstance(e, h2.events.StreamReset):
            self.server.resets.append((self.paths.get(stream), e.error_code))
            self.open.pop(stream, None)
        elif isinstance(e, h2.events.StreamEnded) and self.paths[stream] not in self.server.at_head:
            getattr(self, self.paths[stream].strip("/").replace("-", "_"), self.ok)(stream)

    def ok(self, stream):
        self.answer(stream, body=b"ok")

    def fields(self, stream):
        self.answer(stream, body=json.dumps([*self.open[stream], ["body", self.bodies[stream].decode()]]).encode())

    def hold(self, stream):
        self.server.held.append((self, stream))

    def never(self, stream):
        pass

    def refuse_once(self, stream):
        if self.server.requests.count("/refuse-once") > 1:
            return self.ok(stream)
        self.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)

    def reset_before_head(self, stream):
        self.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)

    def goaway(self, last):
        self.link.sendall(GoAwayFrame(0, last_stream_id=last, error_code=0).serialize())

    def goaway_once(self, stream):
        """This stream was not looked at; those before it go on."""
        if self.server.requests.count("/goaway-once") > 1:
            return self.ok(stream)
        self.goaway(stream - 2 if stream > 1 else 0)

    def close_before_head(self, stream):
        self.link.shutdown(socket.SHUT_RDWR)

    def close_mid_body(self, stream):
        self.answer(stream, body=b"half", end=False)
        self.link.shutdown(socket.SHUT_RDWR)

    def reset_mid_body(self, stream):
        self.answer(stream, body=b"half", end=False)
        self.h2.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)

    def short_body(self, stream):
        self.answer(stream, body=b"half", content_length=8)

    def long_body(self, stream):
        self.answer(stream, body=b"twice", content_length=2)

    def big_head(self, stream):
        self.answer(stream, **{f"x-{i}": "y" * 1000 for i in range(40)})

    def huge_head(self, stream):
        self.answer(stream, **{f"x-{i}": "y" * 1000 for i in range(80)})

    def many_fields(self, stream):
        self.answer(stream, **{f"x-{i}": "y" for i in range(1100)})

    def trailers(self, stream):
        self.answer(stream, body=b"ok", end=False)
        self.h2.send_headers(stream, [("x-late", "1")], end_stream=True)

    def interim(self, stream):
        self.h2.send_headers(stream, [(":status", "103"), ("link", "</a>")])
        self.answer(stream, body=b"ok")

    def many_interims(self, stream):
        for _ in range(1000):
            self.h2.send_headers(stream, [(":status", "103")])
        self.answer(stream, body=b"ok")

    def switching(self, stream):
        self.h2.send_headers(stream, [(":status", "101")])

    def no_content(self, stream):
        self.answer(stream, 204)

    def no_content_open(self, stream):
        self.answer(stream, 204, end=False)

    def empty(self, stream):
        self.answer(stream, 200)


class Server:
    """HTTP/2 by prior knowledge; misbehaves as the path says."""

    def __init__(self, streams_max=100, speaks=True):
        self.streams_max, self.speaks, self.closing = streams_max, speaks, False
        self.requests, self.resets, self.held, self.peers, self.at_head = [], [], [], [], {}
        self.on_credit = lambda: None
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                link, _ = self.listener.accept()
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.threads.append(threading.Thread(target=Peer(self, link).run, daemon=True))
                self.threads[-1].start()

    def heard(self, peer):
        if peer not in self.peers:
            self.peers.append(peer)

    def release(self):
        for peer, stream in self.held:
            peer.answer(stream, body=b"ok")
        self.held.clear()

    def stop(self):
        self.closing = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.link.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def h2c(start):
    """Starts nghttpx or our own server, and a proxy in front of it."""
    running = []

    class Start:
        def front(self, *engine, workers=2, nghttpx=(), **more):
            e = start.engine(*engine)
            running.append(Front(e, *nghttpx))
            return start.headrace({"ep": endpoint(running[-1].port, **more)}, workers=workers), e, running[-1]

        def server(self, workers=1, options=None, more=None, **server):
            running.append(Server(**server))
            return start.headrace({"ep": endpoint(running[-1].port, **(more or {}))}, workers=workers, **(options or {})), running[-1]

    yield Start()
    for one in running:
        one.stop()


@pytest.fixture
def nasty(h2c):
    return h2c.server()


def get(h, path):
    return h.call("GET", path, None)


def clients(h):
    """The same question by both client protocols, with and without TLS."""
    for tls in (False, True):
        yield lambda **what: h.call(tls=tls, **what)
        link = h.http2(tls)
        yield link.call
        link.close()


def test_chat_and_streams_by_both_client_protocols(h2c):
    h, engine, _ = h2c.front("--tokens", 5, "--rate", 0)
    for ask in clients(h):
        assert json.loads(ask().body)["choices"]
        answer = ask(body=STREAM)
        assert answer.status == 200 and answer.body.rstrip().endswith(b"data: [DONE]") and answer.body.count(b"data:") >= 6
    h.quiet("ep")


def test_each_token_arrives_before_the_next_is_made(h2c):
    h, _, _ = h2c.front("--tokens", 6, "--rate", 20)
    with h.connect() as link:
        link.sendall(post())
        arrivals = []
        while not (arrivals and b"0\r\n\r\n" in arrivals[-1]):
            arrivals.append(link.recv(65536))
    assert len([a for a in arrivals if b'"content":' in a]) >= 6


def test_a_hundred_requests_share_a_connection(nasty):
    h, server = nasty
    link = h.http2()
    streams = [link.ask(method="GET", path="/hold", body=None) for _ in range(100)]
    eventually(lambda: len(server.held) == 100)
    assert len(server.peers) == 1
    server.release()
    assert all(link.wait(s).body == b"ok" for s in streams)
    assert get(h, "/ok").body == b"ok" and len(server.peers) == 1


def test_workers_have_a_connection_each(h2c):
    h, engine, front = h2c.front("--tokens", 40, "--rate", 20, workers=2)
    links = [h.connect() for _ in range(80)]
    for link in links:
        link.sendall(post())
    eventually(lambda: h.status("ep")["open"] == 80)
    assert 1 <= connections(front.port) <= 2
    for link in links:
        link.close()
    h.quiet("ep")
    eventually(lambda: len(engine.events("abort")) == 80)


def test_beyond_the_stream_limit_there_are_more_connections(h2c):
    h, server = h2c.server(streams_max=2)
    link = h.http2()
    streams = [link.ask(method="GET", path="/hold", body=None) for _ in range(5)]
    eventually(lambda: len(server.held) == 5)
    assert len(server.peers) == 3 and all(len(p.paths) <= 2 for p in server.peers)
    server.release()
    assert all(link.wait(s).body == b"ok" for s in streams)
    again = [link.ask(method="GET", path="/hold", body=None) for _ in range(6)]
    eventually(lambda: len(server.held) == 6)
    assert len(server.peers) == 3
    server.release()
    assert all(link.wait(s).status == 200 for s in again)


@pytest.mark.parametrize("size", [0, 1, 50000, 20 << 20])
def test_bodies_arrive_whole_both_ways(h2c, tmp_path, size):
    h, _, _ = h2c.front()
    body = bytes(range(251)) * (size // 251) + b"x" * (size % 251)
    (tmp_path / "body").write_bytes(body)
    for version in ("--http1.1", "--http2"):
        echo = h.curl(version, "--data-binary", f"@{tmp_path / 'body'}", f"https://localhost:{h.tls_port}/echo")
        assert echo.stdout == body, echo.stderr
    assert len(h.call("GET", f"/bytes/{size}", None).body) == size
    assert len(h.http2().call(method="GET", path=f"/bytes/{size}", body=None).body) == size


def test_chunked_uploads_have_no_length_and_keep_their_trailers(nasty):
    h, _ = nasty
    answer = h.raw(b"POST /fields HTTP/1.1\r\nHost: ep.localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nTE: trailers\r\n"
                   b"\r\n5\r\nhello\r\n0\r\nX-Late: 1\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
    fields = dict(json.loads(answer[answer.index(b"["):answer.rindex(b"]") + 1]))
    assert fields["body"] == "hello" and fields["trailer:x-late"] == "1" and "content-length" not in fields
    assert "te" not in fields and "transfer-encoding" not in fields and "trailer:x-forwarded-for" not in fields


def test_the_same_fields_go_on_as_by_http1(nasty):
    h, _ = nasty
    sent = {"X_Forwarded_For": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X_Request_Id": "my-id", "Connection": "X-Hop", "X_Hop": "1",
            "Traceparent": "00-1", "X_Scale_Up_Timeout": "5", "Cookie": "a=1"}
    fields = dict(json.loads(h.call("POST", "/fields", b"hi", tls=True, token="t", **sent).body))
    expected = {":method": "POST", ":path": "/fields", ":scheme": "http", ":authority": "ep.localhost", "content-length": "2",
                "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https", "x-forwarded-host": "ep.localhost",
                "x-forwarded-port": str(h.tls_port), "x-request-id": "my-id", "traceparent": "00-1", "cookie": "a=1", "body": "hi"}
    assert {k: fields.get(k) for k in expected} == expected
    assert not {"forwarded", "connection", "x-hop", "host", "authorization", "x-scale-up-timeout"} & set(fields)
    two = h.http2()
    stream = two.h2.get_next_available_stream_id()
    two.h2.send_headers(stream, [(":method", "GET"), (":path", "/fields"), (":scheme", "http"), (":authority", "ep.localhost"),
                                 ("cookie", "a=1"), ("cookie", "b=2")], end_stream=True)
    two.flush()
    assert ["cookie", "a=1; b=2"] in json.loads(two.wait(stream).body)


def test_a_trusted_peers_list_is_continued(h2c):
    h, _ = h2c.server(options={"trusted_peers": ["127.0.0.0/8"]})
    fields = dict(json.loads(h.call("GET", "/fields", None, X_Forwarded_For="6.6.6.6", X_Forwarded_Proto="gopher").body))
    assert fields["x-forwarded-for"] == "6.6.6.6, 127.0.0.1" and fields["x-forwarded-proto"] == "gopher"


def test_answers_without_a_body_end(nasty):
    h, _ = nasty
    for ask in clients(h):
        for path, status in (("/no-content", 204), ("/no-content-open", 204), ("/empty", 200)):
            answer = ask(method="GET", path=path, body=None)
            assert (answer.status, answer.body) == (status, b"")
        assert ask(method="HEAD", path="/empty", body=None).status == 200
    h.quiet("ep")


def test_head_has_the_length_and_no_body(h2c):
    h, _, _ = h2c.front()
    assert h.call("HEAD", "/bytes/10", None).headers["content-length"] == "10"
    assert h.http2().call(method="HEAD", path="/bytes/10", body=None).headers["content-length"] == "10"


def test_trailers_and_interim_answers_are_passed_on(nasty):
    h, _ = nasty
    assert b"x-late: 1" in h.raw(b"GET /trailers HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\n\r\n").split(b"0\r\n")[-1]
    link = h.http2()
    assert link.call(method="GET", path="/trailers", body=None).trailers == {"x-late": "1"}
    stream = link.ask(method="GET", path="/interim", body=None)
    assert link.wait(stream).body == b"ok" and link.interims[stream][0][":status"] == "103"
    assert h.raw(b"GET /interim HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 103 ")


def test_interim_answers_without_end_are_dropped(nasty):
    h, _ = nasty
    link = h.http2()
    stream = link.ask(method="GET", path="/many-interims", body=None)
    assert link.wait(stream).body == b"ok" and len(link.interims[stream]) == 32
    answer = h.raw(b"GET /many-interims HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 103 ") == 32 and answer.count(b"HTTP/1.1 200 ") == 1


@pytest.mark.parametrize("path,status,code", [
    ("/reset-before-head", 502, "replica_failed"), ("/close-before-head", 502, "replica_failed"), ("/switching", 502, "replica_failed"),
    ("/huge-head", 502, "replica_failed"), ("/many-fields", 502, "replica_failed"), ("/never", 504, "replica_timeout")])
def test_an_answer_that_never_comes(h2c, path, status, code):
    h, server = h2c.server(more={"head_timeout_s": 1})
    link = h.http2()
    assert link.call(method="GET", path="/ok", body=None).status == 200
    other = link.ask(method="GET", path="/hold", body=None) if path not in ("/close-before-head", "/never") else None
    answer = get(h, path)
    assert (answer.status, answer.code) == (status, code)
    # Closed without a word after a rest: that may have been no answer to this request, which is sent once more.
    assert server.requests.count(path) == (2 if path == "/close-before-head" else 1)
    if other:
        eventually(lambda: server.held)
        server.release()
        assert link.wait(other).body == b"ok" and len(server.peers) == 1
    assert get(h, "/ok").status == 200
    h.quiet("ep")


def test_a_large_head_is_passed_on(nasty):
    h, _ = nasty
    assert len(get(h, "/big-head").headers) >= 40


def test_a_silent_connection_is_not_used_again(h2c):
    h, server = h2c.server(more={"head_timeout_s": 1})
    assert get(h, "/ok").status == 200
    assert get(h, "/never").code == "replica_timeout"
    assert eventually(lambda: server.resets) == [("/never", h2.errors.ErrorCodes.CANCEL)]
    assert get(h, "/ok").status == 200 and len(server.peers) == 2


@pytest.mark.parametrize("path", ["/refuse-once", "/goaway-once"])
def test_what_was_not_looked_at_is_sent_again(nasty, path):
    h, server = nasty
    link = h.http2()
    held = link.ask(method="GET", path="/hold", body=None)
    eventually(lambda: server.held)
    answer = h.call("POST", path, BODY)
    assert (answer.status, answer.body) == (200, b"ok") and server.requests.count(path) == 2
    assert len(server.peers) == (2 if path == "/goaway-once" else 1)
    server.release()
    assert link.wait(held).body == b"ok"
    h.quiet("ep")


@pytest.mark.parametrize("path", ["/reset-mid-body", "/close-mid-body", "/short-body", "/long-body"])
def test_a_broken_body_is_always_visible(nasty, path):
    h, _ = nasty
    two = h.http2(tls=True)
    for _ in range(20):
        answer = h.raw(f"GET {path} HTTP/1.1\r\nHost: ep.localhost\r\n\r\n".encode())
        assert not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"0\r\n\r\n") and not answer.endswith(b"twice")
        stream = two.ask(method="GET", path=path, body=None)
        answer = two.wait(stream)
        assert two.ended[stream] == "reset" or answer.status == 502
        assert two.call(method="GET", path="/ok", body=None).status == 200
    h.quiet("ep")


def test_an_early_answer_and_a_reset_without_error_are_a_whole_answer(nasty):
    h, server = nasty

    def early(peer, stream):
        peer.answer(stream, 413, body=b"too much")
        peer.h2.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)
    server.at_head["/early"] = early
    link = h.http2()
    answer = link.wait(link.ask(path="/early", body=b"x" * 30000, end=False))
    assert (answer.status, answer.body) == (413, b"too much")
    head = b"POST /early HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: 100000\r\n\r\n"
    with h.connect() as plain:
        plain.sendall(head + b"x" * 100)
        data = b""
        while b"too much" not in data:
            data += plain.recv(65536)
    assert data.startswith(b"HTTP/1.1 413 ")
    assert get(h, "/ok").status == 200
    h.quiet("ep")
    eventually(lambda: len(h.log()) == 3)
    assert {line["ended"] for line in h.log()} == {"complete"}


@pytest.mark.parametrize("when", ["mid-stream", "before-head"])
@pytest.mark.parametrize("how", ["http1", "http2-reset", "http2-close"])
def test_a_client_that_leaves_resets_its_own_stream_only(nasty, how, when):
    h, server = nasty
    server.at_head["/slow"] = lambda peer, stream: peer.answer(stream, body=b"x", end=False) if when == "mid-stream" else None
    stays = h.http2()
    other = stays.ask(method="GET", path="/hold", body=None)
    eventually(lambda: server.held)
    if how == "http1":
        link = h.connect()
        link.sendall(b"POST /slow HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: 10\r\n\r\nhello")
        if when == "mid-stream":
            assert link.recv(100)
    else:
        link = h.http2()
        stream = link.ask(path="/slow", body=b"hello", end=False)
        while when == "mid-stream" and stream not in link.answers:
            link.turn()
    eventually(lambda: "/slow" in server.requests)
    if how == "http2-reset":
        link.h2.reset_stream(stream)
        link.flush()
    else:
        link.close()
    assert eventually(lambda: server.resets) == [("/slow", h2.errors.ErrorCodes.CANCEL)]
    server.release()
    assert stays.wait(other).body == b"ok" and len(server.peers) == 1
    h.quiet("ep")


def test_a_slow_reader_slows_its_own_stream_only(h2c):
    h, engine, front = h2c.front(workers=1)
    link = h.http2(tls=True)
    link.auto_credit = False
    stuck = link.ask(method="GET", path="/bytes/50000000", body=None)
    while stuck not in link.answers or len(link.answers[stuck].body) < 65535:
        link.turn()
    link.h2.increment_flow_control_window(10 << 20)
    link.auto_credit = True
    for _ in range(5):
        assert link.call().status == 200
    assert len(link.answers[stuck].body) == 65535 and connections(front.port) == 1
    link.close()
    h.quiet("ep")


def test_what_the_client_does_not_take_stays_within_the_windows(nasty):
    """The stream's own, the client's, and not a byte more, however much the replica has."""
    h, server = nasty
    sent = []

    def flood(peer, stream):
        if stream not in peer.open or peer.h2.local_flow_control_window(stream) == 0:
            return
        room = min(peer.h2.local_flow_control_window(stream), 16384)
        peer.h2.send_data(stream, b"x" * room)
        sent.append(room)
        flood(peer, stream)

    def begin(peer, stream):
        peer.answer(stream, end=False)
        server.on_credit = lambda: flood(peer, stream)
        flood(peer, stream)
    server.at_head["/flood"] = begin
    link = h.http2()
    link.auto_credit = False
    stream = link.ask(method="GET", path="/flood", body=None)
    while stream not in link.answers or len(link.answers[stream].body) < 65535:
        link.turn()
    other = h.http2()
    for _ in range(5):
        assert other.call(method="GET", path="/ok", body=None).body == b"ok"
    assert 65535 < sum(sent) <= 2 * 65535
    link.close()
    h.quiet("ep")


def test_an_upload_that_the_replica_does_not_take_holds_up_nobody_else(h2c):
    h, server = h2c.server()
    stuck, go_on = [], h.http2()

    def never_credit(peer, stream):
        stuck.append(stream)
        acknowledge = peer.h2.acknowledge_received_data
        peer.h2.acknowledge_received_data = lambda n, s: None if s in stuck else acknowledge(n, s)
        peer.h2.increment_flow_control_window(10 << 20)
    server.at_head["/stuck"] = never_credit
    link = h.http2()
    first = link.ask(path="/stuck", body=b"x" * 60000, end=False)
    eventually(lambda: stuck)
    for _ in range(5):
        assert go_on.call(path="/ok", body=b"y" * 30000).body == b"ok"
    assert first not in link.ended
    link.close()
    h.quiet("ep")


def test_a_replica_killed_in_mid_stream_is_visible(h2c):
    h, _, front = h2c.front("--tokens", 100000, "--rate", 50)
    plain, two = h.connect(), h.http2()
    plain.sendall(post())
    assert b"data:" in plain.recv(65536) + plain.recv(65536)
    streams = [two.ask(body=STREAM) for _ in range(5)]
    while not all(s in two.answers and two.answers[s].body for s in streams):
        two.turn()
    front.stop()
    assert not read_all(plain).endswith(b"0\r\n\r\n")
    assert all(two.wait(s).reset == h2.errors.ErrorCodes.INTERNAL_ERROR for s in streams)
    h.quiet("ep")
    eventually(lambda: len(h.log()) == 6)
    assert {line["ended"] for line in h.log()} == {"replica_failed"}


def test_a_replica_that_refuses_connections_is_tried_again(start):
    """The port is taken, and nobody listens yet: waiters pause and come back."""
    engine = start.engine()
    waiting = socket.socket()
    waiting.bind(("127.0.0.1", 0))
    waiting.listen(1)
    port = waiting.getsockname()[1]
    h = start.headrace({"ep": endpoint(port)})
    waiting.close()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(h.call(**WAIT))) for _ in range(5)]
    for thread in threads:
        thread.start()
    eventually(lambda: h.status("ep")["pending"] == 5)
    front = Front(engine, port=port)
    for thread in threads:
        thread.join()
    assert [a.status for a in answers] == [200] * 5
    front.stop()


def test_a_server_without_http2_is_named(start):
    h = start.headrace({"ep": start.engine().endpoint(protocol="h2c", default=True)})
    answer = h.call()
    assert (answer.status, answer.code) == (502, "replica_failed") and "HTTP/2" in answer.error["message"]


def test_a_server_that_says_nothing_at_all_times_out(h2c):
    h, _ = h2c.server(speaks=False, options={"replica": {"connect_timeout_s": 1}})
    link = h.connect()
    link.sendall(b"GET / HTTP/1.1\r\nHost: ep.localhost\r\n\r\n")
    eventually(lambda: h.status("ep")["pending"] == 1)
    link.close()
    h.quiet("ep")


def test_idle_connections_are_closed_in_order(h2c):
    h, server = h2c.server(options={"replica": {"idle_s": 1}})
    assert get(h, "/ok").status == 200 and connections(server.port) == 1
    eventually(lambda: connections(server.port) == 0)
    assert get(h, "/ok").status == 200 and len(server.peers) == 2


def test_a_connection_that_closes_while_at_rest_costs_nobody_anything(nasty):
    h, server = nasty
    for n in range(20):
        assert h.call("POST", "/ok", BODY).status == 200
        server.peers[-1].link.shutdown(socket.SHUT_RDWR)
    h.quiet("ep")


def test_nor_does_it_cost_those_who_come_together(nasty):
    """All of one turn go to the connection that rests; it closes before any of them is answered."""
    h, server = nasty
    assert get(h, "/ok").status == 200
    first = server.peers[0]
    server.at_head["/closes"] = lambda peer, stream: (peer.link.shutdown(socket.SHUT_RDWR) if peer is first
                                                      else peer.answer(stream, body=b"ok"))
    link = h.http2()
    streams = [link.h2.get_next_available_stream_id() + 2 * n for n in range(5)]
    for stream in streams:
        link.h2.send_headers(stream, [(":method", "GET"), (":path", "/closes"), (":scheme", "http"), (":authority", "ep.localhost")],
                             end_stream=True)
    link.flush()
    assert [link.wait(s).status for s in streams] == [200] * 5
    h.quiet("ep")


def test_both_protocols_side_by_side(start, h2c):
    engine = start.engine()
    server = Server()
    h = start.headrace({"one": engine.endpoint(), "two": {**endpoint(server.port), "default": False}})
    for _ in range(3):
        assert h.call(host="one.localhost").status == 200
        assert h.call("GET", "/ok", None, host="two.localhost").body == b"ok"
    server.stop()
