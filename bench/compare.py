#!/usr/bin/python3
"""Processor time per request of the proxy's own processes, side by side in one run on the same work.

    bench/compare.py [REQUESTS]     build first (make build); nginx and h2load must be installed
"""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "flows"))
from harness import CHAT, BODY, DEADLINE_S, Engine, Headrace, eventually, free_port  # noqa: E402

REQUESTS = int(sys.argv[1]) if len(sys.argv) > 1 else 60000
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def cpu_us(pids):
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) * TICK_US
    return total


@contextlib.contextmanager
def headrace(directory, engine):
    home = directory / "headrace"
    home.mkdir()
    h = Headrace(home, {"ep": engine.endpoint(default=True)}, workers=1, log={"access": ""})
    try:
        eventually(lambda: h.status("ep")["state"] == "running")
        yield {"pids": [h.process.pid], "plain": h.port, "tls": h.tls_port, "home": home}
    finally:
        h.stop()


@contextlib.contextmanager
def nginx(directory, engine):
    home = directory / "nginx"
    home.mkdir()
    plain, tls = free_port(), free_port()
    certificates = directory / "headrace"
    (home / "nginx.conf").write_text(f"""
worker_processes 1; pid {home}/pid; error_log {home}/error.log; daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {home}; proxy_temp_path {home}; fastcgi_temp_path {home};
  uwsgi_temp_path {home}; scgi_temp_path {home}; keepalive_requests 100000000;
  upstream engine {{ server 127.0.0.1:{engine.port}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl http2; http2_max_concurrent_streams 128;
    ssl_certificate {certificates}/cert.pem; ssl_certificate_key {certificates}/key.pem;
    location / {{ proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
                 proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
                 proxy_set_header X-Request-Id $request_id; }}
  }}
}}""")
    process = subprocess.Popen(["nginx", "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")])
    try:
        eventually(lambda: (home / "pid").exists() and Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield {"pids": [process.pid, *children], "plain": plain, "tls": tls}
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


WORK = {
    "HTTP/1.1 clear, 1 KiB": ["--h1", "-c", "32", "{plain}/bytes/1024"],
    "HTTP/1.1 TLS, 1 KiB": ["--h1", "-c", "32", "{tls}/bytes/1024"],
    "HTTP/2 TLS, 1 KiB": ["-c", "8", "-m", "8", "{tls}/bytes/1024"],
    "HTTP/2 TLS, chat": ["-c", "8", "-m", "8", "-d", "{body}", "{tls}" + CHAT],
}


def measure(proxy, work, body):
    urls = {"plain": f"http://127.0.0.1:{proxy['plain']}", "tls": f"https://127.0.0.1:{proxy['tls']}", "body": str(body)}
    command = ["h2load", "-n", str(REQUESTS), *[word.format(**urls) for word in work]]
    before = cpu_us(proxy["pids"])
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    used = cpu_us(proxy["pids"]) - before
    assert f"{REQUESTS} succeeded" in done.stdout, done.stdout
    rate = float(re.search(r"([0-9.]+) req/s", done.stdout).group(1))
    return used / REQUESTS, rate


def main():
    if not shutil.which("nginx") or not shutil.which("h2load"):
        sys.exit("nginx and h2load are needed: apt-get install nginx-light nghttp2-client")
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        directory = Path(directory)
        os.chmod(directory, 0o755)
        engine = Engine(directory, "--tokens", 1, "--rate", 0)
        stack.callback(engine.stop)
        body = directory / "body.json"
        body.write_bytes(BODY)
        proxies = {"headrace": stack.enter_context(headrace(directory, engine)), "nginx": stack.enter_context(nginx(directory, engine))}
        print(f"processor us per request (requests/s), {REQUESTS} requests, one worker each")
        print(f"{'':26}" + "".join(f"{name:>22}" for name in proxies))
        for title, work in WORK.items():
            results = [measure(proxy, work, body) for proxy in proxies.values()]
            print(f"{title:26}" + "".join(f"{us:12.1f} ({rate:7.0f})" for us, rate in results))


if __name__ == "__main__":
    main()
