#include "lib/base/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum err mailbox_init(struct mailbox *b) {
  *b = (struct mailbox){.tail = &b->head};
  b->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (b->fd < 0)
    return ERR_IO;
  pthread_mutex_init(&b->lock, NULL);
  return OK;
}

void mailbox_close(struct mailbox *b) {
  assert(!b->head);
  close(b->fd);
  pthread_mutex_destroy(&b->lock);
}

void mailbox_send(struct mailbox *b, struct mail *m) {
  m->next = NULL;
  pthread_mutex_lock(&b->lock);
  bool first = !b->head;
  *b->tail = m;
  b->tail = &m->next;
  pthread_mutex_unlock(&b->lock);
  /* One wake-up serves all that were sent before it is taken. */
  if (first)
    while (write(b->fd, &(uint64_t){1}, sizeof(uint64_t)) < 0 && errno == EINTR)
      ;
}

void mailbox_deliver(struct mailbox *b) {
  uint64_t count;
  while (read(b->fd, &count, sizeof count) < 0 && errno == EINTR)
    ;
  pthread_mutex_lock(&b->lock);
  struct mail *m = b->head;
  b->head = NULL;
  b->tail = &b->head;
  pthread_mutex_unlock(&b->lock);
  while (m) {
    struct mail *next = m->next;
    m->deliver(m);
    m = next;
  }
}
