/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Both ends of a load on a forwarder: generate() makes packets of many clients out of live frames of a test run
 * (BPF_F_TEST_XDP_LIVE_FRAMES), count() takes those that come back. No more of them are under way than a window
 * allows, so that a forwarder is met with as much as it can carry, and is not drowned.
 *
 * Both run on one CPU: no count is written by two.
 */
#include "../../rtspdsr/dataplane/parse.h"

#define SILENCE_NS 200000000 /* after which what is under way has been lost */

/* What is under way is sent - received - lost. */
struct load {
	__u64 sent;
	__u64 received;
	__u64 lost;
	__u64 heard;	/* received, as generate() saw it last when the window was full */
	__u64 heard_at;
	__u32 window;
	__u32 clients;
	__u16 addresses[6]; /* destination, source: a frame is used again as its forwarder left it */
	__u16 first_port;   /* of the clients */
	__be16 port;	    /* that they send to */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct load);
} loads SEC(".maps");

static __always_inline struct load *the_load(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&loads, &key);
}

static __noinline void give_up(struct load *load)
{
	__u64 now = bpf_ktime_get_coarse_ns();

	if (load->heard == load->received && load->heard_at && now - load->heard_at < SILENCE_NS)
		return;
	if (load->heard == load->received && load->heard_at)
		load->lost = load->sent - load->received;
	load->heard = load->received;
	load->heard_at = now;
}

SEC("xdp.frags")
int generate(struct xdp_md *ctx)
{
	struct ethernet *link = (void *)(long)ctx->data;
	struct udphdr *udp = (void *)(link + 1) + sizeof(struct iphdr);
	struct load *load = the_load();

	if (!load || (void *)(udp + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	if (load->sent - load->received - load->lost >= load->window) {
		give_up(load);
		return XDP_DROP;
	}
	__builtin_memcpy(link, load->addresses, sizeof(load->addresses));
	udp->source = bpf_htons(load->first_port + load->sent % load->clients);
	load->sent += 1;
	return XDP_TX;
}

SEC("xdp.frags")
int count(struct xdp_md *ctx)
{
	struct ethernet *link = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(link + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct load *load = the_load();

	if (!load || (void *)(udp + 1) > (void *)(long)ctx->data_end || link->type != bpf_htons(ETH_P_IP) ||
	    ip->protocol != IPPROTO_UDP || udp->dest != load->port)
		return XDP_PASS;
	load->received += 1;
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
