/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Every message would carry the same place, log_write(). */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "client/xdpd_protocol.h"
#include "daemon/log.h"

#define FIELD "MESSAGE="
#define CUT   "..."

static int max_level = LOG_INFO;
static bool to_journal;

static const char *const level_names[] = {
	[LOG_EMERG] = "emergency", [LOG_ALERT] = "alert",     [LOG_CRIT] = "critical",
	[LOG_ERR] = "error",	   [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
	[LOG_INFO] = "info",	   [LOG_DEBUG] = "debug",
};

/*
 * Whether stderr is still the stream that systemd connected to the journal. The variable alone does not tell:
 * a program started with 2>file inherits it as well [systemd.exec(5), $JOURNAL_STREAM].
 */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char mine[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	(void)snprintf(mine, sizeof(mine), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, mine) == 0;
}

void log_open(int level)
{
	max_level = level;
	to_journal = stderr_is_journal();
}

/* Like snprintf() at buffer[used], but returns the new end, cut to what fits. */
__attribute__((format(printf, 4, 0))) static size_t append_args(char *buffer, size_t size,
								size_t used, const char *format,
								va_list args)
{
	int length = vsnprintf(buffer + used, size - used, format, args);

	if (length < 0)
		return used;
	if ((size_t)length < size - used)
		return used + (size_t)length;
	memcpy(buffer + size - sizeof(CUT), CUT, sizeof(CUT));
	return size - 1;
}

__attribute__((format(printf, 4, 5))) static size_t append(char *buffer, size_t size, size_t used,
							   const char *format, ...)
{
	va_list args;

	va_start(args, format);
	used = append_args(buffer, size, used, format, args);
	va_end(args);
	return used;
}

static int send_to_journal(int priority, struct log_context about, const char *message,
			   size_t length)
{
	char level[16], device[16 + XDPD_DEVICE_MAX], queue[32], consumer[16 + XDPD_NAME_MAX];
	struct iovec fields[5] = {{(char *)message, length}};
	int n = 1;

#define ADD(field, ...) \
	(fields[n++] = (struct iovec){field, append(field, sizeof(field), 0, __VA_ARGS__)})

	ADD(level, "PRIORITY=%d", priority);
	if (about.device)
		ADD(device, "XDPD_DEVICE=%s", about.device);
	if (about.queue != UINT32_MAX)
		ADD(queue, "XDPD_QUEUE=%u", about.queue);
	if (about.consumer)
		ADD(consumer, "XDPD_CONSUMER=%s", about.consumer);
#undef ADD
	return sd_journal_sendv(fields, n);
}

/* One system call, so that lines of several processes do not mix. */
static void write_line(int priority, const char *text, size_t length)
{
	const char *level = level_names[priority];
	struct iovec parts[] = {
		{(char *)level, strlen(level)},
		{": ", 2},
		{(char *)text, length},
		{"\n", 1},
	};
	ssize_t written = writev(STDERR_FILENO, parts, 4);

	(void)written; /* nowhere is left to say that it failed */
}

/* A failure's sentence says itself what it is about [daemon/failure.h]. */
static bool begins_with_device(const char *text, const char *device)
{
	size_t length = device ? strlen(device) : 0;

	return length && strncmp(text, device, length) == 0 && strchr(": ", text[length]);
}

void log_write(int priority, struct log_context about, const char *format, ...)
{
	/* Not allocated, so that being out of memory can be said too; static, as only the main thread logs. */
	static char message[16384] = FIELD;
	static char *const text = message + sizeof(FIELD) - 1;
	const size_t size = sizeof(message) - (sizeof(FIELD) - 1);
	int saved = errno;
	size_t place = 0, length;
	va_list args;

	priority = LOG_PRI(priority);
	if (priority > max_level)
		return;

	if (about.device)
		place = append(text, size, place, "%s", about.device);
	if (about.queue != UINT32_MAX)
		place = append(text, size, place, about.device ? " queue %u" : "queue %u",
			       about.queue);
	if (place)
		place = append(text, size, place, ": ");

	errno = saved; /* for %m */
	va_start(args, format);
	length = append_args(text, size, place, format, args);
	va_end(args);
	if (begins_with_device(text + place, about.device)) {
		length -= place;
		memmove(text, text + place, length + 1);
	}

	/* What the journal does not take still goes to its stream. */
	if (!to_journal ||
	    send_to_journal(priority, about, message, sizeof(FIELD) - 1 + length) < 0)
		write_line(priority, text, length);
	errno = saved;
}
