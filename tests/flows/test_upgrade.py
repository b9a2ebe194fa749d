"""A new process takes the place of the running one: SIGUSR2, and sockets and news of a service manager."""
import contextlib
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from harness import HEADRACE, BODY, ROOT, STREAM, eventually, free_port, process_endpoint
from test_fleet import knows
from test_reload import Load, Streams, change

UPGRADES = int(os.environ.get("HEADRACE_UPGRADES", "3"))


def fleet(start, **more):
    redis = start.redis()
    long, short = start.engine("--tokens", 100000, "--rate", 50), start.engine("--tokens", 2, "--rate", 0)
    start.role("scheduler", redis, {"ep": long.endpoint(), "short": short.endpoint()})
    proxy = start.role("proxy", redis, **more)
    knows(proxy, "ep")
    knows(proxy, "short")
    return redis, proxy


def failed(h, text):
    h.process.send_signal(signal.SIGUSR2)
    eventually(lambda: text in h.errors())
    assert h.process.poll() is None


def test_upgrades_lose_no_request_and_cut_no_stream(start):
    redis, h = fleet(start, drain_s=600)
    streams, loads = [Streams(h, tls) for tls in (False, True)], [Load(h, tls) for tls in (False, True)]
    gone = []
    for i in range(UPGRADES):
        change(h, lambda config: config.update(workers=1 + (i + 1) % 3))
        gone.append(h.upgrade())
        for s in streams:
            s.go_on()
    assert sum(load.end() for load in loads) >= UPGRADES
    for s in streams:  # they are at the first process still
        s.close()
    for process in gone:
        assert process.wait(30) == 0
    assert h.call(host="short.localhost").status == 200
    eventually(lambda: len(redis.proxies()) == 1)


def test_held_requests_are_served_where_they_wait(start):
    redis = start.redis()
    gate = start.directory / "gate"
    e = process_endpoint("--rate", 0, log_directory=start.directory)
    e["process"]["command"] = ["/bin/sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done; exec \"$@\"", "sh",
                               *e["process"]["command"]]
    start.role("scheduler", redis, {"ep": e})
    h = start.role("proxy", redis)
    knows(h)
    with h.connect() as link:
        link.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: ep.localhost\r\nX-Scale-Up-Timeout: 60\r\n"
                     b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        eventually(lambda: redis.sum("held") == 1)
        before = h.upgrade()
        assert redis.sum("held") == 1
        gate.touch()
        answer = link.recv(65536)
        assert b" 200 OK" in answer and b"connection: close" in answer.lower()
    assert before.wait(30) == 0


def running_with(argument):
    """The processes that have it on their command line."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(argument).encode() in path.read_bytes().split(b"\0"):
                found.add(path.parent.name)
    return found


def test_an_old_scheduler_leaves_its_children_to_the_new_one(start):
    redis = start.redis()
    log = start.directory / "engine.log"
    e = process_endpoint("--rate", 0, "--log", log, log_directory=start.directory,
                         scaling={"min_replicas": 1, "max_replicas": 1, "scale_to_zero_s": 0})
    h = start.role("run", redis, {"ep": e}, listeners=[{"address": f"127.0.0.1:{free_port()}", "tls": False}])
    eventually(lambda: h.status("ep")["state"] == "running")
    replica = h.status("ep")["replicas"][0]
    running = running_with(log)
    assert len(running) == 1
    for _ in range(2):
        before = h.upgrade()
        assert before.wait(30) == 0
        eventually(lambda: "leads" in h.errors().rsplit("takes over; ", 1)[1])
        eventually(lambda: h.status("ep")["state"] == "running")
        now = h.status("ep")["replicas"]
        assert [(r["id"], r["address"], r["state"]) for r in now] == [(replica["id"], replica["address"], "ready")]
    assert running_with(log) == running  # none was started beside it
    # It is under the new one's hand: it stops with it.
    h.process.send_signal(signal.SIGTERM)
    h.process.wait(30)
    with pytest.raises(OSError):
        socket.create_connection(replica["address"].rsplit(":", 1)).close()


def test_with_the_memory_store_it_is_refused(start):
    h = start.headrace({"ep": start.engine().endpoint()})
    failed(h, 'no new process takes over: what the memory store knows is in this process alone; set store.kind to "redis"')
    assert h.call().status == 200


def test_a_process_that_cannot_start_takes_nothing_over(start):
    redis, h = fleet(start)
    stream = Streams(h, True)
    before = h.config.read_text()
    change(h, lambda config: config.update(clients={}))
    failed(h, "does not take over: it has ended; its standard error says why")
    assert 'clients: unknown key; did you mean "client"?' in h.errors()
    assert h.call(host="short.localhost").status == 200 and h.admin("/ready")[0] == 200
    stream.go_on()
    stream.close()
    h.config.write_text(before)
    assert h.upgrade().wait(30) == 0
    assert h.call(host="short.localhost").status == 200


def test_unix_sockets_go_over_with_their_files(start):
    path = start.directory / "clients.sock"
    redis, h = fleet(start, listeners=[{"address": f"unix:{path}", "tls": False, "mode": "0666"}])

    def ask():
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            link.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: short.localhost\r\nContent-Length: %d\r\n\r\n"
                         % len(BODY) + BODY)
            return b" 200 OK" in link.recv(65536)
    assert ask()
    with socket.create_server(("127.0.0.1", 0)) as taken:  # a new process that fails late leaves the files alone
        change(h, lambda c: c["admin"].update(address=f"127.0.0.1:{taken.getsockname()[1]}"))
        failed(h, "does not take over: it has ended; its standard error says why")
    assert "another process listens there" in h.errors()
    assert ask() and h.admin("/ready")[0] == 200
    assert path.stat().st_mode & 0o777 == 0o666
    change(h, lambda c: (c["admin"].pop("address"), c["listeners"][0].update(mode="0600")))
    assert h.upgrade().wait(30) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.exists() and ask() and h.admin("/ready")[0] == 200
    h.process.send_signal(signal.SIGTERM)
    h.process.wait(30)
    assert not path.exists() and not (h.directory / "admin.sock").exists()


class Manager:
    """Does what systemd does for a unit of Type=notify, with sockets."""

    def __init__(self, start, *listeners):
        self.path = start.directory / "notify.sock"
        self.link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.link.bind(str(self.path))
        self.link.settimeout(30)
        self.listeners, self.said = listeners, []

    def run(self, config, watchdog_us=0):
        fds = [os.dup(one.fileno()) for one in self.listeners]

        def hand_over():  # in the child; all of them lie above 3 + len(fds)
            lifted = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
            for i, fd in enumerate(lifted):
                os.dup2(fd, 3 + i)
        env = {**os.environ, "NOTIFY_SOCKET": str(self.path)}
        if watchdog_us:
            env["WATCHDOG_USEC"] = str(watchdog_us)
        if fds:
            env["LISTEN_FDS"] = str(len(fds))
        process = subprocess.Popen(["/bin/sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh", HEADRACE, "run", "-c", str(config)],
                                   cwd=ROOT, env=env, preexec_fn=hand_over, close_fds=False, stderr=subprocess.DEVNULL)
        for fd in fds:
            os.close(fd)
        return process

    def hears(self, word):
        while word not in (said := self.link.recv(4096).decode()):
            self.said.append(said)
        return said


def test_a_service_manager_hears_what_happens(start):
    h = start.headrace({"ep": start.engine().endpoint()})
    config = h.config
    h.stop()
    start.forget(h)
    manager = Manager(start)
    process = manager.run(config, watchdog_us=200000)
    try:
        assert f"MAINPID={process.pid}" in manager.hears("READY=1")
        manager.hears("WATCHDOG=1")
        manager.hears("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in manager.hears("RELOADING=1")
        manager.hears("READY=1")
        process.send_signal(signal.SIGTERM)
        manager.hears("STOPPING=1")
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_a_service_manager_hears_who_took_over_and_that_it_lives(start):
    """In one, since it listens to the new one from then on only."""
    manager = Manager(start)
    redis, h = fleet(start, env={"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "60000000"})
    h.upgrade()
    new = f"MAINPID={h.process.pid}"
    while (said := manager.hears(new).split("\n")) == ["READY=1", new]:  # that is the new one's own
        pass
    assert said == [new, "WATCHDOG=1"]


def test_a_worker_that_hangs_is_the_watchdogs_to_see(start):
    """It hangs on an access log that nobody reads."""
    fifo = start.directory / "log.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    h = start.headrace({"ep": start.engine("--rate", 0).endpoint()}, log={"access": str(fifo)}, workers=1)
    config, port = h.config, h.port
    h.stop()
    start.forget(h)
    manager = Manager(start)
    process = manager.run(config, watchdog_us=2000000)
    try:
        manager.hears("READY=1")
        manager.hears("WATCHDOG=1")
        link = socket.create_connection(("127.0.0.1", port))
        link.settimeout(1)
        request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
        with pytest.raises(TimeoutError):
            while True:
                link.sendall(request)
                link.recv(65536)
        manager.link.settimeout(0.01)
        with pytest.raises(TimeoutError):
            while True:  # those it had sent before
                manager.link.recv(4096)
        manager.link.settimeout(3)
        with pytest.raises(TimeoutError):
            manager.hears("WATCHDOG=1")
        while True:
            try:
                os.read(reader, 65536)
            except BlockingIOError:
                break
        manager.link.settimeout(30)
        manager.hears("WATCHDOG=1")
    finally:
        process.kill()
        process.wait(30)
        os.close(reader)


def test_sockets_of_a_service_manager(start):
    h = start.headrace({"ep": start.engine("--rate", 0).endpoint()})
    config, port, path = h.config, h.port, start.directory / "lent.sock"
    h.stop()
    start.forget(h)
    change(h, lambda c: c["listeners"].append({"address": f"unix:{path}", "tls": False}))
    tcp = socket.create_server(("127.0.0.1", port))  # without SO_REUSEPORT: all workers share it
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(path))
    unix.listen()
    manager = Manager(start, tcp, unix)
    request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
    early = socket.create_connection(("127.0.0.1", port))  # before anybody serves
    early.sendall(request.replace(b"\r\n\r\n", b"\r\nX-Scale-Up-Timeout: 30\r\n\r\n", 1))
    process = manager.run(config)
    try:
        manager.hears("READY=1")
        assert b" 200 OK" in early.recv(65536)
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port)) as link:
                link.sendall(request)
                assert b" 200 OK" in link.recv(65536)
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            link.sendall(request)
            assert b" 200 OK" in link.recv(65536)
    finally:
        process.terminate()
        assert process.wait(30) == 0
    assert path.exists()  # it is the manager's
    socket.create_connection(("127.0.0.1", port)).close()  # waits for the next process
    tcp.close()
    unix.close()
