"""Streaming: token by token, visible aborts, clients that leave, slow readers."""
import os

import pytest

from harness import CHAT, STREAM, eventually, process_endpoint

DEATHS = int(os.environ.get("HEADRACE_DEATHS", "100"))


def post(fault=None):
    return (f"POST {CHAT} HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: {len(STREAM)}\r\n"
            + (f"X-Engine-Fault: {fault}\r\n" if fault else "") + "\r\n").encode() + STREAM


@pytest.fixture
def pair(start):
    engine = start.engine("--tokens", 6, "--rate", 20)
    return start.headrace({"ep": engine.endpoint()}, workers=1), engine


@pytest.mark.parametrize("tls", [False, True])
def test_each_token_arrives_before_the_next_is_made(pair, tls):
    h, _ = pair
    for link, send in ((h.connect(tls), None), (h.http2(tls), 1)):
        arrivals = []
        if send:
            stream = link.ask(body=STREAM)
            while stream not in link.ended:
                before = len(link.answers[stream].body) if stream in link.answers else 0
                link.turn()
                if stream in link.answers and len(link.answers[stream].body) > before:
                    arrivals.append(link.answers[stream].body[before:])
        else:
            link.sendall(post())
            while not (arrivals and b"0\r\n\r\n" in arrivals[-1]):
                arrivals.append(link.recv(65536))
        assert len([a for a in arrivals if b'"content":' in a]) >= 6  # never two tokens at once
        link.close()


def test_a_death_mid_stream_is_always_visible_by_http1(start):
    engine = start.engine("--tokens", 50, "--rate", 0)
    h = start.headrace({"ep": engine.endpoint()})
    for i in range(DEATHS):
        fault = "die-mid-stream=3" if i % 2 else "reset-mid-stream"
        answer = h.raw(post(fault), tls=i % 4 < 2)
        assert answer.startswith(b"HTTP/1.1 200 ") and not answer.endswith(b"0\r\n\r\n") and b"[DONE]" not in answer
        assert h.call().status == 200
    eventually(lambda: len(h.log()) == 2 * DEATHS)
    assert sum(line["ended"] == "replica_failed" for line in h.log()) == DEATHS
    h.quiet("ep")


def test_a_death_mid_stream_is_always_visible_by_http2(start):
    engine = start.engine("--tokens", 50, "--rate", 0)
    h = start.headrace({"ep": engine.endpoint()})
    link = h.http2(tls=True)
    for i in range(DEATHS):
        stream = link.ask(body=STREAM, x_engine_fault="die-mid-stream=3" if i % 2 else "reset-mid-stream")
        answer = link.wait(stream)
        assert link.ended[stream] == "reset" and answer.reset == 2 and b"[DONE]" not in answer.body
        assert link.call().status == 200
    link.close()
    h.quiet("ep")


def test_a_short_body_with_a_length_is_cut_visibly(pair):
    h, _ = pair
    assert h.raw(b"GET /no-length HTTP/1.0\r\nHost: ep.localhost\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("when", ["mid-stream", "before-head"])
@pytest.mark.parametrize("how", ["http1", "tls", "http2-reset", "http2-close"])
def test_a_client_that_leaves_stops_the_engine(start, how, when):
    engine = start.engine("--tokens", 100000, "--rate", 50)
    h = start.headrace({"ep": engine.endpoint()})
    fault = "never" if when == "before-head" else None
    if how.startswith("http2"):
        link = h.http2(tls=True)
        stream = link.ask(body=STREAM, **({"x_engine_fault": fault} if fault else {}))
        while when == "mid-stream" and stream not in link.answers:
            link.turn()
    else:
        link = h.connect(how == "tls")
        link.sendall(post(fault))
        while when == "mid-stream" and b"data:" not in link.recv(65536):
            pass
    eventually(lambda: engine.events("start"))
    if how == "http2-reset":
        link.h2.reset_stream(stream)
        link.flush()
    else:
        link.close()
    eventually(lambda: engine.events("abort"))
    h.quiet("ep")
    assert eventually(h.log)[-1]["ended"] == "client_gone"


def test_a_slow_reader_slows_its_own_stream_only(start):
    h = start.headrace({"ep": start.engine().endpoint()}, workers=1)
    link = h.http2(tls=True)
    link.auto_credit = False
    stuck = link.ask(method="GET", path="/bytes/50000000", body=None)
    while stuck not in link.answers or len(link.answers[stuck].body) < 65535:
        link.turn()
    link.h2.increment_flow_control_window(10 << 20)
    link.auto_credit = True
    for _ in range(5):
        assert link.call().status == 200
    assert len(link.answers[stuck].body) == 65535
    link.close()
    h.quiet("ep")


def test_a_held_upload_does_not_freeze_its_connection(start):
    """Bodies of held requests fill their own windows; others of the connection go on."""
    engine = start.engine()
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory), "ok": engine.endpoint()}, workers=1)
    link = h.http2()
    held = [link.ask(body=b"x" * 60000, end=False, X_Scale_Up_Timeout="60") for _ in range(1)]
    for _ in range(20):
        while link.h2.outbound_flow_control_window < 50000:
            link.turn()
        held.append(link.ask(body=b"x" * 50000, end=False, X_Scale_Up_Timeout="60"))
    assert link.call(host="ok.localhost").status == 200
    link.close()
