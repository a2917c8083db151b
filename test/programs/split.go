// SPDX-License-Identifier: Apache-2.0
// Truth: 70 % of the CPU time in main.(*till).work70, 20 % in main.work20, 10 % in main.work10, called by turn by
// main.main, on one thread. split [SECONDS], else until it is ended.
package main

import (
	"os"
	"strconv"
	"time"
)

const unit = 13000 // iterations, each waiting for the one before
const factor = 6364136223846793005

type till struct{ sum uint64 }

//go:noinline
func (t *till) work70() {
	x := t.sum
	for i := 0; i < 7*unit; i++ {
		x = x*factor + 5
	}
	t.sum = x
}

//go:noinline
func work20(x uint64) uint64 {
	for i := 0; i < 2*unit; i++ {
		x = x*factor + 1
	}
	return x
}

//go:noinline
func work10(x uint64) uint64 {
	for i := 0; i < unit; i++ {
		x = x*factor + 3
	}
	return x
}

func main() {
	seconds := 1000000000
	if len(os.Args) > 1 {
		seconds, _ = strconv.Atoi(os.Args[1])
	}
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	t := &till{1}
	for time.Now().Before(end) {
		t.work70()
		t.sum = work20(t.sum)
		t.sum = work10(t.sum)
	}
}
