/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_INTERCEPTIONS_H
#define PROXYD_INTERCEPTIONS_H

#include "probe/doctor.h"

/* Add a finding for each way in which connections can be brought to a listener. */
void interceptions_examine(struct report *report);

#endif
