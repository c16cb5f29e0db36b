// SPDX-License-Identifier: Apache-2.0
/*
 * player HOST PORT PATH PLAYERS RATE udp|tcp D,S,P: as many players as are asked for, RATE of them a second.
 *
 * Each asks, punches and reports as ffmpeg does (libavformat 59), counts what it gets and looks at none of it but
 * the headers. It takes its time, as ffmpeg does: D, S and P microseconds before DESCRIBE, SETUP and PLAY. Once all have a key picture one line says so; SIGTERM ends them with TEARDOWN, and then there is one
 * line of JSON for each.
 */
#include "wire.h"

#define PLAYERS_MAX 4096
#define FIRST_PORT 10000
#define LAST_PORT 64000
#define REPORT_OCTETS 280000 /* RTP heard between two receiver reports of ffmpeg */
#define PEEK 32		     /* octets of a datagram that are looked at */
#define READ_MAX (256 << 10)
#define DATAGRAMS 32
#define UDP_BUFFER (256 << 10) /* ffmpeg asks for 384 kB; the kernel gives what net.core.rmem_max allows */
#define END_US 3000000
#define REST_US 100000
#define AGENT "User-Agent: Lavf59.27.100\r\n"

enum stage { IDLE, CONNECTING, OPTIONS, DESCRIBE, SETUP, PLAY, PLAYING, TEARDOWN, OVER };
enum { RTSP, RTP, RTCP, KINDS };

struct player {
	enum stage stage;
	int fd, rtp, rtcp, port, failed, sequence;
	int64_t began, asked, due, first;
	int64_t answered[4]; /* microseconds that OPTIONS, DESCRIBE, SETUP, PLAY took */
	char session[64], control[256];
	struct sockaddr_in server_rtp, server_rtcp;
	uint8_t text[TEXT_MAX];
	size_t length;
	uint32_t ssrc, packets, lost, reports;
	uint16_t highest;
	uint64_t octets, reported;
};

static struct player players[PLAYERS_MAX];
static struct sockaddr_in server;
static const char *host, *path;
static int epoll, interleaved, count, port;
static int64_t think[TEARDOWN]; /* before the request of a stage */
static volatile sig_atomic_t ending;

static void on_signal(int number)
{
	ending = number;
}

static void end(struct player *p, int failed)
{
	p->failed |= failed;
	p->stage = OVER;
	close(p->fd);
	if (p->rtp) {
		close(p->rtp);
		close(p->rtcp);
	}
}

static void ask(struct player *p, const char *method, const char *uri, const char *headers)
{
	char text[TEXT_MAX];
	int length = snprintf(text, sizeof(text), "%s %s RTSP/1.0\r\n%sCSeq: %d\r\n" AGENT "%s%s%s\r\n", method,
			      uri, headers, ++p->sequence, *p->session ? "Session: " : "", p->session,
			      *p->session ? "\r\n" : "");

	p->asked = now_us();
	if (send(p->fd, text, length, MSG_NOSIGNAL) != length)
		end(p, 1);
}

static void punch(struct player *p)
{
	uint8_t rtp[RTP_HEADER] = {0x80}, rtcp[8] = {0x80, 201, 0, 1};

	sendto(p->rtp, rtp, sizeof(rtp), 0, (struct sockaddr *)&p->server_rtp, sizeof(server));
	sendto(p->rtcp, rtcp, sizeof(rtcp), 0, (struct sockaddr *)&p->server_rtcp, sizeof(server));
}

/* The next request of a stage that begins. */
static void request(struct player *p)
{
	char uri[512], headers[256];

	snprintf(uri, sizeof(uri), "rtsp://%s:%d/%s", host, port, path);
	switch (p->stage) {
	case OPTIONS:
		return ask(p, "OPTIONS", uri, "");
	case DESCRIBE:
		return ask(p, "DESCRIBE", uri, "Accept: application/sdp\r\n");
	case SETUP:
		if (interleaved)
			strcpy(headers, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n");
		else
			snprintf(headers, sizeof(headers),
				 "Transport: RTP/AVP/UDP;unicast;client_port=%d-%d\r\n", p->port, p->port + 1);
		return ask(p, "SETUP", p->control, headers);
	case PLAY:
		if (!interleaved)
			punch(p);
		strcat(uri, "/");
		return ask(p, "PLAY", uri, "Range: npt=0.000-\r\n");
	case TEARDOWN:
		strcat(uri, "/");
		return ask(p, "TEARDOWN", uri, "");
	default:
		return;
	}
}

static void begin(struct player *p, enum stage stage)
{
	p->stage = stage;
	p->due = now_us() + think[stage];
}

/* The next pair of ports that nobody has: other players of this machine take theirs at random. */
static void open_ports(struct player *p)
{
	static int next = FIRST_PORT;
	struct sockaddr_in local = {.sin_family = AF_INET};
	int number = p - players;

	for (p->rtcp = -1; p->rtcp < 0; next += 2) {
		if (next > LAST_PORT)
			fail("find a free pair of UDP ports");
		local.sin_port = htons(next);
		p->rtp = udp_socket(local, UDP_BUFFER);
		if (p->rtp < 0)
			continue;
		local.sin_port = htons(next + 1);
		p->rtcp = udp_socket(local, UDP_BUFFER);
		if (p->rtcp < 0)
			close(p->rtp);
	}
	p->port = next - 2;
	watch(epoll, p->rtp, EPOLLIN, number * KINDS + RTP);
	watch(epoll, p->rtcp, EPOLLIN, number * KINDS + RTCP);
}

static void start(struct player *p)
{
	int one = 1;

	p->began = now_us();
	p->ssrc = random();
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	check(p->fd, "make a socket");
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	p->stage = CONNECTING;
	if (connect(p->fd, (struct sockaddr *)&server, sizeof(server)) < 0 && errno != EINPROGRESS)
		return end(p, 1);
	watch(epoll, p->fd, EPOLLIN | EPOLLOUT, (p - players) * KINDS + RTSP);
}

/* Where SETUP goes: the control of the first video track, beneath the Content-Base unless it is absolute. */
static void find_control(struct player *p, const char *text)
{
	const char *media = strstr(text, "m=video"), *control = media ? strstr(media, "a=control:") : NULL;
	char name[128] = "";

	if (control)
		sscanf(control, "a=control:%127[^\r\n]", name);
	if (!strncmp(name, "rtsp://", 7))
		snprintf(p->control, sizeof(p->control), "%s", name);
	else
		snprintf(p->control, sizeof(p->control), "rtsp://%s:%d/%s/%s", host, port, path, name);
}

static void take_transport(struct player *p, const char *text)
{
	const char *ports = strstr(text, "server_port=");
	int first = 0, second = 0;

	p->server_rtp = p->server_rtcp = server;
	if (ports)
		sscanf(ports, "server_port=%d-%d", &first, &second);
	p->server_rtp.sin_port = htons(first);
	p->server_rtcp.sin_port = htons(second);
}

static void answered(struct player *p, const char *text)
{
	const char *session = header(text, "Session: ");

	if (p->stage == TEARDOWN)
		return end(p, 0);
	if (strncmp(text, "RTSP/1.0 200", 12) || p->stage < OPTIONS || p->stage > PLAY) {
		fprintf(stderr, "refused at stage %d: %.40s\n", p->stage, text);
		return end(p, 1);
	}
	p->answered[p->stage - OPTIONS] = now_us() - p->asked;
	switch (p->stage) {
	case OPTIONS:
		return begin(p, DESCRIBE);
	case DESCRIBE:
		find_control(p, text);
		if (!interleaved)
			open_ports(p);
		return begin(p, SETUP);
	case SETUP:
		if (session)
			sscanf(session, "%63[^;\r\n]", p->session);
		take_transport(p, text);
		return begin(p, PLAY);
	default:
		p->stage = PLAYING;
	}
}

/* Whether a key picture begins in a payload: RFC 6184, a parameter set or an IDR slice, whole or its first part. */
static int begins_key(const uint8_t *payload)
{
	int type = payload[0] & 31;

	if (type == 24) /* STAP-A */
		type = payload[3] & 31;
	if (type == 28) /* FU-A */
		return payload[1] & 0x80 && (payload[1] & 31) == 5;
	return type == 5 || type == 7;
}

/* A receiver report and a CNAME, as libavformat's rtpdec.c makes them. */
static void report(struct player *p, const uint8_t *rtp)
{
	static char name[48];
	uint8_t text[96] = {0x81, 201, 0, 7};
	size_t length;

	if (!*name)
		gethostname(name, sizeof(name) - 1);
	length = strlen(name);
	p->reported = p->octets;
	p->reports++;
	put32(text + 4, p->ssrc);
	memcpy(text + 8, rtp + 8, 4);
	put32(text + 12, p->lost & 0xffffff);
	put32(text + 16, p->highest);
	memcpy(text + 32, (uint8_t[]){0x81, 202, 0, (7 + length + 3) / 4}, 4);
	put32(text + 36, p->ssrc);
	text[40] = 1;
	text[41] = length;
	memcpy(text + 42, name, length);
	sendto(p->rtcp, text, 36 + 4 * ((7 + length + 3) / 4), 0, (struct sockaddr *)&p->server_rtcp,
	       sizeof(server));
}

static void heard(struct player *p, const uint8_t *rtp, size_t length)
{
	uint16_t sequence = rtp[2] << 8 | rtp[3];

	if (length < RTP_HEADER + 4)
		return;
	if (p->packets && (uint16_t)(sequence - p->highest - 1) < 0x8000)
		p->lost += (uint16_t)(sequence - p->highest - 1);
	p->highest = sequence;
	p->packets++;
	p->octets += length;
	if (!p->first && begins_key(rtp + RTP_HEADER))
		p->first = now_us();
	if (!interleaved && p->octets - p->reported >= REPORT_OCTETS)
		report(p, rtp);
}

static void hear_datagrams(struct player *p, int reports)
{
	static uint8_t room[DATAGRAMS][PEEK];
	struct iovec pieces[DATAGRAMS];
	struct mmsghdr datagrams[DATAGRAMS] = {0};
	int got;

	for (int n = 0; n < DATAGRAMS; n++) {
		pieces[n] = (struct iovec){room[n], PEEK};
		datagrams[n].msg_hdr = (struct msghdr){.msg_iov = &pieces[n], .msg_iovlen = 1};
	}
	got = recvmmsg(reports ? p->rtcp : p->rtp, datagrams, DATAGRAMS, MSG_TRUNC, NULL);
	for (int n = 0; n < got && !reports; n++)
		heard(p, room[n], datagrams[n].msg_len);
}

static void hear(struct player *p)
{
	static uint8_t room[TEXT_MAX + READ_MAX + 1];
	ssize_t got;
	size_t length = p->length, at = 0, whole;

	memcpy(room, p->text, length);
	got = recv(p->fd, room + length, READ_MAX, 0);
	if (got <= 0) {
		if (got == 0 || errno != EAGAIN)
			end(p, p->stage != TEARDOWN);
		return;
	}
	length += got;
	room[length] = 0;
	for (; at < length && p->stage != OVER; at += whole) {
		if (room[at] != '$') {
			whole = message_length((char *)room + at, length - at);
			if (!whole)
				break;
			answered(p, (char *)room + at);
			continue;
		}
		if (length - at < FRAME_HEADER)
			break;
		whole = FRAME_HEADER + (room[at + 2] << 8 | room[at + 3]);
		if (whole > length - at)
			break;
		if (room[at + 1] == 0)
			heard(p, room + at + FRAME_HEADER, whole - FRAME_HEADER);
	}
	if (p->stage == OVER)
		return;
	p->length = length - at;
	if (p->length > TEXT_MAX)
		return end(p, 1);
	memcpy(p->text, room + at, p->length);
}

static void connected(struct player *p)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (p - players) * KINDS + RTSP};
	socklen_t length = sizeof(int);
	int error = 0;

	getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error)
		return end(p, 1);
	epoll_ctl(epoll, EPOLL_CTL_MOD, p->fd, &event);
	p->stage = OPTIONS;
	request(p);
}

static void handle(const struct epoll_event *event)
{
	struct player *p = &players[event->data.u64 / KINDS];
	int kind = event->data.u64 % KINDS;

	if (p->stage == OVER)
		return;
	if (kind != RTSP)
		hear_datagrams(p, kind == RTCP);
	else if (p->stage == CONNECTING)
		connected(p);
	else
		hear(p);
}

static int all_have_a_picture(void)
{
	for (int n = 0; n < count; n++)
		if (!players[n].first && players[n].stage != OVER)
			return 0;
	return 1;
}

/* The requests whose time has come. Returns when the next one is due, or `next` if that is sooner. */
static int64_t ask_when_due(int started, int64_t next)
{
	int64_t now = now_us();

	for (int n = 0; n < started; n++) {
		if (players[n].due && players[n].due <= now) {
			players[n].due = 0;
			request(&players[n]);
		} else if (players[n].due && players[n].due < next) {
			next = players[n].due;
		}
	}
	return next;
}

static void turn(int64_t patience)
{
	struct epoll_event events[256];
	int got = wait_us(epoll, events, 256, patience);

	for (int n = 0; n < got; n++)
		handle(&events[n]);
}

static void take_leave(void)
{
	int64_t until = now_us() + END_US;
	int left = 1;

	for (int n = 0; n < count; n++) {
		struct player *p = &players[n];

		if (p->stage == PLAYING) {
			p->stage = TEARDOWN;
			request(p);
		} else if (p->stage != OVER && p->stage != IDLE) {
			end(p, 1);
		}
	}
	while (left && now_us() < until) {
		turn(10000);
		left = 0;
		for (int n = 0; n < count; n++)
			left += players[n].stage == TEARDOWN;
	}
}

static void tell(const struct player *p)
{
	printf("{\"failed\": %s, \"first_us\": %ld, \"requests_us\": [%ld, %ld, %ld, %ld], \"packets\": %u, "
	       "\"octets\": %lu, \"lost\": %u, \"reports\": %u}\n",
	       p->failed || p->stage == IDLE ? "true" : "false", p->first ? p->first - p->began : 0,
	       p->answered[0], p->answered[1], p->answered[2], p->answered[3], p->packets, p->octets, p->lost,
	       p->reports);
}

int main(int argc, char **argv)
{
	int64_t began;
	int started = 0, told = 0, rate;

	if (argc != 8) {
		fprintf(stderr, "usage: player HOST PORT PATH PLAYERS RATE udp|tcp D,S,P\n");
		return 2;
	}
	host = argv[1];
	port = atoi(argv[2]);
	path = argv[3];
	count = atoi(argv[4]);
	rate = atoi(argv[5]);
	interleaved = !strcmp(argv[6], "tcp");
	sscanf(argv[7], "%ld,%ld,%ld", &think[DESCRIBE], &think[SETUP], &think[PLAY]);
	if (count < 1 || count > PLAYERS_MAX || rate < 1) {
		fprintf(stderr, "error: 1 to %d players, 1 or more a second\n", PLAYERS_MAX);
		return 2;
	}
	server = address_of(host, port);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	prepare();
	srandom(2);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	for (began = now_us(); !ending;) {
		int64_t now = now_us(), next = now + REST_US, start_at = began + started * 1000000LL / rate;

		for (; started < count && start_at <= now; start_at = began + started * 1000000LL / rate)
			start(&players[started++]);
		if (started < count && start_at < next)
			next = start_at;
		if (!told && started == count && all_have_a_picture()) {
			told = 1;
			puts("playing");
			fflush(stdout);
		}
		if (!told)
			next = ask_when_due(started, next);
		now = now_us();
		turn(next > now ? next - now : 0);
	}
	take_leave();
	for (int n = 0; n < count; n++)
		tell(&players[n]);
	return 0;
}
