"""The stand-in model server itself: what it answers, what it logs, and how it misbehaves."""

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("ENGINE_BIN", str(ROOT / "build" / "bench" / "engine"))
DEADLINE_S = 10
CHAT = "/v1/chat/completions"



def eventually(condition, deadline_s=DEADLINE_S):
    """What the condition returns, once it is true."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.002)
    return value


class Engine:
    def __init__(self, log, *args):
        self.log = log
        command = [BINARY, "--port", "0", "--log", str(log), *map(str, args)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), DEADLINE_S)

    def call(self, method, path, body=None, **headers):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        with contextlib.closing(link):
            link.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read()

    def post(self, path, body, **headers):
        status, _, data = self.call("POST", path, json.dumps(body), **headers)
        return status, json.loads(data)

    def raw(self, data):
        """Sends the bytes, and returns all that comes until the engine closes."""
        with self.connect() as link:
            link.sendall(data)
            return read_all(link)

    def events(self, name=None):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        found = [json.loads(line) for line in lines]
        return [e for e in found if name in (None, e["event"])]

    def metric(self, name):
        text = self.call("GET", "/metrics")[2].decode()
        return int(re.search(rf"^engine_{name} (\d+)$", text, re.M)[1])

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path):
    engines = []

    def begin(*args):
        engines.append(Engine(tmp_path / f"log-{len(engines)}", *args))
        return engines[-1]

    yield begin
    for engine in engines:
        engine.stop()


@pytest.fixture
def engine(start):
    return start("--rate", 0)


def read_all(link):
    data = b""
    while piece := link.recv(65536):
        data += piece
    return data


def chat_bytes(fault="", close=False, **members):
    body = json.dumps({"model": "m", "messages": [], **members})
    head = f"POST {CHAT} HTTP/1.1\r\nhost: e\r\ncontent-length: {len(body)}\r\n"
    head += f"x-engine-fault: {fault}\r\n" if fault else ""
    head += "connection: close\r\n" if close else ""
    return f"{head}\r\n{body}".encode()


def stream_events(data):
    return [line[6:] for line in data.decode().splitlines() if line.startswith("data: ")]


def test_chat_whole(engine):
    status, answer = engine.post(CHAT, {"model": "m", "messages": [], "max_tokens": 3})
    assert status == 200
    assert answer["object"] == "chat.completion" and answer["model"] == "m"
    message = {"role": "assistant", "content": "the river runs"}
    assert answer["choices"][0]["message"] == message
    assert answer["usage"]["completion_tokens"] == 3
    status, answer = engine.post("/v1/completions", {"prompt": "x"})
    assert answer["object"] == "text_completion" and answer["usage"]["completion_tokens"] == 16


def test_members_are_read_only_where_they_belong(engine):
    decoy = {"role": "user", "content": 'a "stream": true } \\', "max_tokens": 9, "n": [[{}]]}
    body = {"messages": [decoy], "stream": False, "max_completion_tokens": 2}
    _, answer = engine.post(CHAT, body)
    assert answer["usage"]["completion_tokens"] == 2
    large = {"messages": ["x" * (3 << 20)], "max_tokens": 1}
    assert engine.post(CHAT, large)[1]["usage"]["completion_tokens"] == 1
    assert engine.call("POST", CHAT, '{"messages": [')[0] == 400


@pytest.mark.parametrize("rate", [0, 500])
def test_chat_stream(start, rate):
    engine = start("--rate", rate)
    body = {"stream": True, "max_tokens": 4, "stream_options": {"include_usage": True}}
    _, headers, data = engine.call("POST", CHAT, json.dumps(body))
    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "no-cache"
    *events, done = stream_events(data)
    assert done == "[DONE]"
    first, *tokens, last, usage = map(json.loads, events)
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(t["choices"][0]["delta"]["content"] for t in tokens) == "the river runs past"
    assert last["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == [] and usage["usage"]["completion_tokens"] == 4
    assert {e["object"] for e in (first, *tokens, last, usage)} == {"chat.completion.chunk"}


def test_one_event_is_one_chunk(start):
    engine = start("--rate", 200)
    body = json.dumps({"stream": True, "max_tokens": 5})
    head = f"POST {CHAT} HTTP/1.1\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    data = engine.raw(f"{head}{body}".encode()).split(b"\r\n\r\n", 1)[1]
    chunks = []
    while data:
        size, data = data.split(b"\r\n", 1)
        chunks.append(data[: int(size, 16)])
        data = data[int(size, 16) + 2 :]
    assert len(chunks) == 9 and chunks.pop() == b""
    assert all(c.startswith(b"data: ") and c.endswith(b"\n\n") for c in chunks)
    assert all(c.count(b"data: ") == 1 for c in chunks)


def test_embeddings(engine):
    def vectors(**members):
        data = engine.post("/v1/embeddings", members)[1]["data"]
        assert [d["index"] for d in data] == list(range(len(data)))
        return [d["embedding"] for d in data]

    plain = vectors(input=["a", "b", "c" * 5000])
    coded = vectors(input=["a", "b", "c"], encoding_format="base64")
    assert [len(v) for v in plain] == [8, 8, 8]
    assert [list(struct.unpack("<8f", base64.b64decode(v))) for v in coded] == plain
    assert len(vectors(input="x" * 5000)) == len(vectors(input=[1, 2, 3])) == 1
    assert len(vectors(input=[[1, 2], [3]])) == 2


def test_audio_and_toolkit(engine):
    audio = os.urandom(1 << 20) + b"\r\n--\r\n--edge\r\r\n--edg\r\n"
    part = b'--edgy\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    body = part % (b"model", b"m" * 9) + part % (b'file"; filename="a.wav', audio) + b"--edgy--\r\n"
    form = {"content_type": "multipart/form-data; boundary=edgy"}
    expected = {"text": f"transcribed {len(audio)} bytes"}
    for path in ("/v1/audio/transcriptions", "/api/v1/audio/transcriptions"):
        assert json.loads(engine.call("POST", path, body, **form)[2]) == expected
        assert engine.call("POST", path, body[:-20], **form)[0] == 400
    assert json.loads(engine.call("POST", "/", audio, content_type="audio/wav")[2]) == expected
    toolkit = {"inputs": "x", "parameters": {"max_new_tokens": 2}}
    assert engine.post("/", toolkit)[1] == [{"generated_text": "the river"}]


def test_echo_streams_back(engine):
    pieces = [os.urandom(70000) for _ in range(40)]
    whole = b"".join(pieces)
    _, headers, data = engine.call("PUT", "/echo", whole, content_type="x/y")
    assert data == whole and headers["content-length"] == str(len(whole))
    assert headers["content-type"] == "x/y"
    _, headers, data = engine.call("POST", "/echo", iter(pieces))
    assert data == whole and headers["transfer-encoding"] == "chunked"
    with engine.connect() as link:
        link.sendall(b"POST /echo HTTP/1.1\r\ncontent-length: 6\r\n\r\nabc")
        eventually(lambda: link.recv(4096, socket.MSG_PEEK).endswith(b"abc"))
        link.sendall(b"def")
        eventually(lambda: link.recv(4096, socket.MSG_PEEK).endswith(b"abcdef"))


def test_headers_are_shown_as_they_came(engine):
    request = (
        b"POST /headers?a=b HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nx-two:  2 \r\n"
        b"connection: close\r\nX-Odd: \"\\\xe9\r\ntransfer-encoding: chunked\r\n\r\n"
        b"3;x=y\r\nabc\r\n0\r\nx-end: 1\r\n\r\n"
    )
    seen = json.loads(engine.raw(request).split(b"\r\n\r\n", 1)[1])
    assert (seen["method"], seen["target"]) == ("POST", "/headers?a=b")
    assert seen["headers"]["x-two"] == ["1", "2"] and seen["headers"]["host"] == "h"
    assert seen["headers"]["x-odd"] == '"\\\xe9' and ["X-Two", "1"] in seen["raw"]
    assert seen["body_bytes"] == 3


def test_shapes_of_bodies(engine):
    status, headers, data = engine.call("GET", "/bytes/1000000")
    assert headers["content-length"] == "1000000" and len(data) == 1000000
    assert data.startswith(b"abc") and len(set(data[::26])) == 1
    assert len(engine.call("GET", "/chunked/300000")[2]) == 300000
    close = b" HTTP/1.1\r\nconnection: close\r\n\r\n"
    assert engine.raw(b"GET /chunked/5" + close).endswith(b"5\r\nabcde\r\n0\r\nx-trailer: done\r\n\r\n")
    hints = engine.raw(b"GET /early-hints" + close)
    assert hints.startswith(b"HTTP/1.1 103 ") and b"\r\n\r\nHTTP/1.1 200 OK\r\n" in hints
    assert b"content-length" not in engine.raw(b"GET /no-length HTTP/1.1\r\n\r\n")
    assert engine.raw(b"GET /chunked/5 HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nabcde")
    head = engine.raw(b"HEAD /bytes/7" + close)
    assert b"content-length: 7\r\n" in head and head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [200, 204, 304, 404, 503])
def test_status(engine, status):
    answer, headers, data = engine.call("GET", f"/status/{status}")
    assert answer == status and bool(data) == (status not in (204, 304))


def test_keep_alive_and_pipelining(engine):
    answers = engine.raw(chat_bytes(max_tokens=1) * 200 + chat_bytes(close=True))
    assert answers.count(b"HTTP/1.1 200 OK") == 201
    assert answers.count(b"connection: close") == 1
    with engine.connect() as link:
        for byte in chat_bytes(close=True):
            link.sendall(bytes([byte]))
        assert b"200 OK" in read_all(link)


def test_expect_continue(engine):
    with engine.connect() as link:
        link.sendall(b"POST /echo HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        eventually(lambda: link.recv(4096, socket.MSG_PEEK).startswith(b"HTTP/1.1 100 "))
        link.sendall(b"ok")
        eventually(lambda: link.recv(4096, socket.MSG_PEEK).endswith(b"\r\n\r\nok"))


@pytest.mark.parametrize(
    "request_bytes, status",
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70000, 431),
    ],
)
def test_what_cannot_be_understood_is_refused(engine, request_bytes, status):
    assert engine.raw(request_bytes).startswith(b"HTTP/1.1 %d " % status)


def test_loading(start):
    engine = start("--load-ms", 300, "--rate", 0)
    status, _, data = engine.call("GET", "/health")
    assert (status, json.loads(data)) == (503, {"status": "loading"})
    assert engine.post(CHAT, {})[0] == 503
    eventually(lambda: engine.call("GET", "/health")[0] == 200)
    assert engine.post(CHAT, {})[0] == 200


def test_ends_of_the_process(start, tmp_path):
    command = [BINARY, "--port", "0", "--load-ms", "20", "--fail-start"]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert failed.returncode == 1 and "ERROR" in failed.stderr
    assert start("--exit-after-ms", 20).process.wait(DEADLINE_S) == 0
    dying = start("--rate", 0)
    assert dying.raw(chat_bytes("die-process=1", stream=True)).count(b"data: ") == 2
    assert dying.process.wait(DEADLINE_S) == 1


@pytest.mark.parametrize("signals", [1, 2])
def test_sigterm(start, signals):
    engine = start("--rate", 20)
    idle = engine.connect()
    busy = engine.connect()
    busy.sendall(chat_bytes(stream=True, max_tokens=5))
    eventually(lambda: engine.events("start"))
    for _ in range(signals):
        engine.process.send_signal(signal.SIGTERM)
        eventually(lambda: idle.recv(1) == b"")
    if signals == 1:
        assert read_all(busy).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert engine.process.wait(DEADLINE_S) == 0
    with pytest.raises(ConnectionRefusedError):
        engine.connect()
    idle.close()
    busy.close()


@pytest.mark.parametrize("members, fault", [({"stream": True}, ""), ({}, ""), ({}, "never")])
def test_an_abort_is_noticed_at_once(start, members, fault):
    engine = start("--rate", 20, "--tokens", 10000)
    link = engine.connect()
    link.sendall(chat_bytes(fault, **members))
    eventually(lambda: engine.events("start"))
    if members:
        eventually(lambda: link.recv(65536).count(b"content") > 0)
        eventually(lambda: engine.metric("tokens_total") >= 2)
    assert engine.metric("requests_running") == 1
    closed_ms = time.monotonic() * 1000
    link.close()
    (abort,) = eventually(lambda: engine.events("abort"))
    assert 0 <= abort["t"] - closed_ms < 100
    assert abort["tokens"] >= 2 if members else abort["tokens"] == 0
    assert engine.metric("requests_running") == 0 and engine.metric("aborts_total") == 1


def test_log(engine):
    engine.post(CHAT, {"max_tokens": 2}, X_Request_Id="one")
    begin, end = eventually(lambda: len(engine.events()) == 2 and engine.events())
    assert (begin["event"], begin["method"], begin["path"]) == ("start", "POST", CHAT)
    assert (begin["id"], begin["active"], end["active"]) == ("one", 1, 0)
    assert (end["event"], end["status"], end["tokens"]) == ("end", 200, 2)
    assert end["t"] >= begin["t"]


def test_writes_ahead_of_what_is_sent_by_so_much_only(start):
    engine, ahead = start("--unsent", 65536), []

    def standing(link):
        """What its kernel holds of the answer, unsent or not acknowledged, once it is the same twice."""
        ends = [f"{port:04X}" for port in (engine.port, link.getsockname()[1])]
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ahead.extend(int(row[4].split(":")[0], 16) for row in rows if [row[1][-4:], row[2][-4:]] == ends)
        return ahead[-1] if len(ahead) > 1 and ahead[-1] and ahead[-1] == ahead[-2] else None

    link = engine.connect()
    link.sendall(b"GET /bytes/8000000 HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
    assert eventually(lambda: standing(link)) < 512 << 10
    assert len(read_all(link)) > 8000000
    link.close()


def test_max_concurrency(start):
    engine = start("--rate", 10, "--tokens", 3, "--max-concurrency", 2)
    links = [engine.connect() for _ in range(5)]
    for link in links:
        link.sendall(chat_bytes(close=True))
    eventually(lambda: engine.metric("requests_waiting") == 3)
    assert engine.metric("requests_running") == 2
    assert all(b"200 OK" in read_all(link) for link in links)
    first, *_, last = (e["t"] for e in engine.events("end") if e["path"] == CHAT)
    assert last - first > 500
    assert engine.metric("concurrency_peak") == 5 and engine.metric("requests_waiting") == 0
    for link in links:
        link.close()


def test_a_waiter_that_leaves_gives_up_its_place(start):
    engine = start("--rate", 1, "--max-concurrency", 1)
    first, second, third = (engine.connect() for _ in range(3))
    first.sendall(chat_bytes(max_tokens=1000))
    eventually(lambda: engine.metric("requests_running") == 1)
    second.sendall(chat_bytes(max_tokens=1000))
    eventually(lambda: engine.metric("requests_waiting") == 1)
    third.sendall(chat_bytes(max_tokens=0, close=True))
    eventually(lambda: engine.metric("requests_waiting") == 2)
    second.close()
    eventually(lambda: engine.metric("requests_waiting") == 1)
    first.close()
    assert b"200 OK" in read_all(third)
    third.close()


def test_burst_ticks_together(start):
    engine = start("--rate", 5, "--burst")
    links = []
    for number in range(4):
        links.append(engine.connect())
        links[-1].sendall(chat_bytes(stream=True, max_tokens=1, close=True))
        eventually(lambda: engine.metric("requests_running") == number + 1)
    assert all(b"[DONE]" in read_all(link) for link in links)
    times = [e["t"] for e in engine.events("end") if e["path"] == CHAT]
    assert len(times) == 4
    assert all(-100 < (t - times[0] + 100) % 200 - 100 < 60 for t in times)
    for link in links:
        link.close()


def test_faults_of_the_answer(engine):
    assert engine.raw(chat_bytes("early-close")) == b""
    assert b"HTTP/1" not in engine.raw(chat_bytes("bad-head"))
    assert engine.post(CHAT, {}, X_Engine_Fault="status=429")[0] == 429
    assert engine.post(CHAT, {}, X_Engine_Fault="no-such-fault")[0] == 400
    cut = engine.raw(chat_bytes("die-mid-stream=2", stream=True))
    assert cut.count(b"data: ") == 3 and b"0\r\n\r\n" not in cut
    with pytest.raises(http.client.IncompleteRead):
        engine.call("GET", "/bytes/100", X_Engine_Fault="die-mid-stream")
    with pytest.raises(ConnectionResetError):
        engine.raw(chat_bytes("reset-mid-stream", stream=True))
    silent = engine.raw(chat_bytes("close-idle"))
    assert b"connection: keep-alive" in silent and silent.endswith(b"}}")


@pytest.mark.parametrize("fault", ["slow-head=60", "slow-body=60", "slow-head=30, slow-body=30"])
def test_slow_faults(engine, fault):
    began = time.monotonic()
    assert engine.post(CHAT, {}, X_Engine_Fault=fault)[0] == 200
    assert time.monotonic() - began >= 0.059
    began = time.monotonic()
    assert engine.call("POST", "/echo", b"abc", X_Engine_Fault=fault)[2] == b"abc"
    assert time.monotonic() - began >= 0.059


def test_refuse(engine):
    def open_again():
        try:
            engine.connect().close()
        except ConnectionRefusedError:
            return False
        return True

    assert engine.post(CHAT, {}, X_Engine_Fault="refuse=200")[0] == 200
    assert not open_again()
    eventually(open_again)
    assert engine.post(CHAT, {})[0] == 200


def test_idle_connections_are_closed(start):
    engine = start("--keepalive-ms", 50, "--rate", 0)
    began = time.monotonic()
    assert b"200 OK" in engine.raw(chat_bytes())
    assert 0.045 < time.monotonic() - began < 5


def test_unix_socket(tmp_path):
    path = tmp_path / "socket"
    process = subprocess.Popen([BINARY, "--unix", path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == f"listening on unix:{path}\n"
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(DEADLINE_S)
        link.connect(str(path))
        link.sendall(b"GET /health HTTP/1.1\r\nconnection: close\r\n\r\n")
        assert b'{"status":"ok"}' in read_all(link)
    process.terminate()
    assert process.wait(DEADLINE_S) == 0 and not path.exists()
    process.stdout.close()
