// The vDSO image as the build made it, in read-only data.
    .section .rodata.vdso, "a"
    .balign 8
    .globl vdso_image_begin
vdso_image_begin:
    .incbin "vdso.so"
    .globl vdso_image_end
vdso_image_end:
