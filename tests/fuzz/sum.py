"""What the fuzzers' logs say, a line each; and as a JUnit report: sum.py LOGS REPORT TARGET..."""
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree


def last(pattern, text):
    found = re.findall(pattern, text)
    return found[-1] if found else "-"


logs, report, targets = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
suite = ElementTree.Element("testsuite", name="fuzz")
print(f"{'target':16} {'executions':>11} {'edges':>6} {'features':>9}  findings")
failed = 0
for target in targets:
    text = (logs / f"{target}.log").read_text(errors="replace")
    code = (logs / f"{target}.code").read_text().strip()
    case = ElementTree.SubElement(suite, "testcase", classname="fuzz", name=target)
    executions = last(r"number_of_executed_units: (\d+)", text)
    edges, features = last(r"cov: (\d+)", text), last(r"ft: (\d+)", text)
    findings = "none" if code == "0" else "1"
    print(f"{target:16} {executions:>11} {edges:>6} {features:>9}  {findings}")
    if code != "0":
        failed += 1
        artifact = last(r"Test unit written to (\S+)", text)
        command = f"build-fuzz/tests/fuzz/fuzz_{target} {artifact}"
        ElementTree.SubElement(case, "failure", message=command).text = text[-4000:]
        print("\n".join(text.splitlines()[-40:]))
        print(f"again: {command}")
if report:
    ElementTree.ElementTree(suite).write(report)
sys.exit(1 if failed else 0)
