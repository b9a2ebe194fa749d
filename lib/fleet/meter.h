/* What a token with limits may use here, and what it uses: shared by all workers.
 *
 * The limits hold for the whole fleet. Each proxy has an allowance of them, which it
 * asks for by what its requests want (see store_put_quota); alone, the allowance
 * is the limit. The rate is kept by the generic cell rate algorithm with a burst of
 * one second's worth (ITU-T I.371). */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"

struct meter {
  _Atomic int refs;
  int64_t concurrency_max; /* 0: no limit */
  double requests_per_s;   /* 0: no limit */
  _Atomic int64_t active;  /* requests in this proxy */
  _Atomic int64_t active_allowed;
  _Atomic int64_t apart_us; /* between two requests at the allowed rate */
  _Atomic int64_t due_us;   /* when the next one would be due at that rate */
  _Atomic int64_t asked;    /* requests that came, allowed or not; never goes back */
  _Atomic int64_t refused;  /* of these, for too many at once */
  /* main thread: */
  int64_t asked_before, refused_before; /* at the last look */
  bool sharing;                         /* a share was asked for */
  int asking;                           /* answers that are on their way */
  double rate_allowed;                  /* as meter_allow_rate was told last */
};

struct meter *meter_new(int64_t concurrency_max, double requests_per_s) MUST_CHECK;
struct meter *meter_ref(struct meter *m);
/* Accepts NULL; returns NULL. */
struct meter *meter_unref(struct meter *m);

/* Any thread. OK: the request may go on, and meter_leave must follow. ERR_LIMIT: not
 * now; *retry_us says when it may be asked again. */
enum err meter_enter(struct meter *m, usec_t now, usec_t *retry_us) MUST_CHECK;
void meter_leave(struct meter *m);

/* Main thread: what this proxy may use from now on. */
void meter_allow_concurrency(struct meter *m, int64_t allowed);
void meter_allow_rate(struct meter *m, double requests_per_s);
