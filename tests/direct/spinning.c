// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * spinning TRIALS SEED enter|leave
 *
 * Connections to itself whose reader calls recv all the time and echoes, so that it is most likely
 * in a recv whenever a scan comes. The writer talks with it for a few milliseconds, then sends
 * three messages and a FIN at once. `leave`: by SO_RCVLOWAT, which the lane does not take, it makes
 * the reader's socket leave shortly before.
 *
 * Ends with 0 if every reader got every byte before the end of the stream.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE  64
#define TALK_US  8000 /* until the lane has had time to take them */
#define SPAN_US  4000 /* in which the end comes */
#define PAUSE_US 200

struct trial {
	int writer, reader;
	bool leave;
	unsigned int seed;
	long sent;
};

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static uint64_t now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void send_message(struct trial *trial)
{
	static const char message[MESSAGE];

	if (send(trial->writer, message, MESSAGE, MSG_NOSIGNAL) == MESSAGE)
		trial->sent += MESSAGE;
}

static void *write_all(void *user)
{
	struct trial *trial = user;
	uint64_t until = now_us() + TALK_US;
	const int lowat = 2;
	char echo[4096];

	while (now_us() < until) {
		send_message(trial);
		usleep(PAUSE_US);
		while (recv(trial->writer, echo, sizeof(echo), 0) > 0)
			;
	}
	if (trial->leave &&
	    setsockopt(trial->reader, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat)))
		die("SO_RCVLOWAT");
	usleep((useconds_t)rand_r(&trial->seed) % SPAN_US);
	for (int i = 0; i < 3; i++)
		send_message(trial);
	shutdown(trial->writer, SHUT_WR);
	return NULL;
}

/* Until the end of the stream. Returns how many bytes came before it. */
static long read_all(const struct trial *trial)
{
	char bytes[4096];
	long got = 0;

	for (;;) {
		ssize_t n = recv(trial->reader, bytes, sizeof(bytes), 0);

		if (n == 0)
			return got;
		if (n < 0 && errno != EAGAIN)
			die("recv");
		if (n > 0) {
			got += n;
			send(trial->reader, bytes, MESSAGE, MSG_NOSIGNAL);
		}
	}
}

static void connect_pair(int listener, struct trial *trial)
{
	struct sockaddr_in address;
	socklen_t length = sizeof(address);
	const int yes = 1;

	if (getsockname(listener, (struct sockaddr *)&address, &length))
		die("getsockname");
	trial->writer = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (connect(trial->writer, (struct sockaddr *)&address, length) && errno != EINPROGRESS)
		die("connect");
	trial->reader = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	if (trial->reader < 0)
		die("accept");
	setsockopt(trial->writer, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

static bool run(int listener, struct trial *trial)
{
	pthread_t writer;
	char bytes[4096];
	long got, later = 0;
	ssize_t n;

	connect_pair(listener, trial);
	if (pthread_create(&writer, NULL, write_all, trial))
		die("pthread_create");
	got = read_all(trial);
	pthread_join(writer, NULL);
	while ((n = recv(trial->reader, bytes, sizeof(bytes), 0)) > 0)
		later += n;
	close(trial->writer);
	close(trial->reader);
	if (got != trial->sent)
		printf("end of stream after %ld of %ld bytes, %ld more came after it\n", got,
		       trial->sent, later);
	return got == trial->sent;
}

int main(int argc, char **argv)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	long trials, bad = 0;
	struct trial trial;

	if (argc != 4) {
		fprintf(stderr, "usage: spinning TRIALS SEED enter|leave\n");
		return 2;
	}
	trials = strtol(argv[1], NULL, 10);
	memset(&trial, 0, sizeof(trial));
	trial.seed = (unsigned int)strtoul(argv[2], NULL, 10);
	trial.leave = !strcmp(argv[3], "leave");
	if (listener < 0 || listen(listener, 16))
		die("listen");
	for (long i = 0; i < trials; i++) {
		trial.sent = 0;
		bad += !run(listener, &trial);
	}
	printf("%ld of %ld readers saw the end of the stream too early\n", bad, trials);
	return bad != 0;
}
