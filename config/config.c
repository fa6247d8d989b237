/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "config/access.h"
#include "config/parse.h"
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

/* A TX ring exists or not, so `transmit` is the socket's. */
bool config_queue_same_socket(const struct config_queue *a, const struct config_queue *b)
{
	return a->delivery == b->delivery && a->bind == b->bind && a->frames == b->frames &&
	       a->frame_size == b->frame_size && a->headroom == b->headroom &&
	       a->rings.rx == b->rings.rx && a->rings.tx == b->rings.tx &&
	       a->rings.fill == b->rings.fill && a->rings.completion == b->rings.completion &&
	       a->handover == b->handover && a->attach.transmit == b->attach.transmit;
}

bool config_queue_equal(const struct config_queue *a, const struct config_queue *b)
{
	return config_queue_same_socket(a, b) && access_equal(&a->attach.who, &b->attach.who);
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
