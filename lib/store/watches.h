/* Telling every watch of a store the same. */
#pragma once

#include "lib/store/store.h"

/* For each watch that has this member: WATCH_TELL(list, load, record). */
#define WATCH_TELL(watches, member, ...)                                                           \
  do {                                                                                             \
    list_each (watch_node, watches) {                                                              \
      struct store_watch *w_ = container_of(watch_node, struct store_watch, node);                 \
      if (w_->member)                                                                              \
        w_->member(w_->user, ##__VA_ARGS__);                                                       \
    }                                                                                              \
  } while (0)
