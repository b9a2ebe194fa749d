"""`headrace bench` against the stand-in engine, directly and through the proxy: what it counts is what was there."""
import json
import signal
import subprocess
import time

import pytest

from harness import DEADLINE_S, HEADRACE, ROOT, Engine, Headrace, eventually

HISTOGRAMS = ("latency_ms", "first_token_ms", "between_tokens_ms", "event_age_ms")
KIND_MEMBERS = {"requests", "errors", "statuses", "rate_per_s", "events", "tokens", "tokens_per_s", "events_lost",
                "events_doubled", *HISTOGRAMS}
MEMBERS = KIND_MEMBERS | {"url", "http", "connections", "streams", "duration_s", "bytes_in", "bytes_out", "handshakes",
                          "resumed", "kinds"}
GIVEN_UP_SEEN, GIVING_UP_RUNS = 10, 30
ERRORS = {"connect", "tls", "timeout", "reset", "goaway", "protocol", "truncated"}


def command(*args):
    return [HEADRACE, "bench", "--quiet", "--json", "-", *map(str, args)]


def bench(*args, failing=()):
    """The report; errors only of the sorts that are expected."""
    done = subprocess.run(command(*args), capture_output=True, text=True, timeout=DEADLINE_S, cwd=ROOT)
    assert done.returncode == 0 and "ERROR: " not in done.stderr and "runtime error" not in done.stderr, done.stderr
    report = json.loads(done.stdout)
    assert {sort for sort, n in report["errors"].items() if n} <= set(failing), (report["errors"], done.stderr)
    return report


def base(port):
    return f"http://localhost:{port}/v1"


def metric(engine, name):
    from http.client import HTTPConnection
    link = HTTPConnection("127.0.0.1", engine.port, timeout=DEADLINE_S)
    link.request("GET", "/metrics")
    lines = link.getresponse().read().decode().splitlines()
    link.close()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"engine_{name} "))


WAYS = {"h1 clear": ["--http", "1"], "h2 clear": ["--http", "2", "--streams", "5"], "h1 tls": ["--http", "1"],
        "h2 tls": ["--streams", "5"]}


def through(h, way, *args, **more):
    trust = ["--cacert", h.directory / "ca.pem"]
    url = f"https://localhost:{h.tls_port}/v1" if way.endswith("tls") else base(h.port)
    return bench("--host", "ep.localhost", *trust, *WAYS[way], *args, url, **more)


def test_the_report_has_the_shape_that_was_promised(start):
    engine = start.engine("--rate", "0", "--stamp")
    r = bench("--requests", 20, "--connections", 2, "--output", "fixed:5", base(engine.port))
    assert set(r) == MEMBERS and set(r["kinds"]) == {"stream"} and set(r["kinds"]["stream"]) == KIND_MEMBERS
    assert set(r["errors"]) == ERRORS and set(r["requests"]) == {"started", "done", "ok", "aborted"}
    for name in HISTOGRAMS:
        assert set(r[name]) == {"count", "mean", "p50", "p90", "p99", "p999", "max"}
    assert r["http"] == "1" and r["connections"] == 2 and r["streams"] == 1 and r["url"] == base(engine.port)


@pytest.mark.parametrize("kind, tokens", [("chat", True), ("stream", True), ("completion", True), ("embeddings", False), ("upload", False)])
def test_every_kind_is_answered_and_counted(start, kind, tokens):
    engine = start.engine("--rate", "0", "--stamp")
    r = bench("--kind", kind, "--requests", 50, "--connections", 5, "--output", "fixed:7", "--prompt", "uniform:1:3000", base(engine.port))
    assert r["requests"] == {"started": 50, "done": 50, "ok": 50, "aborted": 0} and r["statuses"] == {"200": 50}
    assert r["tokens"] == (350 if tokens else 0)
    assert r["latency_ms"]["count"] == 50
    assert metric(engine, "requests_total") == 50
    if kind == "stream":
        assert r["events"] == 50 * (7 + 3)  # the role, the finish, [DONE]
        assert r["first_token_ms"]["count"] == 50 and r["between_tokens_ms"]["count"] == 300 and r["event_age_ms"]["count"] == 350
        assert (r["events_lost"], r["events_doubled"]) == (0, 0)


def test_get_and_post_take_the_url_as_it_is(start, tmp_path):
    engine = start.engine()
    r = bench("--kind", "get", "--requests", 10, f"http://127.0.0.1:{engine.port}/bytes/100000")
    assert r["requests"]["ok"] == 10 and 1_000_000 < r["bytes_in"] < 1_010_000
    r = bench("--kind", "post", "--body-bytes", 300_000, "--requests", 5, f"http://127.0.0.1:{engine.port}/echo")
    assert r["requests"]["ok"] == 5 and r["bytes_in"] > 1_500_000 and r["bytes_out"] > 1_500_000
    body = tmp_path / "body.json"
    body.write_text('{"model":"m","max_tokens":3,"messages":[]}')
    r = bench("--kind", "post", "--body", body, "--requests", 5, base(engine.port) + "/chat/completions")
    assert r["statuses"] == {"200": 5}
    r = bench("--kind", "get", "--method", "HEAD", "--requests", 5, f"http://127.0.0.1:{engine.port}/bytes/1000")
    assert r["requests"]["ok"] == 5 and r["bytes_in"] < 5000


@pytest.mark.parametrize("way", WAYS)
def test_tokens_are_exact_through_the_proxy(start, way):
    engine = start.engine("--rate", "200", "--stamp")
    h = start.headrace({"ep": engine.endpoint()})
    r = through(h, way, "--requests", 60, "--connections", 6, "--output", "fixed:11")
    assert r["requests"]["ok"] == 60 and r["tokens"] == 660 and r["events_lost"] == r["events_doubled"] == 0
    assert r["http"] == way[1] and bool(r["handshakes"]) == way.endswith("tls")
    assert r["event_age_ms"]["count"] == 660
    assert r["between_tokens_ms"]["count"] == 600 and r["latency_ms"]["p50"] >= 50, "5 ms a token"
    h.quiet("ep")


@pytest.mark.parametrize("way", WAYS)
def test_requests_given_up_are_seen_by_the_engine(start, way):
    engine = start.engine("--rate", "100")
    h = start.headrace({"ep": engine.endpoint()})
    ok = aborted = begun = 0
    for seed in range(1, GIVING_UP_RUNS):
        r = through(h, way, "--requests", 60, "--connections", 20, "--output", "fixed:20", "--abort", "0.5", "--seed", seed)
        assert r["requests"]["ok"] + r["requests"]["aborted"] == 60 and 15 <= r["requests"]["aborted"] <= 45
        ok, aborted = ok + r["requests"]["ok"], aborted + r["requests"]["aborted"]
        begun += r["first_token_ms"]["count"]
        eventually(lambda: metric(engine, "requests_running") == 0)
        # Some were given up before the engine heard of them, but none of which a token had come.
        assert begun - ok <= metric(engine, "requests_total") - ok <= aborted
        # And some when it had just said its last word: how many, is up to the machine. So often, until it is sure that others were seen.
        assert metric(engine, "aborts_total") <= metric(engine, "requests_total") - ok
        if metric(engine, "aborts_total") >= GIVEN_UP_SEEN:
            break
    assert metric(engine, "aborts_total") >= GIVEN_UP_SEEN
    h.quiet("ep")


def test_an_open_loop_keeps_its_rate_whatever_the_answers(start):
    engine = start.engine("--rate", "50")
    for arrivals in ("constant", "poisson"):
        r = bench("--kind", "chat", "--output", "fixed:5", "--rate", 200, "--arrivals", arrivals, "--duration", 2,
                  "--connections", 100, base(engine.port))
        assert abs(r["requests"]["started"] - 400) <= (2 if arrivals == "constant" else 80), r["requests"]
        assert r["latency_ms"]["p50"] < 200


def test_latency_of_an_open_loop_counts_from_the_intended_time(start):
    engine = start.engine("--rate", "50")  # 100 ms an answer: one connection does 10 a second
    r = bench("--kind", "chat", "--output", "fixed:5", "--rate", 40, "--requests", 20, base(engine.port))
    assert r["requests"]["ok"] == 20
    assert r["latency_ms"]["max"] > 1200, "the last waited for all before it"


def test_statuses_without_a_replica_and_held(start, tmp_path):
    h = start.add(Headrace(tmp_path, {"ep": {"access": "public", "driver": "static", "addresses": ["127.0.0.1:1"]}}))
    r = bench("--host", "ep.localhost", "--requests", 3, "--connections", 3, base(h.port))
    assert r["statuses"] == {"503": 3} and r["requests"] == {"started": 3, "done": 3, "ok": 0, "aborted": 0}
    with subprocess.Popen(command("--host", "ep.localhost", "--scale-up-timeout", 20, "--hold", "--http", "2", "--streams", 4,
                                  "--kind", "chat", base(h.port)), stdout=subprocess.PIPE, text=True, cwd=ROOT) as client:
        assert client.stdout.readline() == "open\n"
        eventually(lambda: h.status("ep")["held"] == 4)
        client.send_signal(signal.SIGTERM)
        r = json.loads(client.stdout.read())
    assert client.returncode == 0 and r["requests"]["started"] == 4 and r["requests"]["done"] == 0
    h.quiet("ep")


def test_hold_says_open_when_all_streams_have_begun(start):
    engine = start.engine("--rate", "20")
    with subprocess.Popen(command("--hold", "--connections", 30, "--output", "fixed:10000", base(engine.port)),
                          stdout=subprocess.PIPE, text=True, cwd=ROOT) as client:
        assert client.stdout.readline() == "open\n"
        assert metric(engine, "requests_running") == 30
        client.send_signal(signal.SIGINT)
        r = json.loads(client.stdout.read())
    assert r["requests"]["started"] == 30 and r["events"] >= 30 and not any(r["errors"].values())
    eventually(lambda: metric(engine, "requests_running") == 0)


@pytest.mark.parametrize("way", ["direct", *WAYS])
def test_streams_of_a_killed_engine_are_truncated(start, tmp_path, way):
    engine = Engine(tmp_path, "--rate", "50")
    h = None if way == "direct" else start.headrace({"ep": engine.endpoint()})
    url = ([base(engine.port)] if way == "direct" else ["--host", "ep.localhost", "--cacert", h.directory / "ca.pem", *WAYS[way],
           f"https://localhost:{h.tls_port}/v1" if way.endswith("tls") else base(h.port)])
    with subprocess.Popen(command("--hold", "--connections", 5, "--output", "fixed:1000", *url), stdout=subprocess.PIPE, text=True,
                          cwd=ROOT) as client:
        assert client.stdout.readline() == "open\n"
        engine.process.kill()
        engine.stop()
        time.sleep(0.3)
        client.send_signal(signal.SIGTERM)
        r = json.loads(client.stdout.read())
    expected = 25 if way.startswith("h2") else 5
    assert r["errors"]["truncated"] == expected and r["requests"]["done"] == 0, r["errors"]


def test_nobody_there_counts_as_connect_and_silence_as_timeout(start):
    engine = start.engine()
    r = bench("--requests", 3, "--connections", 3, "http://127.0.0.1:1/v1", failing=["connect"])
    assert r["errors"]["connect"] == 3
    r = bench("--requests", 4, "--connections", 2, "--timeout", "0.2", "--header", "x-engine-fault: never", base(engine.port),
              failing=["timeout"])
    assert r["errors"]["timeout"] == 4 and r["duration_s"] < 2
    r = bench("--requests", 2, "--header", "x-engine-fault: bad-head", base(engine.port), failing=["protocol", "reset"])
    assert r["requests"]["done"] == 0


def test_certificates_are_checked_and_sessions_resumed(start):
    engine = start.engine("--rate", "0")
    h = start.headrace({"ep": engine.endpoint()})
    ask = ["--host", "ep.localhost", "--kind", "get", "--requests", 20, "--requests-per-connection", 1]
    url = f"https://localhost:{h.tls_port}/bytes/10"
    assert bench(*ask, url, failing=["tls"])["errors"]["tls"] == 20
    for version in "1", "2":
        r = bench(*ask, "--http", version, "--insecure", url)
        assert r["handshakes"] == 20 and r["resumed"] == 0 and r["http"] == version
        r = bench(*ask, "--http", version, "--cacert", h.directory / "ca.pem", "--resume", url)
        assert r["handshakes"] == 20 and r["resumed"] >= 18


def test_tokens_are_taken_in_turn_and_a_mix_has_its_shares(start, tmp_path):
    engine = start.engine("--rate", "0")
    h = start.headrace({"ep": engine.endpoint(access="authenticated")}, tokens=[("a", "hr_a"), ("b", "hr_b")])
    r = bench("--host", "ep.localhost", "--token", "hr_a", "--token", "hr_b", "--token", "wrong", "--requests", 30, base(h.port))
    assert r["statuses"] == {"200": 20, "401": 10}
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("hr_a\nhr_b\n")
    mix = tmp_path / "mix.json"
    mix.write_text(json.dumps({"kinds": [{"kind": "stream", "share": 0.5, "protocol": "1", "output": "fixed:3"},
                                         {"kind": "chat", "share": 0.5, "protocol": "2", "output": "fixed:2"}]}))
    r = bench("--host", "ep.localhost", "--tokens-file", tokens, "--mix", mix, "--rate", 400, "--duration", 1, "--connections", 8,
              "--streams", 4, base(h.port))
    kinds = r["kinds"]
    assert r["http"] == "1+2" and set(kinds) == {"stream", "chat"}
    assert all(120 < kinds[k]["requests"]["ok"] < 280 for k in kinds)
    assert kinds["stream"]["tokens"] == 3 * kinds["stream"]["requests"]["ok"]


def test_a_warm_up_does_not_count_and_a_ramp_spreads_the_beginning(start):
    engine = start.engine("--rate", "20")
    r = bench("--connections", 10, "--output", "fixed:1000", "--warmup", 1, "--duration", 1, base(engine.port))
    assert abs(r["events"] - 200) <= 20 and 0.95 < r["duration_s"] < 1.2
    with subprocess.Popen(command("--connections", 10, "--output", "fixed:1000", "--ramp", 3, "--duration", 10, base(engine.port)),
                          stdout=subprocess.PIPE, text=True, cwd=ROOT) as client:
        eventually(lambda: metric(engine, "requests_running") == 3)
        client.send_signal(signal.SIGINT)
        assert json.loads(client.stdout.read())["requests"]["started"] < 10


def test_a_unix_socket_and_another_address_can_be_connected_to(start):
    engine = start.engine("--rate", "0")
    h = start.headrace({"ep": engine.endpoint()})
    for where in (f"unix:{h.unix}", f"127.0.0.1:{h.port}"):
        assert bench("--connect", where, "--requests", 3, "http://ep.localhost/v1")["requests"]["ok"] == 3


def test_report_in_words_progress_and_file(start, tmp_path):
    engine = start.engine("--rate", "20")
    out = tmp_path / "out.json"
    done = subprocess.run([HEADRACE, "bench", "--duration", "1.5", "--output", "fixed:5", "--json", str(out), base(engine.port)],
                          capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0 and json.loads(out.read_text())["requests"]["ok"] > 0
    assert "first token" in done.stdout and "between tokens" in done.stdout and "lost 0" in done.stdout
    assert "requests (" in done.stderr and "first token p50" in done.stderr


def test_wrong_options_are_told_by_name_with_the_remedy(tmp_path):
    broken = tmp_path / "mix.json"
    broken.write_text('{"kinds":[{"kind":"stream","shares":1}]}')
    for args, words in ((["--connections", "x", "http://h/"], "--connections: 'x' is not right; give a whole number from 1"),
                        (["--mix", broken, "http://localhost/"], "kinds[0]: has a member that is none of kind, share"),
                        (["--tokens-file", "/nowhere", "http://localhost/"], "--tokens-file: /nowhere cannot be read"),
                        (["--cacert", "/nowhere", "https://localhost/"], "--cacert: no certificates could be read from /nowhere"),
                        (["--header", "nonsense", "http://localhost/"], "write 'Name: value'"),
                        (["--connect", "nonsense", "http://localhost/"], "write HOST:PORT or unix:PATH"),
                        (["localhost:8080"], "write http://HOST"), ([], "give a URL")):
        done = subprocess.run([HEADRACE, "bench", *map(str, args)], capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode == 2 and words in done.stderr, (args, done.stderr)
    done = subprocess.run([HEADRACE, "bench", "--help"], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0 and "--scale-up-timeout S" in done.stdout and max(map(len, done.stdout.splitlines())) < 140
