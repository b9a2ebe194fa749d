"""How each proxy is started: a template of bench/peers, and the command that reads it."""
import hashlib
import json
import re
import subprocess
from dataclasses import dataclass, field

from bench.suite import machine
from bench.suite.common import OWNER, eventually, free_port, get, token

PEERS = machine.ROOT / "bench" / "peers"
BUILD = machine.ROOT / "build"
CONNECTIONS_SHARE = 0.45  # of the files a process may open: a proxied request takes two


@dataclass(frozen=True)
class Variation:
    """What may differ from row to row. Without tokens the endpoints are public; without a replica nothing listens there.
    All hosts are names of one endpoint, as they are of one server in the peers; more endpoints have a host each."""
    tokens: int = 1
    hosts: int = 1
    endpoints: int = 1
    access_log: bool = False
    replica: bool = True
    workers: int = 1
    health_ms: int = 60000
    concurrency: int = 0  # at a replica; 0: as many as come
    replicas: tuple = ()  # ports of further ones
    core: str = str(machine.PROXY_CORE)  # or several

    def names(self):
        return [f"e{i}.localhost" for i in range(max(self.hosts, self.endpoints))]


@dataclass
class Running:
    """A proxy that answers; `others` serve it and are not measured."""
    name: str
    process: subprocess.Popen
    clear: int
    tls: int
    admin: int = 0
    engine: int = 0
    others: list = field(default_factory=list)

    def pids(self):
        return machine.children(self.process.pid)

    def usage(self):
        return machine.usage(self.pids())

    def stop(self):
        for process in [self.process, *self.others]:
            machine.stop(process)


@dataclass(frozen=True)
class Proxy:
    """`values` fills the template's own places; `checks` says whether it can check tokens."""
    name: str
    template: str
    command: tuple
    version: tuple
    values: object
    start_others: object = None
    environment: dict = field(default_factory=dict)
    checks: bool = False

    def says_version(self):
        return machine.output(*self.version).splitlines()[0] if self.version else "of this tree"


def fill(template, values):
    text = (PEERS / template).read_text()
    return re.sub(r"@(\w+)@", lambda m: str(values[m.group(1)]), text)


def start(proxy, ground, variation):
    """The proxy in front of the ground's engine, ready to answer."""
    home = ground.folder(proxy.name)
    values = {"home": home, "files": ground.files, "connections": int(ground.files * CONNECTIONS_SHARE), "clear": free_port(), "tls": free_port(),
              "admin": free_port(), "engine": ground.engine.port if variation.replica else free_port(),
              "certificate": ground.certificate, "key": ground.key, "pem": ground.pem}
    others = proxy.start_others(home, values, variation) if proxy.start_others else []
    values |= proxy.values(home, values, variation)
    config = home / proxy.template
    if proxy.template:
        config.write_text(fill(proxy.template, values))
    command = [word.format(config=config, build=BUILD, **values) for word in proxy.command]
    with open(home / "output.txt", "wb") as out:
        process = machine.spawn(command, variation.core, proxy.environment, stdout=out, stderr=subprocess.STDOUT)
    running = Running(proxy.name, process, values["clear"], values["tls"], values["admin"], values["engine"], others)
    try:
        eventually(lambda: answers(running, variation))
    except Exception:
        running.stop()
        raise RuntimeError(f"{proxy.name} did not come up: {(home / 'output.txt').read_text()[-800:]}") from None
    return running


def answers(running, variation):
    if running.process.poll() is not None:
        raise RuntimeError("it has ended")
    host = variation.names()[-1]
    status, body = get(running.clear, "/v1/models", host, token(max(variation.tokens, 1) - 1))
    return "owned_by" in body if variation.replica else status in (502, 503)


# ---- each one's own ----

def nginx_values(home, values, v):
    (home / "tokens.map").write_text("".join(f'"Bearer {token(i)}" 1;\n' for i in range(v.tokens)))
    checked = v.tokens > 1
    return {"access_log": home / "access.log" if v.access_log else "off", "hosts": " ".join(v.names()),
            "token_map": f'  map $http_authorization $known {{ default 0; include {home}/tokens.map; }}' if checked else "",
            "token_check": "      if ($known = 0) { return 401; }" if checked else ""}


def haproxy_values(home, values, v):
    (home / "tokens.map").write_text("".join(f"{token(i)} 1\n" for i in range(v.tokens)))
    (home / "hosts.map").write_text("".join(f"{name} engine\n" for name in v.names()))
    checked = v.tokens > 1
    return {"log_target": "  log stdout format raw local0" if v.access_log else "", "log": "  log global\n  option httplog" if v.access_log else "",
            "token_check": f"  http-request deny deny_status 401 if !{{ http_auth_bearer,map_str({home}/tokens.map) -m found }}" if checked else "",
            "backend": f"%[req.hdr(host),lower,map_str({home}/hosts.map)]" if v.hosts > 1 else "engine"}


def nghttpx_values(home, values, v):
    return {"access_log": home / "access.log" if v.access_log else "/dev/null"}


def h2o_values(home, values, v):
    (home / "tokens.txt").write_text("".join(f"Bearer {token(i)}\n" for i in range(v.tokens)))
    check = ("        mruby.handler: |\n"
             f"          known = {{}}\n          File.open('{home}/tokens.txt').each_line {{|line| known[line.chomp] = true}}\n"
             "          Proc.new {|env| known[env['HTTP_AUTHORIZATION']] ? [399, {}, []] : [401, {}, []]}\n") if v.tokens > 1 else ""
    host = f"  \"{{name}}\":\n    paths:\n      /:\n{check}        proxy.reverse.url: http://127.0.0.1:{values['engine']}/\n"
    return {"access_log": f"access-log: {home}/access.log" if v.access_log else "", "hosts": "".join(host.replace("{name}", n) for n in v.names())}


def caddy_values(home, values, v):
    return {"access_log": f"\tlog {{\n\t\toutput file {home}/access.log\n\t}}" if v.access_log else ""}


def headrace_values(home, values, v):
    return {"access_log": home / "access.log" if v.access_log else "", "workers": v.workers}


def headrace_others(home, values, v):
    """Redis with the tokens in it, and the scheduler: the fleet's other processes."""
    redis = machine.spawn(["redis-server", "--port", values.setdefault("redis", free_port()), "--bind", "127.0.0.1", "--save", "", "--dir", home,
                           "--logfile", "redis.log"], stdout=subprocess.DEVNULL)
    add_tokens(values["redis"], v.tokens)
    values["endpoints"] = json.dumps({f"e{i}": headrace_endpoint(values["engine"], v, v.names()[1:v.hosts]) for i in range(v.endpoints)}, indent=1)
    config = home / "scheduler.json"
    config.write_text(fill("scheduler.json", values | {"home": home / "scheduler"}))
    (home / "scheduler").mkdir(exist_ok=True)
    with open(home / "scheduler.txt", "wb") as out:
        return [machine.spawn([machine.HEADRACE, "scheduler", "-c", config], stdout=out, stderr=subprocess.STDOUT), redis]


def headrace_endpoint(port, v, hosts):
    return {"hosts": hosts, "scaling": {"min_replicas": int(v.replica)}, "access": "private" if v.tokens else "public", "owner": OWNER, "driver": "static", "addresses": [f"127.0.0.1:{p}" for p in (port, *v.replicas)],
            "health": {"interval_ms": v.health_ms}, "hold_requests_max": 1000000, "hold_bytes_max": 10 ** 10,
            **({"concurrency_max": v.concurrency} if v.concurrency else {})}


def add_tokens(port, count):
    """Ten thousand at once: as `headrace token add` writes them, in one transaction."""
    lines = []
    for i in range(count):
        digest = hashlib.sha256(token(i).encode()).hexdigest()
        text = json.dumps({"name": f"t{i}", "owner": OWNER, "sha256": digest}, separators=(",", ":"))
        lines += [f"HSET headrace:tokens {digest} '{text}'", f"HSET headrace:tokens:names t{i} {digest}"]
    lines.append("SET headrace:tokens:version 1")
    eventually(lambda: "PONG" in machine.output("redis-cli", "-p", str(port), "ping"))
    done = subprocess.run(["redis-cli", "-p", str(port)], input="\n".join(lines), capture_output=True, text=True)
    assert "ERR" not in done.stdout, done.stdout


HEADRACE = "headrace"
FLOOR = "floor"
ALL = {p.name: p for p in (
    Proxy(HEADRACE, "headrace.json", (str(machine.HEADRACE), "proxy", "-c", "{config}"), (), headrace_values, headrace_others, checks=True),
    Proxy("nginx", "nginx.conf", ("nginx", "-c", "{config}", "-e", "{home}/error.log"), ("nginx", "-v"), nginx_values, checks=True),
    Proxy("haproxy", "haproxy.cfg", ("haproxy", "-db", "-f", "{config}"), ("haproxy", "-v"), haproxy_values, checks=True),
    Proxy("nghttpx", "nghttpx.conf", ("nghttpx", "--conf={config}"), ("nghttpx", "-v"), nghttpx_values),
    Proxy("h2o", "h2o.conf", ("h2o", "-m", "worker", "-c", "{config}"), ("h2o", "-v"), h2o_values, checks=True),
    Proxy("caddy", "Caddyfile", ("caddy", "run", "--config", "{config}", "--adapter", "caddyfile"), ("caddy", "version"), caddy_values,
          environment={"GOMAXPROCS": "1"}),
    Proxy(FLOOR, "", ("{build}/bench/relay", "{engine}", "{clear}", "{tls}", "{certificate}", "{key}"), (), lambda *_: {}),
)}
PEER_NAMES = [name for name in ALL if name not in (HEADRACE, FLOOR)]
