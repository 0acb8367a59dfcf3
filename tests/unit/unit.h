/* What every unit test includes after base/first.h: cmocka and the headers it wants before it. */
#ifndef FARE_TESTS_UNIT_H
#define FARE_TESTS_UNIT_H

#include "base/first.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#endif
