# The words: make charm | test | lint | format, and all that `make help` lists.
# Everything that is made lies below target/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

NAME := runner-image-builder
ARCH := $(shell dpkg --print-architecture)
BASE := $(shell sed -n 's/^base: *//p' charmcraft.yaml)
CHARM := target/charm
ARCHIVE := target/$(NAME)_$(ARCH).charm
# What the archive is made of: crates, versions, licences, digests.
SBOM := target/$(NAME)_$(ARCH).spdx.json
CARGO_HOME ?= $(HOME)/.cargo
# The system's own Python: Debian's modules (yaml, apt) belong to it, not to another one in PATH.
PYTHON := /usr/bin/python3
# cargo beside another cargo: it takes processors as it needs them, not as this make's --jobs allows.
ALONE := env -u MAKEFLAGS -u MFLAGS
# The oldest time that a zip archive can tell.
TIMESTAMP := 1980-01-01T00:00:00Z

# The same charm under the name of the Python charm: `juju refresh` takes a deployment over only to that name, and only
# on the base that it is on.
REPLACED := github-runner-image-builder
REPLACEMENT := target/replacement
REPLACEMENT_ARCHIVE := target/$(REPLACED)_$(ARCH).charm

# A base as charmcraft writes it into manifest.yaml: Juju reads from there where the charm can run.
define MANIFEST_BASE
- name: $(word 1,$(subst @, ,$1))
  channel: '$(word 2,$(subst @, ,$1))'
  architectures:
  - $(ARCH)

endef
define MANIFEST
bases:
$(call MANIFEST_BASE,$(BASE))
endef
define REPLACEMENT_MANIFEST
bases:
$(call MANIFEST_BASE,ubuntu@22.04)$(call MANIFEST_BASE,$(BASE))
endef
export MANIFEST REPLACEMENT_MANIFEST
# Packs folder $1 as archive $2, which lies beside it.
PACK = cd $1; find . -type f -printf '%P\n' | LC_ALL=C sort | TZ=UTC zip -q -X -D -9 ../$(notdir $2) -@

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r word does; do \
		printf '  make %-22s%s\n' "$$word" "$$does"; done

.PHONY: rehearse
rehearse: deps-rehearse unpacked ## Show the charm's whole life, without root, Juju or OpenStack (ARGS="--help" tells more)
	$(ALONE) cargo build --locked -p rehearsal --bins
	RUNNER_IMAGE_BUILDER_CHARM=$(CURDIR)/$(CHARM) cargo run --quiet --locked -p rehearsal -- $(ARGS)

.PHONY: unpacked
unpacked: deps-build
# The archive is the same wherever it is built: no path of the builder's home is in the binary.
	RUSTFLAGS="$${RUSTFLAGS-} --remap-path-prefix=$(CARGO_HOME)/registry/src=/crates" \
		$(ALONE) cargo build --release --locked --bin dispatch
	rm -rf $(CHARM)
	install -d -m 0755 $(CHARM) $(CHARM)/hooks $(CHARM)/scripts
	install -m 0755 $${CARGO_TARGET_DIR:-target}/release/dispatch $(CHARM)/dispatch
	install -m 0755 hooks/* $(CHARM)/hooks/
	install -m 0755 scripts/* $(CHARM)/scripts/
	install -m 0644 LICENSE icon.svg metadata.yaml config.yaml actions.yaml $(CHARM)/
	printf '%s' "$$MANIFEST" > $(CHARM)/manifest.yaml
	chmod 0644 $(CHARM)/manifest.yaml
	find $(CHARM) -exec touch --date=$(TIMESTAMP) {} +

.PHONY: manual
manual: deps-build ## Make manual pages and shell completion (target/manual/), and docs/reference/commands.md and metrics.md
	rm -rf target/manual
	$(ALONE) cargo run --locked --example manual -- target/manual docs/reference/metrics.md

.PHONY: reference
reference: deps ## Make docs/reference/options.md and actions.md from config.yaml and actions.yaml
	$(PYTHON) -B tests/packaging/reference.py . --write

.PHONY: complete
complete: unpacked manual
	cp --recursive --no-preserve=all target/manual $(CHARM)/share
	chmod -R a=rX,u+w $(CHARM)/share
	find $(CHARM)/share -exec touch --date=$(TIMESTAMP) {} +

.PHONY: replacement
replacement: complete
	rm -rf $(REPLACEMENT)
	cp -a $(CHARM) $(REPLACEMENT)
	sed -i 's/^name: $(NAME)$$/name: $(REPLACED)/' $(REPLACEMENT)/metadata.yaml
	printf '%s' "$$REPLACEMENT_MANIFEST" > $(REPLACEMENT)/manifest.yaml
	chmod 0644 $(REPLACEMENT)/*.yaml
	find $(REPLACEMENT) -exec touch --date=$(TIMESTAMP) {} +

.PHONY: charm
charm: deps-charm complete replacement ## Build target/charm/ (runnable), the .charm and its SBOM beside it, and one for juju refresh
	rm -f $(ARCHIVE) $(REPLACEMENT_ARCHIVE) $(SBOM)
	$(call PACK,$(CHARM),$(ARCHIVE))
	$(call PACK,$(REPLACEMENT),$(REPLACEMENT_ARCHIVE))
	$(PYTHON) -B tests/packaging/sbom.py $(ARCHIVE) $(SBOM)
	chmod 0644 $(ARCHIVE) $(REPLACEMENT_ARCHIVE) $(SBOM)
	@ls -l $(CHARM)/dispatch $(ARCHIVE) $(REPLACEMENT_ARCHIVE) $(SBOM)

.PHONY: test
test: deps ## Run all tests that need no cloud, against the charm's release binary
# Side by side: linking the release binary takes long and keeps one processor busy.
	$(MAKE) --no-print-directory --jobs=2 charm compiled-tests
# Side by side, since most tests wait most of their time: for a machine, a process, a deadline.
	$(MAKE) --no-print-directory --jobs=3 $(SHARES:%=test-of-%)

.PHONY: compiled-tests
compiled-tests: deps-build
	$(foreach share,$(SHARES),$(ALONE) cargo test --locked --no-run $($(share)-tests) &&) true

.PHONY: unit
unit: deps ## Run the unit tests alone, which stand beside the code (ONLY=part of their names)
	cargo test --locked --workspace --exclude fuzz --lib --bins -- $(ONLY)

.PHONY: integration
integration: deps charm ## Run the tests below tests/ that need no cloud (TEST=hooks: one of them; ONLY=part of their names)
	RUNNER_IMAGE_BUILDER_CHARM=$(CURDIR)/$(CHARM) \
		cargo test --locked --workspace --exclude fuzz $(addprefix --test ,$(or $(TEST),$(TESTS))) -- $(ONLY)

# Tests that Cargo.toml does not let run by themselves: --all-targets leaves them out.
BY_NAME = $(shell sed -n '/^\[\[test\]\]/{n;s/^name = "\(.*\)"/\1/p}' Cargo.toml)
# What Cargo.toml does not let run by itself needs more than a machine without a cloud, but for the builds.
TESTS = $(filter-out $(shell sed -n 's/^name = "\(.*\)"/\1/p' Cargo.toml | grep -vx builds), \
	$(foreach folder,tests tests/rehearsal/tests,$(patsubst $(folder)/%.rs,%, \
		$(patsubst %/main.rs,%.rs,$(wildcard $(folder)/*.rs $(folder)/*/main.rs)))))

# About equally long. The first leaves out what Cargo.toml says is run by itself.
SHARES := charm rehearsal builds
charm-tests := --package runner-image-builder
rehearsal-tests := --package rehearsal
builds-tests := --test builds
.PHONY: $(SHARES:%=test-of-%)
$(SHARES:%=test-of-%): test-of-%:
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-6} RUNNER_IMAGE_BUILDER_CHARM=$(CURDIR)/$(CHARM) \
		cargo test --locked $($*-tests)

.PHONY: test-local-build
test-local-build: deps ## Build images on this machine, and kill builds at any moment (root, loop devices)
	cargo test --locked --test local_build -- --test-threads=1

# ONLY='Nova POST' runs the cases whose name contains that, SAMPLE=40 so many, chosen by SEED.
FAULTS = $(if $(ONLY),--only '$(ONLY)') $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED))
.PHONY: test-faults
test-faults: deps unpacked ## Let each call of a build go wrong in every way (root; 21 minutes: SAMPLE=40 SEED=1, ONLY=...)
	RUNNER_IMAGE_BUILDER_CHARM=$(CURDIR)/$(CHARM) cargo test --locked --test faults -- $(FAULTS) $(ARGS)

# TARGET=journal tries that one alone.
.PHONY: fuzz
fuzz: deps ## Try whatever comes in at the charm's doors, TIME=60 seconds at each (libFuzzer)
	TIME=$(or $(TIME),60) tests/fuzz/run.sh $(TARGET)

.PHONY: test-openstack
test-openstack: deps charm ## Start an OpenStack on this machine and run the charm on it (root)
	RUNNER_IMAGE_BUILDER_CHARM=$(CURDIR)/$(CHARM) tests/openstack/run.sh $(ARGS)

.PHONY: test-packaging
test-packaging: deps ## Check the charm's folder and archive, and pack it with the real charmcraft
	tests/packaging/run.sh

.PHONY: test-craft-providers
test-craft-providers: deps ## Compare what builders are set up with to craft-providers from PyPI
	tests/craft_providers/run.sh

# JUJU=4.0 or 4 rehearses that version; JUJU_TEST_WORLD=world.yaml names a real model and its clouds (tests/juju/conftest.py);
# ARGS are pytest's.
.PHONY: test-juju
test-juju: deps unpacked ## Tell the operator's story with juju alone: in a rehearsal, or on a controller (JUJU_TEST_WORLD)
	RUNNER_IMAGE_BUILDER_CHARM=$(CURDIR)/$(CHARM) tests/juju/run.sh $(ARGS)

.PHONY: lint
lint: deps ## Formatting and clippy, without a warning
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(BY_NAME:%=--test %) --locked -- -D warnings

.PHONY: check
check: lint ## make lint, and documentation, its links, the map of the folders, yaml files, dependencies, alert rules and their runbooks
# The documentation is for those who work on the charm: it shows private items, and may link to them.
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" \
		cargo doc --workspace --no-deps --document-private-items --locked
	$(PYTHON) -B tests/packaging/architecture.py .
	$(PYTHON) -B tests/packaging/yaml_files.py .
	$(PYTHON) -B tests/packaging/listing.py .
	$(PYTHON) -B tests/packaging/reference.py .
	$(PYTHON) -B tests/packaging/links.py .
	$(PYTHON) -B tests/packaging/commands.py .
	$(PYTHON) -B tests/packaging/alerts.py .
	$(PYTHON) tests/packaging/dependencies.py
	tests/alerts/run.sh
# The last, so that a warning of it ends the output.
	tests/packaging/advisories.sh

.PHONY: fmt format
format: ## Format the sources (make fmt does, too)
	cargo fmt --all
fmt: format

.PHONY: deps deps-build deps-charm deps-rehearse
deps: ## Install the Debian packages that building and testing need, if any is missing (root)
	@tests/deps.sh
deps-build deps-charm deps-rehearse: deps-%:
	@tests/deps.sh $*

.PHONY: clean
clean: ## Remove all that was made
	cargo clean
	rm -rf target

.PHONY: bench
bench: charm ## Measure what a hook costs, and a local build beside the classic way (root)
	RUNNER_IMAGE_BUILDER_CHARM=$(CURDIR)/$(CHARM) cargo bench --locked --bench hook
	cargo bench --locked --bench local_build
