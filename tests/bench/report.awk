# SPDX-License-Identifier: BSD-2-Clause
#
# From the files of tests/bench/run (machine, rates, instructions): a table to stdout, the same as JSON to `json`.
# After spread.awk.

FILENAME ~ /rates$/ {
	rounds = $1
	rate[$2, $1] = $3 / $4 / 1e6
	attempted[$2] += $5
	lost[$2] += $6
	dropped[$2] += $7
	next
}

{
	if (!($1 in seen))
		bursts[++n_bursts] = $1
	seen[$1]
	instructions[$1, $2] = $3
}

END {
	split("xdpd libxdp testpmd generator", names)
	print "\nMillion frames of 64 bytes a second, one queue, median [quartiles] of " rounds " rounds\n"
	printf "  %-10s %-24s %-10s %s\n", "", "received", "dropped", "lost before the receive queue"
	for (n = 1; n <= 4; n++) {
		name = names[n]
		series(name, values)
		middle[name] = quantile(values, rounds, 0.5)
		rates_json = rates_json sprintf("%s    \"%s\": %s", n > 1 ? ",\n" : "", name, spread_json(values, rounds))
		if (name == "generator")
			printf "  %-10s %-24s (what it sends where nothing receives)\n", name, spread(values, rounds, "%.2f")
		else
			printf "  %-10s %-24s %-10s %s\n", name, spread(values, rounds, "%.2f"),
			       sprintf("%.1f %%", 100 * dropped[name] / attempted[name]),
			       sprintf("%.1f %%", 100 * lost[name] / attempted[name])
	}

	better = middle["libxdp"] >= middle["testpmd"] ? "libxdp" : "testpmd"
	if (middle[better] > 0.9 * middle["generator"]) {
		verdict = "the generator was the limit: no ratio"
		print "\n" verdict
	} else {
		print "\nxdpd to the others, round by round\n"
		for (n = 2; n <= 3; n++) {
			for (i = 1; i <= rounds; i++)
				values[i] = rate["xdpd", i] / rate[names[n], i]
			ratio[names[n]] = quantile(values, rounds, 0.5)
			printf "  to %-8s %s\n", names[n], spread(values, rounds, "%.3f")
			ratios_json = ratios_json sprintf("%s    \"%s\": %s", n > 2 ? ",\n" : "", names[n],
							  spread_json(values, rounds))
		}
		verdict = sprintf("%.3f of the better one (%s); the goal is 0.98", ratio[better], better)
		print "\n  " verdict
	}

	print "\nInstructions of the receive loop per frame, by frames that arrive at once\n"
	printf "  %-10s %12s %12s %12s\n", "at once", "xdpd (peek)", "xdpd (copy)", "libxdp"
	for (n = 1; n <= n_bursts; n++) {
		b = bursts[n]
		printf "  %-10s %12.2f %12.2f %12.2f\n", b, instructions[b, "peek"], instructions[b, "rx"],
		       instructions[b, "libxdp"]
		instructions_json = instructions_json sprintf("%s    \"%s\": {\"xdpd_rx_peek\": %s, \"xdpd_rx\": %s, \"libxdp\": %s}",
			n > 1 ? ",\n" : "", b, instructions[b, "peek"], instructions[b, "rx"], instructions[b, "libxdp"])
	}

	printf "{\n  \"machine\": {\n%s\n  },\n  \"rounds\": %d,\n  \"million_frames_per_second\": {\n%s\n  },\n", facts,
	       rounds, rates_json >json
	printf "  \"ratio\": {%s%s},\n  \"verdict\": \"%s\",\n", ratios_json ? "\n" ratios_json : "",
	       ratios_json ? "\n  " : "", verdict >json
	printf "  \"instructions_per_frame\": {\n%s\n  }\n}\n", instructions_json >json
	print "\n" json
}
