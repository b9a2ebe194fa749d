"""HTTP/1.1 and HTTP/2 at the edge: framing, forwarding, and what is refused."""
import json
import re
import socket
import threading
from pathlib import Path

import pytest

from harness import BODY, CHAT, DEADLINE_S, Answer, eventually, read_all


@pytest.fixture
def edge(start):
    engine = start.engine()
    return start.headrace({"ep": engine.endpoint(default=True)})


def seen(answer):
    """The request fields as the replica got them."""
    return {k.lower(): v for k, v in json.loads(answer.body).items()} if answer.body.startswith(b"{") else answer.body


def test_a_request_goes_through_on_every_listener(edge):
    for answer in (edge.call(), edge.call(tls=True), edge.http2().call(), edge.http2(tls=True).call()):
        assert answer.status == 200 and json.loads(answer.body)["choices"]
    for family, address in ((socket.AF_INET6, ("::1", edge.port)), (socket.AF_UNIX, edge.unix)):
        with socket.socket(family) as link:
            link.connect(address)
            link.sendall(b"GET /v1/models HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\n\r\n")
            assert read_all(link).startswith(b"HTTP/1.1 200 ")


def test_pipelined_requests_are_answered_in_order(edge):
    one = b"GET /bytes/%d HTTP/1.1\r\nHost: ep.localhost\r\n%s\r\n"
    data = b"".join(one % (n, b"Connection: close\r\n" if n == 9 else b"") for n in range(1, 10))
    answer = edge.raw(data)
    assert [int(p.split(b"content-length: ")[1].split(b"\r\n")[0]) for p in answer.split(b"HTTP/1.1 200 OK")[1:]] == list(range(1, 10))


def test_a_request_may_come_byte_by_byte(edge):
    data = b"POST /echo HTTP/1.1\r\nHost: ep.localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" \
           b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nx-t: 1\r\n\r\n"
    with edge.connect() as link:
        for i in range(len(data)):
            link.sendall(data[i:i + 1])
        assert b"hello!" in read_all(link).replace(b"\r\n", b"")


@pytest.mark.parametrize("size", [0, 1, 4096, 70000, 3000000])
def test_bodies_arrive_whole_both_ways(edge, size):
    body = bytes(i * 7 % 251 for i in range(size)) or None
    for answer in (edge.call(path="/echo", body=body), edge.call(path="/echo", body=body, tls=True)):
        assert answer.status == 200 and answer.body == (body or b"")
    down = edge.http2(tls=True).call(method="GET", path=f"/bytes/{size}", body=None)
    assert len(down.body) == size
    assert len(edge.call("GET", f"/chunked/{size}", None).body) == size


def test_head_has_the_length_and_no_body(edge):
    answer = edge.raw(b"HEAD /bytes/10 HTTP/1.1\r\nHost: ep.localhost\r\n\r\n"
                      b"GET /bytes/3 HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\n\r\n")
    head, rest = answer.split(b"\r\n\r\n", 1)
    assert b"content-length: 10" in head.lower() and rest.startswith(b"HTTP/1.1 200")
    assert edge.http2().call(method="HEAD", path="/bytes/10", body=None).headers["content-length"] == "10"


def test_trailers_and_interim_answers_are_passed_on(edge):
    answer = edge.raw(b"GET /chunked/10 HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\n\r\n")
    assert b"x-trailer: " in answer.split(b"0\r\n")[-1].lower()
    assert "x-trailer" in edge.http2().call(method="GET", path="/chunked/10", body=None).trailers
    assert edge.raw(b"GET /early-hints HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 103 ")
    link = edge.http2()
    stream = link.ask(method="GET", path="/early-hints", body=None)
    assert link.wait(stream).status == 200 and link.interims[stream][0][":status"] == "103"


def test_expect_is_answered_by_the_proxy(edge):
    with edge.connect() as link:
        link.sendall(b"POST /echo HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert link.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        link.sendall(b"ok")
        assert read_all(link).endswith(b"ok")


def test_h2c_upgrade_is_ignored(edge):
    answer = edge.raw(b"GET /headers HTTP/1.1\r\nHost: ep.localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
                      b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n").lower()
    assert answer.startswith(b"http/1.1 200") and b"h2c" not in answer and b"http2-settings" not in answer.split(b"\r\n\r\n")[1]


def test_forwarding_fields_come_from_the_connection(edge):
    answer = edge.call("GET", "/headers", None, X_Forwarded_For="6.6.6.6", X_Forwarded_Proto="gopher", Forwarded="for=6.6.6.6",
                       X_Scale_Up_Timeout="5", X_Request_Id="my-id", Traceparent="00-1-2-3", Keep_Alive="5", Connection="X-Hop",
                       X_Hop="1", tls=True)
    text = answer.body.lower()
    assert b"6.6.6.6" not in text and b"gopher" not in text and b"x-hop" not in text and b"x-scale-up-timeout" not in text
    assert b"127.0.0.1" in text and b"https" in text and b"my-id" in text and b"00-1-2-3" in text
    assert answer.headers["x-request-id"] == "my-id"
    assert len(edge.call().headers["x-request-id"]) == 28


def test_a_trusted_peer_is_believed(start):
    h = start.headrace({"ep": start.engine().endpoint()}, trusted_peers=["127.0.0.0/8"])
    text = h.call("GET", "/headers", None, X_Forwarded_For="6.6.6.6", X_Forwarded_Proto="gopher").body
    assert b"6.6.6.6, 127.0.0.1" in text and b"gopher" in text


def test_routing_by_host_prefix_and_default(start):
    a, b, c = (start.engine("--model", name) for name in ("a", "b", "c"))
    h = start.headrace({"a": a.endpoint(hosts=["a.example"]), "b": b.endpoint(routes=[{"prefix": "/b", "strip": True}]),
                        "c": c.endpoint(default=True)})

    def model(host, path="/v1/models"):
        return json.loads(h.call("GET", path, None, host=host).body)["data"][0]["id"]
    assert model("a.localhost") == model("A.Example:8443") == "a"
    assert model("else.where", "/b/v1/models") == "b" and model("b.localhost") == "b"
    assert model("else.where") == "c"
    assert h.call("GET", "/", None, host="nobody.localhost").code == "endpoint_not_found"


BAD = [
    (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request"),
    (b"GET  / HTTP/1.1\r\nHost: ep.localhost\r\n\r\n", 400, "bad_request"),
    (b"GET / HTTP/1.1\r\nHost : ep.localhost\r\n\r\n", 400, "bad_request"),
    (b"POST / HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
    (b"POST / HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: 1, 1\r\n\r\nx", 400, "bad_request"),
    (b"POST / HTTP/1.1\r\nHost: ep.localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 400, "bad_request"),
    (b"POST /echo HTTP/1.1\r\nHost: ep.localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "bad_request"),
    (b"GET / HTTP/2.0\r\nHost: ep.localhost\r\n\r\n", 505, "http_version_not_supported"),
    (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: ep.localhost\r\n\r\n", 414, "uri_too_long"),
    (b"GET / HTTP/1.1\r\nHost: ep.localhost\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431, "header_fields_too_large"),
    (b"GET / HTTP/1.1\r\nHost: ep.localhost\r\nX: " + b"y" * 40000 + b"\r\n\r\n", 431, "header_fields_too_large"),
    (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 400, "bad_request"),
]


@pytest.mark.parametrize("data,status,code", BAD, ids=range(len(BAD)))
def test_bad_requests_get_their_exact_answer(edge, data, status, code):
    answer = edge.raw(data)
    head, body = answer.split(b"\r\n\r\n", 1)
    error = json.loads(body)["error"]
    assert head.startswith(b"HTTP/1.1 %d " % status) and b"x-request-id: " in head and b"connection: close" in head
    assert (error["code"], error["type"], error["param"]) == (code, "invalid_request_error", None) and error["message"]


def test_a_body_over_its_limit_is_refused(start):
    h = start.headrace({"ep": start.engine().endpoint(body_limit_bytes=1000)})
    limited = lambda: int(re.search(r"^headrace_limited_total (\d+)$", h.admin("/metrics")[1], re.M)[1])
    assert h.call(body=b"x" * 1001).code == "body_too_large"
    assert h.http2().call(body=b"x" * 1001).status == 413
    assert limited() == 2
    chunked = b"POST /echo HTTP/1.1\r\nHost: ep.localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"190\r\n" + b"x" * 400 + b"\r\n"
    assert b" 413 " in h.raw(chunked + b"190\r\n" + b"x" * 400 + b"\r\n190\r\n" + b"x" * 400 + b"\r\n0\r\n\r\n")
    assert limited() == 3


def test_a_connection_survives_an_early_answer(edge):
    """404 before the body was read: the rest is dropped and the next request served."""
    answer = edge.raw(b"POST / HTTP/1.1\r\nHost: nobody.localhost\r\nContent-Length: 5\r\n\r\n" b"hello"
                      b"GET /bytes/3 HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404") and b"HTTP/1.1 200 OK" in answer


def test_a_stale_pooled_connection_costs_nobody_anything(start):
    """The replica closes idle connections at once; each request is sent again when needed."""
    h = start.headrace({"ep": start.engine("--keepalive-ms", 1).endpoint()})
    for _ in range(50):
        assert h.call().status == 200


def test_replicas_that_misbehave_give_502(edge):
    assert edge.call(x_engine_fault="early-close").code == "replica_failed"
    assert edge.call(x_engine_fault="bad-head").status == 502
    assert edge.http2().call(x_engine_fault="bad-head").status == 502


def test_a_replica_that_never_answers_gives_504(start):
    h = start.headrace({"ep": start.engine().endpoint(head_timeout_s=1)})
    assert h.call(x_engine_fault="never").code == "replica_timeout"
    h.quiet("ep")


def test_who_reads_no_answers_is_read_no_further(start):
    """Answers of our own to pipelined requests: without that they fill the memory of all who share the worker."""
    h = start.headrace({"ep": start.engine().endpoint()}, workers=1, replica={"chunk_memory_bytes": 1 << 20})
    one = b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n"
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.connect(("127.0.0.1", h.port))
        link.settimeout(1)
        sent, many = 0, one * 1000
        with pytest.raises(TimeoutError):
            while sent < 1 << 28:
                sent += link.send(many[sent % len(one):])
        assert h.call(body=b"x" * 100000, path="/echo").status == 200
        link.settimeout(DEADLINE_S)
        answers, end = 0, b""
        while answers < sent // len(one):  # nothing is lost
            data = end + link.recv(65536)
            answers += data.count(b"HTTP/1.1 404 ")
            end = data[-12:]


def test_many_pipelined_requests_are_all_answered(edge):
    one = b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n"
    count = 5000
    with edge.connect() as link:
        sender = threading.Thread(target=link.sendall, args=(one * count + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),))
        sender.start()
        answers = read_all(link)
        sender.join()
    assert answers.count(b"HTTP/1.1 404 ") == count + 1



def kernel_view(port, links):
    """Of each connection at the server's end: bytes in its send queue, and which timer runs (2: keepalive)."""
    clients = {link.getsockname()[1] for link in links}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = {int(r[2].split(":")[1], 16): (int(r[4].split(":")[0], 16), int(r[5].split(":")[0], 16))
            for r in rows if int(r[1].split(":")[1], 16) == port}
    return [ends[c] for c in clients if c in ends]


def test_a_connection_inherits_what_its_listener_was_given(start):
    """The kernel looks whether a silent client is still there, and takes little for one that reads nothing."""
    h = start.headrace({"ep": start.engine().endpoint()}, client={"write_stall_s": 1})
    with h.connect() as silent, h.connect() as slow:
        slow.sendall(b"GET /bytes/8000000 HTTP/1.1\r\nHost: ep.localhost\r\n\r\n")
        queued = [0]

        def cut_off():
            queued.extend(bytes_ for bytes_, timer in kernel_view(h.port, [slow]))
            return 'headrace_client_limits_total{limit="write_stall"} 1' in h.admin("/metrics")[1]

        eventually(lambda: kernel_view(h.port, [silent])[0][1] == 2)
        eventually(cut_off)
    assert 0 < max(queued) < 700000
