"""A process is told to stop: what runs may end, what does not end is aborted visibly, and nobody new comes in."""
import contextlib
import fcntl
import json
import re
import signal
import socket
import ssl
import struct
import termios
import threading

import pytest

from harness import BODY, CHAT, STREAM, Http2, eventually, process_endpoint, read_all

POST = "POST {path} HTTP/1.{minor}\r\nHost: {host}.localhost\r\nContent-Length: {length}\r\n{more}\r\n"


def post(link, host="ep", body=BODY, minor=1, more=""):
    link.sendall(POST.format(path=CHAT, minor=minor, host=host, length=len(body), more=more).encode() + body)
    return link


def read_until(link, what, data=b""):
    while what not in data:
        more = link.recv(65536)
        assert more, data
        data += more
    return data


def term(h):
    h.process.send_signal(signal.SIGTERM)
    eventually(lambda: "stopping: requests may end" in h.errors())


def metric(h, name):
    return float(re.search(rf"^{name} (\S+)$", h.admin("/metrics")[1], re.M)[1])


def refused(h):
    with pytest.raises(OSError):
        h.connect().close()
    return True


@pytest.mark.parametrize("tls", [False, True])
def test_what_runs_may_end_and_nobody_new_comes_in(start, tls):
    engine = start.engine("--tokens", 40, "--rate", 20)
    h = start.headrace({"ep": engine.endpoint()})
    idle, streaming, http2 = h.connect(tls), post(h.connect(tls), body=STREAM), h.http2(tls)
    post(idle)
    assert b"200 OK" in read_until(idle, b"}}")
    stream = http2.ask(body=STREAM)
    first = read_until(streaming, b"data:")
    while stream not in http2.answers:
        http2.turn()
    term(h)
    late = http2.ask()  # was under way
    post(idle)
    answer = read_all(idle)
    assert b"200 OK" in answer and b"connection: close" in answer.lower()
    whole = first + read_all(streaming)
    assert whole.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") and whole.count(b"data:") >= 41
    assert http2.wait(late).status == 200
    assert http2.wait(stream).body.endswith(b"data: [DONE]\n\n") and http2.goaway
    assert refused(h)
    assert h.process.wait(20) == 0
    assert {line["ended"] for line in h.log()} == {"complete"}


def test_a_client_told_to_go_opens_no_stream_for_ever(start):
    engine = start.engine("--tokens", 100, "--rate", 20)
    h = start.headrace({"ep": engine.endpoint()}, drain_idle_s=0)
    http2 = h.http2()
    stream = http2.ask(body=STREAM)
    while stream not in http2.answers:
        http2.turn()
    term(h)
    while not http2.goaway:
        http2.turn()
    http2.turn()
    late = http2.ask()  # above the last stream id of GOAWAY: it is as if it had never been sent
    assert http2.wait(stream).body.endswith(b"data: [DONE]\n\n")
    assert late not in http2.answers
    assert h.process.wait(20) == 0


def test_idle_connections_do_not_keep_the_process(start):
    engine = start.engine()
    h = start.headrace({"ep": engine.endpoint()}, drain_idle_s=1, drain_s=600)
    links = [h.connect(tls) for tls in (False, True)] + [h.http2(tls) for tls in (False, True)]
    post(links[0])
    read_until(links[0], b"}}")
    term(h)
    assert h.process.wait(20) == 0
    assert links[0].recv(1) == links[1].recv(1) == b""


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_what_does_not_end_is_aborted_visibly(start, tmp_path, tls, again):
    endless, mute = start.engine("--tokens", 100000, "--rate", 50), start.engine("--tokens", 100000)
    h = start.headrace({"ep": endless.endpoint(), "mute": mute.endpoint(),
                        "cold": process_endpoint("--load-ms", 600000, log_directory=str(tmp_path))},
                       drain_s=600 if again else 1)
    chunked, old = post(h.connect(tls), body=STREAM), post(h.connect(tls), body=STREAM, minor=0)
    pending, held = post(h.connect(tls), "mute"), post(h.connect(tls), "cold", more="X-Scale-Up-Timeout: 600\r\n")
    uploading = h.connect(tls)
    uploading.sendall(POST.format(path=CHAT, minor=1, host="mute", length=100, more="").encode() + b"{")
    http2 = h.http2(tls)
    endless2, pending2, held2 = http2.ask(body=STREAM), http2.ask(host="mute.localhost"), http2.ask(
        host="cold.localhost", X_Scale_Up_Timeout="600")
    for link in (chunked, old):
        read_until(link, b"data:")
    eventually(lambda: (h.status("mute")["pending"], h.status("cold")["held"], h.status("ep")["open"]) == (3, 2, 3))
    term(h)
    if again:
        h.process.send_signal(signal.SIGTERM)
    assert not read_all(chunked).endswith(b"0\r\n\r\n")
    if not tls:
        old.settimeout(20)
        with pytest.raises(ConnectionResetError):  # the end of the connection would be the end of the answer
            while old.recv(65536):
                pass
    for link in (pending, held, uploading):
        answer = read_all(link)
        assert b" 503 " in answer and b"shutting_down" in answer and b"retry-after: 1" in answer.lower()
    for stream in (pending2, held2):
        answer = http2.wait(stream)
        assert answer.status == 503 and answer.code == "shutting_down"
    assert http2.wait(endless2).reset
    assert h.process.wait(20) == 0
    assert [line["ended"] for line in h.log()] == ["shutdown"] * 8


def test_a_cut_answer_never_ends_in_order(start):
    """The request is over for the process when all of its answer waits to be sent; for the client it is not."""
    engine = start.engine("--rate", 0)
    h = start.headrace({"ep": engine.endpoint()}, drain_s=600)
    links = []
    for i in range(120):  # some of them end where the kernel takes no more, and we keep the rest
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.connect(("127.0.0.1", h.port))
        links.append(post(link, body=json.dumps({"stream": True, "max_tokens": 200 * (i + 1)}).encode(), minor=0))
    eventually(lambda: all_wait_or_are_complete(h, links))
    term(h)
    h.process.send_signal(signal.SIGTERM)
    assert h.process.wait(20) == 0
    ends = [end_of(link) for link in links]
    assert {reset or whole for whole, reset in ends} == {True}
    assert any(reset for _, reset in ends)


def all_wait_or_are_complete(h, links, before=[]):
    """Nothing has moved between two looks."""
    status = h.status("ep")
    now = (status["open"], len(h.log()), [unread(link) for link in links])
    before[:] = [*before[-1:], now]
    return status["pending"] == 0 and len(before) == 2 and before[0] == before[1]


def unread(link):
    return struct.unpack("i", fcntl.ioctl(link, termios.FIONREAD, b"\0" * 4))[0]


def end_of(link):
    """Whether the answer is whole, and whether its connection was reset."""
    link.settimeout(20)
    data = b""
    try:
        while part := link.recv(1 << 20):
            data += part
    except ConnectionResetError:
        return False, True
    return data.endswith(b"data: [DONE]\n\n"), False


@pytest.mark.parametrize("tls", [False, True])
def test_who_begins_http2_when_it_is_over_is_told(start, tls):
    engine = start.engine()
    h = start.headrace({"ep": engine.endpoint()}, drain_idle_s=1, drain_s=600, client={"idle_timeout_s": 600})
    link = socket.create_connection(("127.0.0.1", h.tls_port if tls else h.port), 20)
    eventually(lambda: metric(h, "headrace_connections") == 1)
    term(h)
    if tls:
        context = ssl.create_default_context(cafile=str(h.directory / "ca.pem"))
        context.set_alpn_protocols(["h2"])
        link = context.wrap_socket(link, server_hostname="localhost")
    http2 = Http2(link)
    while not http2.goaway:
        http2.turn()
    assert h.process.wait(20) == 0


def test_a_kept_connection_may_bring_one_more_request(start):
    engine = start.engine("--tokens", 40, "--rate", 20)
    h = start.headrace({"ep": engine.endpoint()}, drain_idle_s=5)
    link = post(h.connect(), body=STREAM)
    first = read_until(link, b"data:")
    assert b"connection: close" not in first.lower()
    term(h)
    read_until(link, b"\r\n0\r\n\r\n", first)
    answer = read_all(post(link))
    assert b"200 OK" in answer and b"connection: close" in answer.lower()
    assert h.process.wait(20) == 0


class Handles:
    """A replica whose answers go on when the test says so."""

    def __init__(self):
        self.streams = {}
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.door.accept()[0],), daemon=True).start()

    def serve(self, link):
        data = b""
        while b"\r\n\r\n" not in data:
            data += link.recv(65536) or b"\r\n\r\n"
        path = data.split(b" ")[1].decode() if b" " in data else ""
        if path.startswith("/s/"):
            link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            self.streams[path] = link
        else:
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            link.close()


def hellos(h, count):
    """Connections that will keep a worker busy for a while, once each sends what stands beside it."""
    context = ssl.create_default_context(cafile=str(h.directory / "ca.pem"))
    mine, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(mine, theirs, server_hostname="localhost").do_handshake()
    return [socket.create_connection(("127.0.0.1", h.tls_port)) for _ in range(count)], theirs.read()


def test_streams_that_end_as_they_are_halted(start):
    """The ends of some wait for their worker when it is told to end the others."""
    replica = Handles()
    h = start.headrace({"ep": {"access": "public", "driver": "static", "addresses": [f"127.0.0.1:{replica.port}"]}},
                       drain_s=600, drain_idle_s=60, workers=1)
    http2 = h.http2()
    streams = []
    for i in range(6):
        streams.append(http2.ask(method="GET", path=f"/s/{i}", body=b""))
        while streams[-1] not in http2.answers:
            http2.turn()
    links, hello = hellos(h, 400)
    eventually(lambda: metric(h, "headrace_connections") == 401)
    term(h)
    for link in links:
        link.sendall(hello)
    for path in ("/s/1", "/s/3", "/s/5"):
        replica.streams[path].sendall(b"0\r\n\r\n")
    h.process.send_signal(signal.SIGTERM)
    assert h.process.wait(20) == 0
    replica.door.close()


def test_a_head_that_ends_after_the_halt_is_refused(start):
    engine = start.engine("--tokens", 1)
    h = start.headrace({"ep": engine.endpoint(access="public")}, drain_s=600, drain_idle_s=60, workers=1)
    http2 = h.http2()
    http2.link.settimeout(5)
    http2.call(method="GET", path="/v1/models", body=b"")
    block = http2.h2.encoder.encode([(":method", "GET"), (":scheme", "http"), (":path", "/v1/models"), (":authority", "ep.localhost")])
    http2.link.sendall(struct.pack("!HBBBL", 0, 4, 1, 1, 3) + block[:4])  # HEADERS, END_STREAM
    eventually(lambda: metric(h, "headrace_connections") == 1)
    h.process.send_signal(signal.SIGTERM)
    goaway = struct.pack("!HBBBL", 0, 8, 7, 0, 0)
    rest = read_until(http2.link, goaway).split(goaway, 1)[1]
    h.process.send_signal(signal.SIGTERM)
    read_until(http2.link, goaway, rest)
    http2.link.sendall(struct.pack("!HBBBL", 0, len(block) - 4, 9, 4, 3) + block[4:])  # CONTINUATION, END_HEADERS
    read_until(http2.link, b"shutting_down")
    assert h.process.wait(20) == 0
