// The first instructions: the PVH entry of the boot CPU (32-bit protected mode, paging off, ebx = start_info; Xen's
// x86/HVM direct boot ABI) and the real-mode start of every other CPU. Both end in 64-bit C++ on a kernel stack.
//
// Page tables made here: boot_root_table, the kernel's for good (direct map, kernel area, image), and boot_low_root, the
// same plus an executable identity map of the first gigabyte, in use only while paging is being switched on. Where the
// image goes in them is decided by arch_place_image() (place_image.cpp), which runs at physical addresses.

#include "offsets.h"

// The physical address of a symbol: the image is loaded where it is linked to be, and this section is its first. Written
// as a distance, because a position-independent link resolves no absolute addresses.
#define PHYSICAL(symbol) (symbol - boot_text_begin + IMAGE_PHYSICAL)
#define PTE_TABLE 0x003          // present, writable
#define PTE_LEAF_LARGE 0x1e3     // present, writable, accessed, dirty, large, global
#define MSR_EFER 0xc0000080
#define EFER_BITS 0x901          // SCE, LME, NXE
#define CR0_BITS 0x80010033      // PG, WP, NE, ET, MP, PE
#define CR4_PAE_PGE 0xa0

    .section .bss.page_tables, "aw", @nobits
    .balign 4096
    .globl boot_root_table, boot_low_root, boot_kernel_area_table, boot_image_directory, boot_image_tables
    .globl boot_alias_tables, boot_direct_pointers, boot_direct_directories
boot_root_table:        .skip 4096
boot_low_root:          .skip 4096
boot_low_pointers:      .skip 4096
boot_low_directory:     .skip 4096
boot_direct_pointers:   .skip 4096
boot_direct_directories: .skip 4 * 4096  // the first gigabyte; without 1 GiB pages, four
boot_kernel_area_table: .skip 4096
boot_image_pointers:    .skip 4096
boot_image_directory:   .skip 4096
boot_image_tables:      .skip IMAGE_TABLES * 4096 // 4 KiB entries of the image
boot_alias_tables:      .skip ALIAS_TABLES * 4096 // and of what the direct map shows of it
    .section .bss.boot_stack, "aw", @nobits
    .balign 4096
    .globl boot_stack_top, boot_stack_guard
boot_stack_guard:       .skip 4096       // left unmapped
boot_stack:             .skip BOOT_STACK_SIZE
boot_stack_top:
    .globl boot_exception_stack_guards
boot_exception_stack_guards:             // three times a page left unmapped, then a stack
                        .skip 3 * (4096 + BOOT_EXCEPTION_STACK_SIZE)

    .section .text.boot, "ax"
boot_text_begin:
    .code32
    .globl pvh_start
    .type pvh_start, @function
pvh_start:
    cli
    cld
    movl %ebx, %ebp              // start_info survives in ebp
    movl $PHYSICAL(bss_begin), %edi
    movl $PHYSICAL(bss_end), %ecx
    subl %edi, %ecx
    shrl $2, %ecx
    xorl %eax, %eax
    rep stosl
    movl $PHYSICAL(boot_stack_top), %esp

    // Long mode and NX are what every CPU we support has; without them there is nobody to tell.
    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb stop
    movl $0x80000001, %eax
    cpuid
    testl $(1 << 29), %edx
    jz stop
    movl %edx, %esi              // bit 26: 1 GiB pages

    // Identity map of the first gigabyte by 2 MiB pages.
    movl $PHYSICAL(boot_low_directory), %edi
    movl $PTE_LEAF_LARGE - 0x100, %eax
    xorl %ecx, %ecx
1:  movl %eax, (%edi, %ecx, 8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $512, %ecx
    jne 1b
    movl $PHYSICAL(boot_low_directory) + PTE_TABLE, PHYSICAL(boot_low_pointers)

    // Direct map: 512 leaves of 1 GiB, or 4 GiB in 2 MiB leaves. High words carry NX and address bits 32 and up.
    movl $PHYSICAL(boot_direct_pointers), %edi
    testl $(1 << 26), %esi
    jz 3f
    xorl %ecx, %ecx
2:  movl %ecx, %eax
    shll $30, %eax
    orl $PTE_LEAF_LARGE, %eax
    movl %eax, (%edi, %ecx, 8)
    movl %ecx, %eax
    shrl $2, %eax
    orl $0x80000000, %eax
    movl %eax, 4(%edi, %ecx, 8)
    incl %ecx
    cmpl $512, %ecx
    jne 2b
    jmp 5f
3:  movl $PHYSICAL(boot_direct_directories) + PTE_TABLE, %eax
    xorl %ecx, %ecx
4:  movl %eax, (%edi, %ecx, 8)
    addl $4096, %eax
    incl %ecx
    cmpl $4, %ecx
    jne 4b
    movl $PHYSICAL(boot_direct_directories), %edi
    movl $PTE_LEAF_LARGE, %eax
    xorl %ecx, %ecx
4:  movl %eax, (%edi, %ecx, 8)
    movl $0x80000000, 4(%edi, %ecx, 8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $2048, %ecx
    jne 4b

5:  movl $PHYSICAL(boot_image_directory) + PTE_TABLE, PHYSICAL(boot_image_pointers) + 510 * 8

    movl $PHYSICAL(boot_direct_pointers) + PTE_TABLE, %eax
    movl $PHYSICAL(boot_kernel_area_table) + PTE_TABLE, %ecx
    movl $PHYSICAL(boot_image_pointers) + PTE_TABLE, %edx
    movl $PHYSICAL(boot_low_root), %edi
    movl $PHYSICAL(boot_low_pointers) + PTE_TABLE, (%edi)
    movl $2, %esi
7:  movl %eax, 256 * 8(%edi)
    movl %ecx, 384 * 8(%edi)
    movl %edx, 511 * 8(%edi)
    movl $PHYSICAL(boot_root_table), %edi
    decl %esi
    jnz 7b

    call enter_long_mode
    lgdtl PHYSICAL(boot_gdt_pointer)
    ljmpl $KERNEL_CS, $PHYSICAL(boot_long_mode)
stop:
    hlt
    jmp stop

// Switches paging on with boot_low_root; returns still in (compatibility-mode) 32-bit code. Changes eax, ecx, edx.
enter_long_mode:
    movl %cr4, %eax
    orl $CR4_PAE_PGE, %eax
    movl %eax, %cr4
    movl $PHYSICAL(boot_low_root), %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_BITS, %eax
    wrmsr
    movl $CR0_BITS, %eax
    movl %eax, %cr0
    ret

    .code64
boot_long_mode:                  // on the identity map
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    leaq boot_stack_top(%rip), %rsp
    movl %ebp, %edi
    movl %ebp, %ebx
    xorl %ebp, %ebp
    call arch_place_image
    movq kernel_image_offset(%rip), %rax
    leaq 1f(%rip), %rcx
    addq %rax, %rcx
    jmp *%rcx
1:  leaq boot_root_table(%rip), %rcx
    subq %rax, %rcx
    leaq boot_stack_top(%rip), %rsp
    movq %rcx, %cr3
    movl %ebx, %edi
    call arch_boot_start
    ud2

// ---- other CPUs: copied to TRAMPOLINE_PHYSICAL, entered there in real mode by the start-up IPI ----
    .balign 16
    .globl trampoline_begin, trampoline_end
    .code16
trampoline_begin:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl trampoline_gdt_pointer - trampoline_begin
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $0x08, $TRAMPOLINE_PHYSICAL + (trampoline_32 - trampoline_begin)
    .code32
trampoline_32:
    movw $KERNEL_DS, %ax
    movw %ax, %ds
    movw %ax, %ss
    // No stack yet: the page-table switch is spelled out again.
    movl %cr4, %eax
    orl $CR4_PAE_PGE, %eax
    movl %eax, %cr4
    movl $PHYSICAL(boot_low_root), %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_BITS, %eax
    wrmsr
    movl $CR0_BITS, %eax
    movl %eax, %cr0
    ljmpl $KERNEL_CS, $TRAMPOLINE_PHYSICAL + (trampoline_64 - trampoline_begin)
    .code64
trampoline_64:
    movl $PHYSICAL(secondary_long_mode), %eax
    jmp *%rax
    .balign 8
trampoline_gdt_pointer:
    .2byte boot_gdt_end - boot_gdt - 1
    .4byte TRAMPOLINE_PHYSICAL + (trampoline_gdt - trampoline_begin)
    .balign 8
trampoline_gdt:
    .8byte 0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff
trampoline_end:

// start_cpu() has left the new CPU's CpuHeader and stack in secondary_cpu_header and secondary_stack.
secondary_long_mode:             // on the identity map
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    leaq 1f(%rip), %rax
    addq kernel_image_offset(%rip), %rax
    leaq boot_root_table(%rip), %rcx
    jmp *%rax
1:  movq secondary_stack(%rip), %rsp
    movq secondary_cpu_header(%rip), %rdi
    movq %rcx, %cr3
    xorl %ebp, %ebp
    call arch_secondary_start
    ud2

    .balign 8
boot_gdt:                        // null, 32-bit code, 64-bit code, data
    .8byte 0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff
boot_gdt_end:
boot_gdt_pointer:
    .2byte boot_gdt_end - boot_gdt - 1
    .4byte PHYSICAL(boot_gdt)
    .section .note.GNU-stack, "", @progbits
