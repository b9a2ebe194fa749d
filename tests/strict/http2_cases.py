"""What a client may send over HTTP/2, and what may come of it: a row a case.

An outcome is "goaway CODE" (a connection error), "reset CODE" (a stream error: the connection goes on), a status, or "served" (nothing
came of it, and the next request was answered). Sections are those of RFC 9113 unless another is named."""
from http2_frames import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PUSH_PROMISE, RST_STREAM,
                          SETTINGS, WINDOW_UPDATE, WITH_PRIORITY, block, data, frame, goaway, head, literal, more, number, ping, priority,
                          request, reset, settings, window)

BIG = 1 << 31


def connection(*codes):
    return {"goaway " + c for c in codes}


def stream(*codes):
    return {"reset " + c for c in codes}


PROTOCOL, SIZE, FLOW, CLOSED = "PROTOCOL_ERROR", "FRAME_SIZE_ERROR", "FLOW_CONTROL_ERROR", "STREAM_CLOSED"
MALFORMED = stream(PROTOCOL) | {"400"}  # 8.1.1: a stream error, or an answer that says so
COMPRESSION = connection("COMPRESSION_ERROR")
CALM = connection("ENHANCE_YOUR_CALM")
POST = request(path="/echo", method="POST")
HELD = request(("x-scale-up-timeout", "60"), path="/echo", method="POST", authority="cold.localhost")  # nobody takes its body
HALF = block(request())

# (name, section, what is sent, what may come of it)
FRAME_SIZES = [
    ("DATA over 16384", "4.2", head(POST, end=False) + data(b"x" * 16385), connection(SIZE) | stream(SIZE)),
    ("HEADERS over 16384", "4.2", head(request(("x", "y" * 16400))), connection(SIZE)),
    ("CONTINUATION over 16384", "4.2", head(end_headers=False) + more(literal("x", "y" * 16400), end_headers=True), connection(SIZE)),
    ("an unknown frame over 16384", "4.2", frame(0xbe, 0, 0, b"x" * 16385), connection(SIZE)),
    ("PRIORITY of 4", "6.3", head(end=False) + frame(PRIORITY, 0, 1, b"1234"), connection(SIZE) | stream(SIZE)),
    ("PRIORITY of 6", "6.3", head(end=False) + frame(PRIORITY, 0, 1, b"123456"), connection(SIZE) | stream(SIZE)),
    ("RST_STREAM of 3", "6.4", head(end=False) + frame(RST_STREAM, 0, 1, b"123"), connection(SIZE)),
    ("RST_STREAM of 5", "6.4", head(end=False) + frame(RST_STREAM, 0, 1, b"12345"), connection(SIZE)),
    ("SETTINGS of 5", "6.5", frame(SETTINGS, 0, 0, b"12345"), connection(SIZE)),
    ("SETTINGS of 7", "6.5", frame(SETTINGS, 0, 0, b"1234567"), connection(SIZE)),
    ("SETTINGS ACK that says something", "6.5", frame(SETTINGS, 1, 0, b"123456"), connection(SIZE)),
    ("PING of 7", "6.7", ping(b"1234567"), connection(SIZE)),
    ("PING of 9", "6.7", ping(b"123456789"), connection(SIZE)),
    ("PING of 0", "6.7", ping(b""), connection(SIZE)),
    ("GOAWAY of 7", "6.8", frame(GOAWAY, 0, 0, b"1234567"), connection(SIZE)),
    ("WINDOW_UPDATE of 3", "6.9", frame(WINDOW_UPDATE, 0, 0, b"123"), connection(SIZE)),
    ("WINDOW_UPDATE of 5", "6.9", frame(WINDOW_UPDATE, 0, 0, b"12345"), connection(SIZE)),
    ("WINDOW_UPDATE of 3 on a stream", "6.9", head(end=False) + frame(WINDOW_UPDATE, 0, 1, b"123"), connection(SIZE)),
    ("HEADERS too short for their priority", "6.2", frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, b"123"), connection(SIZE)),
]

STREAM_IDS = [
    ("HEADERS on stream 0", "6.2", head(stream=0), connection(PROTOCOL)),
    ("HEADERS on an even stream", "5.1.1", head(stream=2), connection(PROTOCOL)),
    ("a stream below one that was opened", "5.1.1", head(stream=5) + head(stream=3), connection(PROTOCOL, CLOSED)),
    ("a stream that was opened and reset", "5.1", head(end=False) + reset() + head(), connection(CLOSED, PROTOCOL) | stream(CLOSED)),
    ("DATA on stream 0", "6.1", data(b"x", stream=0), connection(PROTOCOL)),
    ("PRIORITY on stream 0", "6.3", priority(0, 3), connection(PROTOCOL)),
    ("RST_STREAM on stream 0", "6.4", reset(0), connection(PROTOCOL)),
    ("SETTINGS on a stream", "6.5", settings(stream=1), connection(PROTOCOL)),
    ("PUSH_PROMISE from a client", "8.4", head(end=False) + frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + HALF), connection(PROTOCOL)),
    ("PUSH_PROMISE on stream 0", "6.6", frame(PUSH_PROMISE, END_HEADERS, 0, b"\0\0\0\2" + HALF), connection(PROTOCOL)),
    ("PING on a stream", "6.7", ping(stream=1), connection(PROTOCOL)),
    ("GOAWAY on a stream", "6.8", goaway(stream=1), connection(PROTOCOL)),
    ("CONTINUATION on stream 0", "6.10", more(HALF, 0, True), connection(PROTOCOL)),
    ("the reserved bit of a stream id", "4.1", head(stream=1 | BIG), {"200"}),
]

STATES = [
    ("DATA on an idle stream", "5.1", data(b"x"), connection(PROTOCOL, CLOSED)),
    ("DATA on an idle stream of ours", "5.1", data(b"x", stream=2), connection(PROTOCOL, CLOSED)),
    ("RST_STREAM on an idle stream", "6.4", reset(), connection(PROTOCOL)),
    ("WINDOW_UPDATE on an idle stream", "5.1", window(1, 1), connection(PROTOCOL)),
    ("CONTINUATION on an idle stream", "6.10", more(HALF, 1, True), connection(PROTOCOL)),
    ("PRIORITY on an idle stream", "6.3", priority(1, 3), {"served"}),
    ("DATA after END_STREAM", "5.1", head() + data(b"x"), connection(CLOSED) | stream(CLOSED)),
    ("HEADERS after END_STREAM", "5.1", head() + head(), connection(CLOSED) | stream(CLOSED)),
    ("WINDOW_UPDATE after END_STREAM", "5.1", head() + window(1, 1), {"200"}),
    ("PRIORITY after END_STREAM", "5.1", head() + priority(1, 3), {"200"}),
    ("RST_STREAM after END_STREAM", "5.1", head(request(path="/slow")) + reset(), {"served"}),
    ("DATA after our RST_STREAM", "5.1", head(end=False) + reset() + data(b"x"), connection(CLOSED) | stream(CLOSED) | {"served"}),
    ("HEADERS after our RST_STREAM", "5.1", head(POST, end=False) + reset() + head([("x", "y")]), connection(CLOSED) | stream(CLOSED)),
    ("WINDOW_UPDATE after our RST_STREAM", "5.1", head(end=False) + reset() + window(1, 1), {"served"}),
    ("RST_STREAM twice", "5.1", head(end=False) + reset() + reset(), {"served"}),
    ("RST_STREAM with an unknown code", "7", head(end=False) + reset(code=0xffff), {"served"}),
    ("CONTINUATION after END_HEADERS", "6.10", head(end=False) + more(HALF, 1, True), connection(PROTOCOL)),
    ("a stream that depends on itself", "6.3", head(POST, end=False) + priority(1, 1) + data(b"abc"),
     connection(PROTOCOL) | stream(PROTOCOL) | {"200"}),
    ("an idle stream that depends on itself", "6.3", priority(1, 1), connection(PROTOCOL) | stream(PROTOCOL) | {"served"}),
    ("HEADERS that depend on themselves", "6.2", frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, b"\0\0\0\1\x0f" + HALF),
     connection(PROTOCOL) | stream(PROTOCOL) | {"200"}),
    ("HEADERS with a priority", "6.2", frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, b"\0\0\0\0\x0f" + HALF), {"200"}),
]

WINDOWS = [
    # A stream error, which may be treated as one of the connection (5.4.1): nghttp2 does.
    ("WINDOW_UPDATE by 0 on a stream", "6.9", head(end=False) + window(0, 1), stream(PROTOCOL) | connection(PROTOCOL)),
    ("WINDOW_UPDATE by 0 on the connection", "6.9", window(0), connection(PROTOCOL)),
    ("a stream's window over 2^31-1", "6.9.1", head(end=False) + window(BIG - 1, 1), stream(FLOW)),
    ("the connection's window over 2^31-1", "6.9.1", window(BIG - 1), connection(FLOW)),
    # An error of the connection by the letter; nghttp2 ends the streams whose window it is.
    ("a window made too large by SETTINGS", "6.9.2", head(POST, end=False) + window(BIG - 65536, 1) + settings((4, 65536)),
     connection(FLOW) | stream(FLOW)),
    ("the reserved bit of WINDOW_UPDATE", "6.9", head(end=False) + window(1 | BIG, 1) + data(), {"200"}),
    ("WINDOW_UPDATE by 0 with the reserved bit", "6.9", head(end=False) + window(BIG, 1), stream(PROTOCOL) | connection(PROTOCOL)),
    ("more than a stream's window", "6.9.1", head(HELD, end=False) + 5 * data(b"x" * 16384, end=False), connection(FLOW) | stream(FLOW)),
]

SETTINGS_CASES = [
    ("ENABLE_PUSH of 2", "6.5.2", settings((2, 2)), connection(PROTOCOL)),
    ("an INITIAL_WINDOW_SIZE over 2^31-1", "6.5.2", settings((4, BIG)), connection(FLOW)),
    ("a MAX_FRAME_SIZE under 16384", "6.5.2", settings((5, 16383)), connection(PROTOCOL)),
    ("a MAX_FRAME_SIZE over 2^24-1", "6.5.2", settings((5, 1 << 24)), connection(PROTOCOL)),
    ("NO_RFC7540_PRIORITIES of 2", "RFC 9218, 2.1", settings((9, 2)), connection(PROTOCOL)),
    ("NO_RFC7540_PRIORITIES that changes", "RFC 9218, 2.1", settings((9, 1)), connection(PROTOCOL) | {"served"}),
    ("ENABLE_CONNECT_PROTOCOL of 2", "RFC 8441, 3", settings((8, 2)), connection(PROTOCOL) | {"served"}),
    ("unknown settings", "6.5.2", settings((0xff, 1), (0xfafa, BIG), (0, 0)), {"served"}),
    ("ENABLE_PUSH of 1", "6.5.2", settings((2, 1)), {"served"}),
    ("MAX_CONCURRENT_STREAMS of 0", "6.5.2", settings((3, 0)) + head(), {"200"}),
    ("HEADER_TABLE_SIZE of 0", "6.5.2", settings((1, 0)) + head(), {"200"}),
    ("HEADER_TABLE_SIZE up and down", "RFC 7541, 4.2", settings((1, 0)) + settings((1, 8192)) + head(), {"200"}),
    ("a MAX_HEADER_LIST_SIZE of 1", "6.5.2", settings((6, 1)) + head(), {"200"}),
    ("the largest MAX_FRAME_SIZE", "6.5.2", settings((5, (1 << 24) - 1)) + head(), {"200"}),
    ("one setting twice: the last counts", "6.5.3", settings((4, 0), (4, 65535)) + head(), {"200"}),
    ("an ACK nobody asked for", "6.5.3", settings(ack=True) * 3, connection(PROTOCOL) | {"served"}),
    ("32 settings", "10.5", settings(*[(0xff, 1)] * 32), {"served"}),
    ("33 settings", "10.5", settings(*[(0xff, 1)] * 33), CALM),
    ("a window of 0 that opens", "6.9.2", settings((4, 0)) + head() + settings((4, 65535)), {"200"}),
]

CONTINUATIONS = [
    ("DATA within a head", "6.10", head(end_headers=False) + data(b"x"), connection(PROTOCOL)),
    ("HEADERS within a head", "6.10", head(end_headers=False) + head(), connection(PROTOCOL)),
    ("HEADERS of another stream within a head", "6.10", head(end_headers=False) + head(stream=3), connection(PROTOCOL)),
    ("CONTINUATION of another stream", "6.10", head(end_headers=False) + more(stream=3, end_headers=True), connection(PROTOCOL)),
    ("PING within a head", "6.10", head(end_headers=False) + ping(), connection(PROTOCOL)),
    ("SETTINGS within a head", "6.10", head(end_headers=False) + settings(), connection(PROTOCOL)),
    ("WINDOW_UPDATE within a head", "6.10", head(end_headers=False) + window(1), connection(PROTOCOL)),
    ("PRIORITY within a head", "6.10", head(end_headers=False) + priority(3, 0), connection(PROTOCOL)),
    ("RST_STREAM within a head", "6.10", head(end_headers=False) + reset(), connection(PROTOCOL)),
    ("GOAWAY within a head", "6.10", head(end_headers=False) + goaway(), connection(PROTOCOL)),
    ("an unknown frame within a head", "5.5", head(end_headers=False) + frame(0xbe), connection(PROTOCOL)),
    ("a head of one CONTINUATION", "6.10", head(HALF[:20], end_headers=False) + more(HALF[20:], end_headers=True), {"200"}),
    ("an empty HEADERS and one CONTINUATION", "6.10", head(b"", end_headers=False) + more(HALF, end_headers=True), {"200"}),
    ("a head of 8 CONTINUATIONs", "10.5", head(HALF, end_headers=False) + 7 * more() + more(end_headers=True), {"200"}),
    ("a head of 9 CONTINUATIONs", "10.5", head(HALF, end_headers=False) + 8 * more() + more(end_headers=True), CALM),
    ("trailers of 9 CONTINUATIONs", "10.5", head(POST, end=False) + head([("x", "y")], end_headers=False) + 9 * more(end_headers=False), CALM),
]

PADDING = [
    ("DATA padded beyond its end", "6.1", head(POST, end=False) + data(b"\x05abc", flags=PADDED), connection(PROTOCOL)),
    ("DATA padded to exactly too much", "6.1", head(POST, end=False) + data(b"\x04abc", flags=PADDED), connection(PROTOCOL)),
    ("padded DATA without the pad length", "6.1", head(POST, end=False) + data(b"", flags=PADDED), connection(SIZE, PROTOCOL)),
    ("HEADERS padded beyond their end", "6.2", head(b"\xff" + HALF, flags=PADDED), connection(PROTOCOL)),
    ("padded HEADERS without the pad length", "6.2", head(b"", flags=PADDED), connection(SIZE, PROTOCOL)),
    ("padded DATA", "6.1", head(POST, end=False) + data(b"\x02abc\0\0", flags=PADDED), {"200"}),
    ("DATA of padding only", "6.1", head(POST, end=False) + data(b"\x03\0\0\0", flags=PADDED), {"200"}),
    ("padded HEADERS", "6.2", head(b"\x04" + HALF + bytes(4), flags=PADDED), {"200"}),
    ("padding that is not zero", "6.1", head(POST, end=False) + data(b"\x02abc\1\1", flags=PADDED), connection(PROTOCOL) | {"200"}),
]

HPACK = [
    ("index 0", "RFC 7541, 6.1", head(HALF + b"\x80"), COMPRESSION),
    ("an index beyond the table", "RFC 7541, 2.3.3", head(HALF + b"\xbe"), COMPRESSION),
    ("a name's index beyond the table", "RFC 7541, 2.3.3", head(HALF + number(70, 6, 0x40) + b"\x01x"), COMPRESSION),
    ("a table larger than allowed", "RFC 7541, 6.3", head(number(4097, 5, 0x20) + HALF), COMPRESSION),
    ("a change of the table in mid block", "RFC 7541, 4.2", head(HALF + b"\x20"), COMPRESSION),
    ("a table of 0 at the beginning", "RFC 7541, 4.2", head(b"\x20" + HALF), {"200"}),
    ("a table of 0 and back", "RFC 7541, 4.2", head(b"\x20" + number(4096, 5, 0x20) + HALF), {"200"}),
    ("Huffman padding of 8 bits", "RFC 7541, 5.2", head(HALF + b"\x00\x01x\x82\x1f\xff"), COMPRESSION),
    ("Huffman padding of zeros", "RFC 7541, 5.2", head(HALF + b"\x00\x01x\x81\x18"), COMPRESSION),
    ("Huffman code of the end", "RFC 7541, 5.2", head(HALF + b"\x00\x01x\x84\xff\xff\xff\xff"), COMPRESSION),
    ("a Huffman code that is right", "RFC 7541, 5.2", head(HALF + b"\x00\x01x\x81\x1f"), {"200"}),
    ("an integer without end", "RFC 7541, 5.1", head(HALF + b"\xff" + b"\xff" * 10), COMPRESSION),
    ("an integer that is cut off", "RFC 7541, 5.1", head(HALF + b"\xff"), COMPRESSION),
    ("a name that is cut off", "RFC 7541, 5.2", head(HALF + b"\x00\x05ab"), COMPRESSION),
    ("a value that is cut off", "RFC 7541, 5.2", head(HALF + b"\x00\x01x\x05ab"), COMPRESSION),
    ("a field without its value", "RFC 7541, 6.2", head(HALF + b"\x00\x01x"), COMPRESSION),
    ("a bad head in the trailers", "RFC 7541, 2.3.3", head(POST, end=False) + head(b"\xbe"), COMPRESSION),
    ("a bad head on a stream that was reset", "4.3", head(POST, end=False) + reset() + head(b"\xbe"), connection("COMPRESSION_ERROR", CLOSED)),
    ("a table that stays in step behind a malformed head", "4.3",
     head(request(("X", "y"), literal(":path", "/bytes/3", 0x40), ("te", "gzip")), stream=1) + head(block([(":method", "GET"), (":scheme", "https"),
          b"\xbe", (":authority", "ep.localhost")]), stream=3), {"200"}, 3),
]

PSEUDO = [
    ("no :method", "8.3.1", head(request(method=None)), MALFORMED),
    ("no :scheme", "8.3.1", head(request(scheme=None)), MALFORMED),
    ("no :path", "8.3.1", head(request(path=None)), MALFORMED),
    ("neither :authority nor Host", "8.3.1", head(request(authority=None)), MALFORMED),
    ("Host and no :authority", "8.3.1", head(request(("host", "ep.localhost"), authority=None)), {"200"}),
    (":method twice", "8.3.1", head([(":method", "GET"), *request()]), MALFORMED),
    (":scheme twice", "8.3.1", head([(":scheme", "https"), *request()]), MALFORMED),
    (":path twice", "8.3.1", head([(":path", "/bytes/3"), *request()]), MALFORMED),
    (":authority twice", "8.3.1", head([(":authority", "ep.localhost"), *request()]), MALFORMED),
    ("a pseudo-field behind others", "8.3", head([("x", "y"), *request()]), MALFORMED),
    ("an unknown pseudo-field", "8.3", head([(":color", "blue"), *request()]), MALFORMED),
    (":status in a request", "8.3", head([(":status", "200"), *request()]), MALFORMED),
    (":protocol without CONNECT", "RFC 8441, 4", head([(":protocol", "websocket"), *request()]), MALFORMED),
    (":protocol with CONNECT", "RFC 8441, 4", head([(":protocol", "websocket"), *request(method="CONNECT")], end=False), MALFORMED | {"501"}),
    ("a pseudo-field without a name", "8.3", head([(":", "x"), *request()]), MALFORMED),
    ("an empty :path", "8.3.1", head(request(path="")), MALFORMED),
    ("an empty :method", "8.3.1", head(request(method="")), MALFORMED),
    ("an empty :scheme", "8.3.1", head(request(scheme="")), MALFORMED),
    ("an empty :authority", "8.3.1", head(request(authority="")), MALFORMED),
    ("a :path without slash", "8.3.1", head(request(path="bytes/3")), MALFORMED),
    ("an absolute :path", "8.3.1", head(request(path="http://ep.localhost/bytes/3")), MALFORMED),
    ("a * with GET", "8.3.1", head(request(path="*")), MALFORMED),
    ("a * with OPTIONS", "8.3.1", head(request(path="*", method="OPTIONS")), {"200", "204", "404", "405"}),
    ("CONNECT", "8.5", head(request(path=None, scheme=None, method="CONNECT", authority="ep.localhost:80"), end=False), MALFORMED | {"501"}),
    ("CONNECT with :path", "8.5", head(request(method="CONNECT"), end=False), MALFORMED | {"501"}),
    ("a method of our own kind", "RFC 9110, 9.1", head(request(method="PURGE", path="/headers")), {"200", "404", "405", "501"}),
    (":authority with a name and password", "8.3.1", head(request(authority="me:secret@ep.localhost")), MALFORMED),
    (":authority with a path", "8.3.1", head(request(authority="ep.localhost/x")), MALFORMED),
    (":authority with a port that is none", "8.3.1", head(request(authority="ep.localhost:http")), MALFORMED),
    ("Host and :authority the same", "8.3.1", head(request(("host", "EP.localhost"))), {"200"}),
    ("Host and :authority that differ", "8.3.1", head(request(("host", "other.localhost"))), MALFORMED),
    ("Host twice", "RFC 9112, 3.2", head(request(("host", "ep.localhost"), ("host", "ep.localhost"))), MALFORMED),
    ("an empty Host beside :authority", "8.3.1", head(request(("host", ""))), MALFORMED),
]

BAD_OCTETS = {"space": " ", "CR": "\r", "LF": "\n", "NUL": "\0", "tab": "\t", "DEL": "\x7f", "a high octet": "\xff"}
OCTETS = [
    *[(f":path with {n}", "8.3.1", head(request(path=f"/bytes/3{c}x")), MALFORMED) for n, c in BAD_OCTETS.items()],
    *[(f":method with {n}", "RFC 9110, 9.1", head(request(method=f"G{c}T")), MALFORMED) for n, c in BAD_OCTETS.items()],
    *[(f":authority with {n}", "8.3.1", head(request(authority=f"ep{c}.localhost")), MALFORMED) for n, c in BAD_OCTETS.items()],
    *[(f":scheme with {n}", "8.3.1", head(request(scheme=f"ht{c}tp")), MALFORMED) for n, c in BAD_OCTETS.items()],
    *[(f"a name with {n}", "8.2.1", head(request((f"x{c}y", "1"))), MALFORMED) for n, c in BAD_OCTETS.items()],
    *[(f"a value with {n}", "8.2.1", head(request(("x", f"a{BAD_OCTETS[n]}b"))), MALFORMED) for n in ("CR", "LF", "NUL")],
    (":path with a fragment", "8.3.1", head(request(path="/bytes/3#x")), MALFORMED),
    (":path that splits a request", "10.3", head(request(path="/x HTTP/1.1\r\nHost: a\r\n\r\nGET /y")), MALFORMED),
    (":method that splits a request", "10.3", head(request(method="GET /x HTTP/1.1\r\n\r\nGET")), MALFORMED),
    ("a value that splits a head", "10.3", head(request(("x", "1\r\nHost: a"))), MALFORMED),
    ("a name that splits a head", "10.3", head(request(("x: 1\r\ny", "2"))), MALFORMED),
    ("an upper-case name", "8.2.1", head(request(("X-Upper", "1"))), MALFORMED),
    ("an empty name", "8.2.1", head(request(("", "1"))), MALFORMED),
    ("a name with a colon", "8.2.1", head(request(("x:y", "1"))), MALFORMED),
    ("a name with a bracket", "8.2.1", head(request(("x(y)", "1"))), MALFORMED),
    ("a value that begins with a space", "8.2.1", head(request(("x", " y"))), MALFORMED),
    ("a value that ends with a tab", "8.2.1", head(request(("x", "y\t"))), MALFORMED),
    ("an empty value", "8.2.1", head(request(("x", ""))), {"200"}),
    ("a value of high octets", "RFC 9110, 5.5", head(request(("x", "\xe4\xf6"))), {"200"}),
    ("a value with a tab in it", "RFC 9110, 5.5", head(request(("x", "a\tb"))), {"200"}),
]

FIELDS = [
    ("connection", "8.2.2", head(request(("connection", "close"))), MALFORMED),
    ("keep-alive", "8.2.2", head(request(("keep-alive", "timeout=5"))), MALFORMED),
    ("proxy-connection", "8.2.2", head(request(("proxy-connection", "close"))), MALFORMED),
    ("transfer-encoding", "8.2.2", head(request(("transfer-encoding", "chunked"))), MALFORMED),
    ("upgrade", "8.2.2", head(request(("upgrade", "websocket"))), MALFORMED),
    ("te: gzip", "8.2.2", head(request(("te", "gzip"))), MALFORMED),
    ("te: trailers, gzip", "8.2.2", head(request(("te", "trailers, gzip"))), MALFORMED),
    ("te: trailers", "8.2.2", head(request(("te", "trailers"))), {"200"}),
    ("a length and less", "8.1.1", head(POST + [("content-length", "5")], end=False) + data(b"abc"), MALFORMED),
    ("a length and more", "8.1.1", head(POST + [("content-length", "2")], end=False) + data(b"abc"), MALFORMED),
    ("a length and more, later", "8.1.1", head(POST + [("content-length", "2")], end=False) + data(b"a", end=False) + data(b"bc"), MALFORMED),
    ("a length and nothing", "8.1.1", head(POST + [("content-length", "2")]), MALFORMED),
    ("a length and only trailers", "8.1.1", head(POST + [("content-length", "2")], end=False) + head([("x", "y")]), MALFORMED),
    ("a length of 0 and something", "8.1.1", head(POST + [("content-length", "0")], end=False) + data(b"abc"), MALFORMED),
    ("a length of 0 and nothing", "8.1.1", head(POST + [("content-length", "0")]), {"200"}),
    ("a length that is right", "8.1.1", head(POST + [("content-length", "3")], end=False) + data(b"abc"), {"200"}),
    ("a length and padding", "8.1.1", head(POST + [("content-length", "3")], end=False) + data(b"\x02abc\0\0", flags=PADDED), {"200"}),
    ("two lengths that differ", "RFC 9110, 8.6", head(POST + [("content-length", "3"), ("content-length", "4")], end=False) + data(b"abc"), MALFORMED),
    ("two lengths that do not", "RFC 9110, 8.6", head(POST + [("content-length", "3"), ("content-length", "3")], end=False) + data(b"abc"),
     MALFORMED | {"200"}),
    *[(f"a length of {n!r}", "RFC 9110, 8.6", head(POST + [("content-length", n)], end=False) + data(b"abc"), MALFORMED)
      for n in ("x", "-3", "+3", "3, 3", "0x3", "3.0", "", "18446744073709551619", "99999999999999999999999")],
    ("trailers", "8.1", head(POST, end=False) + data(b"abc", end=False) + head([("x-t", "1")]), {"200"}),
    ("trailers without END_STREAM", "8.1", head(POST, end=False) + head([("x-t", "1")], end=False), MALFORMED),
    ("trailers with a pseudo-field", "8.1", head(POST, end=False) + head([(":path", "/x")]), MALFORMED),
    ("trailers with :status", "8.1", head(POST, end=False) + head([(":status", "200")]), MALFORMED),
    ("trailers with an upper-case name", "8.2.1", head(POST, end=False) + head([("X", "1")]), MALFORMED),
    ("trailers with connection", "8.2.2", head(POST, end=False) + head([("connection", "x")]), MALFORMED),
    ("trailers with a line break", "8.2.1", head(POST, end=False) + head([("x", "a\r\nb")]), MALFORMED),
    ("a head over its limit", "10.5.1", head(request(("x", "y" * 16000)), end_headers=False) + more(literal("x", "y" * 16000))
     + more(literal("x", "y" * 16000), end_headers=True), {"431"}),
    ("a head over its limit only when decoded", "10.5.1", head(block(request()) + literal("x", "y" * 3500, 0x40) + b"\xbe" * 10), {"431"}),
    ("101 fields", "10.5.1", head(request(*[("x", "y")] * 101)), {"431"}),
    ("100 fields", "10.5.1", head(request(*[("x", "y")] * 100)), {"200"}),
    ("a second request behind one that was too large", "10.5.1", head(request(*[("x", "y")] * 101)) + head(stream=3), {"200"}, 3),
]

EXTENSIONS = [
    ("an unknown frame on the connection", "5.5", frame(0xbe, 0xff, 0, b"x" * 100), {"served"}),
    ("an unknown frame on an open stream", "5.5", head(POST, end=False) + frame(0xbe, 0xff, 1, b"x" * 100) + data(b"abc"), {"200"}),
    ("an unknown frame on an idle stream", "5.5", frame(0xbe, 0, 1, b""), {"served"}),
    ("ALTSVC from a client", "RFC 7838, 4", frame(0x0a, 0, 0, b"\0\1ax"), {"served"}),
    ("ORIGIN from a client", "RFC 8336, 2.1", frame(0x0c, 0, 0, b"\0\1a"), {"served"}),
    ("PRIORITY_UPDATE", "RFC 9218, 7.1", frame(0x10, 0, 0, b"\0\0\0\1u=1"), {"served"}),
    ("unknown flags", "4.1", frame(PING, 0xfe, 0, b"12345678") + frame(SETTINGS, 0xfe, 0), {"served"}),
    ("unknown flags of HEADERS", "4.1", head(flags=0x82 | 0x40), {"200"}),
    ("a PING answer nobody asked for", "6.7", ping(ack=True), {"served"}),
    ("GOAWAY behind a request", "6.8", head() + goaway(), {"200"}),
    ("GOAWAY with an error", "6.8", head() + goaway(code=2), {"200"}),
    ("GOAWAY twice", "6.8", goaway() + goaway(), {"served"}),
    ("GOAWAY that names more than before", "6.8", goaway(2) + goaway(4), connection(PROTOCOL) | {"served"}),
    ("CONTINUATION behind an answer", "6.10", head() + more(end_headers=True), connection(PROTOCOL)),
    ("empty DATA", "6.1", head(POST, end=False) + 20 * data(end=False) + data(b"abc"), {"200"}),
]

# What ends a request that is refused at once, in one piece with its head.
REFUSALS = {"no good token": request(authority="closed.localhost", method="POST"),
            "no replica": request(authority="cold.localhost", method="POST")}
REFUSED = [(f"{name}, then {how}", "8.1", head(fields, end=False) + rest, {code})
           for (name, fields), code in zip(REFUSALS.items(), ("401", "503"))
           for how, rest in (("nothing", data(b"")), ("a body", data(b"abc")), ("trailers", head([("x-t", "1")])),
                             ("a body and trailers", data(b"abc", end=False) + head([("x-t", "1")])))]

CASES = [c if len(c) == 5 else (*c, 1) for part in (FRAME_SIZES, STREAM_IDS, STATES, WINDOWS, SETTINGS_CASES, CONTINUATIONS, PADDING, HPACK, PSEUDO,
                                                   OCTETS, FIELDS, EXTENSIONS, REFUSED) for c in part]

# What goes on to the replica: (name, section, fields sent, what it must see, what it must not)
FORWARDED = [
    ("names with an underscore", "RFC 9110, 5.1", [("x_token", "evil"), ("x-token", "good"), ("content_length", "99")], ["good"], ["evil", "_"]),
    ("forged forwarding fields", "RFC 7239", [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-host", "evil"), ("x-forwarded-proto", "gopher"),
     ("x-forwarded-port", "666"), ("x-real-ip", "6.6.6.6"), ("forwarded", "for=6.6.6.6")], ["127.0.0.1"], ["6.6.6.6", "evil", "gopher", '"666"']),
    ("cookies in crumbs", "8.2.3", [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")], ["a=1; b=2; c=3"], []),
    ("fields of one hop", "8.2.2", [("te", "trailers"), ("proxy-authorization", "secret"), ("http2-settings", "AAMA"), ("trailer", "x-t")], [],
     ["secret", "aama", "x-t"]),
    ("unknown fields", "RFC 9110, 5.1", [("x-one", "1"), ("x-one", "2"), ("sec-purpose", "prefetch")], ["x-one", "prefetch"], []),
    ("the wait is ours", "RFC 9110, 7.6", [("x-scale-up-timeout", "5"), ("expect", "100-continue")], [], ["scale-up", "100-continue"]),
]
