#pragma once

#include <sys/socket.h>

struct address {
	struct sockaddr_storage sa;
	socklen_t len;
};

/* ADDR:PORT, or [ADDR]:PORT for IPv6; -EINVAL when it is neither. */
int address_parse(const char *text, struct address *out);
