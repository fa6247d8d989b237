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
	last = split("memif rte-one-way rte-both-ways " modes, names)
	goal["one"] = 8
	goal["three"] = 9
	goal["marked"] = 4
	title["rte-one-way"] = "rte_ring"
	title["rte-both-ways"] = "rte_ring, both"
	title["one"] = "one group"
	title["two"] = "two groups"
	title["three"] = "three groups"
	title["four"] = "four groups"
	title["tap"] = "one and a tap"
	title["marked"] = "one, marked"
	title["members-2"] = "two members"
	title["members-4"] = "four members"
	for (n = 1; n <= last; n++)
		if (!title[names[n]])
			title[names[n]] = names[n]

	print "\nMillion frames of 64 bytes a second, median [quartiles] of " rounds " rounds\n"
	printf "  %-14s %-26s %-26s %-9s %s\n", "", "delivered", "taken from the kernel", "dropped", "consumers"
	for (n = 1; n <= last; n++) {
		name = names[n]
		counts = cpus[name] > 0
		series(name, values)
		for (i = 1; i <= rounds; i++)
			arrived[i] = taken[name, i]
		printf "  %-14s %-26s %-26s %-9s %s\n", title[name], spread(values, rounds, "%.1f"),
		       !counts ? "" : spread(arrived, rounds, "%.1f"),
		       !counts ? "" : sprintf("%.1f %%", 100 * dropped[name] / (delivered[name] + dropped[name])),
		       !counts ? "" : sprintf("%d on %d CPU%s", consumers[name], cpus[name], cpus[name] > 1 ? "s" : "")
		rates_json = rates_json sprintf("%s    \"%s\": {\"delivered\": %s, \"taken\": %s}", n > 1 ? ",\n" : "", name,
						spread_json(values, rounds), spread_json(arrived, rounds))
		if (consumers[name] > cpus[name])
			shared = shared sprintf("%s%s", shared ? ", " : "", title[name])
	}

	print "\nDelivered, to memif and to rte_ring with bare pointers one way, or as many bytes as a frame takes both ways\n"
	printf "  %-14s %-26s %-26s %s\n", "", "memif", "rte_ring", "rte_ring, both"
	for (n = 4; n <= last; n++) {
		name = names[n]
		printf "  %-14s", title[name]
		for (peer = 1; peer <= 3; peer++) {
			for (i = 1; i <= rounds; i++)
				values[i] = rate[name, i] / rate[names[peer], i]
			printf " %-26s", spread(values, rounds, "%.2f")
			ratios_json[peer] = ratios_json[peer] sprintf("%s    \"%s\": %s", n > 4 ? ",\n" : "", name, spread_json(values, rounds))
		}
		print goal[name] ? " the goal is " goal[name] " times memif" : ""
	}
	printf "\n  Counted in: %.2f ns a frame of the stand-in for the kernel, on the loop's CPU.\n", kernel_ns
	if (shared)
		print "  Not shown here, with too few CPUs: what " shared " would reach with one for each consumer."

	printf "{\n  \"machine\": {\n%s\n  },\n  \"rounds\": %d,\n", facts, rounds >json
	printf "  \"million_frames_per_second\": {\n%s\n  },\n", rates_json >json
	printf "  \"ratio_to_memif\": {\n%s\n  },\n", ratios_json[1] >json
	printf "  \"ratio_to_rte_ring\": {\n%s\n  },\n", ratios_json[2] >json
	printf "  \"ratio_to_rte_ring_both_ways\": {\n%s\n  },\n", ratios_json[3] >json
	printf "  \"kernel_stand_in_ns\": %.2f,\n  \"consumers_share_cpus\": \"%s\"\n}\n", kernel_ns, shared >json
	print "\n" json
}
