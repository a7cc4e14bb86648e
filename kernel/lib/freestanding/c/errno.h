// libc++ wants the macro errno to exist; the kernel's error numbers are linnet::Errno.
#pragma once
extern int linnet_no_errno;
#define errno linnet_no_errno
#define EDOM 33
#define ERANGE 34
#define EILSEQ 84
