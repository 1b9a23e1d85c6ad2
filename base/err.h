/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/*
 * Error codes. Every fallible function returns `int`: 0, or one of the negative ERR_* below.
 * Outputs are valid only on 0. errno and library codes are translated where they enter the program.
 */
enum err_code {
#define ERR(name, number, class, text) ERR_##name = -(number),
#include "base/err.def"
#undef ERR
};

/*
 * What an error has killed, smallest first: the reaction follows from the class, not from the code.
 */
enum err_class {
	ERR_CLASS_NONE,    /* no error */
	ERR_CLASS_RETRY,   /* nothing: the same call may succeed later */
	ERR_CLASS_REQUEST, /* this request */
	ERR_CLASS_LINK,    /* this connection */
	ERR_CLASS_PEER,    /* everything shared with this peer */
	ERR_CLASS_VM,      /* this VM */
	ERR_CLASS_NODE,    /* this process or host */
};

/*
 * Text of a code for people ("connection lost"); never NULL, unknown codes read "unknown error".
 * Context: any.
 */
const char *err_text(int code);

/* Name of a code ("LINK_DOWN") for logs and protocols. Context: any. */
const char *err_name(int code);

/* Class of a code. Context: any. */
enum err_class err_class(int code);

/* The code for an errno value; never 0. Context: any. */
int err_from_errno(int errnum);

#endif
