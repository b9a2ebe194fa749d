/* The proxy's options as rows: struct config is filled by them. */
#pragma once

#include "lib/option/option.h"

/* Without end row: proxy/file.c puts them together with the other parts of the file. */
extern const struct option_row config_rows[];
enum { CONFIG_ROWS = 18 };
