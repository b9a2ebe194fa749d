"""Processes on their cores, and what the kernel says they have used."""
import contextlib
import os
import platform
import resource
import signal
import subprocess
import time
from dataclasses import astuple, dataclass
from pathlib import Path

PROXY_CORE, LOAD_CORE = 0, 1
STOP_S = 5
TICK_NS = 1e9 / os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).resolve().parents[2]
HEADRACE = os.environ.get("HEADRACE_BIN", str(ROOT / "build" / "headrace"))
ENVIRONMENT = {**os.environ, "OPENSSL_CONF": str(ROOT / "bench" / "peers" / "openssl.cnf")}


def prepare():
    """What is started from here runs on the core of the load, and may open as many files as the system lets it."""
    os.sched_setaffinity(0, {LOAD_CORE})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def spawn(command, core=LOAD_CORE, environment=None, **options):
    return subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], env={**ENVIRONMENT, **(environment or {})}, cwd=ROOT, **options)


def children(pid):
    """The process and all that descend from it."""
    found = [pid]
    for task in tasks(pid):
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                found += children(int(child))
    return found


def tasks(pid):
    with contextlib.suppress(OSError):
        return list(Path(f"/proc/{pid}/task").iterdir())
    return []


def stop(process):
    """Ends a process of ours and what it has started, by their ids."""
    family = children(process.pid)
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_S)
    for pid in family[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True)
class Usage:
    """Nanoseconds: on a processor (of it the processes' first threads), runnable without one, what the whole core was busy, and what
    the host took from it."""
    run: int
    first: int
    wait: int
    core: float
    stolen: float

    def since(self, earlier):
        return Usage(*(mine - its for mine, its in zip(astuple(self), astuple(earlier))))

    @property
    def crowding(self):
        """How much of its own time the proxy has waited for others, the host's guests included: its own threads do not count."""
        foreign = max(self.core - self.run, 0)
        return (min(self.wait, foreign) + self.stolen) / self.run if self.run else 0.0


def usage(pids):
    run = first = wait = 0
    for pid, task in ((pid, t) for pid in pids for t in tasks(pid)):
        with contextlib.suppress(OSError):
            ran, waited, *_ = map(int, (task / "schedstat").read_text().split())
            run, wait = run + ran, wait + waited
            first += ran if task.name == str(pid) else 0
    return Usage(run, first, wait, *core_times())


def core_times(core=PROXY_CORE):
    """Busy, and stolen."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _, _, irq, soft, stolen, *_ = map(int, line.split()[1:])
            return (user + nice + system + irq + soft) * TICK_NS, stolen * TICK_NS
    return 0.0, 0.0


def resident_kb(pids):
    """What the processes have in memory."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                total += int(line.split()[1])
    return total


def describe():
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    return {"processor": model, "cores": os.cpu_count(), "kernel": platform.release(), "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "commit": output("git", "describe", "--always", "--dirty")}


def output(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()
