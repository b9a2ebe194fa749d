#ifndef ENGINE_OPTIONS_H
#define ENGINE_OPTIONS_H

struct engine_options;

/* Reads the command line. Exits, with the reason or the help, when there is nothing to run. */
void options_read(struct engine_options *o, int argc, char **argv);

#endif
