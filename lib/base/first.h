/* First include of every .c file: configuration, feature macros and attributes. */
#ifndef FARE_BASE_FIRST_H
#define FARE_BASE_FIRST_H

#include "config.h"

#define FARE_MUST __attribute__((warn_unused_result))
#define FARE_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define FARE_NORETURN __attribute__((noreturn))
#define FARE_ARRAY_N(a) (sizeof(a) / sizeof((a)[0]))

#endif
