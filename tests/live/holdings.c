// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/holdings.h"

#include <inttypes.h>

#include "tests/live/harness.h"
#include "tests/live/supervised.h"

#define MEMORY_GROWTH_MAX_KB 1024

struct holdings holdings_at_rest(const struct instance *daemon)
{
	struct holdings last, now = {};

	/* Memory of consumers that did not leave by themselves is kept for two seconds [sealed.h]. */
	live_sleep_ms(2500);
	do {
		const struct supervised look = supervised_look(daemon);

		last = now;
		assert_ok(footprint_take(&now.footprint, look.pid));
		now.kept = look.fds;
		live_sleep_ms(100);
	} while (*footprint_difference(&last.footprint, &now.footprint) || last.kept != now.kept);
	return now;
}

void holdings_have_not_grown(const struct holdings *before, const struct holdings *after)
{
	const struct footprint *then = &before->footprint, *now = &after->footprint;

	print_message("# fds %u -> %u, kept %" PRIu64 " -> %" PRIu64
		      ", BPF maps %u -> %u, programs %u -> %u, links %u -> %u, memory %" PRIu64
		      " -> %" PRIu64 " kB\n",
		      then->fds, now->fds, before->kept, after->kept, then->bpf_maps, now->bpf_maps,
		      then->bpf_programs, now->bpf_programs, then->bpf_links, now->bpf_links,
		      then->anonymous_kb, now->anonymous_kb);
	assert_string_equal(footprint_difference(then, now), "");
	assert_int_equal(after->kept, before->kept);
	if (!FOOTPRINT_SANITIZED)
		assert_true(now->anonymous_kb <= then->anonymous_kb + MEMORY_GROWTH_MAX_KB);
}
