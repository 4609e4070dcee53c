/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_DIRECT_READERS_BPF_H
#define SIDELANE_DIRECT_READERS_BPF_H

/*
 * Whether a thread may be in a recv on a socket, or on its way into one.
 *
 * One that has begun a recv before its socket was enrolled, and waits for the socket's lock, for a
 * processor, or for bytes, knows TCP's queue alone (tcp_recvmsg, 6.18): bytes in the direct queue
 * and a FIN that come meanwhile would be an end of stream to it. The socket shows nothing of such a
 * call. Its threads do: the registers that a thread saved when it entered the kernel say what for.
 * If that reads from no socket, the thread is in no recv, and the one that it makes next meets the
 * socket's new operations.
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

/* Processes with more stay out: the socket's lock is held while all are looked at. */
#define THREADS_MAX 64

#define SEEN_NS     1000
#define LOOK_NS     20000
#define LOOKS       100

/*
 * System calls that read from no socket, of those that servers and clients make most. Numbers of
 * x86-64; those of i386 are others, but none of these numbers reads there either.
 */
static __always_inline int reads_nothing(int number)
{
	switch (number) {
	case 1:   /* write */
	case 7:   /* poll */
	case 20:  /* writev */
	case 23:  /* select */
	case 35:  /* nanosleep */
	case 41:  /* socket */
	case 42:  /* connect */
	case 43:  /* accept */
	case 44:  /* sendto */
	case 46:  /* sendmsg */
	case 48:  /* shutdown */
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
		return number == -1; /* user mode, interrupted (entry_64.S, 6.18) */
	}
}

/* Those that read from the descriptor which is their first argument, of x86-64. */
static __always_inline int reads_first_argument(int number)
{
	switch (number) {
	case 0:   /* read */
	case 19:  /* readv */
	case 45:  /* recvfrom */
	case 47:  /* recvmsg */
	case 275: /* splice */
	case 299: /* recvmmsg */
	case 327: /* preadv2 */
		return 1;
	default:
		return 0;
	}
}

/* Others in which a thread may sleep for what comes to a socket; i386's first. */
static __always_inline int waits_for_bytes(int number)
{
	switch (number) {
	case 3:   /* read */
	case 102: /* socketcall */
	case 145: /* readv */
	case 187: /* sendfile */
	case 239: /* sendfile64 */
	case 313: /* splice */
	case 337: /* recvmmsg */
	case 371: /* recvfrom */
	case 372: /* recvmsg */
	case 378: /* preadv2 */
	case 417: /* recvmmsg_time64 */
	case 40:  /* sendfile */
	case 55:  /* getsockopt */
	case 426: /* io_uring_enter */
		return 1;
	default:
		return 0;
	}
}

static __always_inline int is_descriptor(const struct sl_end *end, __u32 fd)
{
	int is = 0;

	for (__u32 i = 0; i < SL_HOLDERS; i++)
		is |= i < end->holders && end->holder[i].fd == fd;
	return is;
}

/*
 * In user mode the registers still tell of the last entry; a recv from which the thread has
 * returned counts, too. If it enters one now, it does so after this look.
 */
static __always_inline int is_elsewhere(struct task_struct *task, const struct sl_end *end)
{
	unsigned int state = task->__state & (TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE);
	struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(task);
	int number;

	if (task->exit_state)
		return 1;
	if (!bpf_core_field_exists(registers->orig_ax))
		return 0;
	number = (int)registers->orig_ax;
	if (reads_first_argument(number))
		return !is_descriptor(end, (__u32)registers->di);
	return state == TASK_INTERRUPTIBLE ? !waits_for_bytes(number) : reads_nothing(number);
}

/* A thread of the kernel may read for it. */
static __always_inline int has_help(struct task_struct *task)
{
	return task->flags & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER) || task->io_uring;
}

/* `permanent`: only whether the process is one that can be looked at. */
__noinline int all_elsewhere(const struct sl_end *end, int tgid, int permanent)
{
	struct task_struct *process = end ? bpf_task_from_pid(tgid) : NULL, *thread;
	struct bpf_iter_task it;
	int answer;

	if (!process)
		return 0;
	answer = process->signal->nr_threads <= THREADS_MAX;
	bpf_iter_task_new(&it, process, BPF_TASK_ITER_PROC_THREADS);
	while (answer && (thread = bpf_iter_task_next(&it)))
		answer = !has_help(thread) && (permanent || is_elsewhere(thread, end));
	bpf_iter_task_destroy(&it);
	bpf_task_release(process);
	return answer;
}

__noinline int still_holds(int pid, __u32 fd, __u64 file)
{
	struct task_struct *task = bpf_task_from_pid(pid);
	struct files_struct *files;
	struct fdtable *table = NULL;
	struct file **place = NULL, *held = NULL;
	__u32 size = 0;

	if (!task)
		return 0;
	files = task->files;
	if (files)
		bpf_core_read(&table, sizeof(table), &files->fdt);
	bpf_core_read(&size, sizeof(size), &table->max_fds);
	bpf_core_read(&place, sizeof(place), &table->fd);
	if (fd < size)
		bpf_probe_read_kernel(&held, sizeof(held), place + fd);
	bpf_task_release(task);
	return (__u64)held == file;
}

__noinline int references_to_file(__u64 file)
{
	struct file *now = (struct file *)file;
	struct file___old *old = (struct file___old *)file;
	__s64 count = 0;

	if (bpf_core_field_exists(now->f_ref)) {
		bpf_core_read(&count, sizeof(count), &now->f_ref.refcnt.counter);
		return (int)count + 1;
	}
	bpf_core_read(&count, sizeof(count), &old->f_count.counter);
	return (int)count;
}

/*
 * The descriptors that were found are all that there are: nobody has forked since, passed one on,
 * or is in a call with a reference of its own.
 */
static __always_inline int holders_are_known(const struct sl_end *end, __u64 file)
{
	int known = end->holders && end->holders <= SL_HOLDERS &&
		    references_to_file(file) == (int)end->holders;

	for (__u32 i = 0; i < SL_HOLDERS && i < end->holders; i++)
		known &= still_holds(end->holder[i].pid, end->holder[i].fd, file);
	return known;
}

__noinline int look(const struct sl_end *end, __u64 file, int permanent)
{
	if (!end || !file || !holders_are_known(end, file))
		return 0;
	for (__u32 i = 0; i < SL_HOLDERS && i < end->holders; i++)
		if (!all_elsewhere(end, end->holder[i].tgid, permanent))
			return 0;
	return 1;
}

/* Whether it is worth a try: one that cannot be is not to be touched. */
static __always_inline int may_enter(const struct sl_end *end, __u64 file)
{
	return look(end, file, 1);
}

__noinline int wait_until(__u64 then)
{
	for (int i = 0; i < LOOKS && bpf_ktime_get_ns() < then; i++)
		;
	return 0;
}

/*
 * Since the socket was given new operations, under its lock, every thread that holds it was seen
 * elsewhere than in a recv. What a thread on another processor does is seen here a moment after,
 * and it may have come before the operations. These are global functions for the verifier, which
 * then goes through each once.
 */
__noinline int all_have_left(const struct sl_end *end, __u64 file)
{
	__u64 begin = bpf_ktime_get_ns() + SEEN_NS;

	wait_until(begin);
	for (int i = 0; i < LOOKS && bpf_ktime_get_ns() < begin + LOOK_NS; i++)
		if (look(end, file, 0))
			return 1;
	return 0;
}

#endif
