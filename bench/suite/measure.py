"""One sample: a proxy started, warmed and loaded; what it used, and whether the answers were right."""
import statistics
import time
from dataclasses import dataclass, field

from bench.suite import load as loads
from bench.suite import machine, proxies

CROWDED = 0.05  # waiting for others above this share of the running time voids a sample ...
TRIES = 3       # ... which is taken again, so many times in all
GB = 1e9


@dataclass(frozen=True)
class Pace:
    """How long one sample takes, and how many there are."""
    warm_s: float = 1.0
    measure_s: float = 3.0
    repeat: int = 5
    scale: float = 1.0  # of counted work


@dataclass
class Sample:
    value: float | None
    problem: str = ""
    crowding: float = 0.0
    details: dict = field(default_factory=dict)

    @property
    def crowded(self):
        return self.crowding > CROWDED


@dataclass
class Series:
    """The samples of one proxy at one row."""
    samples: list = field(default_factory=list)

    def values(self):
        return [s.value for s in self.samples if s.value is not None]

    def median(self):
        return statistics.median(self.values()) if self.values() else None

    def spread(self):
        return (min(self.values()), max(self.values())) if self.values() else None

    def problems(self):
        return sorted({s.problem for s in self.samples if s.problem})

    def crowded(self):
        return sum(s.crowded for s in self.samples)


def taken(take):
    """A sample that was crowded is taken again; the least crowded of those that are right is kept."""
    tries = []
    for _ in range(TRIES):
        try:
            tries.append(take())
        except (OSError, RuntimeError, TimeoutError) as wrong:
            tries.append(Sample(None, str(wrong)))
        if tries[-1].value is not None and not tries[-1].crowded:
            break
    return min(tries, key=lambda s: (s.value is None, s.crowding))


def running(proxy, ground, variation, work):
    """Starts the proxy, works with it, stops it."""
    one = proxies.start(proxy, ground, variation)
    try:
        return work(one)
    finally:
        one.stop()


def window(one, ground, load_list, pace, unit):
    """Microseconds per request or event, from a window in the middle of the load."""
    started = [loads.start(load, one, ground, pace.warm_s + pace.measure_s + 1) for load in load_list]
    time.sleep(pace.warm_s)
    before, used = ground.engine.counts(), one.usage()
    time.sleep(pace.measure_s)
    after, used = ground.engine.counts(), one.usage().since(used)
    outcomes = [s.finish(pace.warm_s + pace.measure_s + loads.SLACK_S) for s in started]
    count = after[unit] - before[unit]
    return sample(used.run / 1000 / count if count else None, outcomes, used, per_s=count / pace.measure_s)


def whole(one, ground, load, value):
    """What the value says of the processor time and the outcome of a load from its start to its end."""
    used = one.usage()
    outcome = loads.start(load, one, ground, 0).finish(loads.SLACK_S)
    used = one.usage().since(used)
    return sample(value(used.run, outcome) if outcome.ok else None, [outcome], used)


def sample(value, outcomes, used, **details):
    problem = "; ".join(o.problem for o in outcomes if o.problem)
    return Sample(None if problem else value, problem or ("" if value else "nothing was answered"), used.crowding, details)
