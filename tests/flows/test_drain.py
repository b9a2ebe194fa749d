"""A process is told to stop: what runs may end, what does not end is aborted visibly, and nobody new comes in."""
import signal

import pytest

from harness import BODY, CHAT, STREAM, eventually, process_endpoint, read_all

POST = "POST {path} HTTP/1.{minor}\r\nHost: {host}.localhost\r\nContent-Length: {length}\r\n{more}\r\n"


def post(link, host="ep", body=BODY, minor=1, more=""):
    link.sendall(POST.format(path=CHAT, minor=minor, host=host, length=len(body), more=more).encode() + body)
    return link


def read_until(link, what, data=b""):
    while what not in data:
        more = link.recv(65536)
        assert more, data
        data += more
    return data


def term(h):
    h.process.send_signal(signal.SIGTERM)
    eventually(lambda: "stopping: requests may end" in h.errors())


def refused(h):
    with pytest.raises(OSError):
        h.connect().close()
    return True


@pytest.mark.parametrize("tls", [False, True])
def test_what_runs_may_end_and_nobody_new_comes_in(start, tls):
    engine = start.engine("--tokens", 40, "--rate", 20)
    h = start.headrace({"ep": engine.endpoint()})
    idle, streaming, http2 = h.connect(tls), post(h.connect(tls), body=STREAM), h.http2(tls)
    post(idle)
    assert b"200 OK" in read_until(idle, b"}}")
    stream = http2.ask(body=STREAM)
    first = read_until(streaming, b"data:")
    while stream not in http2.answers:
        http2.turn()
    term(h)
    late = http2.ask()  # was under way
    post(idle)
    answer = read_all(idle)
    assert b"200 OK" in answer and b"connection: close" in answer.lower()
    whole = first + read_all(streaming)
    assert whole.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") and whole.count(b"data:") >= 41
    assert http2.wait(late).status == 200
    assert http2.wait(stream).body.endswith(b"data: [DONE]\n\n") and http2.goaway
    assert refused(h)
    assert h.process.wait(20) == 0
    assert {line["ended"] for line in h.log()} == {"complete"}


def test_a_client_told_to_go_opens_no_stream_for_ever(start):
    engine = start.engine("--tokens", 100, "--rate", 20)
    h = start.headrace({"ep": engine.endpoint()}, drain_idle_s=0)
    http2 = h.http2()
    stream = http2.ask(body=STREAM)
    while stream not in http2.answers:
        http2.turn()
    term(h)
    while not http2.goaway:
        http2.turn()
    http2.turn()
    late = http2.ask()  # above the last stream id of GOAWAY: it is as if it had never been sent
    assert http2.wait(stream).body.endswith(b"data: [DONE]\n\n")
    assert late not in http2.answers
    assert h.process.wait(20) == 0


def test_idle_connections_do_not_keep_the_process(start):
    engine = start.engine()
    h = start.headrace({"ep": engine.endpoint()}, drain_idle_s=1, drain_s=600)
    links = [h.connect(tls) for tls in (False, True)] + [h.http2(tls) for tls in (False, True)]
    post(links[0])
    read_until(links[0], b"}}")
    term(h)
    assert h.process.wait(20) == 0
    assert links[0].recv(1) == links[1].recv(1) == b""


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_what_does_not_end_is_aborted_visibly(start, tmp_path, tls, again):
    endless, mute = start.engine("--tokens", 100000, "--rate", 50), start.engine("--tokens", 100000)
    h = start.headrace({"ep": endless.endpoint(), "mute": mute.endpoint(),
                        "cold": process_endpoint("--load-ms", 600000, log_directory=str(tmp_path))},
                       drain_s=600 if again else 1)
    chunked, old = post(h.connect(tls), body=STREAM), post(h.connect(tls), body=STREAM, minor=0)
    pending, held = post(h.connect(tls), "mute"), post(h.connect(tls), "cold", more="X-Scale-Up-Timeout: 600\r\n")
    uploading = h.connect(tls)
    uploading.sendall(POST.format(path=CHAT, minor=1, host="mute", length=100, more="").encode() + b"{")
    http2 = h.http2(tls)
    endless2, pending2, held2 = http2.ask(body=STREAM), http2.ask(host="mute.localhost"), http2.ask(
        host="cold.localhost", X_Scale_Up_Timeout="600")
    for link in (chunked, old):
        read_until(link, b"data:")
    eventually(lambda: (h.status("mute")["pending"], h.status("cold")["held"], h.status("ep")["open"]) == (3, 2, 3))
    term(h)
    if again:
        h.process.send_signal(signal.SIGTERM)
    assert not read_all(chunked).endswith(b"0\r\n\r\n")
    if not tls:
        old.settimeout(20)
        with pytest.raises(ConnectionResetError):  # the end of the connection would be the end of the answer
            while old.recv(65536):
                pass
    for link in (pending, held, uploading):
        answer = read_all(link)
        assert b" 503 " in answer and b"shutting_down" in answer and b"retry-after: 1" in answer.lower()
    for stream in (pending2, held2):
        answer = http2.wait(stream)
        assert answer.status == 503 and answer.code == "shutting_down"
    assert http2.wait(endless2).reset
    assert h.process.wait(20) == 0
    assert [line["ended"] for line in h.log()] == ["shutdown"] * 8
