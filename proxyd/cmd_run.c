// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* proxyd run */
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "commands.h"
#include "config/settings.h"
#include "control/control.h"
#include "direct/service.h"
#include "log.h"
#include "policy/watcher.h"
#include "probe/capabilities.h"
#include "proxy.h"

struct run {
	struct settings settings;
	struct proxy *proxy;
	struct control *control;
	struct watcher *watcher;
	pid_t accelerator; /* the process that accelerates; 0: none */
	struct event_base *base;
	struct event *terminate, *interrupt, *hangup; /* signals */
	struct event *ended;                          /* a worker has returned */
	struct event *drain_timeout;
	bool draining;
};

void notify_systemd(const char *state)
{
#ifdef HAVE_SYSTEMD
	sd_notify(0, state);
#else
	(void)state;
#endif
}

static uint64_t active_flows(const struct proxy *proxy)
{
	uint64_t active = 0;

	for (unsigned int i = 0; i < proxy->shared.worker_count; i++)
		active += stats_get(&proxy->shared.workers[i]->stats.flows_active);
	return active;
}

/* For whoever waits for clients when the events are over (listener_await_tail). */
static void leave_pending(int number)
{
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, number);
	pthread_sigmask(SIG_BLOCK, &one, NULL);
	raise(number);
}

static void on_signal(evutil_socket_t number, short what, void *user)
{
	struct run *run = user;
	const struct timeval timeout = {
		.tv_sec = (time_t)(run->proxy->plan->config->drain_timeout / 1000),
		.tv_usec = (suseconds_t)(run->proxy->plan->config->drain_timeout % 1000 * 1000),
	};

	(void)what;
	if (run->draining) {
		log_notice("%s again: stopping at once", strsignal(number));
		leave_pending(number);
		proxy_stop(run->proxy);
		return;
	}
	log_notice("%s: accepting no more, %llu flows may finish within %llu ms", strsignal(number),
		   (unsigned long long)active_flows(run->proxy),
		   (unsigned long long)run->proxy->plan->config->drain_timeout);
	notify_systemd("STOPPING=1");
	run->draining = true;
	evtimer_add(run->drain_timeout, &timeout);
	proxy_drain(run->proxy);
}

static void on_drain_timeout(evutil_socket_t fd, short what, void *user)
{
	struct run *run = user;

	(void)fd;
	(void)what;
	log_warning("--drain-timeout is over: %llu flows are cut off",
		    (unsigned long long)active_flows(run->proxy));
	proxy_stop(run->proxy);
}

/* In a worker's thread. */
static void worker_ended(void *user)
{
	struct run *run = user;

	event_active(run->ended, EV_READ, 0);
}

static void on_ended(evutil_socket_t fd, short what, void *user)
{
	struct run *run = user;

	(void)fd;
	(void)what;
	if (proxy_ended(run->proxy))
		event_base_loopbreak(run->base);
}

static int watch(struct run *run)
{
	int err = watcher_follow(run->watcher, run->proxy->plan);

	if (err == -EINVAL)
		log_error("dns_servers: one of them is no address");
	else if (err == -EIO)
		log_error("cannot read /etc/resolv.conf for the names of endpoints; name servers "
			  "with dns_servers");
	else if (err)
		log_error("cannot watch all upstreams: %s", strerror(-err));
	return err ? -PROXY_EXIT_FAILED : 0;
}

/*
 * Of a pipe, as `-c <(COMMAND)` gives one, nobody may be left who writes; open(2) waits for him,
 * and with it all that this thread does.
 */
static int check_readable(const char *path)
{
	struct stat facts;

	if (stat(path, &facts) || S_ISREG(facts.st_mode) || S_ISDIR(facts.st_mode))
		return 0; /* reading says what is wrong */
	log_error("%s: it is no file, which could be read again; start proxyd with -c FILE for "
		  "reloads",
		  path);
	return -EINVAL;
}

/* As requests.h says. */
static int reload(void *user)
{
	struct run *run = user;
	struct config *config;
	int err;

	if (!run->settings.config_path)
		return -ENOENT;
	if (run->draining)
		return -EBUSY;
	notify_systemd("RELOADING=1");
	err = check_readable(run->settings.config_path);
	if (!err)
		err = config_from_settings(&run->settings, &config);
	if (!err)
		err = proxy_follow(run->proxy, config);
	if (!err)
		watch(run);
	if (err) {
		log_error("reload: %s is not taken on; the running config stays",
			  run->settings.config_path);
		/* Whoever has moved its file away need not know of the config. */
		proxy_open_access_log(run->proxy);
	} else {
		log_notice("reload: %s is in force", run->settings.config_path);
	}
	notify_systemd("READY=1");
	return err ? -EINVAL : 0;
}

static void on_hangup(evutil_socket_t number, short what, void *user)
{
	const int err = reload(user);

	(void)number;
	(void)what;
	if (err == -ENOENT)
		log_notice("SIGHUP: nothing to read again: started without -c");
	else if (err == -EBUSY)
		log_notice("SIGHUP: nothing is read again, for proxyd is stopping");
}

static int make_events(struct run *run)
{
	run->base = event_base_new();
	if (!run->base)
		return -PROXY_EXIT_FAILED;
	run->terminate = evsignal_new(run->base, SIGTERM, on_signal, run);
	run->interrupt = evsignal_new(run->base, SIGINT, on_signal, run);
	run->hangup = evsignal_new(run->base, SIGHUP, on_hangup, run);
	run->ended = event_new(run->base, -1, 0, on_ended, run);
	run->drain_timeout = evtimer_new(run->base, on_drain_timeout, run);
	if (!run->terminate || !run->interrupt || !run->hangup || !run->ended ||
	    !run->drain_timeout || event_add(run->terminate, NULL) ||
	    event_add(run->interrupt, NULL) || event_add(run->hangup, NULL)) {
		log_error("out of memory");
		return -PROXY_EXIT_FAILED;
	}
	return 0;
}

static int open_control(struct run *run)
{
	const struct requests requests = {run->proxy, reload, run};
	const char *path = run->proxy->settings.control;
	int err = control_new(run->base, &requests, path, &run->control);

	if (!err)
		return 0;
	if (err == -EADDRINUSE)
		log_error("control socket %s: another proxyd has it; take another path with "
			  "--control",
			  path);
	else
		log_error("control socket %s: %s; take another path with --control", path,
			  strerror(-err));
	return -PROXY_EXIT_CONTROL;
}

static void say_ready(const struct run *run)
{
	const struct settings *settings = &run->proxy->settings;
	const struct config *config = run->proxy->plan->config;
	char list[1024] = "", text[ADDRESS_TEXT];
	size_t used = 0;

	for (unsigned int i = 0; i < config->listener_count && used < sizeof(list); i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, " %s",
					 address_format(&config->listeners[i].address, text));
	log_notice("ready: listening on%s; lane %s%s, %u worker%s", list,
		   lane_choice_name(settings->lane),
		   run->proxy->shared.kernel_lane || settings->lane == LANE_RELAY ? ""
										  : " (relay only)",
		   run->proxy->shared.worker_count,
		   run->proxy->shared.worker_count == 1 ? "" : "s");
	notify_systemd("READY=1");
	if (run->settings.ready >= 0 && write(run->settings.ready, "", 1) == 1)
		close(run->settings.ready);
}

static int start(struct run *run)
{
	int err = proxy_new(&run->settings, &run->proxy);

	if (err || !run->proxy)
		return err ? err : -PROXY_EXIT_FAILED;
	run->accelerator = service_start(run->proxy->plan->config);
	err = proxy_open_kernel_lane(run->proxy);
	if (!err)
		proxy_open_direct_lane(run->proxy);
	if (!err)
		err = proxy_listen(run->proxy, NULL);
	if (!err)
		err = make_events(run);
	if (!err)
		err = watcher_new(run->base, &run->watcher) ? -PROXY_EXIT_FAILED : watch(run);
	if (!err)
		err = open_control(run);
	if (!err && proxy_open_access_log(run->proxy))
		err = -PROXY_EXIT_FAILED;
	if (!err && capabilities_drop())
		log_warning("cannot drop capabilities that are not needed any more, ignoring");
	if (!err)
		err = proxy_start(run->proxy, worker_ended, run);
	return err;
}

/* With its event a signal's default action comes back, which would cut the rest short. */
static void block_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static void finish(struct run *run)
{
	if (run->proxy) {
		proxy_stop(run->proxy);
		proxy_join(run->proxy);
	}
	service_stop(run->accelerator);
	control_free(run->control);
	watcher_free(run->watcher);
	proxy_free(run->proxy);
	if (run->base) {
		struct event *const events[] = {run->terminate, run->interrupt, run->hangup,
						run->ended, run->drain_timeout};

		for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
			if (events[i])
				event_free(events[i]);
		event_base_free(run->base);
	}
	libevent_global_shutdown();
}

int run_proxy(const struct settings *settings)
{
	struct run run = {.settings = *settings};
	int err;

	evthread_use_pthreads();
	signal(SIGPIPE, SIG_IGN);
	/* Until it means "reload". */
	signal(SIGHUP, SIG_IGN);
	err = start(&run);
	if (!err) {
		say_ready(&run);
		event_base_dispatch(run.base);
	}
	block_signals();
	if (!err)
		log_notice("stopped");
	finish(&run);
	return -err;
}

int cmd_run(int argc, char **argv)
{
	struct settings settings;
	int err;

	settings_init(&settings);
	err = settings_parse(&settings, argc, argv);
	if (err)
		return err < 0 ? PROXY_EXIT_USAGE : 0;
	if (settings.verbose)
		log_set_level(LOG_LEVEL_DEBUG);
	return run_proxy(&settings);
}
