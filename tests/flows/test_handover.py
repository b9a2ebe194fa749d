"""A new process that takes a place over: what it must know first, who leads then, and what becomes of the children."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

from harness import HEADRACE, Stranger, eventually, free_port, process_endpoint
from test_fleet import knows
from test_reload import Load, Streams, change, reload
from test_upgrade import fleet


def children(process):
    """The processes of the program that it has started."""
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in found if program_of(pid) == os.path.realpath(HEADRACE)]


def program_of(pid):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe")


def lives(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    return False


class Mute:
    """Takes connections and says nothing; who gives up on one comes again, which tells the time."""

    def __init__(self):
        self.server, self.links = socket.create_server(("127.0.0.1", 0), backlog=128), []
        self.address = "127.0.0.1:%d" % self.server.getsockname()[1]
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        with contextlib.suppress(OSError):
            while True:
                self.links.append(self.server.accept()[0])

    def stop(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for link in self.links:
            link.close()


def given_up(h):
    """The new process is killed, and the one before goes on."""
    seen = h.errors().count("does not take over")
    os.kill(children(h.process)[0], signal.SIGKILL)
    eventually(lambda: h.errors().count("does not take over") > seen)
    assert h.process.poll() is None


def test_a_new_process_takes_no_connection_before_it_knows_the_fleet(start):
    redis, h = fleet(start)
    mute, before = start.add(Mute()), h.config.read_text()
    change(h, lambda c: (c["store"]["redis"].update(address=mute.address), c.update(workers=16)))
    h.process.send_signal(signal.SIGUSR2)
    while len(mute.links) < 14:  # two at a time, half a second each
        assert h.call(host="short.localhost").status == 200
    given_up(h)
    h.config.write_text(before)
    assert h.upgrade().wait(30) == 0
    assert h.call(host="short.localhost").status == 200


def test_a_new_scheduler_leads_nothing_before_it_has_reached_the_store(start):
    redis = start.redis()
    h = start.role("scheduler", redis, {"ep": start.engine("--rate", 0).endpoint()})
    leader = eventually(lambda: redis.cli("get", "headrace:leader"))
    mute, before = start.add(Mute()), h.config.read_text()
    change(h, lambda c: c["store"]["redis"].update(address=mute.address))
    h.process.send_signal(signal.SIGUSR2)
    eventually(lambda: len(mute.links) >= 4)
    assert h.process.poll() is None and redis.cli("get", "headrace:leader") == leader
    given_up(h)
    h.config.write_text(before)
    assert h.upgrade().wait(30) == 0
    eventually(lambda: "leads" in h.errors().rsplit("takes over; ", 1)[1])


def test_a_new_process_that_is_dead_again_takes_nothing_over(start):
    """It dies after it has said that it is there, and before the one before has heard of it."""
    redis, h = fleet(start)
    redis.pause()
    h.process.send_signal(signal.SIGUSR2)
    new = eventually(lambda: children(h.process))[0]
    h.process.send_signal(signal.SIGSTOP)
    redis.resume()
    assert h.process.stdout.readline() == "ready\n"
    eventually(lambda: Path(f"/proc/{new}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S")  # it has said so
    dead = Stranger(new, None)
    dead.kill()
    dead.wait(30)  # with all of its threads
    h.process.send_signal(signal.SIGCONT)
    eventually(lambda: f"the new process {new} does not take over" in h.errors())
    eventually(lambda: h.call(host="short.localhost").status == 200)


PLAIN = {"min_replicas": 1, "max_replicas": 1, "scale_to_zero_s": 0}


def always(start, *words, **more):
    return process_endpoint("--rate", 0, *words, log_directory=start.directory, scaling=PLAIN, **more)


def both_roles(start, redis, endpoints):
    h = start.role("run", redis, endpoints, listeners=[{"address": f"127.0.0.1:{free_port()}", "tls": False}])
    eventually(lambda: all(h.status(name)["state"] == "running" for name in endpoints))
    return h


def servers(redis, name="ep"):
    """The processes of an endpoint's replicas, as the store has them."""
    records = (redis.cli("hvals", f"headrace:replicas:{{{name}}}") or "").splitlines()
    return [int(json.loads(r)["handle"].split(":")[0]) for r in records if r]


def upgraded(h):
    assert h.upgrade().wait(30) == 0
    eventually(lambda: "leads" in h.errors().rsplit("takes over; ", 1)[1])


def test_the_lead_goes_to_the_new_process_and_to_no_other(start):
    """Another scheduler asks for it more often."""
    redis = start.redis()
    h = start.role("scheduler", redis, {"ep": always(start)}, store={"lease_ms": 10000, "refresh_ms": 2000})
    eventually(lambda: "is ready at" in h.errors())
    other = start.role("scheduler", redis, {"ep": always(start)}, store={"refresh_ms": 50})
    pids = servers(redis)
    upgraded(h)
    assert "leads" not in other.errors()
    assert servers(redis) == pids and lives(pids[0])


def test_an_endpoint_that_the_new_configuration_lacks_is_stopped(start):
    redis = start.redis()
    h = both_roles(start, redis, {"ep": always(start), "two": always(start)})
    kept, gone = servers(redis), servers(redis, "two")
    change(h, lambda c: c["endpoints"].pop("two"))
    upgraded(h)
    eventually(lambda: not lives(gone[0]) and redis.cli("exists", "headrace:endpoint:{two}") == "0")
    assert servers(redis) == kept and lives(kept[0])


def test_what_an_adopted_server_leaves_behind_is_killed(start):
    redis, mark = start.redis(), str(100000 + free_port())
    e = always(start)
    e["process"]["command"] = ["/bin/sh", "-c", f"(trap '' TERM; exec sleep {mark}) & exec \"$@\"", "sh", *e["process"]["command"]]
    h = both_roles(start, redis, {"ep": e})
    left = subprocess.run(["pgrep", "-fx", f"sleep {mark}"], capture_output=True, text=True).stdout.split()
    assert len(left) == 1
    upgraded(h)
    h.process.send_signal(signal.SIGTERM)
    h.process.wait(30)
    try:
        eventually(lambda: not lives(left[0]))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(left[0]), signal.SIGKILL)


def records(redis, name="ep"):
    """Replica -> its record in the store."""
    words = redis.cli("hgetall", f"headrace:replicas:{{{name}}}").splitlines()
    return {replica: json.loads(text) for replica, text in zip(words[::2], words[1::2])}


def replaced(redis, pid, name="ep"):
    """Another server stands in this one's place; returns its pid."""
    eventually(lambda: not lives(pid) and len(records(redis, name)) == 1)
    (record,) = records(redis, name).values()
    assert record["state"] == "ready"
    return int(record["handle"].split(":")[0])


def test_a_process_that_changed_is_replaced_without_a_gap(start):
    redis = start.redis()
    h = start.role("run", redis, {"short": always(start)})
    eventually(lambda: h.call(host="short.localhost").status == 200)
    load, (old,) = Load(h, False), servers(redis, "short")
    for edit in lambda p: p["command"].extend(["--model", "newer"]), lambda p: p.update(environment={"MODEL": "newer"}):
        change(h, lambda c: edit(c["endpoints"]["short"]["process"]))
        upgraded(h)
        old = replaced(redis, old, "short")
    upgraded(h)
    reload(h)
    assert servers(redis, "short") == [old] and lives(old)  # nothing was different
    load.end()


def test_another_driver_is_taken_by_an_upgrade(start):
    redis, engine = start.redis(), start.engine("--rate", 0)
    h = both_roles(start, redis, {"ep": always(start)})
    (old,) = servers(redis)
    change(h, lambda c: c["endpoints"].update(ep=engine.endpoint()))
    upgraded(h)
    eventually(lambda: not lives(old) and [r["address"] for r in records(redis).values()] == [f"127.0.0.1:{engine.port}"])
    change(h, lambda c: c["endpoints"].update(ep=always(start)))
    upgraded(h)
    eventually(lambda: [bool(r["handle"]) for r in records(redis).values()] == [True] and h.status("ep")["state"] == "running")


def test_a_server_whose_making_nobody_has_noted_is_believed_to_fit(start):
    """As older programs left them; from then on it is noted."""
    redis = start.redis()
    first = start.role("scheduler", redis, {"ep": always(start)})
    eventually(lambda: "is ready at" in first.errors())
    first.kill()
    ((replica, record),) = records(redis).items()
    del record["made"]
    redis.cli("hset", "headrace:replicas:{ep}", replica, json.dumps(record))
    second = start.role("scheduler", redis, {"ep": always(start, "--model", "newer")})
    eventually(lambda: replica in records(redis) and records(redis)[replica].get("made"))
    (pid,) = servers(redis)
    second.kill()
    start.role("scheduler", redis, {"ep": always(start, "--model", "newest")})
    assert lives(pid)
    replaced(redis, pid)


def test_an_old_process_outlives_the_new_one_that_was_stopped(start):
    """It is no second signal for one that drains that it is told to stop for the first time."""
    redis, h = fleet(start, drain_s=600)
    stream = Streams(h, False)
    old = h.upgrade()
    h.process.send_signal(signal.SIGTERM)
    h.process.wait(30)
    eventually(lambda: not Path(f"/proc/{h.process.pid}").exists())  # its parent has reaped it
    stream.go_on()
    old.send_signal(signal.SIGTERM)
    eventually(lambda: h.errors().count("stopping: requests may end; again to hurry") == 2)
    stream.go_on()
    old.send_signal(signal.SIGTERM)
    assert old.wait(30) == 0
    stream.close()


def test_an_old_process_ends_when_the_new_one_dies(start):
    """Nobody serves then; who started it learns of it by its end only."""
    redis, h = fleet(start, drain_s=600)
    stream = Streams(h, False)
    old = h.upgrade()
    h.process.kill()
    assert old.wait(30) == 1
    assert f"the new process {h.process.pid} has died, and nobody serves" in h.errors()
    stream.close()


def test_an_old_process_follows_its_log(start):
    redis, h = fleet(start, drain_s=600)
    log, rotated = h.directory / "access.log", h.directory / "access.log.1"
    stream = Streams(h, False)
    old = h.upgrade()
    log.rename(rotated)
    h.process.send_signal(signal.SIGUSR1)
    opened = Path(f"/proc/{old.pid}/fd")
    eventually(lambda: str(rotated) not in [os.readlink(fd) for fd in opened.iterdir()])
    before = rotated.read_text()
    stream.close()
    assert old.wait(30) == 0
    assert [line["endpoint"] for line in h.log()] == ["ep"] * 4 and rotated.read_text() == before


def test_files_of_sockets_that_the_new_configuration_lacks_go(start):
    one, two, lent = (start.directory / f"{name}.sock" for name in ("one", "two", "admin"))
    redis, h = fleet(start, listeners=[{"address": f"unix:{one}", "tls": False}])
    admin = h.directory / "admin.sock"
    before = h.config.read_text()

    def edit(c):
        c["listeners"][0].update(address=f"unix:{two}")
        c["admin"].update(socket=str(lent))
    change(h, lambda c: (edit(c), c["listeners"].append({"address": "192.0.2.1:1", "tls": False})))
    h.process.send_signal(signal.SIGUSR2)
    eventually(lambda: "does not take over" in h.errors())
    assert one.exists() and admin.exists()  # one that fails leaves them alone
    h.config.write_text(before)
    change(h, edit)
    assert h.upgrade().wait(30) == 0
    eventually(lambda: not one.exists() and not admin.exists())
    assert two.exists() and lent.exists()


def test_more_sockets_than_can_be_handed_over_are_refused(start):
    ports = [{"address": f"127.0.0.1:{free_port()}", "tls": False} for _ in range(32)]
    redis, h = fleet(start, workers=32, listeners=ports)  # and the admin's
    h.process.send_signal(signal.SIGUSR2)
    eventually(lambda: "no new process takes over: 1025 sockets listen here (one a worker and listener), and 1024 can be" in h.errors())
    assert not children(h.process)


def test_a_new_process_hands_nothing_on_before_it_was_answered(start):
    """Who started it is held up meanwhile."""
    redis, h = fleet(start)
    first = h.process
    redis.pause()
    first.send_signal(signal.SIGUSR2)
    second = Stranger(eventually(lambda: children(first))[0], first.stdout)
    first.send_signal(signal.SIGSTOP)
    redis.resume()
    assert first.stdout.readline() == "ready\n"
    second.send_signal(signal.SIGUSR2)
    eventually(lambda: "no new process takes over: the process before has not left yet" in h.errors())
    first.send_signal(signal.SIGCONT)
    assert first.wait(30) == 0
    h.process = second
    eventually(lambda: h.call(host="short.localhost").status == 200 and h.admin("/ready")[0] == 200)
    third = h.upgrade()  # by then it may
    assert third.wait(30) == 0 and h.admin("/ready")[0] == 200
