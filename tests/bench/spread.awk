# SPDX-License-Identifier: BSD-2-Clause
#
# What the reports have in common: medians and quartiles, and the machine's facts, printed and kept for the JSON.

function quantile(list, count, q,    sorted, at, i, j) {
	for (i = 1; i <= count; i++) {
		for (j = i; j > 1 && sorted[j - 1] > list[i]; j--)
			sorted[j] = sorted[j - 1]
		sorted[j] = list[i]
	}
	at = 1 + (count - 1) * q
	i = int(at)
	return i == count ? sorted[i] : sorted[i] + (at - i) * (sorted[i + 1] - sorted[i])
}

# The median and quartiles of a series, as text and as JSON.
function spread(list, count, format) {
	return sprintf(format " [" format " .. " format "]", quantile(list, count, 0.5), quantile(list, count, 0.25),
		       quantile(list, count, 0.75))
}

function spread_json(list, count) {
	return sprintf("{\"median\": %.4f, \"lower_quartile\": %.4f, \"upper_quartile\": %.4f}",
		       quantile(list, count, 0.5), quantile(list, count, 0.25), quantile(list, count, 0.75))
}

function series(name, values,    i) {
	for (i = 1; i <= rounds; i++)
		values[i] = rate[name, i]
}

FILENAME ~ /machine$/ {
	key = $1
	sub(/^[^ ]* /, "")
	facts = facts sprintf("%s    \"%s\": \"%s\"", facts ? ",\n" : "", key, $0)
	printf "%-16s %s\n", key, $0
	next
}
