"""A Redis that is there and yet no good: slow, refusing, put back to an earlier day, or holding what nobody should have written."""
import collections
import hashlib
import json
import random
import threading
import time

from harness import eventually, free_port
from test_fleet import fleet, knows, send, slow, status_of
from test_redis_faults import away


def connections(redis):
    return int(redis.cli("info", "stats").split("total_connections_received:")[1].split()[0])


def test_places_stay_ours_while_redis_is_away(start):
    redis = start.redis()
    engine = start.engine("--rate", "0")
    _, _, (edge,) = fleet(start, {"ep": engine.endpoint(concurrency_max=2, queue_max_s=1)}, redis=redis, proxies=1)
    links = [send(edge, slow(1500)) for _ in range(2)]
    eventually(lambda: edge.status("ep")["replicas"][0]["active"] == 2)
    redis.kill()
    assert [status_of(link) for link in links] == [200, 200]
    eventually(lambda: away(edge))
    began = time.monotonic()
    while time.monotonic() - began < 2:  # more than a few refreshes with nobody there
        assert edge.call().status == 200


def test_room_is_not_exceeded_over_a_slow_link(start):
    redis = start.redis()
    link = start.slow_link(redis.port, 0.06)
    redis.settings = lambda: {"address": f"127.0.0.1:{link.port}"}
    engine = start.engine("--rate", "0")
    _, _, edges = fleet(start, {"ep": engine.endpoint(concurrency_max=8, queue_max_s=60)}, redis=redis)
    counts, ends = collections.Counter(), time.monotonic() + 15

    def waves(edge, chance):
        while time.monotonic() < ends:
            links = [send(edge, slow(chance.randint(20, 400))) for _ in range(chance.choice((1, 2, 5, 12, 20)))]
            counts.update(map(status_of, links))
            time.sleep(chance.random() * 0.3)
    threads = [threading.Thread(target=waves, args=(edges[i % 2], random.Random(i))) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert set(counts) == {200} and 4 <= engine.most_at_once() <= 8


def test_a_redis_that_refuses_writes_is_asked_less_and_less_often(start):
    redis = start.redis()
    engine = start.engine("--rate", "0")
    _, scheduler, edges = fleet(start, {"ep": engine.endpoint()}, redis=redis)
    before = connections(redis)
    redis.cli("config", "set", "min-replicas-to-write", "1")
    for process in (scheduler, *edges):
        eventually(lambda: away(process))
    began = time.monotonic()
    while time.monotonic() - began < 3:
        assert all(edge.call().status == 200 for edge in edges)
    assert connections(redis) - before < 60  # of three processes; 20 ms apart they would be 450
    for process in (scheduler, *edges):
        assert process.errors().count("NOREPLICAS") == 1
    redis.cli("config", "set", "min-replicas-to-write", "0")
    for process in (scheduler, *edges):
        eventually(lambda: not away(process))


def test_a_sentinel_that_knows_no_better_is_passed_over(start):
    master = start.redis()
    start.redis("--replicaof", "127.0.0.1", str(master.port))
    sentinels = start.sentinels(master)
    sentinels.start_misled(free_port())
    engine = start.engine("--rate", "0")
    _, _, (edge,) = fleet(start, {"ep": engine.endpoint()}, redis=sentinels, proxies=1)
    assert edge.call().status == 200


def test_what_nobody_should_have_written_is_passed_over(start):
    redis = start.redis()
    engine = start.engine("--rate", "0")
    redis.cli("zadd", "headrace:loads", "inf", "nonsense")
    redis.cli("hset", "headrace:quota:places:ep/ep-1", "one", "nonsense", "two", "a b c")
    _, scheduler, (edge,) = fleet(start, {"ep": engine.endpoint(concurrency_max=2)}, redis=redis, proxies=1)
    eventually(lambda: edge.call().status == 200)
    assert scheduler.status("ep")["state"] == "running" and "is away" not in scheduler.errors() + edge.errors()


def test_tokens_of_another_day_under_the_same_version_are_read_again(start):
    redis = start.redis()
    engine = start.engine("--rate", "0")
    start.role("scheduler", redis, {"ep": engine.endpoint(access="private", owner="me")}, tokens=[("a", "hr_a", "--owner", "me")])
    edge = start.role("proxy", redis)
    knows(edge)
    eventually(lambda: edge.call(token="hr_a").status == 200)
    redis.save_and_stop()
    eventually(lambda: away(edge))
    port, redis.port = redis.port, free_port()
    redis.start()  # nobody is there but us
    token = {**json.loads(redis.cli("hvals", "headrace:tokens")), "name": "b", "sha256": hashlib.sha256(b"hr_b").hexdigest()}
    redis.cli("del", "headrace:tokens")
    redis.cli("hset", "headrace:tokens", token["sha256"], json.dumps(token))
    redis.save_and_stop()
    redis.port = port
    redis.start()
    eventually(lambda: edge.call(token="hr_b").status == 200 and edge.call(token="hr_a").status == 401)
