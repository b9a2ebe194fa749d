"""What abusers send, for the tests and for `make bench-abuse`: each flood as the bytes of its nth batch."""
from http2_frames import PREFACE, block, data, frame, head, literal, more, ping, priority, request, reset, settings, window

SOME = 64
BOMBS = 12000
OPEN_WINDOW = (1 << 31) - 1


def rapid_reset(i):
    return b"".join(head(request(path="/bytes/100000"), stream=2 * k + 1) + reset(2 * k + 1) for k in range(i * SOME, (i + 1) * SOME))


def made_you_reset(i):
    """Each stream is made ours to reset: a window beyond 2^31-1 (DATA behind its end would end the connection at once)."""
    return b"".join(head(request(path="/bytes/100000"), stream=2 * k + 1) + window((1 << 31) - 1, 2 * k + 1) for k in range(i * SOME, (i + 1) * SOME))


def hpack_bomb(i, times=BOMBS):
    """One entry of the table, named again and again."""
    fields = block(request()) + (literal("x", "y" * 4000, 0x40) if i == 0 else b"") + b"\xbe" * times
    return head(fields, stream=2 * i + 1)


# (what, bytes of the nth time, limit that ends it)
FLOODS = [
    ("rapid reset", rapid_reset, "http2_resets"),
    ("CONTINUATION flood", lambda i: (head(end_headers=False) if i == 0 else b"") + more(b"") * SOME, "http2_continuations"),
    ("SETTINGS flood", lambda i: settings((3, 100)) * SOME, "http2_control"),
    ("PING flood", lambda i: ping() * SOME, "http2_control"),
    ("PRIORITY flood", lambda i: priority(1, 3) * SOME, "http2_control"),
    ("empty DATA flood", lambda i: (head(end=False) if i == 0 else b"") + data(end=False) * SOME, "http2_control"),
    ("unknown frames", lambda i: frame(0xbe) * SOME, "http2_control"),
    ("HPACK bomb", hpack_bomb, "head_size"),
    ("settings without end", lambda i: settings(*[(0xff, 1)] * 1000), "http2_settings"),
]

# Streams that may send, on connections that take nothing: (hello, requests), each of so many streams.


def zero_window(streams):
    return PREFACE + settings((4, 0)), b"".join(head(request(path="/bytes/200000"), stream=2 * k + 1) for k in range(streams))


def never_read(streams):
    """The windows are open; it is the socket that is not read."""
    return (PREFACE + settings((4, OPEN_WINDOW)) + window(OPEN_WINDOW - 65535),
            b"".join(head(request(path="/bytes/20000000"), stream=2 * k + 1) for k in range(streams)))
