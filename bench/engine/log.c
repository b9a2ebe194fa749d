#include "log.h"
#include "buf.h"
#include "conn.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int log_fd = -1;

bool log_open(const char *path) {
  if (!strcmp(path, "-"))
    log_fd = STDERR_FILENO;
  else
    log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  return log_fd >= 0;
}

static void log_text(struct buf *line, const char *name, const char *value) {
  buf_printf(line, ",\"%s\":", name);
  buf_json(line, value, strlen(value));
}

/* The clock is read anew: within one turn of the loop, events still have an order. */
void log_event(const struct conn *c, const char *event) {
  static struct buf line;
  if (log_fd < 0)
    return;
  buf_clear(&line);
  buf_printf(&line, "{\"t\":%.3f,\"event\":\"%s\"", (double)timer_clock_us() / 1000, event);
  log_text(&line, "method", c->req.method);
  log_text(&line, "path", c->req.path);
  log_text(&line, "id", c->req.id);
  buf_printf(&line, ",\"connection\":%d,\"active\":%lu", c->fd, (unsigned long)engine.active);
  if (strcmp(event, "start"))
    buf_printf(&line,
               ",\"status\":%d,\"tokens\":%ld,\"body_bytes\":%lu,\"first_token\":%.3f,"
               "\"last_token\":%.3f",
               c->req.status, c->req.generation.sent, (unsigned long)c->req.body_bytes,
               (double)c->req.generation.first_us / 1000, (double)c->req.generation.last_us / 1000);
  buf_text(&line, "}\n");
  if (write(log_fd, buf_at(&line), buf_len(&line)) < 0)
    log_fd = -1; /* nobody reads it any more; serving goes on */
}
