#ifndef ENGINE_MEDIA_H
#define ENGINE_MEDIA_H

struct conn;

/* Answers whose size follows from the request and not from tokens. */

void media_embeddings(struct conn *c);
/* POST /embed: one vector in a list, as embedding servers answer {"inputs": TEXT}. */
void media_embed(struct conn *c);
void media_transcription(struct conn *c);
/* POST /: audio as it is, or the JSON of an inference toolkit. */
void media_toolkit(struct conn *c);

#endif
