/*
 * The one rule of sidelane, for the lanes relay and kernel:
 *
 *   a byte may enter a lane only when no earlier byte of its direction is still inside another.
 *
 * A flow is two directions. Direction d enters through socket d, its source, and leaves through
 * socket 1 - d, its destination. The application behind the source writes the bytes 0, 1, 2... and
 * a FIN; the one behind the destination must read 0, 1, 2... and then the FIN.
 *
 * Every process stands for one actor of the machine and names at its head the function of Linux
 * 6.18 or of proxyd that it models. What an actor does in one step here it does under one lock
 * there, or nobody else can see it half done; everything else interleaves as it likes.
 *
 * check.sh sets the sizes (a scenario) and, to prove that the model can fail, takes out one
 * safeguard at a time (a mutant: -DNO_...). README.md says what is proved and what is assumed.
 */

#ifndef DIRS
#define DIRS	1	/* directions that run */
#endif
#ifndef UP
#define UP	4	/* bytes of direction 0 */
#endif
#ifndef DOWN
#define DOWN	2	/* bytes of direction 1 */
#endif
#ifndef SEG
#define SEG	1	/* bytes in a segment (skb): all of it meets one verdict */
#endif
#ifndef RCVBUF
#define RCVBUF	2	/* unread bytes at which a source closes its TCP window */
#endif
#ifndef SNDBUF
#define SNDBUF	2	/* bytes that a destination takes while its reader does not read */
#endif
#ifndef WINDOW
#define WINDOW	2	/* --window: bytes in the backlog and the send buffer */
#endif
#ifndef SWITCHES
#define SWITCHES 2	/* lane changes of a direction at most; it starts in the relay lane */
#endif

/*
 * Two directions multiply each other's states. Where both run, what an actor does between two waits
 * is one step; with one direction every access to what another actor writes is a step.
 */
#if DIRS == 2
#define TOGETHER atomic
#define TURNS	false
#else
#define TOGETHER
#define TURNS	true	/* proxyd may leave a direction while there is more to read */
#endif

#define LENGTH(d) ((d) == 0 -> UP : DOWN)
#define QUEUE 8		/* more than ever wait: a full channel blocks, a list does not */

mtype:lane = { RELAY, KERNEL };
mtype:skb = { PASSED, REDIRECTED, BARE_FIN };
mtype:answer = { DATA, AGAIN, END };

/* ---- A socket: struct sock and its sk_psock ---- */
bool locked[2];			/* the socket lock */
bool enrolled[2];		/* in the SOCKHASH: has a psock and runs the verdict */
byte arrived[2];		/* tcpi_bytes_received, without the FIN */
byte judged[2];			/* of these, the ones that left sk_receive_queue */
bool rdhup[2];			/* RCV_SHUTDOWN: tcp_fin has run */
chan ingress_msg[2] = [QUEUE] of { byte };		/* what recv reads, once enrolled */
chan ingress_skb[2] = [QUEUE] of { mtype:skb, byte };	/* the backlog, of both directions! */
chan sendq[2] = [SNDBUF] of { byte };	/* the send buffer and all between it and the reader */
byte written[2];		/* write_seq */
bool shut[2];			/* shutdown(SHUT_WR): a FIN is behind what sendq holds */
bool broken[2];			/* SK_PSOCK_TX_ENABLED is gone */

/* ---- A direction's ledger (struct sl_ledger, struct sl_published) ---- */
byte redirected[2], passed[2];	/* written by the verdict alone, under the source's lock */
byte budget[2];			/* the verdict's upper bound of backlog and send buffer */
byte base[2];			/* the destination's write_seq where the ledger starts */
byte relayed[2];		/* written by proxyd alone */
mtype:lane lane[2] = RELAY;	/* written by proxyd alone */

/* ---- What wakes proxyd up ---- */
bool wake[2];			/* an event in the ring buffer */
bool epollin[2] = true;		/* it has asked for EPOLLIN on the source, edge-triggered */
bool edge[2];			/* ...and has one waiting */
bool hup[2];			/* an EPOLLRDHUP waits */

/* ---- What proxyd has counted for itself ---- */
byte taken[2];			/* bytes that it has received */
byte sent[2];			/* bytes that it has sent */

/* ---- What is proved ---- */
byte delivered[2];		/* bytes that the reader has got */
bool finished[2];		/* and the FIN */
bool in_order = true;		/* no byte was lost, doubled or overtaken */
bool fin_last = true;		/* no FIN came before its bytes */
bool bounded = true;		/* no redirect made a direction hold more than its window */
bool fits = true;		/* no redirect had to wait for the reader */

#if DIRS == 2
#define ALL_DELIVERED (finished[0] && finished[1])
#else
#define ALL_DELIVERED finished[0]
#endif
#ifdef LIVENESS
ltl delivery { <> ALL_DELIVERED }
#endif

#define PAIRED		(enrolled[0] && enrolled[1])
#define QUEUED(s)	len(sendq[s])
#define ROOM(s)		(SNDBUF - len(sendq[s]))
#define UNREAD(d)	(arrived[d] - redirected[d] - taken[d])
#define BACKLOG(d)	(redirected[d] + sent[d] - written[1 - d])
#define READABLE(d)	(len(ingress_msg[d]) > 0 || judged[d] < arrived[d])
#define LOCK(s)		!locked[s] -> locked[s] = true
#define UNLOCK(s)	locked[s] = false

/* sock_def_readable, ep_poll_callback */
#define DATA_READY(s)	edge[s] = edge[s] || epollin[s]

#include "kernel.pml"

/* ------------------------------------------------------------------------------------------------
 * proxyd (flow.c, pump.c, relay.c, splicer.c)
 * ---------------------------------------------------------------------------------------------- */

/*
 * recv: tcp_bpf_recvmsg_parser, or tcp_recvmsg while the source is not enrolled. The first has the
 * verdict judge what was left in the receive queue. Its EAGAIN and its 0 speak of ingress_msg
 * alone: passed bytes may still wait in the backlog.
 */
inline receive(d)
{
	atomic { LOCK(d) };
	data_ready(d);
	atomic {
		if
		:: !enrolled[d] && judged[d] < arrived[d] ->
			b = judged[d]; judged[d]++; taken[d]++; got = DATA;
			printf("direction %d: proxyd receives %d\n", d, b)
		:: len(ingress_msg[d]) > 0 ->
			ingress_msg[d]?b; taken[d]++; got = DATA;
			printf("direction %d: proxyd receives %d\n", d, b)
		:: else ->
			got = (rdhup[d] -> END : AGAIN);
			printf("direction %d: proxyd receives %e\n", d, got)
		fi;
		/* Less than the buffer holds, if the buffer is larger than a byte. */
		if
		:: got == DATA && !READABLE(d) -> short_read = true
		:: short_read = false
		fi;
		UNLOCK(d)
	}
}

/* splice_drained: tcpi_bytes_acked, then SIOCOUTQ, whose sum can only come out low */
#define DRAINED(d)	(written[1 - d] == redirected[d] + sent[d])
/* splice_complete */
#define COMPLETE(d)	(arrived[d] == redirected[d] + taken[d])
/* splice_pending: none */
#define CAUGHT_UP(d)	(passed[d] == relayed[d])

/* exhausted: all was read and sent as it came, and the next bytes make a new edge */
#ifdef NO_RECV_AFTER_PUBLISH
#define EXHAUSTED(d)	(short_read && !hung_up)
#else
#define EXHAUSTED(d)	(short_read && !hung_up && lane[d] == RELAY)
#endif

/* splicer_pair: with nothing unread, hence no skb partly read, and nothing in proxyd's hands. */
#ifdef NO_UNREAD_CHECK
#define NOTHING_UNREAD(d) true
#else
#define NOTHING_UNREAD(d) (judged[d] == arrived[d])
#endif
#ifdef NO_HOLDS_CHECK
#define NOTHING_HELD	true
#else
#define NOTHING_HELD	(!holds)
#endif

/*
 * A source in CLOSE_WAIT is refused and stays in the relay lane. What arrived since we looked is
 * judged by the SO_RCVLOWAT that follows.
 */
inline enrol(d)
{
#ifndef NO_DESTINATION_FIRST
	enrolled[1 - d] = true;
#endif
	atomic { LOCK(d); enrolled[d] = !rdhup[d] };
	data_ready(d);
	UNLOCK(d)
}

#ifdef NO_DESTINATION_FIRST
#define MAY_SWITCH(d)	enrolled[d]
#else
#define MAY_SWITCH(d)	PAIRED
#endif

/* epoll_ctl(EPOLL_CTL_MOD): a new edge for all that is so already, RDHUP always */
#define WATCH(d, in)	atomic { epollin[d] = in; edge[d] = in && READABLE(d) || rdhup[d] }

/* set_lane, update_interest */
inline switch_lane(d)
{
	if
	:: lane[d] == RELAY ->
		atomic {
			printf("direction %d: proxyd publishes lane kernel\n", d);
			lane[d] = KERNEL
		};
		WATCH(d, false)
	:: lane[d] == KERNEL ->
		atomic {
			printf("direction %d: proxyd publishes lane relay\n", d);
			lane[d] = RELAY
		};
		WATCH(d, true)
	fi
}

/* One direction's share of a worker. Between two events it may change lanes, as `auto` likes. */
proctype proxyd(byte d)
{
	mtype:answer got;
	byte b;
	byte switches;		/* lane changes so far; it may always have been the last */
	bool holds;		/* a byte, b, is in its hands */
	bool short_read;	/* the last recv left nothing behind */
	bool drained;		/* nothing that was redirected is on its way */
	bool hung_up, ending;	/* a FIN was announced; was read */
	bool polled;		/* it waits for something that sends no event */

#ifdef LATE
	bool enrols;		/* sooner or later, or never */

	if
	:: enrols = true
	:: true
	fi;
#endif
event:	TOGETHER {
	if
	:: atomic { wake[d] -> wake[d] = false }
	:: atomic { edge[d] -> edge[d] = false }
	:: atomic { hup[d] -> hup[d] = false; hung_up = true }
	/* EPOLLOUT */
	:: holds && (drained || !PAIRED) && ROOM(1 - d) > 0
	/* The timer, but only when it finds what it was set for. */
	:: polled && holds && DRAINED(d)
	:: polled && !holds && READABLE(d)
	:: polled && !holds && ending && COMPLETE(d) && DRAINED(d)
	:: atomic {
		switches < SWITCHES && MAY_SWITCH(d) && !ending ->
		drained = false;
		if
		:: switches++
		:: switches = SWITCHES
		fi };
		switch_lane(d)
#ifdef NO_RECV_AFTER_SWITCH
		;
		if
		:: lane[d] == KERNEL && !holds -> goto event
		:: else
		fi
#endif
#ifdef LATE
	:: enrols && !enrolled[d] && !rdhup[d] && NOTHING_UNREAD(d) && NOTHING_HELD ->
		enrol(d)
#ifdef NO_DESTINATION_FIRST
	:: enrolled[d] && !enrolled[1 - d] -> enrolled[1 - d] = true
#endif
#endif
	fi;
#ifdef NO_READ_TO_END
	if
	:: rdhup[d] -> goto finish
	:: else
	fi;
#endif

pump:	polled = false;
	if
	/* flush, may_send */
	:: holds && !drained && PAIRED ->
#ifndef NO_RECV_AFTER_PUBLISH
		short_read = false;
#endif
#ifndef NO_DRAINED_BEFORE_SEND
		drained = DRAINED(d);
		if
		:: drained
		:: else -> polled = true; goto event
		fi;
#endif
		drained = true;
		goto pump
	:: holds && (drained || !PAIRED) ->
		if
		:: ROOM(1 - d) == 0 -> short_read = false; goto event
		:: else
		fi;
#ifdef NO_SEND_BEFORE_PUBLISH
		relayed[d]++;
#endif
		atomic {
			printf("direction %d: proxyd sends %d\n", d, b);
			sendq[1 - d]!b;
			written[1 - d]++; sent[d]++;
			b = 0; holds = false
		};
#ifndef NO_SEND_BEFORE_PUBLISH
		if
		:: PAIRED -> relayed[d]++
		:: else
		fi;
#endif
		/* The verdict may redirect again from here on. */
		drained = drained && lane[d] == RELAY;
#ifdef NO_LOCK_BEFORE_COMPARE
		if
		:: CAUGHT_UP(d) && lane[d] == KERNEL && !hung_up -> goto event
		:: else
		fi;
#endif
		if
		:: EXHAUSTED(d) -> goto event
		/* Its turn is over: EPOLL_CTL_MOD makes an edge of what is left. */
		:: TURNS && !short_read -> WATCH(d, true); goto event
		:: !EXHAUSTED(d) -> goto pump
		fi
	/* ended: 0 was read, but bytes may wait in either socket's backlog. */
	:: !holds && ending ->
#ifndef NO_COMPLETE_CHECK
		if
		:: COMPLETE(d)
		:: else -> goto take
		fi;
#endif
#ifndef NO_DRAINED_BEFORE_FIN
		if
		:: DRAINED(d)
		:: else -> goto take
		fi;
#endif
		goto finish
	:: else
	fi;
take:	receive(d);
	if
	:: got == DATA -> holds = true; goto pump
	:: got == END && !ending -> ending = true; goto pump
	:: got == END && ending -> polled = true; goto event
	:: got == AGAIN -> skip
	fi;
	/* fall_asleep: not while passed bytes are in the backlog, for their event was read. */
	if
	:: lane[d] == KERNEL ->
		drained = false;
#ifndef NO_COMPARE_BEFORE_SLEEP
		polled = !CAUGHT_UP(d)
#endif
	:: else
	fi;
	goto event
	};
finish:	atomic {
		printf("direction %d: proxyd passes the FIN on\n", d);
		shut[1 - d] = true
	}
}

init
{
	byte d;

	atomic {
#ifndef LATE			/* sock_ops enrols at ESTABLISHED, before a byte was read */
		enrolled[0] = true;
		enrolled[1] = true;
#endif
		run worker(0);
		run worker(1);
		do
		:: d < DIRS ->
#ifdef ANY_LANE			/* instead of changes: two directions have states enough */
			if
			:: lane[d] = KERNEL; epollin[d] = false
			:: true
			fi;
#endif
			run writer(d);
			run reader(d);
			run proxyd(d);
			d++
		:: else -> break
		od
	}
}
