# SPDX-License-Identifier: Apache-2.0
# What the scripts about whole stacks share; read after lib.sh.

# figures FILE [APART]: "samples complete loading jit unreadable apart" of folded stacks (FILE, APART as below). Complete: nothing says that it is
# truncated (kernel stacks aside), and there is a user stack at all.
figures() {
	awk -v apart="${2:-^$}" '{ n = $NF; all += n; sub(/ [0-9]+$/, "")
		if ($0 ~ /;\[truncated: unwind rows being loaded\]/ || $0 ~ /;\[truncated: mappings being read\]/) loading += n
		else if ($0 ~ /;\[truncated: jit\]/) jit += n
		else if ($0 ~ /;\[truncated: unreadable stack\]/) unreadable += n
		else if ($0 ~ /;\[truncated: kernel stack\]/ || $0 !~ /;\[(truncated: |no stack\])/) complete += n
		else if ($0 ~ apart || $0 ~ /;\[truncated: execve\]/) other += n # inside execve the old stack is gone
		} END { printf "%d %d %d %d %d %d\n", all, complete, loading, jit, unreadable, other }' "$1"
}
# whole NAME FILE [SAMPLES [APART]]: at least 99.9 % of FILE's samples, those aside that the walker cannot do for a reason told
# apart (rows that were being loaded, code made at run time, pages not in memory, and stacks that the extended regular
# expression APART takes), are complete; at least SAMPLES (200) there are. One case, with its figures.
whole() {
	local name=$1 file=$2 least=${3:-200} apart=${4:-^$} all complete loading jit unreadable other rest
	read -r all complete loading jit unreadable other < <(figures "$file" "$apart")
	rest=$((all - loading - jit - unreadable - other))
	awk -v a="$all" -v c="$complete" -v r=$rest -v l="$loading" -v j="$jit" -v u="$unreadable" -v o="$other" -v name="$name" 'BEGIN {
		printf "# %s: %d samples, %.2f %% of %d complete; apart: %d while rows were loaded, %d jit (%.1f %%), %d unreadable (%.2f %%), %d other (%.2f %%)\n",
			name, a, r ? 100 * c / r : 0, r, l, j, a ? 100 * j / a : 0, u, a ? 100 * u / a : 0, o, a ? 100 * o / a : 0 }'
	if [ "$all" -ge "$least" ] && [ $rest -gt 0 ] && [ "$loading" -le $((all / 4 + 20)) ] && [ $((complete * 1000)) -ge $((rest * 999)) ]; then
		ok "$name: whole stacks"
	else
		not_ok "$name: whole stacks"
		grep -E ';\[(truncated: |no stack\])' "$file" | grep -vE 'being loaded|being read|: jit|unreadable' | awk '{ print "  " $NF " " substr($0, 1, 400) }' |
			sort -rn | head -n 6
	fi
}
# chain NAME FILE FRAME REGEX [SAMPLES [PERMILLE]]: at least PERMILLE (999), one more aside, of the samples below FRAME (those while rows were
# loaded aside), and at least SAMPLES (5), have a stack that REGEX (extended) matches: "process;root;...;leaf".
chain() {
	local name=$1 regex=$4 least=${5:-5} permille=${6:-999} all good
	awk -v frame="$3" '
		/;\[truncated: (unwind rows being loaded|mappings being read)\]/ { next }
		/tgkill|;faults;(asm_)?exc_page_fault/ { next } # the signal is being sent, nothing handles it yet
		{ n = $NF; sub(/ [0-9]+$/, ""); if (index($0 ";", ";" frame ";")) print $0 "\t" n }' "$2" >"$tmp/below"
	all=$(sum_of <"$tmp/below") good=$(grep -E "$regex" "$tmp/below" | sum_of)
	if [ "$all" -ge "$least" ] && [ $(((good + 1) * 1000)) -ge $((all * permille)) ]; then
		ok "$name: $good of $all samples"
	else
		not_ok "$name: $good of $all samples are $regex"
		grep -vE "$regex" "$tmp/below" | sort -t "$(printf '\t')" -k 2rn | cut -c 1-400 | head -n 3 | sed 's/^/  /'
	fi
}
sum_of() { awk -F '\t' '{ n += $NF } END { printf "%d\n", n }'; }
