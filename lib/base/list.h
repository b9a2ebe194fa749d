/* An intrusive, circular, doubly linked list.  A node that is in no list points
 * to itself, so that removing it twice is harmless and asking is cheap. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
  struct list *next, *prev;
};

#define LIST_INIT(name)                                                                            \
  { &(name), &(name) }
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Walks from the oldest to the newest; the current entry may be removed. */
#define list_each(it, head)                                                                        \
  for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                        \
       it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l) {
  l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l) {
  return l->next == l;
}

static inline void list_insert_after(struct list *at, struct list *node) {
  node->prev = at;
  node->next = at->next;
  at->next->prev = node;
  at->next = node;
}

static inline void list_push_back(struct list *head, struct list *node) {
  list_insert_after(head->prev, node);
}

static inline void list_push_front(struct list *head, struct list *node) {
  list_insert_after(head, node);
}

static inline void list_remove(struct list *node) {
  node->prev->next = node->next;
  node->next->prev = node->prev;
  list_init(node);
}

/* The oldest node, removed; NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *head) {
  if (list_empty(head))
    return NULL;
  struct list *first = head->next;
  list_remove(first);
  return first;
}

/* Moves every node of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_move_all(struct list *to, struct list *from) {
  if (list_empty(from))
    return;
  from->next->prev = to->prev;
  to->prev->next = from->next;
  from->prev->next = to;
  to->prev = from->prev;
  list_init(from);
}
