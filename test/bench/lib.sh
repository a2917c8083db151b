# SPDX-License-Identifier: Apache-2.0
# What test/bench/run is made of: a load, a memory cgroup (v2, or v1) for a tool, and what the tool cost in it.
# shellcheck disable=SC2034,SC2154 # variables of run
tmp=$(mktemp -d) begun=() groups=() busy=0 port=$((20000 + RANDOM % 10000))
stats=$(cat /proc/sys/kernel/bpf_stats_enabled)
finish() {
	trap - EXIT INT TERM
	[ ${#begun[@]} = 0 ] || { kill "${begun[@]}"; kill -CONT "${begun[@]}"; } 2>/dev/null # some may be stopped
	wait
	for g in "${groups[@]}"; do rmdir "$g" 2>/dev/null; done
	echo "$stats" >/proc/sys/kernel/bpf_stats_enabled
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM

# load N: N more processes at rest; at the first call a few busy ones too, one of them starting short-lived others.
load() {
	local i
	for ((i = 0; i < $1; i++)); do sleep infinity & begun+=($!); done
	[ $busy = 0 ] || return 0
	cat >"$tmp/busy.c" <<-'END'
	static volatile unsigned long sink;
	__attribute__((noinline)) static void leaf(int n) { for (int i = 0; i < n; i++) sink += i; }
	__attribute__((noinline)) static void middle(int n) { leaf(n); sink++; }
	__attribute__((noinline)) static void deep(int n, int d) { if (d) deep(n, d - 1); else middle(n); sink++; }
	int main(void) { for (int i = 0;; i++) { deep(7000, i % 30); leaf(2000); } }
	END
	gcc -O2 -fno-omit-frame-pointer -fno-optimize-sibling-calls -o "$tmp/busy" "$tmp/busy.c" || exit 1
	for ((i = 0; i < 2; i++)); do "$tmp/busy" & begun+=($!); done
	(while :; do /bin/true; sleep 0.05; done) & begun+=($!)
	python3 -c 'while True: sorted(hash(str(i)) for i in range(1000))' & begun+=($!)
	gzip -c </dev/urandom >/dev/null & begun+=($!)
	busy=5
	sleep 2
}

if [ -e /sys/fs/cgroup/cgroup.controllers ]; then version=2 mem=/sys/fs/cgroup cpu=/sys/fs/cgroup
	echo "+memory +cpu" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null
else version=1 mem=/sys/fs/cgroup/memory cpu=/sys/fs/cgroup/cpuacct; fi
# group NAME LIMIT: a group of its own, in $memory and $cpuacct (the same folder on v2).
group() {
	memory=$mem/telegen-bench-$1 cpuacct=$cpu/telegen-bench-$1
	mkdir -p "$memory" "$cpuacct" || exit 1
	groups+=("$memory" "$cpuacct")
	[ -z "$2" ] || echo "$2" >"$memory/$([ $version = 2 ] && echo memory.max || echo memory.limit_in_bytes)"
}
# own: $bytes are charged but for page cache, $kernel of them are the kernel's. Starts no process: it is asked again and again.
own() {
	local key value
	kernel=0
	if [ $version = 2 ]; then read -r bytes <"$memory/memory.current"
	else read -r bytes <"$memory/memory.usage_in_bytes"; read -r kernel <"$memory/memory.kmem.usage_in_bytes"; fi
	while read -r key value; do
		case $version$key in
		2file | 1cache) bytes=$((bytes - value)) ;;
		2shmem | 1shmem) bytes=$((bytes + value)) ;;
		2kernel) kernel=$value ;;
		esac
	done <"$memory/memory.stat"
}
highest() { cat "$memory/$([ $version = 2 ] && echo memory.peak || echo memory.max_usage_in_bytes)" 2>/dev/null || echo 0; }
used() { if [ $version = 2 ]; then awk '$1 == "usage_usec" { print $2 * 1000 }' "$cpuacct/cpu.stat"; else cat "$cpuacct/cpuacct.usage"; fi; }
now() { echo "${EPOCHREALTIME/./}000"; }
programs() { bpftool -j prog show | jq -c '[.[] | {id, run_time_ns: (.run_time_ns // 0), run_cnt: (.run_cnt // 0)}]'; }
mb() { awk -v n="$1" 'BEGIN { printf "%.1f", n / 1048576 }'; }
percent() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", b ? 100 * a / b : 0 }'; }

probe='profile:hz:99 { @[pid, comm, kstack, ustack] = count(); }'
start() { # TOOL: in the background, in the groups, its id in $pid
	local command
	case $1 in
	telegen) command=("$telegen" run --listen="127.0.0.1:$port") ;;
	telegen-cpu) mapfile -t command < <(types cpu); command=("$telegen" run --listen="127.0.0.1:$port" "${command[@]}") ;;
	perf) command=(perf record -q -F 99 -a -g -k CLOCK_REALTIME -o "$tmp/perf.data") ;;
	bpftrace) command=(bpftrace -e "$probe") ;;
	esac
	(
		echo $BASHPID >"$memory/cgroup.procs" && echo $BASHPID >"$cpuacct/cgroup.procs"
		exec env --default-signal=INT "${command[@]}"
	) </dev/null >"$tmp/$1.log" 2>&1 &
	pid=$!
	begun+=($pid)
}
stop() { # the process of $pid, which finish need not end any more
	kill -INT "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	local p rest=()
	for p in "${begun[@]}"; do [ "$p" = "$pid" ] || rest+=("$p"); done
	begun=("${rest[@]}")
}
metrics() { # of telegen, with nothing but the shell
	exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
	printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
	timeout 5 cat <&3
	exec 3>&-
}
metric() { metrics 2>/dev/null | awk -v m="$1" '$1 == m { v = $2 } END { printf "%.0f", v }'; }

# counted: telegen has counted a sample. Begins no process, which would wait for a CPU among the busy ones.
counted() {
	local text
	exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
	printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
	read -r -t 5 -N 1000000 text <&3
	exec 3>&-
	[[ $text =~ telegen_samples_total\ [1-9] ]]
}
exec {never}<> <(:) # nothing ever comes: read -t is a sleep
# first TOOL ROW: ms from start to the first sample, median of three. Of the row `ahead` before everybody else: without
# waiting for a CPU, as where one is idle.
first() {
	local i t0 t1 all=()
	group first ''
	[ "$2" != ahead ] || chrt -f -p 1 $BASHPID || return
	for i in 1 2 3; do
		t0=${EPOCHREALTIME/./}000
		case $1 in
		telegen*)
			start "$1"
			until counted 2>/dev/null || [ $((${EPOCHREALTIME/./} - t0 / 1000)) -gt 30000000 ]; do read -r -t 0.002 -u "$never"; done
			t1=${EPOCHREALTIME/./}000
			stop
			;;
		perf)
			start perf
			sleep 3
			stop
			t1=$(perf script -i "$tmp/perf.data" --ns -F time 2>/dev/null | grep -oE '[0-9]{9,}\.[0-9]{9}' | head -n 1 | tr -d .)
			;;
		bpftrace)
			t1=$(timeout 60 bpftrace -e 'profile:hz:99 { printf("sample\n"); exit(); }' </dev/null 2>/dev/null | { grep -m 1 -q '^sample' && now; })
			;;
		esac
		all+=("$([ -z "$t1" ] && echo - || echo $(((t1 - t0) / 1000000)))") # -: it failed
	done
	row[$1,$2]=$(printf '%s\n' "${all[@]}" | sort -n | sed -n 2p)
	[ "$2" != ahead ] || chrt -o -p 0 $BASHPID
}

# measure TOOL SECONDS LIMIT [NAME]: fills row[NAME,...].
measure() {
	local tool=$1 limit=$3 name=${4:-$1} t0 t1 th=0 c0 c1 ch=0 bytes kernel k=0 peak=0 steady=0 before
	group "$name" "$limit"
	echo 1 >/proc/sys/kernel/bpf_stats_enabled
	before=$(programs) c0=$(used) t0=$(now)
	start "$tool"
	while :; do
		t1=$(now)
		[ $((t1 - t0)) -lt $(($2 * 1000000000)) ] || break
		own
		[ "$bytes" -le "$peak" ] || { peak=$bytes; k=$kernel; }
		[ $th = 0 ] || [ "$bytes" -le "$steady" ] || steady=$bytes
		[ $th != 0 ] || [ $((t1 - t0)) -lt $(($2 * 500000000)) ] || { th=$t1; ch=$(used); }
		[ $((t1 - t0)) -lt 1000000000 ] || sleep 0.2
	done
	c1=$(used)
	row[$name,alive]='ended before its time'
	kill -0 "$pid" 2>/dev/null && row[$name,alive]='alive at the end'
	row[$name,own]=$(mb "$peak") row[$name,kernel]=$(mb "$k") row[$name,steady]=$(mb "$steady") row[$name,highest]=$(mb "$(highest)")
	row[$name,cpu]=$(percent $((c1 - c0)) $((t1 - t0))) row[$name,late]=$(percent $((c1 - ch)) $((t1 - th)))
	row[$name,rings]=$(awk '/anon_inode:\[perf_event\]/ { ring = 1; next } ring && /^Size:/ { n += $2; ring = 0 } END { printf "%.1f", n / 1024 }' "/proc/$pid/smaps" 2>/dev/null)
	read -r run per < <(jq -rn --argjson a "$before" --argjson b "$(programs)" '($a | map(.id)) as $old | [$b[] | select(.id as $i | $old | index($i) | not)]
		| (map(.run_time_ns) | add // 0) as $t | (map(.run_cnt) | add // 0) as $n | "\($t) \(if $n > 0 then $t / $n / 1000 else 0 end)"')
	row[$name,bpf]=$(percent "$run" $((t1 - t0))) row[$name,per]=$(printf '%.2f' "$per")
	case $tool in
	telegen*) row[$name,samples]="$(metric 'telegen_kernel_total{event="taken"}'); $(metrics | awk -F'"' '/^telegen_kernel_total/ && $2 ~ /^(ring full|nested|cpu not known)$/ { n += substr($3, 2) } END { printf "%d", n }')"; stop ;;
	perf) stop; row[$name,samples]="$(perf script -i "$tmp/perf.data" -F time 2>/dev/null | grep -c .); $(perf report -i "$tmp/perf.data" --stats 2>/dev/null | awk '/LOST events/ { n += $NF } END { printf "%d", n }')"
		[ "${row[$name,samples]%%;*}" != 0 ] || { echo "bench: what perf recorded cannot be read: $(tail -n 1 "$tmp/perf.log")" >&2; row[$name,samples]=-; } ;;
	bpftrace) stop; row[$name,samples]="$(awk '/^\]?:? *[0-9]+$|\]: [0-9]+$/ { n += $NF } END { printf "%d", n }' "$tmp/bpftrace.log"); $(grep -ci lost "$tmp/bpftrace.log")" ;;
	esac
	[ "$tool" != perf ] || row[$name,bpf]='-' row[$name,per]='-'
	row[$name,size]="$(mb "$(stat -Lc %s "$(binary "$tool")")") ($(mb "$(with_libraries "$(binary "$tool")")"))"
}
# unwinding SECONDS: beside programs without frame pointers; fills row[walk,...].
unwinding() {
	local t0 before
	cat >"$tmp/omit.c" <<-'END'
	#include <stdlib.h>
	static volatile unsigned long sink;
	__attribute__((noinline)) static void leaf(int n) { for (int i = 0; i < n; i++) sink += i; }
	static int compare(const void *a, const void *b) { leaf(50); return *(const int *)a - *(const int *)b; }
	__attribute__((noinline)) static int deep(int d) { int r = d ? deep(d - 1) : (leaf(20000), 1); sink += r; return r + 1; }
	int main(void) { static int v[2000]; for (;;) { deep(30); for (int i = 0; i < 2000; i++) v[i] = rand(); qsort(v, 2000, sizeof(*v), compare); } }
	END
	gcc -O2 -fomit-frame-pointer -fno-optimize-sibling-calls -o "$tmp/omit" "$tmp/omit.c" || exit 1
	for c in 1 2 3; do
		printf '#include <algorithm>\n#include <map>\n#include <regex>\n#include <string>\nint main() { std::map<std::string, std::regex> m; m["%s"] = std::regex("a|b"); return (int)m.size(); }\n' $c >"$tmp/$c.cpp"
	done
	"$tmp/omit" & begun+=($!)
	(while :; do for c in 1 2 3; do g++ -O2 -c -o "$tmp/$c.o" "$tmp/$c.cpp"; done; done) & begun+=($!)
	group walk ''
	before=$(programs)
	start telegen-cpu # whose runs of BPF programs are samples
	sleep "$1"
	read -r run per < <(jq -rn --argjson a "$before" --argjson b "$(programs)" '($a | map(.id)) as $old | [$b[] | select(.id as $i | $old | index($i) | not)]
		| (map(.run_time_ns) | add // 0) as $t | (map(.run_cnt) | add // 0) as $n | "\($t) \(if $n > 0 then $t / $n / 1000 else 0 end)"')
	metrics >"$tmp/walk.metrics"
	stop
	value() { awk -v m="telegen_$1" 'index($0, m " ") == 1 { v = $NF } END { printf "%.0f", v }' "$tmp/walk.metrics"; }
	walked=$(awk -F'"' 'FNR == NR { if (/^#define/) ends = /WALK_ENDS/; else if (ends && /^\tX\(/) e[$2] = 1; next }
		/^telegen_kernel_total/ { v[$2] = substr($3, 3) } END {
		for (label in e) n += v[label]
		printf "%d %.1f %.2f %.2f %.2f", n, n ? v["frames"] / n : 0, n ? 100 * v["complete"] / n : 0, n ? 100 * v["unwind rows being loaded"] / n : 0, n ? 100 * (v["unreadable stack"] + v["jit"]) / n : 0 }' bpf/counter.h "$tmp/walk.metrics")
	read -r row[walk,samples] row[walk,frames] row[walk,complete] row[walk,loading] row[walk,apart] <<<"$walked"
	row[walk,per]=$(printf '%.1f' "$per")
	row[walk,rows]=$(value unwind_rows) row[walk,windows]=$(value unwind_windows)
	row[walk,bytes]=$(awk -v b="$(value unwind_row_bytes)" -v n="$(value unwind_rows)" 'BEGIN { printf "%.2f", n ? b / n : 0 }')
	row[walk,memory]=$(mb "$(value unwind_bytes)")
	row[walk,build]=$(awk -v t="$(value unwind_build_nanoseconds_total)" -v n="$(value unwind_built_rows_total)" 'BEGIN { printf "%.1f", n ? t / n / 10 : 0 }')
}
binary() { case $1 in telegen*) echo "$telegen" ;; perf) ls /usr/bin/perf_* 2>/dev/null | tail -n 1 | grep . || command -v perf ;; *) command -v "$1" ;; esac; }
with_libraries() { { echo "$1"; ldd "$1" 2>/dev/null | awk '$3 ~ /^\// { print $3 }'; } | xargs stat -Lc %s | awk '{ n += $1 } END { print n }'; }
