/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_COMMANDS_H
#define PROXYD_COMMANDS_H

/* One a subcommand: takes its own name as argv[0], returns the exit status. */
int cmd_run(int argc, char **argv);
int cmd_accelerate(int argc, char **argv);
int cmd_connections(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_rules(int argc, char **argv);
int cmd_set(int argc, char **argv);

struct settings;

/* `proxyd run` by settings. Returns the exit status. */
int run_proxy(const struct settings *settings);

/* Tell a unit of Type=notify; nothing where proxyd does without libsystemd. */
void notify_systemd(const char *state);

#endif
