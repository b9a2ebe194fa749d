#!/bin/sh
# Every test, with sanitizers; the last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1

fail() {
	echo "$1"
	echo "0 passed, 1 failed"
	exit 1
}

[ -f build-test/build.ninja ] ||
	meson setup build-test -Db_sanitize=address,undefined -Djemalloc=false >/dev/null || fail "meson setup failed"
[ -f build/build.ninja ] || meson setup build --buildtype=release -Db_lto=true -Dtests=false >/dev/null || fail "meson setup failed"
ninja -C build-test || fail "the build with sanitizers failed"
ninja -C build || fail "the optimised build failed"
(cd tests/clients && npm ci --no-audit --no-fund --silent) || fail "npm ci failed"

results=$(mktemp -d) || exit 1
trap 'rm -rf "$results"' EXIT

meson test -C build-test --print-errorlogs --no-rebuild
units_failed=$?
HEADRACE_BIN=$PWD/build-test/headrace ENGINE_BIN=$PWD/build/bench/engine HEADRACE_RELEASE_BIN=$PWD/build/headrace \
	/usr/bin/python3 -m pytest -q -p no:cacheprovider --junitxml="$results/flows.xml" tests
flows_failed=$?

FUZZ_S=${FUZZ_S:-15} FUZZ_JUNIT=$results/fuzz.xml tests/fuzz/run.sh
fuzz_failed=$?

/usr/bin/python3 tests/sum.py "$results/flows.xml" "$results/fuzz.xml" build-test/meson-logs/testlog.junit.xml
sum_failed=$?
[ $units_failed = 0 ] && [ $flows_failed = 0 ] && [ $fuzz_failed = 0 ] && [ $sum_failed = 0 ]
