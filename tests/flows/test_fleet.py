"""Two proxies, a scheduler, one Redis: one truth."""
import collections
import contextlib
import http.client
import json
import os
import threading
import time

import pytest
from harness import BODY, CHAT, STREAM, eventually, process_endpoint, read_all

ROUNDS = int(os.environ.get("HEADRACE_ROUNDS", "20"))
WAIT = (f"POST {CHAT} HTTP/1.1\r\nHost: ep.localhost\r\nX-Scale-Up-Timeout: 120\r\nContent-Length: {len(BODY)}\r\n"
        "Connection: close\r\n\r\n").encode() + BODY


def gated(start, *engine, **more):
    """An endpoint whose replica starts when the gate is there."""
    gate, log = start.directory / "gate", start.directory / "engine.log"
    e = process_endpoint("--rate", 0, "--log", log, *engine, log_directory=start.directory, **more)
    e["process"]["command"] = ["/bin/sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done; exec \"$@\"", "sh",
                               *e["process"]["command"]]
    return e, gate, log


def knows(proxy, name="ep"):
    eventually(lambda: any(e["name"] == name for e in json.loads(proxy.admin("/status")[1])["endpoints"]))
    eventually(lambda: proxy.admin("/ready")[0] == 200)


def fleet(start, endpoints, redis=None, proxies=2, **more):
    redis = redis or start.redis()
    scheduler = start.role("scheduler", redis, endpoints)
    edges = [start.role("proxy", redis, **more) for _ in range(proxies)]
    for edge in edges:
        for name in endpoints:
            knows(edge, name)
    return redis, scheduler, edges


def send(edge, data=WAIT):
    link = edge.connect()
    link.sendall(data)
    return link


def slow(ms):
    """A request to whose answer the engine takes that long."""
    return WAIT.replace(b"\r\nHost", f"\r\nX-Engine-Fault: slow-head={ms}\r\nHost".encode(), 1)


def status_of(link):
    with link:
        return int(read_all(link).split(b" ", 2)[1])


def test_200_held_by_two_proxies_are_answered_by_the_one_replica_that_starts(start):
    endpoint, gate, log = gated(start, scaling={"max_replicas": 4})
    redis, scheduler, edges = fleet(start, {"ep": endpoint})
    links = [send(edges[i % 2]) for i in range(200)]
    eventually(lambda: redis.sum("held") == 200 and redis.sum("pending") == 200)
    assert [r["held"] for r in redis.loads().values()] == [100, 100]
    for process in (scheduler, *edges):  # the same from anywhere, once each has looked
        eventually(lambda: process.status("ep")["held"] == 200)
    gate.touch()
    assert collections.Counter(map(status_of, links)) == {200: 200}
    assert len({e["pid"] for e in map(json.loads, log.read_text().splitlines()) if "pid" in e} or {1}) == 1
    words = scheduler.command("explain", "ep").stdout
    assert "0 -> 1" in words and "1 -> 2" not in words
    eventually(lambda: redis.sum("pending") == redis.sum("held") == redis.sum("open") == 0)
    scheduler.quiet("ep")


def test_the_integral_is_the_true_mean(start):
    engine = start.engine("--rate", "0")
    redis, _, edges = fleet(start, {"ep": engine.endpoint()})
    for edge in edges:
        assert eventually(lambda: edge.call().status == 200)
    eventually(lambda: redis.sum("pending") == 0 and redis.loads())
    before = redis.sum("pending_us")
    pending = []

    def ask(edge, ms):
        link = edge.connect()
        with link:
            began = time.monotonic()
            link.sendall(slow(ms))
            assert link.recv(1) == b"H"
            pending.append(time.monotonic() - began)
            read_all(link)
    threads = [threading.Thread(target=ask, args=(edges[i % 2], 1500 + 50 * i)) for i in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    eventually(lambda: redis.sum("pending") == redis.sum("open") == 0)
    integral = (redis.sum("pending_us") - before) / 1e6
    assert integral == pytest.approx(sum(pending), rel=0.01), (integral, sum(pending))


def test_a_killed_proxy_takes_its_share_with_it(start):
    endpoint, _, _ = gated(start)
    redis, _, (stays,) = fleet(start, {"ep": endpoint}, proxies=1)
    own = send(stays)
    eventually(lambda: redis.sum("held") == 1)
    for _ in range(ROUNDS):
        edge = start.role("proxy", redis)
        knows(edge)
        links = [send(edge) for _ in range(100)]
        eventually(lambda: redis.sum("pending") == 101)
        edge.kill()
        eventually(lambda: redis.sum("pending") == 1 and len(redis.proxies()) == 1)
        eventually(lambda: stays.status("ep")["pending"] == 1)
        for link in links:
            link.close()
    own.close()


def test_an_endpoint_goes_to_zero_in_time_though_a_proxy_died_with_its_requests(start):
    endpoint = process_endpoint("--rate", 0, log_directory=start.directory, scaling={"scale_to_zero_s": 5})
    redis, scheduler, (edge,) = fleet(start, {"ep": endpoint}, proxies=1)
    assert edge.call(X_Scale_Up_Timeout="30").status == 200
    links = [send(edge, slow(60000)) for _ in range(100)]
    eventually(lambda: redis.sum("pending") == 100)
    edge.kill()
    began = time.monotonic()
    eventually(lambda: scheduler.status("ep")["state"] == "scaledToZero" and not scheduler.status("ep")["replicas"])
    assert 5 <= time.monotonic() - began + 0.5 and time.monotonic() - began < 3.5 + 5 + 3
    for link in links:
        link.close()


def test_ten_thousand_short_requests_that_samples_miss_all_count(start):
    endpoint = process_endpoint("--rate", 0, log_directory=start.directory, scaling={"scale_to_zero_s": 2})
    redis, scheduler, edges = fleet(start, {"ep": endpoint})
    assert edges[0].call(X_Scale_Up_Timeout="30").status == 200
    stop, seen = threading.Event(), []

    def sample():
        while not stop.wait(0.25):
            seen.append(redis.sum("pending"))
    sampler = threading.Thread(target=sample)
    sampler.start()
    began = time.monotonic()

    def ask(edge):
        with edge.connect() as link:
            for n in range(2500):
                time.sleep(max(0, began + n * 0.002 - time.monotonic()))
                link.sendall(b"GET /v1/models HTTP/1.1\r\nHost: ep.localhost\r\nX-Engine-Fault: slow-head=1\r\n\r\n")
                data = b""
                while not data.rstrip().endswith(b"}") or b"\r\n\r\n" not in data:
                    data += link.recv(65536)
    threads = [threading.Thread(target=ask, args=(edge,)) for edge in edges * 2]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    ended = time.monotonic()
    stop.set()
    sampler.join()
    assert sum(seen) < 5000  # what a scheduler would know that only looks at pending
    eventually(lambda: scheduler.status("ep")["state"] == "scaledToZero")
    assert 1.5 < time.monotonic() - ended
    assert "after 10001 requests" in scheduler.command("explain", "ep").stdout


def test_room_is_shared_by_the_proxies_and_never_exceeded(start):
    engine = start.engine("--rate", "0")
    redis, _, edges = fleet(start, {"ep": engine.endpoint(concurrency_max=8, queue_max_s=60)})
    links = [send(edges[0 if i % 4 else 1], slow(50)) for i in range(120)]
    assert collections.Counter(map(status_of, links)) == {200: 120}
    assert 4 <= engine.most_at_once() <= 8
    eventually(lambda: not [k for k in redis.cli("keys", "headrace:quota:*").split() if redis.cli("hlen", k) != "0"])


def test_one_place_goes_round(start):
    engine = start.engine("--rate", "0")
    _, _, edges = fleet(start, {"ep": engine.endpoint(concurrency_max=1, queue_max_s=60)})
    links = [send(edges[i % 2], slow(100)) for i in range(40)]
    assert collections.Counter(map(status_of, links)) == {200: 40}
    assert engine.most_at_once() == 1


def test_another_concurrency_max_reaches_replicas_that_stay(start):
    engine = start.engine("--rate", "0")
    redis, scheduler, (edge,) = fleet(start, {"ep": engine.endpoint(concurrency_max=1, queue_max_s=60)}, proxies=1)
    eventually(lambda: edge.call().status == 200)
    for limit in (4, 0, 2):
        scheduler.stop()
        start.forget(scheduler)
        scheduler = start.role("scheduler", redis, {"ep": engine.endpoint(concurrency_max=limit, queue_max_s=60)})
        eventually(lambda: json.loads(redis.cli("hget", "headrace:endpoint:{ep}", "definition"))["concurrency_max"] == limit)
        links = [send(edge, slow(1000)) for _ in range(6)]
        eventually(lambda: edge.status("ep")["replicas"][0]["active"] == (limit or 6))
        assert collections.Counter(map(status_of, links)) == {200: 6}
        edge.quiet("ep")
    assert engine.most_at_once() == 6


def test_waiters_ask_for_places_when_their_replica_is_ready(start):
    """Not only at the next refresh."""
    endpoint, gate, _ = gated(start, concurrency_max=4)
    redis, _, (edge,) = fleet(start, {"ep": endpoint}, proxies=1, store={"refresh_ms": 8000, "lease_ms": 20000})
    link = send(edge)
    eventually(lambda: redis.sum("held") == 1)
    gate.touch()
    eventually(lambda: any(r["state"] == "ready" for r in edge.status("ep")["replicas"]))
    began = time.monotonic()
    assert status_of(link) == 200 and time.monotonic() - began < 4


def test_changes_reach_every_proxy_without_a_message_too(start):
    redis = start.redis()
    scheduler = start.role("scheduler", redis, {"ep": process_endpoint("--rate", 0, log_directory=start.directory)})
    edge = start.role("proxy", redis, tokens=())
    knows(edge)
    redis.cli("client", "kill", "type", "pubsub")
    redis.cli("acl", "setuser", "default", "resetchannels")  # nobody can subscribe or publish from now on
    assert edge.call(X_Scale_Up_Timeout="30").status in (200, 503)
    redis.cli("acl", "setuser", "default", "allchannels")
    eventually(lambda: edge.call(X_Scale_Up_Timeout="30").status == 200)
    scheduler.quiet("ep")


def test_a_draining_replica_waits_for_every_proxy(start):
    endpoint = process_endpoint("--rate", 0, "--tokens", 20, log_directory=start.directory, scaling={"scale_to_zero_s": 1})
    redis, scheduler, edges = fleet(start, {"ep": endpoint})
    assert edges[0].call(X_Scale_Up_Timeout="30").status == 200
    slow = edges[1].http2()
    stream = slow.ask(x_engine_fault="slow-body=300", body=STREAM)
    eventually(lambda: redis.sum("open") == 1)
    answer = slow.wait(stream)
    assert answer.status == 200 and answer.body.rstrip().endswith(b"[DONE]")
    slow.close()
    eventually(lambda: scheduler.status("ep")["state"] == "scaledToZero" and not scheduler.status("ep")["replicas"])
    events = [line for line in scheduler.errors().splitlines() if "ep-1" in line]
    assert [e.rsplit(" ", 1)[1] for e in events[-2:]] == ["drains", "stopped"]


def test_a_standby_takes_over_and_goes_on_with_the_children(start):
    endpoint = process_endpoint("--rate", 0, "--tokens", 30, log_directory=start.directory, scaling={"min_replicas": 1})
    ports = {"port_min": 29500, "port_max": 29599, "state_directory": str(start.directory / "state"), "tick_ms": 100}
    redis = start.redis()
    first = start.role("scheduler", redis, {"ep": endpoint}, scheduler=ports)
    edge = start.role("proxy", redis)
    knows(edge)
    eventually(lambda: edge.call(X_Scale_Up_Timeout="30").status == 200)
    second = start.role("scheduler", redis, {"ep": endpoint}, scheduler=ports)
    assert json.loads(second.admin("/status")[1])["leads"] is False
    slow = edge.http2()
    stream = slow.ask(x_engine_fault="slow-body=200", body=STREAM)
    before = first.status("ep")["replicas"]
    first.kill()
    eventually(lambda: json.loads(second.admin("/status")[1])["leads"])
    assert [r["address"] for r in second.status("ep")["replicas"]] == [r["address"] for r in before]
    answer = slow.wait(stream)
    assert answer.status == 200 and answer.body.rstrip().endswith(b"[DONE]")
    slow.close()
    assert edge.call().status == 200 and "is taken over" in second.errors()


def test_a_standby_ends_what_was_being_stopped(start):
    endpoint = process_endpoint("--rate", 0, log_directory=start.directory, scaling={"scale_to_zero_s": 1})
    pid = start.directory / "pid"
    script = f"trap '' TERM; echo $$ > {pid}; \"$@\"; while :; do sleep 0.1; done"  # only KILL ends it
    endpoint["process"]["command"] = ["/bin/sh", "-c", script, "sh", *endpoint["process"]["command"]]
    redis, first, (edge,) = fleet(start, {"ep": endpoint}, proxies=1)
    assert edge.call(X_Scale_Up_Timeout="30").status == 200
    second = start.role("scheduler", redis, {"ep": endpoint})
    eventually(lambda: redis.cli("hvals", "headrace:replicas:{ep}") and "stopped" in redis.cli("hvals", "headrace:replicas:{ep}"))
    first.kill()
    eventually(lambda: not os.path.exists(f"/proc/{pid.read_text().strip()}"))
    assert "is taken over" in second.errors()


def test_a_scheduler_that_ends_leaves_static_replicas_alone(start):
    engine = start.engine("--rate", "0")
    _, scheduler, edges = fleet(start, {"ep": engine.endpoint()})
    eventually(lambda: edges[0].call().status == 200)
    scheduler.stop()
    start.forget(scheduler)
    assert all(edge.call().status == 200 for edge in edges)


def test_a_proxy_that_knows_nothing_yet_says_so(start):
    redis = start.redis()
    edge = start.role("proxy", redis, wait=False, model_routing={"hosts": ["models.localhost"]})
    eventually((edge.directory / "admin.sock").exists)
    assert edge.admin("/ready")[0] == 503
    for host in ("ep.localhost", "models.localhost"):
        answer = edge.call(host=host)
        assert answer.status == 503 and answer.code == "starting" and answer.headers["retry-after"] == "1"
    engine = start.engine("--rate", "0")
    start.role("scheduler", redis, {"ep": engine.endpoint()})
    eventually(lambda: edge.call().status == 200)
    assert edge.call(host="other.localhost").status == 404


def test_endpoints_that_are_not_configured_any_more_go(start):
    engine = start.engine("--rate", "0")
    redis, scheduler, (edge,) = fleet(start, {"ep": engine.endpoint(), "old": engine.endpoint()}, proxies=1)
    eventually(lambda: edge.call(host="old.localhost").status == 200)
    scheduler.stop()
    start.forget(scheduler)
    start.role("scheduler", redis, {"ep": engine.endpoint()})
    eventually(lambda: edge.call(host="old.localhost").status == 404)
    eventually(lambda: edge.call().status == 200)


def test_roles_need_redis(start):
    h = start.headrace({})
    for role in ("proxy", "scheduler"):
        done = h.command(role, check=False)
        assert done.returncode == 1 and 'set it to "redis"' in done.stderr


def test_rolling_restart_under_load_loses_nothing(start):
    engine = start.engine("--rate", "0", "--tokens", "5")
    redis, _, edges = fleet(start, {"ep": engine.endpoint()})
    balancer = start.balancer([e.port for e in edges])
    stop, statuses, problems = threading.Event(), collections.Counter(), []

    def ask():
        while not stop.is_set():
            link = http.client.HTTPConnection("127.0.0.1", balancer.port, timeout=30)
            with contextlib.closing(link):
                try:
                    for _ in range(5):
                        link.request("POST", CHAT, STREAM, {"Host": "ep.localhost"})
                        answer = link.getresponse()
                        body = answer.read()
                        statuses[answer.status] += 1
                        if not body.rstrip().endswith(b"[DONE]"):
                            problems.append(body)
                        if answer.will_close:
                            break
                except http.client.RemoteDisconnected as gone:
                    if _ == 0:  # an idle connection may be closed at any time; a new one may not
                        problems.append(gone)
                except Exception as problem:
                    problems.append(problem)
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads:
        t.start()
    for i in range(2):
        count = sum(statuses.values())
        eventually(lambda: sum(statuses.values()) > count + 50)
        old = edges[i]
        old.stop(gently=True)
        start.forget(old)
        edges[i] = start.role("proxy", redis, listeners=[{"address": f"127.0.0.1:{old.port}", "tls": False}])
        edges[i].port = old.port
        knows(edges[i])
        eventually(lambda: edges[i].status("ep") and edges[i].call().status == 200)
    count = sum(statuses.values())
    eventually(lambda: sum(statuses.values()) > count + 50)
    stop.set()
    for t in threads:
        t.join()
    assert not problems and set(statuses) == {200}, (problems[:3], statuses)


def test_a_proxy_that_drains_does_not_keep_replicas(start):
    """Workers without clients have ended; they would never say that they know."""
    redis, engine = start.redis(), start.engine("--tokens", 100000, "--rate", 20)
    endpoints = {"ep": engine.endpoint(), "cold": process_endpoint("--rate", 0, log_directory=start.directory, scaling={"scale_to_zero_s": 1})}
    scheduler, proxy = start.role("scheduler", redis, endpoints), start.role("proxy", redis, drain_s=600, drain_idle_s=0, workers=2)
    eventually(lambda: proxy.call(host="ep.localhost", path="/health", method="GET", body=None).status == 200)
    streaming = proxy.connect()
    streaming.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: {len(STREAM)}\r\n\r\n".encode() + STREAM)
    assert streaming.recv(100)
    assert proxy.call(host="cold.localhost", X_Scale_Up_Timeout="30").status == 200
    proxy.process.terminate()
    eventually(lambda: not scheduler.status("cold")["replicas"])
    assert proxy.process.poll() is None and streaming.recv(100)
    proxy.process.terminate()
    assert proxy.process.wait(20) == 0
