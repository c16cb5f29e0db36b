/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP and ICMPv6 to a VIP: an echo request or a neighbour's message is answered, an error follows the flow
 * that is embedded in it to that session's backend, all else is not served.
 */
#ifndef RTSPDSR_ICMP_H
#define RTSPDSR_ICMP_H

#include "answer.h"
#include "leave.h"
#include "parse.h"
#include "vip.h"

#define UNREACHABLE 3
#define SOURCE_QUENCH 4
#define TIME_EXCEEDED 11
#define PARAMETER_PROBLEM 12
#define UNREACHABLE_V6 1
#define PARAMETER_PROBLEM_V6 4

static __always_inline bool is_echo_request(const struct packet *packet, const struct icmp *icmp)
{
	if (packet->type == bpf_htons(ETH_P_IP))
		return icmp->type == ECHO_REQUEST && !icmp->code;
	return icmp->type == ECHO_REQUEST_V6 && !icmp->code;
}

static __always_inline bool is_neighbour(const struct packet *packet, const struct icmp *icmp)
{
	return packet->type == bpf_htons(ETH_P_IPV6) &&
	       (icmp->type == ND_SOLICITATION || icmp->type == ND_ADVERTISEMENT);
}

static __always_inline bool is_error(const struct packet *packet, const struct icmp *icmp)
{
	if (packet->type == bpf_htons(ETH_P_IPV6))
		return icmp->type >= UNREACHABLE_V6 && icmp->type <= PARAMETER_PROBLEM_V6;
	return icmp->type == UNREACHABLE || icmp->type == SOURCE_QUENCH || icmp->type == TIME_EXCEEDED ||
	       icmp->type == PARAMETER_PROBLEM;
}

/*
 * The client's flow out of a packet of the backend's that could not be delivered: its source is the VIP, its
 * destination the client. GO_ON, or the verdict that the error is dropped under.
 */
static __always_inline enum verdict parse_embedded(struct xdp_md *ctx, struct packet *packet)
{
	struct packet inner = {
		.link = packet->link,
		.network = packet->transport + sizeof(struct icmp),
		.end = packet->end,
		.type = packet->type,
	};
	struct address vip, client;
	__be16 *ports;
	enum part part;

	if (!parse_destination(packet, &vip) || !parse_destination(&inner, &client) ||
	    !parse_datagram(ctx, &inner, &part))
		return VERDICT_TRUNCATED;
	ports = inner.transport;
	if ((void *)(ports + 2) > packet->end || (void *)(ports + 2) - packet->transport > packet->rest)
		return VERDICT_TRUNCATED;
	if (!same_address(&inner.flow.client, &vip) ||
	    (inner.flow.proto != IPPROTO_TCP && inner.flow.proto != IPPROTO_UDP))
		return VERDICT_NOT_SERVED;
	packet->kind = KIND_ICMP_ERROR;
	packet->portless = part == PART_LATER;
	packet->flow.client = client;
	packet->flow.proto = inner.flow.proto;
	packet->flow.client_port = ports[1];
	packet->flow.service_port = inner.flow.proto == IPPROTO_TCP ? ports[0] : 0;
	return GO_ON;
}

/* A message behind the addresses of a packet that is not for a VIP: is it a neighbour's about one? */
static __always_inline int overhear(struct xdp_md *ctx, const struct packet *packet)
{
	struct ipv6hdr *ip = packet->network;
	struct icmp *icmp = (void *)(ip + 1);

	if (packet->type != bpf_htons(ETH_P_IPV6) || (void *)(icmp + 1) > packet->end ||
	    ip->nexthdr != IPPROTO_ICMPV6 || !is_neighbour(packet, icmp))
		return NOT_HEEDED;
	return answer_neighbour(ctx);
}

/* A message to the VIP. GO_ON if it is an error to be sent on; else the frame has left with *action. */
static __always_inline enum verdict receive_icmp(struct xdp_md *ctx, struct packet *packet, int *action)
{
	struct icmp *icmp = packet->transport;
	bool ipv4 = packet->type == bpf_htons(ETH_P_IP);
	enum verdict why = VERDICT_NOT_SERVED;

	*action = NOT_HEEDED;
	if ((void *)(icmp + 1) > packet->end || packet->rest < sizeof(*icmp))
		why = VERDICT_TRUNCATED;
	else if (ipv4 != (packet->flow.proto == IPPROTO_ICMP))
		why = VERDICT_NOT_SERVED;
	else if (is_error(packet, icmp))
		why = parse_embedded(ctx, packet);
	else if (is_echo_request(packet, icmp))
		*action = answer_echo(ctx, packet);
	else if (is_neighbour(packet, icmp))
		*action = answer_neighbour(ctx);
	if (why != GO_ON && *action == NOT_HEEDED)
		*action = leave(why, XDP_DROP);
	return why;
}

#endif
