/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps, and who writes each. The loader sets the sizes that the configuration names before it loads;
 * those given here suit tests. Python may delete from any map.
 */
#ifndef RTSPDSR_MAPS_H
#define RTSPDSR_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "shared.h"

/*
 * VIP -> service: a hash table of our own in an array, since the kernel puts the lookup of an array into the
 * program, while that of a hash map is a call. Writer: Python. (Mappable so that it begins a page, and every
 * place a cache line.)
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, VIP_PLACES);
	__type(key, __u32);
	__type(value, struct vip);
} vips SEC(".maps");

/* Service id -> where its slots begin. Writer: Python. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct slot_table);
} slot_tables SEC(".maps");

/* Slot -> backend id, two halves per service. Writer: Python, the idle half, through a mapping. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16 * 2 * SLOT_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} slots SEC(".maps");

/* Service id -> how it places new clients. Writer: Python. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct schedule);
} schedules SEC(".maps");

/* Turn -> backend id, two halves per service. Writer: Python, the idle half, through a mapping. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16 * 2 * TURN_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} turns SEC(".maps");

/* Service id -> turns taken, ever. Writer: XDP, all CPUs in one count, so that no turn is taken twice. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} turns_taken SEC(".maps");

/* Backend id -> new clients placed there, ever. Writer: XDP, all CPUs in one count. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} admissions SEC(".maps");

/* Backend id -> how many more it takes. Writer: Python, through a mapping. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct room);
} rooms SEC(".maps");

/* Flow -> pin. Writer: Python. Never evicted; memory is taken as pins are made. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1000000);
	__type(key, struct flow_key);
	__type(value, struct pin);
} pins SEC(".maps");

/* TCP connection -> where its SYN went. Writer: XDP, at a SYN; a SYN flood can only churn it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* Client -> backend of its sessions. Writer: Python. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct client_key);
	__type(value, __u32);
} clients SEC(".maps");

/* Client -> backend of its latest SYN. Writer: XDP, at a SYN. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct client_key);
	__type(value, struct newcomer);
} newcomers SEC(".maps");

/* Backend id -> backend; id 0 is none. Writer: Python. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

/* MAC address -> backend id, for the loop guard. Writer: Python. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct mac_key);
	__type(value, __u32);
} backend_macs SEC(".maps");

/* Interface index -> our own MAC address there. Writer: Python. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct interface);
} interfaces SEC(".maps");

/*
 * Statistics of CHUNK_PINS pins: place p is index p % CHUNK_PINS of chunk p / CHUNK_PINS. Sizes, not types:
 * clang 14 leaves the value of an inner map a forward declaration, which libbpf cannot size.
 */
struct statistics_chunk {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CHUNK_PINS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct pin_statistics));
};

/* Chunk -> statistics. Writer: Python adds chunks; XDP alone writes what is in them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 64);
	__type(key, __u32);
	__array(values, struct statistics_chunk);
} statistics SEC(".maps");

/* Backend id -> what was forwarded to it. Writer: XDP. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct traffic);
} backend_traffic SEC(".maps");

/* Service id -> what was forwarded for it. Writer: XDP. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct traffic);
} service_traffic SEC(".maps");

/* Verdict -> packets. Writer: XDP. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VERDICT_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} verdicts SEC(".maps");

/* Segments for the tracker, alone, so that nothing else starves them. Writer: XDP. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} segments SEC(".maps");

/* Notices about pinned connections, and claims to a VIP. Writer: XDP. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 << 10);
} notices SEC(".maps");

/* What the daemon says without a system call. Writer: Python, through a mapping. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps");

#endif
