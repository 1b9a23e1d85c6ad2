/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stddef.h>

#include "base/check.h"

struct err_row {
	int code;
	enum err_class class;
	const char *name;
	const char *text;
};

static const struct err_row err_rows[] = {
	{0, ERR_CLASS_NONE, "OK", "no error"},
#define ERR(name, number, class, text) {-(number), ERR_CLASS_##class, #name, text},
#include "base/err.def"
#undef ERR
};

static const struct err_row *err_find(int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(err_rows); i++)
		if (err_rows[i].code == code)
			return &err_rows[i];
	return NULL;
}

const char *err_text(int code)
{
	const struct err_row *row = err_find(code);
	return row != NULL ? row->text : "unknown error";
}

const char *err_name(int code)
{
	const struct err_row *row = err_find(code);
	return row != NULL ? row->name : "UNKNOWN";
}

enum err_class err_class(int code)
{
	const struct err_row *row = err_find(code);
	return row != NULL ? row->class : ERR_CLASS_REQUEST;
}

int err_from_errno(int errnum)
{
	switch (errnum) {
	case EAGAIN:
	case EINTR:
	case EBUSY:
		return ERR_AGAIN;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECANCELED:
		return ERR_CANCELED;
	case ENOBUFS:
		return ERR_FULL;
	case EINVAL:
	case ENOTDIR:
	case EISDIR:
	case ENAMETOOLONG:
		return ERR_INVAL;
	case ERANGE:
	case EOVERFLOW:
		return ERR_RANGE;
	case ENOENT:
	case ESRCH:
	case ENXIO:
	case ENODEV:
		return ERR_NOT_FOUND;
	case EEXIST:
	case EADDRINUSE:
		return ERR_EXISTS;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_DENIED;
	case EOPNOTSUPP:
	case EAFNOSUPPORT:
	case EPROTONOSUPPORT:
		return ERR_UNSUPPORTED;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_NO_SPACE;
	case EBADMSG:
	case EILSEQ:
		return ERR_FORMAT;
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EADDRNOTAVAIL:
		return ERR_CONNECT;
	case EPIPE:
	case ECONNRESET:
	case ECONNABORTED:
	case ENOTCONN:
	case ENETDOWN:
		return ERR_LINK_DOWN;
	case EPROTO:
		return ERR_PROTOCOL;
	case ENOMEM:
		return ERR_NO_MEMORY;
	case EMFILE:
	case ENFILE:
		return ERR_NO_FD;
	case ENOSYS:
		return ERR_KERNEL;
	default:
		return ERR_IO;
	}
}
