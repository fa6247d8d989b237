# SPDX-License-Identifier: BSD-2-Clause
#
# `make bench` and its like: what they compare with is needed for nothing else, so it is built and installed only here.

BENCH_PACKAGES := iproute2 ethtool util-linux libxdp-dev dpdk-dev valgrind
BENCH_PEERS    := $(patsubst tests/bench/peers/%.c,$(BUILD)/bench/peers/%,$(wildcard tests/bench/peers/*.c))

$(BUILD)/bench/peers/%: $(BUILD)/obj/tests/bench/peers/%.o $(BUILD)/libxdpd.a | $(BUILD)/bench/peers/
	$(CC) -pie $(ALL_LDFLAGS) $^ -o $@ -lxdp -lbpf

.PHONY: bench bench-handoff bench-veth deps-bench
deps-bench: | $(BUILD)/
	$(call install_missing,$(BUILD_PACKAGES) $(BENCH_PACKAGES))

# Exclusive delivery; the hand-off of shared delivery alone; shared delivery on a veth.
bench bench-handoff bench-veth: deps-bench
	@$(MAKE) --no-print-directory -j$$(nproc) all $(BENCHES) $(BENCH_PEERS)
	@BUILD=$(BUILD) tests/bench/$(if $(filter bench,$@),run,$(patsubst bench-%,%-run,$@))
