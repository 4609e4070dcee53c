// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "probe/doctor.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "direct/fionread.h"
#include "log.h"
#include "probe/capabilities.h"
#include "probe/cgroup.h"
#include "probe/interceptions.h"
#include "probe/trial.h"
#include "probe/way_back.h"
#include "sidelane/mark.h"

/* Small, so that the fill-and-drain probe meets a full window many times. */
#define TRIAL_WINDOW (256 * 1024)
#define FILL_BYTES   (6 * 1024 * 1024)

/*
 * What a stream parser does behind a full window is a matter of timing: on 6.18.44 the probe "full
 * buffers" stalled in 6 of 8 trials. As many more in a row let one of 60,000 such starts pass.
 */
#define PARSER_TRIALS 8

#define UPGRADE       "use a kernel with the fixes listed in docs/kernel.md; until then auto relays"

struct finding *finding_add(struct report *report, const char *name, enum finding_scope scope,
			    const char *remedy)
{
	struct finding *finding = &report->findings[report->count++];

	*finding = (struct finding){
		.name = name,
		.remedy = remedy,
		.scope = scope,
		.result = FINDING_SKIPPED,
	};
	return finding;
}

void finding_conclude(struct finding *finding, enum finding_result result, const char *format, ...)
{
	va_list arguments;

	finding->result = result;
	va_start(arguments, format);
	vsnprintf(finding->detail, sizeof(finding->detail), format, arguments);
	va_end(arguments);
}

bool report_healthy(const struct report *report, enum finding_scope scope)
{
	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].scope == scope && report->findings[i].result != FINDING_OK)
			return false;
	return true;
}

/* --- What the system has ----------------------------------------------------------------- */

static void examine_system(struct report *report)
{
	struct finding *finding;
	struct utsname name;

	finding = finding_add(report, "kernel", SCOPE_NOTHING, "");
	if (!uname(&name))
		finding_conclude(finding, FINDING_NOTE, "%s %s", name.release, name.machine);
	for (size_t i = 0; i < capabilities_needed_count; i++) {
		const struct needed_capability *needed = &capabilities_needed[i];

		finding = finding_add(
			report, needed->name, SCOPE_KERNEL_LANE,
			"run as root, or grant it: AmbientCapabilities= in a systemd unit");
		finding_conclude(finding,
				 capability_held(needed->number) ? FINDING_OK : FINDING_FAILED,
				 "%s", needed->purpose);
	}
	finding = finding_add(report, "BTF", SCOPE_KERNEL_LANE,
			      "use a kernel built with CONFIG_DEBUG_INFO_BTF=y");
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		finding_conclude(finding, FINDING_FAILED, "/sys/kernel/btf/vmlinux: %s",
				 strerror(errno));
	else
		finding_conclude(finding, FINDING_OK, "/sys/kernel/btf/vmlinux is readable");
}

static void examine_cgroup(struct report *report)
{
	struct finding *finding =
		finding_add(report, "cgroup v2", SCOPE_NOTHING,
			    "mount it, or name one with --cgroup; until then sockets are "
			    "enrolled from user space");
	int cgroup = cgroup_open(NULL);

	if (cgroup < 0) {
		finding_conclude(finding, FINDING_FAILED, "cannot find or mount it: %s",
				 strerror(-cgroup));
		return;
	}
	finding_conclude(finding, FINDING_OK, "the one that holds proxyd can be opened");
	close(cgroup);
}

static const char *where_to(int family)
{
	int here = way_back_leads_here(family, SL_MARK_LOCAL);

	return here > 0 ? "are delivered here" : here ? "cannot be asked for" : "are not";
}

/* Of use to `tcp.source: client` alone. */
static void examine_source(struct report *report)
{
	struct finding *finding = finding_add(report, "client's source", SCOPE_NOTHING, "");
	int err = way_back_may_pretend();

	if (err)
		finding_conclude(finding, FINDING_NOTE,
				 "IP_TRANSPARENT: %s; it takes CAP_NET_ADMIN or CAP_NET_RAW",
				 strerror(-err));
	else
		finding_conclude(finding, FINDING_NOTE,
				 "may be taken; answers of mark %#x %s (IPv4), %s (IPv6), as "
				 "docs/transparent.md wants it",
				 SL_MARK_LOCAL, where_to(AF_INET), where_to(AF_INET6));
}

static bool examine_load(struct report *report, const char *name, enum finding_scope scope,
			 enum skb_hook hook, bool sock_ops)
{
	struct kernel_lane_options options = {
		.workers = 1, .flows_max = 16, .window = TRIAL_WINDOW, .cgroup = -1, .hook = hook};
	struct finding *finding =
		finding_add(report, name, scope, "see docs/kernel.md for what it needs");
	struct kernel_lane *lane = NULL;
	const char *step = "open the cgroup";
	int err = 0;

	if (sock_ops) {
		options.cgroup = cgroup_open(NULL);
		err = options.cgroup < 0 ? options.cgroup : 0;
	}
	if (!err)
		err = kernel_lane_new(&options, &lane, &step);
	if (err)
		finding_conclude(finding, FINDING_FAILED, "cannot %s: %s", step, strerror(-err));
	else
		finding_conclude(finding, FINDING_OK, "loads and attaches");
	kernel_lane_free(lane);
	if (options.cgroup >= 0)
		close(options.cgroup);
	return !err;
}

/* --- What traffic does ------------------------------------------------------------------- */

/* Each returns NULL when all is well, or what went wrong. */
typedef const char *probe_fn(const struct trial *trial, struct ends *ends);

static const char *probe_dialogue(const struct trial *trial, struct ends *ends)
{
	if (trial_connect(trial, ends, true))
		return "no connection came through";
	for (size_t round = 0; round < 8; round++) {
		if (trial_send(ends->client, round * 100, 100) ||
		    trial_expect(ends->server, round * 100, 100))
			return "a request was lost or damaged";
		if (trial_send(ends->server, round * 100, 100) ||
		    trial_expect(ends->client, round * 100, 100))
			return "a response was lost or damaged";
	}
	return NULL;
}

static const char *probe_early_data(const struct trial *trial, struct ends *ends)
{
	if (trial_connect(trial, ends, false) || trial_send(ends->client, 0, 10000) ||
	    trial_accept(trial, ends))
		return "no connection came through";
	if (trial_send(ends->client, 10000, 100) || trial_expect(ends->server, 0, 10100))
		return "data that came before the sockets were paired was lost or damaged";
	return NULL;
}

static const char *probe_bare_fin(const struct trial *trial, struct ends *ends)
{
	if (trial_connect(trial, ends, true) || trial_send(ends->client, 0, 1000) ||
	    trial_expect(ends->server, 0, 1000))
		return "no connection came through";
	shutdown(ends->client, SHUT_WR);
	if (trial_expect_end(ends->server))
		return "a half-close did not arrive";
	if (trial_send(ends->server, 0, FILL_BYTES / 32) ||
	    trial_expect(ends->client, 0, FILL_BYTES / 32))
		return "after a half-close, the other direction lost data";
	shutdown(ends->server, SHUT_WR);
	return trial_expect_end(ends->client) ? "the second half-close did not arrive" : NULL;
}

static const char *probe_full_buffers(const struct trial *trial, struct ends *ends)
{
	if (trial_connect(trial, ends, true))
		return "no connection came through";
	if (trial_fill_and_drain(ends->client, ends->server, FILL_BYTES))
		return "data was lost or damaged behind full buffers";
	return NULL;
}

static const char *probe_close(const struct trial *trial, struct ends *ends)
{
	const size_t size = 128 * 1024;

	if (trial_connect(trial, ends, true) || trial_send(ends->client, 0, size))
		return "no connection came through";
	close(ends->client);
	ends->client = -1;
	if (trial_expect(ends->server, 0, size))
		return "a close right after a send lost data";
	return trial_expect_end(ends->server) ? "a close did not arrive" : NULL;
}

static const char *probe_reset(const struct trial *trial, struct ends *ends)
{
	const struct linger hard = {.l_onoff = 1};
	char byte;

	if (trial_connect(trial, ends, true) || trial_send(ends->client, 0, 1000) ||
	    trial_expect(ends->server, 0, 1000))
		return "no connection came through";
	setsockopt(ends->client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(ends->client);
	ends->client = -1;
	if (recv(ends->server, &byte, 1, 0) >= 0 || errno != ECONNRESET)
		return "a reset did not arrive as one";
	return NULL;
}

static const struct probe {
	const char *name;
	probe_fn *run;
	const char *good;
} probes[] = {
	{"request and response", probe_dialogue, "intact"},
	{"data before pairing", probe_early_data, "arrives first, and whole"},
	{"bare FIN", probe_bare_fin, "passed on; the other direction goes on"},
	{"full buffers", probe_full_buffers, "hold the sender back; 6 MiB intact"},
	{"close after send", probe_close, "loses nothing"},
	{"reset", probe_reset, "passed on as one"},
};

#define PROBES (sizeof(probes) / sizeof(probes[0]))

static void examine_traffic(struct report *report, const struct trial *trial,
			    enum finding_scope scope)
{
	for (size_t i = 0; i < PROBES; i++) {
		struct finding *finding = finding_add(report, probes[i].name, scope, UPGRADE);
		struct ends ends = {-1, -1};
		const char *wrong;

		if (!trial->proxy) {
			finding_conclude(finding, FINDING_SKIPPED, "no proxy to try it with");
			continue;
		}
		wrong = probes[i].run(trial, &ends);
		finding_conclude(finding, wrong ? FINDING_FAILED : FINDING_OK, "%s",
				 wrong ? wrong : probes[i].good);
		trial_close(&ends);
	}
}

/* All probes may pass by the relay: did the bytes really cross in the kernel? */
static void examine_share(struct report *report, const struct trial *trial)
{
	struct finding *finding = finding_add(report, "kernel share", SCOPE_KERNEL_LANE, UPGRADE);
	struct sl_totals totals;
	uint64_t relayed;

	if (!trial->proxy || kernel_lane_totals(trial->proxy->shared.kernel_lane, &totals))
		return;
	relayed = stats_get(&trial->proxy->shared.workers[0]->stats.relayed[SL_UP]) +
		  stats_get(&trial->proxy->shared.workers[0]->stats.relayed[SL_DOWN]);
	finding_conclude(finding,
			 totals.bytes[SL_UP] && totals.bytes[SL_DOWN] ? FINDING_OK : FINDING_FAILED,
			 "%llu bytes crossed in the kernel, %llu by the relay",
			 (unsigned long long)(totals.bytes[SL_UP] + totals.bytes[SL_DOWN]),
			 (unsigned long long)relayed);
}

static void ignore_event(void *user, uint32_t pair, const struct sl_event *event)
{
	(void)user;
	(void)pair;
	(void)event;
}

/* Two flows' worth of loopback sockets, enrolled but left in the relay lane. */
static int fionread_of_enrolled(int *unread)
{
	struct kernel_lane_options options = {
		.workers = 1, .flows_max = 16, .window = TRIAL_WINDOW, .cgroup = -1};
	struct trial direct = {.backend = -1};
	struct ends up = {-1, -1}, down = {-1, -1};
	const uint64_t read[2] = {0, 0};
	struct kernel_lane *lane = NULL;
	struct splicer *splicer = NULL;
	struct splice_pair *pair = NULL;
	const char *step;
	int err = -1;

	if (!kernel_lane_new(&options, &lane, &step) &&
	    !splicer_new(lane, 0, ignore_event, NULL, &splicer) && !trial_listen(&direct) &&
	    !trial_connect(&direct, &up, true) && !trial_connect(&direct, &down, true)) {
		const int fds[2] = {up.server, down.server};

		err = splicer_pair(splicer, fds, read, &pair);
		if (!err)
			err = trial_send(up.client, 0, 100);
		if (!err) {
			usleep(20 * 1000);
			err = ioctl(up.server, SIOCINQ, unread);
		}
	}
	trial_close(&up);
	trial_close(&down);
	if (pair)
		splice_pair_free(pair);
	splicer_free(splicer);
	kernel_lane_free(lane);
	trial_stop(&direct);
	return err;
}

/* In the lane that `proxyd accelerate` takes. */
static void examine_direct_fionread(struct report *report)
{
	static const char *const said[] = {
		[FIONREAD_RIGHT] = "counts all that waits on an accelerated socket",
		[FIONREAD_MENDED] = "counts all that waits on an accelerated socket when a verdict "
				    "program moves it, as proxyd accelerate does",
		[FIONREAD_WRONG] = "is wrong on an accelerated socket: proxyd accelerate leaves "
				   "programs alone that ask it",
		[FIONREAD_UNKNOWN] = "could not be tried on an accelerated socket",
	};
	const enum fionread result = fionread_try();
	struct finding *finding = finding_add(report, "FIONREAD, accelerated", SCOPE_NOTHING, "");

	finding_conclude(finding, result == FIONREAD_UNKNOWN ? FINDING_SKIPPED : FINDING_NOTE, "%s",
			 said[result]);
}

static void examine_fionread(struct report *report)
{
	struct finding *finding = finding_add(report, "FIONREAD", SCOPE_NOTHING, "");
	int unread = 0;

	if (fionread_of_enrolled(&unread))
		finding_conclude(finding, FINDING_SKIPPED, "could not be tried");
	else
		finding_conclude(
			finding, FINDING_NOTE,
			"%d for 100 bytes that were passed on an enrolled socket (proxyd does not "
			"use "
			"it there)",
			unread);
}

void doctor_examine(struct report *report)
{
	struct trial trial;

	report->count = 0;
	examine_system(report);
	examine_cgroup(report);
	interceptions_examine(report);
	examine_source(report);
	if (examine_load(report, "verdict program", SCOPE_KERNEL_LANE, SKB_HOOK_VERDICT, false)) {
		examine_load(report, "stream parser", SCOPE_NOTHING, SKB_HOOK_PARSER, false);
		examine_load(report, "sock_ops program", SCOPE_NOTHING, SKB_HOOK_VERDICT, true);
		trial_start(&trial, LANE_KERNEL, false, TRIAL_WINDOW);
	} else {
		trial = (struct trial){.backend = -1};
	}
	examine_traffic(report, &trial, SCOPE_KERNEL_LANE);
	examine_share(report, &trial);
	trial_stop(&trial);
	examine_fionread(report);
	examine_direct_fionread(report);
	trial_start(&trial, LANE_RELAY, false, TRIAL_WINDOW);
	examine_traffic(report, &trial, SCOPE_RELAY);
	trial_stop(&trial);
}

static bool trial_passes(bool stream_parser, char *reason, size_t size)
{
	struct report report = {.count = 0};
	struct trial trial;

	if (trial_start(&trial, LANE_KERNEL, stream_parser, TRIAL_WINDOW)) {
		snprintf(reason, size, "the trial on 127.0.0.1 did not start; see proxyd doctor");
		return false;
	}
	examine_traffic(&report, &trial, SCOPE_KERNEL_LANE);
	examine_share(&report, &trial);
	trial_stop(&trial);
	for (size_t i = 0; i < report.count; i++) {
		if (report.findings[i].result == FINDING_OK)
			continue;
		snprintf(reason, size, "%s: %s; see proxyd doctor", report.findings[i].name,
			 report.findings[i].detail);
		return false;
	}
	return true;
}

bool doctor_kernel_lane_safe(bool stream_parser, char *reason, size_t size)
{
	int trials = stream_parser ? PARSER_TRIALS : 1;

	while (trials--)
		if (!trial_passes(stream_parser, reason, size))
			return false;
	return true;
}
