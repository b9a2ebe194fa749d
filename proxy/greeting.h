/* What `headrace run` prints when it is ready. */
#pragma once

struct file;

/* "ready", and for a configuration with a TLS listener and a default endpoint three
 * commands to try. */
void greeting_print(const struct file *f);
