/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the forwarding core is measured against: a program that does nothing, one that swaps MAC addresses
 * and sends back, and the least that any balancer of flows can do: read the headers (of UDP in IPv4 alone),
 * find the flow in one hash map, by the key that the core uses, rewrite both MAC addresses, send.
 */
#include "../../rtspdsr/dataplane/parse.h"

/* Flow -> backend, of the kind and size that the core's pins are of. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1000000);
	__type(key, struct flow_key);
	__type(value, struct backend);
} flows SEC(".maps");

SEC("xdp.frags")
int empty(struct xdp_md *ctx)
{
	return XDP_TX;
}

SEC("xdp.frags")
int swap(struct xdp_md *ctx)
{
	struct ethernet *link = (void *)(long)ctx->data;
	struct ethernet was;

	if ((void *)(link + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	was = *link;
	__builtin_memcpy(link->destination, was.source, sizeof(was.source));
	__builtin_memcpy(link->source, was.destination, sizeof(was.destination));
	return XDP_TX;
}

SEC("xdp.frags")
int reference(struct xdp_md *ctx)
{
	struct ethernet *link = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(link + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct flow_key key = {.service = 3, .proto = IPPROTO_UDP};
	struct backend *backend;
	const __u32 *from;
	__u32 *to = (__u32 *)link;

	if ((void *)(udp + 1) > (void *)(long)ctx->data_end || link->type != bpf_htons(ETH_P_IP) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	ipv4_address(&key.client, ip->saddr);
	key.client_port = udp->source;
	backend = bpf_map_lookup_elem(&flows, &key);
	if (!backend)
		return XDP_PASS;
	from = (const __u32 *)backend;
	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
