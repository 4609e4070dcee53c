/*
 * The actors that proxyd does not command: the verdict program in its kernel surroundings, the
 * kernel's worker, and the applications at both ends. Included by lanes.pml, which has the state.
 */

/* ------------------------------------------------------------------------------------------------
 * The verdict: sk_psock_verdict_recv, the BPF program (verdict, sl_rule), sk_psock_verdict_apply.
 *
 * It holds the source's lock; of each direction one runs at a time, so its registers can be global.
 * It holds no lock of the destination's or of proxyd's: each look at theirs is a step of its own.
 * ---------------------------------------------------------------------------------------------- */
mtype:lane saw_lane[2] = RELAY;
byte saw_relayed[2], saw_written[2];
byte at[2];			/* the byte of the segment that is being queued */

#ifdef NO_LEDGER
#define RELAY_EMPTY(d)	true
#else
#define RELAY_EMPTY(d)	(passed[d] == saw_relayed[d])
#endif
#ifdef NO_WINDOW
#define IN_WINDOW(d)	true
#else
#define IN_WINDOW(d)	(budget[d] + SEG <= WINDOW)
#endif
#define KERNEL_ALLOWED(d) (saw_lane[d] == KERNEL && RELAY_EMPTY(d))

inline look_at_proxyd(d)
{
	saw_lane[d] = lane[d];
	saw_relayed[d] = relayed[d]
}

#ifdef NO_QUEUED
#define QUEUED_SEEN(s)	0
#else
#define QUEUED_SEEN(s)	QUEUED(s)
#endif
/*
 * write_seq before sk_wmem_queued: what the worker moves from the backlog to the send buffer
 * between the two is counted twice. The other way round it would not be counted at all.
 */
inline look_at_destination(d)
{
#ifdef NO_WRITTEN_BEFORE_QUEUED
	budget[d] = QUEUED_SEEN(1 - d);
	saw_written[d] = written[1 - d];
	base[d] = (redirected[d] == 0 -> saw_written[d] - passed[d] : base[d]);
	budget[d] = budget[d] + redirected[d] + passed[d] - (saw_written[d] - base[d])
#else
	saw_written[d] = written[1 - d];
	atomic {
		base[d] = (redirected[d] == 0 -> saw_written[d] - passed[d] : base[d]);
		budget[d] = redirected[d] + passed[d] - (saw_written[d] - base[d]) +
			    QUEUED_SEEN(1 - d)
	}
#endif
}

/* tcp_read_skb hands over a whole skb, whatever recv had already taken of it. */
#define SEGMENT_START(d) (judged[d] - judged[d] % SEG)
#define EACH_BYTE(d, route)						\
	at[d] = SEGMENT_START(d);					\
	judged[d] = at[d] + SEG;					\
	do								\
	:: at[d] < judged[d] -> route; at[d]++				\
	:: else -> at[d] = 0; break					\
	od

/*
 * Behind what waits in the source's own backlog, or recv would see it before an earlier one. Where
 * one direction runs alone, the other's redirects may be waiting there at any time.
 */
inline pass_byte(d)
{
	if
	:: broken[d] -> printf("direction %d: byte %d dropped by a broken source\n", d, at[d])
	:: !broken[d] && len(ingress_skb[d]) == 0 -> ingress_msg[d]!at[d]; DATA_READY(d)
	:: !broken[d] && (DIRS == 1 || len(ingress_skb[d]) > 0) -> ingress_skb[d]!PASSED,at[d]
	fi
}

/*
 * sk_psock_skb_redirect; before it bpf_sk_redirect_hash, which says SK_DROP for a socket that is
 * not in the map. The program passes instead; here it shall never come to that.
 */
inline redirect_byte(d)
{
	if
	:: enrolled[1 - d] && !broken[1 - d] -> ingress_skb[1 - d]!REDIRECTED,at[d]
	:: else -> printf("direction %d: byte %d dropped, no destination\n", d, at[d])
	fi
}

/* What the program counts is seen before the skb is where it belongs. */
inline redirect_segment(d)
{
	atomic {
		printf("direction %d: verdict redirects %d\n", d, SEGMENT_START(d));
		redirected[d] = redirected[d] + SEG;
		budget[d] = budget[d] + SEG;
#ifndef NO_QUEUED		/* shown by what comes of it: a flow that hangs */
		bounded = BACKLOG(d) + QUEUED(1 - d) <= WINDOW;
		assert(bounded);
		fits = BACKLOG(d) <= ROOM(1 - d);
		assert(fits)
#endif
	};
	atomic { EACH_BYTE(d, redirect_byte(d)) }
}

/* What proxyd will send is in no account of the verdict's: it makes the budget stale. */
inline pass_segment(d)
{
	atomic {
		printf("direction %d: verdict passes %d\n", d, SEGMENT_START(d));
		wake[d] = wake[d] || (saw_lane[d] == KERNEL && passed[d] == saw_relayed[d]);
		passed[d] = passed[d] + SEG;
#ifndef NO_LOOK_AFTER_PASS
		budget[d] = WINDOW	/* look before the next redirect */
#endif
	};
	atomic { EACH_BYTE(d, pass_byte(d)) }
}

inline judge_segment(d)
{
	look_at_proxyd(d);
	if
	:: KERNEL_ALLOWED(d) && (redirected[d] == 0 || !IN_WINDOW(d)) ->
		look_at_destination(d);
		look_at_proxyd(d)
	:: else
	fi;
	if
	:: KERNEL_ALLOWED(d) && IN_WINDOW(d) ->
		redirect_segment(d)
	:: else ->
		look_at_proxyd(d);
		pass_segment(d)
	fi;
	atomic { saw_lane[d] = RELAY; saw_relayed[d] = 0; saw_written[d] = 0 }
}

/* sk_psock_verdict_data_ready, tcp_read_skb: a verdict on each skb in the receive queue. */
inline data_ready(d)
{
	do
	:: enrolled[d] && judged[d] < arrived[d] -> judge_segment(d)
	:: else -> break
	od
}

/*
 * A FIN without data comes as an skb of length 0. It has to be dropped, which loses nothing:
 * tcp_fin has run. In a backlog, passed or redirected, it makes the worker see a send of 0 bytes,
 * which it takes for an error.
 */
inline judge_bare_fin(d)
{
#if defined(NO_DROP_BUT_PASS)
	if
	:: enrolled[d] && len(ingress_skb[d]) > 0 -> ingress_skb[d]!BARE_FIN,0
	:: else
	fi
#elif defined(NO_DROP_BUT_REDIRECT)
	if
	:: PAIRED && lane[d] == KERNEL && passed[d] == relayed[d] ->
		ingress_skb[1 - d]!BARE_FIN,0
	:: else
	fi
#else
	skip
#endif
}

/* ------------------------------------------------------------------------------------------------
 * The other actors
 * ---------------------------------------------------------------------------------------------- */

/*
 * The writing application, and tcp_data_queue on the source. The FIN comes with the last data or
 * alone; tcp_fin tells proxyd before the verdict on what came with it. A patient writer sends it
 * only when all has been delivered: then it makes up for no wake-up that was lost.
 */
proctype writer(byte d)
{
	bool fin, patient;

	do
	:: arrived[d] < LENGTH(d) && UNREAD(d) < RCVBUF ->
		TOGETHER {
			atomic {
				LOCK(d);
				arrived[d] = arrived[d] + SEG;
				if
				:: arrived[d] == LENGTH(d) ->
					printf("direction %d: FIN behind the last byte\n", d);
					fin = true; rdhup[d] = true; hup[d] = true
				:: arrived[d] == LENGTH(d) -> patient = true
				:: true
				fi;
				if
				:: !enrolled[d] -> DATA_READY(d)
				:: else
				fi
			};
			data_ready(d);
			UNLOCK(d)
		}
	:: arrived[d] == LENGTH(d) && !fin && (!patient || delivered[d] == LENGTH(d)) ->
		fin = true;
		TOGETHER {
			atomic {
				LOCK(d);
				printf("direction %d: bare FIN\n", d);
				rdhup[d] = true; hup[d] = true
			};
			atomic { judge_bare_fin(d); UNLOCK(d) }
		}
	:: fin -> break
	od
}

/* sk_psock_backlog of one socket: in order, and what is to be sent waits for room to send. */
proctype worker(byte s)
{
	byte b;

end:	do
	:: atomic {
		ingress_skb[s]?[REDIRECTED, b] && (ROOM(s) > 0 || shut[s]) ->
		ingress_skb[s]?REDIRECTED,b;
		if
		:: shut[s] -> printf("socket %d: byte %d dropped behind the FIN\n", s, b)
		:: else ->
			printf("socket %d: worker sends %d\n", s, b);
			sendq[s]!b;
			written[s]++
		fi;
		b = 0 }
	:: atomic {
		ingress_skb[s]?PASSED,b ->
		printf("socket %d: worker hands %d to recv\n", s, b);
		ingress_msg[s]!b;
		DATA_READY(s);
		b = 0 }
	:: atomic {
		ingress_skb[s]?BARE_FIN,_ ->
		printf("socket %d: worker sends 0 bytes, EPIPE\n", s);
		broken[s] = true;
		break }
	od
}

/* The reading application. SEND_FIRST: a client that reads nothing until it has sent everything. */
proctype reader(byte d)
{
	byte b;

#ifdef SEND_FIRST
	if
	:: d == 1 -> arrived[0] == UP
	:: else
	fi;
#endif
	do
	:: atomic {
		sendq[1 - d]?b ->
		printf("direction %d: reader gets %d\n", d, b);
		in_order = b == delivered[d];
		assert(in_order);
		delivered[d]++;
		b = 0 }
	:: atomic {
		shut[1 - d] && QUEUED(1 - d) == 0 ->
		printf("direction %d: reader gets the FIN\n", d);
		fin_last = delivered[d] == LENGTH(d);
		assert(fin_last);
		finished[d] = true;
		break }
	od
}

