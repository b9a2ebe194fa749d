#include "bench/load/exchange.h"

#include "bench/load/conn.h"
#include "bench/load/load.h"
#include "bench/load/options.h"
#include "bench/load/slots.h"

/* A running mean's share of the newest. */
static const double NEWEST_SHARE = 1.0 / 16;

void exchange_init(struct exchange *x, struct load *l, struct conn *c) {
  *x = (struct exchange){.load = l, .conn = c};
  list_init(&x->node);
  list_init(&x->timeout_node);
}

static struct tally *tally_of(const struct exchange *x) {
  return &x->load->tallies[x->row->kind];
}

static void timer_start(struct exchange *x, enum exchange_timer what, usec_t at) {
  x->timer_for = what;
  if (heap_set(&x->load->timers, &x->timer, at) != OK)
    x->giving_up = GIVE_UP_NEVER; /* out of memory: then not */
}

static void mean_add(double *mean, usec_t value) {
  *mean += ((double)value - *mean) * NEWEST_SHARE;
}

/* ---- what is asked ---- */

static size_t fill_draw(struct exchange *x) {
  const struct workload *w = &x->load->workload;
  if (x->row->kind == KIND_POST || x->row->kind == KIND_UPLOAD)
    return w->fill_bytes;
  return distribution_draw(&x->row->prompt, &x->load->draw, 0, OPTIONS_PROMPT_BYTES_MAX);
}

/* Half before the head, half in mid-stream: what is no stream has no middle. */
static void giving_up_draw(struct exchange *x) {
  struct draw *d = &x->load->draw;
  x->giving_up = GIVE_UP_NEVER;
  if (x->row->abort_share <= 0 || draw_unit(d) >= x->row->abort_share)
    return;
  bool stream = x->row->kind == KIND_STREAM && x->tokens_asked > 1;
  x->giving_up = stream && draw_unit(d) < 0.5 ? GIVE_UP_IN_STREAM : GIVE_UP_BEFORE_HEAD;
  if (stream)
    x->give_up_after = 1 + draw_next(d) % (x->tokens_asked - 1);
}

void exchange_begin(struct exchange *x, const struct workload_row *row, usec_t start) {
  struct load *l = x->load;
  heap_remove(&l->timers, &x->timer);
  x->state = EXCHANGE_WAITING;
  x->row = row;
  x->start = start;
  x->last_token = 0;
  x->status = 0;
  x->stream = 0;
  x->tokens = x->index_next = 0;
  x->head_put = x->sent = x->heard = x->done = x->finish = false;
  x->tokens_asked = row->says_tokens
                        ? distribution_draw(&row->output, &l->draw, 1, OPTIONS_OUTPUT_TOKENS_MAX)
                        : 0;
  x->authorization = workload_authorization(&l->workload);
  workload_body_begin(&x->body, &l->workload, row, fill_draw(x), x->tokens_asked);
  sse_begin(&x->sse);
  giving_up_draw(x);
  tally_of(x)->started++;
  if (l->options->timeout_s > 0)
    list_push_back(&l->timeouts, &x->timeout_node);
  conn_join(x->conn, x);
}

void exchange_begin_later(struct exchange *x, usec_t at) {
  timer_start(x, TIMER_BEGIN, at);
}

void exchange_begun(struct exchange *x) {
  x->state = EXCHANGE_ACTIVE;
  x->begun = x->load->now;
  if (x->giving_up == GIVE_UP_BEFORE_HEAD)
    timer_start(x, TIMER_GIVE_UP,
                x->begun + (usec_t)(draw_unit(&x->load->draw) * x->load->head_us[x->row->kind]));
}

/* ---- its end ---- */

static void exchange_over(struct exchange *x, usec_t pause_us) {
  x->state = EXCHANGE_IDLE;
  list_remove(&x->node);
  list_remove(&x->timeout_node);
  heap_remove(&x->load->timers, &x->timer);
  conn_left(x->conn);
  slots_heard(x, false);
  slots_ended(x, pause_us);
}

void exchange_fail(struct exchange *x, enum tally_error error) {
  tally_of(x)->errors[error]++;
  exchange_over(x, error == ERROR_CONNECT || error == ERROR_TLS ? LOAD_RETRY_US : 0);
}

void exchange_cut(struct exchange *x, enum tally_error error) {
  exchange_fail(x, x->status ? ERROR_TRUNCATED : error);
}

static void exchange_leave(struct exchange *x) {
  if (x->state == EXCHANGE_ACTIVE)
    x->conn->protocol->give_up(x->conn, x);
}

static void exchange_give_up(struct exchange *x) {
  exchange_leave(x);
  tally_of(x)->aborted++;
  exchange_over(x, 0);
}

void exchange_time_out(struct exchange *x) {
  exchange_leave(x);
  exchange_fail(x, ERROR_TIMEOUT);
}

static bool is_stream(const struct exchange *x) {
  return x->row->kind == KIND_STREAM && x->status == 200;
}

/* With stamps every gap has been seen already, but the one at the end. */
static void tokens_compare(struct exchange *x) {
  uint64_t seen = x->index_next ? x->index_next : x->tokens;
  if (seen < x->tokens_asked)
    tally_of(x)->events_lost += x->tokens_asked - seen;
  else
    tally_of(x)->events_doubled += seen - x->tokens_asked;
}

void exchange_complete(struct exchange *x) {
  struct tally *t = tally_of(x);
  if (is_stream(x) && !x->done && !x->finish) {
    exchange_fail(x, ERROR_TRUNCATED);
    return;
  }
  t->done++;
  if (x->status < TALLY_STATUSES)
    t->statuses[x->status]++;
  if (x->status / 100 == 2) {
    t->ok++;
    histogram_add(&t->latency, x->load->now - x->start);
  }
  if (is_stream(x))
    tokens_compare(x);
  else if (x->row->says_tokens)
    t->tokens += x->sse.completion_tokens;
  exchange_over(x, 0);
}

/* ---- while it runs ---- */

void exchange_due(struct exchange *x) {
  if (x->timer_for == TIMER_BEGIN)
    slots_next(x);
  else
    exchange_give_up(x);
}

void exchange_sent(struct exchange *x) {
  x->sent = true;
  if (x->row->kind != KIND_STREAM)
    slots_heard(x, true);
}

void exchange_head(struct exchange *x, int status) {
  x->status = status;
  mean_add(&x->load->head_us[x->row->kind], x->load->now - x->begun);
  if (x->giving_up == GIVE_UP_BEFORE_HEAD)
    exchange_give_up(x);
}

/* Lost: what was passed over. Doubled: what had been before. */
static void stamp_compare(struct exchange *x, const struct sse_event *e) {
  struct tally *t = tally_of(x);
  histogram_add(&t->event_age, x->load->now - e->sent_us);
  if (e->index < x->index_next) {
    t->events_doubled++;
    return;
  }
  t->events_lost += e->index - x->index_next;
  x->index_next = e->index + 1;
}

static void token_came(struct exchange *x, const struct sse_event *e) {
  struct tally *t = tally_of(x);
  usec_t now = x->load->now;
  t->tokens++;
  if (x->tokens++ == 0) {
    histogram_add(&t->first_token, now - x->start);
  } else {
    histogram_add(&t->between_tokens, now - x->last_token);
    mean_add(&x->load->gap_us[x->row->kind], now - x->last_token);
  }
  x->last_token = now;
  if (e->stamped)
    stamp_compare(x, e);
  if (x->giving_up == GIVE_UP_IN_STREAM && x->tokens == x->give_up_after)
    timer_start(x, TIMER_GIVE_UP,
                now + (usec_t)(draw_unit(&x->load->draw) * x->load->gap_us[x->row->kind]));
}

static void event_came(struct exchange *x, const struct sse_event *e) {
  tally_of(x)->events++;
  if (!x->heard)
    slots_heard(x, true);
  x->done |= e->done;
  x->finish |= e->finish;
  if (e->token)
    token_came(x, e);
}

void exchange_take(struct exchange *x, struct slice bytes) {
  struct sse_event event;
  if (!x->row->says_tokens)
    return;
  if (!is_stream(x)) {
    while (sse_next(&x->sse, &bytes, &event))
      ;
    return;
  }
  while (sse_next(&x->sse, &bytes, &event))
    event_came(x, &event);
}
