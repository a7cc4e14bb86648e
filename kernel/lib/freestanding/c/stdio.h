// libc++ includes <stdio.h> for EOF; remove() is declared because its using-declaration must find a function.
#pragma once
#include <stddef.h>
#include <stdarg.h>
#define EOF (-1)
typedef struct linnet_no_file FILE;
typedef long fpos_t;
#ifdef __cplusplus
extern "C"
#endif
int remove(const char* path);
