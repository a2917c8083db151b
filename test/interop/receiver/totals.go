// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"regexp"
	"sync"
)

var (
	watched  = "^work"
	watching = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(watched) })
)

// What was accepted of one kind: otlp, pyroscope, parca, logs, metrics.
type kindTotals struct {
	Requests int
	Bytes    int // of their bodies, unpacked
	Largest  int // of these
	Entries  int // samples, records, points
	// Of all profiles or records (not of points), ns: the earliest.
	First uint64
	// Sums by "samples/count cpu/nanoseconds", of logs and metrics by the name of what is summed; the same for each
	// service.name, and for each watched function of the samples in it or below.
	Types     map[string]int64
	Services  map[string]map[string]int64
	Functions map[string]map[string]int64
}

// One series of metrics: cumulative, so the last value counts.
type series struct {
	metric, service string
	start, time     uint64
	value           int64
}

type everything struct {
	mutex       sync.Mutex
	Kinds       map[string]*kindTotals
	Seen        int      // requests that came whole, accepted or not
	Torn        int      // that did not
	Connections int      // accepted
	Proxied     int      // through the proxy: connections, and plain requests
	Duplicates  int      // requests that were accepted a second time: all of their ids (of profiles, or the body) were there; counted here alone
	Asked       int      // questions to the DNS server
	Problems    []string // what was wrong with requests
	// Of the last request.
	Agent, Authorization, Tenant, Extra string

	ids     map[string]bool
	series  map[string]*series
	address netip.Addr // the DNS server's answer
}

var totals everything

func init() { totals.reset() }

func (e *everything) reset() {
	e.locked(func() {
		e.Kinds, e.Problems, e.ids, e.series = map[string]*kindTotals{}, []string{}, map[string]bool{}, map[string]*series{}
		e.Seen, e.Torn, e.Connections, e.Proxied, e.Duplicates, e.Asked = 0, 0, 0, 0, 0, 0
	})
}

func (e *everything) locked(f func()) { e.mutex.Lock(); defer e.mutex.Unlock(); f() }
func (e *everything) torn()           { e.locked(func() { e.Torn++ }) }
func (e *everything) connection()     { e.locked(func() { e.Connections++ }) }
func (e *everything) proxied()        { e.locked(func() { e.Proxied++ }) }
func (e *everything) header(get func(string) string) {
	e.locked(func() {
		e.Agent, e.Authorization = get("user-agent"), get("authorization")
		e.Tenant, e.Extra = get("x-scope-orgid"), get("x-extra")
	})
}
func (e *everything) problem(format string, arguments ...any) {
	e.locked(func() {
		if len(e.Problems) < 50 {
			e.Problems = append(e.Problems, fmt.Sprintf(format, arguments...))
		}
	})
}

// What one request holds, until it is known to be whole.
type found struct {
	kind      string
	entries   int
	first     uint64
	types     map[string]int64
	services  map[string]map[string]int64
	functions map[string]map[string]int64
	ids       []string
	series    map[string]*series
}

func newFound(kind string) *found {
	return &found{kind: kind, types: map[string]int64{}, services: map[string]map[string]int64{},
		functions: map[string]map[string]int64{}, series: map[string]*series{}}
}

func (f *found) at(ns uint64) {
	if f.first == 0 || ns < f.first {
		f.first = ns
	}
}

func addTo(m map[string]map[string]int64, name, key string, value int64) {
	if m[name] == nil {
		m[name] = map[string]int64{}
	}
	m[name][key] += value
}

// add counts VALUE of a sample with these functions, each once.
func (f *found) add(kind, service string, names map[string]bool, value int64) {
	f.types[kind] += value
	addTo(f.services, service, kind, value)
	for name := range names {
		if watching().MatchString(name) {
			addTo(f.functions, name, kind, value)
		}
	}
}

func (e *everything) take(f *found, size int) {
	e.locked(func() {
		known := 0
		for _, id := range f.ids {
			if e.ids[id] {
				known++
			}
			e.ids[id] = true
		}
		if known > 0 {
			e.Duplicates++
			if known < len(f.ids) {
				e.Problems = append(e.Problems, fmt.Sprintf("%s: %d of the %d ids in a request came before", f.kind, known, len(f.ids)))
			}
			return
		}
		k := e.Kinds[f.kind]
		if k == nil {
			k = &kindTotals{Types: map[string]int64{}, Services: map[string]map[string]int64{}, Functions: map[string]map[string]int64{}}
			e.Kinds[f.kind] = k
		}
		k.Requests++
		k.Bytes += size
		k.Largest = max(k.Largest, size)
		k.Entries += f.entries
		if k.First == 0 || f.first < k.First {
			k.First = f.first
		}
		for t, v := range f.types {
			k.Types[t] += v
		}
		for _, pair := range []struct{ to, from map[string]map[string]int64 }{{k.Services, f.services}, {k.Functions, f.functions}} {
			for name, types := range pair.from {
				for t, v := range types {
					addTo(pair.to, name, t, v)
				}
			}
		}
		for key, now := range f.series {
			before := e.series[key]
			if before == nil {
				before = &series{}
			} else if now.start == before.start && (now.time <= before.time || now.value < before.value) {
				e.Problems = append(e.Problems, fmt.Sprintf("%s goes back: %d at %d, then %d at %d", now.metric, before.value,
					before.time, now.value, now.time))
			}
			rise := now.value
			if now.start == before.start {
				rise -= before.value
			}
			k.Types[now.metric] += rise
			addTo(k.Services, now.service, now.metric, rise)
			e.series[key] = now
		}
	})
}
