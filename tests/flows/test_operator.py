"""What an operator sees: status, explain, logs, metrics, tokens."""
import json
import re
import subprocess
import time

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from harness import HEADRACE, ROOT, STREAM, eventually, process_endpoint

TOKENS = [("mine", "hr_mine", "--owner", "me")]


def test_status_and_explain(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 300, log_directory=start.directory)})
    h.call(X_Scale_Up_Timeout="60")
    text = h.command("status").stdout
    assert re.search(r"^ep +running +1 ", text, re.M) and "ep-1" in text
    assert json.loads(h.command("status", "--json").stdout)["endpoints"][0]["requests_total"] == 1
    assert "0 -> 1  woken from zero" in h.command("explain", "ep").stdout
    assert json.loads(h.command("explain", "ep", "--json").stdout)[0]["to"] == 1
    assert "there is no endpoint" in h.command("explain", "nope", check=False).stderr


def test_commands_say_when_nothing_runs(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"listeners": [{"tls": False}], "admin": {"socket": str(tmp_path / "a.sock")}}))
    done = subprocess.run([HEADRACE, "status", "-c", str(path)], capture_output=True, text=True)
    assert done.returncode == 1 and "is it running?" in done.stderr


def test_the_access_log_has_what_is_promised_and_no_secrets(start):
    h = start.headrace({"ep": start.engine().endpoint(access="private", owner="me")}, tokens=TOKENS)
    h.call(path="/v1/chat/completions?key=sesame", token="hr_mine", X_Request_Id="abc")
    h.call("GET", "/x", None, token="wrong")
    eventually(lambda: len(h.log()) == 2)
    good, bad = sorted(h.log(), key=lambda line: line["status"])  # workers write when they like
    assert set(good) >= {"time", "id", "endpoint", "replica", "token", "method", "path", "status", "bytes_in", "bytes_out",
                         "held_ms", "connect_ms", "first_byte_ms", "total_ms", "ended"}
    assert (good["id"], good["endpoint"], good["token"], good["path"], good["status"], good["ended"]) == \
        ("abc", "ep", "mine", "/v1/chat/completions", 200, "complete")
    assert (bad["status"], bad["error"], bad["ended"]) == (401, "invalid_api_key", "own_answer")
    text = (h.directory / "access.log").read_text()
    assert "sesame" not in text and "hr_mine" not in text and "wrong" not in text


def test_metrics_in_both_forms(start):
    h = start.headrace({"ep": start.engine().endpoint()})
    for _ in range(3):
        h.call()
    h.quiet("ep")
    status, text = h.admin("/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    families = {f.name: f for f in prometheus(text)}
    samples = {s.labels["class"]: s.value for s in families["headrace_requests"].samples}
    assert samples["2xx"] == 3 and families["headrace_pending"].samples[0].value == 0
    assert [s.value for s in families["headrace_request_seconds"].samples if s.name.endswith("_count")] == [3]
    other = h.admin("/metrics", Accept="application/openmetrics-text; version=1.0.0")[1]
    assert other.endswith("# EOF\n") and {f.name for f in openmetrics(other)} == set(families)
    listed = set(re.findall(r"`(headrace_[a-z0-9_]+)`", (ROOT / "docs/metrics.md").read_text()))
    assert {re.sub("_total$", "", name) for name in listed} == set(families)


def test_health_and_ready(start):
    h = start.headrace({"ep": start.engine().endpoint()})
    assert h.admin("/health")[0] == 200 and h.admin("/ready")[0] == 200 and h.admin("/nope")[0] == 404


def test_tokens(start):
    h = start.headrace({"ep": start.engine().endpoint(access="authenticated")})
    made = h.command("token", "add", "a", "--owner", "me", "--expires", "30d").stdout.strip()
    eventually(lambda: h.call(token=made).status == 200)
    assert "a " in h.command("token", "list").stdout and made not in h.command("token", "list").stdout
    assert "already" in h.command("token", "add", "a", check=False).stderr
    h.command("token", "revoke", "a")
    eventually(lambda: h.call(token=made).status == 401)
    assert "no token named" in h.command("token", "revoke", "a", check=False).stderr


def test_a_bad_token_file_keeps_what_was_known(start):
    h = start.headrace({"ep": start.engine().endpoint(access="authenticated")}, tokens=TOKENS)
    assert h.call(token="hr_mine").status == 200
    (h.directory / "tokens.json").write_text("{nonsense")
    eventually(lambda: "tokens.json:1:" in h.errors())
    assert h.call(token="hr_mine").status == 200


def test_stopping_lets_streams_end(start):
    h = start.headrace({"ep": start.engine("--tokens", 20, "--rate", 20).endpoint()})
    streams = [subprocess.Popen(["curl", "-sSN", "--cacert", str(h.directory / "ca.pem"), version, "-d", STREAM.decode(),
                                 "-H", "Host: ep.localhost", f"https://localhost:{h.tls_port}/v1/chat/completions"], stdout=subprocess.PIPE, text=True)
               for version in ("--http2", "--http1.1")]
    eventually(lambda: h.status("ep")["open"] == 2)
    h.process.terminate()
    for stream in streams:
        assert stream.communicate()[0].rstrip().endswith("[DONE]") and stream.returncode == 0
    assert h.process.wait(30) == 0


def test_without_endpoints_there_is_nothing_but_404(start):
    h = start.headrace({})
    assert h.admin("/ready")[0] == 200
    assert h.call().status == 404


def test_the_time_since_the_start_does_not_begin_with_the_first_question(start):
    began = time.monotonic()
    h = start.headrace({"ep": {**start.engine().endpoint(), "paused": True}})
    eventually(lambda: time.monotonic() > began + 5)
    assert json.loads(h.command("status", "--json").stdout)["uptime_s"] >= 1
