/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet's way through the balancer. A frame to a VIP gets the MAC address of its backend as destination
 * and ours as source, and goes on; nothing above the link layer changes. All other traffic of the machine
 * passes untouched.
 *
 *     parse -> service -> pin, flow, client, newcomer or slot -> backend -> tracker -> rewrite -> send
 *
 * xdp.frags says that the program can deal with a frame in several buffers: without it, an interface with
 * jumbo frames (veth: an MTU above 3500) refuses native mode. A driver that knows no such frames takes the
 * program all the same. It needs Linux 5.18.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "answer.h"
#include "choose.h"
#include "detour.h"
#include "icmp.h"
#include "leave.h"
#include "maps.h"
#include "parse.h"
#include "statistics.h"
#include "vip.h"

static __always_inline bool is_ip(__be16 type)
{
	return type == bpf_htons(ETH_P_IP) || type == bpf_htons(ETH_P_IPV6);
}

static __always_inline int pass(struct xdp_md *ctx, const struct packet *packet)
{
	int action = overhear(ctx, packet);

	return action == NOT_HEEDED ? leave(VERDICT_NOT_A_VIP, XDP_PASS) : action;
}

static __always_inline int send(struct xdp_md *ctx, const struct packet *packet, const struct backend *backend,
				enum verdict why)
{
	/* The backend begins with two MAC addresses as the frame does: destination, source. */
	const __u32 *from = (const __u32 *)backend;
	__u32 *to = (__u32 *)packet->link;

	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
	if (backend->ifindex == ctx->ingress_ifindex)
		return leave(why, XDP_TX);
	return leave(why, bpf_redirect(backend->ifindex, 0));
}

/* To the backend of the packet's flow, or of its client. */
static __always_inline int forward(struct xdp_md *ctx, struct packet *packet, const struct service *service)
{
	struct choice choice = {};
	enum verdict why;

	if (!choose(&choice, packet, service))
		return leave(choice.rule, XDP_DROP);
	if (is_from_backend(packet, &choice))
		return leave(VERDICT_FROM_BACKEND, XDP_DROP);
	count_traffic(&backend_traffic, choice.id, packet->length);
	count_traffic(&service_traffic, service->id, packet->length);
	why = choice.rule;
	if (packet->kind == KIND_ICMP_ERROR)
		return send(ctx, packet, choice.backend, VERDICT_ICMP_ERROR);
	if (choice.pin)
		count_pin(choice.pin->statistics, packet);
	if (packet->kind == KIND_TCP) {
		if (is_syn(packet))
			remember(packet, &choice);
		why = tell(ctx, packet, &choice);
		if (why == VERDICT_DETOURED)
			return leave(why, XDP_DROP);
	}
	return send(ctx, packet, choice.backend, why);
}

SEC("xdp.frags")
int rtspdsr_ingress(struct xdp_md *ctx)
{
	struct service *service = NULL;
	struct packet packet;
	struct address vip;
	enum verdict why;
	int action;

	if (plain_destination(ctx, &vip)) { /* what is not ours is to cost next to nothing */
		service = service_of(&vip);
		if (!service)
			return leave(VERDICT_NOT_A_VIP, XDP_PASS);
	}
	begin(&packet);
	if (!parse_link(ctx, &packet))
		return leave(VERDICT_UNPARSED, XDP_PASS);
	if (packet.type == bpf_htons(ETH_P_ARP))
		return answer_arp(ctx);
	if (is_tag(packet.type))
		return leave(VERDICT_UNPARSED, XDP_PASS);
	if (!is_ip(packet.type))
		return leave(VERDICT_NOT_IP, XDP_PASS);
	if (!service) {
		if (!parse_destination(&packet, &vip))
			return leave(VERDICT_UNPARSED, XDP_PASS);
		service = service_of(&vip);
	}
	if (!service)
		return pass(ctx, &packet);
	packet.flow.service = service->id;
	why = parse_transport(ctx, &packet);
	if (why == GO_ON && packet.kind == KIND_ICMP) {
		why = receive_icmp(ctx, &packet, &action);
		if (why != GO_ON)
			return action;
	}
	if (why != GO_ON)
		return leave(why, XDP_DROP);
	return forward(ctx, &packet, service);
}

/* Writes the kernel's ticks over the first octets of a frame. The daemon runs it; it is never attached. */
SEC("xdp")
int rtspdsr_ticks(struct xdp_md *ctx)
{
	__u64 *ticks = (void *)(long)ctx->data;

	if ((void *)(ticks + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	*ticks = bpf_jiffies64();
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
