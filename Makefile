# make help lists the targets. Nothing here needs Docker; what a target needs beyond Go it gets by itself.

GO       ?= go
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# The rooms of the engine run under the race detector, which needs a C compiler; what starts processes does not.
RACE := $(shell command -v cc >/dev/null 2>&1 && echo -race)
OUTER := ^github.com/statefun-kafka/statefun-kafka/(test|examples|internal/lint)(/|$$)

.DEFAULT_GOAL := help
.PHONY: help build test setup check unit outer sdks chaos fuzz lint fmt demo bench bench-peers clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

build: ## build the static binary bin/statefun-kafka
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/statefun-kafka ./cmd/statefun-kafka

test: setup check unit outer ## all set-up and all tests (25 to 30 minutes on 2 cores, the first time)

setup: ## download the modules, the jars of both Kafka versions and the SDKs
	$(GO) mod download
	$(GO) run ./test/realkafka/kafka --version 4.1.0 --download
	$(GO) run ./test/realkafka/kafka --version 3.9.1 --download
	$(GO) run ./test/sdks/setup

check: ## formatting, go vet and the project's own rules
	@test -z "$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go'))" || { echo 'not formatted, run make fmt:'; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) test ./internal/lint

unit: ## the engine's tests, under the race detector
	$(GO) test $(RACE) -timeout 15m $$($(GO) list ./... | grep -vE '$(OUTER)')

# One package at a time: they run whole brokers and measure time. Never from the cache, which does not know of the program
# that they build.
outer: ## the tests with processes: embedded broker, Kafka 4.1 and 3.9, official SDKs, kill -9
	$(GO) test -count=1 -p 1 -timeout 40m $$($(GO) list ./... | grep -E '$(OUTER)')

sdks: ## install the SDKs of all languages that are missing, and run the suite with them
	$(GO) run ./test/sdks/setup
	$(GO) test ./test/sdks -v -timeout 15m | grep -v '^=== RUN'

chaos: ## the fault suite: 30 seeded runs of workers and embedded programs on one and three brokers (35 minutes), then 200 in one process
	$(GO) run ./test/chaos $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS))
	$(GO) test ./worker -run TestSimulation -sim.runs 200 -timeout 60m -v | grep -v '^    --- PASS'
	$(GO) test ./test/planted

fuzz: ## every fuzz target for FUZZTIME (default 20s)
	scripts/fuzz $(or $(FUZZTIME),20s)

lint: check ## check, golangci-lint (built on first use: 2 minutes) and the schema of docker-compose.yml
	$(GO) run $(GOLANGCI) run ./...
	scripts/check-compose

fmt: ## format all Go files
	gofmt -w $$(git ls-files --cached --others --exclude-standard '*.go')

demo: ## names in, greetings out, the worker killed half-way; needs Go only
	$(GO) run ./examples/demo

bench: ## measure the worker on a real Kafka beside a bare loop
	$(GO) run ./test/bench

bench-peers: ## the same, beside Flink StateFun, Kafka Streams and Restate where their toolchains are
	$(GO) run ./test/bench --peers statefun,streams,restate

clean: ## remove what make build made
	rm -rf bin
