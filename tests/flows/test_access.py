"""Who may call: tokens, endpoints' access, CORS."""
import time

from harness import eventually, process_endpoint

TOKENS = [("mine", "hr_mine", "--owner", "me"), ("org", "hr_org", "--owner", "x", "--organisation", "acme"),
          ("other", "hr_other", "--owner", "you"), ("narrow", "hr_narrow", "--owner", "me", "--endpoint", "elsewhere"),
          ("old", "hr_old", "--owner", "me", "--expires", "2020-01-01")]


def test_who_may_reach_what(start):
    e = start.engine()
    h = start.headrace({"ep": e.endpoint(access="private", owner="me", organisations=["acme"]),
                        "any": e.endpoint(access="authenticated"), "all": e.endpoint()}, tokens=TOKENS)

    def status(host, token):
        return h.call(host=f"{host}.localhost", token=token).status
    assert [status("ep", t) for t in ("hr_mine", "hr_org", "hr_other", "hr_narrow", "hr_old", "nope", None)] == \
        [200, 200, 403, 403, 401, 401, 401]
    assert [status("any", t) for t in ("hr_mine", "hr_other", "nope", None)] == [200, 200, 401, 401]
    assert [status("all", t) for t in ("nope", None)] == [200, 200]
    missing = h.call()
    assert missing.headers["www-authenticate"] == "Bearer" and missing.code == "invalid_api_key"
    assert h.call(token="hr_other").code == "access_denied"


def test_strangers_wake_nobody(start):
    h = start.headrace({"ep": process_endpoint(log_directory=start.directory, access="private", owner="me")}, tokens=TOKENS)
    for token in (None, "nope", "hr_other"):
        assert h.call(token=token, X_Scale_Up_Timeout="60").status in (401, 403)
    assert h.status("ep")["requests_total"] == 0 and h.status("ep")["state"] == "scaledToZero"


def test_the_token_goes_no_further_unless_told(start):
    e = start.engine()
    h = start.headrace({"ep": e.endpoint(access="authenticated"), "pass": e.endpoint(access="authenticated", pass_token=True)},
                       tokens=TOKENS)
    assert b"hr_mine" not in h.call("GET", "/headers", None, token="hr_mine").body
    assert b"hr_mine" in h.call("GET", "/headers", None, token="hr_mine", host="pass.localhost").body


def test_revocation_takes_effect_at_once_also_for_held_requests(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory, access="private", owner="me")},
                       tokens=TOKENS)
    link = h.http2(tls=True)
    stream = link.ask(token="hr_mine", X_Scale_Up_Timeout="60")
    eventually(lambda: h.status("ep")["held"] == 1)
    h.command("token", "revoke", "mine")
    began = time.monotonic()
    assert link.wait(stream).status == 401 and time.monotonic() - began < 10
    assert h.call(token="hr_mine").status == 401
    text = h.command("token", "add", "mine", "--owner", "me").stdout.strip()
    assert text.startswith("hr_")
    eventually(lambda: h.call(token=text).status == 503)
    assert text not in (h.directory / "tokens.json").read_text()


def test_cors(start):
    h = start.headrace({"ep": start.engine().endpoint(access="private", owner="me", cors={"origins": ["https://app.example"]})},
                       tokens=TOKENS)
    asked = {"Origin": "https://app.example", "Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
    preflight = h.call("OPTIONS", body=None, **asked)
    assert preflight.status == 204 and preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "POST" in preflight.headers["access-control-allow-methods"] and preflight.headers["access-control-allow-headers"] == "authorization"
    assert h.call(token="hr_mine", Origin="https://app.example").headers["access-control-allow-origin"] == "https://app.example"
    assert h.call(Origin="https://app.example").headers["access-control-allow-origin"] == "https://app.example"  # 401 too
    assert "access-control-allow-origin" not in h.call(token="hr_mine", Origin="https://evil.example").headers


def test_long_cors_lists_are_whole(start):
    names = {kind: [f"X-{kind}-{n:0>30}" for n in range(60)] for kind in ("Methods", "Headers", "Expose")}
    h = start.headrace({"ep": start.engine().endpoint(cors={"origins": ["*"], **{k.lower(): v for k, v in names.items()}})})
    for call in (h.call, h.http2().call):
        asked = {"Origin": "https://app.example", "Access_Control_Request_Method": "POST"}
        preflight, answer = call(method="OPTIONS", body=None, **asked), call(Origin="https://app.example")
        assert (preflight.status, answer.status) == (204, 200)
        assert preflight.headers["access-control-allow-methods"] == ", ".join(names["Methods"])
        assert preflight.headers["access-control-allow-headers"] == ", ".join(names["Headers"])
        assert preflight.headers["access-control-expose-headers"] == ", ".join(names["Expose"])
        assert answer.headers["access-control-expose-headers"] == ", ".join(names["Expose"])


def test_a_token_that_cannot_be_kept_as_asked_is_not_made(start):
    h = start.headrace({"ep": {"access": "authenticated", "driver": "process", "process": {"command": ["sleep", "1000"]}}})
    for option, values in {"--rate": ("inf", "nan", "1e400", "10x", "0"), "--concurrency": ("4x", "0.5", "-1", ""),
                           "--expires": ("1970-01-01", "99999999999999999h", "0d", "soon")}.items():
        for value in values:
            assert h.command("token", "add", "t", option, value, check=False).returncode == 2, (option, value)
    for more in (["--endpoint", b"\xff"], ["--organisation", b"\xff"], ["--owner", b"\xff"]):
        done = h.command("token", "add", "t", *more, check=False)
        assert done.returncode == 1 and "UTF-8" in done.stderr and not done.stdout
    assert h.command("token", "list").stdout.count("\n") == 1
