# Flags of the freestanding kernel build and the function that declares a room.
set(LIBCXX_INCLUDE /usr/lib/llvm-19/include/c++/v1)
set(FREESTANDING ${CMAKE_SOURCE_DIR}/kernel/lib/freestanding)

# The image is moved by address randomisation: code finds its own symbols by distance, without a table of addresses.
set(position_independent -fPIE -fvisibility=hidden -fdirect-access-external-data)
# Not -mgeneral-regs-only: without the x87 type, libc++'s headers (long double) do not parse.
set(LINNET_FLAGS_x86_64 -mno-red-zone -mno-mmx -mno-sse -mno-avx ${position_independent})
set(LINNET_FLAGS_aarch64 -mgeneral-regs-only -mno-outline-atomics -mstrict-align ${position_independent})
set(LINNET_FLAGS_riscv64 -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany ${position_independent})
# The default CPU of the target has LSX, which the compiler would use for plain copies.
set(LINNET_FLAGS_loongarch64 -mabi=lp64s -mfpu=none -mno-lsx -mcmodel=medium ${position_independent})
# The vDSO runs in user space: no kernel restrictions, but no vector code either.
set(LINNET_VDSO_FLAGS_riscv64 -march=rv64gc -mabi=lp64d)

if(NOT DEFINED LINNET_FLAGS_${LINNET_ARCH})
    message(FATAL_ERROR "unknown LINNET_ARCH '${LINNET_ARCH}': x86_64, aarch64, riscv64 or loongarch64")
endif()

set(target_system --target=${LINNET_ARCH}-unknown-none-elf)
if(LINNET_SANITIZE AND LINNET_ARCH MATCHES "x86_64|loongarch64")
    # clang offers the kernel's address sanitizer only under this name there; it is the same but for these macros.
    set(target_system --target=${LINNET_ARCH}-unknown-linux-gnu -U__linux__ -U__linux -Ulinux -U__gnu_linux__ -U__unix__ -U__unix
        -Uunix)
endif()

add_library(kernel_flags INTERFACE)
target_compile_options(kernel_flags INTERFACE
    ${target_system}
    ${LINNET_FLAGS_${LINNET_ARCH}}
    -ffreestanding -fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables
    -ffunction-sections -fdata-sections -fno-common -fno-strict-aliasing
    $<$<COMPILE_LANGUAGE:CXX>:-nostdinc++ -nostdlibinc
        "SHELL:-isystem ${FREESTANDING}/config" "SHELL:-isystem ${LIBCXX_INCLUDE}" "SHELL:-isystem ${FREESTANDING}/c"
        "SHELL:-idirafter /usr/include"
        -fno-exceptions -fno-rtti -fno-c++-static-destructors -fno-threadsafe-statics -fno-use-cxa-atexit
        -D_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_FAST -DBOOST_ENABLE_ASSERT_HANDLER
        -Wall -Wextra -Werror -Wvla -Wframe-larger-than=1536 -Wno-gnu-statement-expression-from-macro-expansion>
    $<$<CONFIG:Release>:-O2 -g1>
    $<$<CONFIG:Debug>:-O1 -g>)
target_compile_definitions(kernel_flags INTERFACE $<$<CONFIG:Debug>:LINNET_DEBUG=1>)
if(LINNET_SANITIZE)
    target_compile_options(kernel_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:
        -fsanitize=undefined -fno-sanitize=function,vptr -Wno-frame-larger-than
        # Checks are calls (mm/kasan.cpp), so that the layout of the shadow is ours; no constructors for globals.
        -fsanitize=kernel-address "SHELL:-mllvm -asan-instrumentation-with-call-threshold=0"
        "SHELL:-mllvm -asan-mapping-offset=0" "SHELL:-mllvm -asan-stack=0" "SHELL:-mllvm -asan-globals=0"
        "SHELL:-mllvm -asan-constructor-kind=none" "SHELL:-mllvm -asan-kernel-mem-intrinsic-prefix=1">)
    target_compile_definitions(kernel_flags INTERFACE LINNET_SANITIZE=1)
endif()
# CMake's own per-configuration flags would repeat or contradict the ones above.
set(CMAKE_CXX_FLAGS_RELEASE "")
set(CMAKE_CXX_FLAGS_DEBUG "")
set(CMAKE_ASM_FLAGS_RELEASE "")
set(CMAKE_ASM_FLAGS_DEBUG "")

# Most calls cross from one room into the next: a call by pipe costs an eighth less when the linker may inline across them.
# What runs before the image is in its place, and what the compiler itself calls (memcpy), stays as its file says.
set(rooms_on_their_own arch boot lib vdso)
set(optimise_across_rooms OFF)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT LINNET_SANITIZE)
    set(optimise_across_rooms ON)
endif()

# linnet_uninstrumented(FILES…): what implements the sanitizers, or runs before they can.
function(linnet_uninstrumented)
    if(LINNET_SANITIZE)
        set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS -fno-sanitize=all SKIP_PRECOMPILE_HEADERS ON)
    endif()
endfunction()

# linnet_room(NAME [DEPENDS rooms…]): a room is every .cpp and .S under its folder; its public headers are
# include/NAME/. It sees only the public headers of the rooms it names, so a forbidden include doesn't compile.
function(linnet_room name)
    cmake_parse_arguments(ROOM "" "" "DEPENDS;SOURCES" ${ARGN})
    if(NOT ROOM_SOURCES)
        file(GLOB_RECURSE ROOM_SOURCES CONFIGURE_DEPENDS *.cpp *.S)
    endif()
    if(ROOM_SOURCES)
        add_library(${name} OBJECT ${ROOM_SOURCES})
        set(scope PUBLIC)
        target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    else()
        add_library(${name} INTERFACE)
        set(scope INTERFACE)
    endif()
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/include)
        target_include_directories(${name} ${scope} ${CMAKE_CURRENT_SOURCE_DIR}/include)
    endif()
    target_link_libraries(${name} ${scope} kernel_flags ${ROOM_DEPENDS})
    if(ROOM_SOURCES AND optimise_across_rooms AND NOT name IN_LIST rooms_on_their_own)
        target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-flto=thin>)
    endif()
    # The standard library's headers are most of a file's compile time: parsed once, by lib, for everybody.
    if(name STREQUAL "lib")
        target_precompile_headers(lib PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled.hpp)
    elseif(ROOM_SOURCES)
        target_precompile_headers(${name} REUSE_FROM lib)
    endif()
    set_property(GLOBAL APPEND PROPERTY LINNET_ROOMS ${name})
endfunction()
