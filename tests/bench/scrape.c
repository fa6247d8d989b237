// SPDX-License-Identifier: BSD-2-Clause
/*
 * scrape SOCKET N [COUNTS]: asks for /metrics N times, each on a connection of its own as Prometheus does by default
 * behind `Connection: close`, and prints a line for each: milliseconds from connect() to the answer's end, its bytes,
 * and what the daemon allocated meanwhile, calls and bytes, if preload/allocations.c counts into COUNTS.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char request[] = "GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n";

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static size_t scrape(const struct sockaddr_un *address)
{
	static char answer[1 << 18];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t bytes = 0;
	ssize_t n;

	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    write(fd, request, sizeof(request) - 1) < 0)
		die("scrape: can't ask");
	while ((n = read(fd, answer, sizeof(answer))) > 0) {
		if (!bytes && memcmp(answer, "HTTP/1.1 200", 12) != 0) {
			fputs("scrape: xdpd does not answer with 200\n", stderr);
			exit(1);
		}
		bytes += (size_t)n;
	}
	if (n < 0)
		die("scrape: can't read the answer");
	close(fd);
	return bytes;
}

static const volatile uint64_t *map_counts(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *counts = fd < 0 ? MAP_FAILED : mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);

	if (counts == MAP_FAILED)
		die(path);
	close(fd);
	return counts;
}

int main(int argc, char **argv)
{
	static const uint64_t nothing[2];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const volatile uint64_t *counts = nothing;

	if (argc < 3 || strlen(argv[1]) >= sizeof(address.sun_path)) {
		fputs("usage: scrape SOCKET N [COUNTS]\n", stderr);
		return 2;
	}
	strcpy(address.sun_path, argv[1]);
	if (argc > 3)
		counts = map_counts(argv[3]);
	for (long n = strtol(argv[2], NULL, 10); n > 0; n--) {
		const uint64_t calls = counts[0], allocated = counts[1];
		const double start = milliseconds();
		const size_t bytes = scrape(&address);
		const double taken = milliseconds() - start;

		/* The daemon frees what it had for the answer when it has sent it; let it. */
		usleep(2000);
		printf("%.4f %zu %" PRIu64 " %" PRIu64 "\n", taken, bytes, counts[0] - calls,
		       counts[1] - allocated);
	}
	return 0;
}
