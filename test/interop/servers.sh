# SPDX-License-Identifier: Apache-2.0
# Pyroscope and Parca with the configurations of deploy/fleet, and what they say of the service checkout.

# pyroscope: begun; its address in $pyroscope.
pyroscope() {
	need_peer TELEGEN_PYROSCOPE Pyroscope
	local port
	port=$(free_port) pyroscope=127.0.0.1:$port
	begin env LISTEN=127.0.0.1 HTTP_PORT="$port" GRPC_PORT="$(free_port)" RAFT_PORT="$(free_port)" GOSSIP_PORT="$(free_port)" \
		DATA="$tmp/pyroscope" "$TELEGEN_PYROSCOPE" -config.file=deploy/fleet/pyroscope.yaml -config.expand-env=true >"$tmp/pyroscope.log" 2>&1
	wait_for 60 curl -fs "http://$pyroscope/ready" || { tail -n 5 "$tmp/pyroscope.log"; die "Pyroscope is not ready after 60 s"; }
}
# The flame graph of a type: {total, names, levels}; a level's values are offset, total, self, index of the name, and again.
pyroscope_ask() {
	local now
	now=$(date +%s)
	curl -fs -X POST -H 'Content-Type: application/json' "http://$pyroscope/querier.v1.QuerierService/SelectMergeStacktraces" -d \
		"{\"profile_typeID\":\"$1\",\"label_selector\":\"{service_name=\\\"checkout\\\"}\",\"start\":$(((now - 600) * 1000)),\"end\":$(((now + 60) * 1000))}"
}
pyroscope_total() { pyroscope_ask process_cpu:samples:count:cpu:nanoseconds | jq -r '.flamegraph.total // 0'; }
pyroscope_shares() {
	local name all part
	all=$(pyroscope_total)
	for name in 70 20 10; do
		part=$(pyroscope_ask process_cpu:samples:count:cpu:nanoseconds | jq --arg n "work$name" '.flamegraph | .names as $names
			| [.levels[].values | map(tonumber) | range(0; length; 4) as $i | select($names[.[$i + 3]] == $n) | .[$i + 1]] | add // 0')
		near "$part" "$all" $name || return 1
	done
}

# parca: begun; its address in $parca.
parca() {
	need_peer TELEGEN_PARCA Parca
	parca=127.0.0.1:$(free_port)
	sed "s,/var/lib/parca,$tmp/parca," deploy/fleet/parca.yaml >"$tmp/parca.yaml"
	begin "$TELEGEN_PARCA" --config-path="$tmp/parca.yaml" --http-address="$parca" --storage-path="$tmp/parca" >"$tmp/parca.log" 2>&1
	wait_for 30 curl -fs "http://$parca/api/profiles/types" || { tail -n 5 "$tmp/parca.log"; die "Parca does not start"; }
}
# parca_ask: the table of functions. Of samples/count with a period Parca tells the time that they stand for.
parca_ask() {
	curl -fsG "http://$parca/api/profiles/query" --data-urlencode mode=MODE_MERGE --data-urlencode reportType=REPORT_TYPE_TOP \
		--data-urlencode 'merge.query=parca_agent:samples:count:cpu:nanoseconds:delta{service_name="checkout"}' \
		--data-urlencode "merge.start=$(date -u -d '10 minutes ago' +%FT%TZ)" --data-urlencode "merge.end=$(date -u -d '1 minute' +%FT%TZ)"
}
period=10101010 # ns, at 99 Hz
parca_total() { parca_ask | jq -r --argjson p $period '[.top.list[].flat | tonumber] | add // 0 | . / $p'; }
parca_shares() {
	local name all
	all=$(parca_total)
	for name in 70 20 10; do
		near "$(parca_ask | jq --arg n "work$name" --argjson p $period '[.top.list[] | select(.meta.function.name == $n) | .cumulative | tonumber] | add // 0 | . / $p')" \
			"$all" $name || return 1
	done
}
# queried_back FUNCTION DESTINATION: it says what telegen says was sent.
queried_back() {
	local i there
	for i in 1 2 3 4 5 6 7 8 9 10; do
		there=$($1)
		[ "$there" != "$(sent "$2")" ] || return 0
		sleep 1
	done
	echo "  sent $(sent "$2"), queried back $there"
	return 1
}
