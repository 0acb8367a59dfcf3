/* The version; another than configure's by -DFARE_VERSION, for tests of an upgrade. */
#include "base/first.h"

#include "base/version.h"

#ifndef FARE_VERSION
#define FARE_VERSION PACKAGE_VERSION
#endif
#ifndef FARE_FORMAT
#define FARE_FORMAT 3
#endif

const char fare_version[] = FARE_VERSION;
const unsigned fare_format = FARE_FORMAT;
