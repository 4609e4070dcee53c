#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS         256
#define CHECK_MS       50 /* between two looks for hung flows */
#define LONGEST_NAP    20
#define STOOD_STILL_MS 1000

int loop_new(struct loop *l, struct storm *s, enum side side, int listener)
{
	struct epoll_event ev = {.events = EPOLLIN};

	*l = (struct loop){.storm = s, .side = side, .listener = listener, .now_ms = now_ms()};
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->bytes = malloc(SCRATCH);
	l->expected = malloc(SCRATCH);
	if (l->epoll >= 0 && l->bytes && l->expected &&
	    (side == CLIENT || !epoll_ctl(l->epoll, EPOLL_CTL_ADD, listener, &ev)))
		return 0;
	loop_free(l);
	return -ENOMEM;
}

void loop_free(struct loop *l)
{
	if (l->epoll >= 0)
		close(l->epoll);
	free(l->bytes);
	free(l->expected);
	free(l->ends);
}

static int room(struct loop *l)
{
	unsigned int capacity = l->capacity ? l->capacity * 2 : 64;
	struct endpoint **ends;

	if (l->count < l->capacity)
		return 0;
	ends = realloc(l->ends, capacity * sizeof(struct endpoint *));
	if (!ends)
		return -ENOMEM;
	l->ends = ends;
	l->capacity = capacity;
	return 0;
}

struct endpoint *loop_add(struct loop *l, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	struct endpoint *e = room(l) ? NULL : endpoint_new(l, fd, l->side);

	ev.data.ptr = e;
	if (!e || epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		stray_fail(l->storm, side_name(l->side), "out of memory");
		if (e)
			endpoint_free(e);
		else
			close(fd);
		return NULL;
	}
	l->ends[l->count++] = e;
	atomic_fetch_add(l->side == CLIENT ? &l->storm->clients : &l->storm->servers, 1);
	return e;
}

static void wait_events(struct loop *l, int timeout)
{
	struct epoll_event events[EVENTS];
	const uint64_t before = l->now_ms;
	int n = epoll_wait(l->epoll, events, EVENTS, timeout);

	l->now_ms = now_ms();
	/* Where this program has stood still, all flows have: none of them hangs for that. */
	if (l->now_ms - before > (uint64_t)timeout + STOOD_STILL_MS)
		l->next_check_ms = l->now_ms + l->storm->options->timeout_ms;
	for (int i = 0; i < n; i++) {
		struct endpoint *e = events[i].data.ptr;
		uint32_t what = events[i].events;

		if (!e) {
			server_accept(l);
			continue;
		}
		e->readable |= !!(what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR));
		e->writable |= !!(what & (EPOLLOUT | EPOLLHUP | EPOLLERR));
	}
}

static void remove_end(struct loop *l, unsigned int i)
{
	struct endpoint *e = l->ends[i];

	l->ends[i] = l->ends[--l->count];
	if (l->side == CLIENT)
		client_ended(e);
	else
		server_ended(e);
	endpoint_free(e);
}

/* Give every connection its turn; how long epoll may sleep then. */
static int serve_all(struct loop *l)
{
	bool check = l->now_ms >= l->next_check_ms, more = false;
	uint64_t wake = l->now_ms + LONGEST_NAP;

	if (check)
		l->next_check_ms = l->now_ms + CHECK_MS;
	for (unsigned int i = l->count; i-- > 0;) {
		struct endpoint *e = l->ends[i];
		uint64_t due;

		if (check)
			endpoint_check(e);
		more |= endpoint_pump(e);
		due = endpoint_wake(e);
		if (e->phase == PHASE_OVER)
			remove_end(l, i);
		else if (due < wake)
			wake = due;
	}
	return more ? 0 : (int)(wake - l->now_ms);
}

void loop_run(struct loop *l)
{
	int nap = 0;

	while (!atomic_load(&l->storm->over)) {
		wait_events(l, nap);
		l->waiting = false;
		nap = serve_all(l);
		if (l->side == CLIENT)
			client_start_flows(l);
		if (l->waiting && nap > 1)
			nap = 1;
	}
	while (l->count)
		remove_end(l, l->count - 1);
}
