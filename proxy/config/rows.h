/* The proxy's options as rows: struct config is filled by them. */
#pragma once

struct option_row;

/* Without end row: proxy/file.c puts them together with the other parts of the file. */
extern const struct option_row config_rows[];
enum { CONFIG_ROWS = 11 };
