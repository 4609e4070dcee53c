// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "probe/way_back.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct question {
	struct nlmsghdr header;
	struct rtmsg route;
	char attributes[128];
};

static void add(struct question *question, unsigned short type, const void *value, size_t size)
{
	struct rtattr *attribute =
		(void *)((char *)question + NLMSG_ALIGN(question->header.nlmsg_len));

	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(size);
	memcpy(RTA_DATA(attribute), value, size);
	question->header.nlmsg_len =
		(unsigned int)(NLMSG_ALIGN(question->header.nlmsg_len) + RTA_LENGTH(size));
}

static void ask(struct question *question, int family, unsigned int mark)
{
	const char *nobody = family == AF_INET ? "192.0.2.1" : "2001:db8::1";
	size_t size = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	struct in6_addr to;

	inet_pton(family, nobody, &to);
	*question = (struct question){
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
			   .nlmsg_type = RTM_GETROUTE,
			   .nlmsg_flags = NLM_F_REQUEST},
		.route = {.rtm_family = (unsigned char)family,
			  .rtm_dst_len = (unsigned char)(8 * size)},
	};
	add(question, RTA_DST, &to, size);
	add(question, RTA_MARK, &mark, sizeof(mark));
}

int way_back_leads_here(int family, unsigned int mark)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), result;
	_Alignas(struct nlmsghdr) char answer[4096];
	const struct nlmsghdr *header = (const void *)answer;
	const struct rtmsg *route = NLMSG_DATA(header);
	struct question question;
	ssize_t size;

	if (fd < 0)
		return -errno;
	ask(&question, family, mark);
	size = send(fd, &question, question.header.nlmsg_len, 0);
	if (size >= 0)
		size = recv(fd, answer, sizeof(answer), 0);
	result = size < 0 ? -errno : 0;
	close(fd);
	/* An error: there is no route at all. */
	if (size < (ssize_t)NLMSG_LENGTH(sizeof(*route)) || header->nlmsg_type != RTM_NEWROUTE)
		return result;
	return route->rtm_type == RTN_LOCAL;
}

int way_back_may_pretend(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, err = 0;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof(on)))
		err = -errno;
	close(fd);
	return err;
}
