#ifndef ENGINE_GENERATE_H
#define ENGINE_GENERATE_H

struct conn;

/* Answers made of tokens, whole or as a stream of events. */

void generate_chat(struct conn *c);
void generate_completion(struct conn *c);
/* The answer of an inference toolkit to {"inputs": ...}; never a stream. */
void generate_toolkit(struct conn *c);
/* What a request of this many bytes is said to have cost. */
long generate_prompt_tokens(const struct conn *c);
/* Adds the model's name as a JSON string: the one asked for, else the command line's. */
void generate_add_model(struct conn *c);

#endif
