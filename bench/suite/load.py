"""The load: what is asked, by which client, and whether every answer was right."""
import json
import re
import subprocess
import tempfile
from dataclasses import dataclass, field, replace

from bench.suite import machine
from bench.suite.common import HOST, token

CHAT = "/v1/chat/completions"
BODY_BYTES = 1024
SLACK_S = 60


def chat_body(size=BODY_BYTES, **more):
    """A chat request of that many bytes."""
    body = {"model": "m", "messages": [{"role": "user", "content": ""}], **more}
    body["messages"][0]["content"] = "x" * (size - len(json.dumps(body)))
    return json.dumps(body)


@dataclass(frozen=True)
class Load:
    """`tool` is wrk (HTTP/1 only), h2load or bench, our own; with `turns` (tokens, hosts) each request has another.
    With a `stream_rate` each stream is opened once, and made to last as long as the load. An answer of fewer body bytes
    than `answer_bytes` is wrong."""
    tool: str
    http: int = 1
    tls: bool = True
    connections: int = 64
    streams: int = 1
    path: str = CHAT
    body: str | bytes = ""
    headers: tuple = ()
    turns: tuple = ()
    requests: int = 0
    name: str = "body"
    stream_rate: int = 0
    answer_bytes: int = 0
    options: tuple = ()
    core: int = machine.LOAD_CORE

    def lasting(self, seconds):
        """Streams of that length, one at a time in each place."""
        tokens = round(seconds * self.stream_rate)
        return replace(self, requests=self.connections * self.streams, options=(*self.options, "--output", f"fixed:{tokens}"))

    def url(self, running):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{running.tls if self.tls else running.clear}{self.path}"


@dataclass(frozen=True)
class Outcome:
    ok: int
    problem: str = ""
    details: dict = field(default_factory=dict)


@dataclass
class Started:
    """A client at work; what it says goes to a file, since nobody reads a pipe meanwhile."""
    process: subprocess.Popen
    said: object
    judge: object

    def cut(self):
        """Ends a load that would never end by itself."""
        machine.stop(self.process)
        self.said.close()

    def finish(self, timeout_s):
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.cut()
            return Outcome(0, "the load did not end")
        with self.said:
            self.said.seek(0)
            return self.judge(self.said.read())


def start(load, running, ground, seconds):
    """Begins the load: for so many seconds, or until its `requests` are answered."""
    load = load.lasting(seconds) if load.stream_rate else load
    command, judge = TOOLS[load.tool](load, running, ground, seconds)
    said = tempfile.TemporaryFile("w+")
    process = machine.spawn(command, load.core, stdout=said, stderr=subprocess.STDOUT)
    return Started(process, said, lambda text: checked(load, judge(text)))


def checked(load, outcome):
    """The answers must have been as long as they should be."""
    expected, got = outcome.ok * load.answer_bytes, outcome.details.get("body_bytes", outcome.details.get("bytes_in", 0))
    if outcome.problem or got >= expected:
        return outcome
    return replace(outcome, problem=f"{outcome.ok} answers of {load.answer_bytes} bytes came in {got} bytes")


# ---- wrk ----

def wrk(load, running, ground, seconds):
    script = ground.file(f"{load.name}.lua", wrk_script(load))
    return ["wrk", "-t1", f"-c{load.connections}", f"-d{round(seconds)}s", "--timeout", "20s", "-s", script, load.url(running)], wrk_judge


def wrk_script(load):
    lines = [f"wrk.method = '{'POST' if load.body else 'GET'}'", f"wrk.body = '{load.body}'" if load.body else ""]
    fields = {"Host": HOST, "Authorization": f"Bearer {token()}", "Content-Type": "application/json", **dict(load.headers)}
    lines += [f"wrk.headers['{name}'] = '{value}'" for name, value in fields.items()]
    lines.append("function done(summary) print('body bytes: ' .. string.format('%.0f', summary.bytes)) end")
    if load.turns:
        lines.append(TURNS_LUA % load.turns)
    return "\n".join(lines)


TURNS_LUA = """
local made, at, tokens, hosts = {}, 0, %d, %d
function request()
  at = at %% tokens + 1
  if not made[at] then
    wrk.headers['Authorization'] = string.format('Bearer hr_bench_%%06d', at - 1)
    wrk.headers['Host'] = string.format('e%%d.localhost', (at - 1) %% hosts)
    made[at] = wrk.format()
  end
  return made[at]
end
"""


def wrk_judge(text):
    done = re.search(r"(\d+) requests in", text)
    wrong = re.findall(r"(?:Non-2xx or 3xx responses: \d+|Socket errors: .*)", text)
    read, rate = re.search(r"body bytes: (\d+)", text), re.search(r"Requests/sec:\s+([\d.]+)", text)
    if not done or not read or not rate:
        return Outcome(0, f"wrk: {text[-200:]}")
    return Outcome(int(done.group(1)), "; ".join(wrong), {"body_bytes": int(read.group(1)), "rate_per_s": float(rate.group(1))})


# ---- h2load ----

def h2load(load, running, ground, seconds):
    length = ["-n", load.requests] if load.requests else ["-D", f"{round(seconds * 1000)}ms"]
    command = ["h2load", "-c", load.connections, "-m", load.streams, *length, "-H", f":authority: {HOST}", "-H", f"authorization: Bearer {token()}"]
    if load.http == 1:
        command.append("--h1")
    if load.body:
        command += ["-d", ground.file(load.name, load.body), "-H", "content-type: application/json"]
    for name, value in load.headers:
        command += ["-H", f"{name}: {value}"]
    return [*command, *load.options, load.url(running)], h2load_judge


def h2load_judge(text):
    counts = re.search(r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    if not counts:
        return Outcome(0, f"h2load: {text[-200:]}")
    _, _, done, succeeded, failed, errored, timeout = map(int, counts.groups())
    read, rate = re.search(r"\((\d+)\) data", text), re.search(r"([\d.]+) req/s", text)
    return Outcome(succeeded, "" if done == succeeded and not failed + errored + timeout else counts.group(0),
                   {"body_bytes": int(read.group(1)) if read else 0, "rate_per_s": float(rate.group(1)) if rate else 0.0})


# ---- our own ----

def bench(load, running, ground, seconds):
    length = ["--requests", load.requests] if load.requests else ["--duration", seconds]
    command = [machine.HEADRACE, "bench", "--quiet", "--json", "-", "--insecure", "--http", load.http or "auto", "--host", HOST,
               "--connections", load.connections, "--streams", load.streams, *length, "--token", token()]
    if load.body:
        command += ["--mix", ground.file(load.name, load.body)]
    for name, value in load.headers:
        command += ["--header", f"{name}: {value}"]
    return [*command, *load.options, load.url(running)], bench_judge


def bench_judge(text):
    try:
        said = json.loads(text[text.index("{"):])
    except ValueError:
        return Outcome(0, f"headrace bench: {text[-200:]}")
    wrong = {name: said[name] for name in ("events_lost", "events_doubled") if said.get(name)}
    wrong |= {name: count for name, count in said["errors"].items() if count}
    wrong |= {f"status {status}": count for status, count in said["statuses"].items() if count and not status.startswith("2")}
    return Outcome(said["requests"]["ok"], str(wrong) if wrong else "", said)


TOOLS = {"wrk": wrk, "h2load": h2load, "bench": bench}
