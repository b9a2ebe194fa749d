"""What every module needs: ports, tokens, waiting, one question by HTTP."""
import contextlib
import http.client
import socket
import time

HOST, OWNER = "e0.localhost", "bench"
READY_S = 60  # ten thousand endpoints take a while to be known


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def token(i=0):
    return f"hr_bench_{i:06d}"


def eventually(condition, deadline_s=READY_S):
    """What the condition returns, once it is true."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError("the condition never came true")
        time.sleep(0.02)
    return value


def get(port, path, host="localhost", bearer=None):
    """Status and body; a connection that fails has status 0."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as link:
        try:
            link.request("GET", path, headers={"Host": host, **({"Authorization": f"Bearer {bearer}"} if bearer else {})})
            answer = link.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""

