"""What replicas answer: each row says the bytes, what the client may see of it, and the section (RFC 9112 unless it names another)."""
from dataclasses import dataclass

from http1_wire import CLOSE, HOST

SURPLUS = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsurplus"
GET = b"GET %s HTTP/1.1\r\n" + HOST + b"\r\n"


@dataclass
class Case:
    name: str
    rfc: str
    parts: tuple  # what the replica sends, each by itself
    then: str = "keep"  # what it does next: keep, close, reset
    request: bytes = GET  # %s is the target
    version: str = "1.1"
    status: int = 200
    interims: tuple = ()
    body: object = None
    whole: bool = True  # False: the answer is cut, visibly
    trailers: tuple = ()
    again: bool = False  # a reused connection that closes without a word: asked once more on another (RFC 9112, 9.3.1)
    reused: object = None  # whether the replica's connection serves another request; None: either
    has: tuple = ()  # at the client, in lower case
    lacks: tuple = ()


def answer(name, rfc, *parts, **more):
    return Case(name, rfc, parts, **more)


def bad(name, rfc, text, **more):
    """A head nobody may pass on: 502. Behind it stands what must not become an answer."""
    return Case(name, rfc, (text + SURPLUS,), status=502, reused=False, lacks=(b"surplus",), **more)


def head(name, rfc, lines, **more):
    return bad(name, rfc, b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n", **more)


def line(name, rfc, text, **more):
    return bad(name, rfc, text + b"\r\nContent-Length: 0\r\n\r\n", **more)


def cut(name, rfc, *parts, **more):
    """An answer that breaks behind its head: the client can tell."""
    return Case(name, rfc, parts, whole=False, reused=False, lacks=(b"surplus",), **more)


def chunks(name, rfc, bytes_, **more):
    return cut(name, rfc, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + bytes_ + SURPLUS, **more)


def surplus(name, rfc, text, request=GET, **more):
    """Bytes behind an answer: never the next one's."""
    return Case(name, rfc, (text + SURPLUS,), request=request, reused=False, lacks=(b"surplus",), **more)


HEAD = b"HEAD %s HTTP/1.1\r\n" + HOST + b"\r\n"
OLD = b"GET %s HTTP/1.0\r\n" + HOST + b"\r\n"
WEBSOCKET = b"GET %s HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LENGTH_5 = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\n\r\n"
OLD_LENGTH = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n"

LINES = [
    line("a status of two digits", "4", b"HTTP/1.1 20 OK"),
    line("a status of four digits", "4", b"HTTP/1.1 2000 OK"),
    line("a status of letters", "4", b"HTTP/1.1 abc OK"),
    line("a status below 100", "15 of 9110", b"HTTP/1.1 099 OK"),
    line("a status with a sign", "4", b"HTTP/1.1 -20 OK"),
    line("no status", "4", b"HTTP/1.1  OK"),
    line("no version", "4", b"200 OK"),
    line("two spaces before the status", "4", b"HTTP/1.1  200 OK"),
    line("a tab before the status", "4", b"HTTP/1.1\t200 OK"),
    line("no space behind the status", "4", b"HTTP/1.1 200OK"),
    line("a tab behind the status", "4", b"HTTP/1.1 200\tOK"),
    line("the version in lower case", "2.3", b"http/1.1 200 OK"),
    line("the version of HTTP/2", "2.3", b"HTTP/2 200 OK"),
    line("HTTP/2.0", "2.3", b"HTTP/2.0 200 OK"),
    line("HTTP/0.9", "2.3", b"HTTP/0.9 200 OK"),
    line("the version of another protocol", "2.3", b"ICY 200 OK"),
    line("a reason with a control", "4", b"HTTP/1.1 200 O\x01K"),
    line("a reason with a NUL", "4", b"HTTP/1.1 200 O\x00K"),
    line("a reason with a bare CR", "2.2", b"HTTP/1.1 200 O\rK"),
    line("white space in front", "2.2", b" HTTP/1.1 200 OK"),
    line("an empty line in front", "2.2", b"\r\nHTTP/1.1 200 OK"),
    line("a request for an answer", "4", b"GET / HTTP/1.1"),
    bad("text without a head", "4", b"hello\r\n\r\n"),
    bad("text of HTTP/0.9", "4", b"<html>\nhello</html>\n"),
    bad("the status line ends with LF", "2.2", b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"),
    bad("all lines end with LF", "2.2", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    bad("the head ends with LF LF", "2.2", b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\n"),
    answer("a reason of its own", "4", b"HTTP/1.1 200 Fine by me\r\nContent-Length: 2\r\n\r\nok", body=b"ok", reused=True,
           has=(b"http/1.1 200 fine by me\r\n",)),
    answer("an empty reason", "4", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", body=b"ok", reused=True),
    answer("no reason", "4", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", body=b"ok"),
    answer("a status nobody knows", "15 of 9110", b"HTTP/1.1 299 Hm\r\nContent-Length: 2\r\n\r\nok", status=299, body=b"ok", reused=True),
    answer("a status of no class", "15 of 9110", b"HTTP/1.1 999 Hm\r\nContent-Length: 2\r\n\r\nok", status=999, body=b"ok"),
    answer("a 500 is the replica's own", "15.6.1 of 9110", b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nok", status=500, body=b"ok",
           reused=True),
]

HEADS = [
    head("both lengths", "6.3", b"Content-Length: 0\r\nTransfer-Encoding: chunked"),
    head("both lengths, coding first", "6.3", b"Transfer-Encoding: chunked\r\nContent-Length: 0"),
    head("length with a minus", "6.3", b"Content-Length: -5"),
    head("length with a plus", "6.3", b"Content-Length: +5"),
    head("length is empty", "6.3", b"Content-Length:"),
    head("length is no number", "6.3", b"Content-Length: five"),
    head("length in hexadecimal", "6.3", b"Content-Length: 0x5"),
    head("length over 63 bits", "6.3", b"Content-Length: 9223372036854775808"),
    head("length of thirty digits", "6.3", b"Content-Length: " + b"1" * 30),
    head("length as a list of two", "6.3", b"Content-Length: 5, 6"),
    head("length twice, differing", "6.3", b"Content-Length: 5\r\nContent-Length: 6"),
    head("length twice, the second bad", "6.3", b"Content-Length: 5\r\nContent-Length: x"),
    head("coding is gzip", "6.1", b"Transfer-Encoding: gzip"),
    head("coding is gzip, chunked", "6.1", b"Transfer-Encoding: gzip, chunked"),
    head("coding is chunked, gzip", "6.1", b"Transfer-Encoding: chunked, gzip"),
    head("coding is chunked twice", "6.1", b"Transfer-Encoding: chunked, chunked"),
    head("coding in two fields", "6.1", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    head("coding is identity", "6.1", b"Transfer-Encoding: identity"),
    head("coding is empty", "6.1", b"Transfer-Encoding:"),
    head("coding with a vertical tab", "5.5 of 9110", b"Transfer-Encoding: \x0bchunked"),
    bad("coding in HTTP/1.0", "6.1", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    head("space before the colon", "5.1", b"X : y\r\nContent-Length: 0"),
    head("space before the colon of a length", "5.1", b"Content-Length : 0"),
    head("no colon", "5", b"X\r\nContent-Length: 0"),
    head("no name", "5.1 of 9110", b": y\r\nContent-Length: 0"),
    head("a name with a space", "5.1 of 9110", b"X Y: z\r\nContent-Length: 0"),
    head("a name with a control", "5.1 of 9110", b"X\x01: z\r\nContent-Length: 0"),
    head("a name with a high byte", "5.1 of 9110", b"X\xe9: z\r\nContent-Length: 0"),
    head("a value with a NUL", "5.5 of 9110", b"X: y\x00z\r\nContent-Length: 0"),
    head("a value with a control", "5.5 of 9110", b"X: y\x02z\r\nContent-Length: 0"),
    head("a value with a bare CR", "2.2", b"X: y\rz\r\nContent-Length: 0"),
    head("a value with a bare LF", "2.2", b"X: y\nZ: 1\r\nContent-Length: 0"),
    head("a folded value", "5.2", b"X: y\r\n z\r\nContent-Length: 0"),
    head("white space in front of the first field", "2.2", b" X: y\r\nContent-Length: 0"),
    head("a head of 100 KiB", "limit", b"X: " + b"y" * 100000),
    head("a head of 300 KiB", "limit", b"X: yyyyyyy\r\n" * 25000 + b"Content-Length: 0"),
    head("two thousand fields", "limit", b"X: y\r\n" * 2000 + b"Content-Length: 0"),
    answer("length twice, the same", "6.3", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", body=b"ok",
           has=(b"content-length: 2\r\n",)),
    answer("coding in capitals", "7", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n", body=b"ok", reused=True),
    answer("fields of one hop", "7.6.1 of 9110", b"HTTP/1.1 200 OK\r\nConnection: X-Hop, x-other\r\nX-Hop: 1\r\nX-Stays: 3\r\nX-Other: 2\r\n"
           b"Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: x\r\nTrailer: Y\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\n"
           b"Content-Length: 2\r\n\r\nok", body=b"ok", has=(b"x-stays: 3\r\n", b"content-length: 2\r\n"),
           lacks=(b"x-hop", b"x-other", b"keep-alive", b"proxy-", b"te: x", b"trailer", b"upgrade", b"connection: x")),
    answer("fields named by several Connections", "7.6.1 of 9110", b"HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: ,x-a\r\n"
           b"Connection: keep-alive, X-B\r\nX-B: 2\r\nContent-Length: 2\r\n\r\nok", body=b"ok", lacks=(b"x-a", b"x-b"), reused=True),
    answer("Content-Length named by Connection is needed", "7.6.1 of 9110", b"HTTP/1.1 200 OK\r\nConnection: content-length\r\n"
           b"Content-Length: 2\r\n\r\nok", body=b"ok", has=(b"content-length: 2\r\n",)),
    answer("Connection: close", "9.6", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", body=b"ok", reused=False),
    answer("high bytes in a value", "5.5 of 9110", b"HTTP/1.1 200 OK\r\nX: \xc3\xa9\r\nContent-Length: 2\r\n\r\nok", body=b"ok",
           has=(b"x: \xc3\xa9\r\n",)),
    answer("an empty value", "5.5 of 9110", b"HTTP/1.1 200 OK\r\nX-Empty:\r\nContent-Length: 2\r\n\r\nok", body=b"ok", has=(b"x-empty: \r\n",)),
]

BODIES = [
    answer("a length", "6.3", OK, body=b"ok", reused=True),
    answer("a length of 0", "6.3", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", body=b"", reused=True, has=(b"content-length: 0\r\n",)),
    answer("a length, byte by byte", "6.3", *[bytes([b]) for b in OK], body=b"ok", reused=True),
    answer("a length in HTTP/1.0", "6.3", OLD_LENGTH + b"\r\nok", body=b"ok", reused=False),
    answer("a length in HTTP/1.0 that stays", "9.3", OLD_LENGTH + b"Connection: keep-alive\r\n\r\nok", body=b"ok", reused=True),
    answer("chunks", "7.1", CHUNKED + b"2\r\nok\r\n0\r\n\r\n", body=b"ok", reused=True, has=(b"transfer-encoding: chunked",)),
    answer("chunks, byte by byte", "7.1", *[bytes([b]) for b in CHUNKED + b"2;x\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"], body=b"ok", reused=True,
           trailers=((b"x-sum", b"1"),)),
    answer("chunks with extensions", "7.1.1", CHUNKED + b'2;a="b c"\r\nok\r\n0;d\r\n\r\n', body=b"ok", lacks=(b"b c",), reused=True),
    answer("chunks with forbidden trailers", "6.5.1 of 9110", CHUNKED + b"2\r\nok\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n"
           b"Connection: y\r\nSet-Cookie: a=b\r\nContent-Type: z\r\nWWW-Authenticate: w\r\nX-Sum: 1\r\n\r\n", body=b"ok", reused=True,
           trailers=((b"x-sum", b"1"),)),
    answer("chunks with trailers that Connection names", "7.6.1 of 9110", b"HTTP/1.1 200 OK\r\nConnection: x-hop\r\n"
           b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Hop: 1\r\nX-Sum: 1\r\n\r\n", body=b"ok", trailers=((b"x-sum", b"1"),)),
    answer("chunks for HTTP/1.0", "7.1", CHUNKED + b"2\r\nok\r\n0\r\n\r\n", request=OLD, body=b"ok", reused=True,
           lacks=(b"transfer-encoding", b"0\r\n\r\n"), has=(b"connection: close",)),
    answer("until close", "6.3", PLAIN + b"hello", then="close", body=b"hello", reused=False, has=(b"transfer-encoding: chunked",)),
    answer("until close, nothing", "6.3", PLAIN, then="close", body=b"", reused=False),
    answer("until close in HTTP/1.0", "6.3", b"HTTP/1.0 200 OK\r\n\r\nhello", then="close", body=b"hello", reused=False),
    answer("until close, whatever Connection says", "6.3", b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nhello", then="close",
           body=b"hello", reused=False),
    answer("until close, what looks like an answer", "6.3", PLAIN + SURPLUS, then="close", body=SURPLUS, reused=False),
    answer("until close for HTTP/1.0", "6.3", PLAIN + b"hello", then="close", request=OLD, body=b"hello", lacks=(b"transfer-encoding",)),
    answer("HEAD with a length", "6.3", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", request=HEAD, body=b"", reused=True,
           has=(b"content-length: 500\r\n",)),
    answer("HEAD with chunks", "6.3", CHUNKED, request=HEAD, body=b"", reused=True),
    answer("HEAD without a word", "6.3", PLAIN, request=HEAD, body=b""),
    answer("204", "6.3", b"HTTP/1.1 204 No\r\n\r\n", status=204, body=b"", reused=True, lacks=(b"content-length", b"transfer-encoding")),
    answer("204 with a length of 0", "8.6 of 9110", b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", status=204, body=b"", reused=True,
           lacks=(b"content-length",)),
    answer("204 with a length", "8.6 of 9110", b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", status=204, body=b"",
           lacks=(b"content-length",)),
    answer("204 with chunks announced", "6.1", b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", status=204, body=b"",
           lacks=(b"transfer-encoding",)),
    answer("304 with a length", "8.6 of 9110", b"HTTP/1.1 304 Same\r\nContent-Length: 500\r\nETag: \"x\"\r\n\r\n", status=304, body=b"",
           has=(b"content-length: 500\r\n", b"etag: \"x\"\r\n"), reused=True),
    answer("a body for a GET answered before it was asked in full", "9.3.2", OK,
           request=b"POST %s HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nok", body=b"ok", reused=True),
]

CUT = [
    cut("a length cut by a close", "8", LENGTH_5 + b"hel", then="close", body=b"hel"),
    cut("a length cut by a reset", "8", LENGTH_5 + b"hel", then="reset"),
    cut("a length cut before its first byte", "8", LENGTH_5, then="close", body=b""),
    cut("a length cut, for HTTP/1.0", "8", LENGTH_5 + b"hel", then="close", request=OLD),
    cut("chunks cut by a close", "8", CHUNKED + b"2\r\nok\r\n", then="close", body=b"ok"),
    cut("chunks cut by a reset", "8", CHUNKED + b"2\r\nok\r\n", then="reset"),
    cut("chunks cut within a chunk", "8", CHUNKED + b"5\r\nhel", then="close", body=b"hel"),
    cut("chunks cut within a size", "8", CHUNKED + b"2\r\nok\r\n1", then="close", body=b"ok"),
    cut("chunks cut behind the last one", "8", CHUNKED + b"2\r\nok\r\n0\r\n", then="close", body=b"ok"),
    cut("chunks cut within their trailers", "8", CHUNKED + b"2\r\nok\r\n0\r\nX: y\r\n", then="close", body=b"ok"),
    cut("chunks cut before the first", "8", CHUNKED, then="close", body=b""),
    cut("chunks cut, for HTTP/1.0", "8", CHUNKED + b"2\r\nok\r\n", then="close", request=OLD),
    cut("until close, cut by a reset", "8", PLAIN + b"hello", then="reset"),
    cut("until close, cut by a reset, for HTTP/1.0", "8", PLAIN + b"hello", then="reset", request=OLD),
    chunks("chunk size is no number", "7.1", b"2\r\nok\r\nzz\r\n", body=b"ok"),
    chunks("chunk size is no number at once", "7.1", b"zz\r\nok\r\n", body=b""),
    chunks("chunk size is empty", "7.1", b"2\r\nok\r\n\r\n", body=b"ok"),
    chunks("chunk size with 0x", "7.1", b"2\r\nok\r\n0x1\r\na\r\n", body=b"ok"),
    chunks("chunk size with a minus", "7.1", b"2\r\nok\r\n-1\r\na\r\n", body=b"ok"),
    chunks("chunk size with a blank inside", "7.1", b"2\r\nok\r\n0 1\r\na\r\n", body=b"ok"),
    chunks("chunk size over 63 bits", "7.1", b"2\r\nok\r\n8000000000000000\r\n", body=b"ok"),
    chunks("chunk size line ends with LF", "2.2", b"2\r\nok\r\n1\na\r\n", body=b"ok"),
    chunks("chunk extension too long", "7.1.1", b"2\r\nok\r\n1;" + b"x" * 300 + b"\r\na\r\n", body=b"ok"),
    chunks("chunk extension with a bare LF", "7.1.1", b"2\r\nok\r\n1;x\ny\r\na\r\n", body=b"ok"),
    chunks("chunk data too long", "7.1", b"2\r\nokk\r\n", body=b"ok"),
    chunks("chunk data without CRLF", "7.1", b"2\r\nok1\r\na\r\n", body=b"ok"),
    chunks("trailer without a colon", "7.1.2", b"2\r\nok\r\n0\r\nnothing\r\n\r\n", body=b"ok"),
    chunks("trailer folded", "5.2", b"2\r\nok\r\n0\r\nX: y\r\n z\r\n\r\n", body=b"ok"),
    chunks("trailer ends with LF", "2.2", b"2\r\nok\r\n0\r\nX: y\n\r\n", body=b"ok"),
    chunks("trailers over their bytes", "7.1.2", b"2\r\nok\r\n0\r\nX: " + b"y" * 9000 + b"\r\n\r\n", body=b"ok"),
    chunks("body ends with LF", "7.1", b"2\r\nok\r\n0\r\n\n", body=b"ok"),
    answer("nothing but a close", "9.5", then="close", status=502, reused=False, again=True),
    answer("nothing but a reset", "9.5", then="reset", status=502, reused=False, again=True),
    answer("half a status line", "8", b"HTTP/1.1 2", then="close", status=502, reused=False),
    answer("half a head", "8", b"HTTP/1.1 200 OK\r\nContent-Le", then="close", status=502, reused=False),
    answer("half a head and a reset", "8", b"HTTP/1.1 200 OK\r\nContent-Le", then="reset", status=502, reused=False),
]

BEHIND = [
    surplus("behind a length", "6.3", OK, body=b"ok"),
    surplus("behind a length of 0", "6.3", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", body=b""),
    surplus("behind chunks", "7.1", CHUNKED + b"2\r\nok\r\n0\r\n\r\n", body=b"ok"),
    surplus("behind trailers", "7.1", CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", body=b"ok", trailers=((b"x-sum", b"1"),)),
    surplus("behind a HEAD", "6.3", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", request=HEAD, body=b""),
    surplus("behind a HEAD with chunks", "6.3", CHUNKED, request=HEAD, body=b""),
    surplus("behind a 204", "6.3", b"HTTP/1.1 204 No\r\n\r\n", status=204, body=b""),
    surplus("behind a 204 with a length", "6.3", b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", status=204, body=b""),
    surplus("behind a 304", "6.3", b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\nhello", status=304, body=b""),
    surplus("behind a HEAD, its body", "6.3", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", request=HEAD, body=b""),
    answer("one byte behind a length", "6.3", OK + b"\n", body=b"ok", reused=False),
    answer("an empty line behind a length", "6.3", OK + b"\r\n", body=b"ok", reused=False),
    answer("half an answer behind a 204", "6.3", b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\n", status=204, body=b"", reused=False),
]

INTERIM = [
    answer("a 103 goes on", "15.2 of 9110", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, interims=(103,), body=b"ok",
           reused=True, has=(b"link: </x>\r\n",)),
    answer("a 100 goes on", "15.2 of 9110", b"HTTP/1.1 100 Continue\r\n\r\n", OK, interims=(100,), body=b"ok", reused=True),
    answer("a 102 goes on", "15.2 of 9110", b"HTTP/1.1 102 Processing\r\n\r\n" + OK, interims=(102,), body=b"ok", reused=True),
    answer("several go on", "15.2 of 9110", (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3) + OK, interims=(103, 103, 103), body=b"ok", reused=True),
    answer("a flood of them is thinned", "limit", (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100) + OK, interims=(103,) * 32, body=b"ok",
           reused=True),
    answer("none for HTTP/1.0", "15.2 of 9110", b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, request=OLD, body=b"ok", lacks=(b" 103 ",)),
    answer("without fields of one hop", "7.6.1 of 9110", b"HTTP/1.1 103 Early Hints\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n"
           b"Upgrade: x\r\nLink: a\r\n\r\n" + OK, interims=(103,), body=b"ok", lacks=(b"x-hop", b"keep-alive", b"upgrade"), has=(b"link: a",)),
    answer("without a length", "8.6 of 9110", b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + OK, interims=(103,), body=b"ok",
           lacks=(b"content-length: 5",)),
    answer("without a coding", "6.1", b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n" + OK, interims=(103,), body=b"ok",
           lacks=(b"transfer-encoding",)),
    bad("a bad one", "5.1", b"HTTP/1.1 103 Early Hints\r\nX : y\r\n\r\n" + OK),
    answer("and then a close", "8", b"HTTP/1.1 103 Early Hints\r\n\r\n", then="close", interims=(103,), status=502, reused=False),
    bad("101 that nobody asked for", "7.8 of 9110", b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    bad("101 to h2c", "7.8 of 9110", b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
    bad("101 without a word", "7.8 of 9110", b"HTTP/1.1 101 Switching\r\n\r\n"),
    bad("101 to something else than was asked for", "7.8 of 9110", b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        request=WEBSOCKET),
    bad("101 to nothing when asked", "7.8 of 9110", b"HTTP/1.1 101 Switching\r\n\r\n", request=WEBSOCKET),
    answer("a tunnel that is refused", "7.8 of 9110", OK, request=WEBSOCKET, body=b"ok", has=(b"connection: close",), lacks=(b"upgrade",),
           reused=False),
    answer("a tunnel that is refused by 426", "15.5.22 of 9110", b"HTTP/1.1 426 Upgrade\r\nContent-Length: 2\r\n\r\nok", request=WEBSOCKET,
           status=426, body=b"ok", reused=False),
]

CASES = LINES + HEADS + BODIES + CUT + BEHIND + INTERIM
