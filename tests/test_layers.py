"""Includes only go down: the floors of docs/architecture.md, by the #include lines."""
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What each directory may include, besides itself.
BELOW = {
    "lib/base": [],
    "lib/net": ["lib/base"],
    "lib/option": ["lib/base"],
    "lib/http": ["lib/base"],
    "lib/metrics": ["lib/base"],
    "lib/fleet": ["lib/base", "lib/net", "lib/option"],
    "lib/store": ["lib/base", "lib/net", "lib/fleet"],
    "scheduler": ["lib"],
    "proxy/config": ["lib"],
    "proxy/request": ["lib", "proxy/config"],
    "proxy/client": ["lib", "proxy/config", "proxy/request"],
    "proxy/replica": ["lib", "proxy/config", "proxy/request"],
    "proxy/steps": ["lib", "proxy/config", "proxy/request", "proxy/replica"],
    "bench/load": ["lib"],
    "proxy": ["lib", "scheduler", "bench/load", "proxy"],
}
FORBIDDEN_IN_LIB = re.compile(r"\b(fprintf\s*\(\s*stderr|syslog\s*\(|perror\s*\(|_?exit\s*\()")


def inside(directory, where):
    return directory == where or directory.startswith(where + "/")


def violations(root, files):
    found = []
    for name in files:
        text = (root / name).read_text()
        directory = str(Path(name).parent)
        for included in re.findall(r'^#include "([^"]+)"', text, re.M):
            target = str(Path(included).parent)
            if target != directory and not any(inside(target, below) for below in BELOW[directory]):
                found.append(f"{name} includes {included}")
        if name.startswith("lib/") and FORBIDDEN_IN_LIB.search(text):
            found.append(f"{name} logs or exits")
    return found


def sources():
    listed = subprocess.run(["git", "ls-files", "lib", "proxy", "scheduler", "bench/load"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split() if name.endswith((".c", ".h"))]


def test_includes_only_go_down():
    files = sources()
    assert len(files) > 100 and violations(ROOT, files) == []


def test_a_planted_violation_is_found(tmp_path):
    for name, line in (("lib/http/x.c", '#include "proxy/request/request.h"'), ("proxy/client/x.c", '#include "proxy/replica/pool.h"'),
                       ("proxy/request/x.c", '#include "proxy/steps/steps.h"'), ("scheduler/x.c", '#include "proxy/edge.h"'),
                       ("lib/base/x.c", "void f(void) { exit(1); }")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(line + "\n")
        assert len(violations(tmp_path, [name])) == 1, name


def test_no_source_file_grew_beyond_reading():
    assert [name for name in sources() if len((ROOT / name).read_text().splitlines()) > 600] == []
