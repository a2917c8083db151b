# SPDX-License-Identifier: Apache-2.0
# What the scripts of test/interop share, beside test/system/lib.sh.
. "$(dirname "$0")/../system/lib.sh"
work=$OUT/test/interop
mkdir -p "$work"
TELEGEN_OTELCOL=${TELEGEN_OTELCOL:-} TELEGEN_PARCA=${TELEGEN_PARCA:-} TELEGEN_PYROSCOPE=${TELEGEN_PYROSCOPE:-}
go=$(command -v go || echo /usr/local/go/bin/go)

# collector: the configuration of deploy/fleet; its addresses in $collector and $collector_grpc; it sends on to the receiver.
collector() {
	collector=127.0.0.1:$(free_port) collector_grpc=127.0.0.1:$(free_port)
	begin env OTEL_RECEIVER="$collector" OTEL_RECEIVER_GRPC="$collector_grpc" BACKEND="http://$http" VERBOSITY=normal \
		"$TELEGEN_OTELCOL" --feature-gates=service.profilesSupport --config deploy/fleet/otelcol.yaml >"$tmp/collector.log" 2>&1
	wait_for 20 grep -q 'Everything is ready' "$tmp/collector.log" || { tail "$tmp/collector.log"; die "the Collector does not start"; }
}
# need_peer VARIABLE NAME: the program that it names.
need_peer() { [ -x "${!1}" ] || skip "no $2: $1 names none (test/interop/README)"; }

# receiver [ARGUMENTS...]: begun; $http, $grpc, $proxy, $control are its addresses, its id in $receiver.
receiver() {
	[ -x "$go" ] || skip "no go here"
	(cd test/interop/receiver && timeout 280 "$go" build -trimpath -o "$work/receiver" .) >"$tmp/go.log" 2>&1 ||
		{ tail -n 5 "$tmp/go.log"; skip "the receiver does not build here: $(tail -n 1 "$tmp/go.log")"; }
	http=127.0.0.1:$(free_port) grpc=127.0.0.1:$(free_port) proxy=127.0.0.1:$(free_port) control=127.0.0.1:$(free_port)
	begin "$work/receiver" -http "$http" -grpc "$grpc" -proxy "$proxy" -control "$control" "$@" >"$tmp/receiver.log" 2>&1
	receiver=$pid
	wait_for 10 curl -fs "http://$control/totals" || { cat "$tmp/receiver.log"; die "the receiver does not start"; }
}
totals() { curl -fs "http://$control/totals" | jq -r "$1"; }
fault() { curl -fs -X POST "http://$control/faults?$1"; }
down() { curl -fs -X POST "http://$control/down"; }
up() { curl -fs -X POST "http://$control/up"; }

# node ARGUMENTS...: telegen over the load alone, with short windows.
cpu_only=(--profiling.off_cpu.enabled=false --profiling.mutex.enabled=false --profiling.memory.enabled=false)
node() {
	agent --profiling.collection_interval=1s --profiling.upload_interval=2s --profiling.target_process_names="load-$$" \
		--profile_export.otlp.proxy= --profile_export.pyroscope.proxy= --profile_export.parca.proxy= \
		--profiling.log_export.proxy= --profiling.metrics_export.proxy= "$@"
	agent=$pid
}
# load SECONDS: 70, 20 and 10 % of its time in three functions, so long, under the service checkout; then all of it was taken.
load_begin() {
	[ -x "$tmp/load-$$" ] || program "load-$$" split.c gcc -std=gnu17 -O2 -g || die "the load does not compile"
	begin env OTEL_SERVICE_NAME=checkout "$tmp/load-$$" "$1"
	workload=$pid
}
load() {
	load_begin "$1"
	wait "$workload"
	settle
}
# export_metric NAME DESTINATION: of telegen; dropped: of all causes.
export_metric() {
	curl -fs "$url/metrics" | awk -v m="telegen_export_$1{destination=\"$2\"" 'index($0, m) == 1 { n += $2; found = 1 } END { if (found) printf "%d", n; exit !found }'
}
taken() { export_metric taken_samples_total "$1"; }
sent() { export_metric sent_samples_total "$1"; }
waiting() { export_metric waiting_samples "$1"; }
dropped() { export_metric dropped_samples_total "$1"; }
rejected() { export_metric rejected_samples_total "$1"; }
# settle: every window that the load was in is taken by the destinations.
settle() {
	local before now i
	sleep 2
	now=$(curl -fs "$url/metrics" | grep ^telegen_export_taken)
	for ((i = 0; i < 8; i++)); do
		sleep 2.2
		before=$now now=$(curl -fs "$url/metrics" | grep ^telegen_export_taken)
		[ "$now" != "$before" ] || break
	done
}
# delivered DESTINATION: nothing of it waits.
is_delivered() { [ "$(waiting "$1")" = 0 ] && [ "$(taken "$1")" -gt 0 ]; }
delivered() { wait_for "${2:-20}" is_delivered "$1" || { echo "  $1: $(waiting "$1") wait"; tail -n 3 "$tmp/agent.log"; return 1; }; }
# adds_up DESTINATION: sent + rejected + waiting + dropped are all that were taken, at one moment.
adds_up() {
	curl -fs "$url/metrics" | awk -v who="$1" -F '[{,}" ]+' '
		index($0, "telegen_export_") == 1 && /_samples/ && $3 == who { name = $1; sub(/^telegen_export_/, "", name); sub(/_samples.*/, "", name); n[name] += $NF }
		END { printf "  %s: taken %d = sent %d + rejected %d + waiting %d + dropped %d\n", who, n["taken"], n["sent"], n["rejected"], n["waiting"], n["dropped"]
			exit !(n["taken"] > 0 && n["taken"] == n["sent"] + n["rejected"] + n["waiting"] + n["dropped"]) }'
}
# got DESTINATION KIND TYPE: the receiver has as many of TYPE as telegen says it sent, and nothing was wrong or came twice.
got() {
	local there s
	s=$(sent "$1") there=$(totals ".Kinds.\"$2\".Types.\"$3\" // 0")
	[ "$there" = "$s" ] && [ "$s" -gt 0 ] || { echo "  $1: sent $s, the receiver has $there: $(totals ".Kinds.\"$2\".Types | tostring")"; return 1; }
	[ "$(totals '.Problems | length')" = 0 ] || { totals '.Problems[]'; return 1; }
	[ "$(totals .Duplicates)" = "${4:-0}" ] || { echo "  twice: $(totals .Duplicates)"; return 1; }
}
# near PART ALL PERCENT: within four standard deviations of so many samples, and a point.
near() {
	awk -v part="$1" -v all="$2" -v want="$3" 'BEGIN { p = all ? 100 * part / all : 0; off = all ? 1 + 4 * sqrt(want * (100 - want) / all) : 0
		if (!all || p < want - off || p > want + off) { printf "  %.1f %% of %d, should be %d\n", p, all, want; exit 1 } }'
}
# named KIND TYPE: the functions' shares, and all under the name of the service.
named() {
	local all service name
	all=$(totals ".Kinds.\"$1\".Types.\"$2\" // 0") service=$(totals ".Kinds.\"$1\".Services.checkout.\"$2\" // 0")
	[ "$service" = "$all" ] || { echo "  checkout has $service of $all"; return 1; }
	for name in 70 20 10; do near "$(totals ".Kinds.\"$1\".Functions.work$name.\"$2\" // 0")" "$all" $name || return 1; done
}
otlp_cpu='samples/count cpu/nanoseconds' push_cpu='process_cpu:samples:count:cpu:nanoseconds' parca_cpu='parca_agent:samples:count:cpu:nanoseconds'
