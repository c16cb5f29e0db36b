/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the XDP program and the daemon agree on: keys and values of the maps, and records of the rings.
 * layout.py packs the same structs; a test holds it against the BTF of the object.
 *
 * No struct has hidden padding. Addresses are 16 octets for both families, IPv4 as ::ffff:a.b.c.d, in
 * network order; one pin map then serves both, and a lookup costs the same. Every other number is in host
 * order unless its type is __be16 or __be32. Times are nanoseconds of CLOCK_MONOTONIC (coarse), but those
 * that every packet writes are ticks of the kernel (jiffies), which cost nothing to read.
 */
#ifndef RTSPDSR_SHARED_H
#define RTSPDSR_SHARED_H

#include <linux/types.h>

/*
 * Raise it with every change to this file or to maps.h: it names the directory of the pins. Another version's
 * maps are read by the names of members, so a member whose unit changes gets another name.
 */
#define LAYOUT_VERSION 4

#define SERVICE_PORTS 8	   /* RTSP ports of one service */
#define SLOT_COUNT 65537   /* slots of one service */
#define TURN_COUNT 4096	   /* turns of one service at most */
#define VIP_PLACES 4096	   /* of the table of VIPs: a power of two, eight times the VIPs there may be */
#define VIP_PROBES 16	   /* places where a VIP may be: its own, and those behind it */
#define CHUNK_PINS 16384   /* statistics of so many pins are one inner map: 1 MiB */
#define FRAME_SMALL 2048   /* a detoured frame up to this takes a small record */
#define FRAME_MAX 65536	   /* a super-packet of generic mode takes a large one */

struct address {
	__be32 words[4]; /* words, and not octets, for the sake of their alignment */
};

/* One VIP. Two VIPs (one of each family) may name the same service. */
struct service {
	__u32 id;	   /* index of the service's slot table and counters */
	__be16 ports[SERVICE_PORTS];  /* RTSP ports, 0 after the last */
	__u32 pad;
};

enum vip_state {
	VIP_FREE = 0,	/* never taken: a search ends here */
	VIP_SERVED = 1,
	VIP_LEFT = 2,	/* served no longer: a search goes on */
};

/* One place of the table of VIPs, exactly one cache line. */
struct vip {
	struct address address;
	struct service service;
	__u32 state;
	__u32 pad[5];
};

/* Where a service's slots begin in the map of slots: one of its two halves. One store flips it. */
struct slot_table {
	__u32 base;
	__u32 filled; /* 0 until a first table stands */
};

enum schedule_flag {
	SCHEDULE_BY_TURN = 1,	    /* a new client takes the next turn; else its slot says where it goes */
	SCHEDULE_REPEATS = 2,	    /* after the last turn comes the first; else slots say again */
	SCHEDULE_BY_CONNECTION = 4, /* every connection is placed by itself, and not with its client */
};

/*
 * How a service places new clients. Turns are a sequence of backends in one of the service's two halves of the
 * map of turns. A reader that meets half an old entry and half a new one takes a turn that is as good as any.
 */
struct schedule {
	__u64 begins; /* turns that had been taken before the first of these; 0 if they repeat */
	__u32 base;
	__u32 count;
	__u32 flags;
	__u32 pad;
};

/* How many new clients a backend may still be given. */
struct room {
	__u64 until; /* as long as fewer than so many have been admitted in all */
	__u64 limited; /* 0: any number */
};

/* The client half of a five-tuple; the family of client and the service name the VIP. */
struct flow_key {
	struct address client;
	__be16 client_port;
	__be16 service_port; /* 0 for UDP */
	__u16 service;
	__u8 proto;
	__u8 pad;
};

struct client_key {
	struct address client;
	__u32 service;
};

enum pin_flag {
	PIN_UNREAD = 1,	  /* forwarded without a detour: opaque or distrusted */
	PIN_UPSTREAM = 2, /* carries media upstream: scan, detour only what holds a request */
};

struct pin {
	__u32 statistics; /* place in the statistics, 0 = not counted */
	__u16 backend;
	__u16 flags;
};

/* Exactly one cache line. XDP alone writes it; the daemon zeroes a place before it gives it out. */
struct pin_statistics {
	__u64 packets;
	__u64 bytes;
	__u64 heard_ticks;
	__u64 delivered;     /* TCP: progress of the acknowledgement number, bytes */
	__u32 acknowledged;  /* TCP: the last acknowledgement number */
	__u32 next_sequence; /* TCP: what the client sends next */
	__u32 ssrc;	     /* RTCP: first report block of the last receiver report */
	__u32 lost;	     /* RTCP: fraction (8 bits) and cumulative (24 bits, signed), as on the wire */
	__u32 highest;
	__u32 jitter;
	__u64 reported_ticks;
};

/* A TCP connection seen at its SYN. */
struct flow {
	__u64 opened_at;
	__u32 initial; /* the client's initial sequence number */
	__u16 backend;
	__u16 pad;
};

/* A client placed at a SYN a moment ago. */
struct newcomer {
	__u64 placed_at;
	__u32 backend;
	__u32 pad;
};

enum backend_flag {
	BACKEND_RESOLVED = 1, /* mac, source and ifindex are valid */
	BACKEND_UP = 2,	      /* takes new connections */
};

struct backend {
	__u8 mac[6];
	__u8 source[6]; /* the balancer's own, of the interface towards it */
	__u32 ifindex;
	__u16 flags;
	__u16 service;
	struct address addresses[2]; /* real ones, IPv4 first; zero if none: they name it after a restart */
};

struct mac_key {
	__u8 octets[6];
	__u16 pad;
};

struct interface {
	__u8 mac[6];
	__u16 pad;
};

struct traffic {
	__u64 packets;
	__u64 bytes;
};

/* The page that the daemon writes without a system call. */
struct control {
	__u64 alive_until; /* the tracker's deadline */
};

/* A segment for the tracker: the whole frame follows. A notice (a FIN, RST or the like that was sent on
 * at once) is the same record with frame_length 0 in the other ring. */
struct segment {
	struct flow_key flow;
	__u64 opened_at; /* from the flow, 0 if the SYN was not seen */
	__u64 passed_at; /* 0 if it waits to be sent on; else when it went on, for the tracker was not alive */
	__u32 initial;
	__u32 sequence;
	__u32 acknowledgement;
	__u32 ifindex;
	__u32 frame_length;
	__u16 payload_offset; /* from the start of the frame */
	__u16 payload_length;
	__u16 backend;
	__u16 tcp_offset; /* of the TCP header, from the start of the frame */
	__u8 tcp_flags;
	__u8 pad[3];
};

/* A foreign machine claims a VIP. Same ring as the notices, told apart by the record's length. */
struct vip_claim {
	struct address vip;
	__u8 mac[6];
	__u16 pad;
	__u32 ifindex;
};

/*
 * Why a packet left, and how. Names are the operator's: `rtspdsr verdicts` prints them.
 */
#define VERDICTS(V)                                                                                   \
	/* not ours: the kernel's */                                                                  \
	V(NOT_IP)	       /* neither IP nor an ARP request of ours */                            \
	V(NOT_A_VIP)	       /* another destination */                                              \
	V(UNPARSED)	       /* cut short or too many tags before a destination is known */         \
	V(VIP_CLAIMED)	       /* ARP or NA of a foreign machine that claims a VIP: an alarm */       \
	/* answered by the program itself */                                                          \
	V(ARP_ANSWERED)                                                                               \
	V(ND_ANSWERED)                                                                                \
	V(ECHO_ANSWERED)                                                                              \
	/* handed to the tracker, which sends it on */                                                \
	V(DETOURED)                                                                                   \
	/* forwarded, by the rule that chose the backend */                                           \
	V(PINNED)                                                                                     \
	V(BY_FLOW)                                                                                    \
	V(BY_CLIENT)                                                                                  \
	V(BY_NEWCOMER)                                                                                \
	V(BY_SLOT)                                                                                    \
	V(BY_TURN)                                                                                    \
	V(ICMP_ERROR)	       /* by the tuple embedded in it */                                      \
	V(TRACKER_DEAD)	       /* a segment to be read, but the tracker's deadline has passed */      \
	V(RING_FULL)	       /* a segment to be read, but no room to hand it over */                \
	/* to a VIP, and dropped */                                                                   \
	V(TRUNCATED)	       /* a header is cut short */                                            \
	V(NOT_SERVED)	       /* no service there: another TCP port, protocol or ICMP type; or IPv6    \
				* with an address of IPv4 (::ffff:0:0/96) */                          \
	V(NO_BACKEND)	       /* no backend is resolved */                                           \
	V(NO_ROOM)	       /* a new client, and every backend is full */                          \
	V(FROM_BACKEND)	       /* sent by a backend: it would loop */

enum verdict {
#define V(name) VERDICT_##name,
	VERDICTS(V)
#undef V
	VERDICT_COUNT,
};

#endif
