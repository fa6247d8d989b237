# SPDX-License-Identifier: BSD-2-Clause
#
# xdpd: targets for people are listed by `make help`. Everything built lies under $(BUILD).

VERSION := 0.1.0

BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
# address,undefined or thread: a build with sanitizers, best with a BUILD of its own (see check-asan, check-tsan)
SANITIZE ?=

CC      ?= cc
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config

ifeq ($(origin CC),default)
CC := gcc
endif

MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)

ifeq ($(SANITIZE),)
OPTIMIZE  := -O2 -D_FORTIFY_SOURCE=2
HARDEN_LD := -Wl,-z,relro,-z,now -Wl,--as-needed
else
OPTIMIZE  := -O1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
HARDEN_LD := -fsanitize=$(SANITIZE)
# The fence of xdpd_ring_needs_wakeup() orders atomics, which TSan sees without it.
ifeq ($(SANITIZE),thread)
OPTIMIZE  += $(if $(findstring clang,$(CC)),,-Wno-tsan)
endif
endif

CFLAGS  ?= -g
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith
HARDEN  := -fstack-protector-strong -fcf-protection -fPIC -fvisibility=hidden
ifneq ($(filter x86_64-%,$(MULTIARCH)),x86_64-linux-gnu)
HARDEN  := $(filter-out -fcf-protection,$(HARDEN))
endif
ALL_CFLAGS := -std=gnu17 -D_GNU_SOURCE -DXDPD_RELEASE='"$(VERSION)"' -I. -I$(BUILD)/bpf -Iclient \
	      $(OPTIMIZE) $(WARN) $(HARDEN) $(CFLAGS)
ALL_LDFLAGS := $(HARDEN_LD) $(LDFLAGS)

DAEMON_LIBS := libbpf libsystemd libmicrohttpd libmnl
CONFIG_LIBS := yaml-0.1
CTL_LIBS    := jansson
libs = $(shell $(PKG_CONFIG) --libs $(1))

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

CONFIG_OBJ := $(call objects,$(wildcard config/*.c))
DAEMON_OBJ := $(call objects,$(filter-out daemon/main.c,$(wildcard daemon/*.c)))
CTL_OBJ    := $(call objects,$(wildcard ctl/*.c))
SUPERVISE_OBJ := $(call objects,$(wildcard daemon/supervise/*.c))
CLIENT_OBJ := $(call objects,$(wildcard client/*.c))
EXAMPLES   := $(patsubst client/examples/%.c,$(BUILD)/examples/%,$(wildcard client/examples/*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*_test.c))
LIVE_TESTS := $(patsubst tests/live/%.c,$(BUILD)/tests/live/%,$(wildcard tests/live/*_test.c))
LIVE_OBJ   := $(call objects,$(filter-out $(wildcard tests/live/*_test.c),$(wildcard tests/live/*.c)))
KERNEL_TESTS := $(patsubst tests/kernels/%.c,$(BUILD)/tests/kernels/%,$(wildcard tests/kernels/*_test.c))
BENCHES    := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
FUZZERS    := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/*.c))

SKELETONS := $(BUILD)/bpf/xdpd.skel.h $(BUILD)/bpf/xdpd_direct.skel.h
LIBXDPD  := $(BUILD)/libxdpd.so $(BUILD)/libxdpd.a $(BUILD)/libxdpd.so.0

.PHONY: all
all: $(BUILD)/xdpd $(BUILD)/xdpctl $(BUILD)/xdpd-supervise $(LIBXDPD) $(EXAMPLES)

# ---- the BPF side ----

BPF_HEADERS = $(wildcard bpf/*.h)
BPF_COMPILE = $(CLANG) -target bpf -mcpu=v3 -g -O2 -Wall -Wextra -I. -I/usr/include/$(MULTIARCH)

$(BUILD)/bpf/xdpd.bpf.o: bpf/xdpd.bpf.c $(BPF_HEADERS) | $(BUILD)/bpf/
	$(BPF_COMPILE) -c $< -o $@

$(BUILD)/bpf/xdpd_direct.bpf.o: bpf/xdpd.bpf.c $(BPF_HEADERS) | $(BUILD)/bpf/
	$(BPF_COMPILE) -DXDPD_DIRECT -c $< -o $@

$(BUILD)/bpf/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@.new
	mv $@.new $@

# ---- objects ----

$(BUILD)/obj/%.o: %.c | $(SKELETONS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -MMD -MP -c $< -o $@

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

$(BUILD)/libconfig.a: $(CONFIG_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/libdaemon.a: $(DAEMON_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/liblive.a: $(LIVE_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

# ---- what is installed ----

$(BUILD)/xdpd: $(call objects,daemon/main.c) $(BUILD)/libdaemon.a $(BUILD)/libconfig.a
	$(CC) -pie $(ALL_LDFLAGS) $^ -o $@ $(call libs,$(DAEMON_LIBS) $(CONFIG_LIBS))

$(BUILD)/xdpctl: $(CTL_OBJ) $(BUILD)/libconfig.a
	$(CC) -pie $(ALL_LDFLAGS) $^ -o $@ $(call libs,$(CTL_LIBS) $(CONFIG_LIBS))

$(BUILD)/xdpd-supervise: $(SUPERVISE_OBJ)
	$(CC) -pie $(ALL_LDFLAGS) $^ -o $@

$(BUILD)/libxdpd.a: $(CLIENT_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/libxdpd.so.0: $(CLIENT_OBJ) client/libxdpd.map
	$(CC) -shared $(ALL_LDFLAGS) -Wl,-soname,libxdpd.so.0 -Wl,--version-script=client/libxdpd.map \
		$(CLIENT_OBJ) -o $@

$(BUILD)/libxdpd.so: $(BUILD)/libxdpd.so.0
	ln -sf libxdpd.so.0 $@

$(BUILD)/examples/%: $(BUILD)/obj/client/examples/%.o $(BUILD)/libxdpd.a | $(BUILD)/examples/
	$(CC) -pie $(ALL_LDFLAGS) $^ -o $@

# ---- tests, benchmarks, fuzzers ----

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libdaemon.a $(BUILD)/libconfig.a $(BUILD)/libxdpd.a \
		| $(BUILD)/tests/unit/
	$(CC) $(ALL_LDFLAGS) $^ -o $@ $(call libs,cmocka $(DAEMON_LIBS) $(CONFIG_LIBS) $(CTL_LIBS))

$(BUILD)/tests/live/%: $(BUILD)/obj/tests/live/%.o $(BUILD)/liblive.a $(BUILD)/libdaemon.a $(BUILD)/libconfig.a \
		$(BUILD)/libxdpd.a | $(BUILD)/tests/live/
	$(CC) $(ALL_LDFLAGS) $^ -o $@ $(call libs,cmocka $(DAEMON_LIBS) $(CONFIG_LIBS) $(CTL_LIBS)) -lpthread

$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(BUILD)/liblive.a $(BUILD)/libdaemon.a $(BUILD)/libconfig.a \
		$(BUILD)/libxdpd.a | $(BUILD)/bench/
	$(CC) $(ALL_LDFLAGS) $^ -o $@ $(call libs,cmocka $(DAEMON_LIBS) $(CONFIG_LIBS)) -lpthread

$(BUILD)/tests/kernels/%: $(BUILD)/obj/tests/kernels/%.o $(BUILD)/liblive.a $(BUILD)/libdaemon.a \
		$(BUILD)/libconfig.a $(BUILD)/libxdpd.a | $(BUILD)/tests/kernels/
	$(CC) $(ALL_LDFLAGS) $^ -o $@ $(call libs,cmocka $(DAEMON_LIBS) $(CONFIG_LIBS) $(CTL_LIBS)) -lpthread

# Fuzzers bring coverage instrumentation into all that they call, so they are built from the sources at once, which each
# names here.
$(BUILD)/fuzz/config_fuzz: $(wildcard config/*.c)
$(BUILD)/fuzz/state_fuzz: daemon/state.c daemon/state_encode.c daemon/state_decode.c daemon/state_check.c daemon/crc64.c

$(BUILD)/fuzz/%: tests/fuzz/%.c $(wildcard bpf/*.h client/*.h config/*.h daemon/*.h) | $(BUILD)/fuzz/
	$(CLANG) -std=gnu17 -D_GNU_SOURCE -g -O1 -I. -fsanitize=fuzzer,address,undefined $(filter %.c,$^) -o $@ \
		$(call libs,$(CONFIG_LIBS))

.PHONY: tests bench-tools fuzzers
tests: all $(UNIT_TESTS) $(LIVE_TESTS) $(BENCHES)
bench-tools: $(BENCHES)
fuzzers: $(FUZZERS)

.SECONDARY:

%/:
	@mkdir -p $@

# ---- install ----

UNIT_DIR := $(DESTDIR)$(PREFIX)/lib/systemd/system

.PHONY: install
install: all
	install -D -t $(DESTDIR)$(PREFIX)/sbin $(BUILD)/xdpd $(BUILD)/xdpd-supervise
	install -D -t $(DESTDIR)$(PREFIX)/bin $(BUILD)/xdpctl $(EXAMPLES)
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 ctl/xdpctl.8
	install -D -m 644 ctl/xdpctl.bash-completion \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/xdpctl
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include client/xdpd.h client/xdpd_ring.h client/xdpd_protocol.h
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib $(BUILD)/libxdpd.a
	install -D -t $(DESTDIR)$(PREFIX)/lib $(BUILD)/libxdpd.so.0
	ln -sf libxdpd.so.0 $(DESTDIR)$(PREFIX)/lib/libxdpd.so
	install -D -m 644 client/xdpd.pc.in $(DESTDIR)$(PREFIX)/lib/pkgconfig/xdpd.pc
	sed -i -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' $(DESTDIR)$(PREFIX)/lib/pkgconfig/xdpd.pc
	install -D -m 644 -t $(UNIT_DIR) systemd/xdpd.service
	sed -i 's|@PREFIX@|$(PREFIX)|' $(UNIT_DIR)/xdpd.service
	install -m 644 -t $(UNIT_DIR) systemd/xdpd.socket
	install -D -m 644 systemd/xdpd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/xdpd.conf
	install -D -m 644 systemd/xdpd.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/xdpd.conf
	test -e $(DESTDIR)/etc/xdpd/xdpd.yaml || install -D -m 644 config/xdpd.yaml $(DESTDIR)/etc/xdpd/xdpd.yaml
	test -n "$(DESTDIR)" || ldconfig

# ---- what people run ----

BUILD_PACKAGES := gcc make clang pkg-config bpftool libbpf-dev libyaml-dev libsystemd-dev libmicrohttpd-dev \
		  libmnl-dev libjansson-dev libcmocka-dev
DEMO_PACKAGES  := iproute2 curl util-linux procps
CHECK_PACKAGES := $(DEMO_PACKAGES) valgrind mmdebstrap systemd-container spin

KERNEL_PACKAGES := qemu-system-x86 busybox-static cpio kmod xz-utils zstd

# Only what is missing is installed, so that a machine that has all of it needs neither network nor root.
define install_missing
@missing=$$(for package in $(1); do dpkg-query -W -f '$${db:Status-Status}\n' $$package 2>/dev/null \
		| grep -qx installed || echo $$package; done); \
 if [ -n "$$missing" ]; then \
	echo "installing:" $$missing; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing \
		>$(BUILD)/apt.log 2>&1 || { tail -n 20 $(BUILD)/apt.log; exit 1; }; \
 fi
endef

.PHONY: deps deps-demo deps-check deps-kernels demo check check-asan check-tsan check-kernels clean help
deps: | $(BUILD)/
	$(call install_missing,$(BUILD_PACKAGES))

deps-demo: | $(BUILD)/
	$(call install_missing,$(BUILD_PACKAGES) $(DEMO_PACKAGES))

deps-kernels: | $(BUILD)/
	$(call install_missing,$(BUILD_PACKAGES) $(KERNEL_PACKAGES))

deps-check: | $(BUILD)/
	$(call install_missing,$(BUILD_PACKAGES) $(CHECK_PACKAGES))
	@PATH=build/tools:$$PATH command -v promtool >/dev/null || $(MAKE) --no-print-directory build/tools/promtool \
		|| echo 'promtool can not be had: its tests are skipped'

# Out of its package, as installing that would start a Prometheus.
build/tools/promtool: | build/tools/
	@cd build/tools && apt-get download -qq prometheus >/dev/null 2>&1 && dpkg-deb --fsys-tarfile prometheus_*.deb \
		| tar -xf - --strip-components=3 ./usr/bin/promtool && rm -f prometheus_*.deb

# The prerequisites are made by a second make, whose variables see what has just been installed.
demo: deps-demo
	@$(MAKE) --no-print-directory -j$$(nproc) all $(BUILD)/bench/traffic
	@BUILD=$(BUILD) tests/demo

check: deps-check
	@$(MAKE) --no-print-directory -j$$(nproc) tests
	@BUILD=$(BUILD) tests/run

# The same tests with AddressSanitizer and UndefinedBehaviorSanitizer, or with ThreadSanitizer.
check-asan: deps-check
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=$(BUILD)/asan SANITIZE=address,undefined tests
	@BUILD=$(BUILD)/asan SANITIZE=address,undefined tests/run

check-tsan: deps-check
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=$(BUILD)/tsan SANITIZE=thread tests
	@BUILD=$(BUILD)/tsan SANITIZE=thread tests/run

# On other kernels, emulated: the hand-over before the bind (6.1), and zero-copy (7.2).
check-kernels: deps-kernels
	@$(MAKE) --no-print-directory -j$$(nproc) all $(LIVE_TESTS) $(KERNEL_TESTS)
	@BUILD=$(BUILD) tests/kernels/run

clean:
	rm -rf $(BUILD)

help:
	@echo 'make               build everything under $(BUILD)/'
	@echo 'sudo make demo     install what is missing, build, and show frames arriving on a veth pair'
	@echo 'sudo make check    install what is missing, build, and run all tests'
	@echo 'make install       to $$(DESTDIR)$$(PREFIX), with the systemd units'
	@echo 'make deps          only install the packages that a build needs'
	@echo 'make check-asan    all tests with AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make check-tsan    all tests with ThreadSanitizer'
	@echo 'make check-kernels the live tests on Linux 6.1, 6.12 and 7.2 under qemu (fetches the kernels)'
	@echo 'make fuzzers       libFuzzer programs under $(BUILD)/fuzz/'
	@echo 'make bench         compare exclusive delivery with libxdp and DPDK (installs them)'
	@echo 'make bench-handoff compare the hand-off of shared delivery with memif of DPDK'
	@echo 'make bench-veth    compare shared delivery with libxdp and AF_PACKET'
	@echo 'make bench-latency latency from the generator to the consumer, by load and from idle'
	@echo 'make bench-control how long connecting, restarting and xdpctl take'
	@echo 'make clean         remove $(BUILD)/'

include tests/bench/bench.mk
