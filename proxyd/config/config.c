// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/config.h"

#include <stdlib.h>

#include "config/schema.h"
#include "sidelane/direct.h"

void config_free(struct config *config)
{
	if (!config)
		return;
	schema_clear(&schema_config, config);
	free(config->path);
	free(config);
}

const char *config_acceleration_excess(const struct config_acceleration *acceleration)
{
	const struct {
		const char *key;
		unsigned int count;
	} lists[] = {
		{"exclude_cgroups", acceleration->exclude_cgroups.count},
		{"addresses", acceleration->addresses.count},
		{"exclude_addresses", acceleration->exclude_addresses.count},
		{"ports", acceleration->ports.count},
		{"exclude_ports", acceleration->exclude_ports.count},
		{"uids", acceleration->users.count},
		{"exclude_uids", acceleration->exclude_users.count},
		{"programs", acceleration->programs.count},
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (lists[i].count > SL_FILTER_MAX)
			return lists[i].key;
	return NULL;
}
