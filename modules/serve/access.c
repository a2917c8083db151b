// SPDX-License-Identifier: Apache-2.0
// Who may see profiles: this machine's own users, and who shows the token. A browser on this
// machine may be led here by another site: with a name that was pointed at 127.0.0.1 (DNS
// rebinding: the Host header is that name) or with a plain request across sites (Sec-Fetch-Site
// says so).
#include "private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_MAX 4096

static bool host_is_ours(const char *host)
{
	char name[256];
	struct in6_addr six;
	struct in_addr four;
	size_t n = text_copy(name, sizeof(name), host);
	char *end = name[0] == '[' ? strchr(name, ']') : NULL;
	if (end) {
		*end = 0;
		return inet_pton(AF_INET6, name + 1, &six) == 1;
	}
	char *colon = strrchr(name, ':');
	if (inet_pton(AF_INET6, name, &six) == 1) // as an absolute URL gives it, without brackets
		return true;
	if (colon)
		*colon = 0;
	return n && (strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &four) == 1);
}

// The token without the white space behind it: its length, 0 for an empty file, or -errno. It is
// read for each request, so that it can be changed while the agent runs.
static ssize_t read_token(const char *path, char token[static TOKEN_MAX])
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	ssize_t n = -EINVAL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		n = pread(fd, token, TOKEN_MAX, 0);
		n = n < 0 ? -errno : n;
	}
	close(fd);
	if (n == TOKEN_MAX)
		return -EFBIG;
	while (n > 0 && strchr(" \t\r\n", token[n - 1]))
		n--;
	return n;
}

// Takes the same time wherever the first difference is.
static bool same(const char *a, size_t a_size, const char *b, size_t b_size)
{
	volatile unsigned char difference = a_size != b_size;
	for (size_t i = 0; i < a_size; i++)
		difference |= (unsigned char)(a[i] ^ (b_size ? b[i % b_size] : 1));
	return !difference;
}

static const char *token_trouble(ssize_t n)
{
	return n == 0 ? "is empty" : n == -EINVAL ? "is not a regular file" : strerror((int)-n);
}

void access_check_token(const struct serve *s)
{
	char token[TOKEN_MAX];
	const char *path = s->options.token_file;
	ssize_t n = *path ? read_token(path, token) : 1;
	if (n <= 0)
		log_warn("listen_token_file: %s: %s: other machines get no profiles until it holds "
			 "a token",
		    path, token_trouble(n));
	memset(token, 0, sizeof(token));
}

static bool token_is_shown(const struct serve *s, struct http_request *r)
{
	char token[TOKEN_MAX];
	const char *shown = http_header(r, "Authorization"), *path = s->options.token_file;
	if (!path || !*path) {
		serve_say(r, 403, NULL,
		    "profiles are shown to this machine only: set listen_token_file to show them "
		    "to others");
		return false;
	}
	ssize_t n = read_token(path, token);
	if (n <= 0) {
		log_seldom(LOG_LEVEL_WARN, "listen_token_file: %s: %s", path, token_trouble(n));
		serve_say(r, 403, NULL, "listen_token_file cannot be read: see the agent's log");
		return false;
	}
	bool good = shown && strncasecmp(shown, "Bearer ", 7) == 0 &&
		    same(shown + 7, strlen(shown + 7), token, (size_t)n);
	memset(token, 0, sizeof(token));
	if (!good)
		serve_say(r, 401, "WWW-Authenticate: Bearer\r\n",
		    "%s token: send Authorization: Bearer TOKEN with the content of "
		    "listen_token_file",
		    shown ? "wrong" : "no");
	return good;
}

bool access_check(const struct serve *s, struct http_request *r, bool page)
{
	if (!http_peer_is_local(r)) {
		// The page itself has no profile in it, and asks for the token.
		bool asks = page && s->options.token_file && *s->options.token_file;
		return asks || token_is_shown(s, r);
	}
	const char *host = http_header(r, "Host"), *site = http_header(r, "Sec-Fetch-Site");
	const char *mode = http_header(r, "Sec-Fetch-Mode");
	bool socket = strncmp(s->options.listen, "unix:", 5) == 0; // no browser reaches it
	if (host && !socket && !host_is_ours(host)) {
		serve_say(r, 403, NULL,
		    "Host: %s: not a name of this endpoint: use localhost or an IP address", host);
		return false;
	}
	if (site && strcmp(site, "same-origin") && strcmp(site, "none") &&
	    !(mode && !strcmp(mode, "navigate"))) {
		serve_say(r, 403, NULL, "Sec-Fetch-Site: %s: other sites get no profiles", site);
		return false;
	}
	return true;
}
