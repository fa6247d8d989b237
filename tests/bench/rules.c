// SPDX-License-Identifier: BSD-2-Clause
/*
 * rules [-u] DEVICE RULES...: nanoseconds that the XDP program takes for a frame of 64 bytes that none of so many rules
 * matches, by BPF_PROG_TEST_RUN: `RULES NS` a line. It is the program that takes frames of several buffers. -u: loaded
 * without CAP_PERFMON, as by the unit; then the verifier adds what keeps a CPU from guessing past a check.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config/config.h"
#include "daemon/cleanup.h"
#include "daemon/redirect.h"
#include "daemon/steering.h"
#include "daemon/umem.h"
#include "daemon/xsk.h"

#define REPEAT 200000
#define TRIES  5 /* the fastest counts: what else runs on the CPU only adds */

/* UDP from 192.0.2.1 port 9 to 198.51.100.2 port 7. */
static const unsigned char frame[64] = {
	2, 0, 0,  0,  0, 1, 2,	 0, 0, 0, 0,   2,  8,	0, 0x45, 0, 0, 50, 0, 0,
	0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2, 0,	 9, 0, 7,  0, 30,
};

static void die(const char *what, int r)
{
	fprintf(stderr, "rules: %s: %s\n", what, strerror(-r));
	exit(1);
}

static void keep_as_the_unit(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const uint64_t kept = 1ull << CAP_BPF | 1ull << CAP_NET_ADMIN | 1ull << CAP_NET_RAW;
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)kept, .permitted = (uint32_t)kept},
		{.effective = (uint32_t)(kept >> 32), .permitted = (uint32_t)(kept >> 32)},
	};

	if (syscall(SYS_capset, &header, data) < 0)
		die("can't give up capabilities", -errno);
}

/* Each rule's prefix and ports are its own, and it is the prefix, looked at last, that the frame does not match. */
static struct config *make_config(const char *device, unsigned rules)
{
	struct config_errors errors = {};
	struct config *config;
	char *text;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	fprintf(out, "interfaces:\n  - name: %s\n    queues: [{ id: 0 }]\n", device);
	if (rules)
		fprintf(out, "    steer:\n");
	for (unsigned i = 0; i < rules; i++)
		fprintf(out,
			"      - { match: { ethertype: ipv4, proto: udp, src: 192.%u.0.0/16,"
			" dport: [7, %u] }, action: drop }\n",
			1 + i % 4, 1000 + i);
	fclose(out);
	if (config_parse("rules", text, length, &config, &errors) < 0)
		die(errors.n_lines ? errors.lines[0] : "config", -EINVAL);
	free(text);
	return config;
}

static void steer(struct redirect *redirect, const char *device, unsigned rules)
{
	static struct xdpd_bpf_counter before[XDPD_RULES_MAX + 1];
	static struct xdpd_bpf_steering compiled;
	const uint8_t slots[CONFIG_GROUPS_MAX] = {};
	struct config *config = make_config(device, rules);
	struct failure why;
	int r = steering_compile(&config->interfaces[0], slots, &compiled, &why);

	if (r == 0)
		r = redirect_steer(redirect, &compiled, before);
	if (r < 0)
		die("the rules are refused", r);
	config_free(config);
}

static uint32_t run(const struct redirect *redirect)
{
	struct xdp_md where = {.data_end = sizeof(frame),
			       .ingress_ifindex = (uint32_t)redirect->ifindex};
	uint32_t fastest = UINT32_MAX;

	for (int i = 0; i < TRIES; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame),
			    .ctx_in = &where, .ctx_size_in = sizeof(where), .repeat = REPEAT);
		int r = bpf_prog_test_run_opts(redirect->program_fd, &run);

		if (r < 0)
			die("the kernel does not run the program", r);
		if (run.retval != XDP_REDIRECT)
			die("the frame is not redirected", -EBADMSG);
		if (run.duration < fastest)
			fastest = run.duration;
	}
	return fastest;
}

int main(int argc, char **argv)
{
	const struct ring_sizes sizes = {.rx = 64, .tx = 64, .fill = 64, .completion = 64};
	struct xdpd_bpf_queue record = {.groups = UINT32_MAX};
	struct redirect *redirect;
	struct umem umem = UMEM_NONE;
	struct xsk xsk = XSK_NONE;
	struct failure why;
	char *log = NULL;
	int ifindex, r;

	if (argc > 1 && !strcmp(argv[1], "-u")) {
		keep_as_the_unit();
		argc--;
		argv++;
	}
	if (argc < 3)
		return 2;
	ifindex = (int)if_nametoindex(argv[1]);
	r = redirect_attach(&redirect, argv[1], ifindex, 1, XDPD_MODE_NATIVE, true, &why, &log);
	if (r < 0)
		die(why.text, r);
	r = umem_create(&umem, 64, 2048, 0, false);
	if (r == 0)
		r = xsk_open(&xsk, &umem, &sizes, false);
	if (r == 0)
		r = xsk_bind(&xsk, ifindex, 0, XDPD_BIND_COPY, true);
	record.capacity = umem_capacity(&umem);
	if (r == 0)
		r = redirect_set(redirect, 0, xsk.fd, &record);
	if (r < 0)
		die("no socket", r);
	for (int i = 2; i < argc; i++) {
		unsigned rules = (unsigned)strtoul(argv[i], NULL, 10);

		steer(redirect, argv[1], rules);
		printf("%u %u\n", rules, run(redirect));
	}
	redirect_detach(redirect);
	return 0;
}
