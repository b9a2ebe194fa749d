/* A request's hold on one replica: counted while it lasts, with a place of its
 * concurrency_max. A request has at most one. */
#pragma once

struct replica;
struct request;

/* Counts the request at the replica. The place, when the replica has limits, is
 * r->place already. */
void lease_take(struct request *r, struct replica *replica);
/* Gives the replica and the place back; harmless without a lease. */
void lease_return(struct request *r);
/* Only the place. */
void lease_return_place(struct request *r);
