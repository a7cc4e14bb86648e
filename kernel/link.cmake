# Links the rooms into linnet.elf, twice: the first link gives the addresses from which the symbol table of the panic
# backtrace is made; that table lies behind everything whose address it names, so the second link moves nothing.
# `linnet` beside it is what a boot loader takes: the stripped ELF, or a flat Image where the protocol wants one.
get_property(rooms GLOBAL PROPERTY LINNET_ROOMS)
set(objects)
foreach(room IN LISTS rooms)
    get_target_property(type ${room} TYPE)
    if(type STREQUAL "OBJECT_LIBRARY")
        # The precompiled header counts as an object of its room, but is none to a linker.
        list(APPEND objects $<FILTER:$<TARGET_OBJECTS:${room}>,EXCLUDE,\\.pch$>)
    endif()
endforeach()

set(script ${CMAKE_CURRENT_SOURCE_DIR}/arch/${LINNET_ARCH}/kernel.ld)
set(tools ${CMAKE_SOURCE_DIR}/tools/build)
set(link_flags -nostdlib --gc-sections -T ${script} -z max-page-size=65536 --build-id=none -z noexecstack)
if(optimise_across_rooms)
    # What the first link compiled, the second takes from the cache; so does the next build, where nothing changed.
    list(APPEND link_flags --thinlto-cache-dir=${CMAKE_BINARY_DIR}/thinlto --thinlto-cache-policy=cache_size_bytes=256m)
endif()
# Addresses that the image holds of itself are listed in .relr.dyn, one bit for most.
list(APPEND link_flags -pie --no-dynamic-linker --pack-dyn-relocs=relr)

add_custom_command(OUTPUT linnet.pass1.elf
    COMMAND ld.lld-19 ${link_flags} -o linnet.pass1.elf ${objects}
    DEPENDS ${objects} ${script} COMMAND_EXPAND_LISTS VERBATIM)
add_custom_command(OUTPUT symbols.o
    COMMAND python3 ${tools}/symbol_table.py --nm llvm-nm-19 --objdump llvm-objdump-19
        linnet.pass1.elf symbols.S
    COMMAND clang++-19 --target=${LINNET_ARCH}-unknown-none-elf ${LINNET_FLAGS_${LINNET_ARCH}} -c symbols.S -o symbols.o
    DEPENDS linnet.pass1.elf ${tools}/symbol_table.py ${tools}/code_paths.py VERBATIM)
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/linnet.elf
    COMMAND ld.lld-19 ${link_flags} -o ${CMAKE_BINARY_DIR}/linnet.elf ${objects} symbols.o
    DEPENDS ${objects} symbols.o ${script} COMMAND_EXPAND_LISTS VERBATIM)

if(LINNET_ARCH STREQUAL "aarch64" OR LINNET_ARCH STREQUAL "riscv64")
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/linnet
        COMMAND llvm-objcopy-19 -O binary ${CMAKE_BINARY_DIR}/linnet.elf ${CMAKE_BINARY_DIR}/linnet
        DEPENDS ${CMAKE_BINARY_DIR}/linnet.elf VERBATIM)
else()
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/linnet
        COMMAND llvm-strip-19 -o ${CMAKE_BINARY_DIR}/linnet ${CMAKE_BINARY_DIR}/linnet.elf
        DEPENDS ${CMAKE_BINARY_DIR}/linnet.elf VERBATIM)
endif()
add_custom_target(kernel ALL DEPENDS ${CMAKE_BINARY_DIR}/linnet)
