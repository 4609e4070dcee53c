// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The access log: its lines, and what it does where they cannot be written. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/access_log.h"
#include "stats.h"
#include "unit/address.h"

TestSuite(access_log, .timeout = 100);

static struct access_entry example(void)
{
	struct access_entry entry = {
		.account = {.id = 7,
			    .bytes = {{1, 2, 3}, {4, 5, 1ULL << 40}},
			    .listener = "web",
			    .upstream = "pool"},
		.time = {.tv_sec = 951782399, .tv_nsec = 1234},
		.duration_us = 5000000000,
		.connect_us = 12,
		.ended_by = 2,
		.opened = true,
	};

	entry.account.client = address_of("[fe80::1%lo]:65535");
	entry.account.endpoint = address_of("[::ffff:192.0.2.1]:80");
	entry.account.source = address_of("192.0.2.2:1");
	return entry;
}

static json_t *line_of(const struct access_entry *entry)
{
	char *line = access_line(entry);
	json_t *object;

	cr_assert_not_null(line);
	cr_expect_null(strchr(line, '\n'), "more than one line: %s", line);
	object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	cr_assert_not_null(object, "no JSON: %s", line);
	free(line);
	return object;
}

static void expect_text(const json_t *object, const char *key, const char *expected)
{
	const char *text = json_string_value(json_object_get(object, key));

	cr_expect_str_eq(text ? text : "(null)", expected, "%s: %s", key, text);
}

Test(access_log, says_what_a_flow_was)
{
	struct access_entry entry = example();
	json_t *line = line_of(&entry);
	const json_t *bytes = json_object_get(line, "bytes");

	expect_text(line, "time", "2000-02-28T23:59:59.000001Z");
	expect_text(line, "listener", "web");
	expect_text(line, "upstream", "pool");
	expect_text(line, "client", "[fe80::1%lo]:65535");
	expect_text(line, "endpoint", "[::ffff:192.0.2.1]:80");
	expect_text(line, "source", "192.0.2.2:1");
	expect_text(line, "end", "closed_upstream");
	expect_text(line, "detail", "(null)");
	cr_expect_eq(json_integer_value(json_object_get(line, "id")), 7);
	cr_expect_eq(json_integer_value(json_object_get(line, "connect_us")), 12);
	cr_expect_eq(json_integer_value(json_object_get(line, "duration_us")), 5000000000);
	cr_expect_eq(json_integer_value(json_object_get(bytes, "direct")), (1LL << 40) + 3);
	cr_expect_eq(json_integer_value(json_object_get(json_object_get(bytes, "down"), "kernel")),
		     5);
	json_decref(line);
}

Test(access_log, says_of_one_that_was_not_served)
{
	struct access_entry entry = {.fault = ERROR_DENIED + 1, .detail = "\"quoted\"\n\\ \x01"};
	json_t *line = line_of(&entry);

	expect_text(line, "end", "denied");
	expect_text(line, "detail", "\"quoted\"\n\\ \x01");
	for (size_t i = 0; i < 6; i++) {
		static const char *const keys[] = {"listener", "client", "upstream",
						   "endpoint", "source", "connect_us"};

		cr_expect(json_is_null(json_object_get(line, keys[i])), "%s", keys[i]);
	}
	json_decref(line);
	entry = (struct access_entry){0};
	line = line_of(&entry);
	expect_text(line, "end", "client_gone");
	json_decref(line);
	entry.ended_by = 1;
	line = line_of(&entry);
	expect_text(line, "end", "closed_downstream");
	json_decref(line);
}

Test(access_log, has_a_name_for_each_fault)
{
	for (uint8_t kind = 0; kind < ERROR_KINDS; kind++) {
		struct access_entry entry = {.fault = kind + 1};
		json_t *line = line_of(&entry);

		cr_expect(json_is_string(json_object_get(line, "end")), "kind %d", kind);
		json_decref(line);
	}
}

/* --- The writer -------------------------------------------------------------------------- */

static struct access_log *opened(const char *to, enum access_flows flows)
{
	struct config_access_log config = {.to = (char *)(uintptr_t)to, .flows = flows};
	struct access_target target;
	struct access_log *log;

	cr_assert_eq(access_log_new(&log), 0);
	cr_expect(!access_log_wants(log), "on by itself");
	cr_assert_eq(access_target_open(&config, &target), 0);
	cr_assert_eq(access_log_follow(log, &target), 0);
	cr_expect(access_log_wants(log), "not on");
	return log;
}

static uint64_t counted(struct access_log *log, const char *key)
{
	json_t *status = access_log_json(log);
	uint64_t value = (uint64_t)json_integer_value(json_object_get(status, key));

	json_decref(status);
	return value;
}

static void expect_counted(struct access_log *log, const char *key, uint64_t expected)
{
	for (int i = 0; i < 2000 && counted(log, key) != expected; i++)
		usleep(10000);
	cr_expect_eq(counted(log, key), expected, "%s: %lu", key, counted(log, key));
}

static void scratch(char path[64])
{
	snprintf(path, 64, "/tmp/sidelane-access-%d", getpid());
	unlink(path);
}

static unsigned int lines_in(FILE *file)
{
	char line[4096];
	unsigned int count = 0;

	while (fgets(line, sizeof(line), file)) {
		json_t *object = json_loads(line, 0, NULL);

		cr_expect_not_null(object, "no JSON: %s", line);
		json_decref(object);
		count++;
	}
	return count;
}

Test(access_log, makes_a_file_and_adds_to_it)
{
	struct access_entry entry = example(), failed = {.fault = ERROR_DENIED + 1};
	struct access_log *log;
	struct stat facts;
	char path[64];
	FILE *file;

	scratch(path);
	umask(077);
	log = opened(path, ACCESS_ALL);
	for (int i = 0; i < 3000; i++)
		access_log_put(log, &entry);
	access_log_free(log);
	cr_assert_eq(stat(path, &facts), 0);
	cr_expect_eq(facts.st_mode & 07777, 0640);
	log = opened(path, ACCESS_FAILED);
	access_log_put(log, &entry);
	access_log_put(log, &failed);
	access_log_free(log);
	file = fopen(path, "r");
	cr_expect_eq(lines_in(file), 3001);
	fclose(file);
	unlink(path);
}

Test(access_log, goes_on_elsewhere_and_stops)
{
	struct config_access_log config = {0};
	struct access_entry entry = example();
	struct access_target target;
	struct access_log *log;
	char path[64], moved[80];
	FILE *file;

	scratch(path);
	snprintf(moved, sizeof(moved), "%s-moved", path);
	log = opened(path, ACCESS_ALL);
	access_log_put(log, &entry);
	expect_counted(log, "lines", 1);
	cr_assert_eq(rename(path, moved), 0);
	config.to = path;
	access_target_open(&config, &target);
	access_log_follow(log, &target);
	access_log_put(log, &entry);
	access_log_put(log, &entry);
	expect_counted(log, "lines", 3);
	config.to = NULL;
	access_target_open(&config, &target);
	access_log_follow(log, &target);
	cr_expect(!access_log_wants(log));
	access_log_put(log, &entry);
	access_log_free(log);
	file = fopen(moved, "r");
	cr_expect_eq(lines_in(file), 1);
	fclose(file);
	file = fopen(path, "r");
	cr_expect_eq(lines_in(file), 2);
	fclose(file);
	unlink(path);
	unlink(moved);
}

/* 20000 lines, of which a pipe takes a few at once: the writer is stuck when the others come. */
static void put_many(struct access_log *log)
{
	struct access_entry entry = example();

	for (int i = 0; i < 20000; i++) {
		access_log_put(log, &entry);
		if (i % 1000 == 0)
			usleep(10000);
	}
	cr_expect_gt(counted(log, "dropped"), 10000);
}

/* A target that takes no more holds nobody up, neither who puts lines in nor the end. */
Test(access_log, drops_what_a_full_pipe_does_not_take)
{
	struct access_entry entry = example();
	struct access_log *log;
	unsigned int read;
	uint64_t kept;
	char path[64];
	FILE *reader;

	scratch(path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	reader = fdopen(open(path, O_RDONLY | O_NONBLOCK), "r");
	log = opened(path, ACCESS_ALL);
	put_many(log);
	kept = 20000 - counted(log, "dropped");
	/* It takes lines again when it is read. */
	for (read = 0; read < kept;) {
		unsigned int more = lines_in(reader);

		clearerr(reader);
		read += more;
		usleep(more ? 0 : 1000);
	}
	expect_counted(log, "lines", kept);
	/* The end is not held up either. */
	for (int i = 0; i < 4000; i++)
		access_log_put(log, &entry);
	access_log_free(log);
	fclose(reader);
	unlink(path);
}

/* Nor by one that blocks when it is written to: another program's, as standard output may be. */
Test(access_log, never_blocks_in_a_pipe_of_others)
{
	struct config_access_log config = {0};
	struct access_target target;
	struct access_log *log;
	char path[64];
	int ends[2];

	scratch(path);
	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
	log = opened("stdout", ACCESS_ALL);
	put_many(log);
	/* What waits goes to where it is told to go on. */
	config.to = path;
	cr_assert_eq(access_target_open(&config, &target), 0);
	cr_assert_eq(access_log_follow(log, &target), 0);
	for (int i = 0; i < 2000 && counted(log, "lines") < 4096; i++)
		usleep(10000);
	cr_expect_geq(counted(log, "lines"), 4096);
	access_log_free(log);
	unlink(path);
}

Test(access_log, counts_what_a_full_disk_does_not_take)
{
	struct access_log *log = opened("/dev/full", ACCESS_ALL);
	struct access_entry entry = example();

	for (int i = 0; i < 100; i++)
		access_log_put(log, &entry);
	expect_counted(log, "failed", 100);
	cr_expect_eq(counted(log, "lines"), 0);
	access_log_free(log);
}

Test(access_log, says_what_cannot_be_opened)
{
	struct config_access_log config = {.to = (char *)(uintptr_t) "/nowhere/access.log"};
	struct access_target target;

	cr_expect_eq(access_target_open(&config, &target), -ENOENT);
	cr_expect_eq(target.fd, -1);
	config.to = (char *)(uintptr_t) "/";
	cr_expect_eq(access_target_open(&config, &target), -EISDIR);
}
