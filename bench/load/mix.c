/* The mix file: {"kinds": [{"kind": "stream", "share": 0.8, "prompt": "lognormal:600:1", ...}]} */
#include <jansson.h>
#include <string.h>

#include "bench/load/options.h"
#include "bench/load/workload.h"
#include "lib/base/buf.h"

static const char *const members[] = {"kind", "share", "prompt", "output", "abort", "protocol"};

static enum err wrong(struct buf *why, const struct options *o, size_t at, const char *what) {
  buf_printf(why, "--mix: %s: kinds[%zu]: %s", o->mix_file, at, what);
  return ERR_SYNTAX;
}

static bool members_known(json_t *one) {
  const char *name;
  json_t *value;
  json_object_foreach(one, name, value) {
    bool known = false;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
      known |= strcmp(name, members[i]) == 0;
    if (!known)
      return false;
  }
  return true;
}

static bool kind_read(json_t *one, enum workload_kind *kind) {
  const char *text = json_string_value(json_object_get(one, "kind"));
  for (int i = 0; text && i < WORKLOAD_KINDS; i++)
    if (strcmp(text, workload_kind_names[i]) == 0) {
      *kind = (enum workload_kind)i;
      return true;
    }
  return false;
}

static bool number_read(json_t *one, const char *name, double least, double most, double *to) {
  json_t *value = json_object_get(one, name);
  if (!value)
    return true;
  *to = json_number_value(value);
  return json_is_number(value) && *to >= least && *to <= most;
}

static bool drawn_read(json_t *one, const char *name, struct distribution *to) {
  json_t *value = json_object_get(one, name);
  struct buf why = BUF_INIT(512);
  bool good = !value || (json_is_string(value) &&
                         distribution_parse(json_string_value(value), to, &why) == OK);
  buf_free(&why);
  return good;
}

static bool protocol_read(json_t *one, int *to) {
  json_t *value = json_object_get(one, "protocol");
  const char *text = json_string_value(value);
  if (text && (strcmp(text, "1") == 0 || strcmp(text, "2") == 0))
    *to = text[0] - '0';
  return !value || *to;
}

static enum err row_read(struct workload *w, const struct options *o, json_t *one, size_t at,
                         struct buf *why) {
  struct workload_row *row = &w->rows[w->row_count++];
  *row = (struct workload_row){
      .share = 1, .abort_share = o->abort_share, .prompt = o->prompt, .output = o->output};
  if (!members_known(one))
    return wrong(why, o, at,
                 "has a member that is none of kind, share, prompt, output, abort, protocol");
  if (!kind_read(one, &row->kind))
    return wrong(why, o, at,
                 "\"kind\" must be chat, stream, completion, embeddings, upload, get or post");
  if (!number_read(one, "share", 1e-9, 1e9, &row->share))
    return wrong(why, o, at, "\"share\" must be a number above 0");
  if (!number_read(one, "abort", 0, 1, &row->abort_share))
    return wrong(why, o, at, "\"abort\" must be a number from 0 to 1");
  if (!drawn_read(one, "prompt", &row->prompt) || !drawn_read(one, "output", &row->output))
    return wrong(why, o, at,
                 "lengths are \"fixed:N\", \"uniform:A:B\", \"lognormal:MEDIAN:SIGMA\" or "
                 "\"exponential:MEAN\"");
  if (!protocol_read(one, &row->protocol))
    return wrong(why, o, at, "\"protocol\" must be \"1\" or \"2\"");
  w->mixed_protocols |= row->protocol != 0;
  return OK;
}

enum err mix_read(struct workload *w, const struct options *o, struct buf *why) {
  json_error_t at;
  json_t *all = json_load_file(o->mix_file, JSON_REJECT_DUPLICATES, &at);
  if (!all) {
    buf_printf(why, "--mix: %s: %s (line %d)", o->mix_file, at.text, at.line);
    return ERR_SYNTAX;
  }
  json_t *kinds = json_object_get(all, "kinds"), *one;
  size_t i, count = json_array_size(kinds);
  enum err e = OK;
  if (count < 1 || count > WORKLOAD_ROWS_MAX) {
    buf_printf(why, "--mix: %s: \"kinds\" must be a list of 1 to %d", o->mix_file,
               WORKLOAD_ROWS_MAX);
    e = ERR_SYNTAX;
  }
  json_array_foreach(kinds, i, one) if (!e) e = row_read(w, o, one, i, why);
  json_decref(all);
  return e;
}
