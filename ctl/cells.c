/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/cells.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "ctl/say.h"
#include "ctl/table.h"
#include "daemon/cleanup.h"

char *moment(json_int_t seconds)
{
	time_t time = (time_t)seconds;
	struct tm local;
	char text[32];

	if (!seconds || !localtime_r(&time, &local) ||
	    !strftime(text, sizeof(text), "%F %T", &local))
		return text_of("-");
	return text_of("%s", text);
}

char *span(json_int_t seconds)
{
	json_int_t s = seconds > 0 ? seconds : 0;
	cleanup_free char *days =
		s >= 86400 ? text_of("%" PRId64 "d ", (int64_t)s / 86400) : text_of("%s", "");

	return text_of("%s%02d:%02d:%02d", days, (int)(s / 3600 % 24), (int)(s / 60 % 60),
		       (int)(s % 60));
}

/* What is there, and what was wanted where that is something else. */
static char *against(const json_t *record, const char *actual_key, const char *wanted_key)
{
	const json_t *wanted = json_object_get(record, wanted_key);
	const json_t *actual = json_object_get(record, actual_key);
	const char *word = json_string_value(wanted);
	cleanup_free char *actual_text = cell_text(actual);
	cleanup_free char *wanted_text = cell_text(wanted);

	if (!json_is_string(actual) || !word || !strcmp(word, "auto") || json_equal(wanted, actual))
		return TAKE_PTR(actual_text);
	return text_of("%s (wanted %s)", actual_text, wanted_text);
}

char *mode_text(const json_t *record)
{
	return against(record, "mode", "wanted_mode");
}

char *bind_text(const json_t *queue)
{
	return against(queue, "bind", "wanted_bind");
}

char *link_text(const json_t *interface)
{
	if (json_is_null(json_object_get(interface, "ifindex")))
		return text_of("absent");
	return text_of(record_flag(interface, "up") ? "up" : "down");
}

char *ready_text(const json_t *interface)
{
	return text_of("%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " ready",
		       record_number(interface, "queues_ready"),
		       record_number(interface, "queues"));
}

char *source_text(const json_t *queue)
{
	return text_of(record_flag(queue, "runtime") ? "runtime" : "file");
}

static char *text_unless_null(const json_t *record, const char *key)
{
	const json_t *text = json_object_get(record, key);

	return json_is_null(text) ? NULL : cell_text(text);
}

char *reason_text(const json_t *record)
{
	return text_unless_null(record, "reason");
}

char *note_text(const json_t *interface)
{
	return text_unless_null(interface, "note");
}

char *attached_text(const json_t *consumer)
{
	return moment(record_number(consumer, "attached"));
}

char *memory_text(const json_t *queue)
{
	return text_of("%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
		       " bytes, headroom %" JSON_INTEGER_FORMAT,
		       record_number(queue, "frames"), record_number(queue, "frame_size"),
		       record_number(queue, "headroom"));
}

static char *ring_text(const json_t *queue, const char *key)
{
	const json_t *ring = json_object_get(queue, key);

	if (!json_is_object(ring))
		return text_of("-");
	return text_of("%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " entries",
		       record_number(ring, "entries"), record_number(ring, "size"));
}

char *rx_text(const json_t *queue)
{
	return ring_text(queue, "rx");
}

char *tx_text(const json_t *queue)
{
	return ring_text(queue, "tx");
}

char *fill_text(const json_t *queue)
{
	return ring_text(queue, "fill");
}

char *completion_text(const json_t *queue)
{
	return ring_text(queue, "completion");
}

static char *traffic_text(const json_t *queue, const char *packets_key, const char *bytes_key)
{
	return text_of("packets %" JSON_INTEGER_FORMAT ", bytes %" JSON_INTEGER_FORMAT,
		       record_number(queue, packets_key), record_number(queue, bytes_key));
}

char *received_text(const json_t *queue)
{
	return traffic_text(queue, "receive_packets", "receive_bytes");
}

char *transmitted_text(const json_t *queue)
{
	return traffic_text(queue, "transmit_packets", "transmit_bytes");
}

char *passed_text(const json_t *queue)
{
	return traffic_text(queue, "passed_packets", "passed_bytes");
}

/* ---- of shared delivery ---- */

char *consumers_text(const json_t *queue)
{
	json_int_t consumers = record_number(queue, "consumers");

	if (consumers > 1)
		return text_of("%" JSON_INTEGER_FORMAT " consumers", consumers);
	return cell_text(json_object_get(queue, "consumer"));
}

static bool holds(const json_t *consumer)
{
	return !strcmp(record_word(consumer, "mode"), "hold");
}

char *held_text(const json_t *consumer)
{
	if (!holds(consumer))
		return text_of("-");
	return text_of("%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
		       record_number(consumer, "held"), record_number(consumer, "quota"));
}

char *held_of_text(const json_t *consumer)
{
	if (!holds(consumer))
		return NULL;
	return text_of("%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " frames",
		       record_number(consumer, "held"), record_number(consumer, "quota"));
}

char *loss_text(const json_t *record)
{
	if (json_is_null(json_object_get(record, "mode")))
		return NULL;
	return text_of("ring full %" JSON_INTEGER_FORMAT ", quota %" JSON_INTEGER_FORMAT
		       ", overrun %" JSON_INTEGER_FORMAT,
		       record_number(record, "dropped_ring_full"),
		       record_number(record, "dropped_quota"), record_number(record, "overrun"));
}

char *group_source_text(const json_t *group)
{
	return text_of(record_flag(group, "configured") ? "file" : "attach");
}

char *group_held_text(const json_t *group)
{
	return text_of("%" JSON_INTEGER_FORMAT " frames, quota %" JSON_INTEGER_FORMAT " each",
		       record_number(group, "held"), record_number(group, "quota"));
}

static bool is_default(const json_t *rule)
{
	return json_is_null(json_object_get(rule, "rule"));
}

char *rule_text(const json_t *rule)
{
	return is_default(rule) ? text_of("default") : cell_text(json_object_get(rule, "rule"));
}

char *action_text(const json_t *rule)
{
	cleanup_free char *action = cell_text(json_object_get(rule, "action"));
	cleanup_free char *groups = cell_text(json_object_get(rule, "groups"));

	if (json_is_null(json_object_get(rule, "groups")))
		return TAKE_PTR(action);
	return text_of("%s to %s", action, groups);
}

char *match_text(const json_t *rule)
{
	const json_t *match = json_object_get(rule, "match");

	if (json_is_null(match))
		return text_of(is_default(rule) ? "all else" : "all");
	return cell_text(match);
}

char *cpu_text(const json_t *worker)
{
	const json_t *cpu = json_object_get(worker, "cpu");

	return json_is_null(cpu) ? text_of("any") : cell_text(cpu);
}

/* Of the time that it was awake. */
char *busy_text(const json_t *worker)
{
	double busy = (double)record_number(worker, "busy_ns");
	double awake = busy + (double)record_number(worker, "idle_ns");

	return awake > 0 ? text_of("%.0f%%", 100 * busy / awake) : text_of("-");
}

char *per_burst_text(const json_t *worker)
{
	double bursts = (double)record_number(worker, "bursts");

	return bursts > 0 ? text_of("%.1f", (double)record_number(worker, "packets") / bursts)
			  : text_of("-");
}

static char *place_text(const json_t *worker, const char *place)
{
	return cell_text(json_object_get(json_object_get(worker, "frames"), place));
}

char *kernel_text(const json_t *worker)
{
	return place_text(worker, "kernel");
}

char *transmit_text(const json_t *worker)
{
	return place_text(worker, "transmit");
}

char *free_text(const json_t *worker)
{
	return place_text(worker, "free");
}

char *lent_text(const json_t *worker)
{
	return place_text(worker, "lent");
}
