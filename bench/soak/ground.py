"""What a soak runs on: the processes, the two configurations that take turns, and what the kernel says of the proxy."""
import json
import os
import socket
import sys
import threading
from pathlib import Path

from bench.suite import machine

os.environ.setdefault("DEADLINE_S", "90")
for folder in ("flows", "strict"):
    sys.path.insert(0, str(machine.ROOT / "tests" / folder))
from fleet import Redis  # noqa: E402
from harness import Engine, Headrace, eventually, free_port, process_endpoint  # noqa: E402

TOKEN = "hr_soak"
# What sanitizers keep of freed memory would look like a leak of ours.
ENVIRONMENT = {"ASAN_OPTIONS": "quarantine_size_mb=8:thread_local_quarantine_size_kb=64:" + os.environ.get("ASAN_OPTIONS", "")}
ACCEPT = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


class Echo:
    """A model server of WebSockets: whatever comes through the tunnel goes back."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                link = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(link,), daemon=True).start()

    @staticmethod
    def serve(link):
        with link:
            try:
                data = b""
                while b"\r\n\r\n" not in data:
                    part = link.recv(65536)
                    if not part:
                        return
                    data += part
                link.sendall(ACCEPT + data.split(b"\r\n\r\n", 1)[1])
                while part := link.recv(65536):
                    link.sendall(part)
            except OSError:
                pass

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def static(*ports, **more):
    return {"access": "public", "driver": "static", "addresses": [f"127.0.0.1:{p}" for p in ports], **more}


class Ground:
    """The proxy in front of its endpoints:

    steady    two static replicas that nothing happens to
    busy      one static replica with few places: requests queue
    moving    its address is another one in each configuration; it wants a token
    sleeper   a process that goes to zero as soon as nobody asks
    frail     two processes, one of which is killed now and then
    ws        WebSockets
    other     is there in one configuration only, as is the last listener
    """

    def __init__(self, directory, store, workers, binary):
        self.directory, self.running = Path(directory), []
        one, two, three = (self.add(Engine(directory, "--stamp", "--rate", 100, "--tokens", 40, "--keepalive-ms", 0)) for _ in range(3))
        echo = self.add(Echo())
        self.moving = [static(port, access="authenticated") for port in (two.port, three.port)]
        endpoints = {
            "steady": static(one.port, two.port), "busy": static(three.port, concurrency_max=3), "moving": self.moving[0], "ws": static(echo.port),
            "sleeper": process_endpoint("--load-ms", 200, "--rate", 200, "--tokens", 10, "--stamp", log_directory=directory,
                                        scaling={"max_replicas": 1, "scale_to_zero_s": 1}),
            "frail": process_endpoint("--load-ms", 200, "--rate", 100, "--tokens", 40, "--stamp", "--model", "frail", log_directory=directory,
                                      scaling={"min_replicas": 2, "max_replicas": 2}),
        }
        self.extra_port = free_port()
        more = {"workers": workers, "replica": {"eject_s": 1}, "tokens": [("soak", TOKEN, "--owner", "soak")], "binary": binary, "env": ENVIRONMENT}
        self.redis = self.add(Redis(self.directory / "redis")) if store == "redis" else None
        if self.redis:
            tokens = more.pop("tokens")
            self.scheduler = self.add(self.start("scheduler", endpoints, tokens=tokens, **more))
            self.proxy = self.add(self.start("proxy", {}, **more))
        else:
            self.scheduler = self.proxy = self.add(self.start("run", endpoints, **more))
        self.processes = [self.proxy] if self.scheduler is self.proxy else [self.proxy, self.scheduler]
        self.base = {h: json.loads(h.config.read_text()) for h in self.processes}
        for name in endpoints:
            if name != "sleeper":
                eventually(lambda: self.ready(name))
        eventually(lambda: self.replicas("frail") == ["ready"] * 2)

    def start(self, role, endpoints, **more):
        directory = self.directory / role
        directory.mkdir()
        return Headrace(directory, endpoints, role=role, redis=self.redis.settings() if self.redis else None, **more)

    def add(self, one):
        self.running.append(one)
        return one

    def replicas(self, name):
        known = {e["name"]: e for e in json.loads(self.proxy.admin("/status")[1])["endpoints"]}
        return [r["state"] for r in known[name]["replicas"]] if name in known else []

    def ready(self, name):
        states = self.replicas(name)
        return states and all(state == "ready" for state in states)

    def write(self, second, i=0):
        """The files of the first configuration, or of the second."""
        for h, base in self.base.items():
            config = json.loads(json.dumps(base))
            if "endpoints" in config:
                config["endpoints"]["moving"] = self.moving[second]
                config["endpoints"]["busy"]["queue_max_s"] = 60 + i % 5
                if second:
                    config["endpoints"]["other"] = config["endpoints"]["steady"]
            if config["listeners"]:
                config["client"] = {"idle_timeout_s": 60 + i % 7}
                if second:
                    config["listeners"].append({"address": f"127.0.0.1:{self.extra_port}", "tls": False})
            h.config.write_text(json.dumps(config, indent=1))

    def frail_pids(self):
        return [pid for pid in machine.children(self.scheduler.process.pid)[1:] if b"frail" in command(pid)]

    def metrics(self):
        return self.proxy.admin("/metrics")[1].splitlines()

    def sum(self, name):
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.metrics() if line.startswith((name + " ", name + "{")))

    def stop(self):
        """Gently, so that what leaks is looked for; the last first. Says what was wrong."""
        problems = []
        for one in reversed(self.running):
            try:
                one.stop(**({"gently": True} if isinstance(one, Headrace) else {}))
            except Exception as problem:  # the rest must be stopped, too
                problems.append(f"{type(one).__name__} did not end well: {problem}"[:20000])
        return problems


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has gone meanwhile
        return b""


def resident_kb(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def descriptors(pid):
    """What each open file is, without the number of a socket."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}").split("[")[0])
        except OSError:
            pass
    return sorted(found)
