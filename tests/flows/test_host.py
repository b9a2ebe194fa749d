"""The process and its machine: descriptors, its log's file, its user, what may be seen of it."""
import contextlib
import http.client
import json
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import hpack
import hyperframe.frame
import pytest

from harness import BODY, CHAT, DEADLINE_S, ENGINE, HEADRACE, Headrace, eventually, process_endpoint

RELEASE = os.environ.get("HEADRACE_RELEASE_BIN", HEADRACE)
QUICK = ("--tokens", 1, "--rate", 0)


def metric(h, name):
    return float(re.search(rf"^{name} (\S+)$", h.admin("/metrics")[1], re.M)[1])


class KeepAlive:
    """One client connection for many requests."""

    def __init__(self, h):
        self.link = http.client.HTTPConnection("localhost", timeout=DEADLINE_S)
        self.link.sock = h.connect()

    def call(self, host="ep.localhost"):
        self.link.request("POST", CHAT, BODY, {"Host": host})
        answer = self.link.getresponse()
        body = answer.read()
        return answer.status, answer.getheader("Retry-After"), body


def script(path, *lines, program=HEADRACE):
    """A program that runs headrace after these lines of shell."""
    path.write_text("\n".join(["#!/bin/sh", *lines, f'exec {program} "$@"', ""]))
    path.chmod(0o755)
    return str(path)


def processor_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# Descriptors


def test_at_the_limit_of_descriptors_those_inside_are_served_and_others_wait(start, tmp_path):
    limit = 160
    h = start.headrace({"ep": start.engine(*QUICK).endpoint()}, binary=script(tmp_path / "few", f"ulimit -n {limit}"),
                       replica={"idle_max": 0})  # each request needs a descriptor towards the replica
    assert re.search(rf"{limit} open files are allowed, enough for {limit * 3 // 4} clients", h.errors())
    inside = [KeepAlive(h) for _ in range(4)]
    for client in inside:
        assert client.call()[0] == 200
    with contextlib.ExitStack() as idle:
        for _ in range(limit):
            idle.enter_context(h.connect())
        eventually(lambda: metric(h, "headrace_accept_pauses_total") >= 1)
        waiting = KeepAlive(h)
        waiting.link.request("POST", CHAT, BODY, {"Host": "ep.localhost"})
        for _ in range(50):
            for client in inside:
                assert client.call()[0] == 200
        served = processor_s(h.process.pid)
        time.sleep(0.5)
        assert processor_s(h.process.pid) - served < 0.25  # two workers that spin take a second
        assert metric(h, "headrace_connections") < limit and metric(h, "headrace_connections_missed_total") == 0
        assert metric(h, "headrace_descriptors_limit") == limit and metric(h, "headrace_descriptors") < limit
        assert h.admin("/health")[0] == 200
    assert waiting.link.getresponse().status == 200
    assert h.call().status == 200


def test_without_a_descriptor_a_request_is_503_and_the_replica_is_not_to_blame(start):
    h = start.headrace({"ep": start.engine(*QUICK).endpoint(health={"interval_ms": 100})},
                       replica={"idle_max": 0, "eject_failures": 1})
    client = KeepAlive(h)
    assert client.call()[0] == 200
    hard = resource.prlimit(h.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(h.process.pid, resource.RLIMIT_NOFILE, (3, hard))
    try:
        end = time.monotonic() + 1  # ten health checks are due
        while time.monotonic() < end:
            status, retry, body = client.call()
            assert status == 503 and retry == "1" and b'"overloaded"' in body
        operator = socket.socket(socket.AF_UNIX)
        operator.settimeout(DEADLINE_S)
        operator.connect(str(h.directory / "admin.sock"))
        operator.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        h.process.send_signal(signal.SIGUSR1)
        eventually(lambda: "log.access: " in h.errors() and "Too many open files" in h.errors())
    finally:
        resource.prlimit(h.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    with operator:
        assert operator.recv(12).startswith(b"HTTP/1.1 200")
    assert client.call()[0] == 200
    assert metric(h, "headrace_connections_missed_total") > 0 and metric(h, "headrace_ejections_total") == 0
    assert 'headrace_connect_failures_total{endpoint="ep"} 0' in h.admin("/metrics")[1]
    assert h.status("ep")["state"] == "running" and [r["state"] for r in h.status("ep")["replicas"]] == ["ready"]
    eventually(lambda: sum(line.get("error") == "overloaded" for line in h.log()) == metric(h, "headrace_connections_missed_total"))


def test_the_soft_limit_is_raised_to_the_hard_one(start, tmp_path):
    h = start.headrace({"ep": start.engine(*QUICK).endpoint()}, binary=script(tmp_path / "few", "ulimit -Sn 64", "ulimit -Hn 4096"),
                       client={"connections_max": 3072})
    assert resource.prlimit(h.process.pid, resource.RLIMIT_NOFILE) == (4096, 4096)
    assert "open files" not in h.errors()


# The access log's file


def test_the_log_is_opened_again_and_no_line_is_lost(start):
    h = start.headrace({"ep": start.engine(*QUICK).endpoint()})
    path, stop, sent = h.directory / "access.log", threading.Event(), [0, 0]

    def ask(i):
        client = KeepAlive(h)
        while not stop.is_set():
            assert client.call()[0] == 200
            sent[i] += 1
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    files = []
    try:
        for i in range(5):
            eventually(lambda: path.exists() and path.stat().st_size)
            files.append(path.rename(h.directory / f"old.{i}"))
            h.process.send_signal(signal.SIGUSR1)
        eventually(lambda: path.exists() and path.stat().st_size)
        h.command("reload")
    finally:
        stop.set()
        for t in threads:
            t.join()
    h.quiet("ep")
    eventually(lambda: sum(f.read_text().count("\n") for f in [*files, path]) == sum(sent))
    assert all(line.startswith("{") and line.endswith("}") for f in [*files, path] for line in f.read_text().splitlines())
    assert h.errors().count("the access log was opened again") >= 1


def test_a_log_that_cannot_be_opened_again_is_kept(start):
    h = start.headrace({"ep": start.engine(*QUICK).endpoint()})
    path, old = h.directory / "access.log", h.directory / "old"
    path.rename(old)
    path.mkdir()
    h.process.send_signal(signal.SIGUSR1)
    eventually(lambda: f"log.access: {path} cannot be opened" in h.errors())
    assert f"log.access: {path} cannot be opened" in h.command("reload", check=False).stderr
    assert h.call().status == 200
    eventually(lambda: old.read_text().count("\n") == 1)


def test_the_log_may_become_another_one(start):
    h = start.headrace({"ep": start.engine(*QUICK).endpoint()})

    def log_to(path):
        config = h.config.read_text()
        h.config.write_text(re.sub(r'"access": "[^"]*access[^"]*"|"access": "[^"]*x.log"|"access": ""', f'"access": "{path}"', config, count=1))
        h.command("reload")
        eventually(lambda: h.call().status == 200)
    assert h.call().status == 200
    eventually(lambda: len(h.log()) == 1)
    log_to(h.directory / "more" / "x.log")
    eventually(lambda: (h.directory / "more" / "x.log").read_text().count("\n") == 1)
    log_to("")
    log_to(h.directory / "access.log")
    eventually(lambda: len(h.log()) == 2)
    assert (h.directory / "more" / "x.log").read_text().count("\n") == 1


# The user


NOBODY = pwd.getpwnam("nobody")
LOW_PORT = 1 << 10  # CAP_NET_BIND_SERVICE


@pytest.fixture
def home():
    """A directory that belongs to nobody (the user), with programs that it can read."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        path = Path(directory)
        for program in (HEADRACE, ENGINE):
            shutil.copy(program, path / f"{Path(program).name}.bin")
        path.chmod(0o755)
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
        yield path


@pytest.fixture
def nobody(home, start):
    def begin(endpoints=None, **more):
        (home / "h").mkdir()
        os.chown(home / "h", NOBODY.pw_uid, NOBODY.pw_gid)
        binary = script(home / "run", f"exec 9<{home}/run", program=home / "headrace.bin")
        return start.add(Headrace(home / "h", endpoints if endpoints is not None else {"ep": start.engine(*QUICK).endpoint()},
                                  **{"binary": binary, "user": "nobody", **more}))
    return begin


def low_ports(count):
    """Ports below 1024 that are free."""
    found = []
    for port in range(1023, 512, -1):
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("there are not enough free ports below 1024")


def tasks(pid):
    """/proc/PID/status of each thread."""
    return [dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
            for task in Path(f"/proc/{pid}/task").iterdir()]


def add_listener(h, port):
    config = json.loads(h.config.read_text())
    config["listeners"].append({"address": f"127.0.0.1:{port}", "tls": False})
    h.config.write_text(json.dumps(config))


def answers_at(port):
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as link:
        link.sendall(b"GET / HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\n\r\n")
        return link.recv(12).startswith(b"HTTP/1.1 ")


def test_a_process_of_root_becomes_the_user_and_can_still_reload(nobody):
    first, second = low_ports(2)
    h = nobody(listeners=[{"address": f"127.0.0.1:{first}", "tls": False}, {"address": "127.0.0.1:0", "tls": False}])
    eventually(lambda: answers_at(first))
    for task in tasks(h.process.pid):
        assert set(task["Uid"].split()) == {str(NOBODY.pw_uid)} and set(task["Gid"].split()) == {str(NOBODY.pw_gid)}
        assert set(task["Groups"].split()) <= {str(NOBODY.pw_gid)} and task["NoNewPrivs"] == "1"
        assert [int(task[f"Cap{which}"], 16) for which in ("Prm", "Eff", "Bnd", "Inh", "Amb")] == [LOW_PORT] * 3 + [0] * 2
    add_listener(h, second)
    h.command("reload")
    assert eventually(lambda: answers_at(second))
    assert {path.owner() for path in h.directory.iterdir() if path.name not in ("headrace.json", "stderr.txt")} == {"nobody"}


def test_a_new_program_in_its_place_keeps_the_right_to_low_ports(nobody, start, home):
    first, second = low_ports(2)
    h = nobody(redis=start.redis().settings(), listeners=[{"address": f"127.0.0.1:{first}", "tls": False}])
    h.process.send_signal(signal.SIGUSR2)
    pid = int(eventually(lambda: re.search(r"the new process (\d+) takes over", h.errors()))[1])
    try:
        h.process.wait(DEADLINE_S)
        for task in tasks(pid):
            assert set(task["Uid"].split()) == {str(NOBODY.pw_uid)}
            assert [int(task[f"Cap{which}"], 16) for which in ("Prm", "Eff", "Inh", "Amb")] == [LOW_PORT] * 2 + [0] * 2
        add_listener(h, second)
        h.command("reload")
        assert eventually(lambda: answers_at(second))
    finally:
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not Path(f"/proc/{pid}/exe").exists())


def test_the_optimised_program_drops_what_it_has_in_all_threads(nobody, home):
    shutil.copy(RELEASE, home / "headrace.bin")
    h = nobody()
    for task in tasks(h.process.pid):  # the allocator's thread among them
        assert set(task["Uid"].split()) == {str(NOBODY.pw_uid)} and int(task["CapEff"], 16) | LOW_PORT == LOW_PORT
    assert h.call().status == 200


def test_what_is_started_has_the_user_and_nothing_else(nobody, home):
    h = nobody({"ep": {**process_endpoint(*QUICK, log_directory=home / "logs"),
                       "process": {"command": [str(home / "engine.bin"), "--host", "{host}", "--port", "{port}", *map(str, QUICK)],
                                   "log_directory": str(home / "logs")}}})
    assert h.call(X_Scale_Up_Timeout="60").status == 200
    child = Path(f"/proc/{h.process.pid}/task/{h.process.pid}/children").read_text().split()[0]
    for task in tasks(child):
        assert set(task["Uid"].split()) == {str(NOBODY.pw_uid)} and task["NoNewPrivs"] == "1"
        assert [int(task[f"Cap{which}"], 16) for which in ("Prm", "Eff", "Inh", "Amb")] == [0] * 4
    open_files = [os.readlink(fd) for fd in Path(f"/proc/{child}/fd").iterdir()]
    assert str(home / "run") not in open_files and str(h.directory / "access.log") not in open_files, open_files
    assert [os.readlink(f"/proc/{child}/fd/{fd}") for fd in (0, 1, 2)] == ["/dev/null", *[str(next((home / "logs").iterdir()))] * 2]


@pytest.mark.parametrize("what", ["key", "access.log", "tokens.json", "state", "admin directory"])
def test_what_the_user_cannot_reach_is_named_at_the_start(nobody, home, what):
    secret, mine = home / "secret", home / "mine"
    mine.mkdir(mode=0o700)
    secret.write_text("{}")
    secret.chmod(0o600)
    options = {"access.log": {"log": {"access": str(secret)}}, "tokens.json": {"token_file": str(secret)},
               "state": {"scheduler": {"state_directory": str(mine)}}, "admin directory": {"admin": {"socket": str(mine / "a.sock")}}}
    if what == "key":
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
                        "-keyout", str(secret), "-out", str(home / "cert.pem")], check=True, capture_output=True)
        options["key"] = {"listeners": [{"address": "127.0.0.1:0", "certificates": [{"certificate": str(home / "cert.pem"), "key": str(secret)}]}]}
    h = nobody(wait=False, **options[what])
    h.process.wait(DEADLINE_S)
    h.killed, text = True, h.errors()
    assert h.process.returncode == 1
    key, path = {"key": ("listeners[0].certificates[0].key", secret), "access.log": ("log.access", secret),
                 "tokens.json": ("token_file", secret),
                 "state": ("scheduler.state_directory", mine), "admin directory": ("admin.socket", mine)}[what]
    assert re.search(rf"^{re.escape(key)}: {path} cannot be [a-z ]+ by the user nobody: Permission denied; give it to that user "
                     rf"\(chown nobody {path}\)$", text, re.M), text
    assert not (h.directory / "admin.sock").exists()


def run_as(who, home, mode=0o644, **options):
    """What `headrace run` says that is to become somebody; None: it has started."""
    path = home / "c.json"
    path.touch()
    path.chmod(mode)
    path.write_text(json.dumps({"listeners": [{"address": "127.0.0.1:0", "tls": False}], "log": {"access": ""},
                                "admin": {"socket": str(home / "a.sock")}, "token_file": str(home / "t.json"), **options}))
    process = subprocess.Popen([home / "headrace.bin", "run", "-c", str(path)], user=who, group=pwd.getpwnam(who).pw_gid, extra_groups=[],
                               cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if process.stdout.readline() == "ready\n":
        process.terminate()
    text = process.communicate(timeout=DEADLINE_S)[1]
    return text if process.returncode else None


def test_users_that_cannot_be(home):
    assert run_as("nobody", home, user="nobody") is None
    assert "runs as another user" in run_as("nobody", home, user="daemon")
    assert re.search(r'c.json:\d+:\d+: user: there is no user "no-such-one" on this machine', run_as("root", home, user="no-such-one"))
    assert re.search(r'group: there is no group "no-such-one"', run_as("root", home, user="nobody", group="no-such-one"))
    assert "a group needs a user" in run_as("root", home, group="nogroup")
    assert run_as("root", home, user="root") is None
    assert re.match("the configuration: .*c.json cannot be read by the user nobody", run_as("root", home, mode=0o600, user="nobody"))


def test_a_token_of_root_can_be_read_by_the_user(nobody):
    h = nobody({"ep": {"driver": "static", "addresses": ["127.0.0.1:1"], "access": "authenticated", "paused": True}}, tokens=[("a", "hr_a")])
    assert (h.directory / "tokens.json").owner() == "nobody"
    eventually(lambda: h.call(token="hr_a").code == "endpoint_paused")
    h.command("token", "revoke", "a")
    eventually(lambda: h.call(token="hr_a").status == 401)
    assert (h.directory / "tokens.json").owner() == "nobody" and h.errors().count("tokens") == 0
    lock = h.directory / "tokens.json.lock"
    assert lock.owner() == "nobody"  # who may change tokens, too
    lock.unlink()
    lock.symlink_to(h.directory / "planted")
    assert h.command("token", "revoke", "a", check=False).returncode and not (h.directory / "planted").exists()


def test_a_log_may_be_a_device_in_a_directory_of_root(nobody):
    h = nobody(log={"access": "/dev/null"})
    eventually(lambda: h.call().status == 200)


def seen(h):
    pid = h.process.pid
    core = re.search(r"^Max core file size +(\S+)", Path(f"/proc/{pid}/limits").read_text(), re.M)[1]
    return Path(f"/proc/{pid}/mem").owner(), core


def test_no_core_unless_it_is_wanted(nobody):
    h = nobody()
    assert seen(h) == ("root", "0")
    h.command("status")


def test_a_core_when_it_is_wanted(nobody):
    h = nobody(core_dumps=True, no_new_privileges=False)
    assert seen(h)[0] == "nobody"
    assert all(task["NoNewPrivs"] == "0" for task in tasks(h.process.pid))


# Secrets


def memory(pid):
    """All that the process has written and not given back."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, mode, *_ = line.split()
            begin, end = (int(x, 16) for x in span.split("-"))
            if mode.startswith("rw"):
                mem.seek(begin)
                with contextlib.suppress(OSError):
                    while begin < end and (part := mem.read(min(end - begin, 1 << 24))):
                        found.append(part)
                        begin += len(part)
    return b"".join(found)


def head(token, *more):
    return "\r\n".join([f"POST {CHAT} HTTP/1.1", "Host: ep.localhost", f"Authorization: Bearer {token}", f"Content-Length: {len(BODY)}", *more,
                        "", ""]).encode()


def answer_of(link):
    data = b""
    while b"\r\n\r\n" not in data:
        data += link.recv(65536)
    return data


def send_http1(h, token, tls):
    with h.connect(tls) as link:
        link.sendall(head(token) + BODY)
        assert answer_of(link).startswith(b"HTTP/1.1 200")


def send_in_pieces(h, token, tls):
    whole = head(token, "X: " + "x" * 3000) + BODY
    at = whole.index(token.encode()) + len(token)
    with h.connect(tls) as link:
        for piece in (whole[:at], whole[at:]):
            link.sendall(piece)
            time.sleep(0.05)  # so that they are read one by one
        assert answer_of(link).startswith(b"HTTP/1.1 200")


def send_ahead(h, token, tls):
    """In a request that stands behind another one."""
    with h.connect(tls) as link:
        link.sendall((head("other") + BODY + head(token) + BODY))
        data = answer_of(link)
        while data.count(b"HTTP/1.1 ") < 2:
            data += link.recv(65536)


def send_bad(h, token, tls):
    with h.connect(tls) as link:
        link.sendall(head(token, "bad field") + BODY)
        assert answer_of(link).startswith(b"HTTP/1.1 400")


def send_large(h, token, tls):
    with h.connect(tls) as link:
        link.sendall(head(token, "X: " + "x" * 40000) + BODY)
        assert answer_of(link).startswith(b"HTTP/1.1 431")


def send_unknown(h, token, tls):
    with h.connect(tls) as link:
        link.sendall(head(f"{token}-wrong") + BODY)
        assert answer_of(link).startswith(b"HTTP/1.1 401")


def send_http2(h, token, tls):
    link = h.http2(tls)
    assert link.call(token=token).status == 200
    link.close()


def send_http2_plain(h, token, tls):
    """As a literal that is remembered, not Huffman coded: so do some clients."""
    fields = hpack.Encoder().encode([(":method", "POST"), (":path", CHAT), (":scheme", "http"), (":authority", "ep.localhost"),
                                     ("authorization", f"Bearer {token}")], huffman=False)
    frames = [hyperframe.frame.SettingsFrame(0), hyperframe.frame.HeadersFrame(1, fields, flags=["END_HEADERS"]),
              hyperframe.frame.DataFrame(1, BODY, flags=["END_STREAM"])]
    with (h.connect(True, "h2") if tls else h.connect()) as link:
        link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"".join(f.serialize() for f in frames))
        data = b""
        while b'"choices"' not in data:
            data += link.recv(65536)


WAYS = [send_http1, send_in_pieces, send_ahead, send_bad, send_large, send_unknown, send_http2, send_http2_plain]


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_of_a_token_nothing_is_left_in_memory(start, tls):
    tokens = {way: f"hr_{i}_{os.urandom(16).hex()}" for i, way in enumerate(WAYS)}
    h = start.headrace({"ep": start.engine(*QUICK).endpoint(access="authenticated")}, binary=RELEASE, workers=1,
                       tokens=[(f"t{i}", token) for i, token in enumerate(tokens.values())])
    eventually(lambda: h.call(token=tokens[send_http1]).status == 200)
    with h.connect(tls) as link:
        link.sendall(head(tokens[send_http1]) + BODY)
        answer_of(link)
        assert tokens[send_http1].encode() in memory(h.process.pid)  # it would be seen: the connection remembers it
    left = []
    for way, token in tokens.items():  # each by itself: the next one may overwrite what it has left
        way(h, token, tls)
        eventually(lambda: metric(h, "headrace_connections") == 0)
        if token.encode() in memory(h.process.pid):
            left.append(way.__name__)
    assert left == []


@pytest.mark.parametrize("source", ["path", "file:"])
def test_of_a_private_key_no_text_is_left_in_memory(start, tmp_path, source):
    key, certificate = tmp_path / "key", tmp_path / "cert"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", str(key), "-out", str(certificate)],
                   check=True, capture_output=True)
    h = start.headrace({"ep": start.engine(*QUICK).endpoint()}, binary=RELEASE, listeners=[
        {"address": "127.0.0.1:0", "tls": False},
        {"address": "127.0.0.1:0", "certificates": [{"certificate": str(certificate), "key": str(key) if source == "path" else f"file:{key}"}]},
        {"address": "127.0.0.1:0", "self_signed": {"directory": str(tmp_path)}}])
    h.command("reload")
    lines = [line for path in (key, tmp_path / "key.pem", tmp_path / "ca-key.pem") for line in path.read_text().splitlines() if "-" not in line]
    left = memory(h.process.pid)
    assert len(lines) > 20 and [line for line in lines if line.encode() in left] == []


def test_nothing_that_is_said_holds_a_secret(start):
    password, token, wrong = "pw" + os.urandom(12).hex(), "hr_" + os.urandom(16).hex(), "no_" + os.urandom(16).hex()
    redis = start.redis("--requirepass", password, password=password)
    secret = start.directory / "password"
    secret.write_text(password + "\n")
    start.directory.joinpath("logs").mkdir()
    settings = {**redis.settings(), "password": f"file:{secret}"}
    h = start.add(Headrace(start.directory / "logs", {"ep": start.engine(*QUICK).endpoint(access="authenticated")}, redis=settings,
                           tokens=[("t", token)]))
    eventually(lambda: h.call(token=token).status == 200)
    for ask in ({"token": wrong}, {"token": token, "host": "nobody.localhost"}, {"token": token, "path": f"{CHAT}?key={wrong}"}):
        h.call(**ask)
        h.call(tls=True, **ask)
    h.raw(head(token, "bad field"))
    h.raw(b"GET / HTTP/9.9\r\nAuthorization: Bearer " + wrong.encode() + b"\r\n\r\n")
    client = h.http2()
    for ask in ({"token": wrong}, {"token": token}):
        client.call(**ask)
    client.close()
    settings["password"] = wrong  # Redis does not take it
    other = start.directory / "other"
    other.mkdir()
    refused = start.add(Headrace(other, {}, role="proxy", redis=settings, wait=False))
    eventually(lambda: "set store.redis.password" in refused.errors() or "WRONGPASS" in refused.errors())
    said = [h.errors(), refused.errors(), h.admin("/metrics")[1], h.admin("/status")[1], h.admin("/explain/ep")[1]]
    for command in (("config",), ("check",), ("status",), ("status", "--json"), ("explain", "ep"), ("token", "list"), ("reload",)):
        done = h.command(*command, check=False)
        said += [done.stdout, done.stderr]
    eventually(lambda: len(h.log()) >= 9)
    said += [(h.directory / "access.log").read_text(), Path(f"/proc/{h.process.pid}/cmdline").read_text()]
    assert [text for text in said if password in text or token in text or wrong in text] == []
