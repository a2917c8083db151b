// SPDX-License-Identifier: Apache-2.0
// Stacks of all shapes that Go makes.
//
//	goshapes walk [locked]   each between main.begin and main.end, to be stepped through (locked: by one
//	                         thread); at main.here main.seen holds what the runtime itself finds: a
//	                         count, return addresses
//	goshapes burn SECONDS    on many goroutines
package main

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/big"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var seen [200]uintptr
var sink uint64
var walking bool

//go:noinline
func begin() { sink++ }

//go:noinline
func end() { sink++ }

//go:noinline
func here() { sink++ }

//go:noinline
func look() {
	if walking {
		seen[0] = uintptr(runtime.Callers(1, seen[1:]))
		here()
	}
}

//go:noinline
func leaf(x uint64) uint64 { return x*6364136223846793005 + 5 }

//go:noinline
func deep(n int, x uint64) uint64 {
	var pad [20]uint64
	pad[n%20] = x
	if n == 0 {
		look()
		return leaf(x)
	}
	return deep(n-1, x+1) + pad[(n+3)%20]
}

//go:noinline
func large(n int) uint64 {
	var pad [3000]uint64
	for i := range pad {
		pad[i] = leaf(uint64(n))
		if i > 20 {
			break
		}
	}
	look()
	return pad[n%3000]
}

//go:noinline
func huge(n int) uint64 {
	var pad [40000]uint64
	pad[n] = leaf(uint64(n))
	look()
	return pad[n/2] + pad[n]
}

type block struct{ at [40]uint64 }

//go:noinline
func blocks(a block, n int) (block, block) { // copied and cleared by duffcopy and duffzero
	var b block
	look()
	b.at[n] = leaf(a.at[n])
	return b, a
}

type shape interface{ area(n int) uint64 }
type square struct{ side uint64 }
type inside struct{ square }

//go:noinline
func (s square) area(n int) uint64 { look(); return leaf(s.side) * uint64(n) }

//go:noinline
func area(s shape, n int) uint64 { return s.area(n) }

//go:noinline
func call(f func(int) uint64) uint64 { return f(3) }

//go:noinline
func fails(n int) (r uint64) {
	defer func() {
		if recover() != nil {
			look()
			r = leaf(uint64(n))
		}
	}()
	var p *square
	if n%2 == 0 {
		return p.side // a fault
	}
	panic("on purpose")
}

//go:noinline
func wide(a, b, c, d, e, f, g, h, i, j, k, l uint64, s string) uint64 {
	look()
	return a + b + c + d + e + f + g + h + i + j + k + l + uint64(len(s))
}

func library(n int) {
	text := strings.Repeat("a stack of "+strconv.Itoa(n), 20)
	var value interface{}
	data, _ := json.Marshal(map[string]interface{}{"n": n, "text": text, "list": []int{n, 2, 3}})
	_ = json.Unmarshal(data, &value)
	words := strings.Fields(text)
	sort.Slice(words, func(i, j int) bool { return words[i] < words[j] })
	a, b, c, d := md5.Sum(data), sha1.Sum(data), sha256.Sum256(data), sha512.Sum512(data)
	x := new(big.Int).SetBytes(data)
	x.Mul(x, x).Mod(x, new(big.Int).SetBytes(c[:])).Exp(x, big.NewInt(65537), big.NewInt(1000003))
	sink += uint64(a[0]) + uint64(b[0]) + uint64(d[0]) + uint64(crc32.ChecksumIEEE(data)) + x.Uint64()
	sink += uint64(bytes.Count(data, []byte("a"))) + uint64(bytes.IndexByte(data, '}')) + uint64(len(fmt.Sprint(value, words)))
	in := []reflect.Value{reflect.ValueOf(n % 30), reflect.ValueOf(uint64(n))}
	sink += reflect.ValueOf(deep).Call(in)[0].Uint()
	sink += uint64(time.Now().UnixNano()) + uint64(time.Since(time.Now())) + uint64(syscall.Getpid())
}

func talk(n int) {
	to, from := make(chan int), make(chan int, 1)
	var lock sync.Mutex
	var wait sync.WaitGroup
	wait.Add(1)
	go func() {
		for i := range to {
			lock.Lock()
			from <- i + int(deep(5, uint64(i))&1)
			lock.Unlock()
		}
		wait.Done()
	}()
	for i := 0; i < n; i++ {
		to <- i
		select {
		case i := <-from:
			sink += uint64(i)
		case <-time.After(time.Second):
		}
		runtime.Gosched()
	}
	close(to)
	wait.Wait()
}

func signals(c chan os.Signal) {
	if c != nil {
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGUSR1)
		<-c
	}
}

func all(n int, c chan os.Signal) {
	sink += deep(n%30, 1) + large(n%7) + wide(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, "x")
	b, _ := blocks(block{}, n%40)
	var s shape = &inside{square{b.at[0]}}
	sink += area(s, n) + area(square{3}, n) + call(func(x int) uint64 { look(); return leaf(uint64(x + n)) })
	sink += call(func(x int) uint64 { return s.area(x) }) + fails(n)
	extra(n)
	signals(c)
	done := make(chan uint64)
	go func() { done <- deep(200, 2) + huge(n%100) }() // its stack grows
	sink += <-done
	library(n)
	talk(3)
}

var extra = func(n int) {}

func init() { runtime.LockOSThread() } // the program's first thread is the one that is stepped

func main() {
	if len(os.Args) > 1 && os.Args[1] == "walk" {
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGUSR1)
		walking = true
		if len(os.Args) < 3 {
			runtime.UnlockOSThread()
		}
		begin()
		all(1, c)
		all(2, c)
		runtime.GC()
		end()
		return
	}
	runtime.UnlockOSThread()
	seconds := 1000000000
	if len(os.Args) > 2 {
		seconds, _ = strconv.Atoi(os.Args[2])
	}
	until := time.Now().Add(time.Duration(seconds) * time.Second)
	var wait sync.WaitGroup
	for i := 0; i < 4; i++ {
		wait.Add(1)
		go func(n int) {
			for ; time.Now().Before(until); n++ {
				all(n, nil)
				x := uint64(n)
				for i := 0; i < 20000; i++ {
					x = leaf(x)
				}
				sink += x
			}
			wait.Done()
		}(i)
	}
	wait.Wait()
}
