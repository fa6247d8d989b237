// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/redirect.h"

#include <fcntl.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "daemon/cleanup.h"
#include "daemon/steering.h"
#include "daemon/uapi.h"
#include "xdpd.skel.h"
#include "xdpd_direct.skel.h"

#define VERIFIER_LOG_SIZE (64 * 1024)

/* That one system call reads: more would take more memory, of 16 bytes for each CPU, and save little. */
#define COUNTERS_AT_ONCE 64

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

const char *const redirect_part_names[REDIRECT_PARTS] = {
	[REDIRECT_LINK] = "link",	   [REDIRECT_PROGRAM] = "prog",
	[REDIRECT_SOCKETS] = "xsks",	   [REDIRECT_QUEUES] = "ques",
	[REDIRECT_COUNTERS] = "cnts",	   [REDIRECT_STEERING] = "rule",
	[REDIRECT_RULE_COUNTERS] = "rcnt", [REDIRECT_TRACE] = "trac",
	[REDIRECT_TRACE_PROGRAM] = "tprg",
};

static int *part_of(struct redirect *redirect, enum redirect_part part)
{
	int *const parts[REDIRECT_PARTS] = {
		[REDIRECT_LINK] = &redirect->link_fd,
		[REDIRECT_PROGRAM] = &redirect->program_fd,
		[REDIRECT_SOCKETS] = &redirect->sockets_fd,
		[REDIRECT_QUEUES] = &redirect->queues_fd,
		[REDIRECT_COUNTERS] = &redirect->counters_fd,
		[REDIRECT_STEERING] = &redirect->steering_fd,
		[REDIRECT_RULE_COUNTERS] = &redirect->rule_counters_fd,
		[REDIRECT_TRACE] = &redirect->trace_fd,
		[REDIRECT_TRACE_PROGRAM] = &redirect->trace_program_fd,
	};

	return parts[part];
}

int redirect_part(const struct redirect *redirect, enum redirect_part part)
{
	return *part_of((struct redirect *)redirect, part);
}

static struct redirect *redirect_new(void)
{
	struct redirect *redirect = calloc(1, sizeof(*redirect));

	if (!redirect)
		return NULL;
	for (int i = 0; i < REDIRECT_PARTS; i++)
		*part_of(redirect, i) = -1;
	redirect->cpus = libbpf_num_possible_cpus();
	redirect->per_cpu = redirect->cpus > 0 ? calloc((size_t)redirect->cpus * COUNTERS_AT_ONCE,
							sizeof(*redirect->per_cpu))
					       : NULL;
	if (!redirect->per_cpu) {
		free(redirect);
		return NULL;
	}
	return redirect;
}

static int make_seen(struct redirect *redirect)
{
	redirect->seen = calloc(redirect->queues, sizeof(*redirect->seen));
	return redirect->seen ? 0 : -ENOMEM;
}

static int duplicate(int fd, int *ret)
{
	*ret = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return *ret < 0 ? -errno : 0;
}

static int take_fds(struct redirect *redirect, struct bpf_object *object, const char *program)
{
	static const struct {
		enum redirect_part part;
		const char *map;
	} maps[] = {
		{REDIRECT_SOCKETS, "sockets"},	 {REDIRECT_QUEUES, "queues"},
		{REDIRECT_COUNTERS, "counters"}, {REDIRECT_STEERING, "steering"},
		{REDIRECT_TRACE, "trace"},	 {REDIRECT_RULE_COUNTERS, "rule_counters"},
	};
	int r = duplicate(bpf_program__fd(bpf_object__find_program_by_name(object, program)),
			  &redirect->program_fd);

	if (r == 0)
		r = duplicate(
			bpf_program__fd(bpf_object__find_program_by_name(object, "xdpd_trace")),
			&redirect->trace_program_fd);
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]) && r == 0; i++)
		r = duplicate(bpf_object__find_map_fd_by_name(object, maps[i].map),
			      part_of(redirect, maps[i].part));
	return r;
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
	r = take_fds(redirect, object, name);
	/* All that is needed of it are fds, so that what was loaded and what was left are the same thing. */
	bpf_object__close(object);
	return r;
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
static struct redirect_displaced name_program(uint32_t id)
{
	struct redirect_displaced program = {.program_id = id};
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);
	cleanup_fd int fd = bpf_prog_get_fd_by_id(id);

	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0)
		(void)snprintf(program.name, sizeof(program.name), "%s", info.name);
	return program;
}

static int fail_occupied(struct failure *why, const char *device, int ifindex)
{
	struct redirect_displaced other;
	uint32_t id = 0;

	if (bpf_xdp_query_id(ifindex, 0, &id) < 0 || id == 0)
		return failure(why, EBUSY,
			       "%s: another XDP program is attached (EBUSY); detach it first",
			       device);
	other = name_program(id);
	if (!other.name[0])
		return failure(why, EBUSY,
			       "%s: another XDP program is attached, id %u (EBUSY); see `bpftool "
			       "prog show id %u`, detach it first or set `replace: true`",
			       device, id, id);
	return failure(why, EBUSY,
		       "%s: another XDP program is attached, `%s`, id %u (EBUSY); detach it first "
		       "or set `replace: true`",
		       device, other.name, id);
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
	struct redirect *redirect = redirect_new();
	int r;

	if (!redirect || !log) {
		redirect_detach(redirect);
		return failure(why, ENOMEM, "%s: no memory for the XDP program", device);
	}
	libbpf_set_print(discard_message);
	redirect->queues = queues ? queues : 1;
	redirect->multi_buffer = multi_buffer;
	r = make_seen(redirect);
	if (r == 0)
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
	r = attach(redirect, device, ifindex, mode, why);
	if (r < 0) {
		redirect_detach(redirect);
		return r;
	}
	redirect->program_id = program_id(redirect);
	*ret = redirect;
	return 0;
}

/* ---- in the place of another program ---- */

static int link_info(int link_fd, struct bpf_link_info *ret)
{
	uint32_t length = sizeof(*ret);

	*ret = (struct bpf_link_info){};
	if (bpf_obj_get_info_by_fd(link_fd, ret, &length) < 0 || ret->type != BPF_LINK_TYPE_XDP)
		return -EBADMSG;
	return 0;
}

int redirect_reattach(struct redirect *redirect, const char *device, struct failure *why)
{
	struct bpf_link_info info;
	int before = redirect->link_fd;
	int r = link_info(before, &info);

	/* Somebody gave the link another program: this takes it back without a gap. */
	if (r == 0 && (int)info.xdp.ifindex == redirect->ifindex)
		r = bpf_link_update(before, redirect->program_fd, NULL);
	else
		r = attach_link(redirect, redirect->ifindex, redirect->mode);
	if (r < 0)
		return fail_attach(why, device, redirect->ifindex, redirect->mode, -r);
	if (redirect->link_fd != before)
		close_fd(before);
	return 0;
}

/*
 * An interface of another namespace can have the same index, and the same program: which link is whose can't be told
 * then. Returns the link's fd, or -errno: -EPERM, -ENOENT, -ENOTUNIQ.
 */
static int find_link(int ifindex, uint32_t program_id)
{
	cleanup_fd int found = -1;
	uint32_t id = 0;

	while (bpf_link_get_next_id(id, &id) == 0) {
		cleanup_fd int fd = bpf_link_get_fd_by_id(id);
		struct bpf_link_info info;

		if (fd < 0 && errno == EPERM)
			return -EPERM;
		if (fd < 0 || link_info(fd, &info) < 0 || (int)info.xdp.ifindex != ifindex ||
		    info.prog_id != program_id)
			continue;
		if (found >= 0)
			return -ENOTUNIQ;
		found = TAKE_FD(fd);
	}
	if (found < 0)
		return errno == EPERM ? -EPERM : -ENOENT;
	return TAKE_FD(found);
}

static int fail_displace(struct failure *why, const char *device,
			 const struct redirect_displaced *other, int code)
{
	const uint32_t id = other->program_id;

	switch (code) {
	case EPERM:
		return failure(why, EBUSY,
			       "%s: another XDP program is attached, id %u (EBUSY), by a bpf_link "
			       "of its owner, which xdpd may not detach without CAP_SYS_ADMIN; end "
			       "its owner, or see `bpftool link list` and `bpftool link detach`",
			       device, id);
	case ENOTUNIQ:
		return failure(
			why, EBUSY,
			"%s: another XDP program is attached, `%s`, id %u (EBUSY), by one of "
			"several links like it in other network namespaces; end its owner, "
			"or see `bpftool link list` and `bpftool link detach`",
			device, other->name, id);
	default:
		return failure(
			why, EBUSY,
			"%s: another XDP program is attached, `%s`, id %u (EBUSY), and can't "
			"be taken off (%s); end its owner",
			device, other->name, id, strerrorname_np(code));
	}
}

/* In one mode: XDP_FLAGS_DRV_MODE or XDP_FLAGS_SKB_MODE. Returns 0 or -errno. */
static int displace(int ifindex, uint32_t program_id, uint32_t mode)
{
	/* Of this program alone: meanwhile it may have become another. */
	cleanup_fd int program = bpf_prog_get_fd_by_id(program_id);
	cleanup_fd int link = -1;
	LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = program);
	int r = bpf_xdp_detach(ifindex, mode | (program >= 0 ? XDP_FLAGS_REPLACE : 0),
			       program >= 0 ? &options : NULL);

	/* A link's program goes by its link only. */
	if (r != -EBUSY)
		return r;
	link = find_link(ifindex, program_id);
	if (link < 0)
		return link;
	return bpf_link_detach(link) < 0 ? -errno : 0;
}

int redirect_displace(struct redirect_displaced *ret, const char *device, int ifindex,
		      struct failure *why)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, there);
	struct redirect_displaced other;
	uint32_t id;
	int r;

	libbpf_set_print(discard_message);
	if (bpf_xdp_query(ifindex, 0, &there) < 0)
		return fail_occupied(why, device, ifindex);
	/* Native and generic mode exclude each other; what a NIC runs itself is in nobody's way. */
	id = there.drv_prog_id ? there.drv_prog_id : there.skb_prog_id;
	other = name_program(id);
	if (id) {
		r = displace(ifindex, id,
			     there.drv_prog_id ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
		if (r < 0)
			return fail_displace(why, device, &other, -r);
	}
	*ret = other;
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

int redirect_record(const struct redirect *redirect, uint32_t queue, struct xdpd_bpf_queue *ret)
{
	struct xdpd_bpf_queue record;

	if (bpf_map_lookup_elem(redirect->queues_fd, &queue, &record) < 0)
		return -errno;
	*ret = record;
	return 0;
}

void redirect_clear(struct redirect *redirect, uint32_t queue)
{
	(void)redirect_update(redirect, queue, &(struct xdpd_bpf_queue){});
	(void)bpf_map_delete_elem(redirect->sockets_fd, &queue);
}

static struct xdpd_bpf_counter sum_of(const struct redirect *redirect,
				      const struct xdpd_bpf_counter *per_cpu)
{
	struct xdpd_bpf_counter sum = {};

	for (int cpu = 0; cpu < redirect->cpus; cpu++) {
		sum.packets += per_cpu[cpu].packets;
		sum.bytes += per_cpu[cpu].bytes;
	}
	return sum;
}

static int sum_over_cpus(const struct redirect *redirect, int map_fd, uint32_t index,
			 struct xdpd_bpf_counter *ret)
{
	if (bpf_map_lookup_elem(map_fd, &index, redirect->per_cpu) < 0)
		return -errno;
	*ret = sum_of(redirect, redirect->per_cpu);
	return 0;
}

int redirect_counter(const struct redirect *redirect, uint32_t queue, enum xdpd_verdict verdict,
		     struct xdpd_bpf_counter *ret)
{
	return sum_over_cpus(redirect, redirect->counters_fd,
			     xdpd_bpf_counter_index(queue, verdict), ret);
}

int redirect_counters(const struct redirect *redirect, uint32_t queue,
		      struct xdpd_bpf_counters *ret)
{
	struct xdpd_bpf_counters counters;

	for (int i = 0; i < XDPD_VERDICT_COUNT; i++) {
		int r = redirect_counter(redirect, queue, i, &counters.verdict[i]);

		if (r < 0)
			return r;
	}
	*ret = counters;
	return 0;
}

int redirect_read_counters(struct redirect *redirect)
{
	const uint32_t all = redirect->queues * XDPD_VERDICT_COUNT;
	/* In the map's order, which is that of their indices. */
	struct xdpd_bpf_counter *seen = &redirect->seen[0].verdict[0];
	uint32_t indices[COUNTERS_AT_ONCE], last, n;

	for (uint32_t first = 0; first < all; first += n) {
		n = COUNTERS_AT_ONCE;
		/* ENOENT: these were the last. */
		if (bpf_map_lookup_batch(redirect->counters_fd, first ? &last : NULL, &last,
					 indices, redirect->per_cpu, &n, NULL) < 0 &&
		    errno != ENOENT)
			return -errno;
		if (n == 0 || n > all - first)
			return -EBADMSG;
		for (uint32_t i = 0; i < n; i++)
			seen[first + i] =
				sum_of(redirect, redirect->per_cpu + (size_t)i * redirect->cpus);
	}
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

static void use_bank(struct xdpd_bpf_steering *steering, uint32_t bank)
{
	steering->otherwise.counter = xdpd_bpf_rule_index(bank, XDPD_RULES_MAX);
	for (size_t i = 0; i < XDPD_RULES_MAX; i++) {
		struct xdpd_bpf_rule *rule = &steering->rules[i];

		rule->counter = xdpd_bpf_rule_index(bank, rule->rule);
	}
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
	use_bank(banked, bank);
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

/* ---- left by another process ---- */

static int link_ifindex(int link_fd)
{
	struct bpf_link_info info;
	int r = link_info(link_fd, &info);

	return r < 0 ? r : (int)info.xdp.ifindex;
}

static bool is_map(int fd, enum bpf_map_type type, uint32_t value_size, uint32_t entries)
{
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && info.type == type &&
	       info.value_size == value_size && info.max_entries == entries;
}

/* The maps that frames are judged by, of the sizes of this version. */
static bool has_known_layout(const struct redirect *redirect)
{
	return is_map(redirect->sockets_fd, BPF_MAP_TYPE_XSKMAP, sizeof(uint32_t),
		      redirect->queues) &&
	       is_map(redirect->queues_fd, BPF_MAP_TYPE_ARRAY, sizeof(struct xdpd_bpf_queue),
		      redirect->queues) &&
	       is_map(redirect->counters_fd, BPF_MAP_TYPE_PERCPU_ARRAY,
		      sizeof(struct xdpd_bpf_counter), redirect->queues * XDPD_VERDICT_COUNT) &&
	       is_map(redirect->rule_counters_fd, BPF_MAP_TYPE_PERCPU_ARRAY,
		      sizeof(struct xdpd_bpf_counter), XDPD_RULE_COUNTERS) &&
	       is_map(redirect->trace_fd, BPF_MAP_TYPE_ARRAY, sizeof(struct xdpd_bpf_trace), 1) &&
	       is_map(redirect->steering_fd, BPF_MAP_TYPE_ARRAY_OF_MAPS, sizeof(uint32_t),
		      XDPD_STEERING_LAYOUT);
}

int redirect_adopt(struct redirect **ret, int fds[REDIRECT_PARTS],
		   const struct redirect_remains *remains)
{
	struct redirect *redirect = redirect_new();
	int r = redirect ? 0 : -ENOMEM;

	libbpf_set_print(discard_message);
	for (int i = 0; i < REDIRECT_PARTS; i++) {
		if (fds[i] < 0 && r == 0)
			r = -EBADMSG;
		if (redirect)
			*part_of(redirect, i) = fds[i];
		else
			close_fd(fds[i]);
	}
	if (r == 0) {
		redirect->ifindex = remains->ifindex;
		redirect->queues = remains->queues;
		redirect->mode = remains->mode;
		redirect->multi_buffer = remains->multi_buffer;
		redirect->steered = remains->steered;
		redirect->bank = remains->bank;
		redirect->program_id = program_id(redirect);
		r = link_ifindex(redirect->link_fd);
		if (r >= 0)
			r = r && r != remains->ifindex	 ? -ENODEV
			    : has_known_layout(redirect) ? make_seen(redirect)
							 : -EPROTONOSUPPORT;
	}
	if (r < 0) {
		redirect_leave(redirect);
		return r;
	}
	*ret = redirect;
	return 0;
}

bool redirect_is_attached(const struct redirect *redirect)
{
	struct bpf_link_info info;

	return link_info(redirect->link_fd, &info) == 0 &&
	       (int)info.xdp.ifindex == redirect->ifindex && info.prog_id == redirect->program_id;
}

struct redirect *redirect_leave(struct redirect *redirect)
{
	if (!redirect)
		return NULL;
	for (int i = 0; i < REDIRECT_PARTS; i++)
		close_fd(*part_of(redirect, i));
	free(redirect->per_cpu);
	free(redirect->seen);
	free(redirect);
	return NULL;
}

/* The program goes with the last holder of its link: with a store, when that has let go of it as well. */
struct redirect *redirect_detach(struct redirect *redirect)
{
	if (redirect && redirect->link_fd >= 0)
		(void)bpf_link_detach(redirect->link_fd);
	return redirect_leave(redirect);
}
