"""The rows: what is asked of the proxies, what is measured, and what Headrace must reach and aims at."""
from dataclasses import dataclass, field

from bench.suite import measure
from bench.suite.load import Load, chat_body
from bench.suite.proxies import FLOOR, HEADRACE, PEER_NAMES, Variation

ANSWER_TOKENS = 62  # makes a JSON answer of 0.6 KB
AT_ONCE = ("--rate", "0")


@dataclass(frozen=True)
class Rule:
    """A limit made from the best peer and the floor; either may be missing."""
    text: str
    limit: object
    at_least: bool = False

    def of(self, best, floor):
        try:
            return self.limit(best, floor)
        except TypeError:
            return None

    def met(self, value, best, floor):
        limit = self.of(best, floor)
        if value is None or limit is None:
            return None
        return value >= limit if self.at_least else value <= limit


def of_best(factor, at_least=False):
    sign = ">=" if at_least else "<="
    return Rule(f"{sign} best" if factor == 1 else f"{sign} {factor:g} x best", lambda best, floor: factor * best, at_least)


def of_floor(factor):
    return Rule(f"<= {factor:g} x floor", lambda best, floor: factor * floor)


def fixed(number):
    return Rule(f"<= {number:g}", lambda best, floor: number)


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    unit: str
    take: object  # (proxy, ground, pace) -> Sample
    must: Rule
    aim: Rule
    engine: tuple = AT_ONCE
    proxies: tuple = (HEADRACE, *PEER_NAMES)
    quick: bool = True
    more_is_better: bool = False


def windowed(*load_list, unit="requests_total", variation=Variation()):
    """Microseconds per request or event in the middle of that load."""
    return lambda proxy, ground, pace: measure.running(
        proxy, ground, variation, lambda one: measure.window(one, ground, load_list, pace, unit))


WITH_FLOOR = (HEADRACE, *PEER_NAMES, FLOOR)
CHAT_1K = chat_body(max_tokens=ANSWER_TOKENS)
H1 = Load("wrk", body=CHAT_1K, name="chat")
H2 = Load("h2load", http=2, connections=16, streams=32, body=CHAT_1K, name="chat")

ROWS = (
    Row("h1-tls", "HTTP/1.1 TLS, 1 KB POST, 0.6 KB JSON, 64 connections", "us/request", windowed(H1),
        of_best(0.95), of_floor(1.1), proxies=WITH_FLOOR),
    Row("h2-tls", "HTTP/2 TLS, the same, 16 connections x 32 streams", "us/request", windowed(H2), of_best(0.85), of_best(0.65)),
    Row("h1-clear", "HTTP/1.1 in clear, the same", "us/request", windowed(Load(**{**H1.__dict__, "tls": False})),
        of_best(0.85), of_floor(1.2), proxies=WITH_FLOOR),
)
BY_NAME = {row.name: row for row in ROWS}
