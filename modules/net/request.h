// SPDX-License-Identifier: Apache-2.0
// One HTTP request, parsed while its bytes come in. Knows no socket, so that tests and the fuzzer
// feed it directly.
//
//   raw      url \0 name \0 value \0 name \0 value ...        as sent (values without the space
//   around them) decoded  path \0 key \0 value \0 key \0 value \0 ... host \0   percent-decoded,
//   the path normalised
#pragma once
#include <http_parser.h>

#include "../base/base.h"

struct request {
	http_parser parser;
	struct text raw, decoded;
	size_t bytes, bytes_max; // taken so far, allowed
	uint32_t part;		 // enum part: which kind of string `raw` ends in
	uint32_t headers, parameters;
	uint32_t host;	 // where the host of an absolute URL is in `decoded`, 0: none was given
	int status;	 // 0: not whole yet; 200: whole; else the status to refuse it with
	const char *why; // then the reason, a constant
};

void request_init(struct request *r, size_t bytes_max);
void request_reset(struct request *r); // ready for the next one; keeps no memory
// Takes bytes until the request is whole or refused; returns how many.
size_t request_feed(struct request *r, const char *bytes, size_t n);
// Of a whole request:
bool request_is_head(const struct request *r);
const char *request_header(const struct request *r, const char *name);
const char *request_parameter(const struct request *r, const char *key);
const char *request_parameter_key(const struct request *r, uint32_t index); // NULL past the last
