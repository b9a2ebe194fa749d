"""A new process that takes a place over: what it must know first, who leads then, and what becomes of the children."""
import contextlib
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

from harness import HEADRACE, Stranger, eventually, free_port, process_endpoint
from test_fleet import knows
from test_reload import change
from test_upgrade import fleet


def children(process):
    """The processes of the program that it has started."""
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in found if program_of(pid) == os.path.realpath(HEADRACE)]


def program_of(pid):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe")


def lives(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    return False


class Mute:
    """Takes connections and says nothing; who gives up on one comes again, which tells the time."""

    def __init__(self):
        self.server, self.links = socket.create_server(("127.0.0.1", 0), backlog=128), []
        self.address = "127.0.0.1:%d" % self.server.getsockname()[1]
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        with contextlib.suppress(OSError):
            while True:
                self.links.append(self.server.accept()[0])

    def stop(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for link in self.links:
            link.close()


def given_up(h):
    """The new process is killed, and the one before goes on."""
    seen = h.errors().count("does not take over")
    os.kill(children(h.process)[0], signal.SIGKILL)
    eventually(lambda: h.errors().count("does not take over") > seen)
    assert h.process.poll() is None


def test_a_new_process_takes_no_connection_before_it_knows_the_fleet(start):
    redis, h = fleet(start)
    mute, before = start.add(Mute()), h.config.read_text()
    change(h, lambda c: c["store"]["redis"].update(address=mute.address))
    h.process.send_signal(signal.SIGUSR2)
    while len(mute.links) < 14:  # two at a time, half a second each
        assert h.call(host="short.localhost").status == 200
    given_up(h)
    h.config.write_text(before)
    assert h.upgrade().wait(30) == 0
    assert h.call(host="short.localhost").status == 200


def test_a_new_scheduler_leads_nothing_before_it_has_reached_the_store(start):
    redis = start.redis()
    h = start.role("scheduler", redis, {"ep": start.engine("--rate", 0).endpoint()})
    leader = eventually(lambda: redis.cli("get", "headrace:leader"))
    mute, before = start.add(Mute()), h.config.read_text()
    change(h, lambda c: c["store"]["redis"].update(address=mute.address))
    h.process.send_signal(signal.SIGUSR2)
    eventually(lambda: len(mute.links) >= 4)
    assert h.process.poll() is None and redis.cli("get", "headrace:leader") == leader
    given_up(h)
    h.config.write_text(before)
    assert h.upgrade().wait(30) == 0
    eventually(lambda: "leads" in h.errors().rsplit("takes over; ", 1)[1])


def test_a_new_process_that_is_dead_again_takes_nothing_over(start):
    """It dies after it has said that it is there, and before the one before has heard of it."""
    redis, h = fleet(start)
    redis.pause()
    h.process.send_signal(signal.SIGUSR2)
    new = eventually(lambda: children(h.process))[0]
    h.process.send_signal(signal.SIGSTOP)
    redis.resume()
    assert h.process.stdout.readline() == "ready\n"
    eventually(lambda: Path(f"/proc/{new}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S")  # it has said so
    dead = Stranger(new, None)
    dead.kill()
    dead.wait(30)  # with all of its threads
    h.process.send_signal(signal.SIGCONT)
    eventually(lambda: f"the new process {new} does not take over" in h.errors())
    eventually(lambda: h.call(host="short.localhost").status == 200)
