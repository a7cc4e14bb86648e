// The part of <string.h> that libc++'s headers and compiler-generated calls need.
#pragma once
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
// Code that the kernel's address sanitizer watches calls the functions that check first (mm/kasan.cpp).
#if __has_feature(address_sanitizer)
#define LINNET_CHECKED(name) __asm__("__asan_" #name)
#else
#define LINNET_CHECKED(name)
#endif
void* memcpy(void* __restrict to, const void* __restrict from, size_t size) LINNET_CHECKED(memcpy);
void* memmove(void* to, const void* from, size_t size) LINNET_CHECKED(memmove);
void* memset(void* to, int byte, size_t size) LINNET_CHECKED(memset);
int memcmp(const void* a, const void* b, size_t size);
void* memchr(const void* s, int byte, size_t size);
size_t strlen(const char* s);
size_t strnlen(const char* s, size_t limit);
int strcmp(const char* a, const char* b);
int strncmp(const char* a, const char* b, size_t limit);
char* strchr(const char* s, int c);
char* strrchr(const char* s, int c);
char* strpbrk(const char* s, const char* set);
char* strstr(const char* s, const char* part);
char* strcpy(char* __restrict to, const char* __restrict from);
char* strncpy(char* __restrict to, const char* __restrict from, size_t limit);
char* strcat(char* __restrict to, const char* __restrict from);
char* strncat(char* __restrict to, const char* __restrict from, size_t limit);
int strcoll(const char* a, const char* b);
size_t strxfrm(char* __restrict to, const char* __restrict from, size_t limit);
size_t strcspn(const char* s, const char* set);
size_t strspn(const char* s, const char* set);
char* strtok(char* __restrict s, const char* __restrict set);
char* strerror(int error);
#ifdef __cplusplus
}
#endif
