/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which backend a packet goes to: pin -> flow -> client -> newcomer -> slot. Nothing here alters the
 * frame; remember() alone writes maps, for a SYN.
 *
 * A tier is passed over if its backend will not do. A SYN wants one that is resolved and up, so that a new
 * connection of a client whose backend is down is placed anew. Any other packet belongs to something that
 * exists: it prefers a backend that is up (the flow of a SYN that was placed anew, over the pin that was
 * left), but follows its own as long as that can be reached at all.
 */
#ifndef RTSPDSR_CHOOSE_H
#define RTSPDSR_CHOOSE_H

#include "maps.h"
#include "parse.h"

#define REACHABLE BACKEND_RESOLVED
#define USABLE (BACKEND_RESOLVED | BACKEND_UP)

struct choice {
	struct backend *backend; /* NULL: none, and rule says why */
	struct pin *pin;	 /* the pin that was followed */
	__u32 id;
	enum verdict rule;
	bool pinned; /* a pin exists, followed or not */
};

static __always_inline bool take(struct choice *choice, __u32 id, __u16 wanted, enum verdict rule)
{
	struct backend *backend = bpf_map_lookup_elem(&backends, &id);

	if (!backend || (backend->flags & wanted) != wanted)
		return false;
	choice->backend = backend;
	choice->id = id;
	choice->rule = rule;
	return true;
}

/* MurmurHash3's finalizer: every bit of the address counts for every bit of the hash. */
static __always_inline __u64 mix(__u64 value)
{
	value ^= value >> 33;
	value *= 0xff51afd7ed558ccdULL;
	value ^= value >> 33;
	value *= 0xc4ceb9fe1a85ec53ULL;
	value ^= value >> 33;
	return value;
}

/* The slot of a client. Its address alone counts: TCP, UDP and fragments of a client agree. */
static __always_inline __u32 slot_of(const struct address *client)
{
	__u64 high = (__u64)bpf_ntohl(client->words[0]) << 32 | bpf_ntohl(client->words[1]);
	__u64 low = (__u64)bpf_ntohl(client->words[2]) << 32 | bpf_ntohl(client->words[3]);

	return mix(mix(high) ^ low) % SLOT_COUNT;
}

static __always_inline bool by_slot(struct choice *choice, const struct client_key *key)
{
	struct slot_table *table = bpf_map_lookup_elem(&slot_tables, &key->service);
	__u32 index, *id;

	if (!table || !table->filled)
		return false;
	index = table->base + slot_of(&key->client);
	id = bpf_map_lookup_elem(&slots, &index);
	/* The last tier: health may be mistaken about all of them, so one that is down is better than none. */
	return id && take(choice, *id, REACHABLE, VERDICT_BY_SLOT);
}

/* By the client's address alone: the tiers that need no port. */
static __noinline bool by_client(struct choice *choice, const struct flow_key *flow, __u16 wanted)
{
	struct client_key key = {.client = flow->client, .service = flow->service};
	struct newcomer *newcomer;
	__u32 *id;

	id = bpf_map_lookup_elem(&clients, &key);
	if (id && take(choice, *id, wanted, VERDICT_BY_CLIENT))
		return true;
	newcomer = bpf_map_lookup_elem(&newcomers, &key);
	if (newcomer && take(choice, newcomer->backend, wanted, VERDICT_BY_NEWCOMER))
		return true;
	if (by_slot(choice, &key))
		return true;
	choice->rule = VERDICT_NO_BACKEND;
	return false;
}

static __always_inline bool is_served(const struct service *service, __be16 port)
{
#pragma unroll
	for (int i = 0; i < SERVICE_PORTS; i++)
		if (service->ports[i] == port)
			return port != 0;
	return false;
}

/* A connection that the pin alone does not settle. */
static __noinline bool by_connection(struct choice *choice, const struct packet *packet, struct pin *pin)
{
	__u16 wanted = is_syn(packet) ? USABLE : REACHABLE;
	struct flow *flow = bpf_map_lookup_elem(&flows, &packet->flow);

	/* A SYN with another initial number is another connection: it follows its client, like all new ones. */
	if (flow && is_syn(packet) && flow->initial != packet->sequence)
		flow = NULL;
	if (flow && take(choice, flow->backend, USABLE, VERDICT_BY_FLOW))
		return true;
	if (pin && take(choice, pin->backend, wanted, VERDICT_PINNED)) {
		choice->pin = pin;
		return true;
	}
	if (flow && take(choice, flow->backend, wanted, VERDICT_BY_FLOW))
		return true;
	return by_client(choice, &packet->flow, wanted);
}

/* The backend of a packet. Without one, choice->rule is the verdict that it is dropped under. */
static __always_inline bool choose(struct choice *choice, const struct packet *packet,
				   const struct service *service)
{
	struct pin *pin;

	if (packet->portless)
		return by_client(choice, &packet->flow, REACHABLE);
	pin = bpf_map_lookup_elem(&pins, &packet->flow);
	choice->pinned = pin;
	if (pin && take(choice, pin->backend, USABLE, VERDICT_PINNED)) {
		choice->pin = pin;
		return true;
	}
	if (packet->flow.proto == IPPROTO_TCP) {
		/* A pin proves the port. */
		if (!pin && !is_served(service, packet->flow.service_port)) {
			choice->rule = VERDICT_NOT_SERVED;
			return false;
		}
		return by_connection(choice, packet, pin);
	}
	if (pin && take(choice, pin->backend, REACHABLE, VERDICT_PINNED)) {
		choice->pin = pin;
		return true;
	}
	return by_client(choice, &packet->flow, REACHABLE);
}

/* Write down where a SYN went, so that what follows it goes there, and its client's UDP as well. */
static __noinline void remember(const struct packet *packet, const struct choice *choice)
{
	struct client_key key = {.client = packet->flow.client, .service = packet->flow.service};
	struct newcomer newcomer = {.backend = choice->id};
	struct flow flow = {.initial = packet->sequence, .backend = choice->id};
	struct flow *known = bpf_map_lookup_elem(&flows, &packet->flow);

	/* A SYN sent again does not make its connection younger. */
	if (known && known->initial == packet->sequence)
		flow.opened_at = known->opened_at;
	else
		flow.opened_at = bpf_ktime_get_coarse_ns();
	bpf_map_update_elem(&flows, &packet->flow, &flow, BPF_ANY);
	if (choice->rule != VERDICT_BY_CLIENT)
		bpf_map_update_elem(&newcomers, &key, &newcomer, BPF_ANY);
}

/* Would the packet loop? A pinned flow is a client's, so there only its own backend is looked at. */
static __always_inline bool is_from_backend(const struct packet *packet, const struct choice *choice)
{
	struct mac_key key = {};
	const __u16 *mac = (const __u16 *)choice->backend->mac;
	const __u16 *source = packet->link->source;

	if (source[2] == mac[2] && source[1] == mac[1] && source[0] == mac[0])
		return true;
	if (choice->pin)
		return false;
	__builtin_memcpy(key.octets, packet->link->source, sizeof(key.octets));
	return bpf_map_lookup_elem(&backend_macs, &key);
}

#endif
