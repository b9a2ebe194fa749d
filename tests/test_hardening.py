"""What the compiler and the linker were asked for, looked for in the optimised program."""
import os
import re
import subprocess

import pytest

from test_layers import ROOT

RELEASE = os.environ.get("HEADRACE_RELEASE_BIN", str(ROOT / "build" / "headrace"))


def read(*args):
    return subprocess.run([*args, RELEASE], capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout


@pytest.fixture(scope="module")
def symbols():
    return read("readelf", "-W", "--dyn-syms")


def test_the_program_lies_where_nobody_knows_and_its_tables_are_read_only():
    dynamic = read("readelf", "-W", "-d")
    assert re.search(r"Type:\s+DYN", read("readelf", "-h")) and re.search(r"FLAGS_1.*\bPIE\b", dynamic)
    assert re.search(r"FLAGS.*\bNOW\b|BIND_NOW", dynamic)  # with the segment below: full RELRO
    assert "TEXTREL" not in dynamic and "RPATH" not in dynamic and "RUNPATH" not in dynamic


def test_no_segment_can_be_written_and_executed():
    rows = re.findall(r"^\s+(LOAD|GNU_STACK|GNU_RELRO)\s+(?:0x\w+\s+){5}(.{3})", read("readelf", "-W", "-l"), re.M)
    assert {kind for kind, _ in rows} == {"LOAD", "GNU_STACK", "GNU_RELRO"}
    assert all(not ("W" in flags and "E" in flags) for _, flags in rows), rows
    assert all("E" not in flags for kind, flags in rows if kind == "GNU_STACK")


def test_stack_guards_and_checked_calls(symbols):
    assert "__stack_chk_fail" in symbols and "__memcpy_chk" in symbols and "__snprintf_chk" in symbols
    # A frame larger than a page is touched page by page, so that it cannot jump over the guard below the stack.
    assert re.search(r"\bor[lq]?\s+\$0x0,\(%rsp\)", read("objdump", "-d", "--no-show-raw-insn"))


def test_jumps_go_where_they_are_expected():
    assert re.search(r"<main>:\n\s+\w+:\s+endbr64", read("objdump", "-d", "--no-show-raw-insn", "--disassemble=main"))
