// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* proxyd run */
#include <event2/event.h>
#include <event2/thread.h>
#include <signal.h>
#include <stdlib.h>

#include "commands.h"
#include "config/settings.h"
#include "log.h"
#include "proxy.h"
int cmd_run(int argc, char **argv)
{
	struct settings settings;
	struct proxy *proxy = NULL;
	int err;
	settings_init(&settings);
	err = settings_parse(&settings, argc, argv);
	if (err)
		return err < 0 ? PROXY_EXIT_USAGE : 0;
	if (settings.verbose)
		log_set_level(LOG_LEVEL_DEBUG);
	evthread_use_pthreads();
	err = proxy_new(&settings, &proxy);
	if (!err)
		err = proxy_open_kernel_lane(proxy);
	if (!err)
		err = proxy_listen(proxy, NULL);
	sigset_t set; sigemptyset(&set); sigaddset(&set, SIGTERM); sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (!err)
		err = proxy_start(proxy);
	if (!err) {
		int sig;
		log_notice("ready");
		sigwait(&set, &sig);
		proxy_drain(proxy);
		proxy_join(proxy);
	}
	proxy_free(proxy);
	return -err;
}
