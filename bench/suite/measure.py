"""One sample: a proxy warmed and loaded; what it used, and whether the answers were right."""
import contextlib
import statistics
import time
from dataclasses import dataclass, field, replace

from bench.suite import load as loads
from bench.suite import machine, proxies
from bench.suite.common import eventually

CROWDED = 0.05  # waiting for others above this share of the running time voids a sample ...
TRIES = 3       # ... which is taken again, so many times in all, while the run has repeats left
REPEATS_SHARE = 0.2  # of all samples
LATENCY_WARM_S = 1.0  # for the connections to open
SLACK_S = 0.5   # of load after the window
WARMED_REST_S = 1  # after a few connections
REST_S = 3      # before memory is read


@dataclass(frozen=True)
class Pace:
    """How long one sample takes, and how many there are."""
    warm_s: float = 0.5
    measure_s: float = 1.0
    repeat: int = 5
    scale: float = 1.0  # of counted work
    rest_s: float = REST_S


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

    def ratios_to(self, other):
        """Of the samples taken one after the other: what the machine does meanwhile, it does to both."""
        pairs = [(mine.value, its.value) for mine, its in zip(self.samples, other.samples)]
        return [a / b for a, b in pairs if a is not None and b]

    def median(self):
        return statistics.median(self.values()) if self.values() else None

    def spread(self):
        return (min(self.values()), max(self.values())) if self.values() else None

    def problems(self):
        return sorted({s.problem for s in self.samples if s.problem})

    def crowded(self):
        return sum(s.crowded for s in self.samples)


@dataclass
class Budget:
    """How many samples of a run may be taken again."""
    left: int

    def spend(self):
        self.left -= 1
        return self.left >= 0


def taken(take, budget):
    """A sample that was crowded or wrong is taken again; the least crowded of those that are right is kept."""
    tries = []
    while not tries or len(tries) < TRIES and budget.spend():
        try:
            tries.append(take())
        except (OSError, RuntimeError, TimeoutError, ValueError) as wrong:
            tries.append(Sample(None, str(wrong)))
        if tries[-1].value is not None and not tries[-1].crowded:
            break
    return min(tries, key=lambda s: (s.value is None, s.crowding))


class Stand:
    """A proxy at a row: started once and kept for all the repetitions, but where a sample needs a fresh one."""

    def __init__(self, proxy, ground):
        self.proxy, self.ground, self.started = proxy, ground, {}

    def kept(self, variation):
        if variation not in self.started:
            self.started[variation] = proxies.start(self.proxy, self.ground, variation)
        return self.started[variation]

    @contextlib.contextmanager
    def fresh(self, variation):
        one = proxies.start(self.proxy, self.ground, variation)
        try:
            yield one
        finally:
            one.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.started.values():
            one.stop()


def us_each(count, run_ns):
    return run_ns / 1000 / count


def per_cpu_second(count, run_ns):
    return count * 1e9 / run_ns


def window(one, ground, load_list, pace, unit, opening_s=0.0, value=us_each, also_right=lambda outcome: ""):
    """What the value makes of the requests or events, and the processor time, of a window in the middle of the load.
    Streams are given `opening_s` to be open, all of them, before it begins. `also_right` says what else is wrong."""
    length_s = opening_s + pace.warm_s + pace.measure_s + SLACK_S
    started = [loads.start(load, one, ground, length_s) for load in load_list]
    if opening_s:
        opened(ground, sum(load.connections * load.streams for load in load_list), opening_s)
    time.sleep(pace.warm_s)
    before, used, began = ground.engine.counts(), one.usage(), time.monotonic()
    time.sleep(pace.measure_s)
    after, used, took_s = ground.engine.counts(), one.usage().since(used), time.monotonic() - began
    outcomes = [s.finish(length_s + loads.SLACK_S) for s in started]
    outcomes = [replace(o, problem=o.problem or also_right(o)) for o in outcomes]
    count = after[unit] - before[unit]
    return sample(value(count, used.run) if count and used.run else None, outcomes, used, per_s=count / took_s,
                  first_ms_per_s=used.first / 1e6 / took_s)


def opened(ground, count, within_s):
    with contextlib.suppress(TimeoutError):
        eventually(lambda: ground.engine.counts()["requests_running"] >= count, within_s)


def whole(one, ground, load, value):
    """The same of a load from its start to its end, in requests answered."""
    used = one.usage()
    outcome = loads.start(load, one, ground, 0).finish(loads.SLACK_S)
    used = one.usage().since(used)
    return sample(value(outcome.ok, used.run) if outcome.ok else None, [outcome], used)


def sample(value, outcomes, used, **details):
    problem = "; ".join(o.problem for o in outcomes if o.problem) or ("" if value is not None else "nothing was answered")
    return Sample(None if problem else value, problem, used.crowding, details)


def difference(plain, full):
    """What the second costs more than the first."""
    wrong = plain.problem or full.problem
    return Sample(None if wrong else full.value - plain.value, wrong, max(plain.crowding, full.crowding), {"plain": plain.value, "full": full.value})


def added_latency(one, ground, load, pace):
    """Milliseconds that the proxy adds to the age of an event, at the median and at the 99th percentile: the same load
    goes to the engine itself, too."""
    direct = replace(one, clear=ground.engine.port)
    load = replace(load, options=(*load.options, "--warmup", str(pace.warm_s + LATENCY_WARM_S)))
    used = one.usage()
    through = loads.start(load, one, ground, pace.measure_s).finish(loads.SLACK_S)
    used = one.usage().since(used)
    beside = loads.start(replace(load, tls=False), direct, ground, pace.measure_s).finish(loads.SLACK_S)
    if through.problem or beside.problem:
        return sample(None, [through, beside], used)
    ages = [o.details["event_age_ms"] for o in (through, beside)]
    added = {f"{name}_ms": ages[0][name] - ages[1][name] for name in ("p50", "p99")}
    return sample(added["p50_ms"], [through, beside], used, **added)


def pending_kb(one, ground, warm, load, pending, rest_s, warm_answered=True):
    """Resident memory that each pending request has added; `pending` says how many there are."""
    count = load.connections * load.streams
    warmed = loads.start(warm, one, ground, 0).finish(loads.SLACK_S)
    if warm_answered and warmed.problem:
        return Sample(None, warmed.problem)
    time.sleep(min(rest_s, WARMED_REST_S))
    before = machine.resident_kb(one.pids())
    started = loads.start(replace(load, requests=count), one, ground, 0)
    try:
        eventually(lambda: pending(one) >= count)
        time.sleep(rest_s)
        if (there := pending(one)) != count:
            return Sample(None, f"{there} of {count} are pending after a rest")
        grown = machine.resident_kb(one.pids()) - before
    except TimeoutError:
        return Sample(None, f"only {pending(one)} of {count} came to be pending")
    finally:
        started.cut()
    return Sample(grown / count, details={"idle_kb": before})
