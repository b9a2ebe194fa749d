#include "bench/load/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/options.h"
#include "bench/load/url.h"
#include "lib/base/buf.h"
#include "lib/http/head.h"

#define BOUNDARY "headrace-bench-5b1f0d7c9a"

enum { FILL_BYTES = 64 * 1024 };

const char *const workload_kind_names[WORKLOAD_KINDS + 1] = {
    "chat", "stream", "completion", "embeddings", "upload", "get", "post", NULL};

/* %s: the model as JSON, with quotes (of upload: as it is). */
static const struct kind_form {
  const char *path, *type;
  const char *before, *between, *after;
  bool says_tokens, streams;
} forms[WORKLOAD_KINDS] = {
    [KIND_CHAT] = {"/chat/completions", "application/json", "{\"model\":%s,\"max_tokens\":",
                   ",\"messages\":[{\"role\":\"user\",\"content\":\"", "\"}]}", true, false},
    [KIND_STREAM] = {"/chat/completions", "application/json",
                     "{\"model\":%s,\"stream\":true,\"max_tokens\":",
                     ",\"messages\":[{\"role\":\"user\",\"content\":\"", "\"}]}", true, true},
    [KIND_COMPLETION] = {"/completions", "application/json",
                         "{\"model\":%s,\"max_tokens\":", ",\"prompt\":\"", "\"}", true, false},
    [KIND_EMBEDDINGS] = {"/embeddings", "application/json", "{\"model\":%s,\"input\":\"", "", "\"}",
                         false, false},
    [KIND_UPLOAD] = {"/audio/transcriptions", "multipart/form-data; boundary=" BOUNDARY,
                     "--" BOUNDARY
                     "\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n%s\r\n"
                     "--" BOUNDARY "\r\ncontent-disposition: form-data; name=\"file\"; "
                     "filename=\"speech.wav\"\r\ncontent-type: audio/wav\r\n\r\n",
                     "", "\r\n--" BOUNDARY "--\r\n", false, false},
    [KIND_GET] = {"", NULL, "", "", "", false, false},
    [KIND_POST] = {"", "application/octet-stream", "", "", "", false, false},
};

/* Keeps the text of a buffer for as long as the workload lives, and empties the buffer. */
static struct slice text_keep(struct workload *w, struct buf *b) {
  if (w->text_count == w->text_capacity) {
    size_t capacity = w->text_capacity ? w->text_capacity * 2 : 64;
    struct slice *more = realloc(w->texts, capacity * sizeof *more);
    if (!more)
      return SLICE_NONE;
    w->texts = more;
    w->text_capacity = capacity;
  }
  struct slice text = buf_slice(b);
  w->texts[w->text_count++] = text;
  *b = (struct buf)BUF_INIT(b->limit_bytes);
  return text;
}

static struct slice text_format(struct workload *w, const char *format, struct slice argument) {
  struct buf b = BUF_INIT(WORKLOAD_HEAD_BYTES);
  const char *at = strstr(format, "%s");
  size_t before = at ? (size_t)(at - format) : strlen(format);
  buf_add(&b, slice_of(format, before));
  if (at) {
    buf_add(&b, argument);
    buf_str(&b, at + 2);
  }
  return text_keep(w, &b);
}

static enum err file_read(struct workload *w, const char *option, const char *path,
                          struct slice *out, struct buf *why) {
  struct buf b = BUF_INIT(WORKLOAD_FILE_BYTES);
  FILE *f = fopen(path, "r");
  char piece[16384];
  size_t n;
  while (f && (n = fread(piece, 1, sizeof piece, f)) > 0)
    buf_add(&b, slice_of(piece, n));
  bool good = f && !ferror(f) && !b.failed;
  if (f)
    fclose(f);
  *out = text_keep(w, &b);
  if (good)
    return OK;
  buf_printf(why, "%s: %s cannot be read, or is above %d MB; check path and permissions", option,
             path, WORKLOAD_FILE_BYTES >> 20);
  return ERR_IO;
}

/* ---- heads ---- */

static bool row_has_field(const struct workload_row *row, struct slice name) {
  for (int i = 0; i < row->field_count; i++)
    if (slice_equal(row->fields[i].name, name))
      return true;
  return false;
}

static void field_add(struct workload_row *row, struct slice name, struct slice value) {
  if (row->field_count < WORKLOAD_FIELDS_MAX)
    row->fields[row->field_count++] = (struct workload_field){name, value};
}

static enum err header_add(struct workload *w, struct workload_row *row, const char *text,
                           struct buf *why) {
  const char *colon = strchr(text, ':');
  struct slice name = slice_of(text, colon ? (size_t)(colon - text) : 0);
  struct slice value = colon ? slice_trim(slice_str(colon + 1)) : SLICE_NONE;
  if (!http_is_token(name) || !http_is_field_value(value)) {
    buf_printf(why, "--header: '%s' is not right; write 'Name: value'", text);
    return ERR_SYNTAX;
  }
  if (slice_equal_nocase(name, SLICE("host")) ||
      slice_equal_nocase(name, SLICE("content-length")) ||
      slice_equal_nocase(name, SLICE("authorization"))) {
    buf_printf(why, "--header: %.*s is set by --host, --body-bytes or --token", SLICE_ARG(name));
    return ERR_SYNTAX;
  }
  struct buf b = BUF_INIT(256);
  for (size_t i = 0; i < name.len; i++) {
    char c = name.data[i];
    buf_add(&b, slice_of(&(char){c >= 'A' && c <= 'Z' ? (char)(c + 32) : c}, 1));
  }
  field_add(row, text_keep(w, &b), value);
  return OK;
}

static enum err fields_make(struct workload *w, struct workload_row *row, const struct options *o,
                            struct buf *why) {
  for (int i = 0; i < o->headers.count; i++) {
    enum err e = header_add(w, row, o->headers.texts[i], why);
    if (e)
      return e;
  }
  const char *type = forms[row->kind].type;
  if (row->kind == KIND_POST && o->body_file && w->fill.len && strchr("{[", w->fill.data[0]))
    type = "application/json";
  if (type && !row_has_field(row, SLICE("content-type")))
    field_add(row, SLICE("content-type"), slice_str(type));
  if (!row_has_field(row, SLICE("user-agent")))
    field_add(row, SLICE("user-agent"), SLICE("headrace-bench"));
  if (o->scale_up_timeout_s > 0) {
    struct buf b = BUF_INIT(64);
    buf_printf(&b, "%.15g", o->scale_up_timeout_s);
    field_add(row, SLICE("x-scale-up-timeout"), text_keep(w, &b));
  }
  return OK;
}

static enum err head_make(struct workload *w, struct workload_row *row, struct buf *why) {
  struct buf b = BUF_INIT(WORKLOAD_HEAD_BYTES / 2);
  buf_printf(&b, "%.*s %.*s HTTP/1.1\r\nhost: %.*s\r\n", SLICE_ARG(row->method),
             SLICE_ARG(row->path), SLICE_ARG(w->authority));
  for (int i = 0; i < row->field_count; i++)
    buf_printf(&b, "%.*s: %.*s\r\n", SLICE_ARG(row->fields[i].name),
               SLICE_ARG(row->fields[i].value));
  bool failed = b.failed;
  row->head = text_keep(w, &b);
  if (failed)
    buf_printf(why, "--header: the head is above %d bytes; send fewer or shorter fields",
               WORKLOAD_HEAD_BYTES / 2);
  return failed ? ERR_LIMIT : OK;
}

/* ---- rows ---- */

static void pieces_make(struct workload *w, struct workload_row *row, const struct options *o) {
  const struct kind_form *form = &forms[row->kind];
  struct buf model = BUF_INIT(4096);
  if (row->kind == KIND_UPLOAD)
    buf_str(&model, o->model);
  else
    buf_json(&model, slice_str(o->model));
  row->before = text_format(w, form->before, text_keep(w, &model));
  row->between = slice_str(form->between);
  row->after = slice_str(form->after);
  row->says_tokens = form->says_tokens;
}

static enum err row_make(struct workload *w, struct workload_row *row, const struct options *o,
                         const struct url *u, struct buf *why) {
  const char *base = strcmp(u->path, "/") == 0 && *forms[row->kind].path ? "" : u->path;
  struct buf path = BUF_INIT(URL_PATH_BYTES + 64);
  buf_printf(&path, "%s%s", base, forms[row->kind].path);
  row->path = text_keep(w, &path);
  row->method = row->kind == KIND_GET ? SLICE("GET") : SLICE("POST");
  if (o->method && (row->kind == KIND_GET || row->kind == KIND_POST))
    row->method = slice_str(o->method);
  if (!http_is_token(row->method)) {
    buf_printf(why, "--method: '%s' is no method; write GET, PUT, ...", o->method);
    return ERR_SYNTAX;
  }
  pieces_make(w, row, o);
  enum err e = fields_make(w, row, o, why);
  return e ? e : head_make(w, row, why);
}

static enum err rows_make(struct workload *w, const struct options *o, const struct url *u,
                          struct buf *why) {
  enum err e = OK;
  if (o->mix_file) {
    e = mix_read(w, o, why);
  } else {
    w->rows[w->row_count++] = (struct workload_row){.kind = (enum workload_kind)o->kind,
                                                    .share = 1,
                                                    .abort_share = o->abort_share,
                                                    .prompt = o->prompt,
                                                    .output = o->output};
  }
  for (int i = 0; !e && i < w->row_count; i++)
    e = row_make(w, &w->rows[i], o, u, why);
  return e;
}

/* ---- what all rows share ---- */

/* Words, so that the text is as JSON takes it; of the length that fits the copying. */
static void fill_make(struct workload *w) {
  static const char words[] = "the river runs past the mill and on to the sea; ";
  struct buf b = BUF_INIT(FILL_BYTES + sizeof words);
  while (b.len < FILL_BYTES && !b.failed)
    buf_str(&b, words);
  w->fill = text_keep(w, &b);
}

static enum err fill_open(struct workload *w, const struct options *o, struct buf *why) {
  w->fill_bytes = (size_t)o->body_bytes;
  fill_make(w);
  if (!o->body_file)
    return w->fill.len ? OK : ERR_MEMORY;
  enum err e = file_read(w, "--body", o->body_file, &w->fill, why);
  w->fill_bytes = w->fill.len;
  return e;
}

static enum err authorization_add(struct workload *w, struct slice token, const char *option,
                                  struct buf *why) {
  if (token.len == 0 || token.len > 4096 || !http_is_field_value(token)) {
    buf_printf(why, "%s: '%.*s' is no token", option, SLICE_ARG(token));
    return ERR_SYNTAX;
  }
  size_t n = w->authorization_count;
  if (n >= WORKLOAD_TOKENS_MAX)
    return ERR_LIMIT;
  if ((n & (n - 1)) == 0) {
    struct slice *more = realloc(w->authorizations, (n ? n * 2 : 1) * sizeof *more);
    if (!more)
      return ERR_MEMORY;
    w->authorizations = more;
  }
  w->authorizations[w->authorization_count++] = text_format(w, "Bearer %s", token);
  return OK;
}

static enum err authorizations_open(struct workload *w, const struct options *o, struct buf *why) {
  enum err e = OK;
  for (int i = 0; !e && i < o->tokens.count; i++)
    e = authorization_add(w, slice_str(o->tokens.texts[i]), "--token", why);
  if (e || !o->tokens_file)
    return e;
  struct slice rest;
  e = file_read(w, "--tokens-file", o->tokens_file, &rest, why);
  while (!e && rest.len) {
    const char *lf = memchr(rest.data, '\n', rest.len);
    struct slice line = slice_of(rest.data, lf ? (size_t)(lf - rest.data) : rest.len);
    rest = slice_skip(rest, line.len + 1);
    if (line.len)
      e = authorization_add(w, line, "--tokens-file", why);
  }
  return e;
}

enum err workload_open(struct workload *w, const struct options *o, const struct url *u,
                       struct buf *why) {
  memset(w, 0, sizeof *w);
  w->scheme = u->tls ? SLICE("https") : SLICE("http");
  w->authority = slice_str(o->host ? o->host : u->authority);
  if (!http_is_authority(w->authority)) {
    buf_printf(why, "--host: '%s' is no host name", o->host);
    return ERR_SYNTAX;
  }
  enum err e = fill_open(w, o, why);
  if (!e)
    e = authorizations_open(w, o, why);
  return e ? e : rows_make(w, o, u, why);
}

void workload_close(struct workload *w) {
  for (size_t i = 0; i < w->text_count; i++)
    free((char *)w->texts[i].data);
  free(w->texts);
  free(w->authorizations);
  memset(w, 0, sizeof *w);
}

/* ---- while it runs ---- */

static bool row_goes_over(const struct workload_row *row, int protocol) {
  return !protocol || !row->protocol || row->protocol == protocol;
}

/* Rows without a protocol go over either, half and half. */
double workload_share(const struct workload *w, int protocol) {
  double share = 0;
  for (int i = 0; i < w->row_count; i++)
    if (row_goes_over(&w->rows[i], protocol))
      share += w->rows[i].protocol ? w->rows[i].share : w->rows[i].share / 2;
  return share;
}

const struct workload_row *workload_draw(const struct workload *w, int protocol, struct draw *d) {
  if (w->row_count == 1)
    return &w->rows[0];
  double all = 0;
  for (int i = 0; i < w->row_count; i++)
    if (row_goes_over(&w->rows[i], protocol))
      all += w->rows[i].share;
  double at = draw_unit(d) * all;
  const struct workload_row *last = NULL;
  for (int i = 0; i < w->row_count; i++) {
    if (!row_goes_over(&w->rows[i], protocol))
      continue;
    last = &w->rows[i];
    if ((at -= last->share) < 0)
      break;
  }
  return last;
}

struct slice workload_authorization(struct workload *w) {
  if (w->authorization_count == 0)
    return SLICE_NONE;
  if (w->authorization_next >= w->authorization_count)
    w->authorization_next = 0;
  return w->authorizations[w->authorization_next++];
}

bool workload_has_body(const struct workload_row *row) {
  return row->kind != KIND_GET;
}

bool workload_has_tokens(const struct workload_row *row) {
  return row->says_tokens;
}

void workload_body_begin(struct workload_body *b, const struct workload *w,
                         const struct workload_row *row, size_t fill, size_t tokens) {
  b->workload = w;
  b->row = row;
  b->fill = fill;
  b->done = b->length = 0;
  if (!workload_has_body(row))
    return;
  int digits = row->says_tokens ? snprintf(b->tokens, sizeof b->tokens, "%zu", tokens) : 0;
  b->tokens[digits] = '\0';
  b->length = row->before.len + (size_t)digits + row->between.len + fill + row->after.len;
  snprintf(b->length_text, sizeof b->length_text, "%zu", b->length);
}

/* Copies what of a piece lies behind *skip, which is what of the body is done already. */
static size_t piece_copy(struct slice piece, size_t *skip, char *to, size_t room) {
  if (*skip >= piece.len) {
    *skip -= piece.len;
    return 0;
  }
  size_t n = piece.len - *skip < room ? piece.len - *skip : room;
  memcpy(to, piece.data + *skip, n);
  *skip = 0;
  return n;
}

static size_t fill_copy(const struct workload_body *b, size_t *skip, char *to, size_t room) {
  struct slice fill = b->workload->fill;
  if (*skip >= b->fill) {
    *skip -= b->fill;
    return 0;
  }
  size_t at = *skip, done = 0, want = b->fill - at < room ? b->fill - at : room;
  while (done < want) {
    size_t from = (at + done) % fill.len, n = fill.len - from;
    if (n > want - done)
      n = want - done;
    memcpy(to + done, fill.data + from, n);
    done += n;
  }
  *skip = 0;
  return done;
}

size_t workload_body_copy(struct workload_body *b, char *to, size_t room) {
  size_t skip = b->done, n = 0;
  if (b->length == 0)
    return 0;
  n += piece_copy(b->row->before, &skip, to + n, room - n);
  n += piece_copy(slice_str(b->tokens), &skip, to + n, room - n);
  n += piece_copy(b->row->between, &skip, to + n, room - n);
  n += fill_copy(b, &skip, to + n, room - n);
  n += piece_copy(b->row->after, &skip, to + n, room - n);
  b->done += n;
  return n;
}
