// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * One measurement: a server, a client and whatever was put between them. Prints one JSON object.
 *
 * Both ends run in processes of their own; this one sleeps through the measurement and reads their
 * counters, the clock and /proc at its beginning and its end, in the same order both times.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "peers.h"
#include "usage.h"

#define END_TIMEOUT    20  /* seconds a client may take to finish after it was told to stop */
#define SETTLE_SECONDS 0.5 /* until delayed frees and accounting have caught up */

struct options {
	const struct traffic *traffic;
	unsigned int listen_port;
	unsigned int target_port;
	unsigned int flows;
	unsigned int size;
	unsigned int writes;
	unsigned int proxy_pid;
	int core;
	double seconds;
	double warm_up;
	bool polling;
	bool local;
};

struct measurement {
	const struct options *options;
	struct arena *arena;
	struct usage_scope scope;
};

/* What is read at the beginning and again at the end. */
struct sample {
	double at;
	double operations;
	double received;
	struct cpu_usage cpu;
};

static _Noreturn void die(const char *message)
{
	fprintf(stderr, "echo_pair: %s\n", message);
	exit(1);
}

static void usage(FILE *to)
{
	fputs("usage: echo_pair --traffic pingpong|stream|connections|idle --listen PORT\n"
	      "                 [--target PORT] [--proxy-pid PID] [--flows N] [--size BYTES]\n"
	      "                 [--seconds S] [--warm-up S] [--core N]\n"
	      "                 [--writes N] [--poll]\n"
	      "Serves on 127.0.0.1:LISTEN, connects to 127.0.0.1:TARGET (a proxy in front of it, "
	      "or\n"
	      "by default the server itself), measures, and prints one JSON object. With --core "
	      "only\n"
	      "that core's CPU time counts. A ping-pong's message is sent in --writes. With --poll "
	      "the\n"
	      "sockets are non-blocking, with --unix they are unix sockets.\n",
	      to);
}

static unsigned int parse_number(const char *text, unsigned long max)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || value > max || *text == '-') {
		fprintf(stderr, "echo_pair: '%s' is no number from 0 to %lu\n", text, max);
		exit(2);
	}
	return (unsigned int)value;
}

static double parse_seconds(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0 && value <= 3600)) {
		fprintf(stderr, "echo_pair: '%s' is no number of seconds\n", text);
		exit(2);
	}
	return value;
}

static void parse_option(int option, struct options *out)
{
	switch (option) {
	case 't':
		out->traffic = traffic_find(optarg);
		break;
	case 'l':
		out->listen_port = parse_number(optarg, 65535);
		break;
	case 'c':
		out->target_port = parse_number(optarg, 65535);
		break;
	case 'p':
		out->proxy_pid = parse_number(optarg, INT_MAX);
		break;
	case 'f':
		out->flows = parse_number(optarg, 1000000);
		break;
	case 's':
		out->size = parse_number(optarg, 1 << 30);
		break;
	case 'r':
		out->writes = parse_number(optarg, 1 << 20);
		break;
	case 'd':
		out->seconds = parse_seconds(optarg);
		break;
	case 'w':
		out->warm_up = parse_seconds(optarg);
		break;
	case 'o':
		out->core = (int)parse_number(optarg, 4095);
		break;
	case 'n':
		out->polling = true;
		break;
	case 'u':
		out->local = true;
		break;
	case 'h':
		usage(stdout);
		exit(0);
	default:
		usage(stderr);
		exit(2);
	}
}

static struct options parse_options(int argc, char **argv)
{
	static const struct option names[] = {
		{"traffic", required_argument, NULL, 't'},
		{"listen", required_argument, NULL, 'l'},
		{"target", required_argument, NULL, 'c'},
		{"proxy-pid", required_argument, NULL, 'p'},
		{"flows", required_argument, NULL, 'f'},
		{"size", required_argument, NULL, 's'},
		{"writes", required_argument, NULL, 'r'},
		{"seconds", required_argument, NULL, 'd'},
		{"warm-up", required_argument, NULL, 'w'},
		{"core", required_argument, NULL, 'o'},
		{"poll", no_argument, NULL, 'n'},
		{"unix", no_argument, NULL, 'u'},
		{"help", no_argument, NULL, 'h'},
		{},
	};
	struct options options = {.flows = 1,
				  .size = 64,
				  .writes = 1,
				  .core = ALL_CORES,
				  .seconds = 1,
				  .warm_up = 0.3};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1)
		parse_option(option, &options);
	if (optind != argc || !options.traffic || !options.listen_port || !options.flows ||
	    !options.size || !options.writes ||
	    (!options.traffic->single_threaded && options.flows > MAX_WORKERS)) {
		usage(stderr);
		exit(2);
	}
	if (!options.target_port)
		options.target_port = options.listen_port;
	return options;
}

static struct place loopback(unsigned int port)
{
	return (struct place){
		.ipv4 = {.sin_family = AF_INET,
			 .sin_port = htons((uint16_t)port),
			 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
		.length = sizeof(struct sockaddr_in),
	};
}

/* Without a file: a name that begins with a NUL (unix(7)). */
static struct place local_place(unsigned int port)
{
	struct place place = {.local = {.sun_family = AF_UNIX}};

	place.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				   (size_t)snprintf(place.local.sun_path + 1,
						    sizeof(place.local.sun_path) - 1,
						    "sidelane-echo-%u", port));
	return place;
}

/* Bound before anything is forked: a client can never come too early. */
static int listen_on(const struct place *place, unsigned int port)
{
	int fd = socket(place->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, &place->any, place->length) || listen(fd, SOMAXCONN)) {
		fprintf(stderr, "echo_pair: cannot listen on port %u: %s\n", port, strerror(errno));
		exit(1);
	}
	return fd;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void sleep_for(double seconds)
{
	struct timespec time = {
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};

	while (nanosleep(&time, &time) && errno == EINTR)
		;
}

static pid_t start(const struct peers *peers, void (*body)(const struct peers *peers))
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid < 0)
		die("cannot fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	body(peers);
	_exit(0);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Returns false when the client failed or would not end. */
static bool finish(struct measurement *m)
{
	double deadline = now() + END_TIMEOUT;
	int status = -1;
	pid_t done;

	atomic_store(&m->arena->phase, PHASE_STOP);
	while (!(done = waitpid(m->scope.client, &status, WNOHANG)) && now() < deadline)
		sleep_for(0.01);
	if (!done)
		end(m->scope.client);
	end(m->scope.server);
	if (!done && !atomic_exchange(&m->arena->failed, true))
		snprintf(m->arena->error, sizeof(m->arena->error), "the client did not end");
	return done && status == 0 && !atomic_load(&m->arena->failed);
}

static struct sample sample_read(const struct measurement *m)
{
	struct sample sample = {.at = now()};

	for (unsigned int i = 0; i < MAX_WORKERS; i++) {
		sample.operations += (double)m->arena->workers[i].operations;
		sample.received += (double)m->arena->workers[i].received;
	}
	if (cpu_usage_read(&m->scope, &sample.cpu))
		die("cannot read CPU times from /proc");
	return sample;
}

static void print_latency(const struct arena *arena)
{
	static struct histogram all;

	for (unsigned int i = 0; i < MAX_WORKERS; i++)
		histogram_merge(&all, &arena->workers[i].latency);
	printf(", \"p50_us\": %.3f, \"p99_us\": %.3f", histogram_quantile(&all, 0.5) / 1e3,
	       histogram_quantile(&all, 0.99) / 1e3);
}

static void print_rates(const struct measurement *m, const struct sample *from,
			const struct sample *to)
{
	double seconds = to->at - from->at;
	double busy = to->cpu.busy - from->cpu.busy;
	double operations = to->operations - from->operations;
	double gigabytes = (to->received - from->received) / 1e9;

	printf("{\"traffic\": \"%s\", \"seconds\": %.6f", m->options->traffic->name, seconds);
	if (operations > 0)
		printf(", \"ops_per_s\": %.1f, \"cpu_us_per_op\": %.3f", operations / seconds,
		       busy / operations * 1e6);
	if (gigabytes > 0)
		printf(", \"gbit_per_s\": %.3f, \"cpu_s_per_gb\": %.4f", gigabytes * 8 / seconds,
		       busy / gigabytes);
	if (gigabytes > 0 && m->scope.proxy)
		printf(", \"proxy_cpu_s_per_gb\": %.4f",
		       (to->cpu.proxy - from->cpu.proxy) / gigabytes);
	if (m->options->traffic->latency)
		print_latency(m->arena);
	printf(", \"cpu_s\": {\"busy\": %.3f, \"proxy\": %.3f, \"client\": %.3f, "
	       "\"server\": %.3f, \"kthreads\": %.3f, \"steal\": %.3f}}\n",
	       busy, to->cpu.proxy - from->cpu.proxy, to->cpu.client - from->cpu.client,
	       to->cpu.server - from->cpu.server, to->cpu.kthreads - from->cpu.kthreads,
	       to->cpu.steal - from->cpu.steal);
}

static bool measure_rates(struct measurement *m)
{
	struct sample from, to;

	sleep_for(m->options->warm_up);
	from = sample_read(m);
	atomic_store(&m->arena->phase, PHASE_MEASURE);
	sleep_for(m->options->seconds);
	to = sample_read(m);
	if (!finish(m))
		return false;
	if (to.operations == from.operations && to.received == from.received) {
		snprintf(m->arena->error, sizeof(m->arena->error), "nothing moved");
		return false;
	}
	print_rates(m, &from, &to);
	return true;
}

static bool wait_for_flows(const struct measurement *m, unsigned int flows)
{
	while (atomic_load(&m->arena->flows_open) < (int)flows) {
		if (atomic_load(&m->arena->failed))
			return false;
		sleep_for(0.01);
	}
	sleep_for(SETTLE_SECONDS);
	return true;
}

static bool measure_memory(struct measurement *m)
{
	unsigned int flows = m->options->flows;
	struct memory_usage from, to;
	bool ok;

	ok = wait_for_flows(m, IDLE_WARM_UP_FLOWS) && !memory_usage_read(&m->scope, &from);
	atomic_store(&m->arena->phase, PHASE_MEASURE);
	ok = ok && wait_for_flows(m, IDLE_WARM_UP_FLOWS + flows) &&
	     !memory_usage_read(&m->scope, &to);
	if (!finish(m) || !ok)
		return false;
	printf("{\"traffic\": \"idle\", \"flows\": %u", flows);
	if (m->scope.proxy)
		printf(", \"user_bytes\": %.0f, \"user_rss_bytes\": %.0f, "
		       "\"user_base_bytes\": %.0f, \"bpf_map_bytes\": %.0f",
		       (to.proxy_pss - from.proxy_pss) / flows,
		       (to.proxy_rss - from.proxy_rss) / flows, from.proxy_pss, to.bpf_maps);
	printf(", \"slab_bytes\": %.0f, \"available_bytes\": %.0f}\n",
	       (to.slab - from.slab) / flows, (from.available - to.available) / flows);
	return true;
}

int main(int argc, char **argv)
{
	struct options options = parse_options(argc, argv);
	struct measurement m = {.options = &options,
				.scope = {.proxy = (pid_t)options.proxy_pid, .core = options.core}};
	struct place listening;
	struct peers peers;
	bool ok;

	m.arena = mmap(NULL, sizeof(*m.arena), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (m.arena == MAP_FAILED)
		die("no memory");
	peers = (struct peers){
		.traffic = options.traffic,
		.arena = m.arena,
		.target = options.local ? local_place(options.target_port)
					: loopback(options.target_port),
		.flows = options.flows,
		.size = options.size,
		.writes = options.writes,
		.polling = options.polling,
	};
	listening =
		options.local ? local_place(options.listen_port) : loopback(options.listen_port);
	peers.listener = listen_on(&listening, options.listen_port);
	m.scope.server = start(&peers, peers_server);
	close(peers.listener);
	m.scope.client = start(&peers, peers_client);

	ok = options.traffic->single_threaded ? measure_memory(&m) : measure_rates(&m);
	if (!ok)
		die(m.arena->error[0] ? m.arena->error : "the client failed");
	return 0;
}
