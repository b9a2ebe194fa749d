#include "proxy/steps/steps.h"

#include <stddef.h>

/* accept -> tls -> http1|http2 -> */
const struct request_step request_path[] = {
    {"route", step_route},               /* which endpoint: by host, by path */
    {"model", step_model},               /* or by what the body says */
    {"authenticate", step_authenticate}, /* who asks, and may they */
    {"limit", step_limit},               /* how much may be asked */
    {"hold", step_hold},                 /* wait until a replica has room */
    {"balance", step_balance},           /* which replica */
    {"connect", step_connect},           /* a connection to it */
    {"relay", step_relay},               /* two pipes run by themselves */
    {"finish", step_finish},             /* settle count, metrics, log line, lease */
    {NULL, NULL},
};

/* From the replica's head to the client's. */
const struct response_step response_path[] = {
    {"head", step_head},       /* the status is known: pending becomes open */
    {"rewrite", step_rewrite}, /* which fields go on */
    {"end", step_end},         /* out to the client; the body follows by its pipe */
    {NULL, NULL},
};
