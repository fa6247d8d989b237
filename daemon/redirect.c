// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/redirect.h"

#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "daemon/cleanup.h"
#include "daemon/steering.h"
#include "daemon/uapi.h"
#include "xdpd.skel.h"
#include "xdpd_direct.skel.h"

#define VERIFIER_LOG_SIZE (64 * 1024)

/* The caller gets a sentence and the verifier's log; libbpf's own words on stderr would say it twice. */
static int discard_message(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

/* The program's forms: see bpf/xdpd.bpf.c. */
enum variant { DIRECT, FRAGS, LINEAR };

static struct bpf_object *open_variant(enum variant variant, char *log, size_t log_size)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "xdpd", .kernel_log_buf = log,
		    .kernel_log_size = log_size);
	size_t size;
	const void *elf =
		variant == DIRECT ? xdpd_direct_bpf__elf_bytes(&size) : xdpd_bpf__elf_bytes(&size);

	return bpf_object__open_mem(elf, size, &options);
}

static int resize(struct bpf_object *object, const char *map, uint32_t entries)
{
	return bpf_map__set_max_entries(bpf_object__find_map_by_name(object, map), entries);
}

static int load_variant(struct redirect *redirect, enum variant variant, char *log, size_t log_size)
{
	const char *name = variant == LINEAR ? "xdpd_redirect_linear" : "xdpd_redirect";
	struct bpf_object *object = open_variant(variant, log, log_size);
	struct bpf_program *program;
	int r;

	if (!object)
		return -errno;
	bpf_object__for_each_program(program, object) bpf_program__set_autoload(
		program, !strcmp(bpf_program__name(program), name) ||
				 !strcmp(bpf_program__name(program), "xdpd_trace"));
	r = resize(object, "sockets", redirect->queues);
	if (r == 0)
		r = resize(object, "queues", redirect->queues);
	if (r == 0)
		r = resize(object, "counters", redirect->queues * XDPD_VERDICT_COUNT);
	if (r == 0)
		r = bpf_object__load(object);
	if (r < 0) {
		bpf_object__close(object);
		return r;
	}
	redirect->object = object;
	redirect->program_fd = bpf_program__fd(bpf_object__find_program_by_name(object, name));
	redirect->sockets_fd = bpf_object__find_map_fd_by_name(object, "sockets");
	redirect->queues_fd = bpf_object__find_map_fd_by_name(object, "queues");
	redirect->counters_fd = bpf_object__find_map_fd_by_name(object, "counters");
	redirect->steering_fd = bpf_object__find_map_fd_by_name(object, "steering");
	redirect->rule_counters_fd = bpf_object__find_map_fd_by_name(object, "rule_counters");
	redirect->trace_fd = bpf_object__find_map_fd_by_name(object, "trace");
	redirect->trace_program_fd =
		bpf_program__fd(bpf_object__find_program_by_name(object, "xdpd_trace"));
	return 0;
}

/* The fastest that kernel and capabilities allow; of a refusal, the log is about the one that has to load. */
static int load(struct redirect *redirect, char *log, size_t log_size)
{
	if (!redirect->multi_buffer)
		return load_variant(redirect, LINEAR, log, log_size);
	if (load_variant(redirect, DIRECT, log, log_size) == 0)
		return 0;
	memset(log, 0, log_size);
	return load_variant(redirect, FRAGS, log, log_size);
}

/* The id is readable by all, the name only with CAP_SYS_ADMIN. */
static int fail_occupied(struct failure *why, const char *device, int ifindex)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);
	uint32_t id = 0;
	cleanup_fd int fd = -1;

	if (bpf_xdp_query_id(ifindex, 0, &id) < 0 || id == 0)
		return failure(why, EBUSY,
			       "%s: another XDP program is attached (EBUSY); detach it first",
			       device);
	fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length) < 0 || !info.name[0])
		return failure(why, EBUSY,
			       "%s: another XDP program is attached, id %u (EBUSY); see `bpftool "
			       "prog show id %u`, "
			       "detach it first",
			       device, id, id);
	return failure(why, EBUSY,
		       "%s: another XDP program is attached, `%s`, id %u (EBUSY); detach it first",
		       device, info.name, id);
}

static int fail_attach(struct failure *why, const char *device, int ifindex,
		       enum xdpd_xdp_mode mode, int code)
{
	const char *word = mode == XDPD_MODE_GENERIC ? "generic" : "native";

	switch (code) {
	case EBUSY:
	case EEXIST:
		return fail_occupied(why, device, ifindex);
	case EPERM:
		return failure(
			why, code,
			"%s: may not attach an XDP program (EPERM); xdpd needs CAP_NET_ADMIN and "
			"CAP_BPF",
			device);
	case EOPNOTSUPP:
		return failure(why, code, "%s: the driver has no %s XDP mode (%s); set `mode: %s`",
			       device, word, strerrorname_np(code),
			       mode == XDPD_MODE_GENERIC ? "native" : "auto` or `generic");
	case EINVAL:
	case ENOSPC:
	case ERANGE:
	case E2BIG:
		return failure(
			why, code,
			"%s: the driver refuses an XDP program in %s mode as the interface is "
			"configured (%s); see the kernel's log: often its MTU, LRO or number of "
			"queues; or set `mode: generic`",
			device, word, strerrorname_np(code));
	default:
		return failure(why, code, "%s: can't attach the XDP program in %s mode (%s)",
			       device, word, strerrorname_np(code));
	}
}

static int attach_link(struct redirect *redirect, int ifindex, enum xdpd_xdp_mode mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, options,
		    .flags = mode == XDPD_MODE_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
	int fd = bpf_link_create(redirect->program_fd, ifindex, BPF_XDP, &options);

	if (fd < 0)
		return fd;
	redirect->link_fd = fd;
	return 0;
}

/* These are about the interface or us; every other error is the driver's way to say that native mode can't be. */
static bool generic_would_fail_too(int result)
{
	return result == -EBUSY || result == -EEXIST || result == -EPERM || result == -ENODEV ||
	       result == -ENOMEM;
}

static int attach(struct redirect *redirect, const char *device, int ifindex,
		  enum xdpd_xdp_mode wanted, struct failure *why)
{
	enum xdpd_xdp_mode mode = wanted == XDPD_MODE_AUTO ? XDPD_MODE_NATIVE : wanted;
	int r = attach_link(redirect, ifindex, mode);

	if (r < 0 && wanted == XDPD_MODE_AUTO && !generic_would_fail_too(r)) {
		mode = XDPD_MODE_GENERIC;
		r = attach_link(redirect, ifindex, mode);
	}
	if (r < 0)
		return fail_attach(why, device, ifindex, mode, -r);
	redirect->mode = mode;
	redirect->ifindex = ifindex;
	return 0;
}

static uint32_t program_id(const struct redirect *redirect)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);

	if (bpf_obj_get_info_by_fd(redirect->program_fd, &info, &length) < 0)
		return 0;
	return info.id;
}

int redirect_attach(struct redirect **ret, const char *device, int ifindex, uint32_t queues,
		    enum xdpd_xdp_mode mode, bool multi_buffer, struct failure *why,
		    char **verifier_log)
{
	cleanup_free char *log = calloc(1, VERIFIER_LOG_SIZE);
	struct redirect *redirect = calloc(1, sizeof(*redirect));
	int r;

	if (!redirect || !log) {
		free(redirect);
		return failure(why, ENOMEM, "%s: no memory for the XDP program", device);
	}
	libbpf_set_print(discard_message);
	redirect->link_fd = -1;
	redirect->queues = queues ? queues : 1;
	redirect->cpus = libbpf_num_possible_cpus();
	redirect->multi_buffer = multi_buffer;
	r = load(redirect, log, VERIFIER_LOG_SIZE);
	if (r < 0) {
		if (log[0])
			*verifier_log = TAKE_PTR(log);
		failure(why, -r,
			r == -EPERM ? "%s: may not load the XDP program (%s); xdpd needs CAP_BPF "
				      "and CAP_NET_ADMIN"
				    : "%s: the kernel refuses the XDP program (%s); it needs Linux "
				      "5.18, and "
				      "the verifier's log is in xdpd's log",
			device, strerrorname_np(-r));
		redirect_detach(redirect);
		return r;
	}
	redirect->per_cpu = calloc((size_t)redirect->cpus, sizeof(*redirect->per_cpu));
	r = redirect->per_cpu
		    ? attach(redirect, device, ifindex, mode, why)
		    : failure(why, ENOMEM, "%s: no memory for the XDP program's counters", device);
	if (r < 0) {
		redirect_detach(redirect);
		return r;
	}
	redirect->program_id = program_id(redirect);
	*ret = redirect;
	return 0;
}

int redirect_update(struct redirect *redirect, uint32_t queue, const struct xdpd_bpf_queue *record)
{
	return bpf_map_update_elem(redirect->queues_fd, &queue, record, BPF_ANY) < 0 ? -errno : 0;
}

int redirect_set(struct redirect *redirect, uint32_t queue, int socket_fd,
		 const struct xdpd_bpf_queue *record)
{
	if (bpf_map_update_elem(redirect->sockets_fd, &queue, &socket_fd, BPF_ANY) < 0)
		return -errno;
	return redirect_update(redirect, queue, record);
}

void redirect_clear(struct redirect *redirect, uint32_t queue)
{
	(void)redirect_update(redirect, queue, &(struct xdpd_bpf_queue){});
	(void)bpf_map_delete_elem(redirect->sockets_fd, &queue);
}

static int sum_over_cpus(const struct redirect *redirect, int map_fd, uint32_t index,
			 struct xdpd_bpf_counter *ret)
{
	struct xdpd_bpf_counter sum = {};

	if (bpf_map_lookup_elem(map_fd, &index, redirect->per_cpu) < 0)
		return -errno;
	for (int cpu = 0; cpu < redirect->cpus; cpu++) {
		sum.packets += redirect->per_cpu[cpu].packets;
		sum.bytes += redirect->per_cpu[cpu].bytes;
	}
	*ret = sum;
	return 0;
}

int redirect_counters(const struct redirect *redirect, uint32_t queue,
		      struct xdpd_bpf_counters *ret)
{
	struct xdpd_bpf_counters counters;

	for (int i = 0; i < XDPD_VERDICT_COUNT; i++) {
		int r = sum_over_cpus(redirect, redirect->counters_fd,
				      xdpd_bpf_counter_index(queue, i), &counters.verdict[i]);

		if (r < 0)
			return r;
	}
	*ret = counters;
	return 0;
}

/* The rules as a map of their own, which lives on in the array of maps. */
static int map_of_rules(const struct xdpd_bpf_steering *steering)
{
	const uint32_t only = 0;
	cleanup_fd int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "xdpd_rules", sizeof(only),
					   sizeof(*steering), 1, NULL);

	if (fd < 0 || bpf_map_update_elem(fd, &only, steering, BPF_ANY) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* The kernel waits for the programs that run before it returns from either [maybe_wait_bpf_programs()]. */
static int replace_rules(const struct redirect *redirect, const struct xdpd_bpf_steering *steering)
{
	const uint32_t only = 0;
	cleanup_fd int fd = -1;

	if (steering_is_plain(steering)) {
		if (bpf_map_delete_elem(redirect->steering_fd, &only) < 0 && errno != ENOENT)
			return -errno;
		return 0;
	}
	fd = map_of_rules(steering);
	if (fd < 0)
		return fd;
	return bpf_map_update_elem(redirect->steering_fd, &only, &fd, BPF_ANY) < 0 ? -errno : 0;
}

static int clear_bank(const struct redirect *redirect, uint32_t bank)
{
	memset(redirect->per_cpu, 0, (size_t)redirect->cpus * sizeof(*redirect->per_cpu));
	for (uint32_t rule = 0; rule <= XDPD_RULES_MAX; rule++) {
		uint32_t index = xdpd_bpf_rule_index(bank, rule);

		if (bpf_map_update_elem(redirect->rule_counters_fd, &index, redirect->per_cpu,
					BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

int redirect_steer(struct redirect *redirect, const struct xdpd_bpf_steering *steering,
		   struct xdpd_bpf_counter before[XDPD_RULES_MAX + 1])
{
	cleanup_free struct xdpd_bpf_steering *banked = malloc(sizeof(*banked));
	uint32_t bank = redirect->bank ^ 1;
	int r;

	if (!banked)
		return -ENOMEM;
	*banked = *steering;
	banked->bank = bank;
	r = clear_bank(redirect, bank);
	if (r == 0)
		r = replace_rules(redirect, banked);
	if (r < 0)
		return r;
	for (uint32_t rule = 0; rule <= XDPD_RULES_MAX; rule++) {
		before[rule] = (struct xdpd_bpf_counter){};
		(void)redirect_rule_counter(redirect, rule, &before[rule]);
	}
	redirect->steered = !steering_is_plain(steering);
	redirect->bank = bank;
	return 0;
}

int redirect_rule_counter(const struct redirect *redirect, uint32_t rule,
			  struct xdpd_bpf_counter *ret)
{
	if (!redirect->steered) {
		*ret = (struct xdpd_bpf_counter){};
		return 0;
	}
	return sum_over_cpus(redirect, redirect->rule_counters_fd,
			     xdpd_bpf_rule_index(redirect->bank, rule), ret);
}

/* More than any headers that the program looks at, and less than what a test run has room for in one buffer. */
#define TRACE_BYTES 2048

int redirect_trace(const struct redirect *redirect, uint32_t queue, const void *frame,
		   uint32_t length, struct redirect_trace *ret)
{
	const uint32_t only = 0;
	struct xdpd_bpf_trace trace = {.queue = queue, .bytes = length};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame,
		    .data_size_in = length < TRACE_BYTES ? length : TRACE_BYTES, .repeat = 1);

	if (bpf_map_update_elem(redirect->trace_fd, &only, &trace, BPF_ANY) < 0 ||
	    bpf_prog_test_run_opts(redirect->trace_program_fd, &run) < 0 ||
	    bpf_map_lookup_elem(redirect->trace_fd, &only, &trace) < 0)
		return -errno;
	if (run.retval != XDP_PASS)
		return -EIO;
	*ret = (struct redirect_trace){
		.verdict = trace.verdict,
		.action = trace.action,
		.rule = trace.rule,
		.groups = trace.groups,
		.hash = trace.hash,
	};
	return 0;
}

struct redirect *redirect_detach(struct redirect *redirect)
{
	if (!redirect)
		return NULL;
	close_fd(redirect->link_fd);
	bpf_object__close(redirect->object);
	free(redirect->per_cpu);
	free(redirect);
	return NULL;
}
