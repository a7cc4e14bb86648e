// Wide characters are off; only the state type has a name.
#pragma once
#include <stddef.h>
#include <bits/types/mbstate_t.h>
