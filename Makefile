# telegen: make, make test, make bench, make install, make image. V=1 shows the commands.
# What each library is for: third_party/README.md.
OUT ?= build
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= bpftool
PREFIX ?= /usr/local
ARCH := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1)

ifeq ($(V),1)
Q :=
msg :=
else
Q := @
msg = @printf '  %-8s %s\n' "$(1)" "$(2)";
endif

# The libraries' allocations are accounted too (modules/base/mem.c).
WRAP := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free
CFLAGS ?= -O2 -g
CSTD := -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Wno-missing-field-initializers \
	-Werror -ffunction-sections -fdata-sections -fno-omit-frame-pointer -Ibpf -I$(OUT) -Imodules
LIBS := -l:libbpf.a -l:libelf.a -l:libev.a -l:libyaml.a -l:libhttp_parser.a -l:libprotobuf-nanopb.a \
	-l:libiberty.a -l:libcares.a -l:libnghttp2.a \
	-l:libmbedtls.a -l:libmbedx509.a -l:libmbedcrypto.a -l:liblzma.a -l:libz.a -lm
# c-ares has calls that warn where they are linked statically; they are never made (third_party/README.md).
QUIET := $(shell ld --help 2>/dev/null | grep -q -- --no-warnings && echo -Wl,--no-warnings)
LDFLAGS ?= -static -Wl,--gc-sections $(QUIET)

SOURCES := $(wildcard modules/*/*.c)
OBJECTS := $(SOURCES:%.c=$(OUT)/%.o)
BPF_SOURCES := $(wildcard bpf/*.bpf.c)
SKELETON := $(OUT)/telegen.skel.h
UNIT := $(patsubst test/unit/%.c,$(OUT)/test/unit/%,$(wildcard test/unit/*.c))
FUZZ := $(patsubst test/fuzz/%.c,$(OUT)/test/fuzz/%,$(wildcard test/fuzz/*.c))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all test bench install image clean check layers unit fuzz man FORCE
all: telegen

# Its own functions, not those of the libraries, keep their names for profiles of the node: 60 kB.
telegen: $(OUT)/agent.o $(OUT)/libtelegen.a
	$(call msg,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(WRAP) -o $@.tmp $^ $(LIBS)
	$(Q)objcopy --only-keep-debug $@.tmp $(OUT)/telegen.debug
	$(Q)nm -f posix --defined-only $^ | awk '$$2 ~ /^[TtWw]$$/ { print $$1 }' > $(OUT)/functions
	$(Q)objcopy -S --keep-symbols=$(OUT)/functions $@.tmp $@ && rm $@.tmp

$(OUT)/libtelegen.a: $(OBJECTS)
	$(call msg,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(OUT)/%.o: %.c $(OUT)/flags
	$(call msg,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CSTD) $(CFLAGS) -MMD -MP -c -o $@ $<
# Only one file knows the version, so that a commit does not build everything again.
$(OUT)/modules/command/about.o: CSTD += -DTELEGEN_VERSION='"$(VERSION)"'
$(OUT)/modules/command/about.o: $(OUT)/version
$(OUT)/version: FORCE
	@mkdir -p $(OUT); echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@

# Built again when the flags change.
$(OUT)/flags: FORCE
	@mkdir -p $(OUT); echo '$(CC) $(CSTD) $(CFLAGS) $(LDFLAGS)' | cmp -s - $@ || \
		echo '$(CC) $(CSTD) $(CFLAGS) $(LDFLAGS)' > $@
FORCE:

# BPF: each .bpf.c by itself, linked into one object, made a skeleton.
$(OUT)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	$(call msg,BPF,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -O2 -g -Wall -Werror -Ibpf \
		-I/usr/include/$(shell uname -m)-linux-gnu -c -o $@ $<
$(OUT)/telegen.bpf.o: $(BPF_SOURCES:%.bpf.c=$(OUT)/%.bpf.o)
	$(call msg,GENOBJ,$@)
	$(Q)$(BPFTOOL) gen object $@ $^
$(SKELETON): $(OUT)/telegen.bpf.o
	$(call msg,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name telegen_bpf > $@
$(patsubst %.c,$(OUT)/%.o,$(wildcard modules/kernel/*.c)): $(SKELETON)

# Tests. A unit test includes the .c it tests; the rest comes from the archive.
TEST_LIBS := $(OUT)/libtelegen.a $(LIBS) -lcmocka
$(OUT)/test/unit/%: test/unit/%.c $(OUT)/libtelegen.a
	$(call msg,UNIT,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CSTD) $(CFLAGS) $(WRAP) -Itest -MMD -MP -o $@ $< $(TEST_LIBS)
unit: $(UNIT)

# Fuzzers: every source again with clang's sanitizers; a target includes the .c it drives.
FUZZ_FLAGS := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined
$(OUT)/fuzz/%.o: %.c $(SKELETON)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(filter-out -Werror,$(CSTD)) -Wno-everything $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link \
		-DTELEGEN_VERSION='"fuzz"' -MMD -MP -c -o $@ $<
$(OUT)/fuzz/libtelegen.a: $(SOURCES:%.c=$(OUT)/fuzz/%.o)
	$(Q)rm -f $@ && ar rcs $@ $^
$(OUT)/test/fuzz/%: test/fuzz/%.c $(OUT)/fuzz/libtelegen.a
	$(call msg,FUZZ,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) $(filter-out -Werror,$(CSTD)) $(FUZZ_FLAGS) -fsanitize=fuzzer $(WRAP) -Itest \
		-o $@ $< $(OUT)/fuzz/libtelegen.a $(LIBS)
fuzz: $(FUZZ)

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)

test: all
	test/run
check: layers
layers:
	test/layers
clean:
	rm -rf $(OUT) telegen

# The assembler takes the page in, unseen by -MMD.
$(OUT)/modules/export/page.o $(OUT)/fuzz/modules/export/page.o: modules/export/page/flame.html

bench: all
	test/bench/run -w
# Pages: telegen(8) is written by hand, telegen.yaml(5) comes from the table of options.
man: $(OUT)/telegen.yaml.5
$(OUT)/telegen.yaml.5: telegen
	$(Q)./telegen config --man > $@
install: all man
	install -Dm755 telegen $(DESTDIR)$(PREFIX)/bin/telegen
	install -Dm644 deploy/telegen.8 $(DESTDIR)$(PREFIX)/share/man/man8/telegen.8
	install -Dm644 $(OUT)/telegen.yaml.5 $(DESTDIR)$(PREFIX)/share/man/man5/telegen.yaml.5
	install -Dm644 deploy/telegen.slice $(DESTDIR)$(PREFIX)/lib/systemd/system/telegen.slice
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,/usr/local,$(PREFIX),' deploy/telegen.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/telegen.service
# FROM scratch: the binary and nothing else. Fails above 5 MB.
image: all
	rm -rf $(OUT)/image && mkdir -p $(OUT)/image && cp telegen deploy/Dockerfile $(OUT)/image
	DOCKER_BUILDKIT=0 docker build -q -t telegen:$(VERSION) -t telegen:latest $(OUT)/image
	@size=$$(docker image inspect -f '{{.Size}}' telegen:$(VERSION)); echo "telegen:$(VERSION): $$size bytes"; \
		[ $$size -le 5242880 ] || { echo "image: over 5 MB"; exit 1; }
