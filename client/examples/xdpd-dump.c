// SPDX-License-Identifier: BSD-2-Clause
/* Writes a shared queue's frames in pcap's classic format, as a tap that holds up nobody. */
#include "example.h"

static const char help[] =
	"\n"
	"Writes the frames that a group of a shared queue gets to a file in pcap format, or to\n"
	"standard output: `xdpd-dump eth0 3 | tcpdump -nr -`. It is a tap: nobody waits for it,\n"
	"and what was overwritten before it could be copied is counted as overrun.\n"
	"\n"
	"  -w, --write FILE     default: standard output\n"
	"      --snap-length N  bytes to keep of each frame, 1 to 262144 (the default)\n";

#define SNAP_LENGTH_MAX 262144

/* https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-06.html; all in the writer's byte order. */
struct pcap_file {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t reserved[2];
	uint32_t snap_length;
	uint32_t link_type;
};

struct pcap_packet {
	uint32_t seconds, nanoseconds;
	uint32_t kept, length;
};

#define PCAP_NANOSECONDS 0xa1b23c4du
#define PCAP_ETHERNET	 1

static FILE *output;

/* The frames of a burst get the time at which it was taken. */
static uint32_t write_burst(struct example *example)
{
	struct xdpd *x = example->x;
	struct xdp_desc frames[BURST_MAX];
	uint32_t n = xdpd_rx(x, frames, burst_size(example));
	struct timespec now;

	if (!n)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	for (uint32_t i = 0; i < n; i++) {
		const struct pcap_packet packet = {
			.seconds = (uint32_t)now.tv_sec,
			.nanoseconds = (uint32_t)now.tv_nsec,
			.kept = frames[i].len,
			.length = xdpd_full_length(x, &frames[i]),
		};

		fwrite(&packet, sizeof(packet), 1, output);
		fwrite(xdpd_frame(x, frames[i].addr), frames[i].len, 1, output);
		example->bytes += packet.length;
	}
	xdpd_release(x, frames, n);
	example->frames += n;
	/* Who reads along sees each burst. A reader that is gone ends this. */
	if (fflush(output))
		stopped = 1;
	return n;
}

static void begin_file(const struct example *example, const char *path)
{
	const struct pcap_file file = {
		.magic = PCAP_NANOSECONDS,
		.major = 2,
		.minor = 4,
		.snap_length = example->snap_length,
		.link_type = PCAP_ETHERNET,
	};

	output = path ? fopen(path, "we") : stdout;
	/* Nothing is written at the end of each line, as there are none. */
	if (!output || setvbuf(output, NULL, _IOFBF, 1 << 16) ||
	    fwrite(&file, sizeof(file), 1, output) != 1 || fflush(output)) {
		fprintf(stderr, "xdpd-dump: can't write to %s: %s\n",
			path ? path : "standard output", strerror(errno));
		exit(EXIT_USAGE);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"write", required_argument, NULL, 'w'},
		{"snap-length", required_argument, NULL, OPTION_OWN},
		COMMON_OPTIONS};
	struct example example = {
		.program = "xdpd-dump",
		.help = help,
		.count = UINT64_MAX,
		.flags = XDPD_ATTACH_TAP,
		.snap_length = SNAP_LENGTH_MAX,
		.quiet = true, /* its lines would be among the frames */
	};
	const char *path = NULL;
	struct xdpd_stats stats;
	bool failed;
	int option, r;

	while ((option = getopt_long(argc, argv, "w:" COMMON_LETTERS, options, NULL)) >= 0)
		if (option == 'w')
			path = optarg;
		else if (option == OPTION_OWN)
			example.snap_length = (uint32_t)parse_number(&example, "--snap-length",
								     optarg, 1, SNAP_LENGTH_MAX);
		else
			take_option(&example, option);
	take_arguments(&example, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	begin(&example, 0);
	begin_file(&example, path);
	r = receive_until_done(&example, "writing", write_burst);
	stats = read_stats(&example);
	r = finish(&example, r);
	failed = ferror(output) || fclose(output);
	if (failed)
		fprintf(stderr, "xdpd-dump: not all could be written\n");
	fprintf(stderr, "wrote %llu frames of %llu bytes, overrun %llu\n",
		(unsigned long long)example.frames, (unsigned long long)example.bytes,
		(unsigned long long)stats.overrun);
	return failed ? EXIT_REFUSED : r;
}
