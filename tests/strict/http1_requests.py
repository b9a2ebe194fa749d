"""What clients send: each row says the bytes, what may come of it, and the section that says so (RFC 9112 unless it names another)."""
import socket
from dataclasses import dataclass

from http1_wire import CLOSE, HOST

SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"
LAST = b"GET /last HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"


@dataclass
class Case:
    name: str
    rfc: str
    data: object  # bytes, or a list of parts
    statuses: tuple = (400,)  # of the final answers; several tuples in a list: any of them
    seen: tuple = ()  # "METHOD target" of what the replica got, complete
    partial: bool = False  # one that was cut may be there too
    body: object = None  # of the first request at the replica
    has: tuple = ()  # at the replica, in lower case
    lacks: tuple = ()
    gets: tuple = ()  # at the client, in lower case
    never: tuple = ()
    methods: tuple = ()  # where they matter to read the answers
    code: object = None  # of the last answer's error


def leave(link):
    """Without a word of TLS."""
    socket.socket.shutdown(link, socket.SHUT_WR)


def bad(name, rfc, data, status=400, **more):
    """Refused, closed, and nothing of it goes on; behind it stands what must not be taken for a request."""
    return Case(name, rfc, data + SMUGGLED, [(s,) for s in ((status,) if isinstance(status, int) else status)], **more)


def head(name, rfc, lines, **more):
    """A bad field line."""
    return bad(name, rfc, b"GET /x HTTP/1.1\r\n" + HOST + lines + b"\r\n\r\n", **more)


def line(name, rfc, text, status=400, **more):
    """A bad request line."""
    return bad(name, rfc, text + b"\r\n" + HOST + b"\r\n", status, **more)


def host(name, text, rfc="3.2"):
    return bad(name, rfc, b"GET /x HTTP/1.1\r\n" + text + b"\r\n\r\n")


def length(name, value, rfc="6.3"):
    return bad(name, rfc, b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: " + value + b"\r\n\r\n12345")


def coding(name, lines, rfc="6.1", version=b"1.1"):
    return bad(name, rfc, b"POST /x HTTP/" + version + b"\r\n" + HOST + lines + b"\r\n\r\n0\r\n\r\n", (400, 501))


def chunks(name, rfc, body, status=400):
    """A bad chunked body: what has gone on is never a complete request."""
    return bad(name, rfc, b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + body, status, partial=True)


def good(name, rfc, data, seen=("GET /x",), statuses=None, **more):
    return Case(name, rfc, data, statuses or (200,) * len(seen), seen, **more)


def fields(name, rfc, lines, **more):
    """A good request with these fields."""
    return good(name, rfc, b"GET /x HTTP/1.1\r\n" + HOST + lines + b"\r\n" + more.pop("close", CLOSE) + b"\r\n", **more)


def chunked(name, rfc, body, content, **more):
    return good(name, rfc, b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + body + LAST,
                seen=("POST /x", "GET /last"), body=content, **more)


def post(name, rfc, lines, content, body=None, **more):
    return good(name, rfc, b"POST /x HTTP/1.1\r\n" + HOST + lines + b"\r\n\r\n" + content + LAST, seen=("POST /x", "GET /last"),
                body=content if body is None else body, **more)


FRAMING = [
    bad("both lengths, length first", "6.1", b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n"),
    bad("both lengths, coding first", "6.1", b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
        b"0\r\n\r\n"),
    bad("both lengths, length 0", "6.1", b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n"),
    bad("both lengths in a GET", "6.1", b"GET /x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n"),
    length("length is no number", b"abc"),
    length("length is empty", b""),
    length("length with a plus", b"+5"),
    length("length with a minus", b"-5"),
    length("length in hexadecimal", b"0x5"),
    length("length with a fraction", b"5.0"),
    length("length with an exponent", b"5e0"),
    length("length with white space inside", b"1 2"),
    length("length with a tab inside", b"1\t2"),
    length("length with an underscore", b"1_0"),
    length("length in other digits", "\u0665".encode()),
    length("length quoted", b'"5"'),
    length("length over 63 bits", b"9223372036854775808"),
    length("length over 64 bits", b"18446744073709551621"),
    length("length of thirty digits", b"1" * 30),
    length("length as a list", b"5, 5"),
    length("length as a list of two", b"5, 6"),
    length("length as a list with nothing in it", b"5,"),
    length("length with a semicolon", b"5;5"),
    length("length twice, the same", b"5\r\nContent-Length: 5"),
    length("length twice, differing", b"5\r\nContent-Length: 6"),
    length("length twice, in other case", b"5\r\ncontent-LENGTH: 6"),
    length("length twice, the second empty", b"5\r\nContent-Length:"),
    length("length with a vertical tab", b"\x0b5", "5.5 of 9110"),
    length("length with a form feed behind", b"5\x0c", "5.5 of 9110"),
    length("length with a NUL", b"5\x00", "5.5 of 9110"),
    coding("coding is gzip", b"Transfer-Encoding: gzip"),
    coding("coding is identity", b"Transfer-Encoding: identity"),
    coding("coding is gzip, chunked", b"Transfer-Encoding: gzip, chunked"),
    coding("coding is chunked, gzip", b"Transfer-Encoding: chunked, gzip"),
    coding("coding is chunked, identity", b"Transfer-Encoding: chunked, identity"),
    coding("coding is chunked twice", b"Transfer-Encoding: chunked, chunked"),
    coding("coding in two fields", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    coding("coding in two fields, the second unknown", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
    coding("coding in two fields, the first unknown", b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked"),
    coding("coding is empty", b"Transfer-Encoding:"),
    coding("coding with a comma before", b"Transfer-Encoding: ,chunked"),
    coding("coding with a comma behind", b"Transfer-Encoding: chunked,"),
    coding("coding with a parameter", b"Transfer-Encoding: chunked;q=1"),
    coding("coding quoted", b'Transfer-Encoding: "chunked"'),
    coding("coding misspelt", b"Transfer-Encoding: chunke"),
    coding("coding with a prefix", b"Transfer-Encoding: xchunked"),
    coding("coding with a vertical tab", b"Transfer-Encoding:\x0bchunked"),
    coding("coding with a NUL", b"Transfer-Encoding: chunked\x00"),
    coding("coding with a bare CR", b"Transfer-Encoding: chunked\r\r"),
    coding("coding on a folded line", b"Transfer-Encoding:\r\n chunked", "5.2"),
    coding("coding with space before its colon", b"Transfer-Encoding : chunked", "5.1"),
    coding("coding in HTTP/1.0", b"Transfer-Encoding: chunked", version=b"1.0"),
    coding("coding in HTTP/1.0 beside a length", b"Transfer-Encoding: chunked\r\nContent-Length: 5", version=b"1.0"),
    fields("coding with an underscore is no coding", "5.1", b"Transfer_Encoding: chunked", lacks=(b"chunked",)),
    fields("length with an underscore is no length", "5.1", b"Content_Length: 5", lacks=(b"content_length", b"content-length")),
    chunked("coding in capitals", "7", b"2\r\nok\r\n0\r\n\r\n", b"ok"),
    post("a length", "6.2", b"Content-Length: 5", b"hello", has=(b"content-length: 5",)),
    post("a length with zeros in front", "6.2", b"Content-Length: 0005", b"hello", has=(b"content-length: 5",)),
    post("a length with white space around", "5.1", b"Content-Length: \t5\t ", b"hello"),
    post("a length of 0", "6.2", b"Content-Length: 0", b"", has=(b"content-length: 0",)),
    post("no length is no body", "6.3", b"X: y", b""),
    good("a GET with a body", "9.3.1 of 9110", b"GET /x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello" + LAST,
         seen=("GET /x", "GET /last"), body=b"hello"),
    good("a body that looks like a request", "6.3", b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
         + SMUGGLED + LAST, seen=("POST /x", "GET /last"), body=SMUGGLED),
    good("a chunked body that looks like a request", "7.1", b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: Chunked\r\n\r\n"
         b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n" + LAST, seen=("POST /x", "GET /last"), body=SMUGGLED),
]

CHUNKS = [
    chunked("one chunk", "7.1", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    chunked("many chunks", "7.1", b"1\r\na\r\n" * 20 + b"0\r\n\r\n", b"a" * 20),
    chunked("no chunk but the last", "7.1", b"0\r\n\r\n", b""),
    chunked("last chunk of many zeros", "7.1", b"2\r\nok\r\n00000\r\n\r\n", b"ok"),
    chunked("chunk size in capitals", "7.1", b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    chunked("chunk size with zeros in front", "7.1", b"0002\r\nok\r\n0\r\n\r\n", b"ok"),
    chunked("chunk extensions go no further", "7.1.1", b'2;a=b;c="d e"\r\nok\r\n0;x\r\n\r\n', b"ok", lacks=(b"a=b", b"d e")),
    chunked("chunk extension behind white space", "7.1.1", b"2 ;a = b\r\nok\r\n0\r\n\r\n", b"ok"),
    chunked("trailers go on", "7.1.2", b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", b"okX-Sum: 1\r\n"),
    chunked("trailers with an underscore go no further", "issue", b"2\r\nok\r\n0\r\nX_Forwarded_For: 6.6.6.6\r\nX-Sum: 1\r\n\r\n", b"okX-Sum: 1\r\n"),
    chunked("trailers of framing go no further", "6.5.1 of 9110", b"2\r\nok\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n"
            b"Trailer: y\r\n\r\n", b"ok"),
    chunked("trailers of routing go no further", "6.5.1 of 9110", b"2\r\nok\r\n0\r\nHost: evil\r\nConnection: x\r\nUpgrade: h2c\r\n"
            b"Max-Forwards: 1\r\nExpect: 100-continue\r\n\r\n", b"ok"),
    chunked("trailers of authentication go no further", "6.5.1 of 9110", b"2\r\nok\r\n0\r\nAuthorization: x\r\nCookie: a\r\n"
            b"Proxy-Authorization: y\r\nSet-Cookie: b\r\n\r\n", b"ok"),
    chunked("trailers about the content go no further", "6.5.1 of 9110", b"2\r\nok\r\n0\r\nContent-Type: x\r\nContent-Encoding: y\r\n"
            b"Content-Range: z\r\n\r\n", b"ok"),
    chunked("trailers of forwarding go no further", "issue", b"2\r\nok\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
            b"X-Real-Ip: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-User: root\r\n\r\n", b"ok"),
    good("trailers named by Connection go no further", "7.6.1 of 9110", b"POST /x HTTP/1.1\r\n" + HOST + b"Connection: X-Hop\r\n"
         b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Hop: 1\r\nX-Sum: 2\r\n\r\n" + LAST, seen=("POST /x", "GET /last"),
         body=b"okX-Sum: 2\r\n"),
    chunked("trailers over their number are dropped", "7.1.2", b"2\r\nok\r\n0\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(40))
            + b"\r\n", b"ok" + b"".join(b"X-%d: y\r\n" % i for i in range(32))),
    chunks("trailers over their bytes", "7.1.2", b"2\r\nok\r\n0\r\n" + b"X: " + b"y" * 9000 + b"\r\n\r\n"),
    chunks("trailers over their bytes, many", "7.1.2", b"2\r\nok\r\n0\r\n" + b"X: yyyyyyyy\r\n" * 1000 + b"\r\n"),
    chunks("chunk size is no number", "7.1", b"zz\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size is empty", "7.1", b"\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size with 0x", "7.1", b"0x2\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size with a plus", "7.1", b"+2\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size with a minus", "7.1", b"-2\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size with an underscore", "7.1", b"0_2\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size with a blank in front", "7.1", b" 2\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size with a blank inside", "7.1", b"0 2\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size with a blank behind", "7.1", b"2 \r\nok\r\n0\r\n\r\n"),
    chunks("chunk size with a tab behind", "7.1", b"2\t\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size with a comma", "7.1", b"2,2\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size with a NUL", "7.1", b"2\x00\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size over 63 bits", "7.1", b"8000000000000000\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size over 64 bits", "7.1", b"10000000000000002\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size of many digits", "7.1", b"f" * 40 + b"\r\nok\r\n0\r\n\r\n"),
    chunks("chunk size line ends with LF", "2.2", b"2\nok\r\n0\r\n\r\n"),
    chunks("chunk size line ends with CR", "2.2", b"2\rok\r\n0\r\n\r\n"),
    chunks("chunk extension too long", "7.1.1", b"2;" + b"x" * 300 + b"\r\nok\r\n0\r\n\r\n"),
    chunks("chunk extension without an end", "7.1.1", b"2;" + b"x" * 70000),
    chunks("chunk extension with a bare LF", "7.1.1", b"2;a\nb\r\nok\r\n0\r\n\r\n"),
    chunks("chunk extension with a bare CR", "7.1.1", b"2;a\rb\r\nok\r\n0\r\n\r\n"),
    chunks("chunk extension with a NUL", "7.1.1", b"2;a\x00b\r\nok\r\n0\r\n\r\n"),
    chunks("chunk data too long", "7.1", b"2\r\nokk\r\n0\r\n\r\n"),
    chunks("chunk data too short", "7.1", b"4\r\nok\r\n0\r\n\r\n"),
    chunks("chunk data without CRLF", "7.1", b"2\r\nok0\r\n\r\n"),
    chunks("chunk data with LF", "7.1", b"2\r\nok\n0\r\n\r\n"),
    chunks("chunk data with CR", "7.1", b"2\r\nok\r0\r\n\r\n"),
    chunks("trailer without a colon", "7.1.2", b"2\r\nok\r\n0\r\nnothing\r\n\r\n"),
    chunks("trailer with space before its colon", "5.1", b"2\r\nok\r\n0\r\nX : y\r\n\r\n"),
    chunks("trailer without a name", "5.1", b"2\r\nok\r\n0\r\n: y\r\n\r\n"),
    chunks("trailer folded", "5.2", b"2\r\nok\r\n0\r\nX: y\r\n z\r\n\r\n"),
    chunks("trailer ends with LF", "2.2", b"2\r\nok\r\n0\r\nX: y\n\r\n"),
    chunks("trailer with a bare CR", "2.2", b"2\r\nok\r\n0\r\nX: y\rz\r\n\r\n"),
    chunks("trailer with a NUL", "5.5 of 9110", b"2\r\nok\r\n0\r\nX: y\x00\r\n\r\n"),
    chunks("last chunk ends with LF", "7.1", b"2\r\nok\r\n0\n\r\n"),
    chunks("body ends with LF", "7.1", b"2\r\nok\r\n0\r\n\n"),
]

HEADS = [
    head("space before the colon", "5.1", b"X : y"),
    head("tab before the colon", "5.1", b"X\t: y"),
    head("space before the colon of a length", "5.1", b"Content-Length : 5"),
    head("no colon", "5", b"X"),
    head("no name", "5.1 of 9110", b": y"),
    head("no name and no value", "5.1 of 9110", b":"),
    head("a name of white space", "5.1 of 9110", b" : y"),
    head("a name with a space inside", "5.1 of 9110", b"X Y: z"),
    head("a name with brackets", "5.1 of 9110", b"X(Y): z"),
    head("a name with a slash", "5.1 of 9110", b"X/Y: z"),
    head("a name with a comma", "5.1 of 9110", b"X,Y: z"),
    head("a name with a quote", "5.1 of 9110", b'X"Y: z'),
    head("a name with @", "5.1 of 9110", b"X@Y: z"),
    head("a name with a control", "5.1 of 9110", b"X\x01Y: z"),
    head("a name with a NUL", "5.1 of 9110", b"X\x00: z"),
    head("a name with DEL", "5.1 of 9110", b"X\x7f: z"),
    head("a name with a high byte", "5.1 of 9110", b"X\xe9: z"),
    head("a known name with a high byte", "5.1 of 9110", b"\xeftransfer-Encoding: chunked"),
    head("a pseudo field", "5.1 of 9110", b":authority: evil"),
    head("a value with a NUL", "5.5 of 9110", b"X: a\x00b"),
    head("a value with a bell", "5.5 of 9110", b"X: a\x07b"),
    head("a value with a vertical tab", "5.5 of 9110", b"X: a\x0bb"),
    head("a value with an escape", "5.5 of 9110", b"X: \x1b[31m"),
    head("a value with DEL", "5.5 of 9110", b"X: a\x7fb"),
    head("a value with a bare CR", "2.2", b"X: a\rb"),
    head("a value with a bare CR at its end", "2.2", b"X: a\r"),
    head("a value with a bare LF", "2.2", b"X: a\nY: b"),
    head("a value with CR CR LF", "2.2", b"X: a\r\r\nY: b"),
    head("a field in front of a bare CR", "2.2", b"X: a\rTransfer-Encoding: chunked"),
    head("a folded value", "5.2", b"X: a\r\n b"),
    head("a value folded by a tab", "5.2", b"X: a\r\n\tb"),
    head("a folded length", "5.2", b"Content-Length: 5\r\n 0"),
    bad("white space in front of the first field", "2.2", b"GET /x HTTP/1.1\r\n " + HOST + b"\r\n"),
    bad("a tab in front of the first field", "2.2", b"GET /x HTTP/1.1\r\n\t" + HOST + b"\r\n"),
    bad("a line of white space in front of the first field", "2.2", b"GET /x HTTP/1.1\r\n \r\n" + HOST + b"\r\n"),
    bad("all lines end with LF", "2.2", b"GET /x HTTP/1.1\nHost: ep.localhost\n\n"),
    bad("the request line ends with LF", "2.2", b"GET /x HTTP/1.1\n" + HOST + b"\r\n"),
    bad("the request line ends with CR", "2.2", b"GET /x HTTP/1.1\r" + HOST + b"\r\n"),
    bad("the head ends with LF LF", "2.2", b"GET /x HTTP/1.1\r\nHost: ep.localhost\n\n"),
    bad("the head ends with CR LF LF", "2.2", b"GET /x HTTP/1.1\r\n" + HOST + b"\n"),
    bad("the head ends with LF CR LF", "2.2", b"GET /x HTTP/1.1\r\nHost: ep.localhost\n\r\n"),
    bad("a bare LF in front", "2.2", b"\nGET /x HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("a bare CR in front", "2.2", b"\rGET /x HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("white space in front", "2.2", b" GET /x HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("a NUL in front", "2.2", b"\x00GET /x HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("what a TLS client says", "2.2", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"),
    good("an empty line in front", "2.2", b"\r\nGET /x HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"),
    good("an empty line between two requests", "2.2", b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n\r\n" + LAST, seen=("GET /x", "GET /last")),
    fields("no white space behind the colon", "5.1", b"X:y", has=(b"x: y\r\n",)),
    fields("much white space around a value", "5.1", b"X: \t y \t ", has=(b"x: y\r\n",)),
    fields("an empty value", "5.5 of 9110", b"X-Empty:", has=(b"x-empty: \r\n",)),
    fields("a tab inside a value", "5.5 of 9110", b"X: a\tb", has=(b"x: a\tb\r\n",)),
    fields("high bytes in a value", "5.5 of 9110", b"X: \xc3\xa9", has=(b"x: \xc3\xa9\r\n",)),
    fields("every byte a name may have", "5.1 of 9110", b"!#$%&'*+-.^`|~09azAZ: 1", has=(b"!#$%&'*+-.^`|~09azaz: 1\r\n",)),
    fields("a field more than once keeps its order", "5.3 of 9110", b"X: 1\r\nY: 2\r\nX: 3", has=(b"x: 1\r\ny: 2\r\nx: 3\r\n",)),
    fields("99 fields", "5.4 of 9110", b"\r\n".join(b"X-%d: y" % i for i in range(97)), has=(b"x-96: y",)),
    head("101 fields", "5 of 6585", b"\r\n".join(b"X-%d: y" % i for i in range(100)), status=431, code="header_fields_too_large"),
    head("a thousand fields", "5 of 6585", b"\r\n".join(b"X: y" for i in range(1000)), status=431),
    fields("a head of nearly 32 KiB", "5.4 of 9110", b"X: " + b"y" * 32000, has=(b"x: " + b"y" * 32000,)),
    head("a head over 32 KiB", "5 of 6585", b"X: " + b"y" * 33000, status=431, code="header_fields_too_large"),
    bad("a head over 32 KiB without an end", "5 of 6585", b"GET /x HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 40000, 431),
    bad("a head of 200 KiB", "5 of 6585", b"GET /x HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 33000 + b"\r\n", 431),
]

LINES = [
    line("two spaces behind the method", "3", b"GET  /x HTTP/1.1"),
    line("two spaces before the version", "3", b"GET /x  HTTP/1.1"),
    line("a tab instead of a space", "3", b"GET\t/x HTTP/1.1"),
    line("a space behind the version", "3", b"GET /x HTTP/1.1 "),
    line("a fourth word", "3", b"GET /x /y HTTP/1.1"),
    line("no method", "3.1", b" /x HTTP/1.1"),
    line("no target", "3.2", b"GET HTTP/1.1"),
    line("an empty target", "3.2", b"GET  HTTP/1.1"),
    line("no version", "3", b"GET /x"),
    line("no version but a space", "3", b"GET /x "),
    line("a method with a colon", "9.1 of 9110", b"GE:T /x HTTP/1.1"),
    line("a method with brackets", "9.1 of 9110", b"G(E)T /x HTTP/1.1"),
    line("a method with a quote", "9.1 of 9110", b'"GET" /x HTTP/1.1'),
    line("a method with a NUL", "9.1 of 9110", b"GE\x00T /x HTTP/1.1"),
    line("a method with a control", "9.1 of 9110", b"GE\x08T /x HTTP/1.1"),
    line("a method with a high byte", "9.1 of 9110", b"GE\xffT /x HTTP/1.1"),
    line("a method with a CR", "9.1 of 9110", b"GE\rT /x HTTP/1.1"),
    line("a target without a slash", "3.2", b"GET x HTTP/1.1"),
    line("a target with a control", "3.2", b"GET /\x01 HTTP/1.1"),
    line("a target with a NUL", "3.2", b"GET /\x00 HTTP/1.1"),
    line("a target with a tab", "3.2", b"GET /a\tb HTTP/1.1"),
    line("a target with a bare CR", "3.2", b"GET /a\rb HTTP/1.1"),
    line("a target with DEL", "3.2", b"GET /\x7f HTTP/1.1"),
    line("a target with a high byte", "3.2", b"GET /\xc3\xa9 HTTP/1.1"),
    line("a target with a fragment", "3.2", b"GET /x#y HTTP/1.1"),
    line("a target of a query only", "3.2", b"GET ?x HTTP/1.1"),
    line("an absolute target of another scheme", "3.2.2", b"GET ftp://ep.localhost/ HTTP/1.1"),
    line("an absolute target without an authority", "3.2.2", b"GET http:///x HTTP/1.1"),
    line("an absolute target with a user", "4.2.4 of 9110", b"GET http://u:p@ep.localhost/ HTTP/1.1"),
    line("an absolute target with a bad port", "3.2.2", b"GET http://ep.localhost:x/ HTTP/1.1"),
    line("an absolute target of another host", "issue", b"GET http://other.localhost/x HTTP/1.1"),
    line("an absolute target of another port", "issue", b"GET http://ep.localhost:81/x HTTP/1.1"),
    line("CONNECT", "9.3.6 of 9110", b"CONNECT ep.localhost:443 HTTP/1.1", (400, 405, 501)),
    line("CONNECT with a path", "9.3.6 of 9110", b"CONNECT /x HTTP/1.1", (400, 405, 501)),
    line("an authority as target of a GET", "3.2.3", b"GET ep.localhost:80 HTTP/1.1"),
    line("an asterisk as target of a GET", "3.2.4", b"GET * HTTP/1.1"),
    line("an asterisk with more behind", "3.2.4", b"OPTIONS *x HTTP/1.1"),
    line("HTTP/2.0", "2.3", b"GET /x HTTP/2.0", 505, code="http_version_not_supported"),
    line("HTTP/3.0", "2.3", b"GET /x HTTP/3.0", 505),
    line("HTTP/0.9", "2.3", b"GET /x HTTP/0.9", (400, 505)),
    line("the version in lower case", "2.3", b"GET /x http/1.1"),
    line("the version without a minor", "2.3", b"GET /x HTTP/1"),
    line("the version with two digits", "2.3", b"GET /x HTTP/1.10"),
    line("the version with a zero", "2.3", b"GET /x HTTP/01.1"),
    line("the version with a comma", "2.3", b"GET /x HTTP/1,1"),
    line("the version with a sign", "2.3", b"GET /x HTTP/1.-1"),
    line("the version of another protocol", "2.3", b"GET /x RTSP/1.0"),
    line("the version with white space", "2.3", b"GET /x HTTP /1.1"),
    line("an answer's line", "3", b"HTTP/1.1 200 OK"),
    bad("a request of HTTP/0.9", "2.3", b"GET /x\r\n\r\n", (400, 505)),
    Case("a request line over 16 KiB", "3", b"GET /" + b"x" * 17000 + b" HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED, (414,),
         code="uri_too_long"),
    Case("a request line over 16 KiB without an end", "3", b"GET /" + b"x" * 20000, (414,), code="uri_too_long"),
    Case("a method over 16 KiB", "3", b"G" * 20000, [(414,), (400,), (501,)]),
    good("a request line of nearly 16 KiB", "3", b"GET /" + b"x" * 16000 + b" HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
         seen=("GET /" + "x" * 16000,)),
    good("a method nobody knows", "9.1 of 9110", b"BREW /x HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", seen=("BREW /x",)),
    good("a method in lower case is another method", "9.1 of 9110", b"get /x HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", seen=("get /x",)),
    good("a query", "3.2.1", b"GET /x?a=b&c=%20/?:@ HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", seen=("GET /x?a=b&c=%20/?:@",)),
    good("a path is not changed", "3.2.1", b"GET //a/../b/./%2e%2E//c HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
         seen=("GET //a/../b/./%2e%2E//c",)),
    good("an absolute target", "3.2.2", b"GET http://ep.localhost/x?y HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", seen=("GET /x?y",),
         has=(b"host: ep.localhost\r\n",)),
    good("an absolute target in capitals", "3.2.2", b"GET HTTPS://EP.localhost/x HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"),
    good("an absolute target without a path", "3.2.2", b"GET http://ep.localhost HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", seen=("GET /",)),
    good("OPTIONS of the whole server", "3.2.4", b"OPTIONS * HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", seen=("OPTIONS *",)),
    good("OPTIONS of the whole server by its URL", "3.2.4", b"OPTIONS http://ep.localhost HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
         seen=("OPTIONS *",)),
    good("HTTP/1.0", "2.3", b"GET /x HTTP/1.0\r\n" + HOST + b"\r\n", gets=(b"connection: close",)),
    good("HTTP/1.0 that stays", "9.3", b"GET /x HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\n"
         b"GET /y HTTP/1.0\r\n" + HOST + b"\r\n", seen=("GET /x", "GET /y"), gets=(b"connection: keep-alive",)),
    good("HTTP/1.2 counts as 1.1", "2.3", b"GET /x HTTP/1.2\r\n" + HOST + CLOSE + b"\r\n", has=(b"get /x http/1.1\r\n",),
         gets=(b"http/1.1 200 ",)),
]

HOSTS = [
    host("no Host", b"X: y"),
    host("an empty Host", b"Host:"),
    host("Host twice", b"Host: ep.localhost\r\nHost: ep.localhost"),
    host("Host twice, differing", b"Host: ep.localhost\r\nHost: other.localhost"),
    host("Host twice, in other case", b"Host: ep.localhost\r\nhOST: other.localhost"),
    host("Host as a list", b"Host: ep.localhost, other.localhost"),
    host("Host with a space", b"Host: ep .localhost"),
    host("Host with a path", b"Host: ep.localhost/x"),
    host("Host with a query", b"Host: ep.localhost?x"),
    host("Host with a user", b"Host: u@ep.localhost"),
    host("Host with a scheme", b"Host: http://ep.localhost"),
    host("Host with a backslash", b"Host: ep.localhost\\x"),
    host("Host with a word for port", b"Host: ep.localhost:http"),
    host("Host with a port out of range", b"Host: ep.localhost:65536"),
    host("Host with a signed port", b"Host: ep.localhost:-1"),
    host("Host with two ports", b"Host: ep.localhost:80:80"),
    host("Host of a port only", b"Host: :80"),
    host("Host with a NUL", b"Host: ep.localhost\x00"),
    host("Host with a high byte", "Host: \u00e9p.localhost".encode()),
    host("Host with a bad escape", b"Host: ep%zz.localhost"),
    host("Host with half an escape", b"Host: ep.localhost%2"),
    host("Host with a bracket open", b"Host: [::1"),
    host("Host with empty brackets", b"Host: []"),
    host("Host with a bad address in brackets", b"Host: [1:2]"),
    host("Host with colons in brackets", b"Host: [:::]"),
    host("Host with a name in brackets", b"Host: [ep.localhost]"),
    host("Host with something behind its brackets", b"Host: [::1]x"),
    host("Host with a zone", b"Host: [fe80::1%25lo]"),
    host("Host folded", b"Host:\r\n ep.localhost", "5.2"),
    host("Host with space before its colon", b"Host : ep.localhost", "5.1"),
    bad("Host twice in HTTP/1.0", "3.2", b"GET /x HTTP/1.0\r\n" + HOST + HOST + b"\r\n"),
    bad("a bad Host in HTTP/1.0", "3.2", b"GET /x HTTP/1.0\r\nHost: a b\r\n\r\n"),
    good("no Host in HTTP/1.0", "3.2", b"GET /x HTTP/1.0\r\n\r\n", has=(b"host: ep\r\n",), lacks=(b"x-forwarded-host",)),
    good("no Host in HTTP/1.0, an absolute target", "3.2.2", b"GET http://ep.localhost/x HTTP/1.0\r\n\r\n", has=(b"host: ep.localhost",)),
    good("Host with a port", "7.2 of 9110", b"GET /x HTTP/1.1\r\nHost: ep.localhost:8080\r\n" + CLOSE + b"\r\n",
         has=(b"host: ep.localhost:8080",)),
    good("Host with an empty port", "7.2 of 9110", b"GET /x HTTP/1.1\r\nHost: ep.localhost:\r\n" + CLOSE + b"\r\n"),
    good("Host in capitals", "7.2 of 9110", b"GET /x HTTP/1.1\r\nHOST: EP.LOCALHOST\r\n" + CLOSE + b"\r\n"),
    good("Host of IPv4", "7.2 of 9110", b"GET /x HTTP/1.1\r\nHost: 127.0.0.1:80\r\n" + CLOSE + b"\r\n"),
    good("Host of IPv6", "7.2 of 9110", b"GET /x HTTP/1.1\r\nHost: [::1]:80\r\n" + CLOSE + b"\r\n", has=(b"host: [::1]:80",)),
    good("Host of IPv6 that ends in IPv4", "7.2 of 9110", b"GET /x HTTP/1.1\r\nHost: [::ffff:1.2.3.4]\r\n" + CLOSE + b"\r\n"),
    good("Host with an escape", "3.2.2 of 3986", b"GET /x HTTP/1.1\r\nHost: e%70.example\r\n" + CLOSE + b"\r\n"),
]

HOPS = [
    fields("fields named by Connection", "7.6.1 of 9110", b"Connection: x-hop, X-Other\r\nX-Hop: 1\r\nX-OTHER: 2\r\nX-Stays: 3",
           has=(b"x-stays: 3",), lacks=(b"x-hop", b"x-other", b"connection")),
    fields("fields named by several Connections", "7.6.1 of 9110", b"X-A: 1\r\nConnection: x-a\r\nConnection: keep-alive\r\n"
           b"Connection: ,x-b,\r\nX-B: 2", lacks=(b"x-a:", b"x-b:", b"connection:")),
    fields("a cookie named by Connection", "7.6.1 of 9110", b"Connection: cookie\r\nCookie: a=b", lacks=(b"cookie",)),
    fields("a type named by Connection", "7.6.1 of 9110", b"Connection: content-type\r\nContent-Type: x/y", lacks=(b"x/y",)),
    fields("Host named by Connection is needed", "7.6.1 of 9110", b"Connection: host", has=(b"host: ep.localhost",)),
    fields("X-Forwarded-For named by Connection is ours", "7.6.1 of 9110", b"Connection: x-forwarded-for, x-forwarded-proto, "
           b"x-forwarded-host", has=(b"x-forwarded-for: 127.0.0.1\r\n", b"x-forwarded-proto: http", b"x-forwarded-host: ep.localhost")),
    post("Content-Length named by Connection is needed", "7.6.1 of 9110", b"Connection: content-length\r\nContent-Length: 5", b"hello",
         has=(b"content-length: 5",)),
    fields("fields of one hop", "7.6.1 of 9110", b"Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: trailers\r\nTrailer: X\r\n"
           b"Upgrade: foo/2\r\nProxy-Authorization: Basic x\r\nProxy-Authenticate: y",
           lacks=(b"keep-alive", b"proxy-", b"te:", b"trailer", b"upgrade", b"basic")),
    fields("Upgrade to h2c", "3.1 of 9113", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
           lacks=(b"h2c", b"http2-settings", b"upgrade"), never=(b" 101 ",)),
    fields("HTTP2-Settings without Upgrade", "3.1 of 9113", b"HTTP2-Settings: AAMAAABkAAQAAP__", lacks=(b"http2-settings",)),
    post("Upgrade to h2c with a body", "3.1 of 9113", b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2", b"ok",
         lacks=(b"h2c", b"upgrade"), never=(b" 101 ",)),
    fields("Upgrade to TLS", "7.8 of 9110", b"Connection: Upgrade\r\nUpgrade: TLS/1.0", lacks=(b"upgrade",), never=(b" 101 ",)),
    fields("Upgrade that Connection does not name", "7.8 of 9110", b"Upgrade: websocket", lacks=(b"upgrade",)),
    good("Upgrade in HTTP/1.0", "7.8 of 9110", b"GET /x HTTP/1.0\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
         lacks=(b"upgrade",)),
    post("Upgrade of a POST", "4.1 of 6455", b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2", b"ok",
         lacks=(b"upgrade",)),
    good("a tunnel that is refused ends the connection", "7.8 of 9110", b"GET /x HTTP/1.1\r\n" + HOST
         + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n" + SMUGGLED, gets=(b"connection: close",), never=(b" 101 ",)),
    fields("forged forwarding fields", "issue", b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: evil\r\n"
           b"X-Forwarded-Port: 666\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6",
           has=(b"x-forwarded-for: 127.0.0.1\r\n", b"x-forwarded-host: ep.localhost"), lacks=(b"6.6.6.6", b"gopher", b"evil", b"666")),
    fields("forged forwarding fields of other names", "issue", b"X-Forwarded-User: root\r\nX-Forwarded-Prefix: /evil\r\n"
           b"X-Forwarded-Ssl: on\r\nX-FORWARDED-Client-Cert: evil", lacks=(b"root", b"evil", b"x-forwarded-ssl")),
    fields("forged forwarding fields in capitals, twice", "issue", b"X-FORWARDED-FOR: 6.6.6.6\r\nx-forwarded-for: 6.6.6.7",
           lacks=(b"6.6.6.6", b"6.6.6.7")),
    fields("forged forwarding fields with underscores", "issue", b"X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Host: evil\r\nX_Real_IP: 6.6.6.6",
           lacks=(b"6.6.6.6", b"evil")),
    fields("names with underscores are dropped", "issue", b"X_Y: 1\r\n_: 2\r\nX-Z: 3_", has=(b"x-z: 3_",), lacks=(b"x_y", b"_: 2")),
    fields("X-Forwarded alone is another field", "issue", b"X-Forwarded: 1\r\nX-Forward: 2", has=(b"x-forward: 2",)),
]

TURNS = [
    good("Expect: 100-continue with its body", "10.1.1 of 9110", b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n"
         b"Expect: 100-continue\r\n\r\nok" + LAST, seen=("POST /x", "GET /last"), body=b"ok", lacks=(b"expect",)),
    good("Expect: 100-continue before the body", "10.1.1 of 9110", [b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n"
         b"Expect: 100-Continue\r\n" + CLOSE + b"\r\n", lambda link: link.recv(100), b"ok"], seen=("POST /x",), body=b"ok",
         lacks=(b"expect",), gets=(b"http/1.1 100 continue\r\n\r\nhttp/1.1 200",)),
    good("Expect: 100-continue before a chunked body", "10.1.1 of 9110", [b"POST /x HTTP/1.1\r\n" + HOST
         + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n" + CLOSE + b"\r\n", lambda link: link.recv(100),
         b"2\r\nok\r\n0\r\n\r\n"], seen=("POST /x",), body=b"ok", gets=(b"http/1.1 100 continue\r\n\r\nhttp/1.1 200",)),
    fields("Expect: 100-continue without a body", "10.1.1 of 9110", b"Expect: 100-continue", never=(b" 100 ",), lacks=(b"expect",)),
    good("Expect: 100-continue in HTTP/1.0", "10.1.1 of 9110", b"POST /x HTTP/1.0\r\n" + HOST + b"Content-Length: 2\r\n"
         b"Expect: 100-continue\r\n\r\nok", seen=("POST /x",), never=(b" 100 ",)),
    Case("Expect of something else", "10.1.1 of 9110", b"GET /x HTTP/1.1\r\n" + HOST + CLOSE + b"Expect: 200-ok\r\n\r\n",
         [(200,), (417,)], seen=None, never=(b" 100 ",)),
    good("pipelined requests", "9.3.2", b"".join(b"GET /%d HTTP/1.1\r\n" % i + HOST + b"\r\n" for i in range(8)) + LAST,
         seen=tuple(f"GET /{i}" for i in range(8)) + ("GET /last",)),
    good("pipelined requests with bodies", "9.3.2", b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nok"
         b"POST /b HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n!\r\n0\r\n\r\n" + LAST,
         seen=("POST /a", "POST /b", "GET /last")),
    good("nothing is read behind Connection: close", "9.6", LAST + SMUGGLED, seen=("GET /last",)),
    good("Connection: close among others", "9.6", b"GET /x HTTP/1.1\r\n" + HOST + b"Connection: x, CLOSE , y\r\n\r\n" + SMUGGLED,
         gets=(b"connection: close",)),
    good("nothing is read behind HTTP/1.0", "9.3", b"GET /x HTTP/1.0\r\n" + HOST + b"\r\n" + SMUGGLED),
    Case("a bad request behind a good one", "9.3.2", b"GET /x HTTP/1.1\r\n" + HOST + b"\r\nBAD\r\n\r\n" + SMUGGLED, (200, 400),
         seen=("GET /x",)),
    Case("a bad request behind a body", "9.3.2", b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nok!GET /y HTTP/1.1 \r\n"
         + HOST + b"\r\n" + SMUGGLED, (200, 400), seen=("POST /x",)),
    Case("a body longer than its length", "6.3", b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nokay\r\n\r\n" + SMUGGLED,
         (200, 400), seen=("POST /x",)),
    good("HEAD", "9.3.2 of 9110", b"HEAD /x HTTP/1.1\r\n" + HOST + b"\r\n" + LAST, seen=("HEAD /x", "GET /last"), methods=("HEAD",),
         gets=(b"content-length: 4\r\n",)),
    Case("a bad HEAD", "9.3.2 of 9110", b"HEAD /x HTTP/1.1\r\nHost: a b\r\n\r\n", (400,), methods=("HEAD",), never=(b"{",)),
    good("a head byte by byte", "2.2", [bytes([b]) for b in b"\r\nGET /x HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"]),
    good("a chunked body byte by byte", "7.1", [bytes([b]) for b in b"POST /x HTTP/1.1\r\n" + HOST + CLOSE
         + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"], seen=("POST /x",), body=b"okX-Sum: 1\r\n"),
    Case("a bad head byte by byte", "2.2", [bytes([b]) for b in b"GET /x HTTP/1.1\r\nHost: ep.localhost\n"], (400,)),
    Case("a client that leaves within a head", "8", [b"GET /x HTTP/1.1\r\nHo", leave], ()),
    Case("a client that leaves within a body", "8", [b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhell",
         leave], (), partial=True),
    Case("a client that leaves within a chunk", "8", [b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhell",
         leave], (), partial=True),
    Case("a client that leaves before the last chunk", "8", [b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
         b"5\r\nhello\r\n", leave], (), partial=True),
    Case("the preface of another version", "3.4 of 9113", b"PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n", [(505,), (400,)]),
]

CASES = FRAMING + CHUNKS + HEADS + LINES + HOSTS + HOPS + TURNS
