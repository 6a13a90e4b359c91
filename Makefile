# Doorpost. `make run` shows it at work, `make check` tests it, `make help` lists the rest.

CC ?= cc
PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
BUILD ?= build

STANDARD = -std=c11 -D_DEFAULT_SOURCE -Ilib -Icgi
WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wvla -Wstrict-prototypes -Wmissing-prototypes
# Of what is expanded only when used: the libraries need not be there for `make help` or `make deps`.
PACKAGES = libsodium json-c
LIBRARY_CFLAGS = $(shell $(PKG_CONFIG) --cflags $(PACKAGES))
LIBRARIES = $(shell $(PKG_CONFIG) --libs $(PACKAGES)) -lfcgi

LIB = $(patsubst lib/%.c,$(BUILD)/lib/%.o,$(wildcard lib/*.c))
CGI = $(patsubst cgi/%.c,$(BUILD)/cgi/%.o,$(wildcard cgi/*.c))

all: $(BUILD)/doorpost.cgi ## build build/doorpost.cgi

$(BUILD)/doorpost.cgi: $(CGI) $(LIB)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(STANDARD) $(WARNINGS) $(CFLAGS) $(CPPFLAGS) $(LIBRARY_CFLAGS) -MMD -MP -c -o $@ $<

# The tests link the objects of lib/ and, where they test it, of cgi/.
UNIT = $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))

$(UNIT): $(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/tests/unit/support.o $(LIB) $(BUILD)/cgi/connection.o
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBRARIES) -lcmocka

SANITIZE = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined -Werror

test-programs: $(BUILD)/doorpost.cgi $(UNIT)

sanitized:
	+@$(MAKE) --no-print-directory BUILD=build/check CFLAGS="$(SANITIZE)" LDFLAGS="-fsanitize=address,undefined" test-programs

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d)
.PHONY: all test-programs sanitized
