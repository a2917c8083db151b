// SPDX-License-Identifier: Apache-2.0

// A receiver of everything that telegen sends, made of the official messages: what it decodes is not decoded by ours.
//
//	HTTP, gRPC --> listener (faults of connections) --> serve (faults of answers) --> decode --> totals
//
//	receiver -http :0 -grpc :0 -proxy :0 -control ADDRESS [-user NAME:PASSWORD] [-dns ADDRESS]
//
// The control address answers:
//
//	GET  /totals                what was accepted (totals.go), JSON
//	POST /faults?KEY=VALUE&...  replaces the faults (faults.go)
//	POST /down, /up             stops listening and breaks all connections; listens again
//	POST /dns?address=IP        the answer of its DNS server (dns.go); without: silence
//	POST /reset                 forgets what was counted
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
)

const bodyMax = 64 << 20

// Requests as they came: each kind's messages are decoded by ourselves, the same way for HTTP and gRPC.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
func (rawCodec) Name() string                       { return "proto" }

var _ encoding.Codec = rawCodec{}

func serveGRPC(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	var body []byte
	if err := stream.RecvMsg(&body); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	totals.header(func(name string) string {
		if v := md.Get(name); len(v) > 0 {
			return v[0]
		}
		return ""
	})
	a := serve(method, body)
	if a.status != 200 {
		return a.grpcError()
	}
	return stream.SendMsg(&a.body)
}

func serveHTTP(w http.ResponseWriter, r *http.Request) {
	var in io.Reader = http.MaxBytesReader(w, r.Body, bodyMax)
	if r.Method != http.MethodPost {
		http.Error(w, "POST", http.StatusMethodNotAllowed)
		return
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(in)
		if err != nil {
			totals.problem("gzip: %v", err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		in = z
	}
	body, err := io.ReadAll(in)
	if err != nil {
		totals.torn()
		return
	}
	if isPoison(body) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			c.(*faultyConn).Conn.(*net.TCPConn).SetLinger(0) // RST, not FIN
			c.Close()
		}
		return
	}
	totals.header(r.Header.Get)
	a := serve(r.URL.Path, body)
	if a.retryAfter != "" {
		w.Header().Set("Retry-After", a.retryAfter)
	}
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.WriteHeader(a.status)
	w.Write(a.body)
}

// A forward proxy: CONNECT, and plain requests with the whole address in them.
func serveProxy(user string) http.HandlerFunc {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user))
	return func(w http.ResponseWriter, r *http.Request) {
		if user != "" && r.Header.Get("Proxy-Authorization") != want {
			w.Header().Set("Proxy-Authenticate", "Basic")
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		totals.proxied()
		if r.Method != http.MethodConnect {
			r.RequestURI = ""
			r.Header.Del("Proxy-Authorization")
			answer, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			defer answer.Body.Close()
			w.WriteHeader(answer.StatusCode)
			io.Copy(w, answer.Body)
			return
		}
		to, err := net.DialTimeout("tcp", r.Host, 5*time.Second)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		from, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			to.Close()
			return
		}
		fmt.Fprint(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(to, from); to.Close() }()
		io.Copy(from, to)
		from.Close()
	}
}

func main() {
	httpAddress := flag.String("http", "", "address of HTTP")
	grpcAddress := flag.String("grpc", "", "address of gRPC")
	proxyAddress := flag.String("proxy", "", "address of the forward proxy; empty: none")
	user := flag.String("user", "", "NAME:PASSWORD that the proxy asks for")
	control := flag.String("control", "", "address of the control")
	dns := flag.String("dns", "", "address of the DNS server; empty: none")
	flag.StringVar(&watched, "names", watched, "names of functions to be counted, a regular expression")
	flag.Parse()

	gates := []*gate{
		{address: *httpAddress, serve: func(l net.Listener) { (&http.Server{Handler: http.HandlerFunc(serveHTTP)}).Serve(l) }},
		{address: *grpcAddress, serve: func(l net.Listener) {
			grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(serveGRPC),
				grpc.MaxRecvMsgSize(bodyMax)).Serve(l)
		}},
	}
	for _, g := range gates {
		if err := g.up(); err != nil {
			log.Fatal(err)
		}
	}
	if *proxyAddress != "" {
		go func() { log.Fatal(http.ListenAndServe(*proxyAddress, serveProxy(*user))) }()
	}
	if *dns != "" {
		go serveDNS(*dns)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /dns", setDNS)
	mux.HandleFunc("GET /totals", func(w http.ResponseWriter, _ *http.Request) {
		totals.mutex.Lock()
		defer totals.mutex.Unlock()
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		e.Encode(&totals)
	})
	mux.HandleFunc("POST /faults", setFaults)
	mux.HandleFunc("POST /reset", func(http.ResponseWriter, *http.Request) { totals.reset() })
	mux.HandleFunc("POST /down", func(http.ResponseWriter, *http.Request) {
		for _, g := range gates {
			g.down()
		}
	})
	mux.HandleFunc("POST /up", func(w http.ResponseWriter, _ *http.Request) {
		for _, g := range gates {
			if err := g.up(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		}
	})
	log.Fatal(http.ListenAndServe(*control, mux))
}
