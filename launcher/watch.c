/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include "auto.h"
#include "command.h"
#include "fdpass.h"
#include "protocol.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

int watch_report(int sock, enum report_kind kind, const struct pid1 *pid1, const siginfo_t *end)
{
	struct report message = {
		.kind = (int32_t)kind,
		.pid = pid1->pid,
		.code = end ? end->si_code : 0,
		.status = end ? end->si_status : 0,
	};

	return fdpass_send(sock, &message, sizeof(message), &pid1->pidfd,
			   kind == REPORT_RUNNING ? 1 : 0);
}

bool watch_released(int sock, bool wait)
{
	char word;
	ssize_t n;

	do	/* a command comes too late now */
		n = recv(sock, &word, 1, wait ? 0 : MSG_DONTWAIT);
	while ((n < 0 && errno == EINTR) || (n == 1 && word != WORD_RELEASE));
	return n == 1 || (n < 0 && errno == EAGAIN);
}

/* Return: true for WORD_RELEASE, false when nixuser-boot is gone; in between it may want a command run. */
static bool obey(const struct machine *machine, const struct pid1 *pid1, struct commands *commands,
		 bool *ret_over)
{
	union {
		struct run_word run;
		char bytes[CONTROL_SIZE_MAX];
	} word;
	struct report report = {.kind = REPORT_STARTED};
	int fds[3] = {-1, -1, -1}, master = -1, i;
	size_t n = 0, len = 0;
	int r = fdpass_recv(machine->sock, &word, sizeof(word), fds, 3, &n, &len);

	*ret_over = r < 0 || len == 0 || word.bytes[0] != WORD_RUN;
	if (*ret_over)
		return r == 0 && len == 1 && word.bytes[0] == WORD_RELEASE;
	i = len <= sizeof(word.run) || n != (word.run.terminal ? 0 : 3) ? -EPROTO
		: command_start(machine, pid1, &word.run, len, fds, commands, &master);
	report.id = word.run.id;
	report.pid = i < 0 ? 0 : commands->list[i].pid;
	report.status = i < 0 ? i : 0;
	/* Failing, nixuser-boot is gone, and we hear of it. */
	(void)fdpass_send(machine->sock, &report, sizeof(report),
			  (int[]){i < 0 ? -1 : commands->list[i].pidfd, master},
			  i < 0 ? 0 : master < 0 ? 1 : 2);
	auto_close_fd(&master);
	for (i = 0; i < 3; i++)
		auto_close_fd(&fds[i]);
	return false;
}

static void report_command(int sock, struct commands *commands, size_t i)
{
	struct report report = {.kind = REPORT_EXITED, .id = commands->list[i].id,
				.pid = commands->list[i].pid};
	siginfo_t end = {0};

	command_reap(commands, i, &end);
	report.code = end.si_code;
	report.status = end.si_status;
	(void)fdpass_send(sock, &report, sizeof(report), NULL, 0);	/* as above */
}

/* PID 1 does not end before we have reaped those that came in from outside: pid_namespaces(7). */
bool watch(const struct machine *machine, const struct pid1 *pid1, siginfo_t *ret_end)
{
	struct commands commands = {.n = 0};
	bool released = false, over = false;

	for (;;) {
		struct pollfd fds[2 + COMMANDS_MAX] = {
			{.fd = pid1->pidfd, .events = POLLIN},
			{.fd = over ? -1 : machine->sock, .events = POLLIN},
		};
		size_t n = commands.n;

		for (size_t i = 0; i < n; i++)
			fds[2 + i] = (struct pollfd){.fd = commands.list[i].pidfd, .events = POLLIN};
		if (poll(fds, 2 + n, -1) < 0)
			continue;	/* EINTR */
		for (size_t i = n; i-- > 0;) {
			if (fds[2 + i].revents)
				report_command(machine->sock, &commands, i);
		}
		if (fds[1].revents)
			released = obey(machine, pid1, &commands, &over);
		if (over && fds[1].revents)
			(void)kill(pid1->pid, SIGKILL);	/* not reaped yet: the pid is its */
		if (fds[0].revents)
			break;
	}
	while (waitid(P_PID, (id_t)pid1->pid, ret_end, WEXITED) < 0 && errno == EINTR)
		;
	return released;
}

