"""No lock, and no locked instruction, on the path of a request: looked for in the compiled objects."""
import os
import re
import subprocess
from pathlib import Path

from test_layers import ROOT

BUILD = Path(os.environ.get("HEADRACE_BIN", ROOT / "build-test" / "headrace")).parent
PATH = ("proxy/client", "proxy/steps", "proxy/replica", "proxy/request", "lib/http", "lib/net", "lib/base", "lib/fleet")

# Where one may stand, and how often that is come by.
ALLOWED = {
    "once a connection": r"client_accept|client_close|client_release|client_door_\w+|crowd_(enter|leave)|key_find|ticket_seal|tls_context_\w+",
    "the one reservation, where concurrency_max is set": r"replica_shared_(reserve|release|ref|unref)",
    "a replica that has failed": r"outlier_\w+|eject|readmit",
    "a token that has limits": r"meter_\w+",
    "a request without a good token, or with a 503 once more": r"recent_\w+",
    "a request that waits": r"hold_\w+|waiter_\w+|queue_\w+|reserve|pace_\w+|look|counted",
    "mail between threads": r"mailbox_\w+|take_all",
    "a change of the fleet or of tokens": r"endpoint_def_\w+|endpoint_shared_\w+|replica_shared_(new|limit)|token_set_(new|ref|unref)",
    "records as text, whose JSON library counts references so": r"load_record_read|replica_record_read|strings_write|token_(read|write)|"
                                                               r"token_set_(load|save)",
}
# On the path, so certainly without one: should the list above ever grow over them.
PATH_FUNCTIONS = {"step_route", "step_authenticate", "step_limit", "step_balance", "step_relay", "step_finish", "account_pending",
                  "account_over", "lease_take", "lease_return", "pipe_write", "transport_send", "request_new", "request_begin"}


def locked():
    """(object, function) of each locked instruction, exchange with memory, or call for a lock."""
    found, seen = set(), set()
    for folder in PATH:
        for path in sorted((BUILD / folder).rglob("*.o")):
            function = None
            lines = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", str(path)], capture_output=True, text=True, check=True).stdout
            for line in lines.splitlines():
                if head := re.match(r"[0-9a-f]+ <(\w+)", line):
                    function = head[1]
                    seen.add(function)
                elif re.search(r"\tlock |\txchg .*\(%|pthread_mutex_lock|pthread_rwlock|pthread_spin", line) and "xchg   %ax" not in line:
                    found.add((path.name.split(".")[0], function))
    return found, seen


def test_no_locked_instruction_on_the_path_of_a_request():
    found, seen = locked()
    assert PATH_FUNCTIONS <= seen, PATH_FUNCTIONS - seen
    allowed = re.compile("|".join(f"(?:{pattern})" for pattern in ALLOWED.values()))
    wrong = sorted(f"{file}: {function}" for file, function in found if not allowed.fullmatch(function))
    assert not wrong, wrong
    assert not {function for _, function in found} & PATH_FUNCTIONS
    assert any(function == "replica_shared_reserve" for _, function in found)  # it can be seen at all
