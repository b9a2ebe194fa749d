import itertools

import pytest

from fleet import Balancer, Redis, Sentinels, SlowLink
from harness import Engine, Headrace, eventually


def starting(tmp_path):
    """Starts what a test asks for, and stops it afterwards, the last first."""
    running, numbers = [], itertools.count()

    class Start:
        directory = tmp_path

        def engine(self, *args):
            running.append(Engine(tmp_path, *args))
            return running[-1]

        def headrace(self, endpoints, **more):
            directory = tmp_path / f"h{len(running)}"
            directory.mkdir()
            running.append(Headrace(directory, endpoints, **more))
            h = running[-1]
            for name, e in endpoints.items():
                if e.get("driver") == "static" and not e.get("paused"):
                    eventually(lambda: all(r["state"] == "ready" for r in h.status(name)["replicas"])
                               and len(h.status(name)["replicas"]) == len(e["addresses"]))
            return h

        def add(self, one):
            running.append(one)
            return one

        def forget(self, one):
            running.remove(one)

        def redis(self, *options, **more):
            return self.add(Redis(tmp_path / f"redis{next(numbers)}", *options, **more))

        def sentinels(self, master, **more):
            return self.add(Sentinels(tmp_path, master, **more))

        def balancer(self, ports):
            return self.add(Balancer(ports))

        def slow_link(self, port, delay_s):
            return self.add(SlowLink(port, delay_s))

        def role(self, role, redis, endpoints=None, **more):
            """`headrace proxy` or `headrace scheduler` on that Redis (or those sentinels)."""
            directory = tmp_path / f"{role}{next(numbers)}"
            directory.mkdir()
            return self.add(Headrace(directory, endpoints or {}, role=role, redis=redis.settings(), **more))

    yield Start()
    problems = []
    for one in reversed(running):
        try:
            one.stop()
        except AssertionError as problem:
            problems.append(problem)
    assert not problems, problems


@pytest.fixture
def start(tmp_path):
    yield from starting(tmp_path)


@pytest.fixture(scope="module")
def start_once(tmp_path_factory):
    """For all tests of a file."""
    yield from starting(tmp_path_factory.mktemp("once"))
