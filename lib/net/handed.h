/* Listening sockets that stand open already when the process starts: handed over by systemd
 * (sd_listen_fds(3)), or by the process whose place it takes (proxy/upgrade.h). Who listens at an
 * address asks here first. Main thread only. */
#pragma once

#include <stdbool.h>

struct address;
struct handed;

enum { HANDED_MAX = 1024, HANDED_FIRST_FD = 3, HANDED_ID_BYTES = 128 };

/* What goes from process to process: descriptors from HANDED_FIRST_FD on. `lent`: a Unix socket's
 * file is somebody else's, systemd's for one, and stays when we go. */
struct handed_socket {
  int fd;
  bool lent;
};
struct handed_list {
  struct handed_socket sockets[HANDED_MAX];
  int count;
  int left_out; /* beyond HANDED_MAX: what waits in them would be lost */
};
/* Borrows the descriptor. */
void handed_list_add(struct handed_list *l, int fd, bool lent);
/* The environment's word for the list, "NAME=...". One more descriptor follows theirs: an end of a
 * socket on which handed_ready says that the new process is there, and the one before that it
 * may keep what it got. */
void handed_word(const struct handed_list *l, char *to, int room);

/* Takes the sockets over, and the words for them out of the environment, which children get. NULL
 * when memory ran out. */
struct handed *handed_take(void);
/* Those at this address, no more than `most`, are the caller's from now on; returns how many. *lent
 * as above; files of the others are the process's before until it has answered handed_ready. `h`
 * may be NULL: none. */
int handed_find(struct handed *h, const struct address *a, int *fds, int most, bool *lent);
/* Where the answer of the process before, a byte, will come, or its end, if it goes without one;
 * -1: there is none. */
int handed_before(const struct handed *h);
/* Tells it that it may go, and leave what it leads to us, whom the store knows by this id. */
void handed_ready(struct handed *h, const char *id);
/* Nobody has asked for those that are left, and nobody else has them: their files go, but for those
 * that are lent. */
void handed_remove_files(const struct handed *h);
/* Closes what nobody has asked for. Accepts NULL; returns NULL. */
struct handed *handed_free(struct handed *h);
