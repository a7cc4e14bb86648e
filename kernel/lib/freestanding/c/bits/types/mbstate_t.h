// Where libc++ looks for mbstate_t.
#pragma once
typedef struct { int linnet_unused; } mbstate_t;
