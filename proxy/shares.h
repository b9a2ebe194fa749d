/* What this proxy uses and wants of limits that hold for the whole fleet: the places of
 * replicas with concurrency_max, the limits of tokens. Main thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/clock.h"

struct endpoint_record;
struct endpoint_shared;
struct replica_shared;
struct store;
struct token_set;

/* Asks for places at the ready replicas, by who waits and who is there. */
void shares_of_replicas(struct store *s, const struct endpoint_shared *e,
                        const struct endpoint_record *record,
                        struct replica_shared *const *replicas);
/* The same for tokens that were used since the last time; `apart` is how long ago that was. */
void shares_of_tokens(struct store *s, struct token_set *tokens, usec_t apart);
/* A new set: limits that are not in use begin with an even share for each proxy. */
void shares_new_tokens(const struct token_set *tokens, int proxies);
/* An answer: false when it is not for a token. */
bool shares_give_token(const struct token_set *tokens, const char *name, double allowed);
/* Places that were given. True: more were wanted meanwhile, and are to be asked for. */
bool shares_give_places(struct replica_shared *r, double allowed);
/* The store is away: an even share for each proxy, at least one place. No answer comes to what
 * was asked before. */
void shares_alone(struct replica_shared *r, int proxies);
void shares_alone_tokens(const struct token_set *tokens, int proxies);
/* The replica's quota. */
void shares_name(const struct endpoint_shared *e, const struct replica_shared *r, char *to,
                 size_t room);
