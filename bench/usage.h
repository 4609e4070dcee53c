/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BENCH_USAGE_H
#define BENCH_USAGE_H
/* What the machine spent: CPU time by who spent it, memory by where it lies. Read from /proc. */

#include <sys/types.h>

#define ALL_CORES (-1)

/* Whose share is told apart. A proxy is its process and that process's children; 0 is nobody. */
struct usage_scope {
	pid_t proxy;
	pid_t client;
	pid_t server;
	int core; /* where all of it was pinned to, or ALL_CORES */
};

/* Seconds of CPU since some fixed moment; only differences mean anything. */
struct cpu_usage {
	double busy;  /* the cores' time not idle: processes, kernel threads, interrupts */
	double steal; /* taken by the hypervisor: says how far to trust the rest */
	double proxy;
	double client;
	double server;
	double kthreads; /* kworkers do the kernel lane's sending */
};

/* Bytes. */
struct memory_usage {
	double proxy_pss;
	double proxy_rss;
	double bpf_maps;  /* of the maps the proxy holds open; preallocated ones do not grow */
	double slab;      /* sockets, their wait queues, epoll items, map elements */
	double available; /* MemAvailable: everything, and everybody else's noise */
};

int cpu_usage_read(const struct usage_scope *scope, struct cpu_usage *out);
int memory_usage_read(const struct usage_scope *scope, struct memory_usage *out);

#endif
