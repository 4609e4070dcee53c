/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_WAY_BACK_H
#define PROXYD_WAY_BACK_H

/*
 * Ask the kernel's routing whether a packet with that mark is delivered here, although its address
 * (one of those that are kept for documentation) is nobody's: so must be what servers send to a
 * client whose address proxyd has taken. Returns 1, 0, or -errno.
 */
int way_back_leads_here(int family, unsigned int mark);

/* Whether sockets may have others' addresses (IP_TRANSPARENT). Returns 0 or -errno. */
int way_back_may_pretend(void);

#endif
