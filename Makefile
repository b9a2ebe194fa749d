# The front door. `make help` lists what there is.
CONFIG ?= conf/demo.json
PYTHON ?= /usr/bin/python3

.DEFAULT_GOAL := help
.PHONY: help run test fuzz build bench bench-quick bench-growth bench-product bench-client bench-abuse soak format lint clean packages test-packages bench-packages

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

run: build ## build and start the demo in the foreground
	@build/headrace token list -c $(CONFIG) | grep -q '^demo ' || \
	  build/headrace token add demo --owner demo --token hr_demo -c $(CONFIG) >/dev/null
	@exec build/headrace run -c $(CONFIG)

test: test-packages ## build with sanitizers and run every test
	@tests/run.sh

fuzz: test-packages ## every parser against made-up bytes, FUZZ_S seconds each (60), two at a time
	@tests/fuzz/run.sh

build: packages ## build/headrace, optimised
	@[ -f build/build.ninja ] || meson setup build --buildtype=release -Db_lto=true -Dtests=false
	@ninja -C build

bench: build bench-packages ## Headrace beside its peers: every row of docs/performance.md, 40 minutes or so
	@$(PYTHON) -m bench.suite

bench-quick: build bench-packages ## the same in short: four rows once, under 2 minutes
	@$(PYTHON) -m bench.suite --quick

bench-growth: build bench-packages ## cost of a request as endpoints, tokens, connections, streams, workers grow; 8 minutes or so
	@$(PYTHON) -m bench.suite.growth

bench-product: build bench-packages ## wakes, held requests released, a storm of aborts, reloads under load, two proxies on one Redis
	@$(PYTHON) -m bench.suite.product

bench-client: build bench-packages ## the load client against wrk and h2load, and against an engine of known timing; 5 minutes or so
	@$(PYTHON) -m bench.check_client

bench-abuse: build test-packages bench-packages ## each abuse, and what well-behaved clients beside it feel; 8 minutes or so
	@$(PYTHON) -m bench.abuse

soak: build test-packages ## everything at once for SOAK_S seconds (1200): nothing may be lost, grow or be left over
	@$(PYTHON) -m bench.soak $(SOAK)

format: ## lay out the C sources as .clang-format says
	@tools="clang-format-14"; . ./tests/install.sh; install_packages $$tools
	@git ls-files '*.c' '*.h' | xargs clang-format-14 -i

lint: ## say where the layout differs
	@tools="clang-format-14"; . ./tests/install.sh; install_packages $$tools
	@git ls-files '*.c' '*.h' | xargs clang-format-14 --dry-run -Werror

clean: ## remove what was built
	@rm -rf build build-test build-fuzz tests/clients/node_modules

packages:
	@. ./tests/install.sh; install_packages $$(cat packages.txt)

bench-packages:
	@. ./tests/install.sh; install_packages $$(cat bench/packages.txt)

test-packages:
	@. ./tests/install.sh; install_packages $$(cat packages.txt tests/packages.txt) $$(node_packages)
