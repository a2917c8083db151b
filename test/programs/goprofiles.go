// SPDX-License-Identifier: Apache-2.0

// A program that keeps profiles of itself, and says what it knows by runtime/pprof:
//
//	goprofiles DIRECTORY [mutex] [rare] [block] [often]
//
// It holds some memory. A line "work" on standard input makes it allocate and drop much more, and
// goroutines wait for one another; another one, NAME, writes NAME.{heap,mutex,block}.pb.gz.
package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"
)

var held [][]byte
var sink []byte

//go:noinline
func keepSmall(n int) {
	for i := 0; i < n; i++ {
		held = append(held, make([]byte, 4096))
	}
}

//go:noinline
func keepLarge(n int) {
	for i := 0; i < n; i++ {
		held = append(held, make([]byte, 1<<20))
	}
}

//go:noinline
func drop() {
	sink = make([]byte, 64<<10)
}

//go:noinline
func inside(m *sync.Mutex) {
	m.Lock()
	time.Sleep(2 * time.Millisecond)
	leave(m)
}

//go:noinline
func leave(m *sync.Mutex) {
	m.Unlock()
}

//go:noinline
func receive(c chan int) {
	<-c
}

func write(name string) {
	f, err := os.Create(name + ".pb.gz")
	if err == nil {
		err = pprof.Lookup(filepath.Ext(name)[1:]).WriteTo(f, 0)
		f.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func work() {
	var m sync.Mutex
	var all sync.WaitGroup
	c := make(chan int)
	all.Add(5)
	for i := 0; i < 4; i++ {
		go func() {
			for n := 0; n < 250; n++ {
				inside(&m)
			}
			all.Done()
		}()
	}
	go func() {
		for n := 0; n < 200; n++ {
			receive(c)
		}
		all.Done()
	}()
	for n := 0; n < 200; n++ {
		for i := 0; i < 80; i++ {
			drop()
		}
		time.Sleep(5 * time.Millisecond)
		c <- 1
	}
	all.Wait()
	runtime.GC() // what was allocated is published after the second
	runtime.GC()
}

func main() {
	for _, what := range os.Args[2:] {
		switch what {
		case "mutex":
			runtime.SetMutexProfileFraction(1)
		case "rare":
			runtime.SetMutexProfileFraction(2)
		case "block":
			runtime.SetBlockProfileRate(1)
		case "often":
			runtime.MemProfileRate = 64 << 10
		}
	}
	keepSmall(8 << 10) // 32 MB
	keepLarge(32)
	runtime.GC()
	runtime.GC()
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); fmt.Println("done") {
		if in.Text() == "work" {
			work()
			continue
		}
		for _, kind := range []string{"heap", "mutex", "block"} {
			write(filepath.Join(os.Args[1], in.Text()+"."+kind))
		}
	}
}
