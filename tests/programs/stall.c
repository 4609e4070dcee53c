// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Both ends of flows whose reader does not read.
 *
 *   stall --front ADDR:PORT --back PORT [--flows N] [--write BYTES]
 *         [--buffers BYTES] [--receive-buffer BYTES] [--down | --both]
 *
 * Listens on --back (127.0.0.1), opens the flows through the proxy at --front, then acts on a line
 * on standard input each time it has said on standard output where it is:
 *
 *   connected              -> senders send until none of them could for two seconds
 *   blocked BYTES MOST     -> in all, of one stream; now senders send a little more and shut down,
 *                             readers read to the end
 *   verified BYTES         every byte arrived, in order, and then the end of the stream
 *
 * A flow has one stream, or two with --both: then each end sends, and reads no earlier than the
 * other. Byte n of stream s is a function of s and n; the first eight are s itself, as the reader's
 * end of a flow cannot know by its socket which sender's it is.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUIET_MS       2000 /* nobody could send for so long: blocked */
#define HANG_MS        20000
#define ENOUGH         (256ULL << 20) /* a flow that took so much is not bounded */
#define AFTER_STALL    (1U << 20)
#define CHUNK_MAX      (256U << 10)
#define EVENTS_AT_ONCE 64

/* Of a stream. */
struct end {
	int fd;
	bool sends;
	bool over;
	uint64_t stream; /* a reader's is known when its first bytes have come */
	uint64_t bytes;
	uint64_t stop_at; /* sender: shut down here */
};

struct options {
	struct sockaddr_in front;
	struct sockaddr_in back;
	unsigned int flows;
	size_t write;
	int send_buffer, receive_buffer; /* 0: the system's default */
	bool down;
	bool both;
};

struct stall {
	struct options options;
	unsigned int streams;
	struct end *senders, *readers; /* as many */
	int epoll;
	uint64_t sent, received;
	unsigned int over; /* ends that are done */
	unsigned char chunk[CHUNK_MAX], expected[CHUNK_MAX];
};

static void die(const char *what)
{
	fprintf(stderr, "stall: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void fail(const char *what, uint64_t stream, uint64_t at)
{
	fprintf(stderr, "stall: stream %llu, byte %llu: %s\n", (unsigned long long)stream,
		(unsigned long long)at, what);
	exit(1);
}

/* The eight bytes of `stream` from 8 * `index` on (splitmix64's finalizer). */
static uint64_t word(uint64_t stream, uint64_t index)
{
	uint64_t z = stream * 0x9e3779b97f4a7c15ULL + index * 0xd1342543de82ef95ULL;

	if (!index)
		return stream;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static void content(unsigned char *to, uint64_t stream, uint64_t offset, size_t len)
{
	while (len) {
		uint64_t eight = word(stream, offset / 8);
		size_t skip = offset % 8;
		size_t n = 8 - skip < len ? 8 - skip : len;

		memcpy(to, (unsigned char *)&eight + skip, n);
		to += n;
		offset += n;
		len -= n;
	}
}

static void size_buffer(int fd, int option, int size)
{
	if (size && setsockopt(fd, SOL_SOCKET, option, &size, sizeof(size)))
		die("socket buffers");
}

static int new_socket(const struct options *options)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket");
	size_buffer(fd, SO_SNDBUF, options->send_buffer);
	size_buffer(fd, SO_RCVBUF, options->receive_buffer);
	return fd;
}

static void watch(struct stall *stall, struct end *end, int fd, bool sends)
{
	struct epoll_event event = {.events = sends ? EPOLLOUT : 0, .data.ptr = end};
	int one = 1;

	end->fd = fd;
	end->sends = sends;
	end->stop_at = UINT64_MAX;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		die("TCP_NODELAY");
	if (epoll_ctl(stall->epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

static void add_stream(struct stall *stall, unsigned int index, int from, int to)
{
	stall->senders[index].stream = index + 1;
	watch(stall, &stall->senders[index], from, true);
	watch(stall, &stall->readers[index], to, false);
}

/* One after another: a listener's queue never holds more than one. */
static void connect_flows(struct stall *stall)
{
	const struct options *options = &stall->options;
	int listener = new_socket(options), one = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (const struct sockaddr *)&options->back, sizeof(options->back)) ||
	    listen(listener, 16))
		die("listen");
	for (unsigned int i = 0; i < options->flows; i++) {
		int client = new_socket(options), server;

		if (connect(client, (const struct sockaddr *)&options->front,
			    sizeof(options->front)))
			die("connect");
		server = accept(listener, NULL, NULL);
		if (server < 0)
			die("accept");
		add_stream(stall, i, options->down ? server : client,
			   options->down ? client : server);
		/* Each descriptor is watched for one thing. */
		if (options->both)
			add_stream(stall, options->flows + i, dup(server), dup(client));
	}
	close(listener);
}

/* Returns whether anything was sent. */
static bool send_some(struct stall *stall, struct end *end, size_t at_most)
{
	size_t len = stall->options.write;
	ssize_t n;

	if (len > end->stop_at - end->bytes)
		len = end->stop_at - end->bytes;
	if (len > at_most)
		len = at_most;
	content(stall->chunk, end->stream, end->bytes, len);
	n = send(end->fd, stall->chunk, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN)
			die("send");
		return false;
	}
	end->bytes += (size_t)n;
	stall->sent += (size_t)n;
	if (end->bytes > ENOUGH)
		fail("the sender is still not blocked", end->stream, end->bytes);
	return true;
}

static void receive_some(struct stall *stall, struct end *end)
{
	ssize_t n = recv(end->fd, stall->chunk, sizeof(stall->chunk), MSG_DONTWAIT);

	if (n < 0) {
		if (errno != EAGAIN)
			die("recv");
		return;
	}
	if (!n) {
		end->over = true;
		stall->over++;
		epoll_ctl(stall->epoll, EPOLL_CTL_DEL, end->fd, NULL);
		return;
	}
	if (!end->bytes) {
		if ((size_t)n < sizeof(end->stream))
			fail("less than eight bytes at first", 0, (uint64_t)n);
		memcpy(&end->stream, stall->chunk, sizeof(end->stream));
	}
	content(stall->expected, end->stream, end->bytes, (size_t)n);
	if (memcmp(stall->chunk, stall->expected, (size_t)n)) {
		size_t i = 0;

		while (stall->chunk[i] == stall->expected[i])
			i++;
		fail("not what was sent", end->stream, end->bytes + i);
	}
	end->bytes += (size_t)n;
	stall->received += (size_t)n;
}

static void shut_down(struct stall *stall, struct end *end)
{
	if (shutdown(end->fd, SHUT_WR))
		die("shutdown");
	epoll_ctl(stall->epoll, EPOLL_CTL_DEL, end->fd, NULL);
	end->over = true;
	stall->over++;
}

static void act(struct stall *stall, struct end *end)
{
	if (!end->sends) {
		receive_some(stall, end);
		return;
	}
	for (int i = 0; i < 16 && end->bytes < end->stop_at; i++)
		if (!send_some(stall, end, CHUNK_MAX))
			return;
	if (end->bytes == end->stop_at)
		shut_down(stall, end);
}

/* Returns when all ends are over, or when nothing could be done for `quiet_ms`. */
static void run(struct stall *stall, int quiet_ms)
{
	struct epoll_event events[EVENTS_AT_ONCE];

	while (stall->over < 2 * stall->streams) {
		int n = epoll_wait(stall->epoll, events, EVENTS_AT_ONCE, quiet_ms);

		if (n < 0)
			die("epoll_wait");
		if (!n)
			return;
		for (int i = 0; i < n; i++)
			act(stall, events[i].data.ptr);
	}
}

static void wait_for_a_line(void)
{
	int c;

	fflush(stdout);
	do
		c = getchar();
	while (c != '\n' && c != EOF);
}

static void report_blocked(const struct stall *stall)
{
	uint64_t most = 0;

	for (unsigned int i = 0; i < stall->streams; i++)
		if (stall->senders[i].bytes > most)
			most = stall->senders[i].bytes;
	printf("blocked %llu %llu\n", (unsigned long long)stall->sent, (unsigned long long)most);
}

static void wake_readers(struct stall *stall)
{
	for (unsigned int i = 0; i < stall->streams; i++) {
		struct end *reader = &stall->readers[i];
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = reader};

		stall->senders[i].stop_at = stall->senders[i].bytes + AFTER_STALL;
		if (epoll_ctl(stall->epoll, EPOLL_CTL_MOD, reader->fd, &event))
			die("epoll_ctl");
	}
}

/* Each stream came to exactly one reader, whole. */
static void verify(const struct stall *stall)
{
	bool *seen = calloc(stall->streams + 1, sizeof(*seen));

	if (!seen)
		die("memory");
	for (unsigned int i = 0; i < stall->streams; i++) {
		const struct end *reader = &stall->readers[i];
		uint64_t stream = reader->stream;

		if (!reader->over)
			fail("no end of the stream", stream, reader->bytes);
		if (!stream || stream > stall->streams || seen[stream])
			fail("no such stream, or twice", stream, reader->bytes);
		seen[stream] = true;
		if (reader->bytes != stall->senders[stream - 1].bytes)
			fail("the stream ends early", stream, reader->bytes);
	}
	free(seen);
	printf("verified %llu\n", (unsigned long long)stall->received);
}

static void parse_address(const char *text, struct sockaddr_in *address)
{
	char host[64] = "127.0.0.1";
	const char *colon = strrchr(text, ':');

	if (colon && (size_t)(colon - text) < sizeof(host)) {
		memcpy(host, text, (size_t)(colon - text));
		host[colon - text] = '\0';
	}
	address->sin_family = AF_INET;
	address->sin_port = htons((uint16_t)atoi(colon ? colon + 1 : text));
	if (inet_pton(AF_INET, host, &address->sin_addr) != 1 || !address->sin_port) {
		fprintf(stderr, "stall: no address: %s\n", text);
		exit(2);
	}
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"front", required_argument, NULL, 'f'},
		{"back", required_argument, NULL, 'b'},
		{"flows", required_argument, NULL, 'n'},
		{"write", required_argument, NULL, 'w'},
		{"buffers", required_argument, NULL, 's'},
		{"receive-buffer", required_argument, NULL, 'r'},
		{"down", no_argument, NULL, 'd'},
		{"both", no_argument, NULL, '2'},
		{NULL, 0, NULL, 0},
	};
	int c;

	*options = (struct options){.flows = 1, .write = 65536};
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'f':
			parse_address(optarg, &options->front);
			break;
		case 'b':
			parse_address(optarg, &options->back);
			break;
		case 'n':
			options->flows = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'w':
			options->write = strtoul(optarg, NULL, 10);
			break;
		case 's':
			options->send_buffer = options->receive_buffer = atoi(optarg);
			break;
		case 'r':
			options->receive_buffer = atoi(optarg);
			break;
		case 'd':
			options->down = true;
			break;
		case '2':
			options->both = true;
			break;
		default:
			exit(2);
		}
	}
	if (!options->front.sin_port || !options->back.sin_port || !options->flows ||
	    !options->write || options->write > CHUNK_MAX) {
		fprintf(stderr, "stall: --front and --back are needed; --write at most %u\n",
			CHUNK_MAX);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static struct stall stall;

	parse_options(argc, argv, &stall.options);
	stall.streams = stall.options.flows * (stall.options.both ? 2 : 1);
	stall.senders = calloc(stall.streams, sizeof(*stall.senders));
	stall.readers = calloc(stall.streams, sizeof(*stall.readers));
	stall.epoll = epoll_create1(0);
	if (!stall.senders || !stall.readers || stall.epoll < 0)
		die("start");
	connect_flows(&stall);
	puts("connected");
	wait_for_a_line();
	run(&stall, QUIET_MS);
	report_blocked(&stall);
	wait_for_a_line();
	wake_readers(&stall);
	run(&stall, HANG_MS);
	verify(&stall);
	return 0;
}
