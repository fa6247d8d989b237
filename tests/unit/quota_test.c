// SPDX-License-Identifier: BSD-2-Clause
/* The limits of daemon/quota.h, with the number of fds that the process may open set by the tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "daemon/quota.h"

#define QUEUES 8

static struct quota quota;
static struct failure why;

static int set_up(void **state)
{
	(void)state;
	quota_init(&quota);
	quota.fds = 4096;
	return 0;
}

/* Connects until it is turned away; returns how many there are. */
static size_t connect_all(uid_t uid, struct quota_user **ret)
{
	size_t count = 0;
	int r;

	while ((r = quota_connect(&quota, uid, QUEUES, ret, &why)) == 0)
		count++;
	assert_int_equal(r, -EUSERS);
	assert_int_equal(why.code, EUSERS);
	return count;
}

static void disconnect_all(struct quota_user *user)
{
	for (size_t count = user->connections; count; count--)
		quota_disconnect(&quota, user);
}

static void a_uid_can_hold_every_queue_and_little_more(void **state)
{
	struct quota_user *one, *other;

	(void)state;
	assert_int_equal(connect_all(1000, &one), 64 + 2 * QUEUES);
	assert_non_null(strstr(why.text, "uid 1000 has 80 connections"));
	assert_int_equal(connect_all(1001, &other), 64 + 2 * QUEUES);

	quota_disconnect(&quota, one);
	assert_int_equal(quota_connect(&quota, 1000, QUEUES, &one, &why), 0);
	disconnect_all(one);
	disconnect_all(other);
	assert_int_equal(quota.connections, 0);
	assert_int_equal(quota.n_users, 0);
}

static void all_uids_together_leave_the_fds_of_the_queues_and_root_its_connections(void **state)
{
	struct quota_user *users[100], *root;
	size_t n = 0, before;

	(void)state;
	do {
		before = quota.connections;
		connect_all(1000 + (uid_t)n, &users[n]);
	} while (quota.connections - before == 64 + 2 * QUEUES && ++n < 100);
	assert_int_equal(quota.connections, 4096 - (64 + 10 * QUEUES) - 32);
	assert_non_null(strstr(why.text, "LimitNOFILE="));

	assert_int_equal(connect_all(0, &root), 32);
	quota_disconnect(&quota, root);
	assert_int_equal(quota_connect(&quota, 0, QUEUES, &root, &why), 0);
	while (quota.n_users)
		disconnect_all(quota.users[0]);
}

static void with_few_fds_a_quarter_of_them_is_for_connections(void **state)
{
	struct quota_user *root;

	(void)state;
	quota.fds = 100;
	assert_int_equal(connect_all(0, &root), 25);
	disconnect_all(root);
}

static void subscriptions_of_a_uid_are_limited(void **state)
{
	struct quota_user *user;

	(void)state;
	assert_int_equal(quota_connect(&quota, 1000, QUEUES, &user, &why), 0);
	for (int i = 0; i < QUOTA_SUBSCRIPTIONS; i++)
		assert_int_equal(quota_subscribe(user, &why), 0);
	assert_int_equal(quota_subscribe(user, &why), -EUSERS);
	assert_non_null(strstr(why.text, "16 subscriptions"));
	quota_unsubscribe(user);
	assert_int_equal(quota_subscribe(user, &why), 0);
	quota_disconnect(&quota, user);
}

static void bytes_that_wait_to_be_read_are_limited(void **state)
{
	struct quota_user *user;

	(void)state;
	assert_int_equal(quota_connect(&quota, 1000, QUEUES, &user, &why), 0);
	assert_int_equal(quota_queue(user, QUOTA_QUEUED_BYTES), 0);
	assert_int_equal(quota_queue(user, 1), -EDQUOT);
	quota_unqueue(user, 1);
	assert_int_equal(quota_queue(user, 1), 0);
	quota_disconnect(&quota, user);
}

static int tear_down(void **state)
{
	(void)state;
	quota_clear(&quota);
	return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_uid_can_hold_every_queue_and_little_more),
		TEST(all_uids_together_leave_the_fds_of_the_queues_and_root_its_connections),
		TEST(with_few_fds_a_quarter_of_them_is_for_connections),
		TEST(subscriptions_of_a_uid_are_limited),
		TEST(bytes_that_wait_to_be_read_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
