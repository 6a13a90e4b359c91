# Doorpost. `make run` demonstrates it, `make check` tests it, `make help` lists all targets.

CC ?= cc
CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
PREFIX ?= /usr/local
PORT ?= 8080
BUILD ?= build
POSTGRESQL ?= yes
VERSION = 0.7.0
SOURCE_DATE_EPOCH ?= 1795780800 # date of this version, for reproducible builds

# Servers are installed in sbin, which is not in every user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin
export CC PORT
export PYTHONPATH := $(CURDIR)/tests

STANDARD = -std=c11 -D_DEFAULT_SOURCE -Ilib -Ilib/door -Ilib/stream -Icgi -Icgi/door -Icli
# A newer library may deprecate functions used here: warn, but do not fail.
WARNINGS = -Wno-error=deprecated-declarations -Wall -Wextra -Wshadow -Wconversion -Wvla -Wstrict-prototypes -Wmissing-prototypes
# Expanded only when compiling, so that `make help` and `make deps` work without the libraries.
LIBRARY_CFLAGS = $(shell $(PKG_CONFIG) --cflags libsodium json-c $(if $(WITH_POSTGRESQL),libpq))
LIBRARIES = $(shell $(PKG_CONFIG) --libs libsodium json-c) -lfcgi -pthread # libfcgi has no .pc file in Debian 12

# POSTGRESQL=no: without `doorpost forward` and --from, for hosts without libpq.
WITH_POSTGRESQL = $(filter-out no,$(POSTGRESQL))
NOT_BUILT = lib/stream/$(if $(WITH_POSTGRESQL),no_)database.c

LIB = $(patsubst lib/%.c,$(BUILD)/lib/%.o,$(filter-out $(NOT_BUILT),$(wildcard lib/*.c lib/*/*.c)))
CLI = $(patsubst cli/%.c,$(BUILD)/cli/%.o,$(wildcard cli/*.c))
CGI = $(patsubst cgi/%.c,$(BUILD)/cgi/%.o,$(wildcard cgi/*.c))
DOOR_CGI = $(patsubst cgi/%.c,$(BUILD)/cgi/%.o,$(wildcard cgi/door/*.c)) $(BUILD)/cgi/peer.o $(BUILD)/cgi/output.o
# Each program takes from it only what it uses: the receiver nothing of the door page.
ARCHIVE = $(BUILD)/doorpost.a
UNIT = $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
UNIT_SHARED = $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c)))
TESTABLE = $(LIB) $(filter-out %/main.o,$(sort $(CGI) $(CLI) $(DOOR_CGI))) # objects that unit tests may call
E2E = $(wildcard tests/e2e/test_*.py)
DOOR = $(wildcard tests/door/test_*.py)
STREAM = $(wildcard tests/stream/test_*.py)
CRASH = $(wildcard tests/crash/test_*.py)
FUZZ = intake record records
FUZZ_SECONDS ?= 60
INPUTS ?= 10000000
JOBS ?= $(shell nproc)
SUITE ?= trixie

SOURCES = $(wildcard lib/*.[ch] lib/*/*.[ch] cgi/*.[ch] cgi/*/*.[ch] cli/*.[ch] tests/*/*.[ch])
SCRIPTS = .ci/run tests/suite.sh $(wildcard deploy/*.sh deploy/*/*.sh)

SANITIZERS = -fsanitize=address,undefined
SANITIZING = CFLAGS="-O1 -g -Werror -fno-omit-frame-pointer -fno-sanitize-recover=undefined $(SANITIZERS)" LDFLAGS="$(SANITIZERS)"
SANITIZED = BUILD=build/check $(SANITIZING)

# The crash tests need an index that grows and is synced after a few events.
SMALL_INDEX = CPPFLAGS="-DFIRST_BUCKETS=1 -DSTRETCH=4096 -DSTEP_EVERY=2 -DROUND_WITHIN=131072"
CRASHING = BUILD=build/crash $(SMALL_INDEX)
DAMAGING = BUILD=build/damage $(SANITIZING) $(SMALL_INDEX)

all: $(BUILD)/doorpost.cgi $(BUILD)/doorpost-door.cgi $(BUILD)/doorpost $(BUILD)/completion.bash $(BUILD)/completion.zsh ## build build/doorpost.cgi, build/doorpost-door.cgi and build/doorpost

run: ## install what is missing, build, and send a signed press through lighttpd (PORT=8080)
	@deploy/deps.sh build run
	@$(MAKE) --no-print-directory all
	@deploy/demo/run.sh $(BUILD)/doorpost.cgi

check: ## install what is missing, and run every test under ASan and UBSan
	@deploy/deps.sh build run check stream deb door
	@$(MAKE) --no-print-directory -j2 $(SANITIZED) test-programs
	@$(MAKE) --no-print-directory -j2 $(CRASHING) crash-programs
	@$(MAKE) --no-print-directory -j2 $(DAMAGING) damage-programs
	@QUICK=1 STATES=1000 ACT_STATES=300 python3 tests/run.py $(UNIT:$(BUILD)/%=build/check/%) $(E2E) $(DOOR) $(STREAM) $(CRASH) $(wildcard tests/fuzz/test_*.py) build/check/fuzz-connections build/damage/fuzz-files build/damage/fuzz-lists

# T=DIRECTORY/FILE or T=DIRECTORY/FILE:TEST.
TEST_FILE = $(firstword $(subst :, ,$(T)))
TEST_NAME = $(word 2,$(subst :, ,$(T)))
TEST_PROGRAM = tests/$(dir $(TEST_FILE))test_$(notdir $(TEST_FILE))

test: ## run one test file, or one test in it: T=unit/journal, T=e2e/trouble:a_short_key
	@test -n "$(wildcard $(TEST_PROGRAM).c $(TEST_PROGRAM).py)" || { echo "which test? For example: make test T=unit/journal" >&2; exit 2; }
	@$(MAKE) --no-print-directory -j2 $(SANITIZED) $(if $(wildcard $(TEST_PROGRAM).c),build/check/$(TEST_PROGRAM),build/check/doorpost.cgi build/check/doorpost-door.cgi build/check/doorpost build/check/door-driver)
	@$(if $(filter crash/,$(dir $(TEST_FILE))),$(MAKE) --no-print-directory -j2 $(CRASHING) crash-programs,:)
	@QUICK=1 TEST_NAME="$(TEST_NAME)" $(if $(wildcard $(TEST_PROGRAM).c),build/check/$(TEST_PROGRAM),python3 $(TEST_PROGRAM).py $(TEST_NAME))

check-answers: ## the unit tests, and the responses through each web server, without sanitizers
	@deploy/deps.sh build answers
	@$(MAKE) --no-print-directory -j2 CFLAGS="-O2 -g -Werror" test-programs
	@python3 tests/run.py $(UNIT)
	@DOORPOST_CGI=$(CURDIR)/$(BUILD)/doorpost.cgi python3 tests/run.py tests/e2e/test_answers.py

check-suite: ## test Doorpost in a new minimal root of another release (SUITE=trixie, MIRROR=its archive; FULL=1: all of make check)
	@deploy/deps.sh suite
	@tests/suite.sh $(SUITE) $(MIRROR)

check-more: ## tests that need minutes or large packages: the units under systemd, deploy/README.md as pasted, the container image, deploy/monitoring under Prometheus
	@deploy/deps.sh build run check stream more
	@$(MAKE) --no-print-directory -j2 $(SANITIZED) test-programs
	@$(MAKE) --no-print-directory -j2 $(CRASHING) crash-programs
	@MORE=1 LIMIT=3600 PATIENCE=1200 python3 tests/run.py tests/e2e/test_systemd.py tests/e2e/test_recipes.py tests/e2e/test_container.py tests/e2e/test_monitoring.py

door-check: ## the door page's tests at full length: in a real browser, and killed at each system call
	@deploy/deps.sh build run check door
	@$(MAKE) --no-print-directory -j2 $(SANITIZED) test-programs
	@$(MAKE) --no-print-directory -j2 $(CRASHING) crash-programs
	@LIMIT=3600 python3 tests/run.py $(DOOR)
	@$(MAKE) --no-print-directory -j2 all
	@DOORPOST_CGI=$(CURDIR)/$(BUILD)/doorpost.cgi python3 tests/run.py tests/door/test_viewers.py

stream-check: ## the tests of the merged stream at full length, with a PostgreSQL of their own
	@deploy/deps.sh build stream answers
	@$(MAKE) --no-print-directory -j2 $(SANITIZED) test-programs
	@LIMIT=3600 python3 tests/run.py $(STREAM)

crash-check: ## the crash and fault tests at full length: 20,000 disk states, 20,000 operator actions, 100,000 kinds of damage, every call failing
	@deploy/deps.sh build check
	@$(MAKE) --no-print-directory $(SANITIZED) test-programs
	@$(MAKE) --no-print-directory $(CRASHING) crash-programs
	@$(MAKE) --no-print-directory $(DAMAGING) damage-programs
	@STATES=20000 RUNS=100000 LIMIT=3600 python3 tests/run.py $(CRASH) build/damage/fuzz-files build/damage/fuzz-lists

cluster-check: ## forward to three database nodes while these are killed, stopped and cut off (ROUNDS=10 of each kind; about an hour)
	@deploy/deps.sh build run stream cluster
	@$(MAKE) --no-print-directory -j2 $(SANITIZED) build/check/doorpost.cgi build/check/doorpost
	@python3 tests/cluster/test_cluster.py

bench: ## compare performance with similar programs (ROUNDS, SECONDS, PARTS: see tests/bench/bench.py)
	@deploy/deps.sh build check stream bench
	@$(MAKE) --no-print-directory BUILD=build/bench bench-programs
	@DOORPOST_CGI=$(CURDIR)/build/bench/doorpost.cgi python3 tests/bench/bench.py

fuzz: ## run libFuzzer on each of its targets for FUZZ_SECONDS (60)
	@deploy/deps.sh build check fuzz
	@python3 tests/fuzz/seeds.py build/fuzz/seeds
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang CFLAGS="-O1 -g -fno-sanitize-recover=undefined \
	  $(SANITIZERS),fuzzer-no-link" LDFLAGS="$(SANITIZERS),fuzzer" fuzzers
	@for target in $(FUZZ); do mkdir -p build/fuzz/corpus/$$target; build/fuzz/fuzz-$$target -max_total_time=$(FUZZ_SECONDS) \
	  -max_len=8192 -print_final_stats=1 build/fuzz/corpus/$$target build/fuzz/seeds/$$target || exit 1; done

fuzz-connections: ## simulate a million web servers, correct and broken, at the other end of a connection (RUNS, SEED)
	@deploy/deps.sh build check
	@$(MAKE) --no-print-directory $(SANITIZED) build/check/fuzz-connections
	@RUNS=$(or $(RUNS),1000000) LIMIT=3600 python3 tests/run.py build/check/fuzz-connections

differential-fuzz: ## compare the parsing of INPUTS (10,000,000) bodies with Python's json
	@deploy/deps.sh build check
	@$(MAKE) --no-print-directory $(SANITIZED) build/check/verdicts
	@INPUTS=$(INPUTS) JOBS=$(JOBS) python3 tests/fuzz/test_differential.py

lint: ## install what is missing, and run clang-format, cppcheck, clang-tidy and shellcheck
	@deploy/deps.sh build check lint
	clang-format --dry-run --Werror $(SOURCES)
	cppcheck --quiet -j2 --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -Ilib -Ilib/door -Ilib/stream -Icgi -Icgi/door -Icli lib cgi cli
	echo $(wildcard lib/*.c lib/*/*.c cgi/*.c cgi/*/*.c cli/*.c) | xargs -n 8 -P 2 sh -c 'clang-tidy --quiet "$$@" -- $(STANDARD) $(LIBRARY_CFLAGS)' - 2>/dev/null # discards the count of warnings in system headers
	shellcheck $(SCRIPTS)

format: ## format the sources with clang-format
	clang-format -i $(SOURCES)

deps: ## install build dependencies only
	@deploy/deps.sh build

# Files installed under $(DESTDIR)$(PREFIX): MODE SOURCE DIRECTORY [NAME].
SHARE = share/doc/doorpost
define INSTALLED
755 $(BUILD)/doorpost.cgi lib/doorpost doorpost.cgi
755 $(BUILD)/doorpost-door.cgi lib/doorpost doorpost-door.cgi
755 $(BUILD)/doorpost bin doorpost
755 deploy/on-press/log.sh lib/doorpost log-press
755 deploy/on-press/http-post.sh lib/doorpost/commands http-post.sh
755 deploy/on-press/mqtt.sh lib/doorpost/commands mqtt.sh
755 deploy/on-press/notify.sh lib/doorpost/commands notify.sh
755 deploy/on-press/ntfy.sh lib/doorpost/commands ntfy.sh
644 deploy/on-press/settings.sh lib/doorpost/commands settings.sh
644 cli/doorpost.1 share/man/man1 doorpost.1
644 lib/doorpost-journal.5 share/man/man5 doorpost-journal.5
644 cgi/doorpost.cgi.8 share/man/man8 doorpost.cgi.8
644 cgi/doorpost-door.cgi.8 share/man/man8 doorpost-door.cgi.8
644 $(BUILD)/completion.bash share/bash-completion/completions doorpost
644 $(BUILD)/completion.zsh share/zsh/site-functions _doorpost
644 README.md $(SHARE) README.md
644 NEWS.md $(SHARE) NEWS.md
644 LICENSE $(SHARE) LICENSE
endef
export INSTALLED
EXAMPLES = README.md ring.md apache apparmor container lighttpd monitoring nginx on-press postgresql systemd

compile_commands.json: Makefile $(SOURCES) ## compile commands for clangd and other tools
	@{ echo '['; for file in $(filter %.c,$(SOURCES)); do echo "{\"directory\": \"$(CURDIR)\", \"file\": \"$$file\"," \
	  "\"command\": \"$(CC) $(STANDARD) $(WARNINGS) $(LIBRARY_CFLAGS) -Itests/unit -Itests/fuzz -c $$file\"},"; done | sed '$$s/,$$//'; echo ']'; } >$@

tags: $(SOURCES) ## a tags file for editors
	@ctags -f $@ $(SOURCES)

picture: ## regenerate deploy/demo/run.svg, the terminal of `make run`
	@deploy/deps.sh build run
	@$(MAKE) --no-print-directory all
	@deploy/demo/picture.sh $(BUILD)/doorpost.cgi deploy/demo/run.svg

screenshots: ## regenerate deploy/demo/door-390.png and door-1280.png, the door page on a phone and on a desktop
	@deploy/deps.sh door
	@rm -rf build/screenshots && mkdir -p build/screenshots
	@SCREENSHOTS=build/screenshots python3 tests/door/test_page.py the_page_fits_and_is_dark_at_night
	@cp build/screenshots/phone-light.png deploy/demo/door-390.png
	@cp build/screenshots/desktop-light.png deploy/demo/door-1280.png

install: all ## install under $(DESTDIR)$(PREFIX): handler, tool, manuals, completions, example configurations
	@echo "$$INSTALLED" | while read -r mode source directory name; do \
	  install -D -m "$$mode" "$$source" "$(DESTDIR)$(PREFIX)/$$directory/$$name" || exit 1; done
	install -d $(DESTDIR)$(PREFIX)/$(SHARE)/examples
	cp -R $(EXAMPLES:%=deploy/%) $(DESTDIR)$(PREFIX)/$(SHARE)/examples
	chmod -R u=rwX,go=rX $(DESTDIR)$(PREFIX)/$(SHARE)/examples
	find $(DESTDIR)$(PREFIX)/$(SHARE)/examples -type f -exec sed -i 's#/usr/local/#$(PREFIX)/#g' {} +

uninstall: ## remove what `make install` installed; settings, keys and journals are kept
	@echo "$$INSTALLED" | while read -r mode source directory name; do rm -f "$(DESTDIR)$(PREFIX)/$$directory/$$name"; done
	rm -rf $(EXAMPLES:%=$(DESTDIR)$(PREFIX)/$(SHARE)/examples/%)
	@cd "$(DESTDIR)$(PREFIX)" && for directory in $(SHARE)/examples $(SHARE) share/doc lib/doorpost/commands lib/doorpost share/man/man1 share/man/man5 share/man/man8 \
	  share/bash-completion/completions share/bash-completion share/zsh/site-functions share/zsh; do \
	  [ ! -d "$$directory" ] || rmdir --ignore-fail-on-non-empty "$$directory"; done

# The project has no address; the publisher of the package puts one into deploy/debian.
NO_ADDRESS = bogus-mail-host,bogus-mail-host-in-debian-changelog

deb: ## build the Debian package in build/deb, and check it with lintian
	@deploy/deps.sh build deb
	@rm -rf build/deb && mkdir -p build/deb/doorpost-$(VERSION)
	@cp -R cgi cli deploy lib Makefile README.md NEWS.md LICENSE build/deb/doorpost-$(VERSION)
	@cp -R deploy/debian build/deb/doorpost-$(VERSION)/debian
	@cd build/deb/doorpost-$(VERSION) && env -u MAKEFLAGS -u MFLAGS SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) \
	  dpkg-buildpackage --no-check-builddeps --build=binary --no-sign >../log 2>&1 || { tail -n 30 ../log; exit 1; }
	@lintian --allow-root --suppress-tags $(NO_ADDRESS) --fail-on warning,error build/deb/doorpost_*.changes
	@ls build/deb/doorpost_*.deb

# Static, for hosts with unknown libraries, and in few segments, because each request maps a new CGI process. Suppresses a linker
# warning that gethostbyname() in libfcgi needs glibc's shared libraries at run time; nothing here calls it.
STATIC = BUILD=build/static POSTGRESQL=no CFLAGS="-O2 -fPIE -ffile-prefix-map=$(CURDIR)=." LDFLAGS="-static-pie -Wl,-z,noseparate-code,--no-warnings,--build-id=none"

bundle: ## pack build/static/doorpost-VERSION-linux-x86_64.tar.gz for shared hosts: static programs, install.sh
	@deploy/deps.sh build
	@$(MAKE) --no-print-directory $(STATIC) all
	@SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) deploy/shared-hosting/pack.sh build/static $(VERSION)

clean: ## remove build/, including the demo
	rm -rf build

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r target what; do \
	  printf '  %-17s %s\n' "$$target" "$$what"; done

$(ARCHIVE): $(LIB)
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/doorpost.cgi: $(CGI) $(ARCHIVE)
	@echo "LINK $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

$(BUILD)/doorpost: $(CLI) $(ARCHIVE)
	@echo "LINK $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES) -lm

$(BUILD)/doorpost-door.cgi: $(DOOR_CGI) $(ARCHIVE)
	@echo "LINK $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

# Contains the files of cgi/door/page/.
$(BUILD)/cgi/door/assets.o: $(wildcard cgi/door/page/*)

# Contains the schema.
$(BUILD)/lib/stream/schema.o: deploy/postgresql/schema.sql

$(BUILD)/completion.%: $(BUILD)/doorpost
	@$< completion $* >$@.new && mv $@.new $@

$(BUILD)/cli/main.o $(BUILD)/lib/http.o: Makefile
$(BUILD)/cli/main.o $(BUILD)/lib/http.o: override CPPFLAGS += -DVERSION='"$(VERSION)"'

$(BUILD)/%.o: %.c | needed
	@mkdir -p $(@D)
	@echo "CC   $<"
	@$(CC) $(STANDARD) $(WARNINGS) $(CPPFLAGS) $(CFLAGS) $(LIBRARY_CFLAGS) -MMD -MP -c -o $@ $<

needed:
	@deploy/deps.sh --tell build

test-programs: $(BUILD)/doorpost.cgi $(BUILD)/doorpost-door.cgi $(BUILD)/doorpost $(UNIT) $(FUZZ:%=$(BUILD)/replay-%) $(BUILD)/verdicts $(BUILD)/fuzz-connections $(BUILD)/door-driver

$(UNIT): $(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(UNIT_SHARED) $(TESTABLE)
	@echo "LINK $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES) -lm $(shell $(PKG_CONFIG) --libs cmocka)

$(BUILD)/door-driver: $(BUILD)/tests/door/driver.o $(ARCHIVE)
	@echo "LINK $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

fuzzers: $(FUZZ:%=$(BUILD)/fuzz-%)

$(BUILD)/fuzz-files: $(BUILD)/tests/fuzz/fuzz_files.o $(BUILD)/tests/fuzz/damage.o $(BUILD)/tests/fuzz/runs.o $(ARCHIVE)
	@echo "LINK $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

$(BUILD)/fuzz-lists: $(BUILD)/tests/fuzz/fuzz_lists.o $(BUILD)/tests/fuzz/damage.o $(BUILD)/tests/fuzz/runs.o $(addprefix $(BUILD)/cli/,failed.o instructions.o item.o queues.o waiting.o) $(ARCHIVE)
	@echo "LINK $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

$(BUILD)/fuzz-connections: $(BUILD)/tests/fuzz/fuzz_connections.o $(BUILD)/tests/fuzz/runs.o $(BUILD)/cgi/records.o $(BUILD)/cgi/connection.o $(ARCHIVE)
	@echo "LINK $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

# fuzz-% uses libFuzzer's main(); replay-% uses the one in standalone.c.
$(BUILD)/fuzz-%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/cgi/records.o $(ARCHIVE)
	@echo "LINK $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

$(BUILD)/replay-%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/standalone.o $(BUILD)/cgi/records.o $(ARCHIVE)
	@echo "LINK $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

$(BUILD)/verdicts: $(BUILD)/tests/fuzz/verdicts.o $(ARCHIVE)
	@echo "LINK $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

crash-programs: $(BUILD)/doorpost.cgi $(BUILD)/doorpost $(BUILD)/shim.so $(BUILD)/shim-plain.so $(BUILD)/door-driver

$(BUILD)/shim.so: override CPPFLAGS += -DSHIM_MALLOC
$(BUILD)/shim.so $(BUILD)/shim-plain.so: tests/crash/shim.c
	@mkdir -p $(@D)
	@echo "LINK $@"
	@$(CC) -O2 -Wall -Wextra $(CPPFLAGS) -shared -fPIC -o $@ $<

damage-programs: $(BUILD)/fuzz-files $(BUILD)/fuzz-lists

bench-programs: $(addprefix $(BUILD)/,doorpost doorpost.cgi doorpost-nosync.cgi doorpost-static.cgi nothing nothing-static grow stamp)

$(BUILD)/doorpost-nosync.cgi: $(CGI) $(BUILD)/tests/bench/nosync.o $(ARCHIVE)
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

$(BUILD)/doorpost-static.cgi: $(CGI) $(ARCHIVE)
	@$(CC) $(CFLAGS) $(LDFLAGS) -static -Wl,-z,noseparate-code -o $@ $^ $(LIBRARIES)

$(BUILD)/nothing: $(BUILD)/tests/bench/nothing.o
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lfcgi

$(BUILD)/nothing-static: $(BUILD)/tests/bench/nothing.o
	@$(CC) $(CFLAGS) $(LDFLAGS) -static -Wl,-z,noseparate-code -o $@ $^ -lfcgi

$(BUILD)/stamp: $(BUILD)/tests/bench/stamp.o
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/grow: $(BUILD)/tests/bench/grow.o $(ARCHIVE)
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d)

.PHONY: all bundle deb uninstall run check crash-check lint format deps install clean help test-programs crash-programs damage-programs bench-programs bench fuzz fuzz-connections differential-fuzz fuzzers
.PHONY: needed cluster-check door-check stream-check check-answers check-suite check-more test picture screenshots
.SECONDARY:
