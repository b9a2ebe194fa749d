"""A fleet on one machine: Redis, its sentinels, and a TCP balancer in front of the proxies."""
import asyncio
import json
import os
import signal
import subprocess
import threading
from pathlib import Path

from harness import DEADLINE_S, eventually, free_port


class Redis:
    """redis-server on a port of its own, keeping its data in a directory of its own."""

    def __init__(self, directory, *options, port=None, password=""):
        self.directory = Path(directory)
        self.directory.mkdir(exist_ok=True)
        self.port, self.options, self.process = port or free_port(), options, None
        self.env = {**os.environ, "REDISCLI_AUTH": password} if password else None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory),
             "--logfile", "redis.log", *self.options], stdout=subprocess.DEVNULL)
        eventually(lambda: self.cli("ping") == "PONG")

    def cli(self, *words, port=None):
        done = subprocess.run(["redis-cli", "--raw", "-p", str(port or self.port), *map(str, words)], capture_output=True, text=True,
                              timeout=DEADLINE_S, env=self.env)
        return done.stdout.strip() if done.returncode == 0 else None

    def settings(self, **more):
        return {"address": f"127.0.0.1:{self.port}", "timeout_ms": 500, **more}

    def signal(self, number):
        os.kill(self.process.pid, number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def save_and_stop(self):
        self.cli("shutdown", "save")
        self.process.wait(DEADLINE_S)

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)

    def proxies(self):
        return self.cli("zrange", "headrace:proxies", 0, -1).split()

    def loads(self, endpoint="ep"):
        """The live load records of an endpoint, by proxy."""
        keys = [k for k in self.cli("keys", f"headrace:load:{{{endpoint}}}:*").split() if k]
        texts = [self.cli("get", k) for k in keys]
        return {r["proxy"]: r for r in (json.loads(t) for t in texts if t)}

    def sum(self, count, endpoint="ep"):
        return sum(r[count] for r in self.loads(endpoint).values())


class Sentinels:
    """Three redis-sentinels that watch one master, which has one replica."""

    def __init__(self, directory, master, count=3, options=""):
        self.directory, self.ports, self.processes, self.options = Path(directory), [], [], options
        for _ in range(count):
            self.start(master.port)
        eventually(lambda: all(self.knows(master, p, count) for p in self.ports))

    def start(self, master_port):
        port = free_port()
        config = self.directory / f"sentinel{port}.conf"
        config.write_text(f"port {port}\nbind 127.0.0.1\ndir {self.directory}\nlogfile sentinel{port}.log\n"
                          f"sentinel monitor fleet 127.0.0.1 {master_port} 2\nsentinel down-after-milliseconds fleet 1000\n"
                          f"sentinel failover-timeout fleet 5000\n{self.options}")
        self.processes.append(subprocess.Popen(["redis-server", str(config), "--sentinel"], stdout=subprocess.DEVNULL))
        self.ports.append(port)

    def start_misled(self, master_port):
        """One that believes in another master, and is asked first."""
        self.start(master_port)
        self.ports.insert(0, self.ports.pop())

    def knows(self, master, port, count):
        """Each has found the replica and the other sentinels."""
        words = (master.cli("sentinel", "master", "fleet", port=port) or "").split("\n")
        facts = dict(zip(words[::2], words[1::2]))
        return facts.get("num-slaves") == "1" and facts.get("num-other-sentinels") == str(count - 1)

    def settings(self, **more):
        return {"sentinels": [f"127.0.0.1:{p}" for p in self.ports], "master": "fleet", "timeout_ms": 500, **more}

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait(DEADLINE_S)


class Balancer:
    """Passes TCP connections on to backends in turn; one that refuses is passed over."""

    def __init__(self, ports):
        self.ports, self.turn, self.port = list(ports), 0, free_port()
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.ready.wait(DEADLINE_S)

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", self.port, backlog=1024))
        self.ready.set()
        self.loop.run_forever()

    async def connect(self):
        for _ in range(len(self.ports) * 50):
            self.turn += 1
            try:
                return await asyncio.open_connection("127.0.0.1", self.ports[self.turn % len(self.ports)])
            except OSError:
                await asyncio.sleep(0.01)
        raise ConnectionError("no backend")

    async def pass_on(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            writer.close()

    async def serve(self, reader, writer):
        to_reader, to_writer = await self.connect()
        await asyncio.gather(self.pass_on(reader, to_writer), self.pass_on(to_reader, writer))
        writer.close()
        to_writer.close()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(DEADLINE_S)


class SlowLink(Balancer):
    """What goes through it arrives later, by the same time for all."""

    def __init__(self, port, delay_s):
        self.delay_s = delay_s
        super().__init__([port])

    async def pass_on(self, reader, writer):
        parts = asyncio.Queue()
        late = asyncio.create_task(self.put_out(parts, writer))
        while data := await reader.read(65536):
            parts.put_nowait((self.loop.time() + self.delay_s, data))
        parts.put_nowait((0, b""))
        await late

    async def put_out(self, parts, writer):
        while (part := await parts.get())[1]:
            await asyncio.sleep(max(0, part[0] - self.loop.time()))
            writer.write(part[1])
        writer.close()
