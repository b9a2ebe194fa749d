/* An endpoint's options as rows: struct endpoint_def is filled by them. */
#pragma once

struct option_table;

extern const struct option_table endpoint_table, endpoint_process_table;
