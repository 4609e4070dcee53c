#include "options.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define EXIT_USAGE 2

static void usage(FILE *out)
{
	fprintf(out,
		"storm --connect ADDR:PORT --listen ADDR:PORT [OPTION...]\n"
		"Drive randomized connections through a TCP proxy and check every byte and every "
		"close.\n"
		"\n"
		"  --connect ADDR:PORT   the proxy; [::1]:9000 for IPv6\n"
		"  --listen ADDR:PORT    where storm's own server listens: the proxy's upstream\n"
		"  --connections N       how many (1000)\n"
		"  --concurrency N       how many at a time (64)\n"
		"  --seed S              of all that is random (random; always printed)\n"
		"  --timeout SECONDS     a flow with no progress for that long is hung (20)\n"
		"  --scale FACTOR        of the sizes (1)\n"
		"  --only KIND           of the kinds below\n"
		"  --except KIND         repeatable\n"
		"  --replay INDEX        this flow of the seed alone\n"
		"  --threads N           of each side (1)\n"
		"  --blocking PERCENT    of the ends: no O_NONBLOCK, and a recv(2) of what poll(2) "
		"has shown must not fail with EAGAIN (0)\n"
		"  --reset-as-eof-ok     for a proxy that forwards a reset as an end of stream\n"
		"  --verbose             print every failure however many; with --replay, the "
		"plan\n"
		"\n"
		"Exits 0 when all is well, 1 when a flow went bad, 2 on a bad command line.\n"
		"Kinds:");
	for (unsigned int i = 0; i < plan_kinds(); i++)
		fprintf(out, " %s", plan_kind_name(i));
	fputc('\n', out);
}

static double number(const char *option, const char *text, double lo, double hi)
{
	char *end;
	double n = strtod(text, &end);

	if (end == text || *end || !(n >= lo && n <= hi))
		errx(EXIT_USAGE, "--%s %s: want a number of %g to %g", option, text, lo, hi);
	return n;
}

static uint64_t seed(const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (end == text || *end || errno)
		errx(EXIT_USAGE, "--seed %s: want a number of 64 bits", text);
	return n;
}

static uint64_t random_seed(void)
{
	uint64_t n;

	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		err(EXIT_USAGE, "getrandom");
	return n >> 16; /* shorter to type, and enough */
}

static void address(const char *option, const char *text, struct address *out)
{
	if (address_parse(text, out))
		errx(EXIT_USAGE, "--%s %s: want ADDR:PORT or [ADDR]:PORT, in digits", option, text);
}

static int kind(const char *name)
{
	int n = plan_kind_by_name(name);

	if (n < 0)
		errx(EXIT_USAGE, "%s: no such kind; --help lists them", name);
	return n;
}

enum {
	OPT_CONNECT = 1,
	OPT_LISTEN,
	OPT_CONNECTIONS,
	OPT_CONCURRENCY,
	OPT_SEED,
	OPT_TIMEOUT,
	OPT_SCALE,
	OPT_ONLY,
	OPT_EXCEPT,
	OPT_REPLAY,
	OPT_THREADS,
	OPT_BLOCKING,
	OPT_RESET_AS_EOF_OK,
	OPT_VERBOSE,
	OPT_HELP,
};

static const struct option long_options[] = {
	{"connect", required_argument, NULL, OPT_CONNECT},
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"connections", required_argument, NULL, OPT_CONNECTIONS},
	{"concurrency", required_argument, NULL, OPT_CONCURRENCY},
	{"seed", required_argument, NULL, OPT_SEED},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"scale", required_argument, NULL, OPT_SCALE},
	{"only", required_argument, NULL, OPT_ONLY},
	{"except", required_argument, NULL, OPT_EXCEPT},
	{"replay", required_argument, NULL, OPT_REPLAY},
	{"threads", required_argument, NULL, OPT_THREADS},
	{"blocking", required_argument, NULL, OPT_BLOCKING},
	{"reset-as-eof-ok", no_argument, NULL, OPT_RESET_AS_EOF_OK},
	{"verbose", no_argument, NULL, OPT_VERBOSE},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static void option(struct options *o, int opt, const char *name, const char *arg)
{
	switch (opt) {
	case OPT_CONNECT:
		address(name, arg, &o->connect);
		break;
	case OPT_LISTEN:
		address(name, arg, &o->listen);
		break;
	case OPT_CONNECTIONS:
		o->connections = (uint32_t)number(name, arg, 1, 1e8);
		break;
	case OPT_CONCURRENCY:
		o->concurrency = (unsigned int)number(name, arg, 1, 5000);
		break;
	case OPT_SEED:
		o->rules.seed = seed(arg);
		break;
	case OPT_TIMEOUT:
		o->timeout_ms = (unsigned int)(1000 * number(name, arg, 2, 3600));
		break;
	case OPT_SCALE:
		o->rules.scale = number(name, arg, 1e-6, 1000);
		break;
	case OPT_ONLY:
		o->rules.only = kind(arg);
		break;
	case OPT_EXCEPT:
		o->rules.except |= 1ULL << kind(arg);
		break;
	case OPT_REPLAY:
		o->first = (uint32_t)number(name, arg, 0, 1e8);
		o->connections = 1;
		break;
	case OPT_THREADS:
		o->threads = (unsigned int)number(name, arg, 1, 16);
		break;
	case OPT_BLOCKING:
		o->blocking = (unsigned int)number(name, arg, 0, 100);
		break;
	case OPT_RESET_AS_EOF_OK:
		o->reset_as_eof_ok = true;
		break;
	case OPT_VERBOSE:
		o->verbose = true;
		break;
	case OPT_HELP:
		usage(stdout);
		exit(EXIT_SUCCESS);
	default:
		usage(stderr);
		exit(EXIT_USAGE);
	}
}

void options_parse(struct options *o, int argc, char **argv)
{
	int opt, which = 0;

	*o = (struct options){
		.rules = {.seed = random_seed(), .scale = 1, .only = -1},
		.connections = 1000,
		.concurrency = 64,
		.threads = 1,
		.timeout_ms = 20000,
	};
	while ((opt = getopt_long(argc, argv, "", long_options, &which)) != -1)
		option(o, opt, long_options[which].name, optarg);
	if (optind < argc)
		errx(EXIT_USAGE, "%s: unexpected; see --help", argv[optind]);
	if (!o->connect.len || !o->listen.len)
		errx(EXIT_USAGE, "--connect and --listen are needed; see --help");
	if (o->rules.except + 1 == 1ULL << plan_kinds())
		errx(EXIT_USAGE, "--except leaves no kind");
}
