#include "generate.h"
#include "answer.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

enum { GENERATE_TOKENS_MAX = 100 * 1000, GENERATE_BYTES_PER_TOKEN = 4 };

static const char *const words[] = {"the",  " river", " runs", " past", " the", " mill",
                                    " and", " on",    " to",   " the",  " sea", "."};

static const char *generate_word(long i) {
  size_t count = sizeof(words) / sizeof(*words);
  return i && i % (long)count == 0 ? " the" : words[i % (long)count];
}

long generate_prompt_tokens(const struct conn *c) {
  return (long)(c->req.body_bytes / GENERATE_BYTES_PER_TOKEN) + 1;
}

/* A name was kept with its escapes, so that it goes back as it came. */
void generate_add_model(struct conn *c) {
  if (c->req.json.model[0])
    buf_printf(&c->body, "\"%s\"", c->req.json.model);
  else
    buf_json(&c->body, engine.options.model, strlen(engine.options.model));
}

static void generate_add_usage(struct conn *c) {
  const struct generation *g = &c->req.generation;
  long prompt = generate_prompt_tokens(c);
  buf_printf(&c->body,
             ",\"usage\":{\"prompt_tokens\":%ld,\"completion_tokens\":%ld,\"total_tokens\":%ld}",
             prompt, g->sent, prompt + g->sent);
}

static void generate_add_prefix(struct conn *c, const char *chat, const char *completion) {
  const struct generation *g = &c->req.generation;
  bool is_chat = g->shape == SHAPE_CHAT;
  buf_printf(&c->body, "{\"id\":\"%s-%016llx\",\"object\":\"%s\",\"created\":%ld,\"model\":",
             is_chat ? "chatcmpl" : "cmpl", (unsigned long long)g->number,
             is_chat ? chat : completion, g->created_s);
  generate_add_model(c);
}

static void generate_add_text(struct conn *c) {
  struct generation *g = &c->req.generation;
  for (; g->sent < g->tokens; g->sent++)
    buf_text(&c->body, generate_word(g->sent));
  engine.tokens_total += (uint64_t)g->sent;
}

static void generate_whole_toolkit(struct conn *c) {
  buf_text(&c->body, "[{\"generated_text\":\"");
  generate_add_text(c);
  buf_text(&c->body, "\"}]");
}

static void generate_whole_openai(struct conn *c) {
  bool chat = c->req.generation.shape == SHAPE_CHAT;
  generate_add_prefix(c, "chat.completion", "text_completion");
  buf_text(&c->body, ",\"choices\":[{\"index\":0,");
  buf_text(&c->body, chat ? "\"message\":{\"role\":\"assistant\",\"content\":\"" : "\"text\":\"");
  generate_add_text(c);
  buf_text(&c->body, chat ? "\"}" : "\"");
  buf_text(&c->body, ",\"logprobs\":null,\"finish_reason\":\"stop\"}]");
  generate_add_usage(c);
  buf_text(&c->body, "}");
}

static void generate_whole(struct conn *c) {
  if (c->req.generation.shape == SHAPE_TOOLKIT)
    generate_whole_toolkit(c);
  else
    generate_whole_openai(c);
  answer_send(c, 200, ANSWER_JSON);
}

/* Begins an event in c->body, up to what differs. */
static void generate_event_begin(struct conn *c) {
  buf_clear(&c->body);
  buf_text(&c->body, "data: ");
  generate_add_prefix(c, "chat.completion.chunk", "text_completion");
}

/* One event is one chunk; it is one write too, unless everything is sent at once. */
static void generate_event_send(struct conn *c) {
  buf_text(&c->body, "\n\n");
  engine.events_total++;
  answer_piece(c, buf_at(&c->body), buf_len(&c->body));
  if (engine.period_us)
    conn_flush(c);
}

/* For whom it matters that every event came once, in order, and how long it took. */
static void generate_add_stamp(struct conn *c) {
  struct generation *g = &c->req.generation;
  g->last_us = timer_clock_us();
  if (!g->first_us)
    g->first_us = g->last_us;
  buf_printf(&c->body, ",\"index\":%ld,\"sent_us\":%llu", g->sent - 1,
             (unsigned long long)g->last_us);
}

static void generate_event_choice(struct conn *c, const char *before, const char *text,
                                  const char *after, const char *reason, bool token) {
  generate_event_begin(c);
  buf_printf(&c->body, ",\"choices\":[{\"index\":0,%s%s%s,\"logprobs\":null,\"finish_reason\":%s}]",
             before, text, after, reason);
  if (c->req.json.include_usage)
    buf_text(&c->body, ",\"usage\":null");
  if (token && engine.options.stamp)
    generate_add_stamp(c);
  buf_text(&c->body, "}");
  generate_event_send(c);
}

static void generate_event_token(struct conn *c) {
  struct generation *g = &c->req.generation;
  bool chat = g->shape == SHAPE_CHAT;
  const char *word = generate_word(g->sent++);
  engine.tokens_total++;
  generate_event_choice(c, chat ? "\"delta\":{\"content\":\"" : "\"text\":\"", word,
                        chat ? "\"}" : "\"", "null", true);
}

static void generate_event_finish(struct conn *c) {
  bool chat = c->req.generation.shape == SHAPE_CHAT;
  generate_event_choice(c, chat ? "\"delta\":{}" : "\"text\":\"\"", "", "", "\"stop\"", false);
}

static void generate_event_usage(struct conn *c) {
  generate_event_begin(c);
  buf_text(&c->body, ",\"choices\":[]");
  generate_add_usage(c);
  buf_text(&c->body, "}");
  generate_event_send(c);
}

static void generate_finish(struct conn *c) {
  generate_event_finish(c);
  if (c->req.json.include_usage && c->state != CONN_CLOSED)
    generate_event_usage(c);
  if (c->state == CONN_CLOSED)
    return;
  answer_piece(c, "data: [DONE]\n\n", 14);
  answer_finish(c, NULL);
}

/* True when the stream is over, one way or another. */
static bool generate_is_over(struct conn *c) {
  const struct generation *g = &c->req.generation;
  if (c->state == CONN_CLOSED)
    return true;
  if (fault_cuts(&c->req.faults, g->sent)) {
    conn_flush(c);
    fault_cut(c);
    return true;
  }
  if (g->sent < g->tokens)
    return false;
  generate_finish(c);
  return true;
}

/* Tokens are due at fixed times: a late turn is followed by an early one. A client that does not
 * read makes its stream wait. */
static void generate_tick(struct conn *c) {
  struct generation *g = &c->req.generation;
  if (buf_len(&c->out) < CONN_OUT_MAX_BYTES)
    generate_event_token(c);
  if (generate_is_over(c))
    return;
  g->next_us += engine.period_us;
  c->req.resume = generate_tick;
  timer_set(&c->timer, g->next_us);
}

static void generate_first_tick(struct conn *c) {
  uint64_t period_us = engine.period_us;
  uint64_t next_us = engine.now_us + period_us;
  if (engine.options.burst)
    next_us -= next_us % period_us;
  c->req.generation.next_us = next_us;
  c->req.resume = generate_tick;
  timer_set(&c->timer, next_us);
}

static void generate_stream(struct conn *c) {
  if (c->req.generation.shape == SHAPE_CHAT)
    generate_event_choice(c, "\"delta\":{\"role\":\"assistant\",\"content\":\"\"}", "", "", "null",
                          false);
  else if (engine.period_us)
    conn_flush(c);
  while (!generate_is_over(c)) {
    if (engine.period_us) {
      generate_first_tick(c);
      return;
    }
    generate_event_token(c);
  }
}

/* Answers of two engines must not share a number. */
static uint64_t generate_number(void) {
  static uint64_t number;
  if (!number)
    number = (uint64_t)getpid() << 32;
  return ++number;
}

static void generate_plan(struct conn *c, enum generation_shape shape) {
  struct generation *g = &c->req.generation;
  g->shape = shape;
  g->tokens = c->req.json.has_tokens ? c->req.json.tokens : engine.options.tokens;
  if (g->tokens > GENERATE_TOKENS_MAX)
    g->tokens = GENERATE_TOKENS_MAX;
  g->number = generate_number();
  g->created_s = (long)time(NULL);
}

static void generate_begin(struct conn *c, enum generation_shape shape) {
  if (c->req.body != BODY_JSON || !json_is_object(&c->req.json)) {
    answer_error(c, 400, "The body is not a JSON object.");
    return;
  }
  generate_plan(c, shape);
  if (c->req.json.stream && shape != SHAPE_TOOLKIT)
    answer_begin(c, 200, "text/event-stream", ANSWER_CHUNKED, "cache-control: no-cache\r\n",
                 generate_stream);
  else if (engine.period_us && c->req.generation.tokens)
    request_later(c, (uint64_t)c->req.generation.tokens * engine.period_us, generate_whole);
  else
    generate_whole(c);
}

void generate_chat(struct conn *c) {
  generate_begin(c, SHAPE_CHAT);
}

void generate_completion(struct conn *c) {
  generate_begin(c, SHAPE_COMPLETION);
}

void generate_toolkit(struct conn *c) {
  generate_begin(c, SHAPE_TOOLKIT);
}
