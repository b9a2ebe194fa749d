"""Adds up the JUnit reports named: "N passed, N failed", and fails when one failed."""
import sys
import xml.etree.ElementTree as ElementTree

passed = failed = 0
for path in sys.argv[1:]:
    for case in ElementTree.parse(path).iter("testcase"):
        bad = case.find("failure") is not None or case.find("error") is not None or case.find("skipped") is not None
        failed += bad
        passed += not bad
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed or not passed else 0)
