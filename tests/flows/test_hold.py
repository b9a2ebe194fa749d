"""Many requests in the hold: none lost, in order, within the limits."""
import collections
import json

from harness import BODY, CHAT, eventually, process_endpoint, read_all

TOKENS = [(f"t{i}", f"hr_t{i}", "--owner", "me") for i in range(4)]
HEAD = ("POST {path} HTTP/1.1\r\nHost: ep.localhost\r\nAuthorization: Bearer hr_t{token}\r\nX-Request-Id: r{n}-t{token}\r\n"
        "X-Scale-Up-Timeout: 120\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")


def gated(start, *engine, **more):
    """A private endpoint of one replica that starts when the gate is there."""
    gate, log = start.directory / "gate", start.directory / "engine.log"
    e = process_endpoint("--log", log, *engine, log_directory=start.directory, access="private", owner="me",
                         scaling={"max_replicas": 1}, **more)
    e["process"]["command"] = ["/bin/sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done; exec \"$@\"", "sh",
                               *e["process"]["command"]]
    return e, gate, log


def hold_many(h, count, per_connection=50):
    """Half by HTTP/1.1, half by HTTP/2, tokens in turn; each is in the hold before the next one of its token."""
    links, sessions, streams = [], [], []
    for n in range(count):
        token = n // 2 % 4
        if n % 2 == 0:
            link = h.connect()
            link.sendall(HEAD.format(path=CHAT, n=n, token=token, length=len(BODY)).encode() + BODY)
            links.append(link)
        else:
            if len(streams) % per_connection == 0:
                sessions.append(h.http2())
            streams.append((sessions[-1], sessions[-1].ask(token=f"hr_t{token}", X_Request_Id=f"r{n}-t{token}",
                                                           X_Scale_Up_Timeout="120")))
        eventually(lambda: h.status("ep")["held"] == n + 1)
    return links, streams


def collect(links, streams):
    statuses = collections.Counter()
    for link in links:
        with link:
            statuses[int(read_all(link).split(b" ", 2)[1])] += 1
    for session, stream in streams:
        statuses[session.wait(stream).status] += 1
    return statuses


def order_of(log, token):
    return [int(e["id"][1:].split("-")[0]) for e in log if e["event"] == "start" and e["id"].endswith(f"-t{token}")]


def test_a_thousand_held_requests_are_all_answered_by_the_one_replica(start):
    endpoint, gate, log = gated(start, "--tokens", 2)
    h = start.headrace({"ep": endpoint}, tokens=TOKENS, workers=1)
    links, streams = hold_many(h, 1000)
    assert h.status("ep")["pending"] == 1000
    gate.touch()
    assert collect(links, streams) == {200: 1000}
    h.quiet("ep")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len([e for e in lines if e["event"] == "start" and e["id"].startswith("r")]) == 1000
    assert len(h.status("ep")["replicas"]) == 1
    for token in range(4):  # let go all at once: which connection is up first, the kernel decides
        assert sorted(order_of(lines, token)) == [n for n in range(1000) if n // 2 % 4 == token]


def test_concurrency_max_is_never_passed_and_tokens_keep_their_order(start):
    endpoint, gate, log = gated(start, "--tokens", 2, concurrency_max=8)
    h = start.headrace({"ep": endpoint}, tokens=TOKENS, workers=1)
    links, streams = hold_many(h, 200)
    gate.touch()
    assert collect(links, streams) == {200: 200}
    h.quiet("ep")
    starts = [e for e in map(json.loads, log.read_text().splitlines()) if e["event"] == "start" and e["id"].startswith("r")]
    assert len(starts) == 200 and max(e["active"] for e in starts) == 8


def test_one_at_a_time_each_token_is_served_oldest_first_and_they_take_turns(start):
    endpoint, gate, log = gated(start, "--tokens", 1, concurrency_max=1)
    h = start.headrace({"ep": endpoint}, tokens=TOKENS)
    links, streams = [], []
    for n in range(80):
        session = h.http2()
        streams.append((session, session.ask(token=f"hr_t{0 if n < 50 else n % 4}", X_Request_Id=f"r{n}-t{0 if n < 50 else n % 4}",
                                             X_Scale_Up_Timeout="120")))
        eventually(lambda: h.status("ep")["held"] == n + 1)
    gate.touch()
    assert collect(links, streams) == {200: 80}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for token in range(4):
        order = order_of(lines, token)
        assert order and order == sorted(order)
    first = [e["id"].split("-t")[1] for e in lines if e["event"] == "start" and e["id"].startswith("r")][:12]
    assert collections.Counter(first) == {str(t): 3 for t in range(4)}  # fifty of one token do not starve the others


def test_a_full_hold_refuses(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory, hold_requests_max=3)})
    link = h.http2()
    for _ in range(3):
        link.ask(X_Scale_Up_Timeout="60")
    eventually(lambda: h.status("ep")["held"] == 3)
    assert (h.call(X_Scale_Up_Timeout="60").status, h.call(X_Scale_Up_Timeout="60").code) == (503, "too_many_held")


def test_a_full_hold_in_bytes_refuses(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory, hold_bytes_max=70000)})
    link = h.http2()
    link.ask(body=b"x" * 50000, X_Scale_Up_Timeout="60")
    eventually(lambda: h.status("ep")["held"] == 1)
    assert h.call(body=b"x" * 30000, X_Scale_Up_Timeout="60").code == "too_many_held"


def test_a_busy_endpoint_queues_then_says_429(start):
    engine = start.engine()
    h = start.headrace({"ep": engine.endpoint(concurrency_max=1, queue_max_s=1, hold_requests_max=1)})
    link = h.http2()
    link.ask(x_engine_fault="never")
    eventually(lambda: h.status("ep")["pending"] == 1)
    waiting = link.ask()
    eventually(lambda: h.status("ep")["held"] == 1)
    assert h.call().code == "too_many_requests"
    answer = link.wait(waiting)
    assert answer.status == 429 and answer.code == "endpoint_busy"
    link.close()
    h.quiet("ep")
    assert h.call().status == 200
    eventually(lambda: [line["ended"] for line in h.log() if line.get("error") == "endpoint_busy"] == ["timeout"])


def test_who_waited_in_vain_is_counted_as_a_timeout(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory)})
    assert h.call(X_Scale_Up_Timeout="1").code == "scale_up_timeout"
    assert eventually(h.log)[0]["ended"] == "timeout"
    text = h.admin("/metrics")[1]
    assert 'headrace_endings_total{endpoint="ep",ending="timeout"} 1\n' in text
    assert 'headrace_endings_total{endpoint="ep",ending="own_answer"} 0\n' in text


def test_a_woken_replica_that_refuses_costs_its_waiters_nothing(start):
    """The replica closes its listener for a while right after it was found healthy."""
    h = start.headrace({"ep": process_endpoint("--load-ms", 500, log_directory=start.directory)})
    assert h.call(X_Scale_Up_Timeout="60").status == 200
    assert h.call(x_engine_fault="refuse=300").status in (200, 502)
    link = h.http2()
    streams = [link.ask(X_Scale_Up_Timeout="60") for _ in range(20)]
    assert all(link.wait(s).status == 200 for s in streams)
    h.quiet("ep")
