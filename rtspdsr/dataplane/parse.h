/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From the bytes of a frame to a struct packet. Nothing here looks into a map or alters the frame.
 *
 * The length that the IP header states counts, not that of the frame: short Ethernet frames are padded,
 * and padding is not payload. A frame shorter than its IP header states is truncated.
 */
#ifndef RTSPDSR_PARSE_H
#define RTSPDSR_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "shared.h"

#define TAGS_MAX 2	 /* 802.1ad outside, 802.1Q inside */
#define EXTENSIONS_MAX 6 /* IPv6 extension headers: each kind once, destination options twice */
#define HEADERS_MAX 16383 /* octets, more than EXTENSIONS_MAX headers can take */

#define GO_ON VERDICT_COUNT /* no verdict yet */

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

/* Not struct ethhdr, which is packed: its fields would be read byte by byte. */
struct ethernet {
	__u16 destination[3];
	__u16 source[3];
	__be16 type;
};

struct tag {
	__be16 control;
	__be16 type;
};

struct tcp {
	__be16 source;
	__be16 destination;
	__be32 sequence;
	__be32 acknowledgement;
	__u8 offset; /* high four bits, in words */
	__u8 flags;
	__be16 window;
	__be16 check;
	__be16 urgent;
};

/* The head of every message of ICMP and ICMPv6. */
struct icmp {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 more;
};

enum kind {
	KIND_TCP,
	KIND_UDP,
	KIND_FRAGMENT,	 /* of TCP or UDP */
	KIND_ICMP,	 /* to the VIP itself; or an error, not looked into yet */
	KIND_ICMP_ERROR, /* about flow, which is the one embedded in it */
};

/* What an IP header says of the datagram behind it. */
enum part {
	PART_WHOLE,
	PART_FIRST,
	PART_LATER, /* without the transport header */
};

struct packet {
	struct ethernet *link;
	void *network;
	void *transport;
	void *end;	/* of the linear part, which holds all headers */
	struct flow_key flow;
	__u32 length;	/* of the frame */
	__u32 rest;	/* bytes of the datagram from transport on */
	__u32 sequence; /* TCP */
	__u32 acknowledgement;
	__u32 transport_offset; /* from the start of the frame */
	__u32 payload_offset;
	__u32 payload_length;
	__be16 type; /* of what network holds */
	__u8 tcp_flags;
	__u8 kind;
	bool portless; /* its ports are unknown: it goes by its client */
};

static __always_inline bool is_syn(const struct packet *packet)
{
	return (packet->tcp_flags & (SYN | ACK | RST | FIN)) == SYN;
}

static __always_inline void ipv4_address(struct address *to, __be32 from)
{
	to->words[0] = 0;
	to->words[1] = 0;
	to->words[2] = bpf_htonl(0xffff);
	to->words[3] = from;
}

static __always_inline void ipv6_address(struct address *to, const struct in6_addr *from)
{
	to->words[0] = from->s6_addr32[0];
	to->words[1] = from->s6_addr32[1];
	to->words[2] = from->s6_addr32[2];
	to->words[3] = from->s6_addr32[3];
}

/*
 * An IPv4 address in 16 octets (::ffff:0:0/96), as the maps hold it. No packet of IPv6 may carry one (RFC 4942
 * section 2.2): it would speak for an IPv4 client.
 */
static __always_inline bool is_mapped(const struct in6_addr *address)
{
	return address->s6_addr32[2] == bpf_htonl(0xffff) && !address->s6_addr32[1] && !address->s6_addr32[0];
}

static __always_inline bool is_tag(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/* The rest is written where it is parsed: clearing it all doubles the verifier's work. */
static __always_inline void begin(struct packet *packet)
{
	packet->flow.pad = 0;
	packet->portless = false;
}

/* Ethernet and its tags. False if they are cut short; more tags than TAGS_MAX leave a tag's type. */
static __always_inline bool parse_link(struct xdp_md *ctx, struct packet *packet)
{
	packet->link = (void *)(long)ctx->data;
	packet->end = (void *)(long)ctx->data_end;
	packet->network = packet->link + 1;
	if (packet->network > packet->end)
		return false;
	packet->type = packet->link->type;
#pragma unroll
	for (int i = 0; i < TAGS_MAX; i++) {
		struct tag *tag = packet->network;

		if (!is_tag(packet->type))
			break;
		if ((void *)(tag + 1) > packet->end)
			return false;
		packet->type = tag->type;
		packet->network = tag + 1;
	}
	return true;
}

/*
 * The destination. False if the header is cut short, or not what its type says. The rest of the header is
 * left to parse_datagram(): most packets of a machine are not for a VIP.
 */
static __always_inline bool parse_destination(const struct packet *packet, struct address *destination)
{
	if (packet->type == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = packet->network;

		if ((void *)(ip + 1) > packet->end || ip->version != 4)
			return false;
		ipv4_address(destination, ip->daddr);
	} else {
		struct ipv6hdr *ip = packet->network;

		if ((void *)(ip + 1) > packet->end || ip->version != 6)
			return false;
		ipv6_address(destination, &ip->daddr);
	}
	return true;
}

/* The same of what most packets are: IPv4 without a tag. False of all others, and nothing is said of them. */
static __always_inline bool plain_destination(struct xdp_md *ctx, struct address *destination)
{
	struct ethernet *link = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(link + 1);

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end || link->type != bpf_htons(ETH_P_IP) ||
	    ip->version != 4)
		return false;
	ipv4_address(destination, ip->daddr);
	return true;
}

static __always_inline enum part part_of(__be16 field, __be16 offset, __be16 more)
{
	if (field & offset)
		return PART_LATER;
	return field & more ? PART_FIRST : PART_WHOLE;
}

/* An IPv4 header without its destination. False if it is cut short. */
static __always_inline bool parse_ipv4(struct packet *packet, enum part *part)
{
	struct iphdr *ip = packet->network;
	__u32 header, total;

	if ((void *)(ip + 1) > packet->end)
		return false;
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (header < sizeof(*ip) || total < header)
		return false;
	packet->transport = packet->network + header;
	packet->rest = total - header;
	packet->flow.proto = ip->protocol;
	ipv4_address(&packet->flow.client, ip->saddr);
	*part = part_of(ip->frag_off, bpf_htons(0x1fff), bpf_htons(0x2000));
	return true;
}

static __always_inline bool is_extension(__u8 header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS ||
	       header == IPPROTO_AH || header == IPPROTO_FRAGMENT;
}

/* Where the walk over the extension headers stands. */
struct walk {
	struct xdp_md *ctx;
	__u32 offset; /* in the frame */
	__u32 rest;
	__u32 part;
	__u8 next;
	bool cut;
};

/* One extension header. Returns 1 to end the walk. */
static long skip_extension(__u32 index, void *argument)
{
	struct walk *walk = argument;
	struct {
		__u8 next;
		__u8 length;
		__be16 offset;
		__be32 identification;
	} header;
	__u32 length;

	if (!is_extension(walk->next) || walk->part != PART_WHOLE)
		return 1;
	walk->cut = true;
	if (bpf_xdp_load_bytes(walk->ctx, walk->offset, &header, sizeof(header)))
		return 1;
	length = (header.length + 1) * 8;
	if (walk->next == IPPROTO_AH)
		length = (header.length + 2) * 4;
	if (walk->next == IPPROTO_FRAGMENT) {
		length = sizeof(header);
		walk->part = part_of(header.offset, bpf_htons(0xfff8), bpf_htons(1));
	}
	if (length > walk->rest)
		return 1;
	walk->cut = false;
	walk->next = header.next;
	walk->offset += length;
	walk->rest -= length;
	return 0;
}

/*
 * Move packet->transport over the extension headers, or over the first fragment header. False if one is cut
 * short. A loop of the kernel's (bpf_loop), since the verifier would follow every way through ours.
 */
static __noinline bool skip_extensions(struct xdp_md *ctx, struct packet *packet, enum part *part)
{
	struct walk walk = {
		.ctx = ctx,
		.offset = packet->transport - (void *)packet->link,
		.rest = packet->rest,
		.part = PART_WHOLE,
		.next = packet->flow.proto,
	};

	bpf_loop(EXTENSIONS_MAX, skip_extension, &walk, 0);
	if (walk.cut || walk.offset > HEADERS_MAX)
		return false;
	packet->transport = (void *)packet->link + walk.offset;
	packet->rest = walk.rest;
	packet->flow.proto = walk.next;
	*part = walk.part;
	return true;
}

/* The same of IPv6, up to what follows the extension headers, or the first fragment header. */
static __always_inline bool parse_ipv6(struct xdp_md *ctx, struct packet *packet, enum part *part)
{
	struct ipv6hdr *ip = packet->network;

	if ((void *)(ip + 1) > packet->end)
		return false;
	packet->transport = ip + 1;
	packet->rest = bpf_ntohs(ip->payload_len);
	packet->flow.proto = ip->nexthdr;
	ipv6_address(&packet->flow.client, &ip->saddr);
	*part = PART_WHOLE;
	if (is_mapped(&ip->saddr) || is_mapped(&ip->daddr)) {
		packet->flow.proto = IPPROTO_NONE; /* whatever it is, it is not served */
		return true;
	}
	return !is_extension(ip->nexthdr) || skip_extensions(ctx, packet, part);
}

static __always_inline bool parse_datagram(struct xdp_md *ctx, struct packet *packet, enum part *part)
{
	if (packet->type == bpf_htons(ETH_P_IP))
		return parse_ipv4(packet, part);
	return parse_ipv6(ctx, packet, part);
}

/* The frame's length. False if it is less than what the IP header states. */
static __always_inline bool measure(struct xdp_md *ctx, struct packet *packet)
{
	packet->transport_offset = packet->transport - (void *)packet->link;
	packet->length = packet->end - (void *)packet->link;
	if (packet->transport_offset + packet->rest <= packet->length)
		return true;
	packet->length = bpf_xdp_get_buff_len(ctx); /* what is not in the linear part is in fragments */
	return packet->transport_offset + packet->rest <= packet->length;
}

static __always_inline bool parse_tcp(struct packet *packet)
{
	struct tcp *tcp = packet->transport;
	__u32 header;

	if ((void *)(tcp + 1) > packet->end)
		return false;
	header = (tcp->offset >> 4) * 4;
	if (header < sizeof(*tcp) || header > packet->rest)
		return false;
	packet->flow.client_port = tcp->source;
	packet->flow.service_port = tcp->destination;
	packet->sequence = bpf_ntohl(tcp->sequence);
	packet->acknowledgement = bpf_ntohl(tcp->acknowledgement);
	packet->tcp_flags = tcp->flags;
	packet->payload_offset = packet->transport_offset + header;
	packet->payload_length = packet->rest - header;
	packet->kind = KIND_TCP;
	return true;
}

/* The payload of UDP is not judged: a length that lies only means that no report is looked for in it. */
static __always_inline bool parse_udp(struct packet *packet)
{
	struct udphdr *udp = packet->transport;
	__u32 length;

	if ((void *)(udp + 1) > packet->end || packet->rest < sizeof(*udp))
		return false;
	length = bpf_ntohs(udp->len);
	packet->flow.client_port = udp->source;
	packet->flow.service_port = 0;
	packet->tcp_flags = 0;
	packet->payload_length = length < sizeof(*udp) || length > packet->rest ? 0 : length - sizeof(*udp);
	packet->kind = KIND_UDP;
	return true;
}

/* Everything behind the addresses. GO_ON, or the verdict that the packet is dropped under. */
static __always_inline enum verdict parse_transport(struct xdp_md *ctx, struct packet *packet)
{
	__u8 proto;
	enum part part;

	if (!parse_datagram(ctx, packet, &part) || !measure(ctx, packet))
		return VERDICT_TRUNCATED;
	proto = packet->flow.proto;
	if (part == PART_WHOLE && proto == IPPROTO_UDP)
		return parse_udp(packet) ? GO_ON : VERDICT_TRUNCATED;
	if (part == PART_WHOLE && proto == IPPROTO_TCP)
		return parse_tcp(packet) ? GO_ON : VERDICT_TRUNCATED;
	packet->tcp_flags = 0;
	if (part == PART_WHOLE && (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6)) {
		packet->kind = KIND_ICMP;
		return GO_ON;
	}
	/* All of a datagram shares a fate, so what an extension header begins in IPv6 is not looked into. */
	if (part != PART_WHOLE && (proto == IPPROTO_TCP || proto == IPPROTO_UDP || is_extension(proto))) {
		packet->kind = KIND_FRAGMENT;
		packet->portless = true;
		return GO_ON;
	}
	return VERDICT_NOT_SERVED;
}

#endif
