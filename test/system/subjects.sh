# SPDX-License-Identifier: Apache-2.0
# Subjects: programs that measure themselves, and what is made of it. After lib.sh.

# subject NAME [SOURCE COMPILER...]: test/programs/NAME.c, or another.
subject() {
	local name=$1
	shift
	[ $# -gt 0 ] || set -- "$name.c" gcc -std=gnu17 -O2 -g -Wall -Wextra -Werror -pthread
	program "$name" "$@"
}

# warm: the first stacks of a program are cut until it is known how to unwind it, longer where the machine is busy. What is to be
# right to 5 % of some seconds is known before; that it is soon known at all is for those that begin without.
warm() {
	"$tmp/waits" 0.5 "$tmp" >/dev/null & "$tmp/becomes" 0.5 >/dev/null & "$tmp/hogs" 0.5 >/dev/null &
	wait
}

# capture NAME TYPES FUNCTION [OPTIONS...]: FUNCTION and all that it starts, to $tmp/NAME.TYPE.pb.gz; what they say to NAME.said.
capture() {
	local name=$1 types=$2 command=$3 type
	shift 3
	export tmp PWD
	export -f "$command" warm
	timeout 50 "$telegen" record -t "$types" -o "$tmp/$name.pb.gz" "$@" -- bash -c "$command" >"$tmp/$name.said" 2>"$tmp/$name.log" </dev/null ||
		{ cat "$tmp/$name.log"; not_ok "$name: record failed"; return 1; }
	[[ $types == *,* ]] || mv "$tmp/$name.pb.gz" "$tmp/$name.$types.pb.gz"
}
# judge NAME CASE...: see truth.py.
judge() {
	local name=$1
	shift
	python3 test/system/truth.py "$tmp/$name.said" "$tmp/$name" "$@" || { bad=1; tail -n 1 "$tmp/$name.log"; }
}
