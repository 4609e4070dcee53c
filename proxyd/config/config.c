// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/config.h"

#include <stdlib.h>

#include "config/schema.h"

void config_free(struct config *config)
{
	if (!config)
		return;
	schema_clear(&schema_config, config);
	free(config->path);
	free(config);
}
