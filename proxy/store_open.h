/* The store that the configuration names. */
#pragma once

#include <stdbool.h>

struct config;
struct loop;
struct store;

/* `id` names this process to the others; `proxy`: it is one. Both texts and config
 * outlive the store. NULL when memory ran out. */
struct store *store_open(struct loop *loop, const struct config *config, const char *id,
                         bool proxy);

enum { PROCESS_ID_BYTES = 64 };
/* A new one: the host's name and a random number. False: there are no random numbers. */
bool store_identify(char id[PROCESS_ID_BYTES]);
