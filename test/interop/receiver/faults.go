// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	collectorprofiles "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// What goes wrong, for so many requests (count; below 0: for all). Of an answer: a status (503) with Retry-After in
// seconds, partial success, a redirect. Of one request alone, the first that comes over HTTP: each time its connection
// is reset (poison). Of a connection: reset after so many bytes of it were read, silence (hole),
// reading at so many bytes a second (slow).
var faults struct {
	sync.Mutex
	status, retryAfter, partial, count int
	redirect                           string
	reset, slow                        int
	hole, poison                       bool
	poisoned                           [sha256.Size]byte // of the body; zero: it has yet to come
}

func setFaults(w http.ResponseWriter, r *http.Request) {
	faults.Lock()
	defer faults.Unlock()
	number := func(key string, or int) int {
		v := r.FormValue(key)
		if v == "" {
			return or
		}
		n, err := strconv.Atoi(v)
		if err != nil {
			http.Error(w, key+": "+err.Error(), http.StatusBadRequest)
		}
		return n
	}
	faults.status, faults.retryAfter, faults.partial = number("status", 0), number("retry_after", 0), number("partial", 0)
	faults.count = number("count", -1)
	faults.reset, faults.slow = number("reset", 0), number("slow", 0)
	faults.hole, faults.poison = number("hole", 0) != 0, number("poison", 0) != 0
	faults.poisoned = [sha256.Size]byte{}
	faults.redirect = r.FormValue("redirect")
}

func isPoison(body []byte) bool {
	faults.Lock()
	defer faults.Unlock()
	sum := sha256.Sum256(body)
	if faults.poison && faults.poisoned == [sha256.Size]byte{} {
		faults.poisoned = sum
	}
	return faults.poison && faults.poisoned == sum
}

type answer struct {
	status               int
	retryAfter, location string
	seconds              int
	body                 []byte
}

// gRPC's code for what HTTP says by its status.
func (a answer) grpcError() error {
	code, known := map[int]codes.Code{400: codes.InvalidArgument, 401: codes.Unauthenticated, 404: codes.Unimplemented,
		413: codes.ResourceExhausted, 429: codes.ResourceExhausted, 503: codes.Unavailable}[a.status]
	if !known {
		code = codes.Unknown
	}
	s := status.New(code, string(a.body))
	if a.seconds > 0 {
		s, _ = s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Duration(a.seconds) * time.Second)})
	}
	return s.Err()
}

// The fault of the next request; status 0: none.
func fault() (a answer) {
	faults.Lock()
	defer faults.Unlock()
	if faults.count == 0 || (faults.status == 0 && faults.partial == 0 && faults.redirect == "") {
		return
	}
	faults.count--
	switch {
	case faults.partial > 0:
		a.status = 200
		a.body, _ = proto.Marshal(&collectorprofiles.ExportProfilesServiceResponse{
			PartialSuccess: &collectorprofiles.ExportProfilesPartialSuccess{RejectedProfiles: int64(faults.partial),
				ErrorMessage: "some were bad"}})
	case faults.redirect != "":
		a.status, a.location = http.StatusTemporaryRedirect, faults.redirect
	default:
		a.status, a.seconds = faults.status, faults.retryAfter
		a.body = []byte(fmt.Sprintf("as told: %d", a.status))
		if a.seconds > 0 {
			a.retryAfter = strconv.Itoa(a.seconds)
		}
	}
	return
}

// A listener that can be closed and opened again, with all of its connections.
type gate struct {
	address string
	serve   func(net.Listener)
	mutex   sync.Mutex
	open    net.Listener
	all     map[net.Conn]bool
}

func (g *gate) up() (err error) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.open != nil || g.address == "" {
		return nil
	}
	if g.open, err = net.Listen("tcp", g.address); err != nil {
		return err
	}
	g.all = map[net.Conn]bool{}
	go g.serve(&faultyListener{g.open, g})
	return nil
}

func (g *gate) down() {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.open == nil {
		return
	}
	g.open.Close()
	g.open = nil
	for c := range g.all {
		c.Close()
	}
}

type faultyListener struct {
	net.Listener
	gate *gate
}

func (l *faultyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	totals.connection()
	l.gate.mutex.Lock()
	l.gate.all[c] = true
	l.gate.mutex.Unlock()
	return &faultyConn{Conn: c, gate: l.gate}, nil
}

type faultyConn struct {
	net.Conn
	gate *gate
	read int
}

func (c *faultyConn) Close() error {
	c.gate.mutex.Lock()
	delete(c.gate.all, c.Conn)
	c.gate.mutex.Unlock()
	return c.Conn.Close()
}

func (c *faultyConn) Read(p []byte) (int, error) {
	faults.Lock()
	reset, slow, hole := faults.reset, faults.slow, faults.hole
	faults.Unlock()
	if reset > 0 {
		if c.read >= reset {
			c.Conn.(*net.TCPConn).SetLinger(0) // RST, not FIN
			c.Conn.Close()
			return 0, net.ErrClosed
		}
		p = p[:min(len(p), reset-c.read)]
	} else if slow > 0 {
		p = p[:min(len(p), max(1, slow/20))]
		time.Sleep(50 * time.Millisecond)
	}
	n, err := c.Conn.Read(p)
	for hole && err == nil { // what comes is taken, and nobody hears of it
		n, err = c.Conn.Read(p)
	}
	c.read += n
	return n, err
}
