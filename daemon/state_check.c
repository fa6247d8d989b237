// SPDX-License-Identifier: BSD-2-Clause
#include <stdbool.h>
#include <string.h>

#include "config/config.h"
#include "daemon/cleanup.h"
#include "daemon/roster.h"
#include "daemon/state_format.h"
#include "daemon/uapi.h"

#define SLOTS_MAX      65536		     /* receive queues that an interface can have */
#define RING_MAX       (1u << 20)	     /* entries, as in the config */
#define FRAMES_MIN     2		     /* likewise */
#define KEY_MAX	       INT64_MAX	     /* leaves more than can ever be given */
#define GROUP_BITS_MAX (XDPD_GROUPS_MAX + 1) /* with the bit for those that the config left none */

/* ---- values ---- */

/* Terminated. What is behind its end is cleared, so that equal texts are equal in all bytes. */
static bool check_text(char *text, size_t size)
{
	const char *end = memchr(text, '\0', size);

	if (!end)
		return false;
	memset(text + (end - text), 0, size - (size_t)(end - text));
	return true;
}

static bool check_name(char *text, size_t size)
{
	return check_text(text, size) && text[0];
}

static bool is_flag(uint32_t value)
{
	return value <= 1;
}

static bool is_ring(uint32_t entries)
{
	return entries && entries <= RING_MAX && !(entries & (entries - 1));
}

static bool is_key(uint64_t key)
{
	return key <= KEY_MAX;
}

static void raise_last_key(struct state *state, uint64_t key)
{
	if (state->daemon.last_key < key)
		state->daemon.last_key = key;
}

/* ---- what must not be there twice ---- */

typedef int (*comparison)(const void *a, const void *b);

/* Of pointers to the items, as qsort() gives them. */
#define COMPARISON(name, type, compare)                      \
	static int name(const void *left, const void *right) \
	{                                                    \
		const type *a = *(const type *const *)left;  \
		const type *b = *(const type *const *)right; \
                                                             \
		return compare;                              \
	}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_places(const char *a_device, uint32_t a_queue, const char *b_device,
			  uint32_t b_queue)
{
	const int device = strcmp(a_device, b_device);

	return device ? device : compare_numbers(a_queue, b_queue);
}

/* The key of an interface without a program is nobody's. */
static uint64_t interface_key(const struct saved_interface *interface)
{
	return interface->slots ? interface->key : UINT64_MAX;
}

COMPARISON(by_device, struct saved_interface, strcmp(a->device, b->device))
COMPARISON(by_interface_key, struct saved_interface,
	   compare_numbers(interface_key(a), interface_key(b))
		   ?: (a->slots ? 0 : strcmp(a->device, b->device)))
COMPARISON(by_totals_place, struct saved_totals,
	   compare_places(a->device, a->queue, b->device, b->queue))
COMPARISON(by_queue_place, struct saved_queue,
	   compare_places(a->device, a->queue, b->device, b->queue))
COMPARISON(by_queue_key, struct saved_queue, compare_numbers(a->key, b->key))
COMPARISON(by_consumer_key, struct saved_consumer, compare_numbers(a->key, b->key))

/* Returns 0, -EBADMSG or -ENOMEM. */
static int check_differ(const void *items, size_t n, size_t size, comparison compare)
{
	cleanup_free const void **sorted = NULL;

	if (n < 2)
		return 0;
	sorted = reallocarray(NULL, n, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = (const char *)items + i * size;
	qsort(sorted, n, sizeof(*sorted), compare);
	for (size_t i = 1; i < n; i++)
		if (!compare(&sorted[i - 1], &sorted[i]))
			return -EBADMSG;
	return 0;
}

static int check_all_differ(const struct state *state)
{
	int r = 0;

#define DIFFER(array, count, compare) \
	r = r ?: check_differ(state->array, state->count, sizeof(*state->array), compare)

	DIFFER(interfaces, n_interfaces, by_device);
	DIFFER(interfaces, n_interfaces, by_interface_key);
	DIFFER(totals, n_totals, by_totals_place);
	DIFFER(queues, n_queues, by_queue_place);
	DIFFER(queues, n_queues, by_queue_key);
	DIFFER(consumers, n_consumers, by_consumer_key);
#undef DIFFER
	return r;
}

/* ---- interfaces and their rules ---- */

static bool check_group_names(struct saved_interface *interface)
{
	for (size_t i = 0; i < XDPD_GROUPS_MAX; i++) {
		if (!check_text(interface->groups[i], XDPD_NAME_MAX))
			return false;
		for (size_t j = 0; interface->groups[i][0] && j < i; j++)
			if (!strcmp(interface->groups[i], interface->groups[j]))
				return false;
	}
	return true;
}

static bool check_program(const struct saved_interface *interface)
{
	const uint32_t mode = interface->mode;

	if (!interface->slots)
		return mode == XDPD_MODE_NONE;
	return interface->slots <= SLOTS_MAX && interface->ifindex &&
	       (mode == XDPD_MODE_NATIVE || mode == XDPD_MODE_GENERIC);
}

static bool check_interface(struct saved_interface *interface)
{
	return check_name(interface->device, sizeof(interface->device)) && is_key(interface->key) &&
	       interface->ifindex <= INT32_MAX && check_program(interface) &&
	       is_flag(interface->multi_buffer) && is_flag(interface->bank) &&
	       is_flag(interface->steered) && is_flag(interface->counting) &&
	       check_group_names(interface);
}

static bool check_rule(struct saved_rule *rule)
{
	return rule->rule <= XDPD_RULES_MAX && rule->action >= XDPD_ACTION_REDIRECT &&
	       rule->action <= XDPD_ACTION_DROP && check_text(rule->match, sizeof(rule->match)) &&
	       check_text(rule->groups, sizeof(rule->groups));
}

static bool check_interfaces(struct state *state)
{
	for (size_t i = 0; i < state->n_interfaces; i++) {
		if (!check_interface(&state->interfaces[i]))
			return false;
		raise_last_key(state, state->interfaces[i].key);
	}
	for (size_t i = 0; i < state->n_rules; i++)
		if (!check_rule(&state->rules[i]) ||
		    (i && state->rule_parents[i] == state->rule_parents[i - 1] &&
		     state->rules[i].rule <= state->rules[i - 1].rule))
			return false;
	return true;
}

/* ---- queues, their groups and consumers ---- */

static bool check_totals(struct state *state)
{
	for (size_t i = 0; i < state->n_totals; i++)
		if (!check_name(state->totals[i].device, sizeof(state->totals[i].device)) ||
		    state->totals[i].queue >= SLOTS_MAX)
			return false;
	return true;
}

static bool check_frames(const struct saved_queue *queue)
{
	return queue->frames >= FRAMES_MIN &&
	       (queue->frame_size == 2048 || queue->frame_size == 4096) &&
	       queue->headroom < queue->frame_size - UAPI_XDP_PACKET_HEADROOM &&
	       queue->capacity <= queue->frame_size && queue->receive_frames &&
	       queue->receive_frames <= queue->frames && queue->filled <= queue->receive_frames &&
	       queue->filled <= queue->fill;
}

static bool check_rings(const struct saved_queue *queue)
{
	return is_ring(queue->rx) && is_ring(queue->fill) &&
	       (!queue->tx || (is_ring(queue->tx) && queue->completion)) &&
	       (!queue->completion || is_ring(queue->completion));
}

static bool check_queue(struct saved_queue *queue)
{
	return check_name(queue->device, sizeof(queue->device)) && is_key(queue->key) &&
	       queue->queue < CONFIG_QUEUE_MAX &&
	       (queue->delivery == XDPD_EXCLUSIVE || queue->delivery == XDPD_SHARED) &&
	       check_rings(queue) && check_frames(queue) && queue->bind_mode <= XDPD_BIND_COPY &&
	       queue->bind_mode != XDPD_BIND_AUTO && is_flag(queue->counting) &&
	       is_flag(queue->writable);
}

static bool check_queues(struct state *state)
{
	for (size_t i = 0; i < state->n_queues; i++) {
		if (!check_queue(&state->queues[i]))
			return false;
		raise_last_key(state, state->queues[i].key);
	}
	return true;
}

/* Against those of the same queue, which are right before it: no more than there are bits. */
static bool is_new_group(const struct state *state, size_t i)
{
	const struct saved_group *group = &state->groups[i];

	for (size_t j = i; j-- > 0 && state->group_parents[j] == state->group_parents[i];)
		if (state->groups[j].bit == group->bit ||
		    !strcmp(state->groups[j].name, group->name))
			return false;
	return true;
}

static bool check_groups(struct state *state)
{
	for (size_t i = 0; i < state->n_groups; i++) {
		struct saved_group *group = &state->groups[i];

		if (!check_name(group->name, sizeof(group->name)) || group->bit >= GROUP_BITS_MAX ||
		    state->queues[state->group_parents[i]].delivery != XDPD_SHARED ||
		    !is_new_group(state, i))
			return false;
	}
	return true;
}

/* Likewise: no more than there are slots. An exclusive queue has one. */
static bool is_new_consumer(const struct state *state, size_t i, bool shared)
{
	const struct saved_consumer *consumer = &state->consumers[i];

	for (size_t j = i; j-- > 0 && state->consumer_parents[j] == state->consumer_parents[i];)
		if (!shared || state->consumers[j].slot == consumer->slot ||
		    state->consumers[j].member_key == consumer->member_key)
			return false;
	return true;
}

static bool check_consumer(struct saved_consumer *consumer, bool shared)
{
	return check_name(consumer->name, sizeof(consumer->name)) && is_key(consumer->key) &&
	       consumer->pid <= INT32_MAX && is_flag(consumer->transmit) &&
	       is_flag(consumer->subscribed) && is_flag(consumer->tap) &&
	       consumer->slot < ROSTER_MEMBERS &&
	       check_text(consumer->group, sizeof(consumer->group)) &&
	       shared == (consumer->group[0] != '\0');
}

static bool check_consumers(struct state *state)
{
	for (size_t i = 0; i < state->n_consumers; i++) {
		const bool shared =
			state->queues[state->consumer_parents[i]].delivery == XDPD_SHARED;

		if (!check_consumer(&state->consumers[i], shared) ||
		    !is_new_consumer(state, i, shared))
			return false;
		raise_last_key(state, state->consumers[i].key);
	}
	return true;
}

int state_check(struct state *state)
{
	if (state->daemon.last_reload_ok > 1 || !is_key(state->daemon.last_key) ||
	    !check_interfaces(state) || !check_totals(state) || !check_queues(state) ||
	    !check_groups(state) || !check_consumers(state))
		return -EBADMSG;
	return check_all_differ(state);
}
