# Needs Go 1.21 or newer, which fetches the toolchain below by itself.
export GOTOOLCHAIN := go1.27.3
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 10s
export FUZZTIME

.PHONY: run build test screenshots bench api lint fuzz chaos deps deb deb-test clean

# A server to try things on: loopback only, data in ./var, kept until you delete it.
run: build
	bin/countersign server --demo --data var

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/countersign ./cmd/countersign

# Every test with the race detector, against real clients and servers.
test: deps
	tools/test.sh

# The programs that tests talk to, from Debian's packages; instant when they are there.
deps:
	tools/deps.sh

# Every page of console, user portal and management portal, light and dark, wide and narrow.
screenshots: deps
	rm -f docs/images/*.webp
	SCREENSHOTS=$(CURDIR)/docs/images go test -count 1 -tags screenshots -run 'TestScreenshots' ./e2e

# The description of the REST API, docs/api/openapi.json and index.html, from the program itself.
api:
	go test ./internal/adminapi -run 'TestDocumentIsCurrent$$' -count 1 -args -update

lint:
	tools/lint.sh

fuzz:
	tools/fuzz.sh

# Beside FreeRADIUS and slapo-otp, in one run; then a group of three servers beside one alone; then the pages
# (PAGESFLAGS="-attempts 1000000": lists and reports over so many sign-ins instead).
# docs/performance.md says what it means.
bench: deps build
	go run ./cmd/bench $(BENCHFLAGS)
	go run ./cmd/bench group $(GROUPFLAGS)
	go run ./cmd/bench pages $(PAGESFLAGS)
	go run ./cmd/bench waiting $(WAITINGFLAGS)

# kill -9 under load, again and again; then groups of several sizes under
# every fault of e2e/faults_test.go, and pairs cut in two epochs. Rounds that FAULTS_LOG holds are not run again.
FAULTS_ROUNDS ?= 20
FAULTS_SERVERS ?= 1,2,2w,3,5
FAULTS_LOG ?= $(CURDIR)/docs/faults.tsv
chaos: deps
	CHAOS_ROUNDS=50 tools/test.sh -run Chaos -count 1 -timeout 60m ./e2e
	FAULTS_ROUNDS=$(FAULTS_ROUNDS) FAULTS_SERVERS=$(FAULTS_SERVERS) FAULTS_SEED=1 FAULTS_EVENTS=6 FAULTS_LOG=$(FAULTS_LOG) \
		tools/test.sh -run 'TestFaults$$' -count 1 -timeout 300m ./e2e
	REUNION_ROUNDS=$(FAULTS_ROUNDS) tools/test.sh -run 'TestReunion$$' -count 1 -timeout 60m ./e2e

deb:
	tools/deb.sh $(VERSION)

# Installs, runs and removes the package under a systemd of its own, in a copy of this
# machine that is thrown away.
deb-test: deb
	tools/deps.sh systemd curl iproute2
	sudo=$$([ $$(id -u) = 0 ] || echo sudo); $$sudo bash e2e/deb.sh dist/countersign_*.deb

clean:
	rm -rf bin dist
