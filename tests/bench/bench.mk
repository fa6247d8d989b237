# SPDX-License-Identifier: BSD-2-Clause
#
# `make bench` and its like: what they compare with is needed for nothing else, so it is built and installed only here.

BENCH_PACKAGES := iproute2 ethtool util-linux libxdp-dev dpdk-dev valgrind gnuplot-nox mmdebstrap systemd-container
BENCH_PEERS    := $(patsubst tests/bench/peers/%.c,$(BUILD)/bench/peers/%,$(wildcard tests/bench/peers/*.c))

# DPDK's ring is inlined, so its user is compiled as DPDK says.
$(BUILD)/obj/tests/bench/peers/rte-ring.o: CPPFLAGS += $(shell $(PKG_CONFIG) --cflags libdpdk 2>/dev/null)
$(BUILD)/bench/peers/rte-ring: $(BUILD)/obj/tests/bench/peers/rte-ring.o | $(BUILD)/bench/peers/
	$(CC) -pie $(ALL_LDFLAGS) $^ -o $@ -lrte_ring -lrte_eal

$(BUILD)/bench/peers/%: $(BUILD)/obj/tests/bench/peers/%.o $(BUILD)/libxdpd.a | $(BUILD)/bench/peers/
	$(CC) -pie $(ALL_LDFLAGS) $^ -o $@ -lxdp -lbpf

$(BUILD)/bench/allocations.so: $(BUILD)/obj/tests/bench/preload/allocations.o | $(BUILD)/bench/
	$(CC) -shared $(ALL_LDFLAGS) $^ -o $@

BENCH_PARTS    := veth handoff latency control scale

.PHONY: bench deps-bench $(addprefix bench-,$(BENCH_PARTS))
deps-bench: | $(BUILD)/
	$(call install_missing,$(BUILD_PACKAGES) $(BENCH_PACKAGES))

# All parts, or one of them.
bench $(addprefix bench-,$(BENCH_PARTS)): deps-bench
	@$(MAKE) --no-print-directory -j$$(nproc) all $(BENCHES) $(BENCH_PEERS) $(BUILD)/bench/allocations.so
	@BUILD=$(BUILD) tests/bench/run $(patsubst bench%,%,$(patsubst bench-%,%,$@))
