/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writes another source address, source port and sequence number into a SYN each time, and its checksums with
 * them: every frame is a new client that nobody has heard of. The frame is IPv4 without options. Live frames are
 * used again as they come back, so the MAC addresses, which the balancer has rewritten, are written as well.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SOURCES 0xc6120000 /* 198.18.0.0/15: RFC 2544 */
#define HOSTS 0x0001ffff

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ethhdr);
} link SEC(".maps");

static __always_inline __sum16 renewed(__sum16 sum, __be32 *was, __be32 is)
{
	__s64 difference = bpf_csum_diff(was, sizeof(*was), &is, sizeof(is), (__u16)~sum);

	*was = is;
	difference = (difference & 0xffff) + (difference >> 16);
	difference = (difference & 0xffff) + (difference >> 16);
	return (__sum16)~difference;
}

SEC("xdp")
int synflood(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct ethhdr *ends = bpf_map_lookup_elem(&link, &key);
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__be32 source = bpf_htonl(SOURCES | (bpf_get_prandom_u32() & HOSTS));
	__be32 ports, was;

	if (!ends || (void *)(tcp + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	*ethernet = *ends;
	was = ip->saddr;
	ip->check = renewed(ip->check, &ip->saddr, source);
	tcp->check = renewed(tcp->check, &was, source);
	tcp->check = renewed(tcp->check, &tcp->seq, bpf_get_prandom_u32());
	ports = (bpf_get_prandom_u32() & bpf_htonl(0xffff0000)) | bpf_htonl(bpf_ntohs(tcp->dest));
	tcp->check = renewed(tcp->check, (__be32 *)tcp, ports);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
