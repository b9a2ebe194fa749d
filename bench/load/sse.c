#include "bench/load/sse.h"

#include <assert.h>
#include <string.h>

enum { STATES_MAX = 128, CLASSES = 32 };

enum mark {
  MARK_NONE,
  MARK_TEXT,   /* a string follows that makes a token when it is not empty */
  MARK_FINISH, /* a string follows, or null */
  MARK_INDEX,  /* numbers follow */
  MARK_SENT,
  MARK_COMPLETION,
  MARK_DATA, /* a field of data begins */
  MARK_DONE,
  MARK_END, /* of an event */
};

/* Inside a JSON string a quote is escaped, so that none of these is found in what a model says. */
static const struct {
  const char *text;
  enum mark mark;
} patterns[] = {
    {"content\":", MARK_TEXT},
    {"\"text\":", MARK_TEXT},
    {"\"arguments\":", MARK_TEXT},
    {"\"finish_reason\":", MARK_FINISH},
    {"\"index\":", MARK_INDEX},
    {"\"sent_us\":", MARK_SENT},
    {"\"completion_tokens\":", MARK_COMPLETION},
    {"\ndata:", MARK_DATA},
    {"\ndata:[DONE]", MARK_DONE},
    {"\ndata: [DONE]", MARK_DONE},
    {"\n\n", MARK_END},
    {"\n\r\n", MARK_END},
};

enum { PATTERNS = sizeof patterns / sizeof *patterns };

/* The automaton of Aho and Corasick. Class 0 is every byte that is in no pattern. */
static uint8_t class_of[256], next[STATES_MAX][CLASSES], mark_of[STATES_MAX];
static int states;

static void classes_make(void) {
  int classes = 1;
  for (int i = 0; i < PATTERNS; i++)
    for (const char *c = patterns[i].text; *c; c++)
      if (!class_of[(unsigned char)*c])
        class_of[(unsigned char)*c] = (uint8_t)classes++;
  assert(classes <= CLASSES);
}

static void tree_make(void) {
  states = 1;
  for (int i = 0; i < PATTERNS; i++) {
    int at = 0;
    for (const char *c = patterns[i].text; *c; c++) {
      uint8_t *edge = &next[at][class_of[(unsigned char)*c]];
      if (!*edge)
        *edge = (uint8_t)states++;
      at = *edge;
      assert(states < STATES_MAX);
    }
    mark_of[at] = patterns[i].mark;
  }
}

/* Breadth first: what a state's longest proper suffix would do, where it has no edge itself. */
static void edges_complete(void) {
  uint8_t queue[STATES_MAX], suffix[STATES_MAX] = {0};
  int head = 0, tail = 0;
  for (int c = 0; c < CLASSES; c++)
    if (next[0][c])
      queue[tail++] = next[0][c];
  while (head < tail) {
    int at = queue[head++];
    if (!mark_of[at])
      mark_of[at] = mark_of[suffix[at]];
    for (int c = 0; c < CLASSES; c++) {
      int to = next[at][c];
      if (to) {
        suffix[to] = next[suffix[at]][c];
        queue[tail++] = (uint8_t)to;
      } else {
        next[at][c] = next[suffix[at]][c];
      }
    }
  }
}

void sse_prepare(void) {
  if (states)
    return;
  classes_make();
  tree_make();
  edges_complete();
}

/* As after a line's end: the first line begins. */
void sse_begin(struct sse *s) {
  memset(s, 0, sizeof *s);
  s->state = next[0][class_of['\n']];
}

static void number_end(struct sse *s) {
  if (s->value == MARK_SENT)
    s->event.sent_us = (int64_t)s->number;
  else if (s->value == MARK_COMPLETION)
    s->completion_tokens = s->number;
  else
    s->index = s->number;
}

static void number_byte(struct sse *s, char c) {
  if (c >= '0' && c <= '9') {
    s->number = s->number * 10 + (uint64_t)(c - '0');
    s->stage = 1;
    return;
  }
  if (s->stage)
    number_end(s);
  s->value = MARK_NONE;
}

/* stage 0: before the quote, 1: behind it. */
static void string_byte(struct sse *s, char c) {
  bool opens = s->stage == 0 && c == '"';
  if (s->value == MARK_FINISH)
    s->event.finish |= opens;
  else if (opens) {
    s->stage = 1;
    return;
  } else if (s->stage)
    s->event.token |= c != '"';
  s->value = MARK_NONE;
}

static void value_byte(struct sse *s, char c) {
  if (c == ' ' && s->stage == 0)
    return;
  if (s->value >= MARK_INDEX)
    number_byte(s, c);
  else
    string_byte(s, c);
}

/* Choices have an index too: the stamp's is the one just in front of sent_us. */
static void value_begin(struct sse *s, enum mark mark) {
  s->value = mark;
  s->stage = 0;
  s->number = 0;
  if (mark == MARK_SENT) {
    s->event.stamped = true;
    s->event.index = s->index;
  }
}

/* True when an event has ended that is more than a comment. */
static bool event_end(struct sse *s, struct sse_event *event) {
  bool data = s->data;
  *event = s->event;
  s->event = (struct sse_event){0};
  s->data = false;
  s->value = MARK_NONE;
  return data;
}

bool sse_next(struct sse *s, struct slice *in, struct sse_event *event) {
  uint8_t state = s->state;
  for (size_t i = 0; i < in->len; i++) {
    char c = in->data[i];
    if (s->value)
      value_byte(s, c);
    state = next[state][class_of[(unsigned char)c]];
    uint8_t mark = mark_of[state];
    if (!mark)
      continue;
    if (mark == MARK_DATA)
      s->data = true;
    else if (mark == MARK_DONE)
      s->event.done = true;
    else if (mark != MARK_END)
      value_begin(s, mark);
    else if (event_end(s, event)) {
      s->state = state;
      *in = slice_skip(*in, i + 1);
      return true;
    }
  }
  s->state = state;
  *in = slice_skip(*in, in->len);
  return false;
}
