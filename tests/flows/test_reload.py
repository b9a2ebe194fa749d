"""The configuration is read again while requests run: nothing is lost, and what is wrong is kept out."""
import contextlib
import http.client
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import threading

import pytest

from harness import BODY, CHAT, DEADLINE_S, HEADRACE, STREAM, Http2, eventually, free_port, process_endpoint

RELOADS = int(os.environ.get("HEADRACE_RELOADS", "10"))
POST = (f"POST {CHAT} HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: {len(STREAM)}\r\n\r\n").encode() + STREAM


def change(h, edit):
    """The file as `edit` leaves it."""
    config = json.loads(h.config.read_text())
    edit(config)
    h.config.write_text(json.dumps(config, indent=1))


def reload(h, edit=lambda config: None):
    change(h, edit)
    return h.command("reload")


def refused(h, edit):
    """What `headrace reload` says of a file that is not taken; the file is put back afterwards."""
    before = h.config.read_text()
    change(h, edit)
    done = h.command("reload", check=False)
    h.config.write_text(before)
    assert done.returncode == 1 and "nothing has changed" in done.stderr
    return done.stderr


def readable(link):
    return (isinstance(link, ssl.SSLSocket) and link.pending()) or select.select([link], [], [], 0)[0]


class Streams:
    """Streams of answers that do not end, one by HTTP/1.1 and some on one HTTP/2 connection."""

    def __init__(self, h, tls):
        self.http1, self.http2 = h.connect(tls), h.http2(tls)
        self.http1.sendall(POST)
        self.streams = [self.http2.ask(body=STREAM) for _ in range(3)]
        self.go_on()

    def go_on(self):
        """Each has a token that was made after now."""
        for _ in range(2):
            assert b"data:" in self.http1.recv(65536)
        for stream in self.streams:
            if stream in self.http2.answers:  # what was seen is let go, or each event would copy all that came before
                self.http2.answers[stream].body = b""
            while self.seen(stream) < 2:
                assert stream not in self.http2.ended, self.http2.answers[stream].reset
                self.http2.turn()
        self.catch_up()

    def catch_up(self):
        """Who reads less than comes is cut off in the end."""
        while readable(self.http1):
            assert self.http1.recv(65536)
        while readable(self.http2.link):
            self.http2.turn()

    def seen(self, stream):
        return self.http2.answers[stream].body.count(b"data:") if stream in self.http2.answers else 0

    def close(self):
        self.http1.close()
        self.http2.close()


class Load(threading.Thread):
    """Requests one after the other, on a connection kept and on new ones, until it is told to end."""

    def __init__(self, h, tls):
        super().__init__()
        self.h, self.tls, self.over, self.served, self.failures = h, tls, threading.Event(), 0, []
        self.start()

    def run(self):
        kept = http.client.HTTPConnection("localhost")
        while not self.over.is_set():
            try:
                kept.sock = kept.sock or self.h.connect(self.tls)  # an answer may have said that it was the last
                kept.request("POST", CHAT, BODY, {"Host": "short.localhost"})
                answer = kept.getresponse()
                answer.read()
                statuses = [answer.status, self.h.call(host="short.localhost", tls=self.tls).status]
                self.served += len(statuses)
                self.failures += [s for s in statuses if s != 200]
            except (OSError, http.client.HTTPException) as problem:
                self.failures.append(repr(problem))
                return
        kept.close()

    def end(self):
        self.over.set()
        self.join()
        assert not self.failures and self.served
        return self.served


@pytest.fixture
def h(start):
    long, short = start.engine("--tokens", 100000, "--rate", 50), start.engine("--tokens", 2, "--rate", 0)
    return start.headrace({"ep": long.endpoint(), "short": short.endpoint()})


def test_many_reloads_lose_no_request_and_cut_no_stream(h):
    extra = {"address": f"127.0.0.1:{free_port()}", "tls": False}

    def edit(config):
        config["client"] = {"idle_timeout_s": 60 + i % 7}
        config["endpoints"]["short"]["queue_max_s"] = 10 + i % 3
        config["listeners"] = config["listeners"][:4] + [extra] * (i % 2)
        config["endpoints"].pop("other", None)
        if i % 3 == 0:
            config["endpoints"]["other"] = config["endpoints"]["short"]

    streams, loads = [Streams(h, tls) for tls in (False, True)], [Load(h, tls) for tls in (False, True)]
    for i in range(RELOADS):
        if i % 4 == 3:  # by signal
            taken = h.errors().count("is in force")
            change(h, edit)
            h.process.send_signal(signal.SIGHUP)
            eventually(lambda: h.errors().count("is in force") > taken)
        else:
            reload(h, edit)
        for s in streams:
            s.go_on()
    for s in streams:
        s.close()
    assert sum(load.end() for load in loads) >= RELOADS
    assert f'headrace_reloads_total{{outcome="taken"}} {RELOADS}' in h.admin("/metrics")[1]
    h.quiet("ep")


def test_a_bad_file_is_kept_out_with_the_reason(h):
    stream = Streams(h, False)
    text = refused(h, lambda c: c.update(clients={}))
    assert 'headrace.json:' in text and 'clients: unknown key; did you mean "client"?' in text
    before = h.config.read_text()
    h.config.write_text(before.replace('"workers": 2', '"workers": 2.5'))
    h.process.send_signal(signal.SIGHUP)
    eventually(lambda: f"{h.config}:2:2: workers: must be a whole number" in h.errors())
    h.config.write_text("{")
    assert h.command("reload", check=False).returncode == 1
    h.config.write_text(before)
    assert h.call(host="short.localhost").status == 200
    stream.go_on()
    stream.close()
    assert 'headrace_reloads_total{outcome="refused"} 1\n' in h.admin("/metrics")[1]


def test_what_is_read_at_the_start_only_is_named(h):
    for key, edit in {"workers": lambda c: c.update(workers=3),
                      "store.lease_ms": lambda c: c.update(store={"lease_ms": 4000}),
                      "scheduler.tick_ms": lambda c: c["scheduler"].update(tick_ms=200),
                      "domain": lambda c: c.update(domain="example.org")}.items():
        text = refused(h, edit)
        assert f"{key}: cannot change while the process runs; put the old value back, or restart" in text
        assert f"{key}: cannot change" in h.errors()
    assert h.call(host="short.localhost").status == 200


def test_nothing_is_taken_when_a_part_cannot_be(h):
    """A port that is taken: the endpoint that came with it is not there either."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        def edit(config):
            config["endpoints"]["new"] = config["endpoints"]["short"]
            config["listeners"].append({"address": f"127.0.0.1:{port}", "tls": False})
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in refused(h, edit)
    assert h.call(host="new.localhost").code == "endpoint_not_found"
    reload(h)


def certificate(directory, name):
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                    "-out", cert, "-subj", f"/CN={name}", "-days", "2"], check=True, capture_output=True)
    return cert, key


def test_a_key_with_a_pass_phrase_is_refused_at_once(h, tmp_path):
    """Nobody is asked for it, though there is somebody to ask."""
    cert, key = certificate(tmp_path, "one")
    sealed = tmp_path / "sealed.key"
    subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", sealed], check=True, capture_output=True)
    config = json.loads(h.config.read_text())
    config["listeners"][0].update(certificates=[{"certificate": str(cert), "key": str(sealed)}])
    other = tmp_path / "other.json"
    other.write_text(json.dumps(config))
    asked, ask = os.openpty()
    with os.fdopen(asked), os.fdopen(ask) as terminal:
        p = subprocess.Popen([HEADRACE, "run", "-c", str(other)], stdin=terminal, stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            assert "has no passphrase" in p.communicate(timeout=DEADLINE_S)[1] and p.returncode
        finally:
            p.kill()


def test_a_socket_whose_process_does_not_answer_is_somebodys(h, tmp_path):
    path = str(tmp_path / "busy.sock")
    with socket.socket(socket.AF_UNIX) as door, contextlib.ExitStack() as waiting:
        door.bind(path)
        door.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                link = waiting.enter_context(socket.socket(socket.AF_UNIX))
                link.setblocking(False)
                link.connect(path)
        config = json.loads(h.config.read_text())
        config["listeners"].append({"address": f"unix:{path}", "tls": False})
        h.config.write_text(json.dumps(config))
        assert "busy.sock" in h.command("reload", check=False).stderr


def shown(port):
    return ssl.get_server_certificate(("127.0.0.1", port))


def test_certificates_are_read_again(h, tmp_path):
    one, two = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    cert, key = tmp_path / "cert.pem", tmp_path / "cert.key"

    def put(pair):
        for source, to in zip(pair, (cert, key)):
            to.write_bytes(source.read_bytes())
    put(one)
    reload(h, lambda c: c["listeners"][0].update(certificates=[{"certificate": str(cert), "key": str(key)}]))
    assert shown(h.tls_port).strip() == one[0].read_text().strip()
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2"])
    link = Http2(context.wrap_socket(socket.create_connection(("127.0.0.1", h.tls_port))))
    stream = link.ask(body=STREAM)
    while stream not in link.answers:
        link.turn()
    put(two)
    reload(h)
    assert shown(h.tls_port).strip() == two[0].read_text().strip()
    key.write_bytes(one[1].read_bytes())
    done = h.command("reload", check=False)
    assert done.returncode == 1 and "the private key does not belong to the certificate" in done.stderr
    assert shown(h.tls_port).strip() == two[0].read_text().strip()
    before = len(link.answers[stream].body)
    while len(link.answers[stream].body) == before:
        link.turn()
    assert stream not in link.ended
    link.close()


def test_listeners_come_and_go(h, tmp_path):
    port, path = free_port(), str(tmp_path / "new.sock")
    reload(h, lambda c: c["listeners"].extend([{"address": f"127.0.0.1:{port}", "tls": False}, {"address": f"unix:{path}", "tls": False}]))
    for _ in range(8):  # each worker has one
        assert http_status(("127.0.0.1", port)) == 200
    assert http_status(path) == 200
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(POST)
        assert b"data:" in link.recv(65536) + link.recv(65536)
        reload(h, lambda c: c.update(listeners=c["listeners"][:4]))
        eventually(lambda: not connects(port))
        assert not os.path.exists(path)
        assert b"data:" in link.recv(65536) + link.recv(65536)
    reload(h, lambda c: c["listeners"][1].update(tls=True, self_signed=c["listeners"][0]["self_signed"]))
    assert shown(h.port) == shown(h.tls_port)


def http_status(address):
    link = http.client.HTTPConnection("localhost")
    link.sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    link.sock.connect(address)
    with contextlib.closing(link):
        link.request("POST", CHAT, BODY, {"Host": "short.localhost"})
        return link.getresponse().status


def connects(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_endpoints_come_change_and_go(h, start):
    other = start.engine("--tokens", 2, "--rate", 0)
    stream = Streams(h, False)
    reload(h, lambda c: c["endpoints"].update(new=other.endpoint()))
    eventually(lambda: h.call(host="new.localhost").status == 200)
    load = Load(h, False)
    reload(h, lambda c: c["endpoints"]["short"].update(addresses=[f"127.0.0.1:{other.port}"]))
    eventually(lambda: [r["address"] for r in h.status("short")["replicas"]] == [f"127.0.0.1:{other.port}"])
    before = len(other.events("start"))
    assert h.call(host="short.localhost").status == 200 and len(other.events("start")) > before
    load.end()
    reload(h, lambda c: c["endpoints"]["short"].update(access="authenticated"))
    eventually(lambda: h.call(host="short.localhost").status == 401)
    reload(h, lambda c: (c["endpoints"].pop("new"), c["endpoints"].pop("ep")))
    eventually(lambda: h.call(host="new.localhost").code == "endpoint_not_found")
    stream.go_on()  # of an endpoint that is no more
    stream.close()


def test_a_new_command_replaces_replicas_without_a_gap(start):
    def endpoint(*more):
        return process_endpoint("--tokens", 2, "--rate", 0, *more, log_directory=start.directory,
                                scaling={"min_replicas": 1, "max_replicas": 1, "scale_to_zero_s": 0})
    h = start.headrace({"short": endpoint()})
    eventually(lambda: h.call(host="short.localhost").status == 200)
    load = Load(h, False)
    reload(h, lambda c: c["endpoints"].update(short=endpoint("--model", "newer", "--load-ms", 300)))
    eventually(lambda: [r["id"] for r in h.status("short")["replicas"]] == ["short-2"])
    load.end()
    reload(h, lambda c: c["endpoints"].update(other=endpoint()) or c["endpoints"].pop("short"))
    eventually(lambda: h.call(host="short.localhost").code == "endpoint_not_found")


def test_a_child_that_drains_is_stopped_though_its_endpoint_has_gone(start):
    """And though the endpoint had another driver by then."""
    other = start.engine("--rate", 0)
    e = process_endpoint("--tokens", 100000, "--rate", 50, log_directory=start.directory,
                         scaling={"min_replicas": 1, "max_replicas": 1, "scale_to_zero_s": 0})
    h = start.headrace({"ep": e})
    eventually(lambda: h.status("ep")["state"] == "running")
    port = int(h.status("ep")["replicas"][0]["address"].rsplit(":", 1)[1])
    stream = Streams(h, False)
    reload(h, lambda c: c["endpoints"].update(ep=other.endpoint()))
    eventually(lambda: sorted(r["state"] for r in h.status("ep")["replicas"]) == ["draining", "ready"])
    reload(h, lambda c: c["endpoints"].pop("ep"))
    stream.go_on()
    stream.close()
    eventually(lambda: not connects(port))


@pytest.mark.parametrize("tls", [False, True])
def test_connections_outlive_the_configuration_they_came_with(h, tls):
    """Its limits hold for them, though nothing else of it is left."""
    change(h, lambda c: c.update(client={"http2_resets_burst": 20, "http2_resets_per_s": 1}))
    assert h.command("reload").returncode == 0
    kept, strict = h.connect(tls), h.http2(tls)
    for i in range(3):
        reload(h, lambda c: c.update(client={"idle_timeout_s": 60 + i}))
    for _ in range(10):
        strict.h2.ping(b"12345678")
        stream = strict.ask(body=STREAM)
        strict.h2.reset_stream(stream, 8)
        strict.flush()
    assert strict.call(host="short.localhost").status == 200
    for _ in range(20):
        strict.h2.reset_stream(strict.ask(body=STREAM), 8)
    strict.flush()
    while not strict.goaway:
        strict.turn()
    kept.sendall(POST.replace(b"ep.local", b"short.local"))
    assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
    kept.close()
    strict.close()
    h.quiet("ep")


def test_held_requests_stay_held(start):
    e, gate = process_endpoint("--tokens", 2, "--rate", 0, log_directory=start.directory), start.directory / "gate"
    e["process"]["command"] = ["/bin/sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done; exec \"$@\"", "sh", *e["process"]["command"]]
    h = start.headrace({"ep": e})
    with h.connect() as link:
        link.sendall(POST.replace(b"\r\n", b"\r\nX-Scale-Up-Timeout: 60\r\n", 1))
        eventually(lambda: h.status("ep")["held"] == 1)
        for i in range(3):
            reload(h, lambda c: c["endpoints"]["ep"].update(queue_max_s=20 + i))
        assert h.status("ep")["held"] == 1
        gate.touch()
        assert b" 200 OK" in link.recv(65536)


def test_only_the_admin_socket_may_reload(start):
    port = free_port()
    h = start.headrace({"ep": start.engine().endpoint()}, admin={"address": f"127.0.0.1:{port}"})
    link = http.client.HTTPConnection("127.0.0.1", port)
    link.request("POST", "/reload")
    assert link.getresponse().status == 403
    assert h.admin("/reload")[0] == 405


def test_the_roles_of_a_fleet_reload(start):
    redis = start.redis()
    one, two = (start.engine("--tokens", 2, "--rate", 0) for _ in range(2))
    scheduler = start.role("scheduler", redis, {"short": one.endpoint()})
    proxy = start.role("proxy", redis)
    eventually(lambda: proxy.call(host="short.localhost").status == 200)
    reload(scheduler, lambda c: c["endpoints"].update(new=two.endpoint()))
    eventually(lambda: proxy.call(host="new.localhost").status == 200)
    port = free_port()
    reload(proxy, lambda c: c["listeners"].append({"address": f"127.0.0.1:{port}", "tls": False}))
    assert http_status(("127.0.0.1", port)) == 200
    reload(scheduler, lambda c: c["endpoints"].pop("new"))
    eventually(lambda: (gone := proxy.call(host="new.localhost")).status == 404 and gone.code == "endpoint_not_found")
    assert "there are no listeners" in refused(proxy, lambda c: c.update(listeners=[], endpoints={"short": one.endpoint()}))
