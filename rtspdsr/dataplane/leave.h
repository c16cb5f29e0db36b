/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one way out, and the clock. */
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

/* The coarse clock (a third of the price of the other), read once a packet at most. */
static __always_inline __u64 now(struct packet *packet)
{
	if (!packet->now)
		packet->now = bpf_ktime_get_coarse_ns();
	return packet->now;
}

#endif
