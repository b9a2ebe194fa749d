/* The outcomes a fallible function may have.  One enum for the whole tree, so
 * that a caller can pass an outcome on without translating it.  Functions that
 * return it are must-check; the library floors never log and never exit. */
#pragma once

enum err {
  OK = 0,
  ERR_MEMORY,  /* an allocation failed */
  ERR_LIMIT,   /* a named limit was reached */
  ERR_AGAIN,   /* not now: ask again when told to */
  ERR_CLOSED,  /* the peer ended its side in order */
  ERR_IO,      /* a system call failed; errno says how */
  ERR_SYNTAX,  /* bytes or text do not follow their grammar */
  ERR_RANGE,   /* well-formed, but outside what is allowed */
  ERR_ABSENT,  /* no such thing */
  ERR_EXISTS,  /* there is one already */
  ERR_REFUSED, /* the peer said no */
  ERR_TIMEOUT, /* a deadline passed */
  ERR_TLS,     /* the TLS library refused; its error queue says how */
};

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* A short English word for logs and tests. */
const char *err_word(enum err e);
