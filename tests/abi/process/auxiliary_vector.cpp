// needs-linux: 6.4
// PR_GET_AUXV (prctl(2)): the auxiliary vector, without /proc.
#include <elf.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

#include "check.hpp"

#ifndef PR_GET_AUXV
#define PR_GET_AUXV 0x41555856
#endif

int main() {
    Elf64_auxv_t vector[100] = {};
    const int size = prctl(PR_GET_AUXV, vector, sizeof vector, 0, 0);
    CHECK(size > 0 && size % int(sizeof vector[0]) == 0);
    bool ends = false;
    int seen = 0;
    for (const Elf64_auxv_t& entry : vector) {
        if (entry.a_type == AT_NULL) {
            ends = true;
            break;
        }
        // The library makes something else of these two.
        if (entry.a_type != AT_HWCAP && entry.a_type != AT_HWCAP2) CHECK_EQ(entry.a_un.a_val, getauxval(entry.a_type));
        for (unsigned long type : {AT_PAGESZ, AT_ENTRY, AT_RANDOM, AT_EXECFN}) seen += entry.a_type == type;
    }
    CHECK(ends);
    CHECK_EQ(seen, 4);
    // A part of it; the answer is the whole size.
    Elf64_auxv_t part[3] = {};
    part[2].a_type = 77;
    CHECK_EQ(prctl(PR_GET_AUXV, part, 2 * sizeof part[0], 0, 0), size);
    CHECK_EQ(part[0].a_type, vector[0].a_type);
    CHECK_EQ(part[1].a_un.a_val, vector[1].a_un.a_val);
    CHECK_EQ(part[2].a_type, 77u);
    CHECK_EQ(prctl(PR_GET_AUXV, nullptr, 0, 0, 0), size);
    CHECK_ERRNO(prctl(PR_GET_AUXV, vector, sizeof vector, 1, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_GET_AUXV, vector, sizeof vector, 0, 1), EINVAL);
    CHECK_ERRNO(prctl(PR_GET_AUXV, -4096L, sizeof vector, 0, 0), EFAULT);
    return check::result();
}
