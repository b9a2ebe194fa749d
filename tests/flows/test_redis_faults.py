"""Redis refused, paused, restarted empty, failed over: under load, with streams open and requests held."""
import collections
import contextlib
import http.client
import json
import os
import threading
import time

import pytest
from harness import CHAT, ROOT, STREAM, eventually, free_port
from test_fleet import fleet, knows, send, status_of

SHORT = json.dumps({"model": "m", "stream": True, "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]}).encode()
PAUSE_S = float(os.environ.get("HEADRACE_PAUSE_S", "10"))
TOKEN = ("t", "hr_t", "--owner", "me")


class Load:
    """Requests all the time through each proxy, and streams that stay open; anything that goes wrong is kept."""

    def __init__(self, edges):
        self.stopped, self.statuses, self.problems = threading.Event(), collections.Counter(), []
        self.sessions = [edge.http2() for edge in edges for _ in range(2)]
        self.streams = [(s, s.ask(body=STREAM, token="hr_t")) for s in self.sessions for _ in range(3)]
        self.threads = [threading.Thread(target=self.ask, args=(edge,)) for edge in edges for _ in range(2)]
        for t in self.threads:
            t.start()

    def ask(self, edge):
        link = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=30)
        with contextlib.closing(link):
            while not self.stopped.is_set():
                try:
                    link.request("POST", CHAT, SHORT, {"Host": "ep.localhost", "Authorization": "Bearer hr_t"})
                    answer = link.getresponse()
                    body = answer.read()
                    self.statuses[answer.status] += 1
                    if answer.status != 200 or not body.rstrip().endswith(b"[DONE]"):
                        self.problems.append(body)
                except (OSError, http.client.HTTPException) as problem:
                    self.problems.append(problem)

    def end(self):
        """All requests ended well, and all streams to their last event."""
        self.stopped.set()
        for t in self.threads:
            t.join()
        for session, stream in self.streams:
            answer = session.wait(stream)
            assert answer.status == 200 and answer.reset is None and answer.body.rstrip().endswith(b"[DONE]")
        for session in self.sessions:
            session.close()
        assert not self.problems and set(self.statuses) == {200} and self.statuses[200] > 10, (self.problems[:3], self.statuses)


def loaded(start, redis, store=None):
    engine = start.engine("--rate", "20", "--tokens", "500")  # streams of 25 s
    scheduler = start.role("scheduler", store or redis, {"ep": engine.endpoint(access="private", owner="me")}, tokens=[TOKEN])
    edges = [start.role("proxy", store or redis) for _ in range(2)]
    for edge in edges:
        knows(edge)
        eventually(lambda: edge.call(token="hr_t", body=SHORT).status == 200)
    load = Load(edges)
    eventually(lambda: redis.sum("open") >= 12)
    return scheduler, edges, load, engine


def away(process):
    return not json.loads(process.admin("/status")[1])["store"]["up"]


def counts_are_right(redis, edges, began):
    """Seconds until both proxies' records are there again, with their streams."""
    eventually(lambda: (redis.cli("ping") == "PONG" and len(redis.loads()) == len(edges) and redis.sum("open") >= 12))
    return time.monotonic() - began


def serves_blind(scheduler, edges):
    for process in (scheduler, *edges):
        eventually(lambda: away(process))
    for edge in edges:
        status, text = edge.admin("/ready")
        assert status == 200 and "the store has been away for" in text
        assert "headrace_store_up 0" in edge.admin("/metrics")[1]
        assert edge.call(token="hr_t", body=SHORT).status == 200 and edge.call(token="hr_unknown").status == 401


def back(scheduler, edges, load, redis, began):
    print(f"counts right after {counts_are_right(redis, edges, began):.3f} s")
    for process in (scheduler, *edges):
        eventually(lambda: not away(process))
    load.end()
    for edge in edges:
        assert edge.call(token="hr_t", body=SHORT).status == 200
        assert "headrace_store_up 1" in edge.admin("/metrics")[1]
    assert scheduler.status("ep")["state"] == "running"
    assert not [line for line in scheduler.errors().splitlines() if "drains" in line or "is stopped" in line]
    scheduler.quiet("ep")


def test_redis_refuses_connections_for_a_while(start):
    redis = start.redis()
    scheduler, edges, load, _ = loaded(start, redis)
    redis.save_and_stop()
    serves_blind(scheduler, edges)
    redis.start()
    back(scheduler, edges, load, redis, time.monotonic())


def test_redis_hangs(start):
    redis = start.redis()
    scheduler, edges, load, _ = loaded(start, redis)
    redis.pause()
    began = time.monotonic()
    serves_blind(scheduler, edges)
    eventually(lambda: time.monotonic() - began >= PAUSE_S)
    redis.resume()
    back(scheduler, edges, load, redis, time.monotonic())


def test_redis_comes_back_empty(start):
    redis = start.redis()
    scheduler, edges, load, _ = loaded(start, redis)
    redis.kill()
    serves_blind(scheduler, edges)
    redis.start()
    back(scheduler, edges, load, redis, time.monotonic())
    # what was lost has been said again: a proxy that comes now knows all
    newcomer = start.role("proxy", redis)
    knows(newcomer)
    eventually(lambda: newcomer.call(token="hr_t", body=SHORT).status == 200)
    assert redis.cli("hlen", "headrace:tokens") == "1"


def test_sentinel_fails_over(start):
    master = start.redis()
    other = start.redis("--replicaof", "127.0.0.1", str(master.port))
    sentinels = start.sentinels(master)
    scheduler, edges, load, _ = loaded(start, master, sentinels)
    master.kill()
    began = time.monotonic()
    back(scheduler, edges, load, other, began)
    assert other.cli("role").split()[0] == "master"


def test_tokens_are_believed_for_so_long_only(start):
    redis, engine = start.redis(), start.engine("--rate", "0")
    endpoints = {"ep": engine.endpoint(access="private", owner="me"), "open": engine.endpoint()}
    start.role("scheduler", redis, endpoints, tokens=[TOKEN])
    edge = start.role("proxy", redis, store={"kind": "redis", "redis": redis.settings(), "token_stale_max_s": 1})
    eventually(lambda: edge.call(token="hr_t").status == 200 and edge.call(host="open.localhost").status == 200)
    redis.save_and_stop()
    answer = eventually(lambda: (a := edge.call(token="hr_t")).status == 503 and a)
    assert answer.code == "starting" and "headrace_tokens_stale 1" in edge.admin("/metrics")[1]
    assert edge.call(host="open.localhost").status == 200
    redis.start()
    eventually(lambda: edge.call(token="hr_t").status == 200)
    assert "headrace_tokens_stale 0" in edge.admin("/metrics")[1]


def test_for_how_long_tokens_are_believed_may_change_meanwhile(start):
    redis, engine = start.redis(), start.engine("--rate", "0")
    start.role("scheduler", redis, {"ep": engine.endpoint(access="private", owner="me")}, tokens=[TOKEN])
    edge = start.role("proxy", redis)
    eventually(lambda: edge.call(token="hr_t").status == 200)
    redis.save_and_stop()
    eventually(lambda: "headrace_store_up 0" in edge.admin("/metrics")[1])
    for most_s, status in ((1, 503), (0, 200), (1, 503), (600, 200)):
        config = json.loads(edge.config.read_text())
        config["store"]["token_stale_max_s"] = most_s
        edge.config.write_text(json.dumps(config))
        edge.command("reload")
        eventually(lambda: edge.call(token="hr_t").status == status)


def test_a_standby_does_nothing_while_it_is_blind(start):
    redis = start.redis()
    engine = start.engine("--rate", "0")
    _, scheduler, edges = fleet(start, {"ep": engine.endpoint()}, redis=redis)
    standby = start.role("scheduler", redis, {"ep": engine.endpoint()})
    redis.pause()
    eventually(lambda: away(standby) and away(scheduler))
    redis.resume()
    eventually(lambda: not away(standby) and not away(scheduler))
    eventually(lambda: sum(json.loads(s.admin("/status")[1])["leads"] for s in (scheduler, standby)) == 1)
    assert all(edge.call().status == 200 for edge in edges)


def test_a_password_a_user_and_a_database(start):
    redis = start.redis("--user", "edge", "on", ">geheim", "~headrace:*", "&headrace:*", "+@read", "+@write",
                        "+@scripting", "+@pubsub", "+@connection", "+@transaction", "+role", "+time")
    engine = start.engine("--rate", "0")
    settings = redis.settings(user="edge", password="geheim", database=3)
    redis.settings = lambda: settings
    _, _, (edge,) = fleet(start, {"ep": engine.endpoint()}, redis=redis, proxies=1)
    eventually(lambda: edge.call().status == 200)
    assert redis.cli("-n", 3, "exists", "headrace:endpoints") == "1"


def test_a_wrong_password_is_said(start):
    redis = start.redis("--requirepass", "geheim", password="geheim")
    redis.settings = lambda: {"address": f"127.0.0.1:{redis.port}", "password": "falsch"}
    edge = start.role("proxy", redis, wait=False)
    eventually(lambda: "WRONGPASS" in edge.errors())
    redis.settings = lambda: {"address": f"127.0.0.1:{redis.port}"}
    edge = start.role("proxy", redis, wait=False)
    eventually(lambda: "set store.redis.password" in edge.errors())
    done = edge.command("token", "list", check=False)
    assert done.returncode == 1 and "password" in done.stderr


def test_a_unix_socket(start):
    path = start.directory / "redis.sock"
    redis = start.redis("--unixsocket", str(path))
    redis.settings = lambda: {"address": f"unix:{path}"}
    engine = start.engine("--rate", "0")
    _, _, (edge,) = fleet(start, {"ep": engine.endpoint()}, redis=redis, proxies=1)
    eventually(lambda: edge.call().status == 200)


def test_a_cluster_keeps_a_fleet_in_one_slot(start):
    bus = [free_port() for _ in range(2)]
    nodes = [start.redis("--cluster-enabled", "yes", "--cluster-config-file", f"nodes{i}.conf", "--cluster-port", str(bus[i])) for i in range(2)]
    ranges = ((0, 8191), (8192, 16383))
    for node, (first, last) in zip(nodes, ranges):
        node.cli("cluster", "addslotsrange", first, last)
    nodes[0].cli("cluster", "meet", "127.0.0.1", nodes[1].port, bus[1])
    eventually(lambda: all("cluster_state:ok" in n.cli("cluster", "info") and "cluster_known_nodes:2" in n.cli("cluster", "info")
                           for n in nodes))
    engine = start.engine("--rate", "0")
    for i, node in enumerate(nodes):  # one of them is not where the keys are
        node.settings = lambda node=node, i=i: {"address": f"127.0.0.1:{node.port}", "prefix": f"{{fleet{i // 2}}}:"}
    start.role("scheduler", nodes[0], {"ep": engine.endpoint()})
    for node in nodes:
        edge = start.role("proxy", node)
        knows(edge)
        eventually(lambda: edge.call().status == 200)


def test_a_name_is_resolved(start):
    redis = start.redis()
    redis.settings = lambda: {"address": f"localhost.localdomain:{redis.port}"}
    edge = start.role("proxy", redis, wait=False)
    eventually((edge.directory / "admin.sock").exists)
    eventually(lambda: "cannot be resolved" in edge.errors() or edge.admin("/ready")[0] in (200, 503))


def test_a_token_revoked_on_one_machine_is_refused_on_the_other(start):
    redis = start.redis()
    endpoint = {"access": "private", "owner": "me", "driver": "process", "process": {"command": ["sleep", "1000"]}}
    scheduler = start.role("scheduler", redis, {"ep": endpoint}, tokens=[TOKEN, ("u", "hr_u", "--owner", "me")])
    edges = [start.role("proxy", redis) for _ in range(2)]
    for edge in edges:
        knows(edge)
        eventually(lambda: edge.call(token="hr_t").status == 503)
    head = (f"GET / HTTP/1.1\r\nHost: ep.localhost\r\nX-Scale-Up-Timeout: 60\r\nAuthorization: Bearer hr_%s\r\n"
            "Connection: close\r\n\r\n")
    held = send(edges[1], (head % "t").encode())
    other = send(edges[1], (head % "u").encode())
    eventually(lambda: redis.sum("held") == 2)
    edges[0].command("token", "revoke", "t")
    began = time.monotonic()
    assert status_of(held) == 401
    eventually(lambda: edges[1].call(token="hr_t").status == 401)
    assert time.monotonic() - began < 1
    assert redis.sum("held") <= 2 and "u " in edges[1].command("token", "list").stdout
    other.close()
    done = scheduler.command("token", "add", "u", "--token", "hr_x", check=False)
    assert done.returncode == 1 and "already" in done.stderr


def burst(edge, count, **more):
    return collections.Counter(edge.call(token="hr_l", **more).status for _ in range(count))


@pytest.fixture
def limited(start):
    def start_with(*limits, redis=None):
        redis = redis or start.redis()
        engine = start.engine("--rate", "0")
        start.role("scheduler", redis, {"ep": engine.endpoint(access="private", owner="me")},
                   tokens=[("l", "hr_l", "--owner", "me", *limits), TOKEN])
        edges = [start.role("proxy", redis) for _ in range(2)]
        for edge in edges:
            knows(edge)
            eventually(lambda: edge.call(token="hr_t").status == 200)
        return redis, edges
    return start_with


def test_requests_per_second_of_a_token_hold_in_the_whole_fleet(limited):
    _, edges = limited("--rate", "20")
    counts, stop = collections.Counter(), threading.Event()

    def ask(edge):
        while not stop.wait(0.01):
            answer = edge.call(token="hr_l")
            counts[answer.status] += 1
            if answer.status == 429:
                assert answer.code == "rate_limit_exceeded" and int(answer.headers["retry-after"]) >= 1
    threads = [threading.Thread(target=ask, args=(edge,)) for edge in edges]
    began = time.monotonic()
    for t in threads:
        t.start()
    eventually(lambda: counts[200] >= 100)
    took = time.monotonic() - began
    stop.set()
    for t in threads:
        t.join()
    assert counts[429] > 0 and set(counts) == {200, 429}
    assert counts[200] <= 20 * took + 60  # a burst of a second's worth, and what moves between the proxies
    assert edges[0].call(token="hr_t").status == 200


def test_requests_at_once_of_a_token_hold_in_the_whole_fleet(limited):
    _, edges = limited("--concurrency", "4")
    slow = [edge.http2() for edge in edges]
    first = [(slow[0], slow[0].ask(token="hr_l", x_engine_fault="slow-head=3000")) for _ in range(2)]
    second = [(slow[1], slow[1].ask(token="hr_l", x_engine_fault="slow-head=3000")) for _ in range(2)]
    eventually(lambda: edges[0].status("ep")["pending"] == 4)
    eventually(lambda: {edge.call(token="hr_l").status for edge in edges} == {429})
    assert all(session.wait(stream).status == 200 for session, stream in first + second)
    for session in slow:
        session.close()
    assert eventually(lambda: edges[1].call(token="hr_l").status == 200)


def test_a_fair_share_of_limits_holds_while_redis_is_away(limited):
    redis, edges = limited("--concurrency", "4")
    eventually(lambda: all("headrace_store_proxies 2" in edge.admin("/metrics")[1] for edge in edges))
    redis.kill()
    eventually(lambda: all(away(edge) for edge in edges))
    for edge in edges:
        session = edge.http2()
        streams = [session.ask(token="hr_l", x_engine_fault="slow-head=1000") for _ in range(6)]
        assert collections.Counter(session.wait(s).status for s in streams) == {200: 2, 429: 4}
        session.close()


def test_the_examples_are_good(start):
    h = start.headrace({})
    for path in sorted((ROOT / "conf" / "fleet").glob("*.json")):
        assert h.command("check", config=path).stdout.endswith(": good\n")
