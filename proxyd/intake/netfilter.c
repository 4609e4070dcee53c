// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/netfilter.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

struct netfilter {
	struct nft_ctx *nft;
	char table[RULESET_NAME]; /* empty: none was put */
};

/* libnftables knows of no threads, and the last flow of a listener ends in a worker's. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

int netfilter_new(struct netfilter **out)
{
	struct netfilter *netfilter = calloc(1, sizeof(*netfilter));

	pthread_mutex_lock(&one_at_a_time);
	if (netfilter)
		netfilter->nft = nft_ctx_new(NFT_CTX_DEFAULT);
	pthread_mutex_unlock(&one_at_a_time);
	if (!netfilter || !netfilter->nft || nft_ctx_buffer_error(netfilter->nft) ||
	    nft_ctx_buffer_output(netfilter->nft)) {
		netfilter_free(netfilter);
		return -ENOMEM;
	}
	*out = netfilter;
	return 0;
}

void netfilter_free(struct netfilter *netfilter)
{
	if (!netfilter)
		return;
	pthread_mutex_lock(&one_at_a_time);
	if (netfilter->nft)
		nft_ctx_free(netfilter->nft);
	pthread_mutex_unlock(&one_at_a_time);
	free(netfilter);
}

/* One transaction. */
static int try(struct netfilter *netfilter, const char *commands)
{
	int failed;

	pthread_mutex_lock(&one_at_a_time);
	failed = nft_run_cmd_from_buffer(netfilter->nft, commands);
	pthread_mutex_unlock(&one_at_a_time);
	return failed ? -EIO : 0;
}

/* libnftables sets no errno: the first line of what it says tells what is wrong. */
static const char *what_is_wrong(struct netfilter *netfilter, char *text, size_t size)
{
	snprintf(text, size, "%s", nft_ctx_get_error_buffer(netfilter->nft));
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static int run(struct netfilter *netfilter, const char *commands)
{
	int err = try(netfilter, commands);
	char why[256];

	if (err)
		log_error("netfilter does not take the rules: %s; see proxyd doctor",
			  what_is_wrong(netfilter, why, sizeof(why)));
	return err;
}

/*
 * A table that is there at first is what a proxyd left that is gone. Afterwards only the rules go:
 * with the table, the kernel would forget whose it is. That of a listener's former name goes with
 * the same transaction. One without an owner may be gone: `nft flush ruleset`.
 */
static void write_clearing(FILE *out, const struct netfilter *netfilter, const char *table,
			   bool owned)
{
	bool same = !strcmp(netfilter->table, table);

	if (*netfilter->table && !owned)
		fprintf(out, "table inet %s\n", netfilter->table);
	if (*netfilter->table && !same)
		fprintf(out, "delete table inet %s\n", netfilter->table);
	if (same)
		fprintf(out, "flush table inet %s\n", table);
	else
		fprintf(out, "table inet %s\ndelete table inet %s\n", table, table);
}

/* Returns the commands that put the listener's table in place, to be freed; NULL and *err. */
static char *make_commands(const struct netfilter *netfilter,
			   const struct config_listener *listener, const struct ruleset_form *form,
			   int *err)
{
	char name[RULESET_NAME], *commands = NULL;
	size_t size;
	FILE *out = open_memstream(&commands, &size);

	*err = -ENOMEM;
	if (!out)
		return NULL;
	write_clearing(out, netfilter, ruleset_name(listener, name), form->owned);
	*err = ruleset_write(out, listener, form);
	if (fclose(out))
		*err = -ENOMEM;
	if (!*err)
		return commands;
	free(commands);
	return NULL;
}

int netfilter_put(struct netfilter *netfilter, const struct config_listener *listener,
		  const struct ruleset_form *form)
{
	int err;
	char *commands = make_commands(netfilter, listener, form, &err);

	if (!err)
		err = run(netfilter, commands);
	free(commands);
	if (!err)
		ruleset_name(listener, netfilter->table);
	return err;
}

int netfilter_try(const struct config_listener *listener, char *why, size_t size)
{
	const struct ruleset_form form = {.owned = true};
	struct netfilter *netfilter;
	int err = netfilter_new(&netfilter);
	char *commands;

	if (err)
		return err;
	nft_ctx_set_dry_run(netfilter->nft, true);
	commands = make_commands(netfilter, listener, &form, &err);
	if (!err)
		err = try(netfilter, commands);
	if (err)
		what_is_wrong(netfilter, why, size);
	free(commands);
	netfilter_free(netfilter);
	return err;
}

void netfilter_remove(struct netfilter *netfilter)
{
	char command[RULESET_NAME + 32];

	if (!*netfilter->table)
		return;
	snprintf(command, sizeof(command), "delete table inet %s", netfilter->table);
	run(netfilter, command);
	*netfilter->table = '\0';
}

/* ---- What others left --------------------------------------------------------------------- */

int netfilter_clear(unsigned int *count)
{
	struct netfilter *netfilter;
	char *tables = NULL, *line, *rest;
	int err = netfilter_new(&netfilter);

	*count = 0;
	if (err)
		return err;
	err = run(netfilter, "list tables inet");
	if (!err)
		tables = strdup(nft_ctx_get_output_buffer(netfilter->nft));
	for (line = tables ? strtok_r(tables, "\n", &rest) : NULL; line && !err;
	     line = strtok_r(NULL, "\n", &rest)) {
		char table[RULESET_NAME], command[RULESET_NAME + 32];

		if (sscanf(line, "table inet %79s", table) != 1 ||
		    strncmp(table, RULESET_PREFIX, strlen(RULESET_PREFIX)) != 0)
			continue;
		snprintf(command, sizeof(command), "delete table inet %s", table);
		/* One that has a living owner is refused, and left alone. */
		if (try(netfilter, command))
			log_notice("table %s belongs to a proxyd that runs; it stays", table);
		else
			++*count;
	}
	free(tables);
	netfilter_free(netfilter);
	return err;
}
