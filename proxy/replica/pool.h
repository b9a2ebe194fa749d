/* Connections to replicas: which protocol a request is sent by, and all that are
 * open on a worker. Which of them a request gets is the protocol's to say. */
#pragma once

#include "lib/base/err.h"

struct request;
struct worker;

/* The memory of connections and streams, on the worker. */
enum err pool_open(struct worker *w) MUST_CHECK;
/* Closes every connection; the memory follows by posts. */
void pool_close_links(struct worker *w);
/* When the posts have run; accepts what pool_open has left undone. */
void pool_close(struct worker *w);
/* Gives the request a connection to its replica, or a stream of one, as r->lease:
 * one that is ready, or one that is connecting (r->connected false; request_wake
 * when it is). ERR_IO when there cannot be one. */
enum err pool_lease(struct request *r) MUST_CHECK;
