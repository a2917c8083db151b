# SPDX-License-Identifier: Apache-2.0
# What the scripts of test/system share. A script prints `ok NAME`, `not ok NAME`, `skip NAME: reason` per case, or simply
# exits: 0 passed, 77 skipped (reason on the last line), else failed. Only processes begun here are ended, by their id.
set -u
cd "$(dirname "$0")/../.." || exit 1
OUT=$(realpath -m "${OUT:-build}") telegen=${TELEGEN:-$PWD/telegen}
tmp=$(mktemp -d) begun=() bad=0

skip() { echo "$*"; exit 77; }
die() { echo "$*"; exit 1; }
ok() { echo "ok $*"; }
not_ok() { bad=1; echo "not ok $*"; }
# check NAME COMMAND...: one case.
check() { local name=$1; shift; if "$@"; then ok "$name"; else not_ok "$name"; fi; }
need() { local c; for c in "$@"; do command -v "$c" >/dev/null || skip "no $c here"; done; }
need_telegen() { [ -x "$telegen" ] || die "$telegen was not built"; }
need_bpf() {
	need_telegen
	[ "$(id -u)" = 0 ] || skip "not root"
	"$telegen" check >"$tmp/check" 2>&1
	[ $? != 3 ] || { cat "$tmp/check"; skip "this machine forbids BPF"; }
}

# begin COMMAND...: in the background, its id in $pid, ended with the script.
begin() { "$@" </dev/null & pid=$!; begun+=("$pid"); }
# end PID: ends it and waits until it is gone.
end() {
	kill "$1" 2>/dev/null
	local i
	for ((i = 0; i < 100; i++)); do
		[ -e "/proc/$1/stat" ] && [[ "$(<"/proc/$1/stat")" != *") Z "* ]] || break
		sleep 0.1
	done 2>/dev/null
	[ "$i" -lt 100 ] || kill -KILL "$1"
	wait "$1" 2>/dev/null
	return 0
}
at_end() { :; } # a script may say more
finish() {
	local rc=$? p
	trap - EXIT
	at_end
	[ ${#begun[@]} = 0 ] || kill "${begun[@]}" 2>/dev/null
	for p in "${begun[@]}"; do end "$p"; done 2>/dev/null
	awk -v under="$tmp/" 'index($2, under) == 1 { print $2 }' /proc/mounts | xargs -r umount -l
	cd / && rm -rf --one-file-system "$tmp"
	[ $rc != 0 ] || rc=$bad
	exit $rc
}
trap finish EXIT
trap 'exit 130' INT TERM

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	local until=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $until ] || return 1
		sleep 0.1
	done
}

# free_port: one where nobody listens.
free_port() {
	local port
	for port in $(shuf -i 20000-30000 -n 50); do
		(: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
	done
}
# agent ARGUMENTS...: `telegen run` in the background, listening on $url, its log in $tmp/agent.log; waits until it is ready.
agent() {
	local port
	port=$(free_port) url=http://127.0.0.1:$port
	begin "$telegen" run --listen="127.0.0.1:$port" "$@" >"$tmp/agent.log" 2>&1
	wait_for 30 curl -fs "$url/readyz" || { cat "$tmp/agent.log"; die "telegen run is not ready after 30 s"; }
}
metric() { curl -fs "$url/metrics" | awk -v m="$1" '$1 == m { print $2; found = 1 } END { exit !found }'; }

# program NAME SOURCE COMPILER...: builds test/programs/SOURCE into $tmp/NAME, its path in $program.
program() {
	program=$tmp/$1
	local source=test/programs/$2
	shift 2
	"$@" -o "$program" "$source" 2>"$tmp/compile.log" || { sed 's/^/  /' "$tmp/compile.log"; return 1; }
}

# record FILE ARGUMENTS...: one capture; what telegen said goes to FILE.log.
record() {
	local file=$1
	shift
	timeout 30 "$telegen" record -o "$file" "$@" >"$file.log" 2>&1 </dev/null && return
	echo "telegen record $* failed ($?):"
	cat "$file.log"
	return 1
}

# folded_sum SAMPLES HZ: what so many CPU samples add up to in folded stacks (samples).
folded_sum() { echo "$1"; }

# shares FILE [TOLERANCE] NAME=PERCENT...: so much of the folded stacks in FILE runs in or below a frame NAME, an extended
# regular expression for the whole frame. Tolerance in points, 3 unless told.
split_shares=(work70=70 work20=20 work10=10)
shares() {
	local file=$1 tolerance=3
	shift
	case $1 in *=*) ;; *) tolerance=$1; shift ;; esac
	awk -v wanted="$(printf '%s\n' "$@")" -v tolerance="$tolerance" '
		BEGIN {
			count = split(wanted, want, "\n")
			for (i = 1; i <= count; i++) { percent[i] = name[i] = want[i]; sub(/=[^=]*$/, "", name[i]); sub(/.*=/, "", percent[i]) }
		}
		{ value = $NF; total += value; line = $0; sub(/ [0-9]+$/, "", line); n = split(line, frame, ";")
		  for (f = 1; f <= n; f++) sub(/_\[[kj]\]$/, "", frame[f]) # marks of kernel and JIT frames
		  for (i = 1; i <= count; i++) for (f = 1; f <= n; f++) if (frame[f] ~ "^(" name[i] ")$") { sum[i] += value; break } }
		END {
			if (!total) { print "  no samples"; exit 1 }
			for (i = 1; i <= count; i++) {
				got = 100 * sum[i] / total; off = got - percent[i]; if (off < 0) off = -off
				if (off > tolerance) { bad = 1; printf "  %s: %.1f %% of %d, should be %s\n", name[i], got, total, percent[i] }
			}
			exit bad
		}' "$file"
}

# docker_up: an engine of this script's own, ended with it; DOCKER_HOST points to it.
docker_up() {
	need dockerd docker
	[ "$(id -u)" = 0 ] || skip "not root"
	export DOCKER_HOST=unix://$tmp/docker.sock
	begin dockerd --storage-driver overlay2 --host "$DOCKER_HOST" --data-root "$tmp/docker" --exec-root "$tmp/docker-exec" \
		--pidfile "$tmp/docker.pid" --bridge none --iptables=false --ip6tables=false >"$tmp/dockerd.log" 2>&1
	wait_for 30 docker info >/dev/null || { tail -n 5 "$tmp/dockerd.log"; skip "dockerd does not start here: $(tail -n 1 "$tmp/dockerd.log")"; }
	# It starts, but cannot build, where / is no mount (a chroot).
	image probe /etc/hostname || skip "docker cannot build here: $(tail -n 1 "$tmp/build.log")"
}
# image NAME FILE...: FROM scratch with FILEs in /.
image() {
	local name=$1
	shift
	mkdir -p "$tmp/image" && cp "$@" "$tmp/image/" && printf 'FROM scratch\nCOPY . /\n' >"$tmp/image/Dockerfile" &&
		DOCKER_BUILDKIT=0 docker build -q -t "$name" "$tmp/image" >"$tmp/build.log" 2>&1 && rm -r "$tmp/image"
}
