"""The ground on which the samples of a row stand: a folder, a certificate, the engine."""
import itertools
import os
import re
import subprocess
import tempfile
from pathlib import Path

from bench.suite import machine
from bench.suite.common import get

ENGINE = os.environ.get("ENGINE_BIN", str(machine.ROOT / "build" / "bench" / "engine"))


class Engine:
    """The stand-in model server; never closes an idle connection, so that no proxy has to connect anew."""

    def __init__(self, *options, port=0, core=machine.LOAD_CORE):
        self.process = machine.spawn([ENGINE, "--port", port, "--keepalive-ms", 0, *options], core, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def counts(self):
        counts = {name: int(value) for name, value in re.findall(r"^engine_(\w+) (\d+)$", get(self.port, "/metrics")[1], re.M)}
        if not counts:
            raise RuntimeError("the engine did not say its counts")
        return counts

    def stop(self):
        machine.stop(self.process)
        self.process.stdout.close()


class Engines:
    """One on each core, counted together."""

    def __init__(self, *options):
        self.each = [Engine(*options, core=core) for core in (machine.PROXY_CORE, machine.LOAD_CORE)]
        self.port = self.each[0].port

    def counts(self):
        counts = [engine.counts() for engine in self.each]
        return {name: sum(one[name] for one in counts) for name in counts[0]}

    def stop(self):
        for engine in self.each:
            engine.stop()


class Ground:
    def __init__(self, files):
        self.files, self.numbers, self.engine = files, itertools.count(), None
        self.temporary = tempfile.TemporaryDirectory(prefix="headrace-bench-")
        self.directory = Path(self.temporary.name)
        self.certificate, self.key, self.pem = (self.directory / name for name in ("cert.pem", "key.pem", "both.pem"))
        self.make_certificate()

    def make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-sha256",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1",
                        "-keyout", str(self.key), "-out", str(self.certificate)], check=True, capture_output=True)
        self.pem.write_text(self.certificate.read_text() + self.key.read_text())

    def folder(self, name):
        path = self.directory / f"{name}-{next(self.numbers)}"
        path.mkdir()
        return path

    def file(self, name, text):
        path = self.directory / name
        if not path.exists():
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def set_engine(self, options, port=0, core=machine.LOAD_CORE):
        self.stop_engine()
        self.engine = Engine(*options, port=port, core=core)

    def stop_engine(self):
        if self.engine:
            self.engine.stop()
        self.engine = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop_engine()
        self.temporary.cleanup()
