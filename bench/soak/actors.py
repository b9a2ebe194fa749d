"""Those who take part in a soak. Each knows what must come of what it does, and writes down whatever else came."""
import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import threading
import time

from bench.soak.ground import TOKEN, eventually
from bench.suite import machine
from harness import BODY, CHAT, DEADLINE_S, Answer
from http2_frames import Wire, data, head, request

AFTER_KILL_S = 5.0  # a process that is killed takes a while to close what it had open, on a crowded machine
STREAM_TOKENS = 300


class Actor(threading.Thread):
    """Does its turn again and again; `done` counts by what came of it, `problems` has what should not have."""

    pause_s = 0.1

    def __init__(self, soak):
        super().__init__(name=type(self).__name__, daemon=True)
        self.soak, self.ground, self.h, self.done, self.problems = soak, soak.ground, soak.ground.proxy, {}, []
        self.chance = random.Random(self.name)

    def run(self):
        while not self.soak.over.is_set():
            try:
                self.turn()
            except (OSError, AssertionError, http.client.HTTPException, ValueError) as problem:
                self.wrong(f"{type(problem).__name__}: {problem}")
            self.soak.over.wait(self.pause_s)
        self.close()

    def close(self):
        pass

    def came(self, what):
        self.done[what] = self.done.get(what, 0) + 1

    def wrong(self, what):
        self.problems.append(f"{time.monotonic() - self.soak.began:.1f} s: {self.name}: {what}"[:600])

    def want(self, answer, *statuses):
        self.came(str(answer.status))
        if answer.status not in statuses:
            self.wrong(f"status {answer.status} instead of {statuses}: {answer.body[:200]}")


def stream_body(tokens):
    return json.dumps({"model": "m", "stream": True, "max_tokens": tokens, "messages": [{"role": "user", "content": "hi"}]}).encode()


def whole(body, tokens):
    """Every event once, in order, and the end."""
    return [int(n) for n in re.findall(rb'"index":(\d+),"sent_us"', body)] == list(range(tokens)) and body.rstrip().endswith(b"data: [DONE]")


def ask(h, protocol, **what):
    """The answer; its `reset` says when it was cut off within the body."""
    if protocol == 1:
        try:
            return h.call(tls=True, **what)
        except http.client.IncompleteRead as cut:
            return Answer(200, {}, cut.partial, reset="cut")
    with contextlib.closing(h.http2(tls=True)) as link:
        stream = link.ask(**what)
        answer = link.wait(stream)
        answer.reset = answer.reset if link.ended[stream] == "end" else link.ended[stream]
        return answer


class Streams(Actor):
    """Answers that last for several reloads, one by HTTP/1 and some on one HTTP/2 connection."""

    tls = True

    def turn(self):
        body = stream_body(STREAM_TOKENS)
        with contextlib.closing(self.h.connect(self.tls)) as one, contextlib.closing(self.h.http2(self.tls)) as two:
            one.sendall(b"POST %s HTTP/1.1\r\nHost: steady.localhost\r\nContent-Length: %d\r\n\r\n" % (CHAT.encode(), len(body)) + body)
            ids = [two.ask(body=body, host="steady.localhost") for _ in range(3)]
            answer = http.client.HTTPResponse(one, method="POST")
            answer.begin()
            text = answer.read()
            self.judge(answer.status == 200 and whole(text, STREAM_TOKENS), text)
            for i in ids:
                got = two.wait(i)
                self.judge(got.status == 200 and two.ended[i] == "end" and whole(got.body, STREAM_TOKENS), got.body)

    def judge(self, good, text):
        self.came("whole" if good else "broken")
        if not good:
            self.wrong(f"a stream is not whole: ... {text[-200:]}")


class ClearStreams(Streams):
    tls = False


class Sleeper(Actor):
    """From zero and back: who waits is served, who does not is told, who leaves is forgotten."""

    pause_s = 0.05

    def turn(self):
        if self.ground.replicas("sleeper"):
            return
        threads = [threading.Thread(target=self.wait_for, args=(protocol,)) for protocol in (1, 2, 1, 2)]
        for t in threads:
            t.start()
        with contextlib.closing(self.h.connect(True)) as leaves:
            leaves.sendall(b"POST %s HTTP/1.1\r\nHost: sleeper.localhost\r\nX-Scale-Up-Timeout: 60\r\nContent-Length: %d\r\n\r\n" % (CHAT.encode(), len(BODY)) + BODY)
            self.want(ask(self.h, 1 + self.chance.randrange(2), host="sleeper.localhost"), 503, 200)
        self.came("gave up")
        for t in threads:
            t.join()

    def wait_for(self, protocol):
        try:
            answer = ask(self.h, protocol, host="sleeper.localhost", body=stream_body(10), X_Scale_Up_Timeout="80")
            self.want(answer, 200)
            if answer.status == 200 and (answer.reset or not whole(answer.body, 10)):
                self.wrong("a held stream is not whole")
        except (OSError, AssertionError, http.client.HTTPException) as problem:
            self.wrong(f"held: {problem!r}")


class Frail(Actor):
    """Requests to an endpoint whose replicas are killed. One may fail that was under way at a kill, and then visibly; no other."""

    def __init__(self, soak, protocol=1):
        super().__init__(soak)
        self.name, self.protocol = f"Frail{protocol}", protocol

    def turn(self):
        began, streamed = time.monotonic(), self.chance.random() < 0.6
        answer = ask(self.h, self.protocol, host="frail.localhost", body=stream_body(40) if streamed else BODY)
        good = answer.status == 200 and not answer.reset and (whole(answer.body, 40) if streamed else b'"usage"' in answer.body)
        if good:
            self.came("whole")
        elif not self.soak.killed_since(began - AFTER_KILL_S):
            self.wrong(f"failed without a kill: {answer.status} {answer.reset} {answer.body[-200:]}")
        elif answer.status == 502 and answer.code == "replica_failed":
            self.came("502 at a kill")
        elif answer.status == 200 and answer.reset and b"[DONE]" not in answer.body:
            self.came("visibly cut at a kill")
        else:
            self.wrong(f"at a kill: {answer.status} {answer.reset} {answer.body[-200:]}")


class Killer(Actor):
    """-9 for one of two, when both are ready."""

    pause_s = 7

    def turn(self):
        eventually(lambda: self.soak.over.is_set() or self.ground.replicas("frail") == ["ready"] * 2)
        pids = self.ground.frail_pids()
        if not self.soak.over.is_set() and len(pids) == 2:
            self.soak.kills.append(time.monotonic())  # before: who sees it may be faster than we are
            os.kill(pids[self.chance.randrange(2)], signal.SIGKILL)
            self.came("kills")


class Leaver(Actor):
    """Gives up: within the head, the body, the hold, the stream; by a close, a reset of the connection or of the stream."""

    def turn(self):
        getattr(self, self.chance.choice(["http1", "http1_upload", "http2", "http2_upload", "http2_connection"]))()

    def leave(self, link):
        if self.chance.random() < 0.5:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.close()
        self.came("left")

    def http1(self):
        body = stream_body(100)
        link = self.h.connect(self.chance.random() < 0.5)
        text = b"POST %s HTTP/1.1\r\nHost: steady.localhost\r\nContent-Length: %d\r\n\r\n" % (CHAT.encode(), len(body)) + body
        text = text[:self.chance.choice([20, 150, len(text)])]
        link.sendall(text)
        if text.endswith(body):
            for _ in range(self.chance.randrange(5)):
                link.recv(65536)
        self.leave(link)

    def http1_upload(self):
        link = self.h.connect(self.chance.random() < 0.5)
        link.sendall(b"POST /echo HTTP/1.1\r\nHost: steady.localhost\r\nContent-Length: 400000\r\n\r\n" + b"x" * 200000)
        self.leave(link)

    def http2(self):
        link = self.h.http2(tls=True)
        ids = [link.ask(body=stream_body(100), host="steady.localhost") for _ in range(4)]
        for _ in range(self.chance.randrange(8)):
            link.turn()
        for i in ids[:2]:
            if i not in link.ended:
                link.h2.reset_stream(i, 8)
        link.flush()
        for i in ids[2:]:
            answer = link.wait(i)
            if answer.status != 200 or link.ended[i] != "end" or not whole(answer.body, 100):
                self.wrong(f"the neighbour of a stream that was given up: {answer.status} {link.ended[i]}")
        self.leave(link.link)

    def http2_upload(self):
        link = self.h.http2(tls=True)
        stream = link.ask(path="/echo", body=b"x" * 100000, host="steady.localhost", end=False)
        link.h2.reset_stream(stream, 8)
        link.flush()
        self.want(link.call(host="steady.localhost"), 200)
        self.leave(link.link)

    def http2_connection(self):
        link = self.h.http2(tls=True)
        for _ in range(5):
            link.ask(body=stream_body(100), host="steady.localhost")
        for _ in range(self.chance.randrange(8)):
            link.turn()
        self.leave(link.link)


class Wrong(Actor):
    """Requests that are none, or that may not be."""

    pause_s = 0.2
    cases = [
        (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: steady.localhost\r\nA : b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: steady.localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: steady.localhost\r\n\r\n", 505), (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: steady.localhost\r\nX: " + b"y" * 40000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\nConnection: close\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: moving.localhost\r\nAuthorization: Bearer no\r\nConnection: close\r\n\r\n", 401),
        (b"POST /echo HTTP/1.1\r\nHost: steady.localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ]

    def turn(self):
        text, status = self.chance.choice(self.cases)
        got = self.h.raw(text, tls=self.chance.random() < 0.3)
        self.came(got[9:12].decode("latin-1"))
        if not got.startswith(b"HTTP/1.1 %d " % status):
            self.wrong(f"{text[:60]}: {got[:60]} instead of {status}")
        self.http2()

    def http2(self):
        wire = Wire(self.h.connect(True, "h2"))
        wire.send(self.chance.choice([head(request(("Upper", "x"), authority="steady.localhost")), head(b"\xff\xff\xff\xff\xff\xff"), data(stream=99),
                                      head(request(("connection", "close"), authority="steady.localhost"))]))
        wire.until(lambda: wire.over or wire.goaway)
        how = wire.goaway or next(iter(wire.over.values()), "closed")
        self.came(how)
        if "ERROR" not in how and "STREAM_CLOSED" not in how:
            self.wrong(f"bad frames: {how}")
        wire.close()


class Moving(Actor):
    """To the endpoint whose address changes with each reload."""

    pause_s = 0.05

    def turn(self):
        self.want(ask(self.h, 1 + self.chance.randrange(2), host="moving.localhost", token=TOKEN), 200)


class Sockets(Actor):
    """A WebSocket that lasts for some reloads: what is sent comes back."""

    def turn(self):
        with contextlib.closing(self.h.connect(self.chance.random() < 0.5)) as link:
            link.sendall(b"GET /chat HTTP/1.1\r\nHost: ws.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                         b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
            got = b""
            while b"\r\n\r\n" not in got:
                part = link.recv(65536)
                if not part:
                    raise ConnectionError(f"no tunnel: {got[:100]}")
                got += part
            assert got.startswith(b"HTTP/1.1 101 "), got[:100]
            for i in range(30):
                sent = b"%06d" % i + self.chance.randbytes(self.chance.choice([10, 1000, 20000]))
                link.sendall(sent)
                got = b""
                while len(got) < len(sent) and (part := link.recv(65536)):
                    got += part
                assert got == sent, "it did not come back as it was"
                self.came("messages")
                self.soak.over.wait(0.1)


class Reloader(Actor):
    """The two configurations in turn, by signal and by command, with a bad one in between; the second has a listener more, on which a
    stream begins that outlives it."""

    def __init__(self, soak, pause_s, count):
        super().__init__(soak)
        self.pause_s, self.count, self.taken, self.streams = pause_s, count, 0, []

    def turn(self):
        i = self.taken + 1
        second = i % 2
        self.ground.write(second, i)
        for h in self.ground.processes:
            if i % 4 < 2:
                taken = h.errors().count("is in force")
                h.process.send_signal(signal.SIGHUP)
                eventually(lambda: h.errors().count("is in force") > taken)
            else:
                h.command("reload")
        self.taken += 1
        self.came("taken")
        if second:
            self.streams = [t for t in self.streams if t.is_alive()]
            self.streams.append(threading.Thread(target=self.outlive, args=(self.extra(),)))
            self.streams[-1].start()
        if i % 10 == 0:
            self.bad()
        if self.count and self.taken >= self.count and not second:
            self.soak.over.set()

    def bad(self):
        kept = self.h.config.read_text()
        self.h.config.write_text(kept.replace("{", '{"nonsense": 1,', 1))
        if self.h.command("reload", check=False).returncode != 1:
            self.wrong("a bad file was taken")
        self.h.config.write_text(kept)
        self.came("refused")

    def extra(self):
        link = socket.create_connection(("127.0.0.1", self.ground.extra_port), DEADLINE_S)
        body = stream_body(STREAM_TOKENS)
        link.sendall(b"POST %s HTTP/1.1\r\nHost: steady.localhost\r\nContent-Length: %d\r\n\r\n" % (CHAT.encode(), len(body)) + body)
        return link

    def outlive(self, link):
        try:
            with contextlib.closing(link):
                answer = http.client.HTTPResponse(link, method="POST")
                answer.begin()
                if answer.status != 200 or not whole(answer.read(), STREAM_TOKENS):
                    self.wrong("the stream of the listener that went is not whole")
                self.came("streams of a listener that went")
        except (OSError, http.client.HTTPException) as problem:
            self.wrong(f"the stream of the listener that went: {problem!r}")

    def close(self):
        """Back to the first configuration."""
        for t in self.streams:
            t.join()
        if self.taken % 2:
            self.ground.write(0)
            for h in self.ground.processes:
                h.command("reload")
            self.taken += 1


class Pauser(Actor):
    """Redis stands still for longer than its deadline and shorter than a lease."""

    pause_s = 15

    def turn(self):
        self.ground.redis.pause()
        self.soak.over.wait(1.5)
        self.ground.redis.resume()
        self.came("pauses")


class Crowd(Actor):
    """`headrace bench` at a fixed rate, whatever becomes of its requests: many clients of one kind, until the end."""

    mixes = {
        "steady": (30, [{"kind": "stream", "share": 0.4, "output": "uniform:5:60", "abort": 0.1, "protocol": "1"},
                        {"kind": "stream", "share": 0.3, "output": "uniform:5:60", "abort": 0.1, "protocol": "2"},
                        {"kind": "chat", "share": 0.1, "output": "fixed:20", "protocol": "1"},
                        {"kind": "chat", "share": 0.1, "output": "fixed:20", "abort": 0.2, "protocol": "2"},
                        {"kind": "upload", "share": 0.05, "protocol": "1"}, {"kind": "upload", "share": 0.05, "protocol": "2"}]),
        "busy": (6, [{"kind": "chat", "share": 0.5, "output": "fixed:20", "protocol": "1"},
                     {"kind": "stream", "share": 0.5, "output": "fixed:20", "abort": 0.1, "protocol": "2"}]),
    }

    def __init__(self, soak, host):
        super().__init__(soak)
        self.name = f"Crowd of {host}"
        self.host, self.process = host, None

    def run(self):
        self.begin(*self.mixes[self.host])
        super().run()

    def begin(self, rate, kinds):
        soak, host = self.soak, self.host
        mix, self.said = soak.directory / f"{host}.json", soak.directory / f"{host}-said.json"
        mix.write_text(json.dumps({"kinds": kinds}))
        self.log = open(soak.directory / f"{host}-bench.txt", "w")
        self.process = subprocess.Popen([machine.HEADRACE, "bench", "--quiet", "--json", self.said, "--insecure", "--mix", mix,
                                         "--host", f"{host}.localhost", "--rate", str(rate), "--arrivals", "poisson", "--connections", "60", "--streams", "4",
                                         "--requests-per-connection", "50", "--body-bytes", "12000", "--duration", "1000000",
                                         f"https://127.0.0.1:{self.h.tls_port}/v1"], stdout=self.log, stderr=self.log)

    def turn(self):
        if self.process.poll() is not None:
            self.wrong(f"the bench has ended: {self.process.returncode}")
            self.soak.over.wait()

    def close(self):
        """Until nothing of it is open, it ends by a signal; what it gave up then is in no count."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(DEADLINE_S)
        said = json.loads(self.said.read_text())
        self.done = {"ok": said["requests"]["ok"], "given up": said["requests"]["aborted"], "p99 ms": round(said["latency_ms"]["p99"], 1)}
        bad = {k: n for k, n in said["errors"].items() if n} | {k: n for k, n in said["statuses"].items() if n and k != "200"}
        bad |= {k: said[k] for k in ("events_lost", "events_doubled") if said.get(k)}
        if bad or not said["requests"]["ok"]:
            self.wrong(f"the bench says {bad}")
        self.log.close()
