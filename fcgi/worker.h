/*
 * The worker: doormen accept requests and ask for admission, the relay carries what was admitted. Never sees the store; never forks. Drains and returns when the
 * keeper's pipe ends or on SIGTERM: no new requests, running calls end (at most drain_s; then they are cut), every slot settled.
 */
#ifndef FARE_FCGI_WORKER_H
#define FARE_FCGI_WORKER_H

#include "conf/conf.h"

/* listen_fd: a listening socket, shared with other workers. Returns the exit status. */
int fare_worker_main(const struct fare_conf *conf, int worker_no, int listen_fd, int keeper_pipe_fd);

#endif
