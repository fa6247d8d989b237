/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/parse.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/access_read.h"
#include "config/group.h"
#include "config/listen.h"
#include "config/steer.h"
#include "config/walk.h"
#include "config/worker_read.h"
#include "daemon/cleanup.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* The kernel takes any power of two below 2^32 and then fails to allocate the ring; no NIC's is near this. */
#define RING_MAX (1024 * 1024)

/* XDP_PACKET_HEADROOM: the kernel wants it beside `headroom` and a byte of packet [xdp_umem_reg()]. */
#define KERNEL_HEADROOM 256

/* Members, the kernel and what is kept for it have to have some each. */
#define SHARED_FRAMES_MIN 64

#define QUEUES_MAX 65536 /* of all interfaces */

/* Where the ids of an interface are listed. */
struct id_places {
	struct place all;
	struct place any; /* of the first one */
	struct place of[CONFIG_QUEUE_MAX];
};

struct parse {
	struct walk walk;
	enum names names;
	struct config *config;
	struct attach_access attach;
	struct queue_totals totals;
	bool too_many_queues;
};

static void report_memory(struct parse *parse)
{
	parse->walk.report->out_of_memory = true;
}

/* ---- access ---- */

static void read_admin(struct parse *parse, const yaml_node_t *node)
{
	static const char *const keys[] = {"users", "groups"};
	struct field fields[COUNT(keys)];

	if (node && walk_mapping(&parse->walk, "`admin`", node, keys, COUNT(keys), fields))
		access_read_list(&parse->walk, parse->names, &fields[0], &fields[1],
				 &parse->config->admin);
}

static void read_access(struct parse *parse, const yaml_node_t *node)
{
	static const char *const keys[] = {"admin", "attach"};
	struct field fields[COUNT(keys)];

	if (!node || !walk_mapping(&parse->walk, "`access`", node, keys, COUNT(keys), fields))
		return;
	read_admin(parse, fields[0].value);
	(void)access_read_attach(&parse->walk, parse->names, fields[1].value, &parse->attach);
}

/* ---- socket and metrics ---- */

static void read_socket_path(struct parse *parse, const yaml_node_t *node)
{
	const size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
	const char *path;
	char *copy;

	if (!node)
		return;
	path = yaml_node_text(node);
	if (*path != '/' || strlen(path) > max) {
		report_add(parse->walk.report, yaml_node_place(node),
			   "`path` is %s, expected an absolute path of at most %zu bytes",
			   show(node).text, max);
		return;
	}
	copy = strdup(path);
	if (!copy) {
		report_memory(parse);
		return;
	}
	free(parse->config->socket_path);
	parse->config->socket_path = copy;
}

static void read_socket_mode(struct parse *parse, const yaml_node_t *node)
{
	const char *text;

	if (!node)
		return;
	text = yaml_node_text(node);
	if (*text && strlen(text) <= 4 && !text[strspn(text, "01234567")] &&
	    strtoul(text, NULL, 8) <= 0777)
		parse->config->socket_mode = (mode_t)strtoul(text, NULL, 8);
	else
		report_add(parse->walk.report, yaml_node_place(node),
			   "`mode` is %s, expected permissions in octal from \"0000\" to \"0777\"",
			   show(node).text);
}

static void read_socket(struct parse *parse, const yaml_node_t *node)
{
	static const char *const keys[] = {"path", "mode"};
	struct field fields[COUNT(keys)];

	if (!node || !walk_mapping(&parse->walk, "`socket`", node, keys, COUNT(keys), fields))
		return;
	read_socket_path(parse, fields[0].value);
	read_socket_mode(parse, fields[1].value);
}

static void read_metrics(struct parse *parse, const yaml_node_t *node)
{
	static const char *const keys[] = {"listen"};
	struct field listen;

	if (!node || !walk_mapping(&parse->walk, "`metrics`", node, keys, COUNT(keys), &listen) ||
	    !listen.value)
		return;
	if (listen_parse(yaml_node_text(listen.value), &parse->config->metrics) < 0)
		report_add(
			parse->walk.report, yaml_node_place(listen.value),
			"`listen` is %s, expected an address with its port as in 127.0.0.1:9820 or "
			"\"[::1]:9820\", unix:/path or off",
			show(listen.value).text);
}

/* ---- the ids of a queue item ---- */

/* `first` is where the least of them is listed already. */
static void report_twice(struct parse *parse, struct place place, const struct id_set *ids,
			 struct place first)
{
	cleanup_free char *text = id_set_format(ids);
	bool many = id_set_count(ids) > 1;

	if (!text)
		report_memory(parse);
	else
		report_add(
			parse->walk.report, place,
			"queue%s %s %s listed twice, expected once; first at line %zu, column %zu",
			many ? "s" : "", text, many ? "are" : "is", first.line, first.column);
}

static void place_ids(struct parse *parse, struct place place, const struct id_set *ids,
		      struct id_places *places)
{
	struct id_set twice = {};
	struct place first = {};

	if (places->all.line || (ids->all && places->any.line)) {
		const struct place *other = places->all.line ? &places->all : &places->any;

		report_add(
			parse->walk.report, place,
			"`all` and other queues are listed, expected either; the other is at line "
			"%zu, column %zu",
			other->line, other->column);
		return;
	}
	if (!places->any.line)
		places->any = place;
	if (ids->all) {
		places->all = place;
		return;
	}
	for (uint32_t id = id_set_next(ids, 0); id < CONFIG_QUEUE_MAX;
	     id = id_set_next(ids, id + 1)) {
		if (!places->of[id].line) {
			places->of[id] = place;
			continue;
		}
		if (!first.line)
			first = places->of[id];
		id_set_add(&twice, id);
	}
	if (first.line)
		report_twice(parse, place, &twice, first);
}

/* One word: all of `id`, or an item of its list. */
static void read_ids_part(struct parse *parse, const yaml_node_t *node, struct id_set *ids,
			  struct id_places *places)
{
	struct report *report = parse->walk.report;
	struct place place = yaml_node_place(node);
	struct id_set part, twice;
	int r = id_set_parse(yaml_node_text(node), &part, &twice);

	if (r == -ERANGE)
		report_add(report, place, "`id` is %s, expected numbers below %d", show(node).text,
			   CONFIG_QUEUE_MAX);
	else if (r < 0)
		report_add(report, place,
			   "`id` is %s, expected a number, a range as in 0-3, a list as in [0, 2], "
			   "or all",
			   show(node).text);
	if (r < 0)
		return;
	if (id_set_count(&twice))
		report_twice(parse, place, &twice, place);
	place_ids(parse, place, &part, places);
	ids->all |= part.all;
	for (size_t i = 0; i < COUNT(ids->bits); i++)
		ids->bits[i] |= part.bits[i];
}

static void read_ids(struct parse *parse, const yaml_node_t *node, struct id_set *ids,
		     struct id_places *places)
{
	if (node->type != YAML_SEQUENCE_NODE) {
		read_ids_part(parse, node, ids, places);
		return;
	}
	if (!walk_list(&parse->walk, "`id`", node, ""))
		report_add(parse->walk.report, yaml_node_place(node),
			   "`id` is an empty list, expected a queue's number");
	for (size_t i = 0; i < walk_list(&parse->walk, "`id`", node, ""); i++) {
		const yaml_node_t *part = walk_item(&parse->walk, node, i);

		if (!part)
			return;
		read_ids_part(parse, part, ids, places);
	}
}

/* ---- a queue's settings ---- */

static const char *const queue_keys[] = {"id",	       "delivery", "bind",  "frames",
					 "frame_size", "headroom", "rings", "handover",
					 "attach",     "worker",   "umem"};
enum { ID, DELIVERY, BIND, FRAMES, FRAME_SIZE, HEADROOM, RINGS, HANDOVER, ATTACH, WORKER, UMEM };

static const struct word bind_words[] = {
	{"auto", XDPD_BIND_AUTO},
	{"zero-copy", XDPD_BIND_ZERO_COPY},
	{"copy", XDPD_BIND_COPY},
};

/* Returns false if it was given, and badly. */
static bool read_delivery(struct parse *parse, const yaml_node_t *node, enum xdpd_delivery *ret)
{
	static const struct word words[] = {
		{"exclusive", XDPD_EXCLUSIVE},
		{"shared", XDPD_SHARED},
	};
	int delivery;

	if (!node)
		return true;
	if (!walk_word(&parse->walk, "`delivery`", node, words, COUNT(words), &delivery))
		return false;
	*ret = (enum xdpd_delivery)delivery;
	return true;
}

/* Returns true if it was given, and well. */
static bool read_bind(struct parse *parse, const yaml_node_t *node,
		      const struct config_interface *interface, enum xdpd_bind_mode *ret)
{
	int bind;

	if (!walk_word(&parse->walk, "`bind`", node, bind_words, COUNT(bind_words), &bind))
		return false;
	if (bind == XDPD_BIND_ZERO_COPY && interface->mode == XDPD_MODE_GENERIC) {
		report_add(
			parse->walk.report, yaml_node_place(node),
			"`bind` is `zero-copy` and the interface's `mode` is `generic`, expected "
			"`copy`, or a `native` mode for zero-copy");
		return false;
	}
	*ret = (enum xdpd_bind_mode)bind;
	return true;
}

static void read_frames(struct parse *parse, const struct field *fields,
			struct config_queue *settings)
{
	struct walk *walk = &parse->walk;
	const yaml_node_t *size = fields[FRAME_SIZE].value;
	uint32_t max;

	(void)walk_number(walk, "`frames`", fields[FRAMES].value, 2, UINT32_MAX, &settings->frames);
	if (size && strcmp(yaml_node_text(size), "2048") == 0)
		settings->frame_size = 2048;
	else if (size && strcmp(yaml_node_text(size), "4096") != 0)
		report_add(walk->report, yaml_node_place(size),
			   "`frame_size` is %s, expected 2048 or 4096", show(size).text);
	max = settings->frame_size - KERNEL_HEADROOM - 1;
	(void)walk_number(walk, "`headroom`", fields[HEADROOM].value, 0, max, &settings->headroom);
}

static void read_rings(struct parse *parse, const yaml_node_t *node, struct ring_sizes *rings)
{
	static const char *const keys[] = {"rx", "tx", "fill", "completion"};
	static const char *const names[] = {"`rx`", "`tx`", "`fill`", "`completion`"};
	uint32_t *const sizes[] = {&rings->rx, &rings->tx, &rings->fill, &rings->completion};
	struct field fields[COUNT(keys)];

	if (!node || !walk_mapping(&parse->walk, "`rings`", node, keys, COUNT(keys), fields))
		return;
	for (size_t i = 0; i < COUNT(keys); i++)
		(void)walk_power_of_two(&parse->walk, names[i], fields[i].value, RING_MAX,
					sizes[i]);
}

static void read_handover(struct parse *parse, const yaml_node_t *node, enum config_handover *ret)
{
	static const struct word words[] = {
		{"auto", CONFIG_HANDOVER_AUTO},
		{"bound", CONFIG_HANDOVER_BOUND},
	};
	int handover;

	if (walk_word(&parse->walk, "`handover`", node, words, COUNT(words), &handover))
		*ret = (enum config_handover)handover;
}

static void read_umem(struct parse *parse, const yaml_node_t *node, bool *ret)
{
	static const struct word words[] = {{"read-only", false}, {"writable", true}};
	int writable;

	if (walk_word(&parse->walk, "`umem`", node, words, COUNT(words), &writable))
		*ret = writable;
}

static void refuse_shared(struct parse *parse, const yaml_node_t *key)
{
	if (key)
		report_add(parse->walk.report, yaml_node_place(key),
			   "`%s` is only for `delivery: shared`, and this queue's is `exclusive`",
			   yaml_node_text(key));
}

static void read_shared(struct parse *parse, const struct field *fields,
			struct config_queue *settings)
{
	const yaml_node_t *frames = fields[FRAMES].value;

	if (frames && settings->frames < SHARED_FRAMES_MIN)
		report_add(parse->walk.report, yaml_node_place(frames),
			   "`frames` is %s, expected at least %d with `delivery: shared`",
			   show(frames).text, SHARED_FRAMES_MIN);
	worker_read(&parse->walk, fields[WORKER].value, &settings->worker);
	read_umem(parse, fields[UMEM].value, &settings->writable);
}

static void read_delivery_settings(struct parse *parse, const struct field *fields,
				   struct config_queue *settings)
{
	if (!read_delivery(parse, fields[DELIVERY].value, &settings->delivery))
		return;
	if (settings->delivery == XDPD_SHARED) {
		read_shared(parse, fields, settings);
		return;
	}
	refuse_shared(parse, fields[WORKER].key);
	refuse_shared(parse, fields[UMEM].key);
}

/* The frames are locked memory: what does not fit the machine can never be had. `all` counts as one queue. */
static void check_memory(struct parse *parse, const yaml_node_t *item, const struct field *frames,
			 const struct queue_item *read)
{
	const uint64_t machine =
		(uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t one = (uint64_t)read->settings.frames * read->settings.frame_size;
	const uint64_t before = parse->totals.memory;
	struct place place = yaml_node_place(frames->value ? frames->value : item);

	parse->totals.memory += one * (read->ids.all ? 1 : id_set_count(&read->ids));
	if (one > machine)
		report_add(parse->walk.report, place,
			   "%u frames of %u bytes are %" PRIu64
			   " MiB, expected less than this machine's "
			   "memory, %" PRIu64 " MiB",
			   read->settings.frames, read->settings.frame_size, one >> 20,
			   machine >> 20);
	else if (before <= machine && parse->totals.memory > machine)
		report_add(parse->walk.report, place,
			   "with these, the frames of all queues are %" PRIu64
			   " MiB, expected less than "
			   "this machine's memory, %" PRIu64 " MiB",
			   parse->totals.memory >> 20, machine >> 20);
}

/* `ret` is to be cleared, whatever was wrong. */
static void read_queue(struct parse *parse, const yaml_node_t *node,
		       const struct config_interface *interface, struct id_places *places,
		       struct queue_item *ret)
{
	const struct config_queue defaults = {
		.delivery = XDPD_EXCLUSIVE,
		.bind = interface->bind,
		.frames = 4096,
		.frame_size = 4096,
		.rings = {2048, 2048, 2048, 2048},
		.attach = parse->attach,
		.worker = worker_defaults,
	};
	struct field fields[COUNT(queue_keys)];

	*ret = (struct queue_item){};
	if (config_queue_copy(&defaults, &ret->settings) < 0) {
		report_memory(parse);
		return;
	}
	if (!walk_mapping(&parse->walk, "a queue", node, queue_keys, COUNT(queue_keys), fields))
		return;
	if (fields[ID].value)
		read_ids(parse, fields[ID].value, &ret->ids, places);
	else
		report_add(
			parse->walk.report, yaml_node_place(node),
			"a queue without `id`, expected a number, a range as in 0-3, a list as in "
			"[0, 2], or all");
	(void)read_bind(parse, fields[BIND].value, interface, &ret->settings.bind);
	read_frames(parse, fields, &ret->settings);
	read_rings(parse, fields[RINGS].value, &ret->settings.rings);
	read_handover(parse, fields[HANDOVER].value, &ret->settings.handover);
	(void)access_read_attach(&parse->walk, parse->names, fields[ATTACH].value,
				 &ret->settings.attach);
	read_delivery_settings(parse, fields, &ret->settings);
	check_memory(parse, node, &fields[FRAMES], ret);
}

/* ---- interfaces ---- */

/* Copies the settings for each id of the item; `all` takes them as they are. */
static int add_queues(struct config_interface *interface, struct queue_item *item)
{
	size_t n = interface->n_queues + id_set_count(&item->ids);
	struct config_queue *grown;

	if (item->ids.all) {
		if (interface->all)
			return 0;
		interface->all = true;
		interface->all_queues = item->settings;
		item->settings.attach.who = (struct access_list){};
		return 0;
	}
	grown = reallocarray(interface->queues, n ? n : 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	interface->queues = grown;
	for (uint32_t id = id_set_next(&item->ids, 0); id < CONFIG_QUEUE_MAX;
	     id = id_set_next(&item->ids, id + 1)) {
		int r = config_queue_copy(&item->settings, &grown[interface->n_queues]);

		if (r < 0)
			return r;
		grown[interface->n_queues++].id = id;
	}
	return 0;
}

static bool has_room(struct parse *parse, const yaml_node_t *node, const struct queue_item *item)
{
	parse->totals.queues += id_set_count(&item->ids);
	if (parse->totals.queues > QUEUES_MAX && !parse->too_many_queues) {
		parse->too_many_queues = true;
		report_add(parse->walk.report, yaml_node_place(node),
			   "with these the interfaces have %zu queues, expected at most %d",
			   parse->totals.queues, QUEUES_MAX);
	}
	return !parse->too_many_queues;
}

static int compare_queues(const void *left, const void *right)
{
	const struct config_queue *a = left, *b = right;

	return a->id < b->id ? -1 : a->id > b->id;
}

static void read_queues(struct parse *parse, const yaml_node_t *node,
			struct config_interface *interface)
{
	cleanup_free struct id_places *places = calloc(1, sizeof(*places));

	if (!places) {
		report_memory(parse);
		return;
	}
	for (size_t i = 0; i < walk_list(&parse->walk, "`queues`", node, " as in `[{ id: 0-3 }]`");
	     i++) {
		const yaml_node_t *item_node = walk_item(&parse->walk, node, i);
		struct queue_item item;

		if (!item_node)
			break;
		read_queue(parse, item_node, interface, places, &item);
		if (has_room(parse, item_node, &item) && add_queues(interface, &item) < 0)
			report_memory(parse);
		config_queue_clear(&item.settings);
	}
	if (interface->n_queues)
		qsort(interface->queues, interface->n_queues, sizeof(*interface->queues),
		      compare_queues);
}

const char *device_name_fault(const char *name)
{
	if (!*name)
		return "is empty";
	if (strlen(name) >= XDPD_DEVICE_MAX)
		return "is longer than 15 bytes";
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return "is a folder's name";
	for (; *name; name++) {
		if (*name == '/' || *name == ':')
			return "has a `/` or `:`";
		/* The kernel's isspace() knows Latin-1's no-break space. */
		if (isspace((unsigned char)*name) || *name == '\xa0')
			return "has a blank";
	}
	return NULL;
}

static void read_name(struct parse *parse, const yaml_node_t *interface_node,
		      const yaml_node_t *node, struct config_interface *interface)
{
	struct report *report = parse->walk.report;
	const char *fault;

	if (!node) {
		report_add(report, yaml_node_place(interface_node),
			   "an interface without `name`, expected one as in `name: eth0`");
		return;
	}
	if (node->type != YAML_SCALAR_NODE || yaml_node_is_null(node)) {
		report_add(report, yaml_node_place(node),
			   "`name` is %s, expected an interface's name", yaml_node_kind(node));
		return;
	}
	fault = device_name_fault(yaml_node_text(node));
	if (fault)
		report_add(report, yaml_node_place(node),
			   "`name` is %s, which %s; expected an interface's name as in eth0",
			   show(node).text, fault);
	else
		strcpy(interface->name, yaml_node_text(node));
}

/* Returns where its name is, nowhere if it has none. */
static struct place read_interface(struct parse *parse, const yaml_node_t *node,
				   struct config_interface *interface)
{
	static const char *const keys[] = {"name",   "mode",  "bind",	 "queues",
					   "groups", "steer", "default", "replace"};
	static const struct word modes[] = {
		{"auto", XDPD_MODE_AUTO},
		{"native", XDPD_MODE_NATIVE},
		{"generic", XDPD_MODE_GENERIC},
	};
	struct field fields[COUNT(keys)];
	int mode;

	*interface = (struct config_interface){.mode = XDPD_MODE_AUTO, .bind = XDPD_BIND_AUTO};
	if (steer_init(interface) < 0)
		report_memory(parse);
	if (!walk_mapping(&parse->walk, "an interface", node, keys, COUNT(keys), fields))
		return (struct place){};
	read_name(parse, node, fields[0].value, interface);
	if (walk_word(&parse->walk, "`mode`", fields[1].value, modes, COUNT(modes), &mode))
		interface->mode = (enum xdpd_xdp_mode)mode;
	(void)read_bind(parse, fields[2].value, interface, &interface->bind);
	if (fields[3].value)
		read_queues(parse, fields[3].value, interface);
	if (fields[4].value)
		groups_read(&parse->walk, parse->names, &parse->attach, fields[4].value, interface);
	steer_read(&parse->walk, fields[5].value, fields[6].value, interface);
	(void)walk_bool(&parse->walk, "`replace`", fields[7].value, &interface->replace);
	return interface->name[0] ? yaml_node_place(fields[0].value) : (struct place){};
}

/* ---- interfaces that are there twice ---- */

struct named {
	const char *name;
	struct place place;
};

static int compare_named(const void *left, const void *right)
{
	const struct named *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	if (order)
		return order;
	if (a->place.line != b->place.line)
		return a->place.line < b->place.line ? -1 : 1;
	return a->place.column < b->place.column ? -1 : a->place.column > b->place.column;
}

static void check_names(struct parse *parse, struct named *names, size_t n)
{
	const struct named *first = names;

	qsort(names, n, sizeof(*names), compare_named);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(names[i].name, first->name) != 0) {
			first = &names[i];
			continue;
		}
		report_add(parse->walk.report, names[i].place,
			   "interface `%s` is listed twice, expected once; first at line %zu, "
			   "column %zu",
			   names[i].name, first->place.line, first->place.column);
	}
}

static void read_interfaces(struct parse *parse, const yaml_node_t *node)
{
	size_t n = walk_list(&parse->walk, "`interfaces`", node, " as in `- name: eth0`");
	cleanup_free struct named *names = calloc(n + 1, sizeof(*names));
	struct config *config = parse->config;
	size_t n_names = 0;

	config->interfaces = calloc(n + 1, sizeof(*config->interfaces));
	if (!names || !config->interfaces) {
		report_memory(parse);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct config_interface *interface = &config->interfaces[i];
		const yaml_node_t *item = walk_item(&parse->walk, node, i);
		struct place place;

		if (!item)
			return;
		config->n_interfaces++;
		place = read_interface(parse, item, interface);
		if (place.line)
			names[n_names++] = (struct named){interface->name, place};
	}
	if (n_names)
		check_names(parse, names, n_names);
}

/* ---- the file ---- */

static void set_defaults(struct parse *parse)
{
	struct config *config = parse->config;

	config->socket_mode = 0666;
	config->socket_path = strdup(XDPD_DEFAULT_SOCKET);
	(void)listen_parse("127.0.0.1:9820", &config->metrics);
	parse->attach.transmit = true;
	if (!config->socket_path || access_add_user(&config->admin, 0) < 0)
		report_memory(parse);
}

static void read_file(struct parse *parse, const yaml_node_t *root)
{
	static const char *const keys[] = {"socket", "access", "metrics", "interfaces"};
	struct field fields[COUNT(keys)];

	if (!root || !walk_mapping(&parse->walk, "the file", root, keys, COUNT(keys), fields))
		return;
	read_socket(parse, fields[0].value);
	read_access(parse, fields[1].value);
	read_metrics(parse, fields[2].value);
	if (fields[3].value)
		read_interfaces(parse, fields[3].value);
}

int parse_text(const char *name, const char *text, size_t length, enum names names,
	       struct parsed *ret, struct config_errors *errors)
{
	struct report report = {.name = name};
	struct parsed parsed = {};
	struct parse parse = {.names = names};
	int r;

	if (length > CONFIG_TEXT_MAX)
		return report_one(errors, EINVAL, name, (struct place){},
				  "more than %d bytes, expected a config", CONFIG_TEXT_MAX);
	if (yaml_tree_load(&parsed.tree, text, length, &report) < 0)
		return report_close(&report, errors);
	parsed.config = calloc(1, sizeof(*parsed.config));
	if (parsed.config)
		parsed.config->source = strndup(text, length);
	if (!parsed.config || !parsed.config->source) {
		parsed_clear(&parsed);
		return -ENOMEM;
	}
	parse.walk = (struct walk){.tree = &parsed.tree, .report = &report};
	parse.config = parsed.config;
	set_defaults(&parse);
	read_file(&parse, yaml_tree_root(&parsed.tree));
	parsed.attach = parse.attach;
	parsed.totals = parse.totals;

	r = report_close(&report, errors);
	if (r < 0) {
		parsed_clear(&parsed);
		return r;
	}
	*ret = parsed;
	return 0;
}

void parsed_clear(struct parsed *parsed)
{
	yaml_tree_clear(&parsed->tree);
	parsed->config = config_free(parsed->config);
	access_clear(&parsed->attach.who);
}

/* ---- a queue item by itself ---- */

int parse_queue(const struct yaml_tree *tree, const struct parsed *file,
		const struct config_interface *interface, struct queue_item *ret,
		struct report *report)
{
	struct parse parse = {
		.walk = {.tree = tree, .report = report},
		.names = NAMES_KNOWN,
		.attach = file->attach,
		.totals = file->totals,
	};
	const yaml_node_t *root = yaml_tree_root(tree);
	cleanup_free struct id_places *places = calloc(1, sizeof(*places));
	struct queue_item item;

	if (!places) {
		report->out_of_memory = true;
		return -EINVAL;
	}
	read_queue(&parse, root, interface, places, &item);
	if (!has_room(&parse, root, &item) || report->n_faults || report->out_of_memory) {
		config_queue_clear(&item.settings);
		return -EINVAL;
	}
	*ret = item;
	return 0;
}

int parse_queue_ids(const struct yaml_tree *tree, const yaml_node_t *node, struct id_set *ret,
		    struct report *report)
{
	struct parse parse = {.walk = {.tree = tree, .report = report}};
	cleanup_free struct id_places *places = calloc(1, sizeof(*places));
	struct id_set ids = {};

	if (!places) {
		report->out_of_memory = true;
		return -EINVAL;
	}
	read_ids(&parse, node, &ids, places);
	if (report->n_faults || report->out_of_memory)
		return -EINVAL;
	*ret = ids;
	return 0;
}
