/* Answers of our own: the OpenAI error shape with x-request-id. */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/http/head.h"

struct request;

enum { ANSWER_FIELDS_MAX = 16, ANSWER_BODY_BYTES = 2048 };

/* Gives r->failure to the client. Nothing may have been sent yet. */
void answer_failure(struct request *r);
/* Adds the CORS fields an endpoint wants on every answer to this request. */
enum err answer_cors_fields(struct request *r, struct http_head *h) MUST_CHECK;
