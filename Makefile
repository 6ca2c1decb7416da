# Symbolon: the commands one needs. `make` alone lists them.
#
# Everything is built once, with one profile and one set of features (docs/adr/0006-one-build.md),
# so every cargo call here says --release, --workspace and --locked.

export PATH := $(if $(CARGO_HOME),$(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
CARGO_ALL := --release --workspace --locked
SECONDS ?= 3600

.DEFAULT_GOAL := help
.PHONY: help setup build test lint bench bench-growth bench-stress bench-wan profile soak faults demo demo-check demo-stop clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## check this machine, and install what is missing where it may
	@scripts/setup.sh

build: setup ## build the node and the command line into target/release
	cargo build $(CARGO_ALL)

test: ## everything that must hold: set-up, format, lints, tests, the demo on free ports
	@scripts/test.sh

soak: setup ## fresh seeds in the simulator, for SECONDS=3600 or as long as you say
	SYMBOLON_SOAK=$(SECONDS) cargo test $(CARGO_ALL) --test soak -- --ignored --nocapture

lint: setup ## format and lints only
	cargo fmt --all --check
	cargo clippy $(CARGO_ALL) --all-targets -- -D warnings

bench: build ## measure speed and memory of four nodes on this machine, beside its limits and peers
	@scripts/setup-bench.sh
	@SYMBOLON_BENCH_OUT=$(CURDIR)/target/bench target/release/bench

bench-stress: build ## more load than the network can take, a slow disk, a paused validator (20 minutes)
	@SYMBOLON_BENCH_OUT=$(CURDIR)/target/bench-stress target/release/bench --stress

profile: build ## what a node spends its time on under load, in target/profile (needs perf)
	@scripts/profile.sh

bench-growth: build ## a node with 10,000, a million and five million licences, once, as long as it takes
	@SYMBOLON_BENCH_OUT=$(CURDIR)/target/bench-growth target/release/bench growth

bench-wan: setup ## simulate 32 and 100 validators over long lines: finality, bytes, where it saturates
	cargo build $(CARGO_ALL) --features symbolon-sim/wide-sets --bin wan
	@target/release/wan

faults: build ## every fault of real nodes, each chain executed again after each (root; half an hour)
	@scripts/faults.sh

demo: build ## a four-province network and a licence's story; it stays up
	@scripts/demo.sh

demo-check: build ## the same story on free ports, in a temporary folder; stops at the end
	@scripts/demo.sh --check

demo-stop: ## stop the network that `make demo` left running
	@scripts/demo.sh --stop

clean: demo-stop ## remove everything built and the demo's data; the next build is a long one
	rm -rf target .symbolon
