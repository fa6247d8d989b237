// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/peer.h"

#include <sys/socket.h>
#include <sys/syscall.h>

#include "daemon/cleanup.h"

int peer_of_socket(struct peer *ret, int fd)
{
	struct ucred credentials;
	socklen_t length = sizeof(credentials);
	socklen_t bytes = 0;
	cleanup_free gid_t *gids = NULL;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
		return -errno;
	/* The first call tells the size [Linux 4.13]; a peer without supplementary groups has none. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &bytes) < 0 && errno != ERANGE)
		return -errno;
	gids = malloc(sizeof(gid_t) + bytes);
	if (!gids)
		return -ENOMEM;
	gids[0] = credentials.gid;
	if (bytes && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids + 1, &bytes) < 0)
		return -errno;
	*ret = (struct peer){
		.pid = credentials.pid,
		.uid = credentials.uid,
		.n_gids = 1 + bytes / sizeof(gid_t),
		.gids = TAKE_PTR(gids),
	};
	return 0;
}

void peer_clear(struct peer *peer)
{
	free(peer->gids);
	*peer = (struct peer){};
}

bool peer_is_on(const struct peer *peer, const struct access_list *list)
{
	return access_allows(list, peer->uid, peer->gids, peer->n_gids);
}

int peer_open_pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}
