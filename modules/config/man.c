// SPDX-License-Identifier: Apache-2.0
// The table as --help and as the man page telegen.yaml(5), in mdoc.
#include "option.h"

#include <errno.h>
#include <string.h>

static const char *const placeholders[] = {
    [OPTION_IS_BOOL] = "true|false",
    [OPTION_IS_INT] = "N",
    [OPTION_IS_BYTES] = "SIZE",
    [OPTION_IS_SHARE] = "SHARE",
    [OPTION_IS_DURATION] = "TIME",
    [OPTION_IS_TEXT] = "TEXT",
    [OPTION_IS_LIST] = "A,B,...",
    [OPTION_IS_MAP] = "NAME=VALUE,...",
};

static void put_placeholder(const struct option *o, struct text *t)
{
	if (o->type != OPTION_IS_CHOICE) {
		text_puts(t, placeholders[o->type]);
		return;
	}
	for (const char *c = o->choices; *c; c += strcspn(c, "|"), c += *c == '|') {
		text_puts(t, c == o->choices ? "" : "|");
		text_add(t, c, strcspn(c, "|="));
	}
}

// "default 99; 1..1000"
static void put_limits(const struct option *o, struct text *t)
{
	text_printf(t, "default %s", *o->standard ? o->standard : "empty");
	if (o->max) {
		text_puts(t, "; ");
		option_print_number(o, o->min, t);
		text_puts(t, "..");
		option_print_number(o, o->max, t);
	}
}

int config_help(struct text *out)
{
	size_t column = 0;
	for (const struct option *o = options; o < options + option_count; o++) {
		if (o->marks & LATER)
			continue;
		text_printf(out, "  --%s=", o->key);
		put_placeholder(o, out);
		text_printf(out, "\n        %s (", o->help);
		put_limits(o, out);
		text_puts(out, ")\n");
	}
	text_puts(out, "Accepted, without effect in this version:");
	for (const struct option *o = options; o < options + option_count; o++) {
		if (!(o->marks & LATER))
			continue;
		size_t n = strlen(o->key) + 3;
		text_printf(out, "%s--%s", column && column + n < 100 ? " " : "\n  ", o->key);
		column = column && column + n < 100 ? column + n : n + 1;
	}
	text_puts(out, "\n");
	return out->error;
}

static const char head[] =
    ".Dd $Mdocdate$\n.Dt TELEGEN.YAML 5\n.Os\n"
    ".Sh NAME\n.Nm telegen.yaml\n.Nd configuration of the telegen profiler\n"
    ".Sh DESCRIPTION\n"
    "Every option is a key of this YAML file, an environment variable and a flag;\n"
    "the file is overridden by the environment, and that by flags:\n"
    ".Bd -literal -offset indent\n"
    "profiling:\n  cpu:\n    sample_rate: 49\n"
    "TELEGEN_PROFILING_CPU_SAMPLE_RATE=49\n"
    "telegen --profiling.cpu.sample_rate=49\n"
    ".Ed\n.Pp\n"
    "Sizes are bytes or have a unit, k, M, G or T, with or without iB or B.\n"
    "All count in powers of 1024, so 48m, 48MB and 48MiB are the same.\n"
    "Times have units: 1m30s, 10s, 500ms; h, m, s, ms, us and ns.\n"
    "Lists are YAML lists or, in the environment and in flags, parted by commas;\n"
    "tables of names and values are YAML mappings or name=value parted by commas.\n"
    "A key with nothing behind it keeps its default.\n"
    "The file has at most 1 MiB, one document and no aliases.\n"
    ".Pp\n"
    "An unknown key in a section that telegen knows is an error.\n"
    "An unknown top-level key is left alone with a warning, so that files of the\n"
    "Go agent of the same name are accepted.\n"
    "An unknown variable that begins with TELEGEN_ is warned of.\n"
    "On SIGHUP the file is read again, and everything in it takes effect;\n"
    "one with an error changes nothing.\n"
    "A process that is probed before and after (profiling.alloc) has the time that is\n"
    "left to it, of the limit that is in force then.\n"
    ".Sh OPTIONS\n.Bl -tag -width Ds\n";

static const char tail[] = ".El\n.Sh SEE ALSO\n.Xr telegen 8\n"
			   ".Pp\n"
			   ".Ic telegen config\n"
			   "prints the configuration in force.\n"
			   "It leaves the values of headers and passwords in URLs out, for they are secrets.\n";

// Text of the table in a line of mdoc: no escapes, no macro at its start.
static void put_mdoc(const char *s, struct text *t)
{
	if (*s == '.' || *s == '\'')
		text_puts(t, "\\&");
	for (; *s; s++)
		text_add(t, *s == '\\' ? "\\e" : s, *s == '\\' ? 2 : 1);
}

static void put_item(const struct option *o, struct text *t)
{
	struct text limits = TEXT(ACCOUNT_CONFIG);
	text_printf(t, ".It Ic %s : Ar ", o->key);
	put_placeholder(o, t);
	text_puts(t, "\n");
	put_mdoc(o->help, t);
	put_limits(o, &limits);
	text_puts(t, ".\n(");
	put_mdoc(limits.at ? limits.at : "", t);
	text_puts(t, ")\n");
	t->error = t->error ? t->error : limits.error;
	text_free(&limits);
}

int config_man(struct text *out)
{
	text_puts(out, head);
	for (const struct option *o = options; o < options + option_count; o++)
		if (!(o->marks & LATER))
			put_item(o, out);
	text_puts(out, ".El\n.Sh COMPATIBILITY\n"
		       "These are accepted, without effect in this version.\n"
		       "One that is not at its default is warned of.\n"
		       ".Bl -tag -width Ds\n");
	for (const struct option *o = options; o < options + option_count; o++)
		if (o->marks & LATER)
			put_item(o, out);
	text_puts(out, tail);
	return out->error;
}
