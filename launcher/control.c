/* SPDX-License-Identifier: MIT */
#include "control.h"

#include "auto.h"
#include "fdpass.h"
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define CLIENTS_MAX 64

struct client {
	struct control *control;
	int fd;			/* -1 for a free place */
	sd_event_source *source;
	uint64_t number;	/* in the order they came */
	uint32_t run_id;	/* of the command it waits for; 0 for none */
	int pidfd;		/* of that */
};

struct control {
	sd_event *event;
	sd_event_source *source;
	int listen_fd;
	int launch_sock;
	const struct control_hooks *hooks;
	uint64_t clients_ever;
	uint32_t runs_ever;
	struct client clients[CLIENTS_MAX];
};

/* One message with its text. */
struct reply {
	struct control_reply head;
	char text[CONTROL_SIZE_MAX - sizeof(struct control_reply)];
};

static void let_go(struct client *client)
{
	/* As a terminal would: whoever has asked for it is gone. */
	if (client->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, client->pidfd, SIGHUP, NULL, 0);
	sd_event_source_disable_unref(client->source);
	auto_close_fd(&client->fd);
	auto_close_fd(&client->pidfd);
	*client = (struct client){.control = client->control, .fd = -1, .pidfd = -1};
}

/* Without waiting: a client that does not read what it asked for is let go. */
static void answer(struct client *client, const struct reply *reply, size_t text_len,
		   const int *fds, size_t n)
{
	if (fdpass_send(client->fd, reply, sizeof(reply->head) + text_len, fds, n) < 0)
		let_go(client);
}

static void answer_error(struct client *client, int r)
{
	const struct reply reply = {.head = {.version = CONTROL_VERSION, .kind = CONTROL_DONE,
					     .error = r < 0 ? -r : 0}};

	answer(client, &reply, 0, NULL, 0);
}

static void describe(struct client *client)
{
	const struct control_hooks *hooks = client->control->hooks;
	struct reply reply = {.head = {.version = CONTROL_VERSION, .kind = CONTROL_DONE}};
	size_t len = hooks->describe(hooks->data, reply.text, sizeof(reply.text));

	answer(client, &reply, len, NULL, 0);
}

/* What comes of it, nixuser-launch reports. */
static int pass_on(struct client *client, const struct control_request *request, size_t len,
		   const int *fds, size_t n)
{
	struct {
		struct run_word head;
		char strings[CONTROL_SIZE_MAX - sizeof(struct run_word)];
	} word = {.head = {.word = WORD_RUN, .terminal = request->terminal != 0,
			   .argc = request->argc, .id = ++client->control->runs_ever}};
	size_t strings_len = len - sizeof(*request);

	if (client->run_id != 0)
		return -EBUSY;
	if (strings_len == 0 || strings_len > sizeof(word.strings) ||
	    n != (word.head.terminal ? 0 : 3))
		return -EPROTO;
	client->run_id = word.head.id;
	memcpy(word.strings, request + 1, strings_len);
	return fdpass_send(client->control->launch_sock, &word, sizeof(word.head) + strings_len,
			   fds, n);
}

static void handle(struct client *client, const struct control_request *request, size_t len,
		   const int *fds, size_t n)
{
	const struct control_hooks *hooks = client->control->hooks;
	int r = 0;

	if (len < sizeof(*request) || request->version != CONTROL_VERSION ||
	    (n > 0 && request->call != CONTROL_RUN))
		r = -EPROTO;
	else if (request->call == CONTROL_STATUS)
		return describe(client);
	else if (request->call == CONTROL_STOP)
		hooks->stop(hooks->data);
	else if (request->call == CONTROL_KILL)
		r = hooks->kill(hooks->data, request->signal);
	else if (request->call == CONTROL_RUN)
		r = pass_on(client, request, len, fds, n);
	else
		r = -EOPNOTSUPP;
	if (r < 0 || request->call != CONTROL_RUN)
		answer_error(client, r);
}

static int on_request(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct client *client = data;
	union {
		struct control_request head;
		char bytes[CONTROL_SIZE_MAX];
	} request;
	int fds[3] = {-1, -1, -1};
	size_t n = 0, len = 0;
	int r = fdpass_recv(fd, &request, sizeof(request), fds, 3, &n, &len);

	(void)source;
	(void)revents;
	if (r == -EAGAIN)
		return 0;
	if (r < 0 || len == 0)
		let_go(client);
	else
		handle(client, &request.head, len, fds, n);
	for (size_t i = 0; i < 3; i++)
		auto_close_fd(&fds[i]);
	return 0;
}

/* A free place, or that of the oldest client that waits for nothing. */
static struct client *find_place(struct control *control)
{
	struct client *place = NULL;

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &control->clients[i];

		if (client->fd < 0)
			return client;
		if (client->run_id == 0 && (!place || client->number < place->number))
			place = client;
	}
	if (place)
		let_go(place);
	return place;
}

static bool is_ours(int fd)
{
	struct ucred ucred;
	socklen_t size = sizeof(ucred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &size) == 0 && ucred.uid == getuid();
}

static int on_connect(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct control *control = data;
	auto_close int client_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;

	(void)source;
	(void)revents;
	if (client_fd < 0 || !is_ours(client_fd))
		return 0;
	client = find_place(control);
	if (!client)
		return 0;
	*client = (struct client){.control = control, .fd = fd_steal(&client_fd), .pidfd = -1,
				  .number = ++control->clients_ever};
	if (sd_event_add_io(control->event, &client->source, client->fd, EPOLLIN, on_request,
			    client) < 0)
		let_go(client);
	return 0;
}

/* By the descriptor: no other directory can come in between. */
static int listen_at(int runtime_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	(void)snprintf(address.sun_path, sizeof(address.sun_path),
		       "/proc/self/fd/%d/" CONTROL_SOCKET, runtime_fd);	/* sized for it */
	/* One that a crash has left. */
	if (unlinkat(runtime_fd, CONTROL_SOCKET, 0) < 0 && errno != ENOENT)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0)
		return -errno;
	return fd_steal(&fd);
}

int control_open(sd_event *event, int runtime_fd, int launch_sock,
		 const struct control_hooks *hooks, struct control **ret)
{
	static struct control control;	/* a process has one machine */
	int r;

	control = (struct control){.event = event, .launch_sock = launch_sock, .hooks = hooks};
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		control.clients[i] = (struct client){.control = &control, .fd = -1, .pidfd = -1};
	r = control.listen_fd = listen_at(runtime_fd);
	if (r >= 0)
		r = sd_event_add_io(event, &control.source, control.listen_fd, EPOLLIN, on_connect,
				    &control);
	if (r < 0) {
		auto_close_fd(&control.listen_fd);
		return r;
	}
	*ret = &control;
	return 0;
}

void control_report(struct control *control, const struct report *report, const int *fds, size_t n)
{
	struct client *client = NULL;
	struct reply reply = {.head = {
		.version = CONTROL_VERSION,
		.kind = report->kind == REPORT_STARTED ? CONTROL_STARTED : CONTROL_EXITED,
		.error = report->kind == REPORT_STARTED ? -report->status : 0,
		.code = report->code, .status = report->status,
	}};

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (control->clients[i].fd >= 0 && control->clients[i].run_id == report->id)
			client = &control->clients[i];
	}
	if (!client) {	/* gone before it began */
		if (n > 0)
			(void)syscall(SYS_pidfd_send_signal, fds[0], SIGHUP, NULL, 0);
		return;
	}
	if (report->kind == REPORT_STARTED && n > 0)
		client->pidfd = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
	else
		auto_close_fd(&client->pidfd);
	if (report->kind == REPORT_EXITED || report->status < 0)
		client->run_id = 0;
	answer(client, &reply, 0, n > 1 ? fds + 1 : NULL, n > 1 ? 1 : 0);
}

void control_close(struct control *control)
{
	if (!control)
		return;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		sd_event_source_disable_unref(control->clients[i].source);
	sd_event_source_disable_unref(control->source);
	auto_close_fd(&control->listen_fd);
}
