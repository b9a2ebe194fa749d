#include "lib/metrics/exposition.h"

#include <stddef.h>
#include <stdio.h>

#include "lib/base/buf.h"

void exposition_family(struct exposition *e, const char *name, enum metric_type type,
                       const char *help) {
  static const char *const words[] = {"counter", "gauge", "histogram"};
  e->name = name;
  e->type = type;
  const char *suffix = type == METRIC_COUNTER && !e->openmetrics ? "_total" : "";
  buf_printf(e->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name, suffix,
             words[type]);
}

static void put_label(struct buf *out, bool first, const char *name, const char *value) {
  buf_printf(out, "%s%s=\"", first ? "{" : ",", name);
  for (; *value; value++)
    if (*value == '\n')
      buf_str(out, "\\n");
    else
      buf_printf(out, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
  buf_str(out, "\"");
}

static void sample(struct exposition *e, const char *suffix, metric_labels labels,
                   const char *bound, double value) {
  bool first = true;
  buf_printf(e->out, "%s%s", e->name, suffix);
  for (; labels && labels[0]; labels += 2, first = false)
    put_label(e->out, first, labels[0], labels[1]);
  if (bound)
    put_label(e->out, first, "le", bound);
  buf_printf(e->out, "%s %.15g\n", first && !bound ? "" : "}", value);
}

void exposition_value(struct exposition *e, metric_labels labels, double value) {
  sample(e, e->type == METRIC_COUNTER ? "_total" : "", labels, NULL, value);
}

void exposition_histogram(struct exposition *e, metric_labels labels, const double *bounds,
                          int count, const int64_t *buckets, double sum) {
  int64_t seen = 0;
  for (int i = 0; i <= count; i++) {
    char text[32] = "+Inf";
    if (i < count)
      snprintf(text, sizeof text, e->openmetrics && bounds[i] == (int)bounds[i] ? "%.1f" : "%.15g",
               bounds[i]);
    seen += buckets[i];
    sample(e, "_bucket", labels, text, (double)seen);
  }
  sample(e, "_sum", labels, NULL, sum);
  sample(e, "_count", labels, NULL, (double)seen);
}

void exposition_end(struct exposition *e) {
  if (e->openmetrics)
    buf_str(e->out, "# EOF\n");
}
