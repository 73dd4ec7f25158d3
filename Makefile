# The targets that people and continuous integration share. `make help` lists them.

GO       ?= go
FUZZTIME ?= 30s
SOAK     ?= 10m
SEED     ?=

# Packages with goroutines of their own; the race detector slows the others for nothing. (Those of tests and
# measurements have some too, and race in `make soak` alone.)
RACE = . ./internal/demo/... ./internal/engine/... ./store/... ./server/... ./client/... ./webeffect/... ./outbox/... ./internal/outbound/... ./twopc/... ./saga/... ./torture ./internal/child/... ./cmd/...

.PHONY: help build serve test race lint fmt-check fuzz schemathesis hostile sim matrix mutants torture torture-cluster torture-mutants soak bench bench-postgres bench-transactions demo

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## build the semel binary into ./semel
	$(GO) build -o semel ./cmd/semel

serve: ## serve from ./semel-data on 127.0.0.1:7075
	$(GO) run ./cmd/semel serve

demo: ## see payments made once while the server is killed
	$(GO) run ./cmd/semel demo

test: ## run every test
	$(GO) test ./...

race: ## run the tests of everything concurrent under the race detector
	$(GO) test -race -short $(RACE)

lint: ## go vet and staticcheck
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fmt-check: ## fail if a file is not gofmt-ed
	@files=$$(git ls-files '*.go' | xargs gofmt -l); if [ -n "$$files" ]; then echo "not gofmt-ed:"; echo "$$files"; exit 1; fi

fuzz: ## run every fuzz target for FUZZTIME
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg 2>/dev/null | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
		done; \
	done

schemathesis: ## make requests of /openapi.json to the real server (needs python3)
	@.ci/schemathesis

hostile: ## measure what slow, endless and huge requests do to honest clients
	SEMEL_HOSTILE=1 $(GO) test -count=1 -timeout 20m -v -run 'TestHostile' ./cmd/semel

sim: ## drive the core through seeded faults; SEED=n repeats one run (OPS=, FAULTS=, SKIP= make it smaller)
	$(GO) test ./internal/sim -run 'TestSeeds$$' $(if $(SEED),-seed=$(SEED)) $(if $(OPS),-ops=$(OPS)) $(if $(FAULTS),-faults='$(FAULTS)') $(if $(SKIP),-skip='$(SKIP)') -v

matrix: ## every crash, cut and flipped bit of the embedded store (over an hour)
	SEMEL_SOAK=1 $(GO) test -v -timeout 180m -run 'TestCrashAt|TestCut|TestHole|TestFlipped|TestUpgrade' ./internal/engine ./store/pebble

mutants: ## plant bugs and see that the tests find them; ONLY=regexp
	$(GO) run ./internal/mutants/cmd $(if $(ONLY),-only '$(ONLY)')

torture: ## attack the server from outside and have it judged; EXEC= another one
	$(GO) run ./cmd/semel torture --operations 100000 --kills 300 --transactions 5% $(if $(EXEC),--exec '$(EXEC)')

torture-cluster: ## 100 rounds of faults for three servers on a PostgreSQL of their own (half an hour)
	SEMEL_SOAK=1 $(GO) test -count=1 -timeout 90m -v -run TestTortureOfACluster ./cmd/semel

torture-mutants: ## torture catches servers with planted bugs; MUTANT= a binary
	SEMEL_SOAK=1 SEMEL_MUTANT=$(MUTANT) $(GO) test -count=1 -timeout 30m -v -run TestTortureCatches ./cmd/semel

soak: ## the long searches, and memory over SOAK
	$(GO) test -race -short ./internal/killtest/... ./internal/sim/... ./agents/... ./bench/... ./semeltest/...
	SEMEL_SOAK=1 $(GO) test -timeout 240m -v ./internal/core ./internal/sim ./internal/engine ./store/... ./cmd/...
	$(GO) run ./bench/cmd -soak $(SOAK)

bench-postgres: ## measure the PostgreSQL store beside what one would write by hand
	$(GO) run ./bench/cmd -postgres

bench-transactions: ## sagas and two-phase commit beside DTM (40 minutes; builds DTM)
	$(GO) run ./bench/cmd -transactions -postgres

bench: ## measure this machine: engine, raw store and disk, in one run
	$(GO) run ./bench/cmd
