// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int entry_resolve(struct entry *entry, const struct resolved *addresses, unsigned int count)
{
	struct resolved *copy = NULL;

	if (count) {
		copy = calloc(count, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, addresses, count * sizeof(*copy));
	}
	free(entry->addresses);
	entry->addresses = copy;
	entry->count = count;
	entry->resolved = true;
	return 0;
}

static const struct entry *find(const struct entries *entries, const struct config_endpoint *config)
{
	for (unsigned int i = 0; entries && i < entries->count; i++) {
		const struct entry *entry = &entries->items[i];

		if (entry->kind == config->kind && !strcmp(entry->text, config->text))
			return entry;
	}
	return NULL;
}

static int entry_init(struct entry *entry, const struct config_endpoint *config,
		      const struct entry *before)
{
	const struct resolved itself = {.address = config->address};

	*entry = (struct entry){
		.kind = config->kind,
		.text = strdup(config->text),
		.weight = config->weight,
		.backup = config->backup,
		.max_flows = config->max_flows,
	};
	if (!entry->text)
		return -ENOMEM;
	if (before)
		entry->commands[COMMAND_DRAIN] = before->commands[COMMAND_DRAIN];
	if (before && before->weight == config->weight)
		entry->commands[COMMAND_WEIGHT] = before->commands[COMMAND_WEIGHT];
	if (config->kind == ENDPOINT_ADDRESS)
		return entry_resolve(entry, &itself, 1);
	if (before && before->resolved)
		return entry_resolve(entry, before->addresses, before->count);
	return 0;
}

int entries_new(const struct config_upstream *config, const struct entries *before,
		struct entries *out)
{
	struct entries entries = {calloc(config->endpoint_count + 1, sizeof(*entries.items)), 0};

	if (!entries.items)
		return -ENOMEM;
	for (unsigned int i = 0; i < config->endpoint_count; i++) {
		const struct config_endpoint *endpoint = &config->endpoints[i];

		entries.count++;
		if (entry_init(&entries.items[i], endpoint, find(before, endpoint))) {
			entries_free(&entries);
			return -ENOMEM;
		}
	}
	*out = entries;
	return 0;
}

void entries_free(struct entries *entries)
{
	for (unsigned int i = 0; i < entries->count; i++) {
		free(entries->items[i].text);
		free(entries->items[i].addresses);
	}
	free(entries->items);
	*entries = (struct entries){0};
}
