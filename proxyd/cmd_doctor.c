// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* proxyd doctor */
#include <event2/event.h>
#include <event2/thread.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>

#include "commands.h"
#include "config/usage.h"
#include "log.h"
#include "probe/doctor.h"

enum doctor_exit {
	DOCTOR_KERNEL_LANE = 0,
	DOCTOR_RELAY_ONLY = 1,
	DOCTOR_NOTHING = 2,
};

static const char *const result_names[] = {
	[FINDING_OK] = "ok",
	[FINDING_FAILED] = "failed",
	[FINDING_NOTE] = "note",
	[FINDING_SKIPPED] = "skipped",
};

static const char *const scope_names[] = {
	[SCOPE_NOTHING] = "",
	[SCOPE_KERNEL_LANE] = "kernel",
	[SCOPE_RELAY] = "relay",
};

static const char *const verdicts[] = {
	[DOCTOR_KERNEL_LANE] = "the kernel lane is safe here",
	[DOCTOR_RELAY_ONLY] = "only the relay is safe here; proxyd run will use it by itself",
	[DOCTOR_NOTHING] = "nothing works here",
};

static enum doctor_exit judge(const struct report *report)
{
	if (!report_healthy(report, SCOPE_RELAY))
		return DOCTOR_NOTHING;
	return report_healthy(report, SCOPE_KERNEL_LANE) ? DOCTOR_KERNEL_LANE : DOCTOR_RELAY_ONLY;
}

static void print_table(const struct report *report, enum doctor_exit verdict)
{
	printf("%-8s %-22s %-8s %s\n", "LANE", "PROBE", "RESULT", "DETAIL");
	for (size_t i = 0; i < report->count; i++) {
		const struct finding *finding = &report->findings[i];

		printf("%-8s %-22s %-8s %s\n", scope_names[finding->scope], finding->name,
		       result_names[finding->result], finding->detail);
		if (finding->result == FINDING_FAILED)
			printf("%-8s %-22s %-8s -> %s\n", "", "", "", finding->remedy);
	}
	printf("\n%s\n", verdicts[verdict]);
}

static void print_json(const struct report *report, enum doctor_exit verdict)
{
	json_t *findings = json_array();
	json_t *object;

	for (size_t i = 0; i < report->count; i++) {
		const struct finding *finding = &report->findings[i];

		json_array_append_new(
			findings,
			json_pack("{s:s,s:s,s:s,s:s,s:s?}", "lane", scope_names[finding->scope],
				  "probe", finding->name, "result", result_names[finding->result],
				  "detail", finding->detail, "remedy",
				  finding->result == FINDING_FAILED ? finding->remedy : NULL));
	}
	object = json_pack("{s:b,s:b,s:s,s:o}", "kernel_lane", verdict == DOCTOR_KERNEL_LANE,
			   "relay", verdict != DOCTOR_NOTHING, "verdict", verdicts[verdict],
			   "findings", findings);
	json_dumpf(object, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(object);
}

static void print_help(void)
{
	printf("usage: proxyd doctor [--json]\n\n"
	       "Try out on loopback what this kernel lets proxyd do, and say what to do about "
	       "what\n"
	       "fails. Exit status: 0 the kernel lane is safe, 1 only the relay is, 2 nothing "
	       "works.\n");
}

int cmd_doctor(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct report report;
	enum doctor_exit verdict;
	bool json = false;
	int choice;

	opterr = 0;
	while ((choice = getopt_long(argc, argv, ":jh", longs, NULL)) != -1) {
		if (choice == 'h') {
			print_help();
			return 0;
		}
		if (choice != 'j')
			return usage_error(argv, choice, "doctor");
		json = true;
	}
	if (optind < argc)
		return usage_surplus(argv[optind], "doctor");
	evthread_use_pthreads();
	signal(SIGPIPE, SIG_IGN);
	/* What fails is told as a finding, with a remedy, and not of a listener that nobody has. */
	log_set_level(LOG_LEVEL_NONE);
	doctor_examine(&report);
	log_set_level(LOG_LEVEL_ERROR);
	verdict = judge(&report);
	if (json)
		print_json(&report, verdict);
	else
		print_table(&report, verdict);
	libevent_global_shutdown();
	return verdict;
}
