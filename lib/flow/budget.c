/* Memory that request bodies share. */
#include "base/first.h"

#include "flow/io.h"

bool fare_budget_take(struct fare_budget *b, size_t n)
{
	size_t used = atomic_load(&b->used);
	do
		if (n > b->max || used > b->max - n)
			return false;
	while (!atomic_compare_exchange_weak(&b->used, &used, used + n));
	return true;
}

void fare_budget_give(struct fare_budget *b, size_t n)
{
	atomic_fetch_sub(&b->used, n);
}
