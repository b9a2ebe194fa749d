"""Starting the real thing and talking to it: processes, configuration, HTTP clients."""
import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

import h2.config
import h2.connection
import h2.events

ROOT = Path(__file__).resolve().parents[2]
HEADRACE = os.environ.get("HEADRACE_BIN", str(ROOT / "build" / "headrace"))
ENGINE = os.environ.get("ENGINE_BIN", str(ROOT / "build" / "bench" / "engine"))
DEADLINE_S = float(os.environ.get("DEADLINE_S", "30"))
CHAT = "/v1/chat/completions"
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
STREAM = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()


def eventually(condition, deadline_s=DEADLINE_S):
    """What the condition returns, once it is true."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.005)
    return value


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Answer:
    def __init__(self, status, headers, body=b"", trailers=None, reset=None):
        self.status, self.headers, self.body, self.trailers, self.reset = status, headers, body, trailers or {}, reset

    @property
    def error(self):
        return json.loads(self.body)["error"]

    @property
    def code(self):
        return self.error["code"]


class Stranger:
    """A process that is not our child, as far as a test cares: like subprocess.Popen."""

    def __init__(self, pid, stdout):
        self.pid, self.stdout, self.fd, self.returncode = pid, stdout, os.pidfd_open(pid), None

    def send_signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.fd, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def poll(self):
        if select.select([self.fd], [], [], 0)[0]:
            self.returncode = 0  # nobody can ask for more
        return self.returncode

    def wait(self, timeout):
        if not select.select([self.fd], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.poll()


class Headrace:
    """`headrace run` (or a role of a fleet, on a Redis) in a directory of its own, with a TLS, a clear-text and a Unix listener."""

    port_base = 21000
    killed = False

    def __init__(self, directory, endpoints, tokens=(), binary=None, env=None, role="run", redis=None, wait=True, **options):
        self.directory, self.role = Path(directory), role
        self.tls_port, self.port = free_port(), free_port()
        self.unix = str(self.directory / "edge.sock")
        Headrace.port_base = 21000 + (Headrace.port_base - 21000 + 200) % 8000
        self.binary = binary or HEADRACE
        names = ["localhost", "*.localhost"]
        config = {
            "workers": 2,
            "listeners": [
                {"address": f"127.0.0.1:{self.tls_port}", "self_signed": {"directory": str(self.directory), "names": names}},
                {"address": f"127.0.0.1:{self.port}", "tls": False},
                {"address": f"[::1]:{self.port}", "tls": False},
                {"address": f"unix:{self.unix}", "tls": False},
            ],
            "log": {"access": str(self.directory / "access.log")},
            "admin": {"socket": str(self.directory / "admin.sock")},
            "token_file": str(self.directory / "tokens.json"),
            "scheduler": {"port_min": Headrace.port_base, "port_max": Headrace.port_base + 199,
                          "state_directory": str(self.directory / "state"), "tick_ms": 100},
            "endpoints": endpoints,
        }
        if role == "proxy":
            del config["endpoints"], config["scheduler"]
        if role == "scheduler":
            config["listeners"] = []
        if redis:
            config["store"] = {"kind": "redis", "redis": redis}
        for key, value in options.items():
            config[key] = {**config[key], **value} if isinstance(config.get(key), dict) else value
        self.config = self.directory / "headrace.json"
        self.config.write_text(json.dumps(config, indent=1))
        self.stderr = open(self.directory / "stderr.txt", "w+")
        for name, text, *more in tokens:
            self.command("token", "add", name, "--token", text, *more)
        self.process = subprocess.Popen([self.binary, role, "-c", str(self.config)], cwd=ROOT, text=True,
                                        stdout=subprocess.PIPE, stderr=self.stderr, env={**os.environ, **(env or {})})
        line = self.process.stdout.readline() if wait else "ready\n"
        assert line == "ready\n", (line, self.errors())

    def errors(self):
        self.stderr.flush()
        return (self.directory / "stderr.txt").read_text()

    def command(self, *args, check=True, config=None):
        done = subprocess.run([self.binary, *args, "-c", str(config or self.config)], cwd=ROOT, capture_output=True, text=True,
                              timeout=DEADLINE_S)
        assert not check or done.returncode == 0, done.stderr
        return done

    def upgrade(self):
        """Another process takes over; returns the one before, which drains."""
        seen = self.errors().count(" takes over; ")
        before = self.process
        before.send_signal(signal.SIGUSR2)
        eventually(lambda: self.errors().count(" takes over; ") > seen)
        self.process = Stranger(int(re.findall(r"the new process (\d+) takes over; ", self.errors())[-1]), before.stdout)
        return before

    def kill(self):
        """-9, without a word to anybody."""
        self.process.kill()
        self.process.wait(DEADLINE_S)
        self.killed = True

    def stop(self, gently=False):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            if not gently:
                self.process.send_signal(signal.SIGINT)
            self.process.wait(DEADLINE_S)
        text = self.errors()
        self.process.stdout.close()
        self.stderr.close()
        if self.killed:
            return
        assert "ERROR: " not in text and "WARNING: ThreadSanitizer" not in text and "runtime error" not in text, text
        assert self.process.returncode == 0, (self.process.returncode, text)

    def admin(self, path, **headers):
        link = http.client.HTTPConnection("localhost", timeout=DEADLINE_S)
        link.sock = socket.socket(socket.AF_UNIX)
        link.sock.connect(str(self.directory / "admin.sock"))
        with contextlib.closing(link):
            link.request("GET", path, headers=headers)
            answer = link.getresponse()
            return answer.status, answer.read().decode()

    def status(self, name):
        return next(e for e in json.loads(self.admin("/status")[1])["endpoints"] if e["name"] == name)

    def quiet(self, name):
        """Nothing pending, held or open any more."""
        eventually(lambda: all(self.status(name)[k] == 0 for k in ("pending", "held", "open")))

    def log(self):
        path = self.directory / "access.log"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]  # whole lines: it is being written

    def connect(self, tls=False, alpn="http/1.1"):
        link = socket.create_connection(("127.0.0.1", self.tls_port if tls else self.port), DEADLINE_S)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl.create_default_context(cafile=str(self.directory / "ca.pem"))
            context.set_alpn_protocols([alpn])
            link = context.wrap_socket(link, server_hostname="localhost", suppress_ragged_eofs=False)
        return link

    def call(self, method="POST", path=CHAT, body=BODY, host="ep.localhost", token=None, tls=False, **headers):
        link = http.client.HTTPConnection("localhost", timeout=DEADLINE_S)
        link.sock = self.connect(tls)
        fields = {"Host": host, **({"Authorization": f"Bearer {token}"} if token else {}),
                  **{k.replace("_", "-"): v for k, v in headers.items()}}
        with contextlib.closing(link):
            link.request(method, path, body, fields)
            answer = link.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def raw(self, data, tls=False):
        """Sends the bytes; all that comes until the other side closes."""
        with self.connect(tls) as link:
            link.sendall(data)
            return read_all(link)

    def http2(self, tls=False):
        return Http2(self.connect(tls, "h2"))

    def curl(self, *args):
        return subprocess.run(["curl", "-sS", "--cacert", str(self.directory / "ca.pem"), *args], capture_output=True,
                              timeout=DEADLINE_S)


def read_all(link):
    data = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        while part := link.recv(65536):
            data += part
    return data


# A client told to go still has its streams (RFC 9113, 6.8); h2 takes GOAWAY for the end of everything.
_TRANSITIONS = h2.connection.H2ConnectionStateMachine._transitions
_TRANSITIONS[(h2.connection.ConnectionState.CLIENT_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY)] = (
    None, h2.connection.ConnectionState.CLIENT_OPEN)


class Http2:
    """One HTTP/2 connection; streams are read until they end."""

    def __init__(self, link, auto_credit=True):
        self.link, self.auto_credit = link, auto_credit
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.answers, self.ended, self.interims, self.goaway = {}, {}, {}, False
        self.flush()

    def flush(self):
        if data := self.h2.data_to_send():
            self.link.sendall(data)

    def ask(self, method="POST", path=CHAT, body=BODY, host="ep.localhost", token=None, end=True, **headers):
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":path", path), (":scheme", "https"), (":authority", host)]
        if token:
            fields.append(("authorization", f"Bearer {token}"))
        fields += [(k.replace("_", "-").lower(), v) for k, v in headers.items()]
        self.h2.send_headers(stream, fields, end_stream=end and not body)
        if body:
            for at in range(0, len(body), 16384):
                while self.h2.local_flow_control_window(stream) < min(16384, len(body) - at):
                    self.flush()
                    self.turn()
                self.h2.send_data(stream, body[at:at + 16384], end_stream=end and at + 16384 >= len(body))
        self.flush()
        return stream

    def turn(self):
        data = self.link.recv(262144)
        if not data:
            self.goaway = "closed"
            for stream in self.answers:
                self.ended.setdefault(stream, "closed")
            return
        for e in self.h2.receive_data(data):
            stream = getattr(e, "stream_id", None)
            if isinstance(e, h2.events.InformationalResponseReceived):
                self.interims.setdefault(stream, []).append(dict(e.headers))
            elif isinstance(e, h2.events.ResponseReceived):
                self.answers[stream] = Answer(int(dict(e.headers)[":status"]), dict(e.headers))
            elif isinstance(e, h2.events.DataReceived):
                self.answers[stream].body += e.data
                if self.auto_credit and e.flow_controlled_length:
                    self.h2.acknowledge_received_data(e.flow_controlled_length, stream)
            elif isinstance(e, h2.events.TrailersReceived):
                self.answers[stream].trailers = dict(e.headers)
            elif isinstance(e, h2.events.StreamEnded):
                self.ended[stream] = "end"
            elif isinstance(e, h2.events.StreamReset):
                self.answers.setdefault(stream, Answer(0, {})).reset = e.error_code
                self.ended.setdefault(stream, "reset")
            elif isinstance(e, h2.events.ConnectionTerminated):
                self.goaway = True
        self.flush()

    def wait(self, stream):
        while stream not in self.ended:
            if self.goaway == "closed":
                raise ConnectionError("the connection was closed before the answer")
            self.turn()
        return self.answers[stream]

    def call(self, **what):
        return self.wait(self.ask(**what))

    def close(self):
        self.link.close()


def process_endpoint(*engine, **more):
    """A public endpoint whose replicas are engines of this machine."""
    directory = more.pop("log_directory")
    return {"access": "public", "process": {"command": [ENGINE, "--host", "{host}", "--port", "{port}", *map(str, engine)],
                                            "log_directory": str(directory)},
            "health": {"path": "/health", "interval_ms": 200}, "stop_grace_s": 2, **more}


class Engine:
    """A model server of our own, for endpoints with the static driver."""

    def __init__(self, directory, *args):
        self.log_path = Path(directory) / f"engine-{free_port()}.log"
        self.process = subprocess.Popen([ENGINE, "--port", "0", "--log", str(self.log_path), *map(str, args)],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def endpoint(self, **more):
        return {"access": "public", "driver": "static", "addresses": [f"127.0.0.1:{self.port}"], **more}

    def log(self):
        return [json.loads(line) for line in self.log_path.read_text().splitlines()] if self.log_path.exists() else []

    def events(self, event):
        return [line for line in self.log() if line["event"] == event]

    def most_at_once(self):
        now = most = 0
        for event in self.log():
            now += (event["event"] == "start") - (event["event"] in ("end", "abort"))
            most = max(most, now)
        return most

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(DEADLINE_S)
        self.process.stdout.close()
