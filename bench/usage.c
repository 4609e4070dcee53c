// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "usage.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PF_KTHREAD 0x00200000U /* include/linux/sched.h, shown in /proc/PID/stat */

struct process {
	pid_t pid;
	pid_t parent;
	unsigned int flags;
	double cpu;
};

typedef void process_fn(const struct process *process, void *context);

static double ticks_to_seconds(unsigned long long ticks)
{
	return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

/* The name in a stat line may hold anything, parentheses too: parse from the last one on. */
static bool process_read(const char *pid, struct process *out)
{
	unsigned long long user, system;
	char path[64], line[1024], *rest;
	FILE *file;
	bool ok;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	ok = fgets(line, sizeof(line), file) && (rest = strrchr(line, ')')) &&
	     sscanf(rest + 1, " %*c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %llu %llu", &out->parent,
		    &out->flags, &user, &system) == 4;
	fclose(file);
	if (!ok)
		return false;
	out->pid = (pid_t)strtol(pid, NULL, 10);
	out->cpu = ticks_to_seconds(user + system);
	return true;
}

static int for_each_process(process_fn *fn, void *context)
{
	struct process process;
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	if (!proc)
		return -errno;
	while ((entry = readdir(proc)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    process_read(entry->d_name, &process))
			fn(&process, context);
	closedir(proc);
	return 0;
}

static bool is_proxy(const struct usage_scope *scope, const struct process *process)
{
	return scope->proxy && (process->pid == scope->proxy || process->parent == scope->proxy);
}

/*
 * Busy is what idle leaves over. With a tickless kernel idle time is measured to the microsecond
 * while user, system and softirq are sampled at the tick, which traffic can fall in step with.
 */
static void busy_from_line(const char *line, double cores, struct cpu_usage *out)
{
	unsigned long long idle = 0, iowait = 0, steal = 0;
	struct timespec now;

	sscanf(line, "%*s %*u %*u %*u %llu %llu %*u %*u %llu", &idle, &iowait, &steal);
	clock_gettime(CLOCK_MONOTONIC, &now);
	out->steal = ticks_to_seconds(steal);
	out->busy = ((double)now.tv_sec + (double)now.tv_nsec / 1e9) * cores -
		    ticks_to_seconds(idle + iowait + steal);
}

static int busy_read(int core, struct cpu_usage *out)
{
	double cores = core == ALL_CORES ? (double)sysconf(_SC_NPROCESSORS_ONLN) : 1;
	char line[512], name[32] = "cpu ";
	int err = -EPROTO;
	FILE *file;

	if (core != ALL_CORES)
		snprintf(name, sizeof(name), "cpu%d ", core);
	file = fopen("/proc/stat", "re");
	if (!file)
		return -errno;
	while (err && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name))) {
			busy_from_line(line, cores, out);
			err = 0;
		}
	fclose(file);
	return err;
}

struct cpu_context {
	const struct usage_scope *scope;
	struct cpu_usage *out;
};

static void cpu_add(const struct process *process, void *context)
{
	const struct usage_scope *scope = ((struct cpu_context *)context)->scope;
	struct cpu_usage *out = ((struct cpu_context *)context)->out;

	if (process->flags & PF_KTHREAD)
		out->kthreads += process->cpu;
	else if (process->pid == scope->client)
		out->client += process->cpu;
	else if (process->pid == scope->server)
		out->server += process->cpu;
	else if (is_proxy(scope, process))
		out->proxy += process->cpu;
}

int cpu_usage_read(const struct usage_scope *scope, struct cpu_usage *out)
{
	struct cpu_context context = {.scope = scope, .out = out};
	int err;

	memset(out, 0, sizeof(*out));
	err = busy_read(scope->core, out);
	return err ? err : for_each_process(cpu_add, &context);
}

/* The kB value of a "Name:   123 kB" line in such a file, in bytes; 0 if there is none. */
static double field_read(const char *path, const char *name)
{
	unsigned long long value;
	size_t length = strlen(name);
	double bytes = 0;
	char line[256];
	FILE *file = fopen(path, "re");

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, name, length) && sscanf(line + length, ": %llu", &value) == 1) {
			bytes = (double)value * 1024;
			break;
		}
	fclose(file);
	return bytes;
}

/* What fdinfo says of a map: its id and how much kernel memory it takes. */
static bool map_read(const char *path, unsigned int *id, double *bytes)
{
	unsigned long long memlock = 0;
	bool found = false;
	char line[256];
	FILE *file = fopen(path, "re");

	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		sscanf(line, "memlock: %llu", &memlock);
		found |= sscanf(line, "map_id: %u", id) == 1;
	}
	fclose(file);
	*bytes = (double)memlock;
	return found;
}

/* A map may be open more than once; the kernel numbers them, so count each id once. */
static double maps_read(pid_t pid)
{
	unsigned int seen[256], id = 0;
	size_t count = 0;
	double total = 0, bytes;
	struct dirent *entry;
	char path[320];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)) && count < sizeof(seen) / sizeof(seen[0])) {
		bool known = false;

		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", pid, entry->d_name);
		if (!map_read(path, &id, &bytes))
			continue;
		for (size_t i = 0; i < count; i++)
			known |= seen[i] == id;
		if (known)
			continue;
		seen[count++] = id;
		total += bytes;
	}
	if (dir)
		closedir(dir);
	return total;
}

struct memory_context {
	const struct usage_scope *scope;
	struct memory_usage *out;
};

static void memory_add(const struct process *process, void *context)
{
	struct memory_usage *out = ((struct memory_context *)context)->out;
	char path[64];

	if (!is_proxy(((struct memory_context *)context)->scope, process))
		return;
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", process->pid);
	out->proxy_pss += field_read(path, "Pss");
	out->proxy_rss += field_read(path, "Rss");
	out->bpf_maps += maps_read(process->pid);
}

int memory_usage_read(const struct usage_scope *scope, struct memory_usage *out)
{
	struct memory_context context = {.scope = scope, .out = out};

	memset(out, 0, sizeof(*out));
	out->slab = field_read("/proc/meminfo", "Slab");
	out->available = field_read("/proc/meminfo", "MemAvailable");
	if (!out->slab || !out->available)
		return -EPROTO;
	return for_each_process(memory_add, &context);
}
