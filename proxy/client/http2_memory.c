#include "proxy/client/http2_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base/wipe.h"

enum {
  ROOM_FROM_BYTES = 16 * 1024, /* what is as large as this is a frame's room */
  ROOM_BYTES = 20 * 1024,
};

static void *room_map(struct http2_memory *m, size_t size) {
  if (m->room || size < ROOM_FROM_BYTES || size > ROOM_BYTES)
    return NULL;
  void *p = mmap(NULL, ROOM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? NULL : (m->room = p);
}

static void *take(size_t size, void *user) {
  void *p = room_map(user, size);
  return p ? p : malloc(size);
}

static void *take_zeroed(size_t count, size_t size, void *user) {
  return calloc(count, size);
}

static void give(void *p, void *user) {
  struct http2_memory *m = user;
  if (!p) /* mostly */
    return;
  if (p != m->room) {
    m->secret ? wipe_free(p) : free(p);
    return;
  }
  munmap(p, ROOM_BYTES);
  m->room = NULL;
}

static void *resize(void *p, size_t size, void *user) {
  struct http2_memory *m = user;
  if (!p)
    return take(size, user);
  if (p != m->room)
    return realloc(p, size);
  if (size <= ROOM_BYTES)
    return p;
  void *larger = malloc(size);
  if (larger) {
    memcpy(larger, p, ROOM_BYTES);
    give(p, user);
  }
  return larger;
}

void http2_memory_init(struct http2_memory *m) {
  m->room = NULL;
  m->secret = false;
  m->hooks = (nghttp2_mem){
      .mem_user_data = m, .malloc = take, .free = give, .calloc = take_zeroed, .realloc = resize};
}
