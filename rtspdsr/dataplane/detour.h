/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the tracker is told. A client's TCP payload is handed over with its whole frame and dropped here; the
 * tracker sends it on once its pins stand (design rule 1). If the tracker is not alive, the segment goes on at
 * once and a copy waits in the ring: a tracker that was only late, or is started again, reads what it missed. If
 * the ring is full, the segment goes on unread. A FIN, RST or SYN on a pinned connection that goes on is told as
 * a notice.
 */
#ifndef RTSPDSR_DETOUR_H
#define RTSPDSR_DETOUR_H

#include "choose.h"
#include "leave.h"
#include "maps.h"
#include "parse.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the scan for requests shifts words of a little-endian machine"
#endif

#define CHUNK_WORDS 16 /* of eight octets: the scan reads so much at a time, and one word beyond */
#define CHUNK_OCTETS (CHUNK_WORDS * 8)

#define WORD(a, b, c, d) ((__u32)(a) | (__u32)(b) << 8 | (__u32)(c) << 16 | (__u32)(d) << 24)
#define RTSP_VERSION ((__u64)WORD('/', 0, '.', '0') << 32 | WORD('R', 'T', 'S', 'P')) /* "RTSP/?.0" */
#define RTSP_VERSION_MASK 0xffff00ffffffffffULL

struct scan {
	struct xdp_md *ctx;
	__u32 offset; /* of the payload in the frame */
	__u32 length;
	bool found;
};

/* Does "RTSP/1.0" or "RTSP/2.0" begin in word, given the word after it? */
static __always_inline bool names_version(__u64 word, __u64 next)
{
	__u64 r = word ^ 0x5252525252525252ULL; /* a zero octet where word has an 'R' */

	/* Of eight octets of media, 97 % of the time none is an 'R'. */
	if (!((r - 0x0101010101010101ULL) & ~r & 0x8080808080808080ULL))
		return false;
	for (int i = 0; i < 8; i++) {
		if ((word & RTSP_VERSION_MASK) == RTSP_VERSION)
			return true;
		word = word >> 8 | next << 56;
		next >>= 8;
	}
	return false;
}

/* One step of the scan. Returns 1 to end it. */
static long scan_chunk(__u32 index, void *argument)
{
	struct scan *scan = argument;
	__u32 start = index * CHUNK_OCTETS, length;
	__u64 words[CHUNK_WORDS + 1] = {};

	if (start >= scan->length)
		return 1;
	length = scan->length - start;
	if (length > sizeof(words))
		length = sizeof(words);
	barrier_var(length); /* the compiler knows that it is not 0, the verifier does not */
	if (!length || bpf_xdp_load_bytes(scan->ctx, scan->offset + start, words, length))
		return 1;
	for (int i = 0; i < CHUNK_WORDS && !scan->found; i++)
		scan->found = names_version(words[i], words[i + 1]);
	return scan->found;
}

/* The first four octets of a method; a long URL may leave the version to the next segment. */
static __always_inline bool is_method(__u32 word)
{
	return word == WORD('O', 'P', 'T', 'I') || word == WORD('D', 'E', 'S', 'C') ||
	       word == WORD('A', 'N', 'N', 'O') || word == WORD('S', 'E', 'T', 'U') ||
	       word == WORD('P', 'L', 'A', 'Y') || word == WORD('P', 'A', 'U', 'S') ||
	       word == WORD('R', 'E', 'C', 'O') || word == WORD('T', 'E', 'A', 'R') ||
	       word == WORD('G', 'E', 'T', '_') || word == WORD('S', 'E', 'T', '_') ||
	       word == WORD('R', 'E', 'D', 'I');
}

/*
 * Does a request begin in this payload, at any offset? Super-packets are searched to their end. (A global
 * function: the verifier looks at it once, not once for every way that leads here.)
 */
__noinline bool holds_request(struct xdp_md *ctx, __u32 offset, __u32 length)
{
	struct scan scan = {.ctx = ctx, .offset = offset, .length = length};
	__u32 word = 0;

	if (!bpf_xdp_load_bytes(ctx, offset, &word, sizeof(word)) && is_method(word))
		return true;
	bpf_loop(FRAME_MAX / CHUNK_OCTETS, scan_chunk, &scan, 0);
	return scan.found;
}

static __noinline void describe(struct segment *segment, struct xdp_md *ctx, const struct packet *packet,
				const struct choice *choice)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, &packet->flow);

	__builtin_memset(segment, 0, sizeof(*segment));
	segment->flow = packet->flow;
	if (flow) {
		segment->opened_at = flow->opened_at;
		segment->initial = flow->initial;
	}
	segment->sequence = packet->sequence;
	segment->acknowledgement = packet->acknowledgement;
	segment->ifindex = ctx->ingress_ifindex;
	segment->tcp_offset = packet->transport_offset;
	segment->payload_offset = packet->payload_offset;
	segment->payload_length = packet->payload_length;
	segment->backend = choice->id;
	segment->tcp_flags = packet->tcp_flags;
}

/* A record with room for a frame of so many octets. The room is a constant for the verifier's sake. */
static __always_inline bool hand_over(struct xdp_md *ctx, const struct packet *packet, const struct choice *choice,
				      __u64 passed_at, const __u32 room)
{
	struct segment *segment = bpf_ringbuf_reserve(&segments, sizeof(*segment) + room, 0);
	__u32 length = packet->length;

	if (!segment)
		return false;
	describe(segment, ctx, packet, choice);
	segment->passed_at = passed_at;
	segment->frame_length = length;
	barrier_var(length); /* or the compiler proves the check needless, and the verifier cannot */
	if (!length || length > room || bpf_xdp_load_bytes(ctx, 0, segment + 1, length)) {
		bpf_ringbuf_discard(segment, 0);
		return false;
	}
	bpf_ringbuf_submit(segment, 0);
	return true;
}

static __noinline enum verdict detour(struct xdp_md *ctx, struct packet *packet, const struct choice *choice)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	bool alive = tracker_lives(now), taken;

	packet->length = bpf_xdp_get_buff_len(ctx); /* all of it: padding, too, may lie beyond the linear part */
	if (packet->length <= FRAME_SMALL)
		taken = hand_over(ctx, packet, choice, alive ? 0 : now, FRAME_SMALL);
	else
		taken = hand_over(ctx, packet, choice, alive ? 0 : now, FRAME_MAX);
	if (!taken)
		return VERDICT_RING_FULL;
	return alive ? VERDICT_DETOURED : VERDICT_TRACKER_DEAD;
}

/* A notice that finds no room is lost: the pin then ends by its idle time. */
static __noinline void notify(struct xdp_md *ctx, const struct packet *packet, const struct choice *choice)
{
	struct segment *segment = bpf_ringbuf_reserve(&notices, sizeof(*segment), 0);

	if (!segment)
		return;
	describe(segment, ctx, packet, choice);
	bpf_ringbuf_submit(segment, 0);
}

/* Is the tracker to read this segment before its backend does? */
static __always_inline bool is_for_tracker(struct xdp_md *ctx, const struct packet *packet,
					   const struct choice *choice)
{
	if (!packet->payload_length)
		return false;
	if (!choice->pin)
		return true;
	if (choice->pin->flags & PIN_UNREAD)
		return false;
	if (choice->pin->flags & PIN_UPSTREAM && !(packet->tcp_flags & (FIN | RST | SYN)))
		return holds_request(ctx, packet->payload_offset, packet->payload_length);
	return true;
}

/* Tell the tracker what it must know of a TCP segment. The verdict that the packet leaves under. */
static __always_inline enum verdict tell(struct xdp_md *ctx, struct packet *packet, const struct choice *choice)
{
	enum verdict why = choice->rule;

	if (is_for_tracker(ctx, packet, choice))
		why = detour(ctx, packet, choice);
	if (why != VERDICT_DETOURED && choice->pinned && packet->tcp_flags & (FIN | RST | SYN))
		notify(ctx, packet, choice);
	return why;
}

#endif
