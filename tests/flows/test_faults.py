"""Faults of replicas and of the log's disk: what the client sees of each, exactly, by either protocol."""
import contextlib
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import threading

import pytest

from harness import CHAT, DEADLINE_S, ENGINE, ROOT, STREAM, eventually, free_port, read_all

KILLS = int(os.environ.get("HEADRACE_KILLS", "100"))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
DRY = {"health": {"interval_ms": 600000}}  # once ready, ready: only requests find out


def status(code):
    return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % code


class Replica:
    """A model server that does as it is told: `script` makes of a request's number what is sent, and whether the connection stays."""

    def __init__(self, script, backlog=64):
        self.script, self.requests, self.links = script, 0, []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                link = self.listener.accept()[0]
                self.links.append(link)
                threading.Thread(target=self.serve, args=(link,), daemon=True).start()

    def serve(self, link):
        data, stay = b"", True
        with link, contextlib.suppress(OSError):
            while stay:
                while not (size := self.size(data)):
                    part = link.recv(65536)
                    if not part:
                        return
                    data += part
                data = data[size:]
                self.requests += 1
                answer, stay = self.script(self.requests)
                link.sendall(answer)

    @staticmethod
    def size(data):
        """Of the first request, once it is whole; else 0."""
        head, end, rest = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        start = len(head) + len(end)
        if b"transfer-encoding" in fields:
            return data.find(b"0\r\n\r\n", start) + 5 if b"0\r\n\r\n" in rest else 0
        length = int(fields.get(b"content-length", 0))
        return start + length if end and len(rest) >= length else 0

    def refuse(self):
        """From now on nobody listens here; what is connected stays."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def stop(self):
        for one in (self.listener, *self.links):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def replica(start):
    return lambda *script, **more: start.add(Replica(*script, **more))


def static(*replicas, **more):
    return {"access": "public", "driver": "static", "addresses": [f"127.0.0.1:{r.port}" for r in replicas], **DRY, **more}


def ask(h, protocol):
    """The answer, and whether it came to its end."""
    if protocol == "http2":
        link = h.http2(tls=True)
        stream = link.ask(body=STREAM)
        answer = link.wait(stream)
        link.close()
        return answer.status, answer.body, link.ended[stream]
    data = h.raw(f"POST {CHAT} HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\nContent-Length: {len(STREAM)}\r\n\r\n".encode() + STREAM)
    while data.startswith(b"HTTP/1.1 1"):
        data = data.split(b"\r\n\r\n", 1)[1]
    head, body = data.split(b"\r\n\r\n", 1)
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    whole = body.endswith(b"0\r\n\r\n") if b"chunked" in head.lower() else len(body) == int(fields[b"content-length"])
    return int(head.split()[1]), body, "end" if whole else "cut"


def failed(answer, code, number=502):
    assert answer[0] == number and answer[2] == "end" and json.loads(answer[1])["error"]["code"] == code, answer


def metric(h, name):
    return sum(float(line.rsplit(" ", 1)[1]) for line in h.admin("/metrics")[1].splitlines()
               if line.startswith((name + " ", name + "{")))


BOTH = pytest.mark.parametrize("protocol", ["http1", "http2"])


@BOTH
def test_a_replica_that_refuses_is_tried_for_a_while_then_502(start, replica, protocol):
    r = replica(lambda n: (OK, True))
    h = start.headrace({"ep": static(r)})
    r.refuse()
    failed(ask(h, protocol), "replica_failed")
    assert eventually(h.log)[0]["held_ms"] > 1000
    assert metric(h, "headrace_connect_failures_total") == 9 and metric(h, "headrace_ejections_total") == 0


@BOTH
def test_a_replica_that_refuses_costs_nothing_where_there_is_another(start, replica, protocol):
    bad, good = replica(lambda n: (OK, True)), replica(lambda n: (OK, True))
    h = start.headrace({"ep": static(bad, good)}, workers=1, replica={"eject_failures": 0})
    bad.refuse()
    assert [ask(h, protocol)[0] for _ in range(10)] == [200] * 10
    assert good.requests == 10 and bad.requests == 0
    assert metric(h, "headrace_replays_total") == metric(h, "headrace_connect_failures_total") >= 4
    eventually(lambda: len(h.log()) == 10)
    assert all(line["held_ms"] == 0 for line in h.log())  # at once, without a pause


@BOTH
def test_a_replica_that_takes_no_connection_is_left_for_another(start, replica, protocol):
    bad, good = replica(lambda n: (OK, True), backlog=0), replica(lambda n: (OK, True))
    h = start.headrace({"ep": static(bad, good)}, workers=1, replica={"connect_timeout_s": 1, "eject_failures": 1, "eject_s": 600})
    bad.listener.shutdown(socket.SHUT_RDWR)  # the accepting thread ends ...
    bad.listener.listen(0)                   # ... and the queue is full with these
    stuck = [socket.socket() for _ in range(3)]
    for link in stuck:
        link.setblocking(False)
        link.connect_ex(("127.0.0.1", bad.port))
    assert [ask(h, protocol)[0] for _ in range(4)] == [200] * 4 and good.requests == 4
    assert metric(h, "headrace_connect_failures_total") == metric(h, "headrace_ejections_total") == 1
    for link in stuck:
        link.close()


@BOTH
def test_a_replica_that_accepts_and_never_answers_is_504(start, replica, protocol):
    r = replica(lambda n: (b"never" if threading.Event().wait(DEADLINE_S) else b"", False))
    h = start.headrace({"ep": static(r, head_timeout_s=1)})
    failed(ask(h, protocol), "replica_timeout", 504)
    assert r.requests == 1


@BOTH
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTP\r\n\r\n"])
@pytest.mark.parametrize("reused", [False, True])
def test_a_death_before_or_within_the_head_is_502_and_the_request_is_sent_once(start, replica, protocol, answer, reused):
    """But for a connection that was kept, and closes without a byte: then it was closing already, and the request is sent again."""
    r = replica(lambda n: (OK, True) if reused and n % 2 else (answer, False))
    h = start.headrace({"ep": static(r)}, workers=1, replica={"idle_s": 60})
    if reused:
        assert ask(h, protocol)[0] == 200
    again = reused and not answer
    result = ask(h, protocol)
    if again:
        assert result == (200, b"ok", "end") and r.requests == 3
    else:
        failed(result, "replica_failed")
        assert r.requests == 1 + reused
    assert metric(h, "headrace_replays_total") == again


@BOTH
@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
                                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
                                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX"])
def test_a_death_after_the_head_is_a_visible_end(start, replica, protocol, answer):
    r = replica(lambda n: (answer, False))
    h = start.headrace({"ep": static(r)})
    code, body, how = ask(h, protocol)
    assert (code, how) == (200, "reset" if protocol == "http2" else "cut") and r.requests == 1
    assert eventually(h.log)[0]["ended"] == "replica_failed"


def test_a_kill_mid_stream_is_always_visible(start):
    """-9, each time with a stream open by either protocol, over TLS and in clear."""
    port, engine = free_port(), None
    command = [ENGINE, "--port", str(port), "--tokens", "100000", "--rate", "200"]

    class Here:
        def stop(self):
            engine.kill()
            engine.wait(DEADLINE_S)
            engine.stdout.close()

    def spawn():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline()
        return process

    engine = spawn()
    here = start.add(Here())
    h = start.headrace({"ep": {"access": "public", "driver": "static", "addresses": [f"127.0.0.1:{port}"], **DRY}})
    head = f"POST {CHAT} HTTP/1.1\r\nHost: ep.localhost\r\nContent-Length: {len(STREAM)}\r\n\r\n".encode()
    for i in range(KILLS):
        one, two = h.connect(tls=i % 2), h.http2(tls=i % 2 == 0)
        one.sendall(head + STREAM)
        stream = two.ask(body=STREAM)
        data = b""
        while b"data:" not in data:
            data += one.recv(65536)
        while stream not in two.answers or b"data:" not in two.answers[stream].body:
            two.turn()
        here.stop()
        data += read_all(one)
        answer = two.wait(stream)
        assert data.startswith(b"HTTP/1.1 200 ") and not data.endswith(b"0\r\n\r\n") and b"[DONE]" not in data
        assert answer.status == 200 and two.ended[stream] == "reset" and answer.reset == 2 and b"[DONE]" not in answer.body
        one.close()
        two.close()
        engine = spawn()
    eventually(lambda: len(h.log()) == 2 * KILLS)
    assert {line["ended"] for line in h.log()} == {"replica_failed"}
    h.quiet("ep")


@BOTH
@pytest.mark.parametrize("code", [502, 503])
def test_a_502_or_503_is_passed_on_unless_told(start, replica, protocol, code):
    bad, good, worse = replica(lambda n: (status(code), True)), replica(lambda n: (OK, True)), replica(lambda n: (status(code), True))
    h = start.headrace({"ep": static(bad, good)}, workers=1, replica={"eject_failures": 0})
    assert sorted(ask(h, protocol)[0] for _ in range(6)) == [200] * 3 + [code] * 3 and metric(h, "headrace_replays_total") == 0
    h = start.headrace({"ep": static(bad, good)}, workers=1, replica={"eject_failures": 0, "retry_unavailable": True})
    assert [ask(h, protocol)[0] for _ in range(6)] == [200] * 6 and metric(h, "headrace_replays_total") == bad.requests - 3 >= 3
    bad.requests = worse.requests = 0
    h = start.headrace({"ep": static(bad, worse)}, workers=1, replica={"eject_failures": 0, "retry_unavailable": True})
    assert ask(h, protocol)[0] == code and bad.requests == worse.requests == 1  # once
    bad.requests = 0
    h = start.headrace({"ep": static(bad)}, workers=1, replica={"retry_unavailable": True})
    assert ask(h, protocol)[0] == code and bad.requests == 1  # there is no other


def test_what_cannot_be_sent_again_is_not(start, replica):
    """A body over replay_bytes, of which part has gone: the 503 is passed on."""
    bad, good = replica(lambda n: (status(503), True)), replica(lambda n: (status(503), True))
    h = start.headrace({"ep": static(bad, good)}, workers=1, replica={"retry_unavailable": True, "replay_bytes": 1000})
    assert h.call(body=b"x" * 100000).status == 503 and bad.requests + good.requests == 1


def test_failures_in_a_row_eject_a_replica_until_one_request_finds_it_well(start, replica):
    well = threading.Event()
    bad = replica(lambda n: (OK if well.is_set() else status(500), True))
    good = replica(lambda n: (OK, True))
    h = start.headrace({"ep": static(bad, good)}, workers=1, replica={"eject_failures": 3, "eject_s": 1})
    answers = [h.call().status for _ in range(6)]
    assert answers.count(500) == 3 and bad.requests == 3
    assert metric(h, "headrace_replica_ejected") == 1 and metric(h, "headrace_ejections_total") == 1
    before, refusals = good.requests, 0
    while bad.requests < 5:  # on trial, twice: each time one request, and no more
        refusals += h.call().status == 500
    assert refusals == 2 and good.requests - before > 10
    well.set()
    eventually(lambda: h.call().status == 200 and metric(h, "headrace_replica_ejected") == 0)
    before = bad.requests
    assert [h.call().status for _ in range(10)] == [200] * 10 and bad.requests - before == 5


def test_what_each_replica_was_given_and_failed_at_is_counted(start, replica):
    never = threading.Event()
    answers = {1: OK.replace(b"Content", b"Connection: close\r\nContent"), 2: b"", 3: OK.replace(b"h: 2", b"h: 3")}
    r = replica(lambda n: (answers[n], False) if n in answers else (never.wait(DEADLINE_S) and OK, True))
    h = start.headrace({"ep": static(r, head_timeout_s=1)}, workers=2)
    counts = lambda: (metric(h, "headrace_replica_requests_total"), metric(h, "headrace_replica_failures_total"))
    assert h.call().status == 200 and counts() == (1, 0)
    assert h.call().code == "replica_failed" and counts() == (2, 1)
    with pytest.raises((OSError, http.client.HTTPException)):
        h.call()
    assert counts() == (3, 2)
    assert h.call().code == "replica_timeout" and counts() == (4, 3)
    never.set()


def test_4xx_ejects_nobody_and_the_last_one_stays(start, replica):
    bad, good = replica(lambda n: (status(429 if n % 2 else 404), True)), replica(lambda n: (OK, True))
    h = start.headrace({"ep": static(bad, good)}, workers=1, replica={"eject_failures": 1})
    assert sorted({h.call().status for _ in range(20)}) == [200, 404, 429] and bad.requests == 10
    assert metric(h, "headrace_ejections_total") == 0
    one, two = replica(lambda n: (status(500), True)), replica(lambda n: (status(500), True))
    h = start.headrace({"ep": static(one, two)}, workers=1, replica={"eject_failures": 1, "eject_s": 600})
    assert {h.call().status for _ in range(20)} == {500} and one.requests + two.requests == 20
    assert sorted((one.requests, two.requests))[0] == 1
    assert metric(h, "headrace_ejections_total") == metric(h, "headrace_replica_ejected") == 1


def test_who_waits_for_a_place_does_not_get_one_at_an_ejected_replica(start, replica):
    go = threading.Event()
    bad, good = replica(lambda n: (status(500), True)), replica(lambda n: (go.wait(DEADLINE_S) and OK, True))
    h = start.headrace({"ep": static(bad, good, concurrency_max=1)}, workers=1, replica={"eject_failures": 1, "eject_s": 600})
    link = h.http2()
    streams = [link.ask() for _ in range(12)]
    eventually(lambda: h.status("ep")["held"] == 10)
    go.set()
    assert sorted(link.wait(s).status for s in streams) == [200] * 11 + [500] and bad.requests == 1
    link.close()


def test_a_full_log_disk_stops_nobody_and_its_lines_are_counted(start, replica):
    h = start.headrace({"ep": static(replica(lambda n: (OK, True)))}, workers=1, log={"access": "/dev/full"})
    assert [h.call().status for _ in range(20)] == [200] * 20
    eventually(lambda: metric(h, "headrace_log_lines_dropped_total") == 20)


def test_a_log_line_cut_by_a_full_disk_spoils_no_other(start, replica):
    """Of a file as long as it may be, the last line is cut; when there is room again the next one stands by itself."""
    h = start.headrace({"ep": static(replica(lambda n: (OK, True)))}, workers=1)
    resource.prlimit(h.process.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    assert [h.call().status for _ in range(20)] == [200] * 20
    dropped = eventually(lambda: (n := metric(h, "headrace_log_lines_dropped_total")) >= 17 and n)
    resource.prlimit(h.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert h.call().status == 200
    path = h.directory / "access.log"
    lines = eventually(lambda: (text := path.read_text()).endswith("\n") and text.splitlines())
    torn = []
    for line in lines:
        try:
            json.loads(line)
        except ValueError:
            torn.append(line)
    assert len(torn) == 1 and len(lines) - 1 + dropped == 21
