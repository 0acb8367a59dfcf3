/*
 * The CGI side of a request (RFC 3875): parameters are the environment, the body comes on standard input, the answer goes to standard output. Standard output may be a
 * pipe, a socket (Apache's mod_cgid: the same one as standard input) or a file, and may be another process's too; so the answer goes through a pair of sockets to a
 * thread that carries it there (cgi.c), and whoever answers sees that thread's end when the caller is gone.
 */
#ifndef FARE_FCGI_IO_CGI_H
#define FARE_FCGI_IO_CGI_H

#include "base/first.h"
#include "flow/io.h"

struct fare_io_cgi;

/* input: the request's body; output: one end of the pair; both are the request's from now on. env must stay. */
struct fare_io_cgi *fare_io_cgi_new(char **env, int input, int output);
extern const struct fare_io_ops fare_io_cgi_ops;

#endif
