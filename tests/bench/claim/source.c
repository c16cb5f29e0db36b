// SPDX-License-Identifier: Apache-2.0
/*
 * source PORT STREAM: an RTSP server that sends one stream, paced, to a thousand players.
 *
 * STREAM holds RTP payloads that stream.py has cut, with the SDP. Each player gets it from its beginning, a key
 * picture, one picture every 40 ms, over UDP or interleaved, and a sender report every 5 s. It tells one line of
 * JSON of each session that ends: when which request came, what it heard and sent.
 */
#include "wire.h"
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SESSIONS_MAX 4096
#define PICTURE_US 40000
#define PICTURE_TICKS 3600 /* of the 90 kHz clock */
#define REPORT_US 5000000
#define TICK_US 250 /* short, so that no burst is longer than a queue of a veth */
#define REST_US 1000000
#define PACKETS_MAX 256 /* of a picture */
#define PAIRS_MAX 4	/* of UDP ports: one for each local address */
#define RTP_PORT 6970
#define REQUESTS_MAX 16
#define PUNCH 8 /* octets of an RTCP datagram that only opens a way */
#define BUFFER (8 << 20)
#define BEHIND_US 1000000 /* a player so far behind is not caught up with: the machine is too slow */

struct packet {
	uint16_t length;
	uint8_t marker, key;
	uint32_t picture;
} __attribute__((packed));

struct stream {
	uint32_t pictures, packets, sdp_length;
	const char *sdp;
	const uint8_t **payloads;
	struct packet *heads;
	uint32_t *first; /* packet of each picture, and one beyond */
};

struct session {
	int fd, used, playing, interleaved, channel;
	uint32_t events;
	struct sockaddr_in rtp, rtcp;
	int pair;
	uint32_t ssrc, ticks;
	uint16_t sequence;
	uint32_t picture;
	int64_t opened, started, due, report;
	char text[TEXT_MAX + 1];
	size_t length;
	uint8_t *left; /* what the socket did not take */
	size_t left_length, left_at;
	uint32_t packets, skipped, heard, requests;
	uint64_t octets, heard_octets;
	int64_t heard_first, heard_last;
	struct {
		char method[16];
		int64_t at;
	} request[REQUESTS_MAX];
};

struct pair {
	struct in_addr local;
	int rtp, rtcp;
};

static struct stream stream;
static struct session sessions[SESSIONS_MAX];
static struct session *by_port[65536]; /* of the player's RTP or RTCP; all players have one address */
static struct pair pairs[PAIRS_MAX];
static int pair_count, highest, playing;

static void read_stream(const char *path)
{
	struct stat status;
	const uint8_t *at;
	int fd = open(path, O_RDONLY);

	check(fd, "open the stream");
	check(fstat(fd, &status), "read the stream");
	at = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (at == MAP_FAILED)
		fail("map the stream");
	memcpy(&stream, at, 12);
	stream.sdp = strndup((const char *)at + 12, stream.sdp_length);
	at += 12 + stream.sdp_length;
	stream.payloads = calloc(stream.packets, sizeof(*stream.payloads));
	stream.heads = calloc(stream.packets, sizeof(*stream.heads));
	stream.first = calloc(stream.pictures + 1, sizeof(*stream.first));
	for (uint32_t n = 0; n < stream.packets; n++) {
		memcpy(&stream.heads[n], at, sizeof(struct packet));
		stream.payloads[n] = at + sizeof(struct packet);
		stream.first[stream.heads[n].picture + 1] = n + 1;
		at = stream.payloads[n] + stream.heads[n].length;
	}
}

static int pair_of(struct in_addr local, int epoll)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = local};

	for (int n = 0; n < pair_count; n++)
		if (pairs[n].local.s_addr == local.s_addr)
			return n;
	if (pair_count == PAIRS_MAX) {
		fprintf(stderr, "error: asked at more than %d local addresses\n", PAIRS_MAX);
		exit(1);
	}
	pairs[pair_count].local = local;
	address.sin_port = htons(RTP_PORT);
	pairs[pair_count].rtp = udp_socket(address, BUFFER);
	address.sin_port = htons(RTP_PORT + 1);
	pairs[pair_count].rtcp = udp_socket(address, BUFFER);
	check(pairs[pair_count].rtp, "bind the RTP port");
	check(pairs[pair_count].rtcp, "bind the RTCP port");
	watch(epoll, pairs[pair_count].rtp, EPOLLIN, SESSIONS_MAX + 2 * pair_count);
	watch(epoll, pairs[pair_count].rtcp, EPOLLIN, SESSIONS_MAX + 2 * pair_count + 1);
	return pair_count++;
}

static void tell(const struct session *s)
{
	printf("{\"packets\": %u, \"octets\": %lu, \"skipped\": %u, \"reports\": %u, \"report_octets\": %lu, "
	       "\"first_report_us\": %ld, \"last_report_us\": %ld, \"requests\": [",
	       s->packets, s->octets, s->skipped, s->heard, s->heard_octets, s->heard_first, s->heard_last);
	for (uint32_t n = 0; n < s->requests; n++)
		printf("%s[\"%s\", %ld]", n ? ", " : "", s->request[n].method, s->request[n].at - s->opened);
	printf("]}\n");
	fflush(stdout);
}

static void forget(int port, const struct session *s)
{
	if (by_port[port] == s)
		by_port[port] = NULL;
}

static void end(struct session *s)
{
	tell(s);
	close(s->fd);
	free(s->left);
	forget(ntohs(s->rtp.sin_port), s);
	forget(ntohs(s->rtcp.sin_port), s);
	playing -= s->playing;
	memset(s, 0, sizeof(*s));
}

/* Send on the connection; what it does not take waits. */
static void say(struct session *s, struct iovec *pieces, int count, int epoll)
{
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
	size_t whole = 0, at = 0;
	ssize_t sent;

	for (int n = 0; n < count; n++)
		whole += pieces[n].iov_len;
	sent = s->left ? 0 : sendmsg(s->fd, &message, MSG_NOSIGNAL);
	if (sent < 0)
		sent = 0; /* a lost connection is told by epoll */
	if ((size_t)sent == whole)
		return;
	s->left = realloc(s->left, s->left_length + whole - sent);
	for (int n = 0; n < count; at += pieces[n].iov_len, n++) {
		size_t skip = at + pieces[n].iov_len <= (size_t)sent ? pieces[n].iov_len
			      : at < (size_t)sent		     ? sent - at
								     : 0;
		memcpy(s->left + s->left_length, (uint8_t *)pieces[n].iov_base + skip,
		       pieces[n].iov_len - skip);
		s->left_length += pieces[n].iov_len - skip;
	}
	if (s->events == EPOLLIN) {
		struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.u64 = s - sessions};

		epoll_ctl(epoll, EPOLL_CTL_MOD, s->fd, &event);
		s->events = event.events;
	}
}

static void say_left(struct session *s, int epoll)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = s - sessions};
	ssize_t sent = send(s->fd, s->left + s->left_at, s->left_length - s->left_at, MSG_NOSIGNAL);

	if (sent > 0)
		s->left_at += sent;
	if (s->left_at < s->left_length)
		return;
	free(s->left);
	s->left = NULL;
	s->left_length = s->left_at = 0;
	epoll_ctl(epoll, EPOLL_CTL_MOD, s->fd, &event);
	s->events = event.events;
}

static void send_picture(struct session *s, int epoll)
{
	static uint8_t heads[PACKETS_MAX][FRAME_HEADER + RTP_HEADER];
	static struct iovec pieces[2 * PACKETS_MAX];
	static struct mmsghdr datagrams[PACKETS_MAX];
	uint32_t first = stream.first[s->picture], count = stream.first[s->picture + 1] - first;

	if (count > PACKETS_MAX)
		count = PACKETS_MAX;
	for (uint32_t n = 0; n < count; n++) {
		struct packet *packet = &stream.heads[first + n];
		uint8_t *head = heads[n], *rtp = head + FRAME_HEADER;
		int skip = s->interleaved ? 0 : FRAME_HEADER;

		head[0] = '$';
		head[1] = s->channel;
		put16(head + 2, RTP_HEADER + packet->length);
		rtp[0] = 0x80;
		rtp[1] = 96 | packet->marker << 7;
		put16(rtp + 2, s->sequence++);
		put32(rtp + 4, s->ticks);
		put32(rtp + 8, s->ssrc);
		pieces[2 * n] = (struct iovec){head + skip, FRAME_HEADER + RTP_HEADER - skip};
		pieces[2 * n + 1] = (struct iovec){(void *)stream.payloads[first + n], packet->length};
		datagrams[n].msg_hdr = (struct msghdr){.msg_name = &s->rtp,
						       .msg_namelen = sizeof(s->rtp),
						       .msg_iov = &pieces[2 * n],
						       .msg_iovlen = 2};
		s->octets += packet->length;
	}
	s->packets += count;
	if (s->interleaved)
		say(s, pieces, 2 * count, epoll);
	else
		for (uint32_t sent = 0; sent < count;) {
			int took = sendmmsg(pairs[s->pair].rtp, datagrams + sent, count - sent, 0);

			sent += took > 0 ? took : 1; /* one that cannot be sent is lost, as on any wire */
		}
}

/* A sender report and a CNAME: RFC 3550 section 6.4.1. */
static void send_report(struct session *s, int epoll)
{
	uint8_t text[FRAME_HEADER + 48] = {'$', s->channel + 1, 0, 48, 0x80, 200, 0, 6};
	uint8_t *sdes = text + FRAME_HEADER + 28;
	struct timespec wall;
	struct iovec piece = {text, sizeof(text)};

	clock_gettime(CLOCK_REALTIME, &wall);
	put32(text + 8, s->ssrc);
	put32(text + 12, wall.tv_sec + 2208988800U);
	put32(text + 16, (uint32_t)(wall.tv_nsec * 4.294967296));
	put32(text + 20, s->ticks);
	put32(text + 24, s->packets);
	put32(text + 28, s->octets);
	memcpy(sdes, (uint8_t[]){0x81, 202, 0, 4}, 4);
	put32(sdes + 4, s->ssrc);
	memcpy(sdes + 8, "\1\6source", 8);
	if (s->interleaved)
		say(s, &piece, 1, epoll);
	else
		sendto(pairs[s->pair].rtcp, text + FRAME_HEADER, 48, 0, (struct sockaddr *)&s->rtcp,
		       sizeof(s->rtcp));
}

/* All that is due; a connection that is behind skips pictures, as servers do. */
static void pace(int epoll)
{
	int64_t now = now_us();

	for (int n = 0; n < highest; n++) {
		struct session *s = &sessions[n];

		if (!s->playing)
			continue;
		if (now - s->due > BEHIND_US)
			s->due = now;
		for (; s->due <= now; s->due += PICTURE_US) {
			if (s->left)
				s->skipped++;
			else
				send_picture(s, epoll);
			s->picture = (s->picture + 1) % stream.pictures;
			s->ticks += PICTURE_TICKS;
		}
		if (s->report <= now) {
			send_report(s, epoll);
			s->report += REPORT_US;
		}
	}
}

static void set_up(struct session *s, const char *text, char *answer, size_t room, int epoll)
{
	struct sockaddr_in peer, local;
	socklen_t length = sizeof(peer);
	const char *wish = header(text, "Transport: ");
	const char *ports = wish ? strstr(wish, "client_port=") : NULL;
	int rtp = ports ? atoi(ports + 12) : 0;

	getpeername(s->fd, (struct sockaddr *)&peer, &length);
	length = sizeof(local);
	getsockname(s->fd, (struct sockaddr *)&local, &length);
	s->ssrc = random();
	s->sequence = random();
	s->interleaved = wish && strstr(wish, "RTP/AVP/TCP") != NULL;
	if (s->interleaved) {
		snprintf(answer, room, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=%08X\r\n", s->ssrc);
		return;
	}
	s->rtp = s->rtcp = peer;
	s->rtp.sin_port = htons(rtp);
	s->rtcp.sin_port = htons(rtp + 1);
	by_port[rtp & 0xffff] = by_port[(rtp + 1) & 0xffff] = s;
	s->pair = pair_of(local.sin_addr, epoll);
	snprintf(answer, room,
		 "Transport: RTP/AVP;unicast;client_port=%d-%d;server_port=%d-%d;ssrc=%08X\r\n", rtp, rtp + 1,
		 RTP_PORT, RTP_PORT + 1, s->ssrc);
}

static void answer(struct session *s, const char *text, int epoll)
{
	char said[TEXT_MAX], more[512] = "", method[16] = "", uri[256] = "";
	const char *sequence = header(text, "CSeq: "), *body = "";
	struct iovec piece = {said, 0};

	sscanf(text, "%15s %255s", method, uri);
	if (s->requests < REQUESTS_MAX) {
		strcpy(s->request[s->requests].method, method);
		s->request[s->requests++].at = now_us();
	}
	if (!strcmp(method, "OPTIONS")) {
		strcpy(more, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n");
	} else if (!strcmp(method, "DESCRIBE")) {
		body = stream.sdp;
		snprintf(more, sizeof(more), "Content-Base: %s/\r\nContent-Type: application/sdp\r\n", uri);
	} else if (!strcmp(method, "SETUP")) {
		set_up(s, text, more, sizeof(more), epoll);
	} else if (!strcmp(method, "PLAY") && !s->playing) {
		s->playing = 1;
		playing++;
		s->started = s->due = s->report = now_us();
		snprintf(more, sizeof(more), "Range: npt=0.000-\r\nRTP-Info: url=%sstream=0;seq=%u;rtptime=0\r\n",
			 uri, s->sequence);
	}
	piece.iov_len = snprintf(said, sizeof(said),
				 "RTSP/1.0 200 OK\r\nCSeq: %d\r\nSession: %08lX;timeout=60\r\n%sContent-Length: "
				 "%zu\r\n\r\n%s",
				 sequence ? atoi(sequence) : 0, (s - sessions) + 0x10000000L, more, strlen(body),
				 body);
	say(s, &piece, 1, epoll);
	if (!strcmp(method, "TEARDOWN")) {
		playing -= s->playing;
		s->playing = 0;
	}
}

static void note_report(struct session *s, size_t length)
{
	s->heard_last = now_us() - s->opened;
	if (!s->heard++)
		s->heard_first = s->heard_last;
	s->heard_octets += length;
}

/* Requests, and interleaved reports of the player. Returns -1 where the connection is over. */
static int hear(struct session *s, int epoll)
{
	ssize_t got = recv(s->fd, s->text + s->length, TEXT_MAX - s->length, 0);
	size_t whole;

	if (got <= 0)
		return got < 0 && errno == EAGAIN ? 0 : -1;
	s->length += got;
	for (;; s->length -= whole, memmove(s->text, s->text + whole, s->length)) {
		s->text[s->length] = 0;
		if (s->text[0] == '$' && s->length >= FRAME_HEADER) {
			whole = FRAME_HEADER + ((uint8_t)s->text[2] << 8 | (uint8_t)s->text[3]);
			if (whole > s->length)
				break;
			note_report(s, whole - FRAME_HEADER);
			continue;
		}
		whole = message_length(s->text, s->length);
		if (!whole || s->text[0] == '$')
			break;
		answer(s, s->text, epoll);
	}
	return s->length < TEXT_MAX ? 0 : -1;
}

static void hear_datagrams(int fd, int reports)
{
	static char room[64][16];
	static struct sockaddr_in from[64];
	struct iovec pieces[64];
	struct mmsghdr datagrams[64];
	int got;

	for (int n = 0; n < 64; n++) {
		pieces[n] = (struct iovec){room[n], sizeof(room[n])};
		datagrams[n].msg_hdr = (struct msghdr){
		    .msg_name = &from[n], .msg_namelen = sizeof(from[n]), .msg_iov = &pieces[n], .msg_iovlen = 1};
	}
	got = recvmmsg(fd, datagrams, 64, MSG_TRUNC, NULL);
	for (int n = 0; n < got; n++) {
		struct session *s = by_port[ntohs(from[n].sin_port)];

		if (s && reports && datagrams[n].msg_len > PUNCH)
			note_report(s, datagrams[n].msg_len);
	}
}

static void welcome(int listener, int epoll)
{
	int fd, one = 1, n;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		for (n = 0; n < SESSIONS_MAX && sessions[n].used; n++)
			;
		if (n == SESSIONS_MAX) {
			close(fd);
			continue;
		}
		if (n >= highest)
			highest = n + 1;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		sessions[n] = (struct session){.fd = fd, .used = 1, .opened = now_us(), .events = EPOLLIN};
		watch(epoll, fd, EPOLLIN, n);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct epoll_event events[256];
	int listener, epoll = epoll_create1(EPOLL_CLOEXEC), one = 1, count;
	const uint64_t listening = SESSIONS_MAX + 2 * PAIRS_MAX;

	if (argc != 3) {
		fprintf(stderr, "usage: source PORT STREAM\n");
		return 2;
	}
	prepare();
	read_stream(argv[2]);
	srandom(1);
	address.sin_port = htons(atoi(argv[1]));
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	check(bind(listener, (struct sockaddr *)&address, sizeof(address)), "bind");
	check(listen(listener, 4096), "listen");
	watch(epoll, listener, EPOLLIN, listening);
	for (;;) {
		count = wait_us(epoll, events, 256, playing ? TICK_US : REST_US);
		for (int n = 0; n < count; n++) {
			uint64_t mark = events[n].data.u64;
			struct session *s = &sessions[mark];

			if (mark == listening) {
				welcome(listener, epoll);
			} else if (mark >= SESSIONS_MAX) {
				struct pair *pair = &pairs[(mark - SESSIONS_MAX) / 2];

				hear_datagrams(mark & 1 ? pair->rtcp : pair->rtp, mark & 1);
			} else if (s->used) {
				if (events[n].events & EPOLLOUT && s->left)
					say_left(s, epoll);
				if (events[n].events & ~EPOLLOUT && hear(s, epoll) < 0)
					end(s);
			}
		}
		if (playing)
			pace(epoll);
	}
}
