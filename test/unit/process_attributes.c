// SPDX-License-Identifier: Apache-2.0
// OTEL_RESOURCE_ATTRIBUTES as it should be written, and as anyone may.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "../../modules/process/attributes.c"

#define X10(s) s s s s s s s s s s
#define LONG X10(X10("123456"))

static void what_is_wanted_is_taken_where_all_is_sound(void **state)
{
	(void)state;
	static const struct {
		const char *variable, *name, *space, *version, *environment;
	} cases[] = {
	    {"service.name=a", "a", "", "", ""},
	    {"service.name=a,service.namespace=b,service.version=c,deployment.environment.name=d",
		"a", "b", "c", "d"},
	    {" service.name = a b ,\tservice.version=1 ", "a b", "", "1", ""},
	    {"service.name=caf%C3%A9%2C%3d%25", "caf\303\251,=%", "", "", ""},
	    {"service%2ename=a", "a", "", "", ""},
	    {"service.name=a=b", "a=b", "", "", ""},
	    {"service.name=a,service.name=b", "b", "", "", ""},
	    {"service.name=,service.version=1", "", "", "1", ""},
	    {"service.name=a,", "a", "", "", ""},
	    {",,service.name=a", "a", "", "", ""},
	    {"service.name=a,other=" LONG, "a", "", "", ""},
	    {"service.name=" LONG, "", "", "", ""},
	    {"service.names=a,service.nam=b,host.name=c,k8s.pod.uid=d", "", "", "", ""},
	    // One bad part, and nothing of it counts.
	    {"service.name=a,service.version=%", "", "", "", ""},
	    {"service.name=a,service.version=%4", "", "", "", ""},
	    {"service.name=a,service.version=%4g", "", "", "", ""},
	    {"service.name=a,service.version=%g4", "", "", "", ""},
	    {"service.name=a,x=%00", "", "", "", ""},
	    {"service.name=a,x=%ff", "", "", "", ""},
	    {"service.name=a,x", "", "", "", ""},
	    {"service.name=a,=x", "", "", "", ""},
	    {"service.name=\377", "", "", "", ""},
	    {"", "", "", "", ""},
	    {"=", "", "", "", ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct gathered g = {0};
		gather_attributes(&g, cases[i].variable);
		print_message("%.60s\n", cases[i].variable);
		assert_string_equal(g.at[FACT_SERVICE_NAME], cases[i].name);
		assert_string_equal(g.at[FACT_SERVICE_NAMESPACE], cases[i].space);
		assert_string_equal(g.at[FACT_SERVICE_VERSION], cases[i].version);
		assert_string_equal(g.at[FACT_ENVIRONMENT_NAME], cases[i].environment);
		for (int fact = FACT_ENVIRONMENT_NAME + 1; fact < FACT_COUNT; fact++)
			assert_string_equal(g.at[fact], "");
	}
}

static void what_is_known_stays(void **state)
{
	(void)state;
	struct gathered g = {.at = {[FACT_SERVICE_NAME] = "known"}};
	gather_attributes(&g, "service.name=a,service.version=1");
	assert_string_equal(g.at[FACT_SERVICE_NAME], "known");
	assert_string_equal(g.at[FACT_SERVICE_VERSION], "1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_wanted_is_taken_where_all_is_sound),
	    cmocka_unit_test(what_is_known_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
