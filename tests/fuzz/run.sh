#!/bin/sh
# Builds the fuzzers in build-fuzz and runs each for FUZZ_S seconds (60) on its corpus, FUZZ_JOBS (2) at a
# time: for each its executions, coverage and findings. FUZZ_ONLY names some of them; FUZZ_JUNIT a report to write.
# What is found anew stays in build-fuzz/corpus, and an input that crashes in build-fuzz/findings.
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=${FUZZ_S:-60} jobs=${FUZZ_JOBS:-2}

[ -f build-fuzz/build.ninja ] || CC=clang-14 meson setup build-fuzz -Dfuzzers=true -Djemalloc=false \
	-Db_sanitize=address,undefined >/dev/null || exit 1
targets=${FUZZ_ONLY:-$(sed -n "s/^  '\([a-z0-9_]*\)': \[.*/\1/p" tests/fuzz/meson.build)}
# shellcheck disable=SC2046
ninja -C build-fuzz $(printf 'tests/fuzz/fuzz_%s ' $targets) >build-fuzz/build.log || {
	tail -30 build-fuzz/build.log
	exit 1
}
mkdir -p build-fuzz/findings build-fuzz/logs
rm -f build-fuzz/logs/*.code

one() {
	mkdir -p "build-fuzz/corpus/$1"
	"build-fuzz/tests/fuzz/fuzz_$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="build-fuzz/findings/$1-" "build-fuzz/corpus/$1" "tests/fuzz/corpus/$1" \
		>"build-fuzz/logs/$1.log" 2>&1
	echo $? >"build-fuzz/logs/$1.code"
}

running=0
for target in $targets; do
	one "$target" &
	running=$((running + 1))
	if [ $((running % jobs)) = 0 ]; then wait; fi
done
wait
/usr/bin/python3 tests/fuzz/sum.py build-fuzz/logs "${FUZZ_JUNIT:-}" $targets
