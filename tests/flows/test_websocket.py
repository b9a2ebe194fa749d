"""WebSocket: the handshake, the tunnel in both directions, and its ends. `ws` at both ends, or bare sockets."""
import contextlib
import json
import os
import queue
import select
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from harness import DEADLINE_S, ROOT, eventually, read_all

CLIENTS = ROOT / "tests" / "clients"
TOKENS = [("ws", "hr_ws", "--owner", "me")]
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
HELLO = b"GET /chat?x=1 HTTP/1.1\r\nHost: ep.localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" + KEY + b"\r\n"
GRANTED = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
STALL_S = 0.5      # a side that takes nothing for so long takes nothing more
BUFFERS = 64 << 20  # more than all kernels and pipes on the way could hold


class Node:
    """A script of tests/clients; its JSON lines are collected."""

    def __init__(self, *args, env=None):
        self.process = subprocess.Popen(["node", *map(str, args)], cwd=CLIENTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env={**os.environ, **(env or {})})
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(json.loads(line) for line in self.process.stdout))
        self.reader.start()

    def has(self, key, value=None):
        return next((line for line in list(self.lines) if key in line and value in (None, line[key])), None)

    def wait(self, key, value=None):
        return eventually(lambda: self.has(key, value))

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def stop(self):
        self.process.kill()
        self.process.wait(DEADLINE_S)
        self.reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


class Replica:
    """A model server whose connections the test itself reads and writes, once a request head has come."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.links, self.port = queue.Queue(), self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept)
        self.thread.start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                link, _ = self.listener.accept()
                link.settimeout(DEADLINE_S)
                head = b""
                with contextlib.suppress(OSError):
                    while b"\r\n\r\n" not in head and (byte := link.recv(1)):
                        head += byte
                self.links.put((link, head.lower())) if head else link.close()

    def take(self):
        return self.links.get(timeout=DEADLINE_S)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


def endpoint(server, **more):
    return {"access": "public", "driver": "static", "addresses": [f"127.0.0.1:{server.port}"], "default": True, **more}


@pytest.fixture
def running():
    things = []
    yield lambda thing: things.append(thing) or thing
    for thing in reversed(things):
        thing.stop()


@pytest.fixture
def server(running):
    node = running(Node("ws-server.mjs", 0))
    node.port = node.wait("port")["port"]
    return node


@pytest.fixture
def client(running):
    def connect(h, path="/echo", tls=False, *fields):
        url = f"wss://localhost:{h.tls_port}{path}" if tls else f"ws://127.0.0.1:{h.port}{path}"
        return running(Node("ws-client.mjs", url, *fields, env={"NODE_EXTRA_CA_CERTS": str(h.directory / "ca.pem")}))
    return connect


@pytest.fixture
def bare(running, start):
    """Bare sockets at both ends: asks for a tunnel, grants it, and gives both."""
    replica = running(Replica())
    h = start.headrace({"ep": endpoint(replica)}, workers=1, client={"write_stall_s": 30})

    def tunnel(tls=False):
        link = h.connect(tls)
        link.sendall(HELLO)
        far, head = replica.take()
        far.sendall(GRANTED)
        assert read_head(link).startswith(b"HTTP/1.1 101 ")
        return link, far
    tunnel.h, tunnel.replica = h, replica
    return tunnel


def read_head(link):
    data = b""
    while b"\r\n\r\n" not in data:
        byte = link.recv(1)
        assert byte, data
        data += byte
    return data


def read_exactly(link, n):
    data = b""
    while len(data) < n and (part := link.recv(min(n - len(data), 1 << 20))):
        data += part
    return data


def pattern(at, n):
    return bytes((at + i) % 251 for i in range(n))


def fill(link):
    """Sends until nothing is taken any more; how much was."""
    block = pattern(0, 251 * 1024)
    sent = 0
    link.setblocking(False)
    while select.select([], [link], [], STALL_S)[1]:
        with contextlib.suppress(BlockingIOError):
            sent += link.send(block[sent % 251:])
        assert sent < BUFFERS
    link.settimeout(DEADLINE_S)
    return sent


def is_pattern(data):
    return data == (pattern(0, 251) * (len(data) // 251 + 1))[:len(data)]


def reset(link):
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


@pytest.mark.parametrize("tls", [False, True])
def test_messages_are_echoed_and_counted_open(start, server, client, tls):
    h = start.headrace({"ep": endpoint(server)})
    c = client(h, "/echo", tls)
    assert c.wait("open")["protocol"] == "first"
    headers = server.wait("event", "open")["headers"]
    assert (headers["upgrade"], headers["connection"].lower()) == ("websocket", "upgrade")
    assert headers["x-forwarded-proto"] == ("https" if tls else "http") and headers["x-request-id"]
    eventually(lambda: h.status("ep")["open"] == 1 and h.status("ep")["pending"] == 0)
    for size in (0, 1000, 1 << 20):
        c.lines.clear()
        c.say(f"echo {size}")
        assert c.wait("text") == {"text": True, "binary": True}
    assert h.status("ep")["open"] == 1
    c.say("close 4000 bye")
    assert c.wait("code") == {"code": 4000, "reason": "bye"}
    assert server.wait("event", "close") == {"event": "close", "code": 4000, "reason": "bye"}
    h.quiet("ep")
    line = eventually(h.log)[0]
    assert (line["status"], line["ended"], line["path"]) == (101, "complete", "/echo")
    assert line["bytes_in"] > 1 << 20 and line["bytes_out"] > 1 << 20


@pytest.mark.parametrize("tls", [False, True])
def test_the_servers_close_code_reaches_the_client(start, server, client, tls):
    h = start.headrace({"ep": endpoint(server)})
    assert client(h, "/close", tls).wait("code") == {"code": 4001, "reason": "enough"}
    assert server.wait("event", "close")["code"] == 4001
    h.quiet("ep")


@pytest.mark.parametrize("tls", [False, True])
def test_a_clients_abort_reaches_the_server(start, server, client, tls):
    h = start.headrace({"ep": endpoint(server)})
    c = client(h, "/echo", tls)
    c.wait("open")
    server.wait("event", "open")
    c.say("abort")
    assert server.wait("event", "close")["code"] == 1006
    h.quiet("ep")


def test_a_servers_death_reaches_the_client(start, server, client):
    h = start.headrace({"ep": endpoint(server)})
    c = client(h)
    c.wait("open")
    server.process.kill()
    assert c.wait("code")["code"] == 1006
    h.quiet("ep")


def test_a_private_endpoint_asks_for_a_token(start, server, client):
    h = start.headrace({"ep": endpoint(server, access="private", owner="me")}, tokens=TOKENS)
    assert client(h, "/echo", True).wait("status")["status"] == 401
    assert client(h, "/echo", True, "Authorization=Bearer hr_ws").wait("open")
    assert "authorization" not in server.wait("event", "open")["headers"]


def test_a_servers_refusal_is_an_ordinary_answer(start, server, client):
    h = start.headrace({"ep": endpoint(server)})
    assert client(h, "/refuse", True).wait("status")["status"] == 403
    assert eventually(h.log)[0]["status"] == 403
    h.quiet("ep")


def test_a_handshake_is_held_until_its_server_is_up(start, client):
    command = ["node", str(CLIENTS / "ws-server.mjs"), "{port}"]
    h = start.headrace({"ep": {"access": "public", "default": True, "health": {"path": "/health", "interval_ms": 200},
                               "process": {"command": command, "log_directory": str(start.directory)}, "stop_grace_s": 2}})
    c = client(h, "/echo", True, "X-Scale-Up-Timeout=60")
    c.wait("open")
    c.say("echo 1000")
    assert c.wait("text") == {"text": True, "binary": True}
    c.say("close 1000 done")
    c.wait("code")
    assert eventually(lambda: [line for line in h.log() if line["status"] == 101])[0]["held_ms"] > 0


@pytest.mark.parametrize("fields", [b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
                                    b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n",
                                    b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n"])
def test_other_upgrades_are_not_sent_on(start, server, fields):
    h = start.headrace({"ep": endpoint(server)})
    with h.connect() as link:
        link.sendall(b"GET / HTTP/1.1\r\nHost: ep.localhost\r\n" + fields + KEY + b"\r\nxx")
        head = read_head(link).lower()
        seen = json.loads(read_exactly(link, int(head.split(b"content-length: ")[1].split(b"\r\n")[0])))
    assert head.startswith(b"http/1.1 200 ") and "upgrade" not in seen and seen.get("connection", "") != "upgrade"


def test_what_a_tunnel_needs_passes_and_nothing_else(bare):
    h, replica = bare.h, bare.replica
    with h.connect() as link:
        link.sendall(HELLO.replace(b"Upgrade: websocket", b"Upgrade: websocket, h2c\r\nHTTP2-Settings: x\r\nTE: trailers"))
        far, head = replica.take()
        assert head.startswith(b"get /chat?x=1 http/1.1\r\n") and KEY.lower() in head
        assert head.count(b"upgrade: websocket\r\n") == 1 and head.count(b"connection: upgrade\r\n") == 1
        assert b"h2c" not in head and b"te: " not in head and b"http2-settings" not in head and b"content-length" not in head
        far.sendall(GRANTED.replace(b"Upgrade: websocket", b"Upgrade: websocket\r\nKeep-Alive: 5\r\nContent-Length: 7"))
        granted = read_head(link).lower()
        assert granted.count(b"upgrade: websocket\r\n") == 1 and granted.count(b"connection: upgrade\r\n") == 1
        assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n" in granted and b"x-request-id: " in granted
        assert b"keep-alive" not in granted and b"content-length" not in granted and b"transfer-encoding" not in granted
        far.close()


@pytest.mark.parametrize("granted", [GRANTED, GRANTED.replace(b"Upgrade: websocket", b"Upgrade: other")])
def test_a_101_that_was_not_asked_for_is_502(bare, granted):
    asks = HELLO.replace(b"Upgrade: websocket", b"X: y") if granted == GRANTED else HELLO
    with bare.h.connect() as link:
        link.sendall(asks)
        far, _ = bare.replica.take()
        far.sendall(granted)
        assert read_head(link).startswith(b"HTTP/1.1 502 ")
        far.close()


@pytest.mark.parametrize("tls", [False, True])
def test_bytes_right_behind_both_heads_arrive(bare, tls):
    with bare.h.connect(tls) as link:
        link.sendall(HELLO + b"\x01\x02")
        far, _ = bare.replica.take()
        assert not select.select([far], [], [], STALL_S)[0]  # nothing goes on before the 101
        far.sendall(GRANTED + b"\x03\x04")
        assert far.recv(10) == b"\x01\x02"
        assert read_head(link).startswith(b"HTTP/1.1 101 ") and read_exactly(link, 2) == b"\x03\x04"
        far.close()


def test_bytes_before_the_101_are_kept_within_the_pipe(bare):
    with bare.h.connect() as link:
        link.sendall(HELLO)
        far, _ = bare.replica.take()
        sent = fill(link)
        far.sendall(GRANTED)
        assert is_pattern(read_exactly(far, sent))
        far.close()


def test_a_refused_tunnel_does_not_become_a_request(bare):
    """What was sent for the tunnel is never taken for a request; the connection is closed instead."""
    with bare.h.connect() as link:
        link.sendall(HELLO + b"GET /smuggled HTTP/1.1\r\nHost: ep.localhost\r\n\r\n")
        far, _ = bare.replica.take()
        far.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        answer = read_all(link)
        assert answer.startswith(b"HTTP/1.1 403 ") and answer.endswith(b"\r\n\r\nno") and b"connection: close" in answer
        assert far.recv(1) == b"" and bare.replica.links.empty()  # nor is the replica's used again
        far.close()


def test_an_answer_instead_of_a_tunnel_may_stream(bare):
    with bare.h.connect() as link:
        link.sendall(HELLO)
        far, _ = bare.replica.take()
        far.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert read_all(link).endswith(b"3\r\nabc\r\n0\r\n\r\n")
        far.close()


def test_a_handshake_is_sent_again_until_the_101(bare):
    """A reused connection that the replica has closed costs nothing, bytes behind the handshake neither."""
    h, replica = bare.h, bare.replica
    with h.connect() as link:
        link.sendall(b"GET / HTTP/1.1\r\nHost: ep.localhost\r\n\r\n")
        used, _ = replica.take()
        used.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        read_head(link)
        link.sendall(HELLO + b"early")
        read_head(used)
        used.close()
        far, _ = replica.take()
        far.sendall(GRANTED)
        assert read_exactly(far, 5) == b"early" and read_head(link).startswith(b"HTTP/1.1 101 ")
        far.close()


def test_a_handshake_left_alone_is_forgotten(bare):
    link = bare.h.connect()
    link.sendall(HELLO + b"early")
    far, _ = bare.replica.take()
    link.close()
    assert far.recv(1) == b""
    far.close()
    bare.h.quiet("ep")
    assert eventually(bare.h.log)[0]["ended"] == "client_gone"


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("up", [False, True])
def test_a_slow_reader_stops_the_sender_and_misses_nothing(bare, tls, up):
    link, far = bare(tls)
    if up and not tls:
        sent = fill(link)
        assert is_pattern(read_exactly(far, sent))
    elif not up:
        sent = fill(far)
        assert is_pattern(read_exactly(link, sent))
    else:  # what an SSL socket has taken is not known while it blocks
        sender = threading.Thread(target=link.sendall, args=(pattern(0, 251) * 100000,))
        sender.start()
        sender.join(STALL_S)
        assert sender.is_alive()
        assert is_pattern(read_exactly(far, 25100000))
        sender.join()
    far.sendall(b"down")
    link.sendall(b"up")
    assert far.recv(2) == b"up" and read_exactly(link, 4) == b"down"
    link.close()
    far.close()
    bare.h.quiet("ep")


def test_what_a_leaving_client_has_sent_is_delivered(bare):
    link, far = bare()
    sent = fill(link)
    link.close()
    assert is_pattern(read_exactly(far, sent)) and far.recv(1) == b""
    far.sendall(b"nobody reads this")
    far.close()
    bare.h.quiet("ep")
    line = eventually(bare.h.log)[0]
    assert (line["status"], line["ended"], line["bytes_in"]) == (101, "complete", sent)


def test_a_leaving_client_need_not_have_read_everything(bare):
    link, far = bare()
    fill(far)
    link.sendall(b"last words")
    link.shutdown(socket.SHUT_WR)
    assert far.recv(100) == b"last words" and far.recv(1) == b""
    far.close()
    bare.h.quiet("ep")
    link.close()


@pytest.mark.parametrize("tls", [False, True])
def test_what_a_leaving_replica_has_sent_is_delivered(bare, tls):
    link, far = bare(tls)
    sent = fill(far)
    far.close()
    assert is_pattern(read_exactly(link, sent)) and link.recv(1) == b""  # for TLS with close_notify
    link.close()
    bare.h.quiet("ep")
    line = eventually(bare.h.log)[0]
    assert (line["status"], line["ended"], line["bytes_out"]) == (101, "complete", sent)


@pytest.mark.parametrize("tls", [False, True])
def test_a_reset_by_the_client_is_passed_on(bare, tls):
    link, far = bare(tls)
    reset(link)
    with pytest.raises(ConnectionResetError):
        far.recv(1)
    bare.h.quiet("ep")
    assert eventually(bare.h.log)[0]["ended"] == "client_gone"
    far.close()


@pytest.mark.parametrize("tls", [False, True])
def test_a_reset_by_the_replica_is_passed_on(bare, tls):
    link, far = bare(tls)
    reset(far)
    with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
        link.recv(1)
    bare.h.quiet("ep")
    assert eventually(bare.h.log)[0]["ended"] == "replica_failed"
    link.close()


@pytest.mark.parametrize("up", [False, True])
def test_a_side_that_takes_nothing_is_cut_off(running, start, up):
    replica = running(Replica())
    h = start.headrace({"ep": endpoint(replica)}, workers=1, client={"write_stall_s": 1, "body_idle_timeout_s": 1})
    with h.connect() as link:
        link.sendall(HELLO)
        far, _ = replica.take()
        far.sendall(GRANTED)
        read_head(link)
        assert not select.select([link, far], [], [], 3)[0]  # silence is no fault
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            fill(link if up else far)
        h.quiet("ep")
        assert eventually(h.log)[0]["ended"] == ("replica_failed" if up else "client_gone")
        far.close()


def test_a_replica_that_stays_when_its_client_has_left_is_cut_off(running, start):
    replica = running(Replica())
    h = start.headrace({"ep": endpoint(replica)}, client={"write_stall_s": 1})
    link = h.connect()
    link.sendall(HELLO)
    far, _ = replica.take()
    far.sendall(GRANTED)
    read_head(link)
    link.close()
    assert far.recv(1) == b""
    h.quiet("ep")
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        while True:
            far.sendall(b"x")
    far.close()


def test_a_body_limit_is_not_for_tunnels(running, start):
    replica = running(Replica())
    h = start.headrace({"ep": endpoint(replica, body_limit_bytes=10)})
    with h.connect() as link:
        link.sendall(HELLO + b"x" * 100)
        far, _ = replica.take()
        far.sendall(GRANTED)
        assert read_exactly(far, 100) == b"x" * 100
        far.close()


def test_a_tunnel_outlasts_the_beginning_of_a_shutdown(bare):
    link, far = bare()
    bare.h.process.terminate()
    eventually(lambda: socket.socket().connect_ex(("127.0.0.1", bare.h.port)))
    far.sendall(b"still")
    assert read_exactly(link, 5) == b"still"
    link.sendall(b"here")
    assert read_exactly(far, 4) == b"here"
    far.close()
    assert link.recv(1) == b""
    link.close()
