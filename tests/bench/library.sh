# SPDX-License-Identifier: BSD-2-Clause
#
# What the benchmarks have in common. Sourced by them, from the tree's top, after `set -eu`. First comes
# `bench_needs`, then `in_namespace` if there is a veth, then `bench_begin`. What may be set:
#
#     ROUNDS         how often each is measured, in turns (each part has a number of its own)
#     SECONDS_EACH   how long (0.5)
#
# Each part is a program NAME-run and a file NAME.measures, that says what is measured, compared and wanted
# (its lines: report.awk). The program calls `fact`, `note`, `skipped` and `observe`, and `report` at its end.
# shellcheck shell=bash disable=SC2034

BUILD=$(realpath "${BUILD:-build}")
cpus=$(nproc)
rounds=${ROUNDS:-15}
round=1
seconds=${SECONDS_EACH:-0.5}

# bench_needs CPUS: root, and so many CPUs.
bench_needs() {
	[ "$(id -u)" -eq 0 ] || { echo "bench: needs root: use sudo make" >&2; exit 1; }
	[ "$(nproc)" -ge "$1" ] || { echo "bench: needs $1 CPUs" >&2; exit 1; }
}

# Sets $work, a directory that goes at the end, and $processes.
bench_begin() {
	work=$(mktemp -d /tmp/xdpd-bench.XXXXXX)
	chmod 755 "$work"
	: >"$work/notes"
	: >"$work/observations"
	machine >"$work/machine"
	processes=()
	trap bench_end EXIT
	trap 'exit 130' INT TERM
}

# Nothing that a benchmark started outlives it.
bench_end() {
	local pid
	for pid in "${processes[@]}"; do kill -KILL "$pid" 2>/dev/null || :; done
	wait 2>/dev/null || :
	rm -rf "$work"
}

# ---- what is found out ----

# fact NAME TEXT...: of the machine or of what is compared.
fact() { echo "${*//"$work"/...}" >>"$work/machine"; }

# note TEXT...: what this machine can't show, and the like.
note() { grep -qxF "$*" "$work/notes" || echo "$*" >>"$work/notes"; }

# skipped NAME WHY...: a contender that can't be had.
skipped() { note "skipped: $1: ${*:2}"; }

# observe MEASURE X SERIES VALUE: in this round. X is `-` where the measure has one column.
observe() { printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$round" "$4" >>"$work/observations"; }

# report NAME: the table, $BUILD/bench/NAME.json, and the plots in $BUILD/bench/plots.
report() {
	local plots=$BUILD/bench/plots
	mkdir -p "$plots"
	rm -f "$plots/$1"[-.]*
	awk -v part="$1" -v json="$BUILD/bench/$1.json" -v plots="$plots" -f tests/bench/report.awk \
		"tests/bench/$1.measures" "$work/machine" "$work/notes" "$work/observations"
	tests/bench/plot "$plots" "$1"
}

# ---- programs ----

# forget PID: it has ended, and its number may be another's soon.
forget() {
	local pid left=()
	for pid in "${processes[@]}"; do [ "$pid" = "$1" ] || left+=("$pid"); done
	processes=("${left[@]}")
}

die() {
	local log
	echo "bench: $*" >&2
	for log in "$work"/*.log; do [ -s "$log" ] && tail -n 20 "$log" | sed "s|^|  $(basename "$log"): |" >&2; done
	exit 1
}

# first COMMAND...: before all other programs of the machine, also where each session has its own share.
first() {
	exec setsid bash -c '{ echo -20 >/proc/self/autogroup; } 2>/dev/null; exec nice -n -20 "$@"' first "$@"
}

# until_says PATTERN FILE PID: waits for a line of a program's output.
until_says() {
	for _ in $(seq 500); do
		grep -qE "$1" "$2" && return
		kill -0 "$3" 2>/dev/null || die "a program ended early, see $(basename "$2")"
		sleep 0.02
	done
	die "$(basename "$2") says nothing of $1 after 10 s"
}

# in_turns MEASURE NAME...: calls MEASURE with each name, in each round; the order is another one each time.
in_turns() {
	local measure=$1 name i
	shift
	for round in $(seq "$rounds"); do
		[ ! -t 2 ] || printf '\rround %d of %d ' "$round" "$rounds" >&2
		for i in $(seq 0 $(($# - 1))); do
			name=$((1 + (i + round) % $#))
			"$measure" "${!name}"
		done
	done
	[ ! -t 2 ] || printf '\r\033[K' >&2
}

# ---- the machine ----

version() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo unknown; }

# A fact a line: `name text`.
machine() {
	cat <<-EOF
	cpu $(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
	cpus $(nproc)
	kernel $(uname -r)
	compiler $(readelf -p .comment "$BUILD/bench/xdpd-rx" | sed -n 's/.*\] *//p' | head -n 1)
	EOF
}

# ---- a veth pair, in a network namespace of its own: peer === port ----

# in_namespace COMMAND...: goes on as that command in new ones.
in_namespace() {
	[ -n "${XDPD_BENCH_NETNS:-}" ] || XDPD_BENCH_NETNS=1 exec unshare --net --mount --propagation private -- "$@"
}

make_veth() {
	mount -t sysfs sysfs /sys # without bpffs, so that libxdp attaches its program alone, the fastest way that it has
	make_pair
}

# Where nothing is sent but what the benchmark sends.
make_pair() {
	local which
	for which in all default; do echo 1 2>/dev/null >"/proc/sys/net/ipv6/conf/$which/disable_ipv6" || :; done 2>/dev/null
	ip link add port numrxqueues 1 numtxqueues 1 type veth peer name peer numrxqueues 1 numtxqueues 1
	ip link set port up
	ip link set peer up
}

unprivileged=(setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all)
traffic=(traffic -c 0 -t "$seconds" -l 64 -d 02:00:00:00:00:01 peer)

send() { (first "$BUILD/bench/${traffic[0]}" "${traffic[@]:1}") || die "the traffic source failed"; }

# The kernel's count, which needs no receiver's word: frames that the XDP program gave to the socket.
counter() { ethtool -S port | awk -v name="rx_queue_0_$1:" '$1 == name { print $2 }'; }

# start_daemon CONFIG: and waits until it answers. Sets $daemon.
start_daemon() {
	first "$BUILD/xdpd" --config "$1" 2>"$work/daemon.log" &
	daemon=$!
	processes+=("$daemon")
	for _ in $(seq 200); do
		"$BUILD/xdpctl" -s "$work/xdpd.sock" status >/dev/null 2>&1 && return
		sleep 0.02
	done
	die "xdpd does not answer after 4 s"
}

stop_daemon() {
	{ kill -TERM "$daemon" && wait "$daemon"; } || die "xdpd did not end cleanly"
	forget "$daemon"
	daemon=''
}

# ---- DPDK's memif ----

# No zero-copy: each side has memory of its own, as processes that do not trust each other need it. One ring.
memif_ring=${MEMIF_RING:-12} # 2^12 entries: with bursts of 64 the fastest of 2^10 to 2^13 and 32 to 128 where we tried
memif_burst=${MEMIF_BURST:-64}

# memif_command ROLE CPU MODE
memif_command() {
	echo dpdk-testpmd --no-huge -m 256 --no-pci --no-shconf --no-telemetry --file-prefix "bench-$1" \
		--lcores "0@$2,1@$2" \
		--vdev "net_memif0,role=$1,socket=$work/memif.sock,socket-abstract=no,rsize=$memif_ring" -- \
		--total-num-mbufs=16384 --burst="$memif_burst" --forward-mode="$3" --txpkts=64 --interactive
}

# memif SECONDS: sets $memif_rate, the frames of 64 bytes a second from one testpmd to another, counted by the one that
# receives.
memif() {
	local server client rate to_server to_client
	local -x RUNTIME_DIRECTORY=$work # what DPDK leaves goes with it
	rm -f "$work"/memif.* "$work"/memif-*
	mkfifo "$work/memif-server" "$work/memif-client"
	: >"$work/memif-server.log"
	: >"$work/memif-client.log"
	exec {to_server}<>"$work/memif-server" {to_client}<>"$work/memif-client"

	# shellcheck disable=SC2046 # words
	first $(memif_command server 1 rxonly) <"$work/memif-server" >"$work/memif-server.log" 2>&1 &
	server=$!
	processes+=("$server")
	until_says '^testpmd>' "$work/memif-server.log" "$server"
	# shellcheck disable=SC2046
	first $(memif_command client 0 txonly) <"$work/memif-client" >"$work/memif-client.log" 2>&1 &
	client=$!
	processes+=("$client")
	until_says '^testpmd>' "$work/memif-client.log" "$client"

	echo start >&"$to_server"
	echo start >&"$to_client"
	sleep 0.3
	echo show port stats 0 >&"$to_server" # what the next one tells is the rate since this one, by the CPU's clock
	sleep "$1"
	echo show port stats 0 >&"$to_server"
	sleep 0.1
	# A testpmd may crash if the other goes while it sends or receives, so both stop first. What was said, counts.
	echo stop >&"$to_client"
	echo stop >&"$to_server"
	sleep 0.1
	echo quit >&"$to_client"
	wait "$client" || :
	forget "$client"
	echo quit >&"$to_server"
	wait "$server" || :
	forget "$server"
	exec {to_server}>&- {to_client}>&-

	rate=$(awk '/Rx-pps:/ { n++; rate = $2 } END { if (n == 2) print rate }' "$work/memif-server.log")
	[ "${rate:-0}" -gt 0 ] || die "no frame came through memif"
	memif_rate=$rate
}
