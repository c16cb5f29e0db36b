/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Is an address a VIP of ours, and of which service? vips.py fills the table that is searched here, by the
 * same hash.
 */
#ifndef RTSPDSR_VIP_H
#define RTSPDSR_VIP_H

#include "maps.h"
#include "parse.h"

static __always_inline bool same_address(const struct address *one, const struct address *other)
{
	return one->words[3] == other->words[3] && one->words[2] == other->words[2] &&
	       one->words[1] == other->words[1] && one->words[0] == other->words[0];
}

/* Fibonacci hashing of the address, folded; its high bits are the place. */
static __always_inline __u32 place_of(const struct address *vip)
{
	__u32 folded = vip->words[0] ^ vip->words[1] ^ vip->words[2] ^ vip->words[3];

	return folded * 2654435769u / (__u32)((1ULL << 32) / VIP_PLACES);
}

/* The service of a VIP, NULL if the address is none. */
static __always_inline struct service *service_of(const struct address *address)
{
	__u32 first = place_of(address);

	for (int i = 0; i < VIP_PROBES; i++) {
		__u32 place = (first + i) % VIP_PLACES;
		struct vip *vip = bpf_map_lookup_elem(&vips, &place);

		if (!vip || vip->state == VIP_FREE)
			return NULL;
		if (same_address(&vip->address, address))
			return vip->state == VIP_SERVED ? &vip->service : NULL;
	}
	return NULL;
}

/* The same question as a call, for what may be slow. (A global function: the verifier looks at it once.) */
__noinline bool is_vip(const struct address *address)
{
	return address && service_of(address);
}

#endif
