# SPDX-License-Identifier: BSD-2-Clause
#
# From the files of tests/bench/veth-run (machine, rates): a table to stdout, the same as JSON to `json`. `cpus`: that
# the machine has. After spread.awk.

FILENAME ~ /rates$/ {
	rounds = $1
	rate[$2, $1] = $3 / $4 / 1e6
	taken[$2, $1] = ($3 + $8) / ($2 == "four" ? 4 : 1) / $4 / 1e6
	received[$2] += $3
	attempted[$2] += $5
	lost[$2] += $6
	dropped[$2] += $7
	named[$2] += $8
}

# ratio NAME PEER TEXT: round by round.
function ratio(name, peer, text,    i, values) {
	for (i = 1; i <= rounds; i++)
		values[i] = rate[name, i] / rate[peer, i]
	printf "  %-44s %-24s %s\n", title[name] " to " title[peer], spread(values, rounds, "%.3f"), text
	ratios_json = ratios_json sprintf("%s    \"%s_to_%s\": %s", ratios_json ? ",\n" : "", name, peer,
					  spread_json(values, rounds))
}

END {
	split("libxdp one four afpacket", names)
	title["libxdp"] = "libxdp"
	title["one"] = "xdpd, one group"
	title["four"] = "xdpd, four groups"
	title["afpacket"] = "four AF_PACKET sockets"

	print "\nMillion frames of 64 bytes a second, one queue, all receivers together, median [quartiles] of " rounds " rounds\n"
	printf "  %-24s %-24s %-17s %-14s %s\n", "", "received", "lost by the veth", "by the socket", "for a receiver"
	for (n = 1; n <= 4; n++) {
		name = names[n]
		series(name, values)
		printf "  %-24s %-24s %-17s %-14s %s\n", title[name], spread(values, rounds, "%.2f"),
		       sprintf("%.1f %%", 100 * lost[name] / attempted[name]),
		       name == "afpacket" ? "" : sprintf("%.1f %%", 100 * dropped[name] / attempted[name]),
		       name == "libxdp" ? "" : sprintf("%.1f %%", 100 * named[name] / (received[name] + named[name]))
		rates_json = rates_json sprintf("%s    \"%s\": %s", n > 1 ? ",\n" : "", name, spread_json(values, rounds))
	}
	print "\nRound by round\n"
	ratio("one", "libxdp", "the goal is 0.95")
	for (i = 1; i <= rounds; i++)
		rate["worker", i] = taken["one", i]
	title["worker"] = "its worker alone"
	ratio("worker", "libxdp", "taken from the socket, also what was dropped for the receiver then")
	ratio("four", "afpacket", "the goal is 3")
	print "\n  Each frame that the XDP program gave to xdpd's socket was received or is named as dropped, for each group."
	if (cpus < 3)
		missing = "a CPU for the worker alone, which shares one with the receivers"
	else if (cpus < 6)
		missing = "a CPU for each of the four receivers"
	if (missing)
		print "\n  Not shown here, with " cpus " CPUs: what it reaches with " missing "."

	printf "{\n  \"machine\": {\n%s\n  },\n  \"rounds\": %d,\n  \"million_frames_per_second\": {\n%s\n  },\n", facts,
	       rounds, rates_json >json
	printf "  \"ratio\": {\n%s\n  },\n  \"not_shown_here\": \"%s\"\n}\n", ratios_json, missing >json
	print "\n" json
}
