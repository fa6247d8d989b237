# SPDX-License-Identifier: BSD-2-Clause
#
# From the files of tests/bench/handoff-run (machine, placement, rates): a table to stdout, the same as JSON to `json`.
# After spread.awk.

FILENAME ~ /placement$/ {
	if ($2 == "consumers") {
		consumers[$1] = $3
		cpus[$1] = $5
	} else {
		kernel_ns = $3
	}
	next
}

FILENAME ~ /rates$/ {
	rounds = $1
	taken[$2, $1] = $3 / $6 / 1e6
	rate[$2, $1] = $4 / $6 / 1e6
	dropped[$2] += $5
	delivered[$2] += $4
}

END {
	split("memif one three marked", names)
	split("1 5 5 2.5", goals)
	title["memif"] = "memif"
	title["one"] = "one group"
	title["three"] = "three groups"
	title["marked"] = "one, marked"

	print "\nMillion frames of 64 bytes a second, median [quartiles] of " rounds " rounds\n"
	printf "  %-14s %-26s %-26s %-9s %s\n", "", "delivered", "taken from the kernel", "dropped", "consumers"
	for (n = 1; n <= 4; n++) {
		name = names[n]
		series(name, values)
		for (i = 1; i <= rounds; i++)
			arrived[i] = taken[name, i]
		printf "  %-14s %-26s %-26s %-9s %s\n", title[name], spread(values, rounds, "%.1f"),
		       name == "memif" ? "" : spread(arrived, rounds, "%.1f"),
		       name == "memif" ? "" : sprintf("%.1f %%", 100 * dropped[name] / (delivered[name] + dropped[name])),
		       name == "memif" ? "" : sprintf("%d on %d CPU%s", consumers[name], cpus[name], cpus[name] > 1 ? "s" : "")
		rates_json = rates_json sprintf("%s    \"%s\": {\"delivered\": %s, \"taken\": %s}", n > 1 ? ",\n" : "", name,
						spread_json(values, rounds), spread_json(arrived, rounds))
		if (consumers[name] > cpus[name])
			shared = shared sprintf("%s%s", shared ? ", " : "", title[name])
	}

	print "\nDelivered, to memif, round by round\n"
	for (n = 2; n <= 4; n++) {
		name = names[n]
		for (i = 1; i <= rounds; i++)
			values[i] = rate[name, i] / rate["memif", i]
		printf "  %-14s %-26s the goal is %s\n", title[name], spread(values, rounds, "%.2f"), goals[n]
		ratios_json = ratios_json sprintf("%s    \"%s\": %s", n > 2 ? ",\n" : "", name, spread_json(values, rounds))
	}
	printf "\n  Counted in: %.2f ns a frame of the stand-in for the kernel, on the loop's CPU.\n", kernel_ns
	if (shared)
		print "  Not shown here, with too few CPUs: what " shared " would reach with one for each consumer."

	printf "{\n  \"machine\": {\n%s\n  },\n  \"rounds\": %d,\n", facts, rounds >json
	printf "  \"million_frames_per_second\": {\n%s\n  },\n", rates_json >json
	printf "  \"ratio_to_memif\": {\n%s\n  },\n", ratios_json >json
	printf "  \"kernel_stand_in_ns\": %.2f,\n  \"consumers_share_cpus\": \"%s\"\n}\n", kernel_ns, shared >json
	print "\n" json
}
