/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_MARK_H
#define SIDELANE_MARK_H

/* Bits of packet marks (SO_MARK, `meta mark`) that are proxyd's. */

#define SL_MARK_OWN   0x01000000u /* of proxyd's own connections: no rule takes them */
#define SL_MARK_LOCAL 0x02000000u /* of packets that are delivered here, whatever their address */

#endif
