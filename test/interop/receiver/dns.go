// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"log"
	"net"
	"net/http"
	"net/netip"
)

// A DNS server that has one answer for every name: an IPv4 address. Until it is told one it is silent.
//
//	header 12 (id, flags, 1 question, answers...) | question: labels, 0, type, class | answer: points to the name at 12
func serveDNS(address string) {
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		log.Fatal(err)
	}
	query := make([]byte, 512)
	for {
		n, from, err := c.ReadFrom(query)
		if err != nil {
			log.Fatal(err)
		}
		if a := answerDNS(query[:n]); a != nil {
			c.WriteTo(a, from)
		}
	}
}

func answerDNS(query []byte) []byte {
	var address netip.Addr
	totals.locked(func() { totals.Asked++; address = totals.address })
	end := 12
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	if !address.IsValid() || end > len(query) {
		return nil
	}
	a := append([]byte{}, query[:end]...)
	binary.BigEndian.PutUint16(a[2:], 0x8180) // an answer, recursion wanted and to be had
	copy(a[6:12], make([]byte, 6))
	if binary.BigEndian.Uint16(query[end-4:]) == 1 { // of IPv6 there is none
		a[7] = 1
		a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
		a = append(a, address.AsSlice()...)
	}
	return a
}

func setDNS(w http.ResponseWriter, r *http.Request) {
	address, err := netip.ParseAddr(r.FormValue("address"))
	if err != nil && r.FormValue("address") != "" {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
	totals.locked(func() { totals.address = address })
}
