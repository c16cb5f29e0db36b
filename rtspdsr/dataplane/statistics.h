/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is counted of a forwarded packet: per pin, per backend and per service. Nothing here alters the
 * frame or decides where it goes.
 *
 * The adds are plain ones. Packets of one flow arrive on one CPU (receive-side scaling hashes the flow), so
 * a pin's statistics have one writer at a time; should a NIC move a flow to another CPU, a packet may go
 * uncounted at that moment, which an atomic add for every packet would be too dear a price for.
 */
#ifndef RTSPDSR_STATISTICS_H
#define RTSPDSR_STATISTICS_H

#include "leave.h"
#include "maps.h"
#include "parse.h"

#define RTCP_SENDER_REPORT 200
#define RTCP_RECEIVER_REPORT 201

/* RFC 3550 sections 6.4.1 and 6.4.2 */
struct rtcp {
	__u8 first; /* version (2 bits), padding (1), number of report blocks (5) */
	__u8 type;
	__be16 length; /* in words, less one */
	__be32 sender;
};

struct sender_information {
	__be32 words[5];
};

struct report_block {
	__be32 ssrc;
	__be32 lost;
	__be32 highest;
	__be32 jitter;
	__be32 last_report;
	__be32 delay;
};

static __always_inline struct pin_statistics *statistics_at(__u32 place)
{
	__u32 chunk = place / CHUNK_PINS, index = place % CHUNK_PINS;
	void *places = bpf_map_lookup_elem(&statistics, &chunk);

	return places ? bpf_map_lookup_elem(places, &index) : NULL;
}

/*
 * A SYN: numbers of an earlier connection are no base to reckon from. (A function that is called, since it is
 * rare, and since the object describes only those structs that a function or a map names.)
 */
static __noinline void begin_anew(struct pin_statistics *pin, __u32 next_sequence)
{
	pin->next_sequence = next_sequence;
	pin->acknowledged = 0;
}

/*
 * How far the client's acknowledgements and its own stream have come. An acknowledgement number of 0 stands
 * for "no base"; a true 0 (once in 4 GiB) is left to the next segment, which brings its progress as well.
 */
static __always_inline void count_tcp(struct pin_statistics *pin, const struct packet *packet)
{
	__u32 next = packet->sequence + packet->payload_length + !!(packet->tcp_flags & SYN) +
		     !!(packet->tcp_flags & FIN);
	__s32 progress = packet->acknowledgement - pin->acknowledged;

	if (packet->tcp_flags & SYN)
		return begin_anew(pin, next);
	if (!pin->packets || (__s32)(next - pin->next_sequence) > 0)
		pin->next_sequence = next;
	if (packet->tcp_flags & ACK && packet->acknowledgement) {
		if (!pin->acknowledged) {
			pin->acknowledged = packet->acknowledgement;
		} else if (progress > 0) {
			pin->delivered += progress;
			pin->acknowledged = packet->acknowledgement;
		}
	}
}

/* Take in the first report block of an RTCP packet that has one in full. */
static __always_inline void take_report(struct pin_statistics *pin, const struct packet *packet)
{
	struct rtcp *rtcp = packet->transport + sizeof(struct udphdr);
	struct report_block *block = (void *)(rtcp + 1);
	__u32 needed = sizeof(*rtcp);

	if ((void *)(rtcp + 1) > packet->end)
		return;
	if (rtcp->type == RTCP_SENDER_REPORT) {
		block = (void *)block + sizeof(struct sender_information);
		needed += sizeof(struct sender_information);
	}
	needed += (rtcp->first & 0x1f) * sizeof(*block);
	if (!(rtcp->first & 0x1f) || (bpf_ntohs(rtcp->length) + 1) * 4 < needed ||
	    (bpf_ntohs(rtcp->length) + 1) * 4 > packet->payload_length || (void *)(block + 1) > packet->end)
		return;
	pin->ssrc = bpf_ntohl(block->ssrc);
	pin->lost = bpf_ntohl(block->lost);
	pin->highest = bpf_ntohl(block->highest);
	pin->jitter = bpf_ntohl(block->jitter);
	pin->reported_ticks = bpf_jiffies64();
}

/*
 * Does the payload look like the first packet of an RTCP compound, which has no padding (RFC 3550 appendix A.2)?
 * What does not is no fault (rule 10).
 */
static __always_inline bool is_report(const struct packet *packet)
{
	const struct rtcp *rtcp = packet->transport + sizeof(struct udphdr);

	return (void *)(rtcp + 1) <= packet->end && rtcp->first >> 5 == 4 &&
	       (rtcp->type == RTCP_RECEIVER_REPORT || rtcp->type == RTCP_SENDER_REPORT);
}

static __always_inline void count_pin(__u32 place, const struct packet *packet)
{
	struct pin_statistics *pin;

	if (!place)
		return;
	pin = statistics_at(place);
	if (!pin)
		return;
	if (packet->kind == KIND_TCP)
		count_tcp(pin, packet);
	else if (is_report(packet))
		take_report(pin, packet);
	pin->packets += 1;
	pin->bytes += packet->length;
	pin->heard_ticks = bpf_jiffies64();
}

static __always_inline void count_traffic(void *map, __u32 id, __u32 length)
{
	struct traffic *traffic = bpf_map_lookup_elem(map, &id);

	if (!traffic)
		return;
	traffic->packets += 1; /* per CPU: no other writer */
	traffic->bytes += length;
}

#endif
