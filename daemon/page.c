/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/page.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "daemon/names.h"

#define TEXT(member) (member), sizeof(member)

static const char head[] =
	"<!doctype html>\n"
	"<html lang=\"en\">\n"
	"<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<meta name=\"color-scheme\" content=\"light dark\">\n"
	"<meta http-equiv=\"refresh\" content=\"5\">\n"
	"<link rel=\"icon\" href=\"data:,\">\n"
	"<title>xdpd</title>\n"
	"<style>\n"
	":root{--ground:#f7f8fa;--card:#fff;--line:#e4e7ec;--ink:#1a2029;--quiet:#667085;"
	"--good:#14804a;--calm:#3a6ea5;--warn:#b25e02;--bad:#c0262d;--bar:#9db8d6}\n"
	"@media (prefers-color-scheme:dark){:root{--ground:#12151a;--card:#1a1f26;--line:#2b323c;"
	"--ink:#e4e8ee;--quiet:#97a1b0;--good:#4cc38a;--calm:#7fb0e6;--warn:#f0a44b;--bad:#ff7a7f;"
	"--bar:#456790}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0;background:var(--ground);color:var(--ink);"
	"font:14px/1.5 system-ui,-apple-system,\"Segoe UI\",sans-serif}\n"
	"main{max-width:1360px;margin:0 auto;padding:28px 20px 48px}\n"
	"header{display:flex;flex-wrap:wrap;gap:4px 16px;align-items:baseline;margin-bottom:20px}\n"
	"h1{font-size:22px;margin:0;letter-spacing:-.01em}\n"
	"h2{font-size:16px;margin:0}\n"
	"p{margin:0}\n"
	"a{color:var(--calm);text-decoration:none}a:hover{text-decoration:underline}\n"
	".quiet{color:var(--quiet)}.push{margin-left:auto}\n"
	"section{background:var(--card);border:1px solid var(--line);border-radius:10px;"
	"margin-bottom:16px;overflow:hidden}\n"
	".title{display:flex;flex-wrap:wrap;gap:2px 14px;align-items:baseline;padding:12px 16px}\n"
	".reason{padding:0 16px 10px;color:var(--warn)}\n"
	".note{padding:0 16px 10px;color:var(--quiet)}\n"
	".scroll{overflow-x:auto}\n"
	"table{border-collapse:collapse;width:100%;min-width:1120px;table-layout:fixed;"
	"font-variant-numeric:tabular-nums}\n"
	"th{font-weight:500;font-size:12px;color:var(--quiet);text-align:left;white-space:nowrap}\n"
	"th,td{padding:7px 10px;border-top:1px solid var(--line);vertical-align:top}\n"
	"th:first-child,td:first-child{padding-left:16px}th:last-child,td:last-child{padding-right:"
	"16px}\n"
	"td{white-space:nowrap}td.name{white-space:normal;overflow-wrap:anywhere}\n"
	"td.reason{white-space:normal;padding:0 10px 9px;border-top:0}\n"
	".n{text-align:right}small{display:block;font-size:12px;color:var(--quiet)}\n"
	".state{font-weight:500}.state::before{content:\"\";display:inline-block;width:8px;height:"
	"8px;"
	"border-radius:50%;background:currentColor;margin-right:7px}\n"
	".good{color:var(--good)}.calm{color:var(--calm)}.warn{color:var(--warn)}.bad{color:var(--"
	"bad)}\n"
	".bar{display:block;height:5px;margin-top:6px;border-radius:3px;"
	"background:var(--line);overflow:hidden}.bar "
	"i{display:block;height:100%;background:var(--bar)}\n"
	"</style>\n"
	"<main>\n";

/* ---- pieces ---- */

/* 1234567 as 1 234 567, with narrow spaces that do not break. */
static void grouped(struct text *out, uint64_t value)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, value);

	for (int i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			text_string(out, "\xe2\x80\xaf");
		text_bytes(out, &digits[i], 1);
	}
}

static void byte_size(struct text *out, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	size_t unit = 0;
	double value = (double)bytes;

	while (value >= 1023.95 && unit < sizeof(units) / sizeof(units[0]) - 1) {
		value /= 1024;
		unit++;
	}
	text_format(out, "%.*f %s", unit == 0 ? 0 : 1, value, units[unit]);
}

/* The two largest units, as in `3 d 4 h`. */
static void duration(struct text *out, uint64_t from, uint64_t now)
{
	static const struct {
		uint64_t seconds;
		const char *name;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
	uint64_t left = now > from ? now - from : 0;
	size_t i = 0;

	while (i < 3 && left < units[i].seconds)
		i++;
	text_format(out, "%" PRIu64 " %s", left / units[i].seconds, units[i].name);
	if (i < 3)
		text_format(out, " %" PRIu64 " %s", left % units[i].seconds / units[i + 1].seconds,
			    units[i + 1].name);
}

static void moment(struct text *out, uint64_t seconds)
{
	time_t time = (time_t)seconds;
	char buffer[40];
	struct tm local;

	if (localtime_r(&time, &local) &&
	    strftime(buffer, sizeof(buffer), "%Y-%m-%d %H:%M:%S", &local) > 0)
		text_string(out, buffer);
}

/* What is zero stays in the background. */
static void traffic(struct text *out, uint64_t packets, uint64_t bytes)
{
	text_format(out, "<td class=\"n%s\">", packets ? "" : " quiet");
	grouped(out, packets);
	if (!packets)
		return;
	text_string(out, "<small>");
	byte_size(out, bytes);
	text_string(out, "</small>");
}

static void loss(struct text *out, uint64_t packets)
{
	text_format(out, "<td class=\"n %s\">", packets ? "warn" : "quiet");
	grouped(out, packets);
}

/* What there is, and beside it what was wanted, if that was something definite and is not what came. */
static void mode(struct text *out, const struct names *names, uint32_t actual, uint32_t wanted,
		 uint32_t automatic)
{
	text_string(out, name_of(names, actual));
	if (wanted != automatic && wanted != actual)
		text_format(out, ", wanted %s", name_of(names, wanted));
}

static void ring(struct text *out, const struct xdpd_ring_record *ring)
{
	uint64_t percent = ring->size ? (uint64_t)ring->entries * 100 / ring->size : 0;

	if (!ring->size) {
		text_string(out, "<td class=\"quiet\">\xe2\x80\x93");
		return;
	}
	text_format(out,
		    "<td>%" PRIu32 " <span class=\"quiet\">/ %" PRIu32 "</span>"
		    "<span class=\"bar\"><i style=\"width:%" PRIu64 "%%\"></i></span>",
		    ring->entries, ring->size, percent > 100 ? 100 : percent);
}

static const char *state_class(uint32_t state)
{
	switch (state) {
	case XDPD_QUEUE_ATTACHED:
		return "good";
	case XDPD_QUEUE_READY:
		return "calm";
	case XDPD_QUEUE_WAITING:
		return "quiet";
	case XDPD_QUEUE_RELEASING:
	case XDPD_QUEUE_BUSY:
		return "warn";
	default:
		return "bad";
	}
}

/* ---- the page ---- */

/* The widths are fixed, so that the interfaces' tables line up. */
static const char queue_columns[] =
	"<div class=\"scroll\"><table><colgroup><col style=\"width:6%\"><col style=\"width:9%\">"
	"<col style=\"width:12%\"><col style=\"width:10%\"><col style=\"width:12%\">"
	"<col style=\"width:10%\"><col style=\"width:8%\"><col style=\"width:7%\">"
	"<col style=\"width:8%\"><col style=\"width:9%\"><col style=\"width:9%\"></colgroup>\n"
	"<thead><tr><th>Queue<th>State<th>Consumer<th>Delivery<th class=\"n\">Received"
	"<th class=\"n\">Transmitted<th class=\"n\">To the kernel<th class=\"n\">Dropped"
	"<th class=\"n\">RX ring full<th>RX ring<th>Fill ring\n<tbody>\n";

static const char group_columns[] =
	"<div class=\"scroll\"><table><thead><tr><th>Group<th>Queue<th>Members"
	"<th class=\"n\">Received<th class=\"n\">Transmitted<th>Frames held"
	"<th class=\"n\">RX ring full<th class=\"n\">Over quota<th class=\"n\">Overrun\n<tbody>\n";

static const char rule_columns[] =
	"<div class=\"scroll\"><table><colgroup><col style=\"width:6%\"><col style=\"width:54%\">"
	"<col style=\"width:28%\"><col style=\"width:12%\"></colgroup>\n"
	"<thead><tr><th>Rule<th>Match<th>Action<th class=\"n\">Frames\n<tbody>\n";

static const char table_end[] = "</table></div>\n";

static void daemon_header(struct text *out, const struct xdpd_daemon_record *daemon, uint64_t now)
{
	text_string(out, "<header><h1>xdpd</h1><span class=\"quiet\">");
	text_html(out, TEXT(daemon->release));
	text_string(out, "</span><span class=\"quiet\">up ");
	duration(out, daemon->started, now);
	text_string(out, "</span><span class=\"quiet push\">");
	text_html(out, TEXT(daemon->config));
	text_string(out, ", loaded ");
	moment(out, daemon->last_reload);
	text_string(out, "</span><a href=\"/metrics\">metrics</a></header>\n");

	if (!daemon->last_reload_ok)
		text_string(
			out,
			"<section><p class=\"title bad\">The last reload failed; what was loaded "
			"before is in force.</p></section>\n");
	if (daemon->runtime_changes)
		text_format(out,
			    "<section><p class=\"title warn\">%" PRIu32
			    " %s not as the configuration "
			    "file has %s; a reload undoes that.</p></section>\n",
			    daemon->runtime_changes,
			    daemon->runtime_changes == 1 ? "queue is" : "queues are",
			    daemon->runtime_changes == 1 ? "it" : "them");
}

static void queue_row(struct text *out, const struct xdpd_queue_record *queue)
{
	text_format(out, "<tr><td>%" PRIu32 "%s<td><span class=\"state %s\">%s</span>",
		    queue->queue, queue->runtime ? "<small>runtime</small>" : "",
		    state_class(queue->state), name_of(&queue_state_names, queue->state));
	text_string(out, "<td class=\"name\">");
	if (queue->consumers > 1)
		text_format(out, "%" PRIu32 " consumers", queue->consumers);
	else if (queue->consumer[0])
		text_html(out, TEXT(queue->consumer));
	else
		text_string(out, "<span class=\"quiet\">\xe2\x80\x93</span>");
	text_format(out, "<td>%s<small>", name_of(&delivery_names, queue->delivery));
	if (queue->bind == XDPD_BIND_NONE)
		text_string(out, "not bound");
	else
		mode(out, &bind_mode_names, queue->bind, queue->wanted_bind, XDPD_BIND_AUTO);
	text_string(out, "</small>");
	traffic(out, queue->receive_packets, queue->receive_bytes);
	traffic(out, queue->transmit_packets, queue->transmit_bytes);
	traffic(out, queue->passed_packets, queue->passed_bytes);
	loss(out, queue->receive_dropped);
	loss(out, queue->receive_ring_full);
	ring(out, &queue->rx);
	ring(out, &queue->fill);
	text_string(out, "\n");
	if (queue->reason[0]) {
		text_string(out, "<tr><td class=\"reason\"><td class=\"reason\" colspan=\"10\">");
		text_html(out, TEXT(queue->reason));
		text_string(out, "\n");
	}
}

static void interface_title(struct text *out, const struct xdpd_interface_record *interface)
{
	text_string(out, "<div class=\"title\"><h2>");
	text_html(out, TEXT(interface->device));
	text_string(out, "</h2>");
	if (!interface->ifindex) {
		text_string(out, "<span class=\"state quiet\">absent</span>");
	} else {
		text_format(out, "<span class=\"state %s\">%s</span><span class=\"quiet\">",
			    interface->up ? "good" : "bad", interface->up ? "up" : "down");
		text_html(out, TEXT(interface->driver));
		text_string(out, "</span><span class=\"quiet\">XDP ");
		mode(out, &xdp_mode_names, interface->mode, interface->wanted_mode, XDPD_MODE_AUTO);
		text_format(out,
			    "</span><span class=\"quiet\">MTU %" PRIu32 "</span>"
			    "<span class=\"quiet\">%" PRIu32 " receive %s</span>",
			    interface->mtu, interface->channels,
			    interface->channels == 1 ? "queue" : "queues");
	}
	text_format(out,
		    "<span class=\"quiet push\">%" PRIu32 " of %" PRIu32
		    " configured ready</span></div>\n",
		    interface->queues_ready, interface->queues);
	if (interface->reason[0]) {
		text_string(out, "<p class=\"reason\">");
		text_html(out, TEXT(interface->reason));
		text_string(out, "</p>\n");
	}
	if (interface->note[0]) {
		text_string(out, "<p class=\"note\">");
		text_html(out, TEXT(interface->note));
		text_string(out, "</p>\n");
	}
}

/* What all members hold of what they may hold together. */
static void held(struct text *out, const struct xdpd_group_record *group)
{
	const struct xdpd_ring_record held = {.size = group->quota * group->members,
					      .entries = group->held};

	ring(out, &held);
}

static void group_row(struct text *out, const struct xdpd_group_record *group)
{
	text_string(out, "<tr><td class=\"name\">");
	text_html(out, TEXT(group->name));
	text_format(out, "%s<td>%" PRIu32 "<td>%" PRIu32 "<small>%s</small>",
		    group->configured ? "" : "<small>made by attaching</small>", group->queue,
		    group->members, name_of(&hold_mode_names, group->mode));
	traffic(out, group->receive_packets, group->receive_bytes);
	traffic(out, group->transmit_packets, group->transmit_bytes);
	held(out, group);
	loss(out, group->dropped_ring_full);
	loss(out, group->dropped_quota);
	loss(out, group->overrun);
	text_string(out, "\n");
}

static void rule_row(struct text *out, const struct xdpd_rule_record *rule)
{
	bool otherwise = rule->rule == UINT32_MAX;

	if (otherwise)
		text_string(out, "<tr><td>default<td class=\"name\">");
	else
		text_format(out, "<tr><td>%" PRIu32 "<td class=\"name\">", rule->rule);
	if (rule->match[0])
		text_html(out, TEXT(rule->match));
	else
		text_format(out, "<span class=\"quiet\">%s</span>", otherwise ? "all else" : "all");
	text_format(out, "<td class=\"name\">%s%s", name_of(&action_names, rule->action),
		    rule->groups[0] ? " to " : "");
	text_html(out, TEXT(rule->groups));
	traffic(out, rule->packets, rule->bytes);
	text_string(out, "\n");
}

/* All records are sorted as the interfaces are: each takes its run of them, from here on. */
struct cursor {
	size_t queue, group, rule;
};

static bool is_of(const char *device, const struct xdpd_interface_record *interface)
{
	return strncmp(device, interface->device, sizeof(interface->device)) == 0;
}

static void queue_table(struct text *out, const struct status *status,
			const struct xdpd_interface_record *interface, size_t *next)
{
	size_t first = *next;

	for (; *next < status->n_queues && is_of(status->queues[*next].device, interface);
	     (*next)++) {
		if (*next == first)
			text_string(out, queue_columns);
		queue_row(out, &status->queues[*next]);
	}
	if (*next > first)
		text_string(out, table_end);
}

static void group_table(struct text *out, const struct status *status,
			const struct xdpd_interface_record *interface, size_t *next)
{
	size_t first = *next;

	for (; *next < status->n_groups && is_of(status->groups[*next].device, interface);
	     (*next)++) {
		if (*next == first)
			text_string(out, group_columns);
		group_row(out, &status->groups[*next]);
	}
	if (*next > first)
		text_string(out, table_end);
}

/* A default that stands alone and gives all to everybody steers nothing. */
static bool steers(const struct xdpd_rule_record *rules, size_t n)
{
	return n > 1 || (n == 1 && (rules->action != XDPD_ACTION_REDIRECT || rules->groups[0]));
}

static void rule_table(struct text *out, const struct status *status,
		       const struct xdpd_interface_record *interface, size_t *next)
{
	size_t first = *next;

	while (*next < status->n_rules && is_of(status->rules[*next].device, interface))
		(*next)++;
	if (!steers(status->rules + first, *next - first))
		return;
	text_string(out, rule_columns);
	for (size_t i = first; i < *next; i++)
		rule_row(out, &status->rules[i]);
	text_string(out, table_end);
}

static void interface_section(struct text *out, const struct status *status,
			      const struct xdpd_interface_record *interface, struct cursor *next)
{
	text_string(out, "<section>");
	interface_title(out, interface);
	queue_table(out, status, interface, &next->queue);
	group_table(out, status, interface, &next->group);
	rule_table(out, status, interface, &next->rule);
	text_string(out, "</section>\n");
}

/* The group that it is in, and how. */
static void membership(struct text *out, const struct xdpd_consumer_record *consumer)
{
	text_string(out, "<td class=\"name\">");
	if (!consumer->mode) {
		text_string(out, "<span class=\"quiet\">\xe2\x80\x93</span>");
		return;
	}
	text_html(out, TEXT(consumer->group));
	text_format(out, "<small>%s", name_of(&hold_mode_names, consumer->mode));
	if (consumer->mode == XDPD_HOLD)
		text_format(out, "s %" PRIu32 " of %" PRIu32, consumer->held, consumer->quota);
	text_string(out, "</small>");
}

static void consumer_section(struct text *out, const struct status *status, uint64_t now)
{
	if (!status->n_consumers)
		return;
	text_string(out,
		    "<section><div class=\"title\"><h2>Consumers</h2></div>"
		    "<div class=\"scroll\"><table><thead><tr><th>Name<th>Queue<th>Group<th>Process"
		    "<th>Attached for<th class=\"n\">Received<th class=\"n\">Transmitted"
		    "<th class=\"n\">Lost\n<tbody>\n");
	for (size_t i = 0; i < status->n_consumers; i++) {
		const struct xdpd_consumer_record *consumer = &status->consumers[i];

		text_string(out, "<tr><td class=\"name\">");
		text_html(out, TEXT(consumer->name));
		text_string(out, "<td class=\"name\">");
		text_html(out, TEXT(consumer->device));
		text_format(out, " %" PRIu32, consumer->queue);
		membership(out, consumer);
		text_format(out, "<td>%" PRIu32 "<small>uid %" PRIu32 "</small><td>", consumer->pid,
			    consumer->uid);
		duration(out, consumer->attached, now);
		traffic(out, consumer->receive_packets, consumer->receive_bytes);
		traffic(out, consumer->transmit_packets, consumer->transmit_bytes);
		loss(out, consumer->dropped);
		text_string(out, "\n");
	}
	text_string(out, "</table></div></section>\n");
}

int page_render(struct text *out, const struct status *status, uint64_t now)
{
	struct cursor next = {};

	text_clear(out);
	text_bytes(out, head, sizeof(head) - 1);
	daemon_header(out, &status->daemon, now);
	if (!status->n_interfaces)
		text_string(out, "<section><p class=\"title quiet\">No interface is configured."
				 "</p></section>\n");
	for (size_t i = 0; i < status->n_interfaces; i++)
		interface_section(out, status, &status->interfaces[i], &next);
	consumer_section(out, status, now);
	text_string(out, "</main>\n</html>\n");
	return out->error;
}
