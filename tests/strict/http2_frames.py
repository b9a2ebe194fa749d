"""HTTP/2 byte by byte: frames and field blocks that no library would send, and a connection that says what came of them."""
import struct
import sys
from pathlib import Path

import hpack

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "flows"))

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
CODES = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
         "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"]
PROBE = 101


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def number(value, bits, first=0):
    """An HPACK integer (RFC 7541, 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytes([first | most]), value - most
    while value > 127:
        out, value = out + bytes([value % 128 | 128]), value // 128
    return out + bytes([value])


def octets(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def literal(name, value, first=0x00):
    """A field as it is: no index, no Huffman code. first 0x40: with a place in the table."""
    return bytes([first]) + number(len(octets(name)), 7) + octets(name) + number(len(octets(value)), 7) + octets(value)


def block(fields):
    return b"".join(f if isinstance(f, bytes) else literal(*f) for f in fields)


def request(*more, method="GET", path="/bytes/3", scheme="https", authority="ep.localhost"):
    """The fields of a good request, and more; None leaves one out."""
    first = [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]
    return [(k, v) for k, v in first if v is not None] + list(more)


def head(fields=None, stream=1, end=True, end_headers=True, flags=0):
    flags |= (END_STREAM if end else 0) | (END_HEADERS if end_headers else 0)
    payload = fields if isinstance(fields, bytes) else block(request() if fields is None else fields)
    return frame(HEADERS, flags, stream, payload)


def more(payload=b"", stream=1, end_headers=False):
    return frame(CONTINUATION, END_HEADERS if end_headers else 0, stream, payload)


def data(payload=b"", stream=1, end=True, flags=0):
    return frame(DATA, flags | (END_STREAM if end else 0), stream, payload)


def settings(*pairs, stream=0, ack=False):
    return frame(SETTINGS, ACK if ack else 0, stream, b"".join(struct.pack(">HI", *p) for p in pairs))


def ping(payload=b"12345678", ack=False, stream=0):
    return frame(PING, ACK if ack else 0, stream, payload)


def priority(stream=1, on=0, weight=15):
    return frame(PRIORITY, 0, stream, struct.pack(">IB", on, weight))


def reset(stream=1, code=8):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def window(increment, stream=0):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def goaway(last=0, code=0, stream=0):
    return frame(GOAWAY, 0, stream, struct.pack(">II", last, code))


class Wire:
    """A connection that takes what comes apart, and never minds what it is."""

    def __init__(self, link, hello=PREFACE + settings()):
        self.link, self.rest = link, b""
        self.hpack = hpack.Decoder()
        self.hpack.max_header_list_size = 1 << 20
        self.status, self.fields, self.bodies, self.over, self.trailers = {}, {}, {}, {}, {}
        self.goaway, self.closed, self.acks, self.pings, self.block = None, False, 0, [], b""
        self.their_settings = {}
        self.send(hello)

    def send(self, octets):
        try:
            self.link.sendall(octets)
        except OSError:  # it has closed already; what it said before can still be read
            pass

    def turn(self):
        """One read, and all whole frames of it."""
        try:
            got = self.link.recv(65536)
        except ConnectionError:
            got = b""
        except OSError as e:
            if isinstance(e, TimeoutError):
                raise
            got = b""
        self.closed = not got
        self.rest += got
        while len(self.rest) >= 9:
            size = int.from_bytes(self.rest[:3], "big")
            if len(self.rest) < 9 + size:
                break
            kind, flags, stream = self.rest[3], self.rest[4], int.from_bytes(self.rest[5:9], "big")
            payload, self.rest = self.rest[9:9 + size], self.rest[9 + size:]
            self.take(kind, flags, stream, payload)

    def take(self, kind, flags, stream, payload):
        if kind in (HEADERS, CONTINUATION):
            self.block += payload
            if kind == HEADERS:
                self.ends = flags & END_STREAM
            if flags & END_HEADERS:
                fields, self.block = dict(self.hpack.decode(self.block)), b""
                if ":status" in fields and int(fields[":status"]) >= 200:
                    self.status[stream], self.fields[stream] = int(fields[":status"]), fields
                elif ":status" not in fields:
                    self.trailers[stream] = fields
                if self.ends:
                    self.over.setdefault(stream, "end")
        elif kind == DATA:
            self.bodies[stream] = self.bodies.get(stream, b"") + payload
            if flags & END_STREAM:
                self.over.setdefault(stream, "end")
        elif kind == RST_STREAM:
            self.over.setdefault(stream, "reset " + CODES[int.from_bytes(payload, "big")])
        elif kind == GOAWAY:
            self.goaway = CODES[int.from_bytes(payload[4:8], "big")]
        elif kind == SETTINGS:
            self.acks += flags & ACK
            if not flags & ACK:
                self.their_settings.update(struct.iter_unpack(">HI", payload))
                self.send(settings(ack=True))
        elif kind == PING:
            if flags & ACK:
                self.pings.append(payload)
            else:
                self.send(ping(payload, ack=True))

    def until(self, condition):
        while not self.closed and not condition():
            self.turn()
        return condition()

    def came_of(self, stream, quiet):
        """"goaway CODE", "reset CODE", a status, or, when a later request is answered first and `quiet`, "served"."""
        def known():
            return self.goaway not in (None, "NO_ERROR") or (PROBE in self.over and (quiet or stream in self.over))
        self.until(known)
        if self.goaway not in (None, "NO_ERROR"):
            assert self.until(lambda: self.closed) or self.closed
            return "goaway " + self.goaway
        if self.closed:
            return "closed"
        assert self.status.get(PROBE) == 200 and self.over[PROBE] == "end", "the connection was to be left whole"
        if stream not in self.over:
            return "served"
        return str(self.status[stream]) if self.over[stream] == "end" else self.over[stream]

    def close(self):
        self.link.close()
