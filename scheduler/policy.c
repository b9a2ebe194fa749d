#include "scheduler/policy.h"

#include <stdarg.h>
#include <stdio.h>

static void ring_reset(struct policy *p) {
  p->first = p->count = 0;
}

static int place(const struct policy *p, int i) {
  return (p->first + i) % POLICY_SAMPLES_MAX;
}

/* Long windows are sampled more coarsely, so that they fit. */
static void ring_push(struct policy *p, const struct endpoint_scaling *scaling,
                      const struct policy_sample *s) {
  if (p->count) {
    int last = place(p, p->count - 1);
    if (s->pending_us < p->ring[last].pending_us) /* a proxy has gone, with its integral */
      ring_reset(p);
    else if (s->at - p->ring[last].at <
             scaling->scale_down_window_s * USEC_PER_S / (POLICY_SAMPLES_MAX / 2))
      return;
  }
  if (p->count == POLICY_SAMPLES_MAX) {
    p->first = place(p, 1);
    p->count--;
  }
  int at = place(p, p->count++);
  p->ring[at].at = s->at;
  p->ring[at].pending_us = s->pending_us;
}

/* The mean over the window that ends now; false while it reaches back before `since`
 * or before what is known. */
static bool mean_over(const struct policy *p, const struct policy_sample *s, usec_t window,
                      usec_t since, double *mean) {
  usec_t from = s->at - window;
  if (from < since || p->count == 0)
    return false;
  int best = -1;
  for (int i = 0; i < p->count && p->ring[place(p, i)].at <= from; i++)
    best = place(p, i);
  if (best < 0)
    return false;
  usec_t passed = s->at - p->ring[best].at;
  *mean = passed > 0 ? (double)(s->pending_us - p->ring[best].pending_us) / (double)passed : 0;
  return true;
}

__attribute__((format(printf, 4, 5))) static struct policy_decision
decide(struct policy *p, const struct policy_sample *s, int desired, const char *format, ...) {
  struct policy_decision d = {.desired = desired};
  va_list args;
  va_start(args, format);
  vsnprintf(d.reason, sizeof d.reason, format, args);
  va_end(args);
  p->up_since = p->down_since = s->at;
  return d;
}

/* Whether requests came since the last look; streams still open count, too. */
static bool look_for_activity(struct policy *p, const struct policy_sample *s) {
  bool came = s->requests_total > p->requests_seen;
  p->requests_seen = s->requests_total;
  if (came || s->pending || s->open || s->wanted)
    p->active_at = s->at;
  return came;
}

static double seconds(usec_t us) {
  return (double)us / USEC_PER_S;
}

struct policy_decision policy_decide(struct policy *p, const struct endpoint_scaling *scaling,
                                     bool paused, int current, int alive,
                                     const struct policy_sample *s) {
  if (!p->started) {
    p->started = true;
    p->up_since = p->down_since = p->active_at = s->at;
    p->requests_seen = s->requests_total;
  }
  bool came = look_for_activity(p, s);
  ring_push(p, scaling, s);
  int least = (int)scaling->min_replicas, most = (int)scaling->max_replicas;
  if (paused)
    return current ? decide(p, s, 0, "the endpoint is paused") : (struct policy_decision){0};
  if (current < least)
    return decide(p, s, least, "min_replicas is %d", least);
  if (current > most)
    return decide(p, s, most, "max_replicas is %d", most);
  if (current == 0 && (s->wanted || came))
    return decide(p, s, 1, "woken from zero: %lld requests pending, %s", (long long)s->pending,
                  s->wanted ? "a request waits for a replica" : "a request came");
  double mean;
  if (current > 0 && current < most && alive > 0 &&
      mean_over(p, s, scaling->scale_up_window_s * USEC_PER_S, p->up_since, &mean) &&
      mean / alive > scaling->pending_per_replica)
    return decide(p, s, current + 1,
                  "mean pending %.2f per replica (%.2f over %d) for %lld s is above %.2f",
                  mean / alive, mean, alive, (long long)scaling->scale_up_window_s,
                  scaling->pending_per_replica);
  if (current > 1 && current > least &&
      mean_over(p, s, scaling->scale_down_window_s * USEC_PER_S, p->down_since, &mean) &&
      mean / (current - 1) < scaling->pending_per_replica)
    return decide(p, s, current - 1,
                  "mean pending %.2f for %lld s would be %.2f per replica with %d, below %.2f",
                  mean, (long long)scaling->scale_down_window_s, mean / (current - 1), current - 1,
                  scaling->pending_per_replica);
  if (current > 0 && least == 0 && scaling->scale_to_zero_s > 0 &&
      s->at - p->active_at >= scaling->scale_to_zero_s * USEC_PER_S)
    return decide(p, s, 0, "no request for %.0f s (scale_to_zero_s %lld), after %lld requests",
                  seconds(s->at - p->active_at), (long long)scaling->scale_to_zero_s,
                  (long long)s->requests_total);
  return (struct policy_decision){.desired = current};
}
