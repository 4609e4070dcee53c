#pragma once

#include "endpoint.h"

/* One thread that serves one side's ends of connections. */
struct loop {
	struct storm *storm;
	enum side side;
	int epoll;
	int listener; /* server side; shared by its loops */
	uint64_t now_ms;
	uint64_t next_check_ms;
	struct rng rng; /* server side: which ends are blocking */
	struct endpoint **ends;
	unsigned int count, capacity;
	bool waiting;     /* look again in a millisecond */
	bool exhausted;   /* client side: no more flows to start */
	bool has_pending; /* client side: a flow whose turn has not come */
	uint32_t pending;
	bool announced;                  /* client side: pending was, but found no free port */
	unsigned char *bytes, *expected; /* SCRATCH each */
};

int loop_new(struct loop *l, struct storm *s, enum side side, int listener);
void loop_free(struct loop *l);

/* Serve until the storm is over. */
void loop_run(struct loop *l);

/* Take over a connection; on failure it is closed. */
struct endpoint *loop_add(struct loop *l, int fd);

/* client.c */
void client_start_flows(struct loop *l);
bool client_connected(struct endpoint *e);
bool client_identify(struct endpoint *e);
void client_failed(struct endpoint *e);
void client_ended(struct endpoint *e);
uint32_t client_silent_flows(const struct options *o);

/* server.c */
int server_listen(const struct options *o, int *fd);
void server_accept(struct loop *l);
bool server_identify(struct endpoint *e);
void server_ended(struct endpoint *e);
