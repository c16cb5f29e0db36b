/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one way out. */
#ifndef RTSPDSR_LEAVE_H
#define RTSPDSR_LEAVE_H

#include "maps.h"
#include "parse.h"

/* Count why a packet left, and leave. */
static __always_inline int leave(enum verdict why, int action)
{
	__u32 key = why;
	__u64 *packets = bpf_map_lookup_elem(&verdicts, &key);

	if (packets)
		*packets += 1; /* per CPU: no other writer */
	return action;
}

#endif
