// SPDX-License-Identifier: Apache-2.0
// D's mangled names, by https://dlang.org/spec/abi.html#name_mangling: _D, a qualified name, a
// type. A recursive descent that writes as it reads. Back references may double the output at every
// level, so steps and depth are bounded beside the output.
#include "demangle.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define STEPS_MAX 4000
#define DEPTH_MAX 64

struct d {
	const char *start, *at; // NUL-terminated
	char *out;
	size_t len, size;
	unsigned steps, depth;
	bool bad, full;
};

static void type(struct d *d);
static void qualified(struct d *d);

static void put_n(struct d *d, const char *s, size_t n)
{
	size_t room = d->size - 1 - d->len;
	d->full |= n > room;
	n = n < room ? n : room;
	memcpy(d->out + d->len, s, n);
	d->len += n;
}

static void put(struct d *d, const char *s)
{
	put_n(d, s, strlen(s));
}

// Into a part of a part; false (and bad) where there is no end to it.
static bool enter(struct d *d)
{
	d->bad |= d->full || ++d->steps > STEPS_MAX || d->depth >= DEPTH_MAX;
	d->depth++;
	return !d->bad;
}

static bool eat(struct d *d, const char *s)
{
	size_t n = strlen(s);
	if (strncmp(d->at, s, n) != 0)
		return false;
	d->at += n;
	return true;
}

static size_t number(struct d *d)
{
	size_t n = 0;
	d->bad |= *d->at < '0' || *d->at > '9';
	for (; *d->at >= '0' && *d->at <= '9'; d->at++)
		n = n < 1000000 ? n * 10 + (size_t)(*d->at - '0') : n;
	return n;
}

// Q and how far back, base 26, the last digit in lower case. NULL where it leads nowhere.
static const char *back_reference(struct d *d)
{
	const char *q = d->at++;
	size_t back = 0;
	for (; *d->at >= 'A' && *d->at <= 'Z' && back < 100000; d->at++)
		back = back * 26 + (size_t)(*d->at - 'A');
	if (*d->at >= 'a' && *d->at <= 'z')
		back = back * 26 + (size_t)(*d->at++ - 'a');
	else
		d->bad = true;
	d->bad |= !back || back > (size_t)(q - d->start);
	return d->bad ? NULL : q - back;
}

static bool at_name(struct d *d)
{
	if (*d->at == 'Q') {
		struct d peek = *d;
		const char *to = back_reference(&peek);
		return to && *to >= '0' && *to <= '9';
	}
	return (*d->at >= '0' && *d->at <= '9') || !strncmp(d->at, "__T", 3) ||
	       !strncmp(d->at, "__U", 3);
}

static void value(struct d *d);

static void template_argument(struct d *d)
{
	eat(d, "H");
	if (eat(d, "T")) {
		type(d);
	} else if (eat(d, "S")) {
		qualified(d);
	} else if (eat(d, "V")) {
		size_t len = d->len;
		type(d); // of the value: parsed, not shown
		d->len = len;
		value(d);
	} else if (eat(d, "X")) {
		size_t n = number(d);
		d->bad |= n > strlen(d->at);
		if (!d->bad) {
			put_n(d, d->at, n);
			d->at += n;
		}
	} else {
		d->bad = true;
	}
}

static void name(struct d *d);

static void template_instance(struct d *d)
{
	d->at += 3; // __T or __U
	name(d);
	put(d, "!(");
	for (bool first = true; !d->bad && !eat(d, "Z"); first = false) {
		put(d, first ? "" : ", ");
		template_argument(d);
		d->bad |= !*d->at;
	}
	put(d, ")");
}

static void plain_name(struct d *d, size_t n)
{
	static const struct {
		const char *mangled, *shown;
	} special[] = {{"__ctor", "this"}, {"__dtor", "~this"}, {"__postblit", "this(this)"}};
	for (size_t i = 0; i < sizeof(special) / sizeof(*special); i++)
		if (strlen(special[i].mangled) == n && !memcmp(d->at, special[i].mangled, n)) {
			put(d, special[i].shown);
			d->at += n;
			return;
		}
	put_n(d, d->at, n);
	d->at += n;
}

static void name(struct d *d)
{
	if (!enter(d))
		return;
	if (*d->at == 'Q') {
		const char *to = back_reference(d), *after = d->at;
		if (to) {
			d->at = to;
			name(d);
			d->at = after;
		}
	} else if (*d->at == '_') {
		template_instance(d);
	} else {
		size_t n = number(d);
		const char *after = d->at + n;
		d->bad |= !n || n > strlen(d->at);
		if (!d->bad && n > 4 && (!memcmp(d->at, "__T", 3) || !memcmp(d->at, "__U", 3))) {
			template_instance(d); // before 2.077 its length stood before it
			d->bad |= d->at != after;
		} else if (!d->bad) {
			plain_name(d, n);
		}
	}
	d->depth--;
}

static void modifiers(struct d *d)
{
	while (eat(d, "x") || eat(d, "Ng") || eat(d, "O") || eat(d, "y"))
		;
}

static bool at_function(const struct d *d)
{
	return *d->at && strchr("FUWVRY", *d->at);
}

// The convention, the attributes and the parameters, not the result.
static void parameters(struct d *d)
{
	d->at++;
	while (d->at[0] == 'N' && d->at[1] && strchr("abcdefijlm", d->at[1]))
		d->at += 2;
	put(d, "(");
	for (bool first = true; !d->bad; first = false) {
		if (eat(d, "Z"))
			break;
		if (eat(d, "X") || eat(d, "Y")) {
			put(d, "...");
			break;
		}
		put(d, first ? "" : ", ");
		for (bool more = true; more;)
			more = eat(d, "M") || eat(d, "Nk");
		put(d, eat(d, "K")   ? "ref "
		       : eat(d, "J") ? "out "
		       : eat(d, "L") ? "lazy "
		       : eat(d, "I") ? "in "
				     : "");
		type(d);
	}
	put(d, ")");
}

// Names with dots. The parameters of a function stand after its name where another name follows (it
// is nested in the function) or where it is the last.
static void qualified(struct d *d)
{
	if (!enter(d))
		return;
	for (bool first = true; !d->bad && (first || at_name(d)); first = false) {
		while (eat(d, "0")) // without a name
			;
		put(d, first ? "" : ".");
		name(d);
		struct d before = *d;
		if (eat(d, "M"))
			modifiers(d);
		if (at_function(d))
			parameters(d);
		if (d->bad || !*d->at) { // it was the beginning of something else
			before.steps = d->steps;
			before.full = d->full;
			*d = before;
		}
	}
	d->depth--;
}

static void wrapped(struct d *d, const char *open)
{
	put(d, open);
	type(d);
	put(d, ")");
}

static void function_type(struct d *d, const char *word)
{
	// The result stands behind the parameters: both are read, and shown in that order too.
	put(d, word);
	parameters(d);
	put(d, ": ");
	type(d);
}

static void basic(struct d *d, char c)
{
	static const char *const names[] = {['a'] = "char",
	    ['b'] = "bool",
	    ['c'] = "creal",
	    ['d'] = "double",
	    ['e'] = "real",
	    ['f'] = "float",
	    ['g'] = "byte",
	    ['h'] = "ubyte",
	    ['i'] = "int",
	    ['j'] = "ireal",
	    ['k'] = "uint",
	    ['l'] = "long",
	    ['m'] = "ulong",
	    ['n'] = "typeof(null)",
	    ['o'] = "ifloat",
	    ['p'] = "idouble",
	    ['q'] = "cfloat",
	    ['r'] = "cdouble",
	    ['s'] = "short",
	    ['t'] = "ushort",
	    ['u'] = "wchar",
	    ['v'] = "void",
	    ['w'] = "dchar"};
	size_t i = (unsigned char)c;
	if (i < sizeof(names) / sizeof(*names) && names[i])
		put(d, names[i]);
	else
		d->bad = true;
}

static void reverse(char *from, char *to)
{
	while (from < to--) {
		char c = *from;
		*from++ = *to;
		*to = c;
	}
}

static void array_type(struct d *d, char c)
{
	char size[24];
	size_t n = c == 'G' ? number(d) : 0, key = d->len;
	snprintf(size, sizeof(size), "[%zu]", n);
	if (c == 'H')
		type(d);
	size_t element = d->len;
	type(d);
	if (c != 'H') {
		put(d, c == 'G' ? size : "[]");
		return;
	}
	// The key was read first and is shown last: the two change places.
	size_t element_len = d->len - element;
	reverse(d->out + key, d->out + element);
	reverse(d->out + element, d->out + d->len);
	reverse(d->out + key, d->out + d->len);
	size_t key_len = element - key;
	put(d, "[]");
	if (!d->full) {
		char *bracket = d->out + key + element_len;
		memmove(bracket + 1, bracket, key_len);
		*bracket = '[';
		bracket[key_len + 1] = ']';
	}
}

static void tuple(struct d *d)
{
	put(d, "tuple(");
	for (size_t n = number(d), i = 0; i < n && !d->bad; i++) {
		put(d, i ? ", " : "");
		type(d);
	}
	put(d, ")");
}

static void type_at(struct d *d)
{
	const char *start = d->at;
	if (at_function(d)) {
		function_type(d, "function");
		return;
	}
	if (*d->at == 'Q') {
		const char *to = back_reference(d), *after = d->at;
		if (to) {
			d->at = to;
			type(d);
			d->at = after;
		}
		return;
	}
	char c = *d->at ? *d->at++ : 0;
	if (c == 'x' || c == 'O' || c == 'y')
		wrapped(d, c == 'x' ? "const(" : c == 'O' ? "shared(" : "immutable(");
	else if (c == 'N' && (*d->at == 'g' || *d->at == 'h'))
		wrapped(d, *d->at++ == 'g' ? "inout(" : "__vector(");
	else if (c == 'N' && eat(d, "n"))
		put(d, "noreturn");
	else if (c == 'A' || c == 'G' || c == 'H')
		array_type(d, c);
	else if (c == 'P' && at_function(d))
		function_type(d, "function");
	else if (c == 'P')
		type(d), put(d, "*");
	else if (c == 'D')
		modifiers(d), function_type(d, "delegate");
	else if (c == 'B')
		tuple(d);
	else if (c && strchr("ICSET", c))
		qualified(d);
	else if (c == 'z' && (*d->at == 'i' || *d->at == 'k'))
		put(d, *d->at++ == 'i' ? "cent" : "ucent");
	else
		basic(d, c);
	d->bad |= d->at == start;
}

static void type(struct d *d)
{
	if (!enter(d))
		return;
	type_at(d);
	d->depth--;
}

static void text_value(struct d *d)
{
	size_t n = number(d);
	d->bad |= !eat(d, "_") || n * 2 > strlen(d->at);
	put(d, "\"");
	for (size_t i = 0; i < n && !d->bad; i++, d->at += 2) {
		unsigned c = 0;
		d->bad |= sscanf(d->at, "%2x", &c) != 1;
		char shown = c >= ' ' && c < 127 ? (char)c : '?';
		put_n(d, &shown, 1);
	}
	put(d, "\"");
}

static void value_list(struct d *d, const char *open, const char *close)
{
	put(d, open);
	for (size_t n = number(d), i = 0; i < n && !d->bad; i++) {
		put(d, i ? ", " : "");
		value(d);
	}
	put(d, close);
}

static void value(struct d *d)
{
	if (!enter(d))
		return;
	char c = *d->at;
	const char *start = d->at;
	if (c == 'n') {
		d->at++;
		put(d, "null");
	} else if (c == 'a' || c == 'w' || c == 'd') {
		d->at++;
		text_value(d);
	} else if (c == 'A' || c == 'S') {
		d->at++;
		value_list(d, c == 'A' ? "[" : "(", c == 'A' ? "]" : ")");
	} else if (c == 'e' || c == 'c') { // hexadecimal floats, as they stand
		d->at += 1 + strspn(d->at + 1, "0123456789ABCDEFNPIc");
		put_n(d, start + 1, (size_t)(d->at - start) - 1);
	} else if (c == 'f') {
		d->at++;
		d->bad |= !eat(d, "_D");
		qualified(d);
	} else {
		d->at += c == 'i' || c == 'N';
		put(d, c == 'N' ? "-" : "");
		start = d->at;
		number(d);
		put_n(d, start, (size_t)(d->at - start));
	}
	d->depth--;
}

bool demangle_d(const char *mangled, char *out, size_t size)
{
	struct d d = {.start = mangled, .at = mangled + 2, .out = out, .size = size};
	if (!strcmp(mangled, "_Dmain")) {
		put(&d, "D main");
	} else {
		qualified(&d);
		size_t len = d.len;
		if (!d.bad && !eat(&d, "Z"))
			type(&d); // of the variable, or the function's result: not shown
		if (!d.full)
			d.len = len;
		// A symbol that the compiler cloned carries a mark of its own.
		d.bad |= *d.at && *d.at != '.';
		if (!d.bad && !d.full)
			put(&d, d.at);
	}
	if (d.full)
		memcpy(out + size - 4, "...", 4);
	else
		out[d.len] = 0;
	return d.full || (!d.bad && d.len);
}
