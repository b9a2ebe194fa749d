/* Messages between threads: a queue behind a mutex and an eventfd that is
 * readable while something waits.  Many senders, one receiver.  A message is
 * delivered by calling its function on the receiver's thread, in order of
 * sending; the function owns the message from then on. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "lib/base/err.h"

struct mail {
  struct mail *next;
  void (*deliver)(struct mail *m);
};

struct mailbox {
  pthread_mutex_t lock;
  struct mail *head, **tail;
  int fd; /* eventfd, non-blocking; the receiver watches it for reading */
};

enum err mailbox_init(struct mailbox *b) MUST_CHECK;
/* Nothing may be waiting any more. */
void mailbox_close(struct mailbox *b);
/* From any thread. The message must not be in a mailbox. */
void mailbox_send(struct mailbox *b, struct mail *m);
/* On the receiver's thread: delivers what waits now. */
void mailbox_deliver(struct mailbox *b);
