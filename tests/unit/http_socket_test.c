/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP stays inside a network namespace that this process makes, and that ends with it.
 */
#include "daemon/http_socket.h" /* before cmocka.h, which makes `fail` a macro */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool have_network;
static char folder[] = "/tmp/xdpd-socket-XXXXXX";
static char path[sizeof(folder) + 8];

static struct config_metrics tcp(const char *ip)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9820)};
	struct config_metrics where = {.on = true, .address_length = sizeof(address)};

	address.sin_addr.s_addr = inet_addr(ip);
	memcpy(&where.address, &address, sizeof(address));
	(void)snprintf(where.text, sizeof(where.text), "%s:9820", ip);
	return where;
}

static struct config_metrics local(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct config_metrics where = {.on = true, .address_length = sizeof(address)};

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	memcpy(&where.address, &address, sizeof(address));
	(void)snprintf(where.text, sizeof(where.text), "unix:%s", path);
	return where;
}

static struct http_socket open_well(struct config_metrics where)
{
	struct http_socket made = HTTP_SOCKET_NONE;
	struct failure why = {};

	if (http_socket_open(&made, &where, &why) < 0)
		fail_msg("%s", why.text);
	assert_true(made.fd >= 0);
	return made;
}

static void assert_refused(struct config_metrics where, int code, const char *part)
{
	struct http_socket made = {.fd = 4711};
	struct failure why = {};

	assert_int_equal(http_socket_open(&made, &where, &why), -code);
	assert_int_equal(made.fd, 4711);
	assert_int_equal(why.code, code);
	if (!strstr(why.text, part) || !strstr(why.text, where.text) ||
	    !strstr(why.text, strerrorname_np(code)))
		fail_msg("unclear: %s", why.text);
}

static bool can_connect(struct config_metrics where)
{
	int fd = socket(where.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool can = connect(fd, (struct sockaddr *)&where.address, where.address_length) == 0;

	close(fd);
	return can;
}

static void need_network(const char *test)
{
	if (have_network)
		return;
	print_message("skipped: %s: no network namespace can be made (needs root or user namespaces)\n",
		      test);
	skip();
}

static void it_listens_without_blocking_and_is_not_inherited(void **state)
{
	struct http_socket made = open_well(local());

	(void)state;
	assert_true(fcntl(made.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(accept(made.fd, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(can_connect(local()));
	http_socket_close(&made);
	assert_int_equal(made.fd, -1);
}

static void a_port_in_use_is_told_with_address_errno_and_what_to_do(void **state)
{
	struct http_socket first;

	(void)state;
	need_network(__func__);
	first = open_well(tcp("0.0.0.0"));
	assert_refused(tcp("0.0.0.0"), EADDRINUSE, "stop the program that listens there");
	http_socket_close(&first);
	first = open_well(tcp("0.0.0.0"));
	http_socket_close(&first);
}

static void an_address_that_no_interface_has_is_told(void **state)
{
	(void)state;
	need_network(__func__);
	assert_refused(tcp("192.0.2.1"), EADDRNOTAVAIL, "no interface has this address");
}

static void a_unix_socket_is_for_all_and_its_file_goes_with_it(void **state)
{
	mode_t mask = umask(077);
	struct http_socket made = open_well(local());
	struct stat file;

	(void)state;
	umask(mask);
	assert_int_equal(stat(path, &file), 0);
	assert_true(S_ISSOCK(file.st_mode));
	assert_int_equal(file.st_mode & 0777, 0666);
	http_socket_close(&made);
	assert_int_equal(access(path, F_OK), -1);
}

static void a_left_over_unix_socket_is_replaced(void **state)
{
	struct http_socket left = open_well(local()), made;

	(void)state;
	close(left.fd);
	assert_int_equal(access(path, F_OK), 0);
	assert_false(can_connect(local()));
	made = open_well(local());
	assert_true(can_connect(local()));
	http_socket_close(&made);
}

static void a_unix_socket_that_somebody_listens_on_is_left_alone(void **state)
{
	struct http_socket first = open_well(local());

	(void)state;
	assert_refused(local(), EADDRINUSE, "stop the program that listens there");
	assert_true(can_connect(local()));
	http_socket_close(&first);
}

static void a_file_in_the_way_is_left_alone(void **state)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_refused(local(), EEXIST, "not a socket");
	assert_int_equal(unlink(path), 0);
}

static void a_missing_folder_is_told(void **state)
{
	(void)state;
	struct config_metrics where = local();
	struct sockaddr_un *address = (struct sockaddr_un *)&where.address;

	(void)snprintf(address->sun_path, sizeof(address->sun_path), "%s/no/socket", folder);
	assert_refused(where, ENOENT, "make the folder first");
}

static void a_file_that_another_put_there_since_is_left_alone(void **state)
{
	struct http_socket made = open_well(local());

	(void)state;
	assert_int_equal(unlink(path), 0);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	http_socket_close(&made);
	assert_int_equal(unlink(path), 0);
}

/* A namespace of this process alone; its loopback is up, as without any address Linux lets bind() pass. */
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
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/http", folder);
	have_network = enter_network();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_listens_without_blocking_and_is_not_inherited),
		cmocka_unit_test(a_port_in_use_is_told_with_address_errno_and_what_to_do),
		cmocka_unit_test(an_address_that_no_interface_has_is_told),
		cmocka_unit_test(a_unix_socket_is_for_all_and_its_file_goes_with_it),
		cmocka_unit_test(a_left_over_unix_socket_is_replaced),
		cmocka_unit_test(a_unix_socket_that_somebody_listens_on_is_left_alone),
		cmocka_unit_test(a_file_in_the_way_is_left_alone),
		cmocka_unit_test(a_missing_folder_is_told),
		cmocka_unit_test(a_file_that_another_put_there_since_is_left_alone),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
