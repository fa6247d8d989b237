/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "daemon/log.h"

static const struct log_context eth0_3 = {.device = "eth0", .queue = 3};

/* ---- the journal: this program's sd_journal_sendv() comes before the library's ---- */

static char journal[65536]; /* the fields of all messages, one a line */
static int journal_result;

int sd_journal_sendv(const struct iovec *fields, int n)
{
	size_t used = strlen(journal);

	if (journal_result < 0)
		return journal_result;
	for (int i = 0; i < n; i++)
		used += (size_t)snprintf(journal + used, sizeof(journal) - used, "%.*s\n",
					 (int)fields[i].iov_len, (const char *)fields[i].iov_base);
	return 0;
}

/* ---- stderr: a file in memory while a test runs ---- */

static char written[65536];
static int real_stderr = -1;

static int start(void **state)
{
	int fd = memfd_create("stderr", MFD_CLOEXEC);

	(void)state;
	journal[0] = '\0';
	journal_result = 0;
	unsetenv("JOURNAL_STREAM");
	real_stderr = dup(STDERR_FILENO);
	if (fd < 0 || real_stderr < 0 || dup2(fd, STDERR_FILENO) < 0)
		return -1;
	close(fd);
	return 0;
}

static int end(void **state)
{
	(void)state;
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	return 0;
}

static void stderr_is_the_stream(ino_t off_by)
{
	char stream[64];
	struct stat st;

	assert_return_code(fstat(STDERR_FILENO, &st), errno);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)(st.st_ino + off_by));
	setenv("JOURNAL_STREAM", stream, 1);
}

static const char *lines(void)
{
	ssize_t length = pread(STDERR_FILENO, written, sizeof(written) - 1, 0);

	assert_true(length >= 0);
	written[length] = '\0';
	return written;
}

/* ---- plain lines ---- */

static void a_line_says_the_level_and_the_message(void **state)
{
	(void)state;
	log_open(LOG_DEBUG);
	log_error("a %d", 1);
	log_warning("b");
	log_notice("c");
	log_info("d");
	log_debug("e");
	assert_string_equal(lines(), "error: a 1\nwarning: b\nnotice: c\ninfo: d\ndebug: e\n");
	assert_string_equal(journal, "");
}

static void a_line_says_what_it_is_about(void **state)
{
	(void)state;
	log_open(LOG_INFO);
	log_write(LOG_INFO, eth0_3, "ready");
	log_write(LOG_INFO, (struct log_context){.device = "eth0", .queue = UINT32_MAX}, "up");
	log_write(LOG_INFO, (struct log_context){.queue = 7}, "ready");
	assert_string_equal(lines(),
			    "info: eth0 queue 3: ready\ninfo: eth0: up\ninfo: queue 7: ready\n");
}

static void a_message_that_names_its_device_is_not_given_it_twice(void **state)
{
	(void)state;
	log_open(LOG_INFO);
	log_write(LOG_ERR, eth0_3, "eth0 queue 3: the driver has no zero-copy");
	log_write(LOG_ERR, eth0_3, "eth0: another XDP program is attached");
	log_write(LOG_ERR, eth0_3, "eth01 is another one");
	assert_string_equal(lines(), "error: eth0 queue 3: the driver has no zero-copy\n"
				     "error: eth0: another XDP program is attached\n"
				     "error: eth0 queue 3: eth01 is another one\n");
}

static void messages_above_the_level_are_dropped(void **state)
{
	(void)state;
	log_open(LOG_NOTICE);
	log_info("no");
	log_debug("no");
	log_notice("yes");
	assert_string_equal(lines(), "notice: yes\n");
}

static void errno_can_be_said_and_is_left_as_it_was(void **state)
{
	(void)state;
	log_open(LOG_INFO);
	errno = EBUSY;
	log_write(LOG_ERR, eth0_3, "bind: %m");
	assert_int_equal(errno, EBUSY);
	assert_string_equal(lines(), "error: eth0 queue 3: bind: Device or resource busy\n");
}

static void a_message_that_is_too_long_is_cut_and_says_so(void **state)
{
	static char text[20000];
	const char *line;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	log_open(LOG_INFO);
	log_write(LOG_INFO, eth0_3, "%s", text);
	log_info("next");
	line = lines();
	assert_memory_equal(line, "info: eth0 queue 3: xxx", 23);
	assert_in_range(strlen(line), 16000, 16500);
	assert_non_null(strstr(line, "x...\ninfo: next\n"));
}

/* ---- the journal ---- */

static void the_journal_gets_fields_when_stderr_is_its_stream(void **state)
{
	(void)state;
	stderr_is_the_stream(0);
	log_open(LOG_INFO);
	log_write(LOG_NOTICE,
		  (struct log_context){.device = "eth0", .consumer = "suricata", .queue = 0},
		  "attached, uid %d", 1000);
	assert_string_equal(journal, "MESSAGE=eth0 queue 0: attached, uid 1000\n"
				     "PRIORITY=5\n"
				     "XDPD_DEVICE=eth0\n"
				     "XDPD_QUEUE=0\n"
				     "XDPD_CONSUMER=suricata\n");
	assert_string_equal(lines(), "");
}

static void the_journal_gets_no_field_that_does_not_apply(void **state)
{
	(void)state;
	stderr_is_the_stream(0);
	log_open(LOG_INFO);
	log_warning("100%% full");
	log_debug("no");
	assert_string_equal(journal, "MESSAGE=100% full\nPRIORITY=4\n");
}

static void a_redirected_stderr_gets_plain_lines_under_systemd_too(void **state)
{
	(void)state;
	stderr_is_the_stream(1);
	log_open(LOG_INFO);
	log_info("here");
	assert_string_equal(lines(), "info: here\n");
	assert_string_equal(journal, "");
}

static void a_message_that_the_journal_refuses_goes_to_stderr(void **state)
{
	(void)state;
	stderr_is_the_stream(0);
	log_open(LOG_INFO);
	journal_result = -EMSGSIZE;
	log_write(LOG_ERR, eth0_3, "lost?");
	assert_string_equal(lines(), "error: eth0 queue 3: lost?\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)
		TEST(a_line_says_the_level_and_the_message),
		TEST(a_line_says_what_it_is_about),
		TEST(a_message_that_names_its_device_is_not_given_it_twice),
		TEST(messages_above_the_level_are_dropped),
		TEST(errno_can_be_said_and_is_left_as_it_was),
		TEST(a_message_that_is_too_long_is_cut_and_says_so),
		TEST(the_journal_gets_fields_when_stderr_is_its_stream),
		TEST(the_journal_gets_no_field_that_does_not_apply),
		TEST(a_redirected_stderr_gets_plain_lines_under_systemd_too),
		TEST(a_message_that_the_journal_refuses_goes_to_stderr),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
