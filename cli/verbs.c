#include "verbs.h"

#define ADDRESS(name) &verb_##name,
const struct verb *const verbs[] = {VERBS(ADDRESS) NULL};
