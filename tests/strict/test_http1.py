"""HTTP/1 in both directions, byte by byte: over TLS and in clear each row of http1_requests.py and http1_answers.py."""
import contextlib
import itertools
import json
import sys
from pathlib import Path

import pytest

import http1_answers
import http1_requests
from http1_wire import CLOSE, HOST, Replica, read_answers, send_and_read

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "flows"))
from harness import Headrace, eventually  # noqa: E402

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    replica = Replica()
    headrace = Headrace(tmp_path_factory.mktemp("strict"), {"ep": replica.endpoint(default=True)}, workers=1)
    headrace.replica = replica
    eventually(lambda: [r["state"] for r in headrace.status("ep")["replicas"]] == ["ready"])
    yield headrace
    headrace.stop()
    replica.stop()


@pytest.fixture(params=["clear", "tls"])
def talk(request, edge):
    """Sends on a new connection and reads to its end."""
    def send(parts, methods=()):
        link = edge.connect(tls=request.param == "tls")
        with contextlib.closing(link):
            data, ended = send_and_read(link, [parts] if isinstance(parts, bytes) else parts)
        return data, ended
    return send


def probe(edge):
    """A well-formed request on a new connection; the number of the replica's connection that served it."""
    target = f"/probe/{next(NUMBERS)}"
    with edge.connect() as link:
        data, ended = send_and_read(link, [f"GET {target} HTTP/1.1\r\n".encode() + HOST + CLOSE + b"\r\n"])
    (got,) = read_answers(data, ended)
    assert (got.status, got.body, got.complete) == (200, b"fine", True), data
    return next(s.link for s in edge.replica.seen if s.target == target)


def check_error(got, closes):
    """The shape that OpenAI's clients understand."""
    error = json.loads(got.body)["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"] and error["code"]
    assert got.complete and got.all(b"content-type") == [b"application/json"] and len(got.all(b"x-request-id")) == 1
    assert got.all(b"connection") == ([b"close"] if closes else [])
    return error


@pytest.mark.parametrize("case", http1_requests.CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_request(edge, talk, case):
    edge.replica.seen.clear()
    data, ended = talk(case.data)
    probe(edge)
    seen = [s for s in edge.replica.seen if not s.target.startswith("/probe/")]
    answers = read_answers(data, ended, case.methods)
    final = [a for a in answers if a.status >= 200]
    allowed = case.statuses if isinstance(case.statuses, list) else [case.statuses]
    assert tuple(a.status for a in final) in allowed, data[-600:]
    assert all(a.complete for a in final) and (ended == "closed" or not final)
    if final and final[-1].status >= 400 and "HEAD" not in case.methods:
        error = check_error(final[-1], closes=True)
        assert error["type"] == "invalid_request_error" and case.code in (None, error["code"])
    if case.seen is not None:
        assert [s.line for s in seen if s.complete] == list(case.seen)
    assert len([s for s in seen if not s.complete]) <= case.partial
    if case.body is not None:
        assert seen[0].body == case.body
    text = b"".join(s.text for s in seen).lower()
    assert [w for w in case.has if w not in text] == [] and [w for w in case.lacks if w in text] == [], text
    data = data.lower()
    assert [w for w in case.gets if w not in data] == [] and [w for w in case.never if w in data] == [], data


@pytest.mark.parametrize("case", http1_answers.CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_answer(edge, talk, case):
    number = next(NUMBERS)
    target = f"/answer/{number}"
    edge.replica.seen.clear()
    edge.replica.script[target] = (case.parts, case.then)
    request = case.request % target.encode()
    last = f"/last/{number}"
    behind = f"GET {last} HTTP/1.1\r\n".encode() + HOST + CLOSE + b"\r\n"
    method = request.split(b" ")[0].decode()
    data, ended = talk(request + behind, (method,))
    after = probe(edge)
    answers = read_answers(data, ended, (method,))
    if ended == "cut" and not case.whole and not answers:
        return  # a reset may overtake what was sent before it
    got = next(a for a in answers if a.status >= 200)
    assert tuple(a.status for a in answers if a.status < 200) == case.interims
    assert got.status == case.status, data[-600:]
    stays = len(answers) > len(case.interims) + 1
    text = data if not stays else data[:data.rindex(b"HTTP/1.1 200")]
    if case.status == 502:
        assert check_error(got, closes=not stays)["type"] == "server_error"
    assert got.complete == case.whole and (stays or ended == "closed" or not case.whole)
    if case.body is not None:
        assert got.body == case.body
    assert tuple(got.trailers) == case.trailers
    if not case.whole:
        assert not stays
    if stays:
        assert (answers[-1].status, answers[-1].body) == (200, b"fine")
    seen = {s.target: s.link for s in edge.replica.seen}
    asked = [s for s in edge.replica.seen if s.target == target]
    if case.again and len({s.link for s in asked}) > 1:
        asked = asked[1:]
    assert [s.line for s in asked] == [f"{method} {target}"]
    links = [seen[last]] if stays else []
    if case.reused is False:
        assert seen[target] not in links + [after]
    elif case.reused:
        assert set(links or [after]) == {seen[target]}
    text = text.lower()
    assert [w for w in case.has if w not in text] == [] and [w for w in case.lacks if w in text] == [], text
