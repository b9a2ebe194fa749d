/* Preloaded into the proxy by the counting test: counts what a request costs. The
 * numbers live in a file that is mapped shared, so that the test reads them live. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct counts {
  _Atomic uint64_t reads, writes, epoll_ctls, epoll_waits, allocations, batches, in_batches;
};

static struct counts nowhere, *counts = &nowhere;

__attribute__((constructor)) static void open_counts(void) {
  const char *path = getenv("HEADRACE_COUNTS");
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  void *at =
      fd >= 0 ? mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
  if (at != MAP_FAILED)
    counts = at;
}

#define COUNTED(counter, type, name, parameters, arguments)                                        \
  type name parameters {                                                                           \
    static type(*real) parameters;                                                                 \
    if (!real)                                                                                     \
      real = (type(*) parameters)dlsym(RTLD_NEXT, #name);                                          \
    atomic_fetch_add_explicit(&counts->counter, 1, memory_order_relaxed);                          \
    return real arguments;                                                                         \
  }

COUNTED(reads, ssize_t, recv, (int fd, void *to, size_t n, int flags), (fd, to, n, flags))
COUNTED(reads, ssize_t, read, (int fd, void *to, size_t n), (fd, to, n))
COUNTED(writes, ssize_t, send, (int fd, const void *from, size_t n, int flags),
        (fd, from, n, flags))
COUNTED(writes, ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
COUNTED(writes, ssize_t, writev, (int fd, const struct iovec *iov, int n), (fd, iov, n))
COUNTED(writes, ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n))
COUNTED(epoll_ctls, int, epoll_ctl, (int fd, int op, int of, struct epoll_event *e),
        (fd, op, of, e))
COUNTED(epoll_waits, int, epoll_wait, (int fd, struct epoll_event *e, int n, int ms),
        (fd, e, n, ms))

/* Several reads and writes by one call are a batch. */
long syscall(long number, ...) {
  static long (*real)(long number, ...);
  if (!real)
    real = (long (*)(long number, ...))dlsym(RTLD_NEXT, "syscall");
  va_list list;
  va_start(list, number);
  long a[6];
  for (int i = 0; i < 6; i++)
    a[i] = va_arg(list, long);
  va_end(list);
  long result = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (number == SYS_io_submit) {
    atomic_fetch_add_explicit(&counts->batches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts->in_batches, result > 0 ? (uint64_t)result : 0,
                              memory_order_relaxed);
  }
  return result;
}

/* The allocator behind is the program's own. Looking it up allocates: from `early`. */
static char early[4096];
static size_t early_used;
static void *(*real_malloc)(size_t n), *(*real_calloc)(size_t n, size_t size),
    *(*real_realloc)(void *p, size_t n);
static void (*real_free)(void *p);

static void find_allocator(void) {
  static bool looking;
  if (looking)
    return;
  looking = true;
  real_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
  real_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
  real_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
  real_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
}

static void *early_take(size_t n) {
  char *p = early + early_used;
  early_used += (n + 15) & ~(size_t)15;
  return early_used <= sizeof early ? p : NULL;
}

static bool ready(void) {
  atomic_fetch_add_explicit(&counts->allocations, 1, memory_order_relaxed);
  if (!real_malloc)
    find_allocator();
  return real_malloc;
}

void *malloc(size_t n) {
  return ready() ? real_malloc(n) : early_take(n);
}

void *calloc(size_t n, size_t size) {
  return ready() ? real_calloc(n, size) : early_take(n * size);
}

void *realloc(void *p, size_t n) {
  return ready() ? real_realloc(p, n) : early_take(n);
}

void free(void *p) {
  bool is_early = (char *)p >= early && (char *)p < early + sizeof early;
  if (!is_early && real_free)
    real_free(p);
}
