# SPDX-License-Identifier: BSD-2-Clause
#
# From what a part of the benchmarks observed, a table to stdout, the same and each round's value as JSON to `json`,
# and to `plots` what tests/bench/plot draws. Variables: part, json, plots (a folder), cpus. Files, in this order:
#
#     PART.measures   what is measured, compared and wanted:
#                       measure NAME | TITLE | UNIT | FORMAT | higher or lower (which is better)
#                       x TEXT                        what the columns are; none: there is one column
#                       series NAME | TEXT            a row; those without an observation are left out
#                       limit NAME FRACTION           no ratio where a side comes within FRACTION of that series
#                       ratio A | B, ... | GOAL | TEXT
#                                                     A to each B, round by round. The goal, as `>= 0.97`, is for the
#                                                     best B; `at X:` before it: in that column alone
#                       goal A | GOAL | TEXT          of a series itself
#                       text TEXT                     printed below
#     machine         NAME TEXT
#     notes           a line for people each
#     observations    MEASURE, X, SERIES, ROUND, VALUE, with tabs between; `-` for X where there is none

function trim(text) {
	gsub(/^[ \t]+|[ \t]+$/, "", text)
	return text
}

function quoted(text) {
	gsub(/\\/, "\\\\", text)
	gsub(/"/, "\\\"", text)
	gsub(/\t/, " ", text)
	return "\"" text "\""
}

function fail(text) {
	print "report: " text >"/dev/stderr"
	failed = 1
	exit 1
}

# ---- what comes in ----

FILENAME ~ /\.measures$/ {
	sub(/^#.*/, "")
	if (!NF)
		next
	keyword = $1
	sub(/^[^ \t]+[ \t]+/, "")
	n = split($0, field, /[ \t]*\|[ \t]*/)
	for (i = 1; i <= n; i++)
		field[i] = trim(field[i])
	if (keyword == "measure") {
		m = field[1]
		measure[++measures] = m
		title[m] = field[2]
		unit[m] = field[3]
		format[m] = field[4]
		lower[m] = field[5] == "lower"
	} else if (keyword == "x") {
		column_text[m] = $0
	} else if (keyword == "series") {
		row[m, ++rows[m]] = field[1]
		label[m, field[1]] = field[2]
	} else if (keyword == "limit") {
		limit[m] = $1
		fraction[m] = $2
	} else if (keyword == "ratio") {
		a[m, ++ratios[m]] = field[1]
		b[m, ratios[m]] = field[2]
		wanted[m, ratios[m]] = field[3]
		remark[m, ratios[m]] = field[4]
	} else if (keyword == "goal") {
		a[m, ++ratios[m]] = field[1]
		wanted[m, ratios[m]] = field[2]
		remark[m, ratios[m]] = field[3]
	} else if (keyword == "text") {
		text[m] = text[m] "  " $0 "\n"
	} else {
		fail(FILENAME ": no such line: " keyword)
	}
	next
}

FILENAME ~ /machine$/ {
	name = $1
	sub(/^[^ ]* /, "")
	facts = facts sprintf("%s    %s: %s", facts ? ",\n" : "", quoted(name), quoted($0))
	printf "%-17s %s\n", name, $0
	next
}

FILENAME ~ /notes$/ {
	note[++notes] = $0
	next
}

{
	split($0, field, "\t")
	m = field[1]
	if (!(m in title))
		fail("a measure that " part ".measures does not have: " m)
	if (!((m, field[3]) in label))
		fail("a series that " part ".measures does not have in " m ": " field[3])
	if (!((m, field[2]) in has_column)) {
		has_column[m, field[2]]
		column[m, ++columns[m]] = field[2]
	}
	seen[m, field[3]]
	value[m, field[2], field[3], field[4]] = field[5]
	if (field[4] > rounds)
		rounds = field[4]
}

# ---- figures ----

# quantile(Q) of list[1 .. count]. Sorts it.
function quantile(q,    at, i, j, kept) {
	for (i = 2; i <= count; i++) {
		kept = list[i]
		for (j = i; j > 1 && list[j - 1] > kept; j--)
			list[j] = list[j - 1]
		list[j] = kept
	}
	at = 1 + (count - 1) * q
	i = int(at)
	return i == count ? list[i] : list[i] + (at - i) * (list[i + 1] - list[i])
}

# The values of a series in a column, round by round; of a ratio, where both have one.
function take(m, x, name, other,    i, each) {
	count = 0
	each_json = ""
	for (i = 1; i <= rounds; i++) {
		if (!((m, x, name, i) in value) || (other && !((m, x, other, i) in value)))
			continue
		if (other && value[m, x, other, i] + 0 == 0)
			continue
		each = value[m, x, name, i] / (other ? value[m, x, other, i] : 1)
		list[++count] = each
		each_json = each_json sprintf("%s%.6g", count > 1 ? ", " : "", each)
	}
	if (!count)
		return 0
	middle = quantile(0.5)
	low = quantile(0.25)
	high = quantile(0.75)
	return 1
}

function spread(format) {
	return count == 1 ? sprintf(format, middle) : sprintf(format " [" format " .. " format "]", middle, low, high)
}

function spread_json() {
	return sprintf("\"median\": %.6g, \"lower_quartile\": %.6g, \"upper_quartile\": %.6g, \"rounds\": [%s]", middle, low,
		       high, each_json)
}

# What became of a goal such as `>= 0.97`, for what take() found.
function verdict(goal,    part, most) {
	split(goal, part, " ")
	most = part[1] == "<="
	if (most ? middle <= part[2] : middle >= part[2])
		return "held"
	if (count > 1 && (most ? low <= part[2] : high >= part[2]))
		return "within the spread"
	return "missed"
}

# ---- what goes out ----

function print_columns(m,    c) {
	printf "  %-34s", column_text[m] ? column_text[m] : ""
	if (column_text[m])
		for (c = 1; c <= columns[m]; c++)
			printf " %-24s", column[m, c]
	print ""
}

function print_series(m,    s, c, name, line) {
	for (s = 1; s <= rows[m]; s++) {
		name = row[m, s]
		if (!((m, name) in seen))
			continue
		line = sprintf("  %-34s", label[m, name])
		for (c = 1; c <= columns[m]; c++) {
			if (!take(m, column[m, c], name)) {
				line = line sprintf(" %-24s", "-")
				continue
			}
			line = line sprintf(" %-24s", spread(format[m]))
			values_json = values_json sprintf("%s\n        {\"series\": %s, \"x\": %s, %s}", values_json ? "," : "",
							  quoted(name), quoted(column[m, c]), spread_json())
			print s - 1 "\t" column[m, c] "\t" middle "\t" low "\t" high "\t" label[m, name] >(plots "/" part "-" m ".data")
		}
		sub(/ +$/, "", line)
		print line
	}
}

# The one of B, a list, with the best median in a column; it may be that none was measured.
function best_of(m, x, others, n,    i, best, best_middle) {
	for (i = 1; i <= n; i++)
		if (take(m, x, others[i]) && (!best || (lower[m] ? middle < best_middle : middle > best_middle))) {
			best = others[i]
			best_middle = middle
		}
	return best
}

function is_limited(m, x, name, other,    top) {
	if (!limit[m] || !take(m, x, limit[m]) || !take(m, x, name, other))
		return 0
	take(m, x, limit[m])
	top = fraction[m] * middle
	return (take(m, x, name) && middle > top) || (take(m, x, other) && middle > top)
}

function conclude(m, x, became, name, other, goal, why) {
	goals = goals sprintf("  %-17s %s: %s: %s%s\n", became, title[m] (column_text[m] ? ", " column_text[m] " " x : ""),
			      label[m, name] (other ? " to " label[m, other] : ""), goal, why ? ", " why : "")
}

# A line: A to one B, or A itself, in each column, and what became of the goal.
function print_ratio(m, r, other, others, n,    c, x, name, line, found, goal, only, became) {
	name = a[m, r]
	line = sprintf("  %-34s", other ? label[m, name] " to " label[m, other] : label[m, name])
	goal = wanted[m, r]
	if (goal ~ /^at /) {
		only = goal
		sub(/^at /, "", only)
		sub(/:.*/, "", only)
		sub(/^at [^:]*:[ ]*/, "", goal)
	}
	for (c = 1; c <= columns[m]; c++) {
		x = column[m, c]
		if (other && is_limited(m, x, name, other)) {
			line = line sprintf(" %-24s", "(generator's limit)")
			found = 1
			if (goal && (!only || only == x) && best_of(m, x, others, n) == other)
				conclude(m, x, "not shown", name, other, goal, "the generator was the limit")
			continue
		}
		if (!take(m, x, name, other)) {
			line = line sprintf(" %-24s", "-")
			continue
		}
		found = 1
		line = line sprintf(" %-24s", spread(other ? "%.3f" : format[m]))
		ratios_json = ratios_json sprintf("%s\n        {\"of\": %s, \"to\": %s, \"x\": %s, %s", ratios_json ? "," : "",
						  quoted(name), other ? quoted(other) : "null", quoted(x), spread_json())
		if (goal && (!only || only == x)) {
			became = verdict(goal)
			ratios_json = ratios_json sprintf(", \"goal\": %s, \"verdict\": %s", quoted(goal), quoted(became))
			if (!other || best_of(m, x, others, n) == other)
				conclude(m, x, became, name, other, goal, remark[m, r])
		}
		ratios_json = ratios_json "}"
	}
	if (!found)
		return
	sub(/ +$/, "", line)
	print line (goal ? "   goal" (only ? " at " only : "") ": " goal : "")
}

function print_ratios(m,    r, i, n, others) {
	for (r = 1; r <= ratios[m]; r++) {
		n = b[m, r] ? split(b[m, r], others, /[ ]*,[ ]*/) : 0
		if (n == 0)
			print_ratio(m, r)
		for (i = 1; i <= n; i++)
			print_ratio(m, r, others[i], others, n)
	}
}

function print_measure(m) {
	values_json = ratios_json = ""
	printf "\n%s, %s (%s is better)\n\n", title[m], unit[m], lower[m] ? "lower" : "higher"
	print_columns(m)
	print_series(m)
	if (ratios[m])
		print ""
	print_ratios(m)
	if (text[m])
		printf "\n%s", text[m]
	printf "%s\t%s\t%s\t%s\n", part "-" m, title[m], unit[m], column_text[m] >(plots "/" part ".list")
	measures_json = measures_json sprintf("%s\n    {\"name\": %s, \"title\": %s, \"unit\": %s, \"better\": %s, \"x\": %s,\n" \
					      "      \"values\": [%s],\n      \"ratios\": [%s]}", measures_json ? "," : "",
					      quoted(m), quoted(title[m]), quoted(unit[m]), lower[m] ? "\"lower\"" : "\"higher\"",
					      quoted(column_text[m]), values_json, ratios_json)
}

END {
	if (failed)
		exit 1
	printf "%-17s %d\n", "rounds", rounds
	for (i = 1; i <= measures; i++)
		if (columns[measure[i]])
			print_measure(measure[i])
	if (goals)
		printf "\nGoals\n\n%s", goals
	if (notes)
		print "\nNotes\n"
	for (i = 1; i <= notes; i++) {
		print "  " note[i]
		notes_json = notes_json sprintf("%s\n    %s", i > 1 ? "," : "", quoted(note[i]))
	}
	printf "{\n  \"part\": %s,\n  \"machine\": {\n%s\n  },\n  \"rounds\": %d,\n  \"measures\": [%s\n  ],\n  \"notes\": [%s\n  ]\n}\n",
	       quoted(part), facts, rounds, measures_json, notes_json >json
	print "\n" json
}
