/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_FIONREAD_H
#define PROXYD_FIONREAD_H

/*
 * What ioctl(FIONREAD) says of a socket in the direct lane. Before the kernels that count direct
 * bytes it counts those that came by TCP alone; 6.6.128 to .., 6.12.75 to .113 and 6.18.14 and
 * later count the direct queue alone, to which a verdict program moves what comes by TCP. nginx,
 * for one, waits for ever when the answer is too low.
 */

enum fionread {
	FIONREAD_RIGHT,  /* counts both */
	FIONREAD_MENDED, /* does when a verdict program passes all that comes */
	FIONREAD_WRONG,
	FIONREAD_UNKNOWN, /* it could not be tried */
};

/* Try it out, on a connection over loopback. */
enum fionread fionread_try(void);

#endif
