/* SPDX-License-Identifier: Apache-2.0
 *
 * What the light source and the light player share: the clock, RTSP text, non-blocking sockets.
 */
#ifndef WIRE_H
#define WIRE_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX 4096 /* of a request or a response, with its body */
#define RTP_HEADER 12
#define FRAME_HEADER 4 /* '$', channel, length: RFC 2326 section 10.12 */

static inline void fail(const char *what)
{
	fprintf(stderr, "error: cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

static inline void check(int result, const char *what)
{
	if (result < 0)
		fail(what);
}

static inline int64_t now_us(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000000LL + at.tv_nsec / 1000;
}

/* As many descriptors as we may have, for a thousand players hold three thousand; and to be woken in time. */
static inline void prepare(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	check(prctl(PR_SET_TIMERSLACK, 1), "set the slack of timers");
	check(setrlimit(RLIMIT_NOFILE, &limit), "raise the limit of descriptors");
}

static inline struct sockaddr_in address_of(const char *host, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		fprintf(stderr, "error: %s is no IPv4 address\n", host);
		exit(1);
	}
	return address;
}

/* A bound socket, or -1 where the address is taken. */
static inline int udp_socket(struct sockaddr_in address, int buffer)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	check(fd, "make a UDP socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Events, or none after so many microseconds. */
static inline int wait_us(int epoll, struct epoll_event *events, int room, int64_t patience)
{
	struct timespec until = {patience / 1000000, patience % 1000000 * 1000};

	return epoll_pwait2(epoll, events, room, &until, NULL);
}

static inline void watch(int epoll, int fd, uint32_t events, uint64_t mark)
{
	struct epoll_event event = {.events = events, .data.u64 = mark};

	check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "watch a socket");
}

/* The value of a header, or NULL; names as they are usually written. */
static inline const char *header(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? at + strlen(name) : NULL;
}

/* Octets of a whole message at the beginning of a text, 0 if it is not whole. */
static inline size_t message_length(const char *text, size_t length)
{
	const char *end = memmem(text, length, "\r\n\r\n", 4);
	const char *body;
	size_t whole;

	if (!end)
		return 0;
	whole = end + 4 - text;
	body = header(text, "Content-Length: ");
	if (body && body < end)
		whole += atoi(body);
	return whole <= length ? whole : 0;
}

static inline void put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static inline void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

#endif
