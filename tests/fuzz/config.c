// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The loader on anything: what it takes, is printed so that it loads to the same; what it refuses,
 * it says something about.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"
#include "config/print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static int load(const char *text, size_t size, struct config **config)
{
	struct config_report report = {0};
	int err = config_load_text("f", text, size, config, &report);

	require(!err || err == -EINVAL);
	require((err == 0) == (report.errors == 0));
	for (unsigned int i = 0; i < report.count; i++)
		require(*report.messages[i].text != '\0');
	report_clear(&report);
	return err;
}

static char *as_yaml(const json_t *tree, size_t *size)
{
	char *text = NULL;
	FILE *stream = open_memstream(&text, size);

	require(stream && !yaml_write(tree, stream));
	fclose(stream);
	return text;
}

static void reload(const struct config *config)
{
	json_t *printed = config_to_json(config), *again;
	struct config *other = NULL;
	size_t size;
	char *text = as_yaml(printed, &size);

	require(!load(text, size, &other));
	again = config_to_json(other);
	require(json_equal(printed, again));
	json_decref(printed);
	json_decref(again);
	config_free(other);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of its very size, so that a read beyond its end shows. */
	char *text = malloc(size ? size : 1);
	struct config *config = NULL;

	require(text != NULL);
	memcpy(text, data, size);
	if (!load(text, size, &config))
		reload(config);
	config_free(config);
	free(text);
	return 0;
}
