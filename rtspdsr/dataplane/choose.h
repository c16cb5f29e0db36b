/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which backend a packet goes to: pin -> flow -> client -> newcomer -> slot, or turn. Nothing here alters the
 * frame; only a SYN makes it write maps.
 *
 * A tier is passed over if its backend will not do. A SYN wants one that is resolved and up, so that a new
 * connection of a client whose backend is down is placed anew. Any other packet belongs to something that
 * exists: it prefers a backend that is up (the flow of a SYN that was placed anew, over the pin that was
 * left), but follows its own as long as that can be reached at all.
 *
 * A SYN that no tier settles is of a new client, and the service's schedule places it: by its slot, or by the
 * next turn, at a backend that has room. What is no SYN goes by slot, which every packet can tell anew.
 */
#ifndef RTSPDSR_CHOOSE_H
#define RTSPDSR_CHOOSE_H

#include "maps.h"
#include "parse.h"

#define REACHABLE BACKEND_RESOLVED
#define USABLE (BACKEND_RESOLVED | BACKEND_UP)

#define NEWCOMER_NS (30ULL * 1000 * 1000 * 1000) /* a client without a session is new again after so long */
#define TURN_TRIES 8 /* turns whose backends will not do, before slots are asked */

struct choice {
	struct backend *backend; /* NULL: none, and rule says why */
	struct pin *pin;	 /* the pin that was followed */
	__u32 id;
	enum verdict rule;
	bool pinned; /* a pin exists, followed or not */
	bool known;  /* where its client goes is written down */
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

/*
 * The slot of a client. Its address alone counts: TCP, UDP and fragments of a client agree. Where connections
 * are placed by themselves, their port counts too; else it is 0.
 */
static __always_inline __u32 slot_of(const struct address *client, __be16 port)
{
	__u64 high = (__u64)bpf_ntohl(client->words[0]) << 32 | bpf_ntohl(client->words[1]);
	__u64 low = (__u64)bpf_ntohl(client->words[2]) << 32 | bpf_ntohl(client->words[3]);

	return mix(mix(high) ^ low ^ (__u64)bpf_ntohs(port) << 32) % SLOT_COUNT;
}

/* The backend of a slot, 0 if there is none. */
static __always_inline __u32 slot_backend(const struct client_key *key, __be16 port)
{
	struct slot_table *table = bpf_map_lookup_elem(&slot_tables, &key->service);
	__u32 index, *id;

	if (!table || !table->filled)
		return 0;
	index = table->base + slot_of(&key->client, port);
	id = bpf_map_lookup_elem(&slots, &index);
	return id ? *id : 0;
}

static __always_inline bool is_sent_by_backend(const struct packet *packet)
{
	struct mac_key key = {};

	__builtin_memcpy(key.octets, packet->link->source, sizeof(key.octets));
	return bpf_map_lookup_elem(&backend_macs, &key);
}

static __always_inline bool tracker_lives(__u64 now)
{
	__u32 key = 0;
	struct control *page = bpf_map_lookup_elem(&control, &key);

	return page && page->alive_until >= now;
}

/* Place a new client, if the backend is up and has room. All CPUs draw on the same room. */
static __always_inline bool admit(struct choice *choice, __u32 id, enum verdict rule)
{
	struct room *room = bpf_map_lookup_elem(&rooms, &id);
	__u64 *admitted = bpf_map_lookup_elem(&admissions, &id);

	if (!room || !admitted || (room->limited && *admitted >= room->until))
		return false;
	if (!take(choice, id, USABLE, rule))
		return false;
	return __sync_fetch_and_add(admitted, 1) < room->until || !room->limited;
}

/* By the next turn whose backend will do. A turn is dealt to one SYN, on whatever CPU. */
static __always_inline bool by_turn(struct choice *choice, __u32 service, const struct schedule *schedule)
{
	__u64 *taken = bpf_map_lookup_elem(&turns_taken, &service), turn;
	__u32 index, *id;

	if (!taken || !schedule->count)
		return false;
	for (int i = 0; i < TURN_TRIES; i++) {
		turn = __sync_fetch_and_add(taken, 1) - schedule->begins;
		if (schedule->flags & SCHEDULE_REPEATS)
			turn %= schedule->count;
		else if (turn >= schedule->count)
			return false;
		index = schedule->base + turn;
		id = bpf_map_lookup_elem(&turns, &index);
		if (id && admit(choice, *id, VERDICT_BY_TURN))
			return true;
	}
	return false;
}

/* An answer of by_schedule(). */
static __always_inline __u64 placed(__u32 id, enum verdict rule)
{
	return (__u64)rule << 32 | id;
}

/*
 * Where a new client goes, as its service's schedule has it: the backend, 0 if there is none, and above it the
 * rule. (A global function: the verifier looks at it once, not once for every way that leads here.)
 */
__noinline __u64 by_schedule(const struct client_key *key, __u32 port)
{
	struct choice choice = {};
	struct schedule *schedule;
	bool turns_first;
	__u32 slot;

	if (!key)
		return placed(0, VERDICT_NO_BACKEND);
	schedule = bpf_map_lookup_elem(&schedules, &key->service);
	if (!schedule)
		return placed(0, VERDICT_NO_BACKEND);
	slot = slot_backend(key, port);
	turns_first = schedule->flags & SCHEDULE_BY_TURN;
	if (!turns_first && admit(&choice, slot, VERDICT_BY_SLOT))
		return placed(slot, VERDICT_BY_SLOT);
	if (by_turn(&choice, key->service, schedule))
		return placed(choice.id, VERDICT_BY_TURN);
	if (turns_first && admit(&choice, slot, VERDICT_BY_SLOT))
		return placed(slot, VERDICT_BY_SLOT);
	/* Health may be mistaken about all of them: one that is down is better than none. One that is up is full. */
	if (!take(&choice, slot, REACHABLE, VERDICT_BY_SLOT))
		return placed(0, VERDICT_NO_BACKEND);
	if (choice.backend->flags & BACKEND_UP && tracker_lives(bpf_ktime_get_coarse_ns()))
		return placed(0, VERDICT_NO_ROOM);
	return placed(slot, VERDICT_BY_SLOT);
}

/* A newcomer without sessions is soon new again; but while the tracker is dead nobody tells of sessions. */
static __always_inline bool is_fresh(const struct newcomer *newcomer)
{
	__u64 now = bpf_ktime_get_coarse_ns();

	return newcomer->placed_at + NEWCOMER_NS > now || !tracker_lives(now);
}

/* Write down where a new client goes. If two CPUs place it at one time, the second follows the first. */
static __always_inline void settle(struct choice *choice, const struct client_key *key)
{
	struct newcomer mine = {.placed_at = bpf_ktime_get_coarse_ns(), .backend = choice->id}, *other;

	choice->known = true;
	if (!bpf_map_update_elem(&newcomers, key, &mine, BPF_NOEXIST))
		return;
	other = bpf_map_lookup_elem(&newcomers, key);
	if (other && is_fresh(other) && take(choice, other->backend, USABLE, VERDICT_BY_NEWCOMER))
		return;
	bpf_map_update_elem(&newcomers, key, &mine, BPF_ANY);
}

static __always_inline bool goes_alone(const struct packet *packet)
{
	__u32 service = packet->flow.service;
	struct schedule *schedule = bpf_map_lookup_elem(&schedules, &service);

	return schedule && schedule->flags & SCHEDULE_BY_CONNECTION && packet->flow.proto == IPPROTO_TCP &&
	       !packet->portless;
}

/* By the client's address: the tiers that need no port, but where each connection is placed by itself. */
static __noinline bool by_client(struct choice *choice, const struct packet *packet)
{
	struct client_key key = {.client = packet->flow.client, .service = packet->flow.service};
	bool opens = is_syn(packet), alone = goes_alone(packet);
	__u16 wanted = opens ? USABLE : REACHABLE;
	__be16 port = alone ? packet->flow.client_port : 0;
	struct newcomer *newcomer;
	__u64 place;
	__u32 *id;

	if (!alone) {
		id = bpf_map_lookup_elem(&clients, &key);
		choice->known = id && take(choice, *id, wanted, VERDICT_BY_CLIENT);
		if (choice->known)
			return true;
		newcomer = bpf_map_lookup_elem(&newcomers, &key);
		choice->known = newcomer && (!opens || is_fresh(newcomer)) &&
				take(choice, newcomer->backend, wanted, VERDICT_BY_NEWCOMER);
		if (choice->known)
			return true;
	}
	if (opens) {
		if (is_sent_by_backend(packet)) {
			choice->rule = VERDICT_FROM_BACKEND; /* it takes nobody's place */
			return false;
		}
		place = by_schedule(&key, port);
		choice->rule = place >> 32;
		if (!(__u32)place || !take(choice, place, REACHABLE, choice->rule))
			return false;
		if (!alone)
			settle(choice, &key);
		return true;
	}
	choice->rule = VERDICT_NO_BACKEND;
	return take(choice, slot_backend(&key, port), REACHABLE, VERDICT_BY_SLOT);
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
	return by_client(choice, packet);
}

/* The backend of a packet. Without one, choice->rule is the verdict that it is dropped under. */
static __always_inline bool choose(struct choice *choice, const struct packet *packet,
				   const struct service *service)
{
	struct pin *pin;

	if (packet->portless)
		return by_client(choice, packet);
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
	return by_client(choice, packet);
}

/* Write down where a SYN went, so that what follows it goes there, and its client's UDP as well. */
static __noinline void remember(const struct packet *packet, const struct choice *choice)
{
	struct client_key key = {.client = packet->flow.client, .service = packet->flow.service};
	struct newcomer newcomer = {.placed_at = bpf_ktime_get_coarse_ns(), .backend = choice->id};
	struct flow flow = {.initial = packet->sequence, .backend = choice->id};
	struct flow *known = bpf_map_lookup_elem(&flows, &packet->flow);

	/* A SYN sent again does not make its connection younger. */
	if (known && known->initial == packet->sequence)
		flow.opened_at = known->opened_at;
	else
		flow.opened_at = newcomer.placed_at;
	bpf_map_update_elem(&flows, &packet->flow, &flow, BPF_ANY);
	if (!choice->known)
		bpf_map_update_elem(&newcomers, &key, &newcomer, BPF_ANY);
}

/* Would the packet loop? A pinned flow is a client's, so there only its own backend is looked at. */
static __always_inline bool is_from_backend(const struct packet *packet, const struct choice *choice)
{
	const __u16 *mac = (const __u16 *)choice->backend->mac;
	const __u16 *source = packet->link->source;

	if (source[2] == mac[2] && source[1] == mac[1] && source[0] == mac[0])
		return true;
	return !choice->pin && is_sent_by_backend(packet);
}

#endif
