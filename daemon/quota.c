// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/quota.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

void quota_init(struct quota *quota)
{
	struct rlimit files = {.rlim_cur = 1024};

	(void)getrlimit(RLIMIT_NOFILE, &files);
	*quota = (struct quota){.connections_per_uid = files.rlim_cur / 4};
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

int quota_connect(struct quota *quota, uid_t uid, struct quota_user **ret)
{
	struct quota_user *user = find_user(quota, uid);

	if (user && user->connections >= quota->connections_per_uid)
		return -EUSERS;
	if (!user)
		user = add_user(quota, uid);
	if (!user)
		return -ENOMEM;
	user->connections++;
	*ret = user;
	return 0;
}

void quota_disconnect(struct quota *quota, struct quota_user *user)
{
	size_t at = 0;

	if (--user->connections)
		return;
	while (quota->users[at] != user)
		at++;
	quota->users[at] = quota->users[--quota->n_users];
	free(user);
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
