"""HTTP/1 as bytes: a client that sends what it is told, a replica that answers what it is told, and a strict reader of answers."""
import contextlib
import itertools
import re
import select
import socket
import ssl
import struct
import threading

DEADLINE_S = 20
HOST = b"Host: ep.localhost\r\n"
CLOSE = b"Connection: close\r\n"
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


def abort(link):
    """Closes with a reset."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


class Seen:
    """A request as it reached the replica."""

    def __init__(self, link, head):
        self.link, self.head, self.body, self.complete = link, head, b"", False
        self.method, self.target = head.split(b" ")[0].decode(), head.split(b" ")[1].decode()

    @property
    def text(self):
        return self.head + self.body

    @property
    def line(self):
        return f"{self.method} {self.target}"


class Gone(Exception):
    pass


class Replica:
    """A model server of bytes. What it answers depends on the target: `script[target] = (parts, then)`, where each part is sent
    by itself and `then` is "keep", "close" or "reset". A callable part gets the reader, for what comes in between."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.script, self.seen, self.numbers = {}, [], itertools.count()
        threading.Thread(target=self.accept, daemon=True).start()

    def endpoint(self, **more):
        return {"access": "public", "driver": "static", "addresses": [f"127.0.0.1:{self.port}"], **more}

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                link, _ = self.socket.accept()
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=Reader(self, link, next(self.numbers)).serve, daemon=True).start()

    def stop(self):
        self.socket.close()


class Reader:
    """One connection at the replica."""

    def __init__(self, replica, link, number):
        self.replica, self.link, self.number, self.rest, self.request = replica, link, number, b"", None

    def more(self):
        part = self.link.recv(65536)
        if not part:
            raise Gone
        self.rest += part

    def until(self, end):
        while end not in self.rest:
            self.more()
        at = self.rest.index(end) + len(end)
        text, self.rest = self.rest[:at], self.rest[at:]
        return text

    def take(self, n):
        while len(self.rest) < n:
            self.more()
        text, self.rest = self.rest[:n], self.rest[n:]
        return text

    def read_request(self):
        head = self.until(b"\r\n\r\n")
        self.request = request = Seen(self.number, head)
        self.replica.seen.append(request)
        fields = [(line.split(b":")[0].lower(), line.split(b":", 1)[1].strip()) for line in head.split(b"\r\n")[1:-2]]
        if (b"transfer-encoding", b"chunked") in fields:
            while size := int(self.until(b"\r\n"), 16):
                request.body += self.take(size)
                assert self.take(2) == b"\r\n"
            while (line := self.until(b"\r\n")) != b"\r\n":
                request.body += line
        for name, value in fields:
            if name == b"content-length":
                request.body = self.take(int(value))
        request.complete = True
        return request

    def serve(self):
        then = "keep"
        with contextlib.suppress(OSError, Gone, ValueError), self.link:
            while then == "keep":
                request = self.read_request()
                parts, then = self.replica.script.get(request.target, ((FINE,), "keep"))
                for part in parts:
                    if callable(part):
                        part(self)
                    else:
                        self.link.sendall(part)
            if then == "reset":
                abort(self.link)

    def silent(self, seconds=0.05):
        """Nothing more of this request comes."""
        return not self.rest and not select.select([self.link], [], [], seconds)[0]


def send_and_read(link, parts):
    """All that came, and how it ended: "closed" or "cut"."""
    data = b""
    link.settimeout(DEADLINE_S)
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            for part in parts:
                data += part(link) or b"" if callable(part) else link.sendall(part) or b""
        while part := link.recv(65536):
            data += part
        return data, "closed"
    except (ConnectionResetError, ssl.SSLError):
        return data, "cut"


class Got:
    """An answer as the client got it; `complete` as far as its framing says."""

    def __init__(self, status, fields):
        self.status, self.fields, self.body, self.complete, self.trailers = status, fields, b"", False, []

    def all(self, name):
        return [value for n, value in self.fields if n == name]


STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9]\d\d) [^\x00-\x08\x0a-\x1f\x7f]*")
FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([^\x00-\x08\x0a-\x1f\x7f]*)")


def field_lines(text):
    out = []
    for line in text.split(b"\r\n") if text else []:
        match = FIELD.fullmatch(line)
        assert match, f"not a field line: {line}"
        out.append((match[1].lower(), match[2].strip()))
    return out


def read_chunks(got, data):
    while True:
        size, sep, data = data.partition(b"\r\n")
        if not sep:
            return b""
        assert re.fullmatch(rb"[0-9a-f]+", size), size
        n = int(size, 16)
        if n == 0:
            if data.startswith(b"\r\n"):
                text, data = b"", data[2:]
            elif b"\r\n\r\n" in data:
                text, data = data.split(b"\r\n\r\n", 1)
            else:
                return b""
            got.trailers, got.complete = field_lines(text), True
            return data
        got.body += data[:n]
        if len(data) < n + 2:
            return b""
        assert data[n:n + 2] == b"\r\n"
        data = data[n + 2:]


def read_answers(data, ended, methods=()):
    """Every answer in the bytes (RFC 9112), with strictness: what is not one fails."""
    answers, methods = [], list(methods)
    while data:
        head, sep, data = data.partition(b"\r\n\r\n")
        assert sep, f"an unfinished head: {head}"
        line, _, lines = head.partition(b"\r\n")
        match = STATUS_LINE.fullmatch(line)
        assert match, f"not a status line: {line}"
        got = Got(int(match[1]), field_lines(lines))
        answers.append(got)
        lengths, codings = got.all(b"content-length"), got.all(b"transfer-encoding")
        assert len(lengths) + len(codings) <= 1, "two ways to end"
        if got.status < 200:
            got.complete = True
            assert not lengths and not codings, "RFC 9110, 8.6: none in 1xx"
            if got.status == 101:
                got.body = data
                return answers
            continue
        method = methods.pop(0) if methods else "GET"
        if method == "HEAD" or got.status in (204, 304):
            got.complete = True
        elif codings:
            assert codings == [b"chunked"]
            data = read_chunks(got, data)
        elif lengths:
            n = int(lengths[0])
            got.body, data = data[:n], data[n:]
            got.complete = len(got.body) == n
        else:
            got.body, data, got.complete = data, b"", ended == "closed"
    return answers
