// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/quota.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

void quota_init(struct quota *quota)
{
	struct rlimit files = {.rlim_cur = 1024};

	(void)getrlimit(RLIMIT_NOFILE, &files);
	*quota = (struct quota){.fds = files.rlim_cur};
}

void quota_clear(struct quota *quota)
{
	free(quota->users);
	*quota = (struct quota){};
}

static struct quota_user *find_user(const struct quota *quota, uid_t uid)
{
	for (size_t i = 0; i < quota->n_users; i++)
		if (quota->users[i]->uid == uid)
			return quota->users[i];
	return NULL;
}

static struct quota_user *add_user(struct quota *quota, uid_t uid)
{
	struct quota_user **grown = reallocarray(quota->users, quota->n_users + 1, sizeof(*grown));
	struct quota_user *user;

	if (!grown)
		return NULL;
	quota->users = grown;
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->uid = uid;
	grown[quota->n_users++] = user;
	return user;
}

static size_t connections_of_all(const struct quota *quota, size_t queues)
{
	size_t reserved = QUOTA_FDS + QUOTA_FDS_PER_QUEUE * queues;
	size_t least = quota->fds / 4;

	return quota->fds > least + reserved ? quota->fds - reserved : least;
}

static int check_connections(const struct quota *quota, uid_t uid, size_t queues,
			     const struct quota_user *user, struct failure *why)
{
	size_t of_user = QUOTA_CONNECTIONS + QUOTA_CONNECTIONS_PER_QUEUE * queues;
	size_t of_all = connections_of_all(quota, queues);

	if (uid != 0 && user && user->connections >= of_user)
		return failure(why, EUSERS,
			       "uid %u has %zu connections already (EUSERS); close some of them",
			       uid, user->connections);
	if (quota->connections + (uid != 0 ? QUOTA_CONNECTIONS_OF_ROOT : 0) >= of_all)
		return failure(
			why, EUSERS,
			"xdpd has %zu connections already (EUSERS); close some of them, or raise "
			"LimitNOFILE= of xdpd",
			quota->connections);
	return 0;
}

int quota_connect(struct quota *quota, uid_t uid, size_t queues, struct quota_user **ret,
		  struct failure *why)
{
	struct quota_user *user = find_user(quota, uid);
	int r = check_connections(quota, uid, queues, user, why);

	if (r < 0)
		return r;
	if (!user)
		user = add_user(quota, uid);
	if (!user)
		return failure(why, ENOMEM, "no memory for a connection (ENOMEM)");
	user->connections++;
	quota->connections++;
	*ret = user;
	return 0;
}

void quota_disconnect(struct quota *quota, struct quota_user *user)
{
	size_t at = 0;

	quota->connections--;
	if (--user->connections)
		return;
	while (quota->users[at] != user)
		at++;
	quota->users[at] = quota->users[--quota->n_users];
	free(user);
}

int quota_subscribe(struct quota_user *user, struct failure *why)
{
	if (user->subscriptions >= QUOTA_SUBSCRIPTIONS)
		return failure(
			why, EUSERS,
			"uid %u has %zu subscriptions to events already (EUSERS); end one of them",
			user->uid, user->subscriptions);
	user->subscriptions++;
	return 0;
}

void quota_unsubscribe(struct quota_user *user)
{
	user->subscriptions--;
}

int quota_queue(struct quota_user *user, size_t bytes)
{
	if (bytes > QUOTA_QUEUED_BYTES - user->queued_bytes)
		return -EDQUOT;
	user->queued_bytes += bytes;
	return 0;
}

void quota_unqueue(struct quota_user *user, size_t bytes)
{
	user->queued_bytes -= bytes;
}
