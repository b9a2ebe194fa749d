"""The official JavaScript clients, over TLS with a private CA."""
import json
import os
import subprocess

import pytest

from harness import DEADLINE_S, ROOT, eventually, process_endpoint

TOKENS = [("sdk", "hr_sdk", "--owner", "me")]
CLIENTS = ["openai", "huggingface"]


def node(h, client, call):
    return subprocess.Popen(["node", "calls.mjs", client, call, f"https://localhost:{h.tls_port}", "hr_sdk"],
                            cwd=ROOT / "tests" / "clients", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(h.directory / "ca.pem")})


def result(process):
    lines = [json.loads(line) for line in process.communicate(timeout=DEADLINE_S)[0].splitlines()]
    return lines[-1]


@pytest.fixture
def edge(start):
    engine = start.engine("--tokens", 8, "--rate", 50)
    return start.headrace({"ep": engine.endpoint(access="private", owner="me", default=True)}, tokens=TOKENS), engine


@pytest.mark.parametrize("client", CLIENTS)
def test_calls(edge, client):
    h, _ = edge
    assert result(node(h, client, "chat"))["result"]["content"]
    stream = result(node(h, client, "stream"))["result"]
    assert stream["chunks"] >= 8 and stream["text"]
    assert result(node(h, client, "embeddings"))["result"]
    assert "text" in result(node(h, client, "audio"))["result"]
    assert all(line["status"] == 200 for line in eventually(lambda: len(h.log()) >= 4 and h.log()))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("call", ["abortStream", "abortHead"])
def test_an_abort_reaches_the_engine(start, client, call):
    engine = start.engine("--tokens", 100000, "--rate", 50)
    h = start.headrace({"ep": engine.endpoint(access="private", owner="me", default=True)}, tokens=TOKENS)
    process = node(h, client, call)
    if call == "abortStream":
        assert json.loads(process.stdout.readline()) == {"streaming": True}
    eventually(lambda: engine.events("start"))
    process.stdin.write("now\n")
    process.stdin.flush()
    aborted = json.loads(process.stdout.readline())["aborted"]
    end = eventually(lambda: engine.events("abort"))[0]
    print(f"{client} {call}: the engine saw it after {end['t'] - aborted:.1f} ms")
    process.communicate(timeout=DEADLINE_S)
    h.quiet("ep")


def test_a_held_call_and_an_error_as_the_openai_client_sees_them(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 500, log_directory=start.directory, access="private", owner="me",
                                               default=True)}, tokens=TOKENS)
    error = result(node(h, "openai", "error"))
    assert (error["status"], error["code"], error["type"]) == (503, "endpoint_scaling_up", "server_error")
    assert result(node(h, "openai", "chat"))["result"]["content"]
