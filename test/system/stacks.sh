# SPDX-License-Identifier: Apache-2.0
# What the scripts about whole stacks share; read after lib.sh.

# Marks of stacks that were walked before what they need was there: nothing is wrong with them, as long as they are few.
readonly loading=';[[]truncated: (unwind rows being loaded|mappings being read|mapping not told yet)[]]'

# figures FILE [APART]: "samples complete loading jit unreadable apart" of folded stacks (FILE, APART as below).
# Complete: there is a user stack, and no mark at its root. A kernel stack may be cut: that is another limit.
figures() {
	awk -v loading="$loading" -v apart="${2:-^$}" '
		{ n = $NF; all += n; sub(/ [0-9]+$/, ""); sub(/;\[truncated: kernel stack\]/, "") }
		$0 ~ loading { loaded += n; next }
		/;\[truncated: jit\]/ { jit += n; next }
		/;\[truncated: unreadable stack\]/ { unreadable += n; next }
		# Inside execve the old stack is gone, and in a process that ends all of its memory.
		$0 ~ apart || /;\[truncated: execve\]/ || /^[^;]*;([^;]*_\[k\];)*do_exit_\[k\]/ { other += n; next }
		!/;\[(truncated: |no stack\])/ && !/^[^;]*;[^;]*_\[k\](;|$)/ { complete += n }
		END { printf "%d %d %d %d %d %d\n", all, complete, loaded, jit, unreadable, other }' "$1"
}
# whole NAME FILE [SAMPLES [APART]]: at least 99.9 % of FILE's samples are complete, but for those that the walker cannot
# do for a reason told apart: what it needs was being loaded, code made at run time, pages not in memory, and stacks that
# the extended regular expression APART takes. One case, with its figures.
# SAMPLES (200) shows that there was something to judge; of so few, none may be incomplete. Most of what is loaded is
# loaded in the first tenths of a second, of captures that take seconds: a quarter (and 20, of the shortest) is a bound
# for busy machines beyond which the rows do not come.
whole() {
	local name=$1 file=$2 least=${3:-200} apart=${4:-^$} all complete loaded jit unreadable other rest
	read -r all complete loaded jit unreadable other < <(figures "$file" "$apart")
	rest=$((all - loaded - jit - unreadable - other))
	awk -v name="$name" -v a="$all" -v c="$complete" -v r=$rest -v l="$loaded" -v j="$jit" -v u="$unreadable" -v o="$other" '
		function share(n) { return a ? 100 * n / a : 0 }
		BEGIN {
			printf "# %s: %d samples, %.2f %% of %d complete; apart: ", name, a, r ? 100 * c / r : 0, r
			printf "%d while rows were loaded, %d jit (%.1f %%), %d unreadable (%.2f %%), %d other (%.2f %%)\n",
				l, j, share(j), u, share(u), o, share(o)
		}'
	if [ "$all" -ge "$least" ] && [ $rest -gt 0 ] && [ "$loaded" -le $((all / 4 + 20)) ] &&
		[ $((complete * 1000)) -ge $((rest * 999)) ]; then
		ok "$name: whole stacks"
	else
		not_ok "$name: whole stacks"
		grep -E '^[^;]*;([^;]*_\[k\](;| )|\[(truncated: |no stack))' "$file" | grep -vE "$loading|: jit|unreadable" |
			awk '{ print "  " $NF " " substr($0, 1, 400) }' | sort -rn | head -n 6
	fi
}
# chain NAME FILE FRAME REGEX [SAMPLES [PERMILLE]]: at least PERMILLE (999) of the samples below FRAME, those aside while
# rows were loaded, and at least SAMPLES (5), have a stack that REGEX (extended) matches: "process;root;...;leaf". One
# more may differ: a case has a few hundred samples, and one of them may hit an instruction between two functions.
chain() {
	local name=$1 regex=$4 least=${5:-5} permille=${6:-999} all good
	awk -v frame="$3" -v loading="$loading" '
		$0 ~ loading { next }
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
