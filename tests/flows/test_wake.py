"""From zero replicas and back: the hold, its header, its answers."""
import json
import re
import threading
import time

import pytest

from harness import BODY, CHAT, STREAM, eventually, process_endpoint

WAIT = {"X_Scale_Up_Timeout": "60"}


def test_a_request_wakes_the_endpoint_waits_and_streams(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 1000, log_directory=start.directory,
                                               scaling={"scale_to_zero_s": 2})})
    assert h.status("ep")["state"] == "scaledToZero"
    first = h.call()
    assert first.status == 503 and first.code == "endpoint_scaling_up" and 1 <= int(first.headers["retry-after"]) <= 60
    link = h.http2(tls=True)
    streams = [link.ask(body=STREAM, **WAIT) for _ in range(3)]
    eventually(lambda: h.status("ep")["held"] == 3)
    answer = h.call(body=STREAM, tls=True, **WAIT)
    assert answer.status == 200 and answer.body.rstrip().endswith(b"data: [DONE]")
    for stream in streams:
        assert link.wait(stream).body.rstrip().endswith(b"data: [DONE]")
    eventually(lambda: h.status("ep")["state"] == "scaledToZero" and not h.status("ep")["replicas"])
    assert 1 <= int(h.call().headers["retry-after"]) <= 3  # learned from the cold start
    assert "woken from zero" in h.command("explain", "ep").stdout
    assert "scale_to_zero_s" in h.command("explain", "ep").stdout


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "", "1e3", "soon", "+5", "5 s"])
def test_a_bad_timeout_is_named(start, value):
    h = start.headrace({"ep": process_endpoint(log_directory=start.directory)})
    answer = h.call(X_Scale_Up_Timeout=value)
    assert answer.status == 400 and answer.error["param"] == "X-Scale-Up-Timeout" and answer.code == "invalid_header"
    assert h.status("ep")["requests_total"] == 0


def test_waiting_in_vain_ends_with_503(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory)})
    answer = h.call(X_Scale_Up_Timeout="1")
    assert answer.status == 503 and answer.code == "scale_up_timeout" and answer.headers["retry-after"]
    h.quiet("ep")


def test_a_long_timeout_is_clamped(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory)}, hold={"max_s": 1})
    assert h.call(X_Scale_Up_Timeout="99999999999999999999").code == "scale_up_timeout"


def test_a_paused_endpoint_says_so(start):
    h = start.headrace({"ep": process_endpoint(log_directory=start.directory, paused=True)})
    assert (h.call(**WAIT).status, h.call().code) == (400, "endpoint_paused")


def test_a_failing_endpoint_tells_operators_why_and_clients_only_that(start):
    h = start.headrace({"ep": {"access": "public", "failures_max": 2, "process": {
        "command": ["/bin/sh", "-c", "echo no GPU found; exit 3"], "log_directory": str(start.directory)}}})
    answer = h.call(**WAIT)
    assert answer.status == 503 and answer.code == "endpoint_failed" and b"GPU" not in answer.body
    assert h.status("ep")["state"] == "failed" and "no GPU found" in h.status("ep")["reason"]


def test_a_child_that_dies_is_started_again(start):
    h = start.headrace({"ep": process_endpoint("--exit-after-ms", 500, log_directory=start.directory,
                                               scaling={"min_replicas": 1})})
    first = eventually(lambda: [r["id"] for r in h.status("ep")["replicas"] if r["state"] == "ready"])
    eventually(lambda: [r["id"] for r in h.status("ep")["replicas"] if r["state"] == "ready" and r["id"] != first[0]])


def test_a_client_that_leaves_is_not_counted_any_more(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory)})
    plain, secure, two = h.connect(), h.connect(tls=True), h.http2(tls=True)
    head = b"POST / HTTP/1.1\r\nHost: ep.localhost\r\nX-Scale-Up-Timeout: 60\r\nContent-Length: 2\r\n\r\nhi"
    plain.sendall(head)
    secure.sendall(head)
    streams = [two.ask(**WAIT) for _ in range(2)]
    eventually(lambda: h.status("ep")["held"] == 4)
    plain.close()
    eventually(lambda: h.status("ep")["held"] == 3)
    secure.close()
    two.h2.reset_stream(streams[0])
    two.flush()
    eventually(lambda: h.status("ep")["held"] == 1)
    two.close()
    h.quiet("ep")


def test_a_repeated_503_is_slowed_down_and_served_when_a_replica_comes(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 1500, log_directory=start.directory)})
    assert h.call().status == 503
    answers = []

    def repeat():
        while not answers or answers[-1].status == 503:
            answers.append(h.call())
    thread = threading.Thread(target=repeat)
    thread.start()
    eventually(lambda: answers)
    assert h.status("ep")["pending"] == 0
    thread.join()
    assert answers[-1].status == 200 and len(answers) <= 4
    assert "headrace_paced_total" in h.admin("/metrics")[1]


def test_beyond_the_paced_limit_503_is_immediate(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory)},
                       hold={"paced_requests_max": 1, "pace_s": 60})
    assert h.call().status == 503
    waiting = h.connect()
    waiting.sendall(b"GET / HTTP/1.1\r\nHost: ep.localhost\r\n\r\n")
    eventually(lambda: "headrace_paced_total 1" in h.admin("/metrics")[1])
    assert h.call().status == 503
    waiting.close()


def paced(h, count):
    """A request that is kept back; whoever asks keeps it open."""
    eventually(lambda: f"headrace_paced_total {count}" in h.admin("/metrics")[1])


def get(h, **fields):
    link = h.connect()
    link.sendall(b"GET / HTTP/1.1\r\nHost: ep.localhost\r\n" + "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in fields.items()).encode() + b"\r\n")
    return link


def test_a_made_up_token_is_nobodys_name(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory)}, hold={"pace_s": 60})
    assert h.call(token="one").status == 503
    waiting = get(h, Authorization="Bearer two")
    paced(h, 1)
    waiting.close()


def test_clients_behind_a_trusted_peer_are_paced_apart(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory)}, hold={"pace_s": 60},
                       trusted_peers=["127.0.0.1"])
    assert h.call(X_Forwarded_For="203.0.113.1").status == 503
    assert h.call(X_Forwarded_For="198.51.100.1").status == 503
    waiting = get(h, X_Forwarded_For="203.0.113.1")
    paced(h, 1)
    waiting.close()


def test_a_port_where_nobody_listens_is_not_ready(start):
    engine = start.engine()
    h = start.headrace({"up": engine.endpoint(health={"interval_ms": 100})})
    assert h.call(host="up.localhost").status == 200
    engine.stop()
    eventually(lambda: all(r["state"] != "ready" for r in h.status("up")["replicas"]))
    assert h.call(host="up.localhost", X_Scale_Up_Timeout="1").status == 503
