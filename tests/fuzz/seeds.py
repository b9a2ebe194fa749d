"""Writes the seeds of the fuzzers that are easier made than typed: python3 tests/fuzz/seeds.py"""
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"


def seeds(target, texts):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text)


def v2(command, family, block):
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, family]) + struct.pack(">H", len(block)) + block


def tlv(kind, value):
    return bytes([kind]) + struct.pack(">H", len(value)) + value


TCP4 = b"\x0a\0\0\x01\x0a\0\0\x02\x30\x39\x01\xbb"
TLS = tlv(0x20, b"\x03\0\0\0\0" + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"client"))
CHECKED = bytes.fromhex("0d0a0d0a000d0a515549540a211100130a0000010a000002303901bb030004")
seeds("proxy_protocol", {
    "v1_tcp4": b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET",
    "v1_tcp6": b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
    "v1_unknown": b"PROXY UNKNOWN ffff:: 1\r\n",
    "v2_local": v2(0x20, 0, b""),
    "v2_tcp4": v2(0x21, 0x11, TCP4),
    "v2_tcp6": v2(0x21, 0x21, bytes(36)),
    "v2_unix": v2(0x21, 0x31, b"/a" + bytes(214)),
    "v2_dgram": v2(0x21, 0x12, TCP4),
    "v2_vpce": v2(0x21, 0x11, TCP4 + tlv(0xEA, b"\x01vpce-08d2bf15fac5001c9")),
    "v2_tls": v2(0x21, 0x11, TCP4 + tlv(1, b"h2") + tlv(2, b"a.local") + tlv(5, b"id") + tlv(4, b"x") + TLS),
    "v2_crc": CHECKED + bytes(4),
})


seeds("address", {
    "v4": b"192.0.2.1", "v4_port": b"192.0.2.1:4000", "v6": b"2001:db8::1", "v6_port": b"[2001:db8::1]:4000", "v6_brackets": b"[::1]",
    "mapped": b"::ffff:192.0.2.1", "unix": b"unix", "path": b"unix:/run/a", "range": b"10.0.0.0/8", "range6": b"2001:db8::/33", "all": b"*:80",
})


def sealed(kind, text):
    return bytes([(len(text) + 1) << 1 | 1, kind]) + text


for number, suite in enumerate(("aes128", "aes256", "chacha")):
    seeds("records", {
        f"{suite}_data": bytes([number, 0]) + sealed(23, b"hello") + sealed(23, b"") + sealed(23, b"more" * 20) + sealed(21, b"\x01\0"),
        f"{suite}_pieces": bytes([number, 3]) + sealed(23, b"hello") + sealed(23, b"world"),
        f"{suite}_update": bytes([number, 7]) + sealed(23, b"a") + sealed(22, b"\x18\0\0\1\1") + sealed(23, b"b"),
        f"{suite}_forged": bytes([number, 0]) + sealed(23, b"a") + bytes([(5 + 32) << 1]) + b"\x17\3\3\0\x20" + bytes(32),
        f"{suite}_padding": bytes([number, 0]) + sealed(0, b"hi\x17\0\0") + sealed(0, b"\0\0"),
    })


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def head(path, *more, method=b"\x82"):
    return method + b"\x86\x04" + bytes([len(path)]) + path + b"\x01\x01h" + b"".join(more)


POST = b"\x83"
GET = frame(1, 5, 1, head(b"/"))
seeds("http2_session", {
    "get": b"\x01@" + GET,
    "wait_reset": b"\x03\x10" + frame(1, 5, 1, head(b"/wait")) + frame(3, 0, 1, b"\0\0\0\x08"),
    "fail": b"\x09@" + frame(1, 5, 1, head(b"/fail")),
    "fail_empty": b"\x01@" + frame(1, 4, 1, head(b"/fail", method=POST)) + frame(0, 1, 1, b""),
    "fail_trailers": b"\x01@" + frame(1, 4, 1, head(b"/fail", method=POST)) + frame(1, 5, 1, literal(b"a", b"b")),
    "large": b"\x05@" + frame(1, 5, 1, head(b"/large")) + frame(8, 0, 1, b"\0\x04\0\0"),
    "echo": b"\x03\x20" + frame(1, 4, 1, head(b"/echo", method=POST)) + frame(0, 0, 1, b"hello")
            + frame(0, 9, 1, b"\x02ab\0\0"),
    "trailers": b"\x03\x40" + frame(1, 4, 1, head(b"/echo", method=POST)) + frame(0, 0, 1, b"x")
                + frame(1, 5, 1, literal(b"a", b"b")),
    "continuation": b"\x01@" + frame(1, 1, 1, head(b"/")[:4]) + frame(9, 4, 1, head(b"/")[4:]),
    "length": b"\x01@" + frame(1, 4, 1, head(b"/echo", literal(b"content-length", b"3"), method=POST))
              + frame(0, 1, 1, b"four"),
    "two": b"\x03\x05" + GET + frame(1, 5, 3, head(b"/large")) + frame(6, 0, 0, bytes(8))
           + frame(4, 0, 0, b"\0\x04\0\0\0\0"),
    "window": b"\x01@" + frame(4, 0, 0, b"\0\x04\0\0\0\0") + frame(1, 5, 1, head(b"/large"))
              + frame(8, 0, 0, b"\x7f\xff\xff\xff"),
    "goaway": b"\x09@" + frame(1, 5, 1, head(b"/wait")) + frame(7, 0, 0, bytes(8)),
    "expect": b"\x01@" + frame(1, 4, 1, head(b"/echo", literal(b"expect", b"100-continue"), method=POST)),
    "priority": b"\x01@" + frame(2, 0, 1, b"\0\0\0\0\x10") + frame(1, 0x25, 1, b"\0\0\0\0\x10" + head(b"/")),
    "bad_field": b"\x01@" + frame(1, 5, 1, head(b"/", literal(b"connection", b"close"))),
    "http1": b"\x00@GET /echo HTTP/1.1\r\nHost: h\r\n\r\n",
    "http1_chunked": b"\x02\x07POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\na: b\r\n\r\n"
                     b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n",
})

MESSAGES = CORPUS / "llhttp"
MESSAGES.mkdir(parents=True, exist_ok=True)
for first, folder in ((b"\0", "http1_request"), (b"\1", "http1_response")):
    for seed in sorted((CORPUS / folder).iterdir()):
        if len(seed.name) == 2:
            (MESSAGES / f"{folder[6:9]}_{seed.name}").write_bytes(first + seed.read_bytes())
POSTED = b"\0POST /a?b HTTP/1.1\r\nHost: h\r\n"
seeds("llhttp", {
    "chunked": POSTED + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\nrest",
    "extension": POSTED + b"Transfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0\r\n\r\n",
    "length": POSTED + b"Content-Length: 3\r\n\r\nabcrest",
    "absolute": b"\0GET http://h:1/a HTTP/1.1\r\nHost: h:1\r\nA:\t b \r\n\r\n",
    "close": b"\1HTTP/1.0 200 OK\r\nA: b\r\n\r\nuntil the end",
    "answer": b"\1HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "none": b"\1HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nabcde",
    "interim": b"\1HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
})

HASH = b"ab" * 32
TOKEN = b'{"sha256":"%s","name":"a","owner":"o","organisations":["x"],"endpoints":["e"],"created":1,"expires":2,' \
        b'"concurrency_max":3,"requests_per_s":1.5}' % HASH
seeds("token_file", {
    "empty": b'{"version":1,"tokens":[]}',
    "one": b'{"version":1,"tokens":[' + TOKEN + b']}',
    "twice": b'{"version":1,"tokens":[' + TOKEN + b',' + TOKEN + b']}',
    "version": b'{"version":2,"tokens":[]}',
    "short": b'{"version":1,"tokens":[{"sha256":"ab","name":"a"}]}',
})
seeds("store_record", {
    "definition": b'\0{"driver":"static","addresses":["127.0.0.1:1"],"models":["m"],"routes":[{"prefix":"/v1/","strip":true}]}',
    "rules": b'\0{"driver":"static","addresses":["127.0.0.1:1"],"allow_addresses":["10.0.0.0/8","unix"],"vpc_endpoints":["vpce-1"]}',
    "process": b'\0{"process":{"command":["a","{port}"]},"scaling":{"min_replicas":0,"max_replicas":2}}',
    "replica": b'\1{"address":"127.0.0.1:1","state":"ready","since_ms":1,"handle":"1:2:3:x"}',
    "token": b'\2' + TOKEN,
    "handle": b'\x031:22:80:5f3b',
})
seeds("load_record", {
    "one": b'{"endpoint":"e","proxy":"p","incarnation":1,"at_us":2,"pending":1,"held":0,"open":0,"pending_us":3,'
           b'"held_us":0,"open_us":0,"requests_total":1,"requests_before":0,"wanted_ms":0,"seen":1,"replicas":{"e-1":1}}',
})
ROOT = CORPUS.parent.parent.parent
seeds("config", {
    "demo": (ROOT / "conf/demo.json").read_bytes(),
    "small": b'{"listeners":[{"address":"127.0.0.1:1"}],"endpoints":{"e":{"driver":"static","addresses":["127.0.0.1:2"]}}}',
    "comment": b'{ // a\n "listeners": [{"address": "*:80", /* b */ "tls": false}]}',
    "wrong": b'{"listener": 1, "endpoints": {"E": {"scaling": {"min_replicas": -1}}}}',
})
