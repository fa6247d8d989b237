/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "config/access.h"
#include "config/group.h"
#include "config/parse.h"
#include "config/steer.h"
#include "daemon/cleanup.h"

int config_queue_copy(const struct config_queue *from, struct config_queue *ret)
{
	struct config_queue copy = *from;
	int r;

	copy.attach.who = (struct access_list){};
	r = access_copy_users(&copy.attach.who, &from->attach.who);
	if (r == 0)
		r = access_copy_groups(&copy.attach.who, &from->attach.who);
	if (r < 0) {
		access_clear(&copy.attach.who);
		return r;
	}
	*ret = copy;
	return 0;
}

void config_queue_clear(struct config_queue *queue)
{
	access_clear(&queue->attach.who);
}

static void interface_clear(struct config_interface *interface)
{
	for (size_t i = 0; i < interface->n_queues; i++)
		config_queue_clear(&interface->queues[i]);
	free(interface->queues);
	config_queue_clear(&interface->all_queues);
	groups_clear(interface);
	steer_clear(interface);
}

struct config *config_free(struct config *config)
{
	if (!config)
		return NULL;
	for (size_t i = 0; i < config->n_interfaces; i++)
		interface_clear(&config->interfaces[i]);
	free(config->interfaces);
	access_clear(&config->admin);
	free(config->socket_path);
	free(config->source);
	free(config);
	return NULL;
}

const struct config_interface *config_find_interface(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_interfaces; i++)
		if (strcmp(config->interfaces[i].name, name) == 0)
			return &config->interfaces[i];
	return NULL;
}

static int compare_id(const void *key, const void *element)
{
	uint32_t id = *(const uint32_t *)key, other = ((const struct config_queue *)element)->id;

	return id < other ? -1 : id > other;
}

const struct config_queue *config_find_queue(const struct config_interface *interface, uint32_t id)
{
	if (interface->all)
		return &interface->all_queues;
	if (!interface->n_queues)
		return NULL;
	return bsearch(&id, interface->queues, interface->n_queues, sizeof(*interface->queues),
		       compare_id);
}

const struct config_group *config_find_group(const struct config_interface *interface,
					     const char *name)
{
	for (size_t i = 0; i < interface->n_groups; i++)
		if (strcmp(interface->groups[i].name, name) == 0)
			return &interface->groups[i];
	return NULL;
}

/* A TX ring exists or not, so `transmit` is the socket's. `writable` is, as no mapping can be revoked. */
bool config_queue_same_socket(const struct config_queue *a, const struct config_queue *b)
{
	return a->delivery == b->delivery && a->bind == b->bind && a->frames == b->frames &&
	       a->frame_size == b->frame_size && a->headroom == b->headroom &&
	       a->rings.rx == b->rings.rx && a->rings.tx == b->rings.tx &&
	       a->rings.fill == b->rings.fill && a->rings.completion == b->rings.completion &&
	       a->handover == b->handover && a->attach.transmit == b->attach.transmit &&
	       a->writable == b->writable;
}

static bool same_worker(const struct config_worker *a, const struct config_worker *b)
{
	return a->cpu == b->cpu && a->spin_usecs == b->spin_usecs && a->busy_poll == b->busy_poll &&
	       a->scheduler == b->scheduler && a->priority == b->priority;
}

bool config_queue_equal(const struct config_queue *a, const struct config_queue *b)
{
	return config_queue_same_socket(a, b) && access_equal(&a->attach.who, &b->attach.who) &&
	       same_worker(&a->worker, &b->worker);
}

bool config_group_equal(const struct config_group *a, const struct config_group *b)
{
	return strcmp(a->name, b->name) == 0 && a->mode == b->mode && a->quota == b->quota &&
	       a->restricted == b->restricted && a->transmit_given == b->transmit_given &&
	       a->attach.transmit == b->attach.transmit &&
	       access_equal(&a->attach.who, &b->attach.who);
}

bool config_groups_equal(const struct config_interface *a, const struct config_interface *b)
{
	if (a->n_groups != b->n_groups)
		return false;
	for (size_t i = 0; i < a->n_groups; i++) {
		const struct config_group *other = config_find_group(b, a->groups[i].name);

		if (!other || !config_group_equal(&a->groups[i], other))
			return false;
	}
	return true;
}

/* Each interface has its own numbers for the groups. */
static bool same_group_names(const struct config_interface *a, uint32_t groups,
			     const struct config_interface *b, uint32_t others)
{
	if (__builtin_popcount(groups) != __builtin_popcount(others))
		return false;
	for (size_t i = 0; i < a->n_groups; i++) {
		const struct config_group *other;

		if (!(groups >> i & 1))
			continue;
		other = config_find_group(b, a->groups[i].name);
		if (!other || !(others >> (other - b->groups) & 1))
			return false;
	}
	return true;
}

/* The text stands for the match. */
static bool same_rule(const struct config_interface *a, const struct config_rule *rule,
		      const struct config_interface *b, const struct config_rule *other)
{
	return rule->action == other->action && rule->all_groups == other->all_groups &&
	       strcmp(rule->text, other->text) == 0 &&
	       same_group_names(a, rule->groups, b, other->groups);
}

bool config_steering_equal(const struct config_interface *a, const struct config_interface *b)
{
	if (a->n_rules != b->n_rules || !same_rule(a, &a->otherwise, b, &b->otherwise))
		return false;
	for (size_t i = 0; i < a->n_rules; i++)
		if (!same_rule(a, &a->rules[i], b, &b->rules[i]))
			return false;
	return true;
}

static int parse(const char *name, const char *text, size_t length, enum names names,
		 struct config **ret, struct config_errors *errors)
{
	struct parsed parsed;
	int r;

	r = parse_text(name, text, length, names, &parsed, errors);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(parsed.config);
	parsed_clear(&parsed);
	return 0;
}

int config_parse(const char *name, const char *text, size_t length, struct config **ret,
		 struct config_errors *errors)
{
	return parse(name, text, length, NAMES_KNOWN, ret, errors);
}

/* One byte more than a config may have, so that its parser sees that it is too long. */
static int read_file(const char *path, char **ret, size_t *ret_length)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_free char *text = malloc(CONFIG_TEXT_MAX + 1);
	size_t length = 0;

	if (fd < 0)
		return -errno;
	if (!text)
		return -ENOMEM;
	while (length < CONFIG_TEXT_MAX + 1) {
		ssize_t n = read(fd, text + length, CONFIG_TEXT_MAX + 1 - length);

		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		length += (size_t)n;
	}
	*ret = TAKE_PTR(text);
	*ret_length = length;
	return 0;
}

int config_load(const char *path, struct config **ret, struct config_errors *errors)
{
	cleanup_free char *text = NULL;
	size_t length = 0;
	int r = read_file(path, &text, &length);

	if (r < 0)
		return report_one(errors, -r, path, (struct place){}, "can't be read (%s)",
				  strerror(-r));
	return parse(path, text, length, NAMES_ANEW, ret, errors);
}
