/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Runs another program on a frame of a client drawn at random, or of each in turn. A test run (BPF_PROG_TEST_RUN) gives a program
 * the same frame again and again; this one stands before it, and writes the last four octets of the source
 * address anew each time, and if wanted a random initial sequence number.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FIRST_CLIENT 0x0a000000 /* 10.0.0.0 */

struct drawing {
	__u64 state;
	__u32 clients;
	__u32 source;	/* where the last four octets of the source address are in the frame */
	__u32 sequence; /* where the sequence number is, 0 if it is to stay */
	__u32 in_turn;	/* one client after the other; state counts them */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct drawing);
} drawings SEC(".maps");

/* The program to be run. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} target SEC(".maps");

static __always_inline bool write(struct xdp_md *ctx, __u32 offset, __be32 word)
{
	void *at = (void *)(long)ctx->data + (offset & 63);

	if (at + sizeof(word) > (void *)(long)ctx->data_end)
		return false;
	*(__be32 *)at = word;
	return true;
}

SEC("xdp.frags")
int draw(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct drawing *drawing = bpf_map_lookup_elem(&drawings, &key);
	__u32 client;

	if (!drawing)
		return XDP_ABORTED;
	if (drawing->in_turn) {
		client = FIRST_CLIENT + (__u32)drawing->state;
		drawing->state = drawing->state + 1 < drawing->clients ? drawing->state + 1 : 0;
	} else {
		drawing->state = drawing->state * 6364136223846793005ULL + 1442695040888963407ULL; /* Knuth's MMIX */
		client = FIRST_CLIENT + (__u32)((drawing->state >> 32) * drawing->clients >> 32);
	}
	if (!write(ctx, drawing->source, bpf_htonl(client)))
		return XDP_ABORTED;
	if (drawing->sequence && !write(ctx, drawing->sequence, drawing->state))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

char _license[] SEC("license") = "Dual BSD/GPL";
