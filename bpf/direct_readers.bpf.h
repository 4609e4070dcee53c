/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_DIRECT_READERS_BPF_H
#define SIDELANE_DIRECT_READERS_BPF_H

/*
 * Whether a thread may be on its way into a recv.
 *
 * One that has begun a recv before its socket was enrolled, and waits for the socket's lock or for
 * a processor, knows TCP's queue alone (tcp_recvmsg, 6.18): bytes in the direct queue and a FIN
 * that come meanwhile would be an end of stream to it. The socket shows nothing of such a call. Its
 * threads do: one that sleeps interruptibly or that last entered the kernel for something that
 * reads nothing is in no recv, and the one that it makes next meets the socket's new operations.
 */

#include "direct.bpf.h"
#include "sidelane/direct.h"

struct bpf_iter_task {
	__u64 opaque[3];
} __attribute__((aligned(8)));

extern struct task_struct *bpf_task_from_pid(int pid) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;
extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task,
			     unsigned int flags) __ksym; /* 6.7, and the next two */
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __ksym;

#define BPF_TASK_ITER_PROC_THREADS 2

#define TASK_INTERRUPTIBLE         1
#define TASK_UNINTERRUPTIBLE       2
#define PF_IO_WORKER               0x00000010
#define PF_USER_WORKER             0x00004000
#define PF_KTHREAD                 0x00200000

#define SEEN_NS                    1000
#define LOOK_NS                    20000
#define LOOKS                      100

/* System calls of x86-64 that read from no socket, of those that servers and clients make most. */
static __always_inline int reads_nothing(long number)
{
	switch (number) {
	case 1:   /* write */
	case 3:   /* close */
	case 7:   /* poll */
	case 20:  /* writev */
	case 23:  /* select */
	case 35:  /* nanosleep */
	case 40:  /* sendfile */
	case 41:  /* socket */
	case 42:  /* connect */
	case 43:  /* accept */
	case 44:  /* sendto */
	case 46:  /* sendmsg */
	case 48:  /* shutdown */
	case 54:  /* setsockopt */
	case 55:  /* getsockopt */
	case 72:  /* fcntl */
	case 202: /* futex */
	case 230: /* clock_nanosleep */
	case 232: /* epoll_wait */
	case 233: /* epoll_ctl */
	case 257: /* openat */
	case 270: /* pselect6 */
	case 271: /* ppoll */
	case 281: /* epoll_pwait */
	case 288: /* accept4 */
	case 441: /* epoll_pwait2 */
		return 1;
	default:
		return number < 0; /* none: interrupted in user mode (asm_common_interrupt, 6.18) */
	}
}

/*
 * In user mode the registers that it saved when it last entered the kernel still say why; a recv
 * that it has returned from counts, too. If it enters one now, it does so after this look.
 */
static __always_inline int is_elsewhere(struct task_struct *task)
{
	unsigned int state = task->__state;
	struct pt_regs *registers;

	if (task->flags & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER) || task->io_uring)
		return 0;
	if (task->exit_state ||
	    (state & (TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)) == TASK_INTERRUPTIBLE)
		return 1;
	registers = (struct pt_regs *)bpf_task_pt_regs(task);
	return bpf_core_field_exists(registers->orig_ax) && reads_nothing(registers->orig_ax);
}

__noinline int all_elsewhere(int pid)
{
	struct task_struct *process = bpf_task_from_pid(pid), *thread;
	struct bpf_iter_task it;
	int answer = 1;

	if (!process)
		return 1;
	bpf_iter_task_new(&it, process, BPF_TASK_ITER_PROC_THREADS);
	while (answer && (thread = bpf_iter_task_next(&it)))
		answer = is_elsewhere(thread);
	bpf_iter_task_destroy(&it);
	bpf_task_release(process);
	return answer;
}

/*
 * Since the socket was given new operations, under its lock, every thread that holds it was seen
 * elsewhere than in a recv. What a thread on another processor does is seen here a moment after,
 * and it may have come before the operations. Global functions, and few looks: the verifier goes
 * through each.
 */
__noinline int all_have_left(const struct sl_end *end)
{
	__u64 begin = bpf_ktime_get_ns() + SEEN_NS, until = begin + LOOK_NS;
	int left = 0;

	if (!end || !end->holders || end->holders > SL_HOLDERS)
		return 0;
	for (int i = 0; i < LOOKS && bpf_ktime_get_ns() < begin; i++)
		;
	for (int i = 0; i < LOOKS && !left && bpf_ktime_get_ns() < until; i++) {
		left = 1;
		for (__u32 k = 0; k < SL_HOLDERS && k < end->holders; k++)
			left &= all_elsewhere(end->holder[k]);
	}
	return left;
}

#endif
