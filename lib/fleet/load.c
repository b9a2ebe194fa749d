#include "lib/fleet/load.h"

#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"

struct load_record *load_record_copy(const struct load_record *r) {
  struct load_record *copy = malloc(sizeof *copy);
  size_t bytes = (size_t)r->replica_count * sizeof *r->replicas;
  struct load_replica *replicas = malloc(bytes + 1);
  if (!copy || !replicas) {
    free(copy);
    free(replicas);
    return NULL;
  }
  *copy = *r;
  copy->replicas = replicas;
  if (bytes)
    memcpy(replicas, r->replicas, bytes);
  return copy;
}

struct load_record *load_record_free(struct load_record *r) {
  if (r)
    free(r->replicas);
  free(r);
  return NULL;
}

#define AT(member) offsetof(struct load_record, member)

static const struct {
  const char *key;
  size_t offset;
} numbers[] = {
    {"incarnation", AT(incarnation)},
    {"at_us", AT(at_us)},
    {"pending", AT(pending)},
    {"held", AT(held)},
    {"open", AT(open)},
    {"pending_us", AT(pending_us)},
    {"held_us", AT(held_us)},
    {"open_us", AT(open_us)},
    {"requests_total", AT(requests_total)},
    {"requests_before", AT(requests_before)},
    {"wanted_ms", AT(wanted_ms)},
    {"seen", AT(seen)},
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

void load_record_write(const struct load_record *r, struct buf *out) {
  buf_str(out, "{\"endpoint\":");
  buf_json(out, slice_str(r->endpoint));
  buf_str(out, ",\"proxy\":");
  buf_json(out, slice_str(r->proxy));
  for (int i = 0; i < NUMBERS; i++) {
    buf_str(out, ",\"");
    buf_str(out, numbers[i].key);
    buf_str(out, "\":");
    buf_integer(out, *(const int64_t *)((const char *)r + numbers[i].offset));
  }
  buf_str(out, ",\"replicas\":{");
  for (int i = 0; i < r->replica_count; i++) {
    buf_str(out, i ? "," : "");
    buf_json(out, slice_str(r->replicas[i].id));
    buf_str(out, ":");
    buf_integer(out, r->replicas[i].active);
  }
  buf_str(out, "}}");
}

/* A text that fits, NUL included. */
static bool read_text(const json_t *from, char *to, size_t room) {
  const char *text = json_string_value(from);
  size_t len = json_string_length(from);
  if (!text || len == 0 || len >= room || strlen(text) != len)
    return false;
  memcpy(to, text, len + 1);
  return true;
}

/* Counts and times are never negative. */
static bool read_count(const json_t *from, int64_t *to) {
  *to = json_integer_value(from);
  return json_is_integer(from) && *to >= 0;
}

static enum err read_replicas(json_t *from, struct load_record *r) {
  size_t count = json_object_size(from);
  if (!json_is_object(from) || count > REPLICAS_PER_ENDPOINT_MAX)
    return ERR_SYNTAX;
  r->replicas = calloc(count + 1, sizeof *r->replicas);
  if (!r->replicas)
    return ERR_MEMORY;
  const char *id;
  json_t *active;
  json_object_foreach(from, id, active) {
    struct load_replica *l = &r->replicas[r->replica_count++];
    size_t len = strlen(id);
    if (len == 0 || len >= sizeof l->id || !read_count(active, &l->active))
      return ERR_SYNTAX;
    memcpy(l->id, id, len + 1);
  }
  return OK;
}

static enum err read_record(json_t *root, struct load_record *r) {
  if (!read_text(json_object_get(root, "endpoint"), r->endpoint, sizeof r->endpoint) ||
      !read_text(json_object_get(root, "proxy"), r->proxy, sizeof r->proxy))
    return ERR_SYNTAX;
  for (int i = 0; i < NUMBERS; i++)
    if (!read_count(json_object_get(root, numbers[i].key),
                    (int64_t *)((char *)r + numbers[i].offset)))
      return ERR_SYNTAX;
  return read_replicas(json_object_get(root, "replicas"), r);
}

enum err load_record_read(struct slice text, struct load_record **out) {
  struct load_record *r = calloc(1, sizeof *r);
  if (!r)
    return ERR_MEMORY;
  json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
  enum err e = root ? read_record(root, r) : ERR_SYNTAX;
  json_decref(root);
  if (e)
    load_record_free(r);
  else
    *out = r;
  return e;
}
