import pytest

from harness import Engine, Headrace, eventually


@pytest.fixture
def start(tmp_path):
    """Starts what a test asks for, and stops it afterwards, the last first."""
    running = []

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

    yield Start()
    problems = []
    for one in reversed(running):
        try:
            one.stop()
        except AssertionError as problem:
            problems.append(problem)
    assert not problems, problems
