# The two commands to begin with: make demo, make test.
# Go 1.26 or newer must be there; everything else is installed through apt.

GO      ?= go
VERSION ?= 0.1.0$(addprefix +,$(shell git rev-parse --short HEAD 2>/dev/null))
LDFLAGS  = -s -w -X main.version=$(VERSION)

# How long each fuzz target runs.
FUZZTIME ?= 10s

.PHONY: all build demo test newer-kernels lint bench fuzz-short setup clean

all: build

# Static binaries: the daemon, the tool for images and guests, and the init that
# the tool puts into images.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/virtumld ./cmd/virtumld
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/virtuml ./cmd/virtuml
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/virtuml-init ./cmd/virtuml-init

setup:
	@scripts/setup.sh demo
	@scripts/setup.sh test

# A guest's life through stock virsh, as whoever runs it.
demo:
	@scripts/setup.sh demo
	@$(MAKE) --no-print-directory build
	@scripts/demo.sh bin/virtumld

# Every test: unit tests, then real kernels with real virsh as root and as an
# ordinary user. Without root rights the tests for root are skipped.
test:
	@scripts/setup.sh test
	GO='$(GO)' scripts/test.sh

# UML kernels of newer Debian suites, which make test fetches too. Where the
# mirror has none, their tests are skipped.
newer-kernels:
	@scripts/setup.sh test
	@scripts/newer-kernels.sh

lint:
	@scripts/setup.sh lint
	@unformatted=$$(gofmt -l cmd internal test); \
	    if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	shellcheck scripts/*.sh .ci/run

# Each package by itself, then virtumld against what it is compared with, as
# docs/benchmarks.md explains. ROUNDS is how often the two sides take turns.
ROUNDS ?= 20

bench:
	@scripts/setup.sh bench
	@$(MAKE) --no-print-directory build
	$(GO) test -run '^$$' -bench . -benchmem ./internal/...
	VIRTUMLD_BINARY=$(CURDIR)/bin/virtumld VIRTUML_BINARY=$(CURDIR)/bin/virtuml \
	    $(GO) test -run '^$$' -bench . -benchtime $(ROUNDS)x -timeout 60m ./test/bench

# A little of every fuzz target.
fuzz-short:
	GO='$(GO)' FUZZTIME='$(FUZZTIME)' scripts/fuzz.sh

clean:
	rm -rf bin
