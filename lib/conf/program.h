/* Our programs as files: whether one has been replaced under a process that runs it, and whether the new one would do. */
#ifndef FARE_CONF_PROGRAM_H
#define FARE_CONF_PROGRAM_H

#include "conf/conf.h"

/* Is the file of the running program (name) no longer the one that runs? path: where it is now. False also when there is none now. */
bool fare_program_replaced(const char *name, char path[FARE_PATH_N]) FARE_MUST;

/* Runs argv[0], which is to check something and end. True: with 0, within some seconds. Else the reason, the first line it wrote on standard error, in error. */
bool fare_program_check(char *const argv[], char error[FARE_CONF_ERROR_N]) FARE_MUST;

#endif
