"""Routing by the model that a body names."""
import json
import re
import threading

import pytest
from harness import CHAT, eventually, process_endpoint, read_all

HOST = "api.localhost"


def body(model, **more):
    return json.dumps({**more, "model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()


@pytest.fixture
def api(start):
    engines = [start.engine("--rate", "0", "--tokens", "5") for _ in range(2)]
    h = start.headrace({"small": engines[0].endpoint(models=["org/small-1", "größe"]),
                        "large": engines[1].endpoint(models=["org/large"], access="private", owner="me")},
                       tokens=[("t", "hr_t", "--owner", "me")], model_routing={"hosts": [HOST], "body_limit_bytes": 262144},
                       replica={"pipe_limit_bytes": 65536})
    return h, engines


def limited(h):
    return int(re.search(r"^headrace_limited_total (\d+)$", h.admin("/metrics")[1], re.M)[1])


def last(engine):
    return eventually(lambda: engine.events("start"))[-1]


def calls(h):
    """By every way in."""
    yield lambda **what: h.call(host=HOST, **what)
    yield lambda **what: h.call(host=HOST, tls=True, **what)
    for tls in (False, True):
        session = h.http2(tls)
        yield lambda **what: session.call(host=HOST, **what)
        session.close()


def test_the_model_picks_the_endpoint(api):
    h, engines = api
    for n, call in enumerate(calls(h), 1):
        assert call(body=body("org/small-1")).status == 200
        assert call(body=body("small")).status == 200  # the endpoint's own name
        assert call(body=body("größe")).status == 200
        assert call(body=body("org/large"), token="hr_t").status == 200
        assert call(body=body("org/large")).status == 401
        eventually(lambda: [len(e.events("start")) for e in engines] == [3 * n, n])
    assert h.call(host="small.localhost", body=body("org/large")).status == 200  # other hosts do not look


def test_errors_are_those_of_the_api(api):
    h, _ = api
    for call in calls(h):
        answer = call(body=body("none"))
        assert (answer.status, answer.code, answer.error["param"]) == (404, "model_not_found", "model")
        assert "`none`" in answer.error["message"]
        for bad in (b"[]", b"{}", b'{"model": 1}', b'{"model', b"--form\r\n"):
            answer = call(body=bad)
            assert (answer.status, answer.code) == (400, "model_missing"), bad
        assert call(method="GET", path="/v1/models", body=None).code == "model_missing"
        before = limited(h)
        answer = call(body=body("org/small-1", padding="x" * 300000))
        assert (answer.status, answer.code) == (413, "body_too_large")
        assert answer.error["message"] == 'The body has no "model" within its first 262144 bytes.'
        assert limited(h) == before + 1
        assert call(body=body("org/small-1")).status == 200


def test_a_model_behind_much_else_is_found_and_nothing_is_lost(api):
    h, _ = api
    for call in calls(h):
        text = json.dumps({"padding": "x" * 200000, "model": "org/small-1", "input": "y" * 400000}).encode()
        answer = call(path="/echo", body=text)
        assert answer.status == 200 and answer.body == text


def test_the_request_goes_on_as_soon_as_the_model_is_seen(api):
    h, engines = api
    text = body("org/small-1")
    with h.connect() as link:
        link.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nExpect: 100-continue\r\n"
                     f"Content-Length: {len(text)}\r\n\r\n".encode())
        assert link.recv(100).startswith(b"HTTP/1.1 100")
        seen = text.index(b"org/small-1") + len(b"org/small-1") + 1
        for i in range(seen):
            link.sendall(text[i:i + 1])
        eventually(lambda: h.status("small")["pending"] == 1)
        link.sendall(text[seen:])
        assert read_all(link).startswith(b"HTTP/1.1 200")
    assert len(engines[0].events("start")) == 1


def test_a_client_that_leaves_while_it_is_looked_for_leaves_nothing(api):
    h, _ = api
    link = h.connect()
    link.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100\r\n\r\n{{".encode())
    link.close()
    session = h.http2()
    session.ask(host=HOST, body=b'{"x":', end=False)
    session.close()
    eventually(lambda: "headrace_connections 0" in h.admin("/metrics")[1])
    h.quiet("small")


def test_it_wakes_the_endpoint_that_is_meant(start):
    h = start.headrace({"a": process_endpoint("--rate", 0, log_directory=start.directory),
                        "b": process_endpoint("--rate", 0, log_directory=start.directory)}, model_routing={"hosts": [HOST]})
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(h.call(host=HOST, body=body("b"), X_Scale_Up_Timeout="30").status))
               for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [200] * 3 and h.status("a")["replicas"] == []


def test_two_endpoints_may_not_claim_a_model(start):
    h = start.headrace({})
    path = start.directory / "bad.json"
    path.write_text(json.dumps({"endpoints": {n: {"access": "public", "driver": "static", "addresses": ["127.0.0.1:1"], "models": ["m"]}
                                              for n in ("a", "b")}}))
    done = h.command("check", config=path, check=False)
    assert done.returncode == 1 and "answers for the model m already" in done.stderr


def test_a_websocket_names_no_model(api):
    """Nor is what its client sends ahead taken for a body."""
    h, _ = api
    with h.connect() as link:
        link.sendall(f"GET /chat HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        answer = read_all(link)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"model_missing" in answer


def test_a_body_read_far_for_its_model_counts_in_the_hold(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory, hold_bytes_max=300000)},
                       model_routing={"hosts": [HOST]})
    link = h.http2()
    link.ask(host=HOST, body=body("ep", padding="x" * 200000), X_Scale_Up_Timeout="60")
    eventually(lambda: h.status("ep")["held"] == 1)
    answer = h.call(host=HOST, body=body("ep", padding="x" * 200000), X_Scale_Up_Timeout="60")
    assert (answer.status, answer.code) == (503, "too_many_held")
