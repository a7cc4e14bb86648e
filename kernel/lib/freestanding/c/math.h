// The kernel does no floating point; libc++'s <cmath>, which other headers drag in, wants these names to exist.
#pragma once
#define FP_NAN 0
#define FP_INFINITE 1
#define FP_ZERO 2
#define FP_SUBNORMAL 3
#define FP_NORMAL 4
typedef float float_t;
typedef double double_t;
