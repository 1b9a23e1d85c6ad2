/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/net_addr.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

int net_addr_parse(const char *text, struct sockaddr_storage *out)
{
	char host[NET_ADDR_BYTES];
	const char *colon = strrchr(text, ':');
	size_t len = colon != NULL ? (size_t)(colon - text) : 0;
	if (colon == NULL || len == 0 || len >= sizeof(host))
		return ERR_INVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	char *name = host;
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		name++;
	}
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *ai;
	if (getaddrinfo(name, colon + 1, &hints, &ai) != 0)
		return ERR_INVAL;
	memset(out, 0, sizeof(*out));
	memcpy(out, ai->ai_addr, ai->ai_addrlen);
	freeaddrinfo(ai);
	return 0;
}

socklen_t net_addr_len(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

int net_addr_format(const struct sockaddr_storage *a, char out[NET_ADDR_BYTES])
{
	char host[64], port[8];
	if (getnameinfo((const struct sockaddr *)a, net_addr_len(a), host, sizeof(host), port,
		    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return ERR_INVAL;
	int n = snprintf(
		out, NET_ADDR_BYTES, a->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	return n > 0 && (size_t)n < NET_ADDR_BYTES ? 0 : ERR_INVAL;
}

void net_addr_set_port(struct sockaddr_storage *a, uint16_t port)
{
	if (a->ss_family == AF_INET6)
		((struct sockaddr_in6 *)a)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)a)->sin_port = htons(port);
}
