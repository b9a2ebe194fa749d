"""What an operator gets wrong is told with its place, and how to mend it."""
import json
import subprocess

import pytest

from harness import HEADRACE, ROOT

GOOD = {"listeners": [{"address": "127.0.0.1:1", "tls": False}],
        "endpoints": {"ep": {"access": "public", "driver": "static", "addresses": ["127.0.0.1:2"]}}}

BAD = [
    ('{\n "listners": []\n}', ['2:2: listners: unknown key; did you mean "listeners"?']),
    ('{"workers": "two"}', ["1:2: workers: must be a whole number, not a string"]),
    ('{"workers": 1000}', ["1:2: workers: 1000 is out of range; allowed is 0 to 256"]),
    ('{"client": {"idle_timeout_s": 0}}', ["1:13: client.idle_timeout_s: 0 is out of range; allowed is 1 to 86400 s"]),
    ('{"listeners": [{"address": "here", "tls": false}]}',
     ['1:17: listeners[0].address: "here" is not an address; allowed is "127.0.0.1:8080", "[::1]:8080", "*:8080" or "unix:PATH"']),
    ('{"listeners": [{"certificates": [{"certificate": "/no/such.pem", "key": "/no/such.key"}]}]}',
     ["1:17: listeners[0].certificates: the certificate /no/such.pem cannot be read; check path and permissions"]),
    ('{"listeners": [{"tls": false}],\n "endpoints": {"ep": {"access": "secret", "driver": "static", "addresses": ["127.0.0.1:1"]}}}',
     ['2:23: endpoints.ep.access: "secret" is not known; allowed is "private", "authenticated", "public"']),
    ('{"listeners": [{"tls": false}],\n "endpoints": {"ep": {"access": "public", "driver": "static", "addresses": ["127.0.0.1:1"],\n'
     '  "scaling": {"min_replicas": 1, "scale_to_zero_s": 60}}}}',
     ["3:34: endpoints.ep.scaling.scale_to_zero_s: needs min_replicas 0, which is 1; set min_replicas to 0 or remove scale_to_zero_s"]),
    ('{"listeners": [{"tls": false}], "endpoints": {"ep": {"driver": "process"}}}',
     ['1:47: endpoints.ep: a private endpoint needs an "owner" or "organisations", or nobody could reach it; or set "access"',
      '1:47: endpoints.ep: the process driver needs "process": {"command": [...]}']),
    ('{"listeners": [{"tls": false}],\n // a comment\n "workers": 1,,}', ["3:15: not valid JSON: string or '}' expected near ','"]),
    ("{}", ['there are neither listeners (for a proxy) nor endpoints (for a scheduler); add "listeners": [{"address": "127.0.0.1:8443"}]']),
    ('{"listeners": [{"certificates": [{"certificate": "a", "key": "env:NO_SUCH_NAME"}]}]}',
     ["1:55: listeners[0].certificates[0].key: the environment has no variable NO_SUCH_NAME; set it, or use file:PATH"]),
]


def check(path):
    return subprocess.run([HEADRACE, "check", "-c", str(path)], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("text,errors", BAD, ids=range(len(BAD)))
def test_bad_configurations(tmp_path, text, errors):
    path = tmp_path / "bad.json"
    path.write_text(text)
    done = check(path)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and lines[:len(errors)] == [
        f"{path}:{e}" if e[0].isdigit() else f"{path}:1:1: {e}" for e in errors]
    started = subprocess.run([HEADRACE, "run", "-c", str(path)], cwd=ROOT, capture_output=True, text=True)
    assert started.returncode == 1 and started.stderr == done.stderr


def test_a_port_in_use_is_named(tmp_path, start):
    h = start.headrace({"ep": GOOD["endpoints"]["ep"] | {"paused": True}})
    path = tmp_path / "c.json"
    path.write_text(json.dumps(GOOD | {"listeners": [{"address": f"127.0.0.1:{h.port}", "tls": False}],
                                       "admin": {"socket": str(tmp_path / "a.sock")}}))
    done = subprocess.run([HEADRACE, "run", "-c", str(path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (f"cannot listen on 127.0.0.1:{h.port}: Address already in use; another process listens there: "
                           "stop it or choose another port\n")


def test_every_file_in_conf_is_good():
    files = sorted((ROOT / "conf").rglob("*.json"))
    assert len(files) >= 9
    for path in files:
        done = check(path)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command,path", [("example", "conf/headrace.json"), ("reference", "docs/config.md")])
def test_generated_pages_are_not_stale(command, path):
    assert subprocess.run([HEADRACE, command], capture_output=True, text=True).stdout == (ROOT / path).read_text()


def test_the_table_of_answers_is_not_stale():
    table = subprocess.run([HEADRACE, "answers"], capture_output=True, text=True, check=True).stdout
    section = (ROOT / "docs/operating.md").read_text().split("## What clients are told")[1].split("\n## ")[0]
    assert "".join(line for line in section.splitlines(True) if line.startswith("|")) == table
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert len(rows) > 40 and all(len(row) == 4 and all(row) for row in rows)
    assert [int(row[0]) for row in rows] == sorted(int(row[0]) for row in rows)


def test_the_schema_accepts_and_names_what_the_rows_do():
    schema = json.loads(subprocess.run([HEADRACE, "schema"], capture_output=True, text=True).stdout)
    assert schema["properties"]["workers"]["maximum"] == 256 and not schema["additionalProperties"]
    assert schema["properties"]["endpoints"]["additionalProperties"]["properties"]["access"]["enum"][0] == "private"


def test_secrets_are_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("HR_SECRET", "topsecret")
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"listeners": [{"tls": False}], "endpoints": {"ep": {"access": "public", "process": {
        "command": ["x"], "environment": {"KEY": "env:HR_SECRET"}}}}}))
    done = subprocess.run([HEADRACE, "config", "-c", str(path)], capture_output=True, text=True)
    assert done.returncode == 0 and "topsecret" not in done.stdout and '"KEY": "***"' in done.stdout
