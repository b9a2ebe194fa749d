#include "media.h"
#include "answer.h"
#include "generate.h"

#include <string.h>

enum { EMBEDDING_DIMENSIONS = 8, EMBEDDINGS_MAX = 2048 };

static void media_add_base64(struct buf *b, const unsigned char *bytes, size_t n) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    size_t left = n - i;
    unsigned group = (unsigned)bytes[i] << 16;
    group |= left > 1 ? (unsigned)bytes[i + 1] << 8 : 0;
    group |= left > 2 ? bytes[i + 2] : 0;
    char text[4] = {digits[group >> 18], digits[group >> 12 & 63], '=', '='};
    if (left > 1)
      text[2] = digits[group >> 6 & 63];
    if (left > 2)
      text[3] = digits[group & 63];
    buf_add(b, text, sizeof(text));
  }
}

/* Eighths have exact floats and short decimals, so both forms can be compared. */
static void media_add_vector(struct conn *c, long index) {
  float vector[EMBEDDING_DIMENSIONS];
  for (int i = 0; i < EMBEDDING_DIMENSIONS; i++)
    vector[i] = (float)((index + i) % 8 + 1) / 8;
  if (c->req.json.base64) {
    buf_text(&c->body, "\"");
    media_add_base64(&c->body, (const unsigned char *)vector, sizeof(vector));
    buf_text(&c->body, "\"");
    return;
  }
  for (int i = 0; i < EMBEDDING_DIMENSIONS; i++)
    buf_printf(&c->body, "%c%.3f", i ? ',' : '[', (double)vector[i]);
  buf_text(&c->body, "]");
}

static void media_add_embeddings(struct conn *c) {
  long tokens = generate_prompt_tokens(c);
  buf_text(&c->body, "{\"object\":\"list\",\"data\":[");
  for (long i = 0; i < c->req.json.inputs; i++) {
    buf_printf(&c->body, "%s{\"object\":\"embedding\",\"index\":%ld,\"embedding\":", i ? "," : "",
               i);
    media_add_vector(c, i);
    buf_text(&c->body, "}");
  }
  buf_text(&c->body, "],\"model\":");
  generate_add_model(c);
  buf_printf(&c->body, ",\"usage\":{\"prompt_tokens\":%ld,\"total_tokens\":%ld}}", tokens, tokens);
}

void media_embeddings(struct conn *c) {
  if (c->req.body != BODY_JSON || !json_is_object(&c->req.json))
    answer_error(c, 400, "The body is not a JSON object.");
  else if (c->req.json.inputs < 1 || c->req.json.inputs > EMBEDDINGS_MAX)
    answer_error(c, 400, "`input` must hold 1 to 2048 texts.");
  else {
    media_add_embeddings(c);
    answer_send(c, 200, ANSWER_JSON);
  }
}

void media_embed(struct conn *c) {
  if (c->req.body != BODY_JSON || !json_is_object(&c->req.json)) {
    answer_error(c, 400, "The body is not a JSON object.");
    return;
  }
  buf_text(&c->body, "[");
  media_add_vector(c, 0);
  buf_text(&c->body, "]");
  answer_send(c, 200, ANSWER_JSON);
}

static void media_transcribed(struct conn *c, uint64_t bytes) {
  buf_printf(&c->body, "{\"text\":\"transcribed %lu bytes\"}", (unsigned long)bytes);
  answer_send(c, 200, ANSWER_JSON);
}

void media_transcription(struct conn *c) {
  if (c->req.body != BODY_MULTIPART || !multipart_is_whole(&c->req.multipart))
    answer_error(c, 400, "The body is not a whole multipart/form-data.");
  else
    media_transcribed(c, c->req.multipart.file_bytes);
}

void media_toolkit(struct conn *c) {
  if (c->req.body == BODY_MULTIPART)
    media_transcription(c);
  else if (c->req.body == BODY_COUNT)
    media_transcribed(c, c->req.body_bytes);
  else
    generate_toolkit(c);
}
