// SPDX-License-Identifier: BSD-2-Clause
/* A consumer that does not read what it is sent hears why it can't have what it asks for, and can go on. */
#include "tests/live/harness.h"

#include <errno.h>

#include "tests/live/instance.h"
#include "tests/live/netns.h"
#include "tests/live/protocol.h"

/* Their answers are several times what a socket holds. */
#define LISTS 1000

static int ask_for_lists(struct protocol *protocol)
{
	struct xdpd_list_request request = {.kind = XDPD_LIST_QUEUES};
	int r = 0;

	for (int i = 0; i < LISTS && r == 0; i++)
		r = protocol_send(protocol, XDPD_LIST, &request, sizeof(request));
	return r;
}

static void a_grant_that_finds_no_room_is_refused_with_the_reason_and_can_be_asked_for_again(
	void **state)
{
	struct xdpd_attach_request attach = {.device = "near"};
	struct protocol_message message;
	struct protocol_target target;
	struct instance *daemon;
	int lists = 0, type;

	(void)state;
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far"}));
	daemon = instance_start("interfaces: [{ name: near, queues: [{ id: 0, frames: 64 }] }]\n");
	target = protocol_target(instance_socket(daemon), "near", 0, "slow");
	{
		cleanup_protocol struct protocol slow;

		protocol_init(&slow, &target);
		assert_ok(protocol_go(&slow, PROTOCOL_WELCOMED));
		assert_ok(ask_for_lists(&slow));
		assert_ok(protocol_send(&slow, XDPD_ATTACH, &attach, sizeof(attach)));
		/* It reads nothing before all is answered. */
		assert_becomes(instance_metric(daemon, "xdpd_control_requests_total", "command",
					       "attach") == 1,
			       20000);
		while ((type = protocol_receive(&slow, &message, PROTOCOL_PATIENCE)) !=
		       XDPD_ERROR) {
			assert_true(type == XDPD_RECORD || type == XDPD_DONE);
			lists += type == XDPD_DONE;
		}
		assert_int_equal(lists, LISTS);
		assert_int_equal(message.error.code, EAGAIN);
		assert_non_null(
			strstr(slow.reason, "near queue 0: can't send the grant (EAGAIN); read"));
		assert_ok(protocol_go(&slow, PROTOCOL_STARTED));
	}
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(
			a_grant_that_finds_no_room_is_refused_with_the_reason_and_can_be_asked_for_again),
	};

	return live_run("backlog", tests, 60);
}
