/* What the process has to say of itself: metrics and status, read from the edge. */
#pragma once

#include <stdbool.h>

struct buf;
struct edge;

/* Prometheus 0.0.4, or OpenMetrics; docs/metrics.md lists the families. */
void report_metrics(const struct edge *e, bool openmetrics, struct buf *out);
/* JSON: version, uptime, endpoints with state, replicas, pending, held, open. */
void report_status(const struct edge *e, struct buf *out);
