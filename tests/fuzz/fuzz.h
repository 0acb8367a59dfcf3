/* What every fuzz target defines. An input that shows a fault aborts (FARE_ASSERT, or a sanitizer). Returns 0. */
#ifndef FARE_TESTS_FUZZ_H
#define FARE_TESTS_FUZZ_H

#include "base/first.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#endif
