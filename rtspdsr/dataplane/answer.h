/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Answers for the VIP, which is no local address of the balancer: ARP requests, neighbour solicitations and
 * echo requests are turned into their answers in place. Nothing here chooses a backend.
 */
#ifndef RTSPDSR_ANSWER_H
#define RTSPDSR_ANSWER_H

#include "leave.h"
#include "maps.h"
#include "parse.h"
#include "vip.h"

#define ARP_ETHERNET 1
#define ARP_REQUEST 1
#define ARP_REPLY 2
#define ECHO_REQUEST 8
#define ECHO_REPLY 0
#define ECHO_REQUEST_V6 128
#define ECHO_REPLY_V6 129
#define HOP_LIMIT 64
#define ND_HOP_LIMIT 255 /* RFC 4861: proof that no router lies between */
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136
#define ND_TARGET_LINK_ADDRESS 2
#define ND_SOLICITED 0x40000000
#define ND_OVERRIDE 0x20000000

#define NOT_HEEDED -1 /* no action: the message is not one of a neighbour about a VIP */

/* ARP for IPv4 over Ethernet (RFC 826). Addresses are pairs: they are not aligned to four octets. */
struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u16 sender_mac[3];
	__be16 sender[2];
	__u16 target_mac[3];
	__be16 target[2];
};

/* A solicitation or an advertisement, up to its options (RFC 4861 sections 4.3 and 4.4). */
struct neighbour {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 flags;
	struct in6_addr target;
};

struct link_option {
	__u8 type;
	__u8 length; /* in eight octets */
	__u16 mac[3];
};

struct advertisement {
	struct ipv6hdr ip;
	struct neighbour neighbour;
	struct link_option option;
};

static __always_inline bool same_mac(const __u16 *one, const __u16 *other)
{
	return one[0] == other[0] && one[1] == other[1] && one[2] == other[2];
}

static __always_inline void copy_mac(__u16 *to, const __u16 *from)
{
	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
}

/* Our own MAC address where the frame came in. */
static __always_inline const __u16 *own_mac(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex;
	struct interface *interface = bpf_map_lookup_elem(&interfaces, &ifindex);

	return interface ? (const __u16 *)interface->mac : NULL;
}

/* Address the frame back to where it came from. */
static __always_inline void send_back(struct ethernet *link, const __u16 *mac)
{
	copy_mac(link->destination, link->source);
	copy_mac(link->source, mac);
}

static __noinline void describe_claim(struct vip_claim *claim, struct xdp_md *ctx, const struct address *vip,
				      const __u16 *mac)
{
	claim->vip = *vip;
	copy_mac((__u16 *)claim->mac, mac);
	claim->pad = 0;
	claim->ifindex = ctx->ingress_ifindex;
}

/* A foreign machine claims a VIP: tell the daemon, and leave the frame to the kernel. */
static __noinline int report_claim(struct xdp_md *ctx, const struct address *vip, const __u16 *mac)
{
	struct vip_claim *claim = bpf_ringbuf_reserve(&notices, sizeof(*claim), 0);

	if (claim) {
		describe_claim(claim, ctx, vip, mac);
		bpf_ringbuf_submit(claim, 0);
	}
	return leave(VERDICT_VIP_CLAIMED, XDP_PASS);
}

static __always_inline __be32 joined(const __be16 *pair)
{
	return (__u32)pair[1] << 16 | pair[0];
}

/* Turn a request for the VIP into its reply. */
static __always_inline void reply_arp(struct arp *arp, const __u16 *mac)
{
	__be16 vip[2] = {arp->target[0], arp->target[1]};

	arp->operation = bpf_htons(ARP_REPLY);
	copy_mac(arp->target_mac, arp->sender_mac);
	arp->target[0] = arp->sender[0];
	arp->target[1] = arp->sender[1];
	copy_mac(arp->sender_mac, mac);
	arp->sender[0] = vip[0];
	arp->sender[1] = vip[1];
}

static __always_inline bool is_arp_ipv4(const struct arp *arp)
{
	return arp->hardware == bpf_htons(ARP_ETHERNET) && arp->protocol == bpf_htons(ETH_P_IP) &&
	       arp->hardware_length == ETH_ALEN && arp->protocol_length == 4;
}

__noinline int answer_arp(struct xdp_md *ctx)
{
	const __u16 *mac = own_mac(ctx);
	struct packet packet;
	struct address address;
	struct arp *arp;

	if (!parse_link(ctx, &packet))
		return leave(VERDICT_UNPARSED, XDP_PASS);
	arp = packet.network;
	if ((void *)(arp + 1) > packet.end)
		return leave(VERDICT_UNPARSED, XDP_PASS);
	if (!mac || !is_arp_ipv4(arp))
		return leave(VERDICT_NOT_IP, XDP_PASS);
	ipv4_address(&address, joined(arp->sender));
	if (is_vip(&address)) {
		if (same_mac(arp->sender_mac, mac))
			return leave(VERDICT_NOT_IP, XDP_PASS); /* our own announcement */
		return report_claim(ctx, &address, arp->sender_mac);
	}
	ipv4_address(&address, joined(arp->target));
	if (arp->operation != bpf_htons(ARP_REQUEST) || !is_vip(&address))
		return leave(VERDICT_NOT_IP, XDP_PASS);
	reply_arp(arp, mac);
	send_back(packet.link, mac);
	return leave(VERDICT_ARP_ANSWERED, XDP_TX);
}

/* The Internet checksum (RFC 1071) of what has been added up. */
static __always_inline __u16 folded(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* A checksum after one 16-bit word under it has changed (RFC 1624). */
static __always_inline __u16 adjusted(__u16 check, __u16 from, __u16 to)
{
	return folded((__u64)(__u16)~check + (__u16)~from + to);
}

/* To one who has no address yet (duplicate address detection), an advertisement goes to all nodes. */
static __always_inline void advertise(struct advertisement *message, const struct ipv6hdr *asked,
				      const struct in6_addr *target, const __u16 *mac)
{
	bool unspecified = !asked->saddr.s6_addr32[0] && !asked->saddr.s6_addr32[1] &&
			   !asked->saddr.s6_addr32[2] && !asked->saddr.s6_addr32[3];
	const __u32 length = sizeof(message->neighbour) + sizeof(message->option);
	const __u32 *words = (const __u32 *)&message->ip.saddr; /* addresses and all that follows */
	__u64 sum = bpf_htonl(length) + (__u64)bpf_htonl(IPPROTO_ICMPV6);

	__builtin_memset(message, 0, sizeof(*message));
	message->ip.version = 6;
	message->ip.payload_len = bpf_htons(length);
	message->ip.nexthdr = IPPROTO_ICMPV6;
	message->ip.hop_limit = ND_HOP_LIMIT;
	message->ip.saddr = *target;
	message->ip.daddr = asked->saddr;
	message->neighbour.type = ND_ADVERTISEMENT;
	message->neighbour.flags = bpf_htonl(ND_SOLICITED | ND_OVERRIDE);
	if (unspecified) {
		message->ip.daddr.s6_addr32[0] = bpf_htonl(0xff020000);
		message->ip.daddr.s6_addr32[3] = bpf_htonl(1);
		message->neighbour.flags = bpf_htonl(ND_OVERRIDE);
	}
	message->neighbour.target = *target;
	message->option.type = ND_TARGET_LINK_ADDRESS;
	message->option.length = 1;
	copy_mac(message->option.mac, mac);
#pragma unroll
	for (int i = 0; i < (32 + length) / 4; i++)
		sum += words[i];
	message->neighbour.check = folded(sum);
}

/* The answer is as long as it is, however long the question was: the frame is cut or lengthened. */
static __noinline int answer_solicitation(struct xdp_md *ctx, const __u16 *mac)
{
	const __u16 all_nodes[3] = {bpf_htons(0x3333), 0, bpf_htons(1)};
	struct advertisement message;
	struct packet packet;
	struct neighbour *neighbour;
	struct ipv6hdr *ip;
	long length;

	if (!parse_link(ctx, &packet))
		return leave(VERDICT_UNPARSED, XDP_PASS);
	ip = packet.network;
	neighbour = (void *)(ip + 1);
	if ((void *)(neighbour + 1) > packet.end)
		return leave(VERDICT_TRUNCATED, XDP_DROP);
	advertise(&message, ip, &neighbour->target, mac);
	length = packet.network - (void *)packet.link + (long)sizeof(message);
	barrier_var(length); /* or it becomes 32-bit arithmetic on pointers, which the verifier refuses */
	if (bpf_xdp_adjust_tail(ctx, length - (long)bpf_xdp_get_buff_len(ctx)) || !parse_link(ctx, &packet) ||
	    packet.network + sizeof(message) > packet.end)
		return leave(VERDICT_TRUNCATED, XDP_DROP);
	send_back(packet.link, mac);
	if (message.neighbour.flags == bpf_htonl(ND_OVERRIDE))
		copy_mac(packet.link->destination, all_nodes);
	__builtin_memcpy(packet.network, &message, sizeof(message));
	return leave(VERDICT_ND_ANSWERED, XDP_TX);
}

/* The MAC address that an advertisement claims its target for. */
static __always_inline const __u16 *advertised_mac(const struct packet *packet, const struct neighbour *neighbour)
{
	const struct link_option *option = (const void *)(neighbour + 1);

	if ((void *)(option + 1) <= packet->end && option->type == ND_TARGET_LINK_ADDRESS && option->length == 1)
		return option->mac;
	return packet->link->source;
}

/*
 * A neighbour's message about a VIP, whatever address it is sent to. An extension header before it, a hop
 * limit other than 255 or a code make it one that RFC 4861 tells us not to heed.
 */
__noinline int answer_neighbour(struct xdp_md *ctx)
{
	const __u16 *mac = own_mac(ctx);
	struct neighbour *neighbour;
	struct address target;
	struct packet packet;
	struct ipv6hdr *ip;
	__u32 length;

	if (!mac || !parse_link(ctx, &packet))
		return NOT_HEEDED;
	ip = packet.network;
	neighbour = (void *)(ip + 1);
	if ((void *)(neighbour + 1) > packet.end)
		return NOT_HEEDED;
	length = bpf_ntohs(ip->payload_len);
	if (length < sizeof(*neighbour) || length > packet.end - (void *)neighbour ||
	    ip->nexthdr != IPPROTO_ICMPV6 || ip->hop_limit != ND_HOP_LIMIT || neighbour->code)
		return NOT_HEEDED;
	ipv6_address(&target, &neighbour->target);
	if (is_mapped(&neighbour->target) || !is_vip(&target))
		return NOT_HEEDED;
	if (neighbour->type == ND_SOLICITATION)
		return answer_solicitation(ctx, mac);
	if (neighbour->type == ND_ADVERTISEMENT && !same_mac(advertised_mac(&packet, neighbour), mac))
		return report_claim(ctx, &target, advertised_mac(&packet, neighbour));
	return NOT_HEEDED;
}

/* An ICMP echo request becomes its reply. The hop limit begins anew, as that of any answer does. */
static __always_inline void reply_echo_ipv4(struct iphdr *ip, struct icmp *icmp)
{
	__u16 *life = (__u16 *)&ip->ttl; /* with the protocol beside it, one word of the checksum */
	__u16 old = *life;
	__be32 vip = ip->daddr;

	ip->ttl = HOP_LIMIT;
	ip->check = adjusted(ip->check, old, *life);
	ip->daddr = ip->saddr;
	ip->saddr = vip;
	icmp->type = ECHO_REPLY;
	icmp->check = adjusted(icmp->check, bpf_htons(ECHO_REQUEST << 8), bpf_htons(ECHO_REPLY << 8));
}

static __always_inline void reply_echo_ipv6(struct ipv6hdr *ip, struct icmp *icmp)
{
	struct in6_addr vip = ip->daddr;

	ip->hop_limit = HOP_LIMIT;
	ip->daddr = ip->saddr;
	ip->saddr = vip;
	icmp->type = ECHO_REPLY_V6;
	icmp->check = adjusted(icmp->check, bpf_htons(ECHO_REQUEST_V6 << 8),
				     bpf_htons(ECHO_REPLY_V6 << 8));
}

/* Echo reply in place. The parser has seen that all of the request is there. */
static __always_inline int answer_echo(struct xdp_md *ctx, struct packet *packet)
{
	const __u16 *mac = own_mac(ctx);

	if (!mac)
		return leave(VERDICT_NOT_SERVED, XDP_DROP);
	if (packet->transport + sizeof(struct icmp) > packet->end)
		return leave(VERDICT_TRUNCATED, XDP_DROP);
	if (packet->type == bpf_htons(ETH_P_IP)) {
		if (packet->network + sizeof(struct iphdr) > packet->end)
			return leave(VERDICT_TRUNCATED, XDP_DROP);
		reply_echo_ipv4(packet->network, packet->transport);
	} else {
		if (packet->network + sizeof(struct ipv6hdr) > packet->end)
			return leave(VERDICT_TRUNCATED, XDP_DROP);
		reply_echo_ipv6(packet->network, packet->transport);
	}
	send_back(packet->link, mac);
	return leave(VERDICT_ECHO_ANSWERED, XDP_TX);
}

#endif
