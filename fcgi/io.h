/*
 * The FastCGI side of a request, over libfcgi's reader; records out are written here, because libfcgi's writer blocks. (The only user of fcgiapp.h. Sources: the FastCGI
 * specification 1.0; what libfcgi does was measured.) One request per connection.
 */
#ifndef FARE_FCGI_IO_H
#define FARE_FCGI_IO_H

#include "base/first.h"
#include "flow/io.h"

struct fare_io;

/* Before the first thread starts. */
bool fare_io_init(void) FARE_MUST;
/* Has all of a request come, so that reading it will not wait? */
bool fare_io_is_whole(int fd);
/* Takes a connection that was accepted (blocking, close-on-exec) and reads its parameters, waiting FARE_BODY_WAIT_S for each piece. NULL: no request came; fd is closed. */
struct fare_io *fare_io_begin(int fd);
extern const struct fare_io_ops fare_io_ops;

#endif
