/* Commands that ask the running process, over its admin socket. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/net/address.h"
#include "proxy/commands.h"
#include "proxy/file.h"

enum { ANSWER_BYTES_MAX = 64 << 20, ANSWER_TIMEOUT_S = 10 };

static int open_socket(const char *socket_path) {
  char text[ADDRESS_TEXT_BYTES];
  struct address a;
  snprintf(text, sizeof text, "unix:%s", socket_path);
  if (address_parse(text, &a) != OK)
    return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
  if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) ||
                  connect(fd, (struct sockaddr *)&a.storage, a.len))) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

static void read_all(int fd, struct buf *b) {
  char part[16384];
  ssize_t n;
  while ((n = read(fd, part, sizeof part)) > 0)
    buf_add(b, slice_of(part, (size_t)n));
}

/* The body of the answer, in *b from *body; the status, or 0 when nobody answers. */
static int ask(const char *config_path, const char *method, const char *path, struct buf *b,
               const char **body) {
  struct buf errors = BUF_INIT(1 << 16);
  struct file *f = NULL;
  if (file_load(config_path, &f, &errors) != OK) {
    fputs(errors.data ? errors.data : "out of memory\n", stderr);
    buf_free(&errors);
    return 0;
  }
  buf_free(&errors);
  int fd = open_socket(f->config.admin.socket);
  if (fd < 0)
    fprintf(
        stderr,
        "headrace: nobody listens on %s (%s); is it running? start it with: headrace run -c %s\n",
        f->config.admin.socket, strerror(errno), config_path);
  file_free(f);
  if (fd < 0)
    return 0;
  if (dprintf(fd, "%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", method, path) >
      0)
    read_all(fd, b);
  close(fd);
  const char *end = b->data ? strstr(b->data, "\r\n\r\n") : NULL;
  *body = end ? end + 4 : "";
  return end && b->len > 12 ? atoi(b->data + 9) : 0;
}

static int get(const char *config_path, const char *path, struct buf *b, const char **body) {
  return ask(config_path, "GET", path, b, body);
}

static void print_endpoint(const json_t *e) {
  const json_t *replicas = json_object_get(e, "replicas");
  printf("%-24s %-14s %8zu %8lld %8lld %8lld\n", json_string_value(json_object_get(e, "name")),
         json_string_value(json_object_get(e, "state")), json_array_size(replicas),
         (long long)json_integer_value(json_object_get(e, "pending")),
         (long long)json_integer_value(json_object_get(e, "held")),
         (long long)json_integer_value(json_object_get(e, "open")));
  size_t i;
  const json_t *r;
  json_array_foreach(replicas, i, r)
      printf("  %-22s %-14s %-26s active %lld\n", json_string_value(json_object_get(r, "id")),
             json_string_value(json_object_get(r, "state")),
             json_string_value(json_object_get(r, "address")),
             (long long)json_integer_value(json_object_get(r, "active")));
  const char *reason = json_string_value(json_object_get(e, "reason"));
  if (reason && *reason)
    printf("  reason: %s\n", reason);
}

int command_status(const char *path, bool json) {
  struct buf b = BUF_INIT(ANSWER_BYTES_MAX);
  const char *body;
  int status = get(path, "/status", &b, &body);
  json_t *root = status == 200 ? json_loads(body, 0, NULL) : NULL;
  if (root && json) {
    fputs(body, stdout);
  } else if (root) {
    printf("%-24s %-14s %8s %8s %8s %8s\n", "ENDPOINT", "STATE", "REPLICAS", "PENDING", "HELD",
           "OPEN");
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(root, "endpoints"), i, e) print_endpoint(e);
  }
  json_decref(root);
  buf_free(&b);
  return root ? 0 : 1;
}

int command_explain(const char *path, const char *endpoint, bool json) {
  char target[256];
  struct buf b = BUF_INIT(ANSWER_BYTES_MAX);
  const char *body;
  snprintf(target, sizeof target, "/explain/%s%s", endpoint, json ? "?json" : "");
  int status = get(path, target, &b, &body);
  if (status == 200)
    printf("%s%s", body, json ? "\n" : "");
  else if (status == 404)
    fprintf(stderr, "headrace: there is no endpoint \"%s\"; headrace status lists them\n",
            endpoint);
  buf_free(&b);
  return status == 200 ? 0 : 1;
}

int command_reload(const char *path) {
  struct buf b = BUF_INIT(ANSWER_BYTES_MAX);
  const char *body;
  int status = ask(path, "POST", "/reload", &b, &body);
  if (status == 200)
    fputs(body, stdout);
  else
    fprintf(stderr, "%sheadrace: nothing has changed: the process goes on with what it has\n",
            status ? body : "");
  buf_free(&b);
  return status == 200 ? 0 : 1;
}
