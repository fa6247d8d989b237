/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP server as the daemon runs it, on an event loop in a child, driven by sockets. TCP stays inside
 * a network namespace that this process makes, and that ends with it.
 */
#include "daemon/http.h" /* before cmocka.h, which makes `fail` a macro */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT	   9820
#define MANY	   1024
#define PATIENCE_S 30

/* What the server's process and the test share. */
static struct shared {
	atomic_uint iterations; /* of the event loop */
	atomic_bool ready;
	atomic_bool broken; /* collect fails */
	atomic_uint scrapes;
} * shared;

static bool have_network;
static char folder[] = "/tmp/xdpd-http-XXXXXX";
static pid_t server = -1;

/* ---- the server's process ---- */

static struct xdpd_queue_record queues[MANY];

/* Large, and different each time, so that a response that was overwritten is seen. */
static int collect(void *context, const struct status **ret)
{
	static struct status status = {.queues = queues, .n_queues = MANY};
	unsigned scrape = atomic_fetch_add(&shared->scrapes, 1) + 1;

	(void)context;
	if (atomic_load(&shared->broken))
		return -ENOMEM;
	for (uint32_t i = 0; i < MANY; i++) {
		(void)snprintf(queues[i].device, sizeof(queues[i].device), "eth%u", i / 64);
		queues[i].queue = i % 64;
		queues[i].receive_packets = scrape;
	}
	status.sessions = scrape;
	*ret = &status;
	return 0;
}

static bool is_ready(void *context)
{
	(void)context;
	return atomic_load(&shared->ready);
}

static int count_iteration(sd_event_source *source, void *context)
{
	(void)source;
	(void)context;
	atomic_fetch_add(&shared->iterations, 1);
	return 0;
}

static const struct http_sources sources = {.collect = collect, .ready = is_ready};

/* Says over `report` how the start went, then serves until SIGTERM. */
static int serve(const struct config_metrics *where, int report, unsigned max_fds)
{
	struct failure why = {};
	struct http *http = NULL;
	sd_event *event = NULL;
	sigset_t mask;
	int r;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	if (sd_event_new(&event) < 0 || sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL) < 0 ||
	    sd_event_add_post(event, NULL, count_iteration, NULL) < 0)
		return 1;
	r = http_start(&http, event, where, &sources, &why);
	if (max_fds)
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){max_fds, max_fds});
	if (write(report, &why, sizeof(why)) != sizeof(why))
		return 1;
	if (r == 0)
		r = sd_event_loop(event);
	http_stop(http);
	sd_event_unref(event);
	return r < 0;
}

/* ---- the test's side ---- */

static struct config_metrics tcp4(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct config_metrics where = {.on = true, .address_length = sizeof(address)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memcpy(&where.address, &address, sizeof(address));
	(void)snprintf(where.text, sizeof(where.text), "127.0.0.1:%d", PORT);
	return where;
}

static struct config_metrics tcp6(void)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	struct config_metrics where = {.on = true, .address_length = sizeof(address)};

	address.sin6_addr = in6addr_loopback;
	memcpy(&where.address, &address, sizeof(address));
	(void)snprintf(where.text, sizeof(where.text), "[::1]:%d", PORT);
	return where;
}

static struct config_metrics local(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct config_metrics where = {.on = true, .address_length = sizeof(address)};

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/http", folder);
	memcpy(&where.address, &address, sizeof(address));
	(void)snprintf(where.text, sizeof(where.text), "unix:%s/http", folder);
	return where;
}

static const char *local_path(void)
{
	static char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/http", folder);
	return path;
}

/* Returns why the server did not start, or an empty failure. */
static struct failure start(struct config_metrics where, unsigned max_fds)
{
	struct failure why = {.code = -1};
	int report[2];

	memset(shared, 0, sizeof(*shared));
	(void)fflush(NULL);
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	server = fork();
	assert_true(server >= 0);
	if (server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(report[0]);
		exit(serve(&where, report[1], max_fds));
	}
	close(report[1]);
	assert_int_equal(read(report[0], &why, sizeof(why)), sizeof(why));
	close(report[0]);
	return why;
}

static void start_well(struct config_metrics where)
{
	struct failure why = start(where, 0);

	if (why.code)
		fail_msg("%s", why.text);
}

/* Ends the server and returns its exit code; 128 + the signal that killed it. */
static int stop(void)
{
	int status = 0;

	kill(server, SIGTERM);
	assert_int_equal(waitpid(server, &status, 0), server);
	server = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int stop_after_test(void **state)
{
	(void)state;
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
		server = -1;
	}
	unlink(local_path());
	return 0;
}

static int dial(struct config_metrics where)
{
	int fd = socket(where.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){PATIENCE_S, 0},
		   sizeof(struct timeval));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){PATIENCE_S, 0},
		   sizeof(struct timeval));
	if (connect(fd, (struct sockaddr *)&where.address, where.address_length) < 0)
		fail_msg("connect to %s: %s", where.text, strerror(errno));
	return fd;
}

static void say(int fd, const char *text)
{
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* All that comes until the other side closes; terminated, to be freed. */
static char *hear(int fd)
{
	size_t length = 0, capacity = 65536;
	char *text = malloc(capacity);

	for (;;) {
		ssize_t n;

		assert_non_null(text);
		n = recv(fd, text + length, capacity - length - 1, 0);
		if (n < 0 && errno == EAGAIN)
			fail_msg("no answer within %d s", PATIENCE_S);
		if (n <= 0)
			break;
		length += (size_t)n;
		if (length == capacity - 1)
			text = realloc(text, capacity *= 2);
	}
	text[length] = '\0';
	close(fd);
	return text;
}

static char *ask(struct config_metrics where, const char *request)
{
	int fd = dial(where);

	say(fd, request);
	return hear(fd);
}

static const char *body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

static size_t content_length(const char *answer)
{
	const char *header = strstr(answer, "\r\nContent-Length: ");

	assert_non_null(header);
	return strtoull(header + 18, NULL, 10);
}

static void assert_status(const char *answer, int status)
{
	char expected[32];

	(void)snprintf(expected, sizeof(expected), "HTTP/1.1 %d ", status);
	if (strncmp(answer, expected, strlen(expected)) != 0)
		fail_msg("expected %s, got: %.60s", expected, answer);
}

static void assert_has(const char *answer, const char *part)
{
	if (!strstr(answer, part))
		fail_msg("no `%s` in: %.400s", part, answer);
}

static void assert_is(const char *request, int status, const char *part)
{
	char *answer = ask(local(), request);

	assert_status(answer, status);
	assert_has(answer, part);
	free(answer);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: xdpd\r\n\r\n"

static void assert_serves(struct config_metrics where)
{
	char *answer = ask(where, GET("/metrics"));

	assert_status(answer, 200);
	assert_int_equal(strlen(body_of(answer)), content_length(answer));
	assert_has(answer, "\nxdpd_sessions ");
	free(answer);
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void need_network(const char *test)
{
	if (have_network)
		return;
	print_message("skipped: %s: no network namespace can be made (needs root or user namespaces)\n",
		      test);
	skip();
}

/* ---- tests ---- */

static void every_path_answers_as_it_says(void **state)
{
	(void)state;
	start_well(local());
	assert_is(GET("/metrics"), 200,
		  "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	assert_is(GET("/metrics"), 200, "\r\nCache-Control: no-store\r\n");
	assert_is(GET("/metrics?x=y"), 200, "\nxdpd_sessions ");
	assert_is(GET("/"), 200, "\r\nContent-Type: text/html; charset=utf-8\r\n");
	assert_is(GET("/"), 200, "<title>xdpd</title>");
	assert_is(GET("/healthz"), 200, "\r\n\r\nok\n");
	assert_is(GET("/readyz"), 503, "\r\n\r\nnot ready\n");
	atomic_store(&shared->ready, true);
	assert_is(GET("/readyz"), 200, "\r\n\r\nready\n");
	assert_is(GET("/metrics/"), 404, "There are /metrics");
	assert_is(GET("/../etc/passwd"), 404, "There are /metrics");
	assert_int_equal(stop(), 0);
}

static void openmetrics_comes_when_it_is_preferred(void **state)
{
	static const struct {
		const char *accept;
		bool openmetrics;
	} cases[] = {
		/* what Prometheus 2 and 3 send */
		{"application/openmetrics-text;version=1.0.0,application/"
		 "openmetrics-text;version=0.0.1;"
		 "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		 true},
		{"application/"
		 "openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/"
		 "openmetrics-text;version=0.0.1;q=0.4,text/"
		 "plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
		 "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
		 true},
		{"text/plain;version=0.0.4;q=1,*/*;q=0.1", false},
		{"*/*", false},
		{"", false},
		{"text/html, application/openmetrics-text", true},
		{"APPLICATION/OpenMetrics-Text ; Q=0.9", true},
		{"application/openmetrics-text;q=0", false},
		{"application/openmetrics-text;q=0.000, text/plain;q=0", false},
		{"application/openmetrics-text;q=0.3,text/plain;q=0.4", false},
		{"application/openmetrics-textual", false},
		{",,;;,application/openmetrics-text;", true},
		{"application/openmetrics-text;q=", true},
	};

	(void)state;
	start_well(local());
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char request[600], *answer;
		bool openmetrics;

		(void)snprintf(request, sizeof(request),
			       "GET /metrics HTTP/1.1\r\nHost: xdpd\r\nAccept: %s\r\n\r\n",
			       cases[i].accept);
		answer = ask(local(), request);
		assert_status(answer, 200);
		openmetrics = strstr(answer, "\r\nContent-Type: application/openmetrics-text; "
					     "version=1.0.0; charset=utf-8\r\n") != NULL;
		if (openmetrics != cases[i].openmetrics)
			fail_msg("wrong format for Accept: %s", cases[i].accept);
		assert_true(openmetrics == (strcmp(answer + strlen(answer) - 6, "# EOF\n") == 0));
		free(answer);
	}
	assert_int_equal(stop(), 0);
}

static void head_is_get_without_the_body(void **state)
{
	char *answer;

	(void)state;
	start_well(local());
	answer = ask(local(), "HEAD /metrics HTTP/1.1\r\nHost: xdpd\r\n\r\n");
	assert_status(answer, 200);
	assert_true(content_length(answer) > 1000000);
	assert_string_equal(body_of(answer), "");
	free(answer);
	assert_int_equal(stop(), 0);
}

static void other_methods_are_refused_with_what_is_allowed(void **state)
{
	static const char *const methods[] = {"POST",  "PUT",	"DELETE", "OPTIONS",
					      "TRACE", "PATCH", "get"};

	(void)state;
	start_well(local());
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		char request[128];

		(void)snprintf(request, sizeof(request),
			       "%s /metrics HTTP/1.1\r\nHost: xdpd\r\n\r\n", methods[i]);
		assert_is(request, 405, "\r\nAllow: GET, HEAD\r\n");
	}
	assert_is("POST / HTTP/1.1\r\nHost: xdpd\r\nContent-Length: 5\r\n\r\nhello", 405,
		  "\r\nAllow: ");
	assert_int_equal(atomic_load(&shared->scrapes), 0);
	assert_int_equal(stop(), 0);
}

static void a_snapshot_that_can_not_be_had_is_a_503(void **state)
{
	(void)state;
	start_well(local());
	atomic_store(&shared->broken, true);
	assert_is(GET("/metrics"), 503, strerror(ENOMEM));
	assert_is(GET("/"), 503, strerror(ENOMEM));
	assert_is(GET("/healthz"), 200, "ok\n");
	atomic_store(&shared->broken, false);
	assert_is(GET("/metrics"), 200, "\nxdpd_sessions ");
	assert_int_equal(stop(), 0);
}

static void ipv4_and_ipv6_are_served(void **state)
{
	(void)state;
	need_network(__func__);
	start_well(tcp4());
	assert_serves(tcp4());
	assert_int_equal(stop(), 0);
	/* again at once: the first server's connections are in TIME_WAIT */
	start_well(tcp4());
	assert_serves(tcp4());
	assert_int_equal(stop(), 0);
	start_well(tcp6());
	assert_serves(tcp6());
	assert_int_equal(stop(), 0);
}

static void curl_gets_the_metrics(void **state)
{
	char command[PATH_MAX + 128];

	(void)state;
	if (system("command -v curl >/dev/null 2>&1") != 0) {
		print_message("skipped: curl_gets_the_metrics: curl is not installed\n");
		skip();
	}
	start_well(local());
	(void)snprintf(command, sizeof(command),
		       "curl -sSf --max-time %d --unix-socket %s http://xdpd/metrics | "
		       "grep -c '^xdpd_sessions ' >/dev/null",
		       PATIENCE_S, local_path());
	assert_int_equal(system(command), 0);
	assert_int_equal(stop(), 0);
}

static void several_clients_are_served_at_once(void **state)
{
	int fds[12];

	(void)state;
	start_well(local());
	for (size_t i = 0; i < 12; i++)
		fds[i] = dial(local());
	for (size_t i = 0; i < 12; i++)
		say(fds[i], "GET /metrics HT");
	for (size_t i = 0; i < 12; i++)
		say(fds[i], "TP/1.1\r\nHost: xdpd\r\n\r\n");
	for (size_t i = 0; i < 12; i++) {
		char *answer = hear(fds[i]);

		assert_status(answer, 200);
		assert_int_equal(strlen(body_of(answer)), content_length(answer));
		free(answer);
	}
	assert_int_equal(stop(), 0);
}

/* Every value of the body is of one scrape. */
static void assert_one_snapshot(const char *answer, unsigned scrape)
{
	char expected[32];
	size_t n = 0;

	assert_int_equal(strlen(body_of(answer)), content_length(answer));
	(void)snprintf(expected, sizeof(expected), "} %u\n", scrape);
	for (const char *at = answer; (at = strstr(at, "\nxdpd_queue_receive_packets_total{"));
	     at++) {
		const char *value = strchr(at, '}');

		assert_memory_equal(value, expected, strlen(expected));
		n++;
	}
	assert_int_equal(n, MANY);
}

static void a_slow_reader_gets_its_own_snapshot_and_holds_nobody_up(void **state)
{
	unsigned before;
	char *answer;
	int slow;

	(void)state;
	start_well(local());
	slow = dial(local());
	say(slow, GET("/metrics"));
	while (atomic_load(&shared->scrapes) < 1)
		sleep_ms(5);
	for (unsigned i = 2; i <= 6; i++) {
		answer = ask(local(), GET("/metrics"));
		assert_one_snapshot(answer, i);
		free(answer);
	}

	/* and while nobody reads, the loop sleeps */
	sleep_ms(200);
	before = atomic_load(&shared->iterations);
	sleep_ms(1000);
	assert_true(atomic_load(&shared->iterations) - before <= 2);

	answer = hear(slow);
	assert_one_snapshot(answer, 1);
	free(answer);
	assert_int_equal(stop(), 0);
}

static void an_idle_server_does_not_wake_up(void **state)
{
	unsigned before;

	(void)state;
	start_well(local());
	assert_serves(local());
	sleep_ms(200);
	before = atomic_load(&shared->iterations);
	sleep_ms(2000);
	assert_int_equal(atomic_load(&shared->iterations), before);
	assert_int_equal(stop(), 0);
}

/* Gives the server a moment to answer, if it wants to. */
static void send_and_leave(const char *bytes, size_t n)
{
	int fd = dial(local());

	(void)!send(fd, bytes, n, MSG_NOSIGNAL);
	(void)poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 20);
	close(fd);
}

static void garbage_does_no_harm(void **state)
{
	static const char *const requests[] = {
		"\r\n\r\n\r\n",
		"GET\r\n\r\n",
		"GET /metrics\r\n\r\n",
		"GET /metrics HTTP/9.9\r\n\r\n",
		"GET /metrics HTTP/1.1\r\n: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"GET /%00%ff%2e%2e HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://other/metrics HTTP/1.1\r\nHost: a\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello \r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	};
	unsigned seed = 1;

	(void)state;
	start_well(local());
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		send_and_leave(requests[i], strlen(requests[i]));
	for (int round = 0; round < 200; round++) {
		char noise[600];

		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (char)(rand_r(&seed) >> 7);
		send_and_leave(noise, sizeof(noise));
	}
	assert_serves(local());
	assert_int_equal(stop(), 0);
}

static void huge_headers_are_refused(void **state)
{
	size_t size = 1 << 20;
	char *request = malloc(size + 64), *answer;
	int at;

	(void)state;
	assert_non_null(request);
	start_well(local());
	at = sprintf(request, "GET /metrics HTTP/1.1\r\nHost: xdpd\r\nX: ");
	memset(request + at, 'x', size);
	strcpy(request + at + 20000, "\r\n\r\n");
	answer = ask(local(), request);
	assert_true(answer[0] == '\0' || strncmp(answer, "HTTP/1.1 431 ", 13) == 0);
	free(answer);

	/* one without an end, and a path without an end */
	memset(request + at, 'x', size);
	request[at + size] = '\0';
	free(ask(local(), request));
	memset(request, '/', size);
	memcpy(request, "GET /", 5);
	free(ask(local(), request));
	assert_int_equal(atomic_load(&shared->scrapes), 0);
	free(request);
	assert_serves(local());
	assert_int_equal(stop(), 0);
}

static void one_address_can_not_take_all_the_connections(void **state)
{
	int hogs[64];
	char *answer;

	(void)state;
	need_network(__func__);
	struct config_metrics where = tcp4();
	((struct sockaddr_in *)&where.address)->sin_addr.s_addr = htonl(INADDR_ANY);
	start_well(where);
	for (size_t i = 0; i < 64; i++) {
		hogs[i] = dial(tcp4());
		say(hogs[i], "GET /");
	}

	/* from 127.0.0.2 */
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in other = {.sin_family = AF_INET,
				    .sin_addr.s_addr = inet_addr("127.0.0.2")};

	where = tcp4();
	assert_int_equal(bind(fd, (struct sockaddr *)&other, sizeof(other)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&where.address, where.address_length), 0);
	say(fd, GET("/healthz"));
	answer = hear(fd);
	assert_status(answer, 200);
	free(answer);
	for (size_t i = 0; i < 64; i++)
		close(hogs[i]);
	assert_int_equal(stop(), 0);
}

/* Both the one that never ends its request, dripping, and the one that never reads its answer. */
static void clients_that_dawdle_are_cut_and_the_waiting_get_their_turn(void **state)
{
	struct timespec start_time, now;
	int hogs[40];
	char *answer;
	int late;

	(void)state;
	start_well(local());
	for (size_t i = 0; i < 40; i++) { /* more than the limit: the rest waits in the backlog */
		hogs[i] = dial(local());
		say(hogs[i], i % 2 ? "GET / HTTP/1.1\r\nX: " : GET("/metrics"));
	}
	late = dial(local());
	say(late, GET("/healthz"));
	clock_gettime(CLOCK_MONOTONIC, &start_time);
	for (;;) {
		struct pollfd answered = {.fd = late, .events = POLLIN};

		for (size_t i = 1; i < 40; i += 2)
			say(hogs[i], "x");
		if (poll(&answered, 1, 500) > 0)
			break;
		clock_gettime(CLOCK_MONOTONIC, &now);
		assert_true(now.tv_sec - start_time.tv_sec < PATIENCE_S);
	}
	answer = hear(late);
	assert_status(answer, 200);
	free(answer);

	clock_gettime(CLOCK_MONOTONIC, &now);
	assert_in_range(now.tv_sec - start_time.tv_sec, 10, 20);
	/* the first ones are gone: an unread answer ends before its end */
	answer = hear(hogs[0]);
	assert_true(strlen(body_of(answer)) < content_length(answer));
	free(answer);
	for (size_t i = 1; i < 40; i++)
		close(hogs[i]);
	assert_serves(local());
	assert_int_equal(stop(), 0);
}

static void out_of_fds_is_no_busy_loop_and_is_survived(void **state)
{
	unsigned before, after;
	struct failure why;
	int hogs[20];

	(void)state;
	why = start(local(), 16);
	assert_int_equal(why.code, 0);
	for (size_t i = 0; i < 20; i++)
		hogs[i] = dial(local());
	sleep_ms(1200);
	before = atomic_load(&shared->iterations);
	sleep_ms(1000);
	after = atomic_load(&shared->iterations);
	assert_true(after - before < 1500);
	for (size_t i = 0; i < 20; i++)
		close(hogs[i]);
	assert_is(GET("/healthz"), 200, "ok\n");
	assert_int_equal(stop(), 0);
}

static void the_server_can_stop_in_the_middle_of_answers(void **state)
{
	int fds[8];

	(void)state;
	start_well(local());
	for (size_t i = 0; i < 8; i++) {
		fds[i] = dial(local());
		say(fds[i], i % 2 ? "GET /metr" : GET("/metrics"));
	}
	while (atomic_load(&shared->scrapes) < 4)
		sleep_ms(5);
	assert_int_equal(stop(), 0);
	for (size_t i = 0; i < 8; i++)
		close(fds[i]);
}

/* ---- the group ---- */

/* A namespace of this process alone, with its loopback up. */
static bool enter_network(void)
{
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	bool up;
	int fd;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &loopback) == 0;
	close(fd);
	return up;
}

static int set_up(void **state)
{
	(void)state;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED || !mkdtemp(folder))
		return -1;
	have_network = enter_network();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	munmap(shared, sizeof(*shared));
	return rmdir(folder);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop_after_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_path_answers_as_it_says),
		TEST(openmetrics_comes_when_it_is_preferred),
		TEST(head_is_get_without_the_body),
		TEST(other_methods_are_refused_with_what_is_allowed),
		TEST(a_snapshot_that_can_not_be_had_is_a_503),
		TEST(ipv4_and_ipv6_are_served),
		TEST(curl_gets_the_metrics),
		TEST(several_clients_are_served_at_once),
		TEST(a_slow_reader_gets_its_own_snapshot_and_holds_nobody_up),
		TEST(an_idle_server_does_not_wake_up),
		TEST(garbage_does_no_harm),
		TEST(huge_headers_are_refused),
		TEST(one_address_can_not_take_all_the_connections),
		TEST(clients_that_dawdle_are_cut_and_the_waiting_get_their_turn),
		TEST(out_of_fds_is_no_busy_loop_and_is_survived),
		TEST(the_server_can_stop_in_the_middle_of_answers),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
