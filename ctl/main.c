/* SPDX-License-Identifier: BSD-2-Clause */
/* xdpctl: the operator's command. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "client/xdpd_protocol.h"
#include "config/suggest.h"
#include "ctl/command.h"
#include "ctl/say.h"

enum option_bit {
	TAKES_SAVE = 1 << 0,
	TAKES_REASON = 1 << 1,
	TAKES_QUEUE = 1 << 2,
};

static const struct command {
	const char *name;
	int (*run)(const struct invocation *invocation); /* NULL: help */
	int least, most;				 /* words after the command */
	unsigned options;				 /* enum option_bit */
	const char *usage;
	const char *summary;
	const char *help; /* NULL: the summary says it all */
} commands[] = {
	{"status", command_status, 0, 0, 0, "status",
	 "the daemon, its interfaces and queues (also the bare command)",
	 "Shows what there is beside what is wanted: `copy (wanted zero-copy)`. The reason stands "
	 "below an\n"
	 "interface or queue that can't be had. FROM says whether the config file or a change "
	 "since has the queue."},
	{"show", command_show, 1, 2, 0,
	 "show interfaces|queues|consumers|groups|rules|workers|config [NAME]",
	 "all details of one kind",
	 "Consumers and groups are a table, and with NAME have all there is to know about those of "
	 "that name."},
	{"add-queue", command_add_queue, 2, 4096, TAKES_SAVE,
	 "add-queue DEVICE IDS [KEY=VALUE ...] [--save]", "lets consumers attach to more queues",
	 "IDS is 3, 0-3, 0,2,4-7 or all. The keys are those of a queue in the config file, a dot "
	 "for each level:\n"
	 "\n"
	 "    xdpctl add-queue eth0 0-3 frames=8192 rings.rx=1024 attach.users=[suricata] "
	 "bind=copy\n"
	 "\n"
	 "With --save the config file gets the queues too. Those that turn out not to be ready are "
	 "shown."},
	{"remove-queue", command_remove_queue, 2, 2, TAKES_SAVE, "remove-queue DEVICE IDS [--save]",
	 "takes queues away, and with them their consumers",
	 "IDS is 3, 0-3, 0,2,4-7 or all. With --save they also go from the config file."},
	{"trace", command_trace, 2, 2, TAKES_QUEUE, "trace DEVICE 'FRAME' [--queue N]",
	 "which rule, groups and consumers such a frame would get",
	 "The XDP program itself is asked; nothing is sent. FRAME is a sentence:\n"
	 "\n"
	 "    udp 10.0.0.1:53 > 10.0.0.2:4242           likewise tcp, udplite, sctp, dccp\n"
	 "    tcp [2001:db8::1]:443 > [2001:db8::2]:5000\n"
	 "    icmp 10.0.0.1 > 10.0.0.2                  an echo request, of IPv6 too\n"
	 "    proto 47 10.0.0.1 > 10.0.0.2              any IP protocol by its number\n"
	 "    arp 10.0.0.1 > 10.0.0.2\n"
	 "    ethertype 0x88cc\n"
	 "\n"
	 "and before or behind that `vlan 7` (twice for two tags), `length 1500`, or `fragment`: "
	 "with "
	 "ports the\n"
	 "first one of a datagram, without them a later one. Without --queue each configured queue "
	 "of "
	 "the interface\n"
	 "is asked; queues that answer alike are shown together."},
	{"eject", command_eject, 2, 3, TAKES_REASON,
	 "eject DEVICE QUEUE [CONSUMER] [--reason TEXT]",
	 "ends a consumer's attachment; it is told the reason",
	 "With CONSUMER only if that is who is attached."},
	{"reload", command_reload, 0, 0, 0, "reload", "lets the daemon read its config file again",
	 "What did not change is not touched. Changes at run time are taken back. An invalid file "
	 "changes nothing."},
	{"check", command_check, 1, 1, 0, "check FILE", "validates a config file, without a daemon",
	 NULL},
	{"watch", command_watch, 0, 0, 0, "watch",
	 "events as they come, a line each, until the daemon ends", NULL},
	{"version", command_version, 0, 0, 0, "version", "the versions of xdpctl and of the daemon",
	 NULL},
	{"help", NULL, 0, 1, 0, "help [COMMAND]", "this, or more about a command", NULL},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int unknown_command(const char *name)
{
	const char *names[N_COMMANDS];
	const char *meant;

	for (size_t i = 0; i < N_COMMANDS; i++)
		names[i] = commands[i].name;
	meant = suggest_word(name, names, N_COMMANDS);
	if (meant)
		return say_usage("there is no command `%s`; did you mean `%s`?", name, meant);
	return say_usage("there is no command `%s`", name);
}

static int help(void)
{
	puts("usage: xdpctl [-s SOCKET] [-j] [COMMAND]\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %s\n      %s\n", commands[i].usage, commands[i].summary);
	printf("\n"
	       "  -s, --socket SOCKET  the daemon's socket (default: $XDPD_SOCKET, "
	       "or " XDPD_DEFAULT_SOCKET ")\n"
	       "  -j, --json           JSON instead of text\n"
	       "  -h, --help           help, about a command if there is one\n"
	       "  -V, --version        xdpctl's version\n"
	       "\n"
	       "Exit status: %d done, %d usage, %d refused (the reason is on stderr), %d no "
	       "daemon.\n",
	       EXIT_DONE, EXIT_USAGE, EXIT_REFUSED, EXIT_NO_DAEMON);
	return EXIT_DONE;
}

static int help_about(const char *name)
{
	const struct command *command = find_command(name);

	if (!command)
		return unknown_command(name);
	printf("usage: xdpctl %s\n\n%s\n", command->usage,
	       command->help ? command->help : command->summary);
	return EXIT_DONE;
}

static int run(const char *name, const struct invocation *invocation)
{
	const struct command *command = find_command(name);

	if (!command)
		return unknown_command(name);
	if (invocation->n_words < command->least || invocation->n_words > command->most)
		return say_usage("usage: xdpctl %s", command->usage);
	if (invocation->save && !(command->options & TAKES_SAVE))
		return say_usage("`%s` takes no --save", name);
	if (invocation->reason && !(command->options & TAKES_REASON))
		return say_usage("`%s` takes no --reason", name);
	if (invocation->queue && !(command->options & TAKES_QUEUE))
		return say_usage("`%s` takes no --queue", name);
	if (!command->run)
		return invocation->n_words ? help_about(invocation->words[0]) : help();
	return command->run(invocation);
}

/* What was printed may still wait in the buffer, and fail only now. */
static int flush_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	say("can't write the output: %m");
	return status == EXIT_DONE ? EXIT_REFUSED : status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},	  {"version", no_argument, NULL, 'V'},
		{"save", no_argument, NULL, 'S'},	  {"reason", required_argument, NULL, 'r'},
		{"queue", required_argument, NULL, 'q'},  {NULL, 0, NULL, 0},
	};
	const char *environment = getenv("XDPD_SOCKET");
	struct invocation invocation = {
		.socket = environment && *environment ? environment : XDPD_DEFAULT_SOCKET,
	};
	bool wants_help = false;
	int option;

	/* jansson then never lacks memory, and what is collected never lacks a part */
	json_set_alloc_funcs(allocate, free);
	while ((option = getopt_long(argc, argv, "s:jhV", options, NULL)) != -1) {
		switch (option) {
		case 's':
			invocation.socket = optarg;
			break;
		case 'j':
			invocation.json = true;
			break;
		case 'h':
			wants_help = true;
			break;
		case 'V':
			puts("xdpctl " XDPD_RELEASE);
			return flush_output(EXIT_DONE);
		case 'S':
			invocation.save = true;
			break;
		case 'r':
			invocation.reason = optarg;
			break;
		case 'q':
			invocation.queue = optarg;
			break;
		default:
			return EXIT_USAGE;
		}
	}

	const char *name = optind < argc ? argv[optind] : "status";

	if (wants_help)
		return flush_output(optind < argc ? help_about(name) : help());
	invocation.n_words = optind < argc ? argc - optind - 1 : 0;
	invocation.words = optind < argc ? argv + optind + 1 : NULL;
	return flush_output(run(name, &invocation));
}
