// SPDX-License-Identifier: Apache-2.0
// What a gRPC status says, out of headers and trailers. Private to this room.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { GRPC_OK = 0, GRPC_UNKNOWN = 2, GRPC_UNAUTHENTICATED = 16 };

const char *grpc_status_name(int status); // "UNAVAILABLE"; "status" for one that gRPC does not know
// A value of grpc-status; GRPC_UNKNOWN where it is no number.
int grpc_status_number(const char *s, size_t n);
// Which status an HTTP status without one of gRPC's own stands for.
int grpc_status_of_http(int status);
// grpc-message, percent-decoded, into one printable line of UTF-8 in TO.
void grpc_message_text(const char *s, size_t n, char *to, size_t size);
// The delay of the first RetryInfo in a grpc-status-details-bin, ns; 0: none, or it is not to be read.
uint64_t grpc_retry_delay(const char *base64, size_t n);
