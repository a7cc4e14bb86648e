// Probes on every kind of instruction: those that depend on the program counter or change it, calls, returns, system
// calls, and others. With a probe on each in turn, and on all of them, code does what it does without.
// needs-linux: 5.13
#include <signal.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "uprobe.hpp"

using namespace check;

extern "C" {
unsigned long snippet(unsigned long a, unsigned long b, unsigned long* memory);
extern const unsigned long probe_points[], probe_points_end[];
}

// P marks the instruction that follows. Loads of literals of AArch64 are left to tests/unit: Linux 6.1 gets them wrong,
// and what PUSHF stores there has the trap flag that Linux steps with.
#if defined(__x86_64__)
asm(R"(
    .macro P
771:
    .pushsection .rodata.points, "a"
    .quad 771b
    .popsection
    .endm
    .pushsection .rodata.points, "a"
    .balign 8
    .globl probe_points
probe_points:
    .popsection
    .text
    .globl snippet
snippet:
P;  push %rbp
P;  mov %rsp, %rbp
P;  push %rbx
P;  push %r12
P;  mov %rdx, %rbx
P;  lea (%rdi,%rsi,2), %rax
P;  test %rdi, %rdi
P;  je 1f
P;  add $3, %rax
1:
P;  cmp %rsi, %rdi
P;  jbe 2f
P;  add $0x11111, %rax
2:
P;  jl 3f
P;  add $5, %rax
3:
P;  jmp 4f
    ud2
4:
P;  call function
P;  lea function(%rip), %rcx
P;  call *%rcx
P;  call *table(%rip)
P;  movl $1, %ecx
P;  lea table(%rip), %rdx
P;  call *(%rdx,%rcx,8)
P;  lea 5f(%rip), %rcx
P;  jmp *%rcx
    ud2
5:
P;  jmp *table+16(%rip)
    ud2
6:
P;  add constant(%rip), %rax
P;  mov constant(%rip), %rdi
P;  imul constant(%rip), %rsi
P;  add %rdi, %rax
P;  add %rsi, %rax
P;  mov %rax, 8(%rbx)
P;  xchg %rax, (%rbx)
P;  mov $4, %ecx
7:
P;  add $1, %rax
P;  loop 7b
P;  mov %rax, %r12
P;  lea table(%rip), %rsi
P;  mov %rbx, %rdi
P;  mov $3, %ecx
P;  rep movsq
P;  mov $110, %eax
P;  syscall
P;  add %r12, %rax
P;  movq constant(%rip), %xmm1
P;  paddq constant(%rip), %xmm1
P;  movq %xmm1, %rcx
P;  add %rcx, %rax
P;  xor %ecx, %ecx
P;  jrcxz 8f
    ud2
8:
P;  nop
P;  nopw 0(%rax,%rax)
P;  cmpq $77, constant(%rip)
P;  sete %cl
P;  add %rcx, %rax
P;  pushq constant(%rip)
P;  pop %rcx
P;  add %rcx, %rax
    pushf
P;  popf
P;  pop %r12
P;  pop %rbx
P;  leave
P;  ret
function:
P;  add $7, %rax
P;  .byte 0xf3, 0xc3
other:
P;  add $9, %rax
P;  ret
    .pushsection .data
    .balign 16
table:
    .quad function, other, 6b
    .balign 16
constant:
    .quad 77, 78
    .popsection
    .pushsection .rodata.points, "a"
    .globl probe_points_end
probe_points_end:
    .popsection
)");
#elif defined(__aarch64__)
asm(R"(
    .macro P
771:
    .pushsection .rodata.points, "a"
    .quad 771b
    .popsection
    .endm
    .pushsection .rodata.points, "a"
    .balign 8
    .globl probe_points
probe_points:
    .popsection
    .text
    .balign 4
    .globl snippet
snippet:
P;  stp x29, x30, [sp, #-32]!
P;  mov x29, sp
P;  str x19, [sp, #16]
P;  mov x19, x2
P;  add x3, x0, x1, lsl #1
P;  cbz x0, 1f
P;  add x3, x3, #3
1:
P;  cbnz w1, 2f
P;  add x3, x3, #5
2:
P;  cmp x0, x1
P;  b.ls 3f
P;  add x3, x3, #7
3:
P;  b.lt 4f
P;  add x3, x3, #11
4:
P;  tbz x0, #3, 5f
P;  add x3, x3, #13
5:
P;  tbnz x1, #40, 6f
P;  add x3, x3, #17
6:
P;  b 7f
    udf #0
7:
P;  bl function
P;  adr x4, function
P;  blr x4
P;  adrp x5, table
P;  add x5, x5, :lo12:table
P;  adr x4, 8f
P;  br x4
    udf #0
8:
    ldr x6, constant
P;  add x3, x3, x6
    ldr w6, constant
P;  add x3, x3, x6
    ldrsw x16, negative
P;  add x3, x3, x16
    ldr d1, constant
P;  fmov x6, d1
P;  add x3, x3, x6
    ldr q2, constant
P;  mov x6, v2.d[1]
P;  add x3, x3, x6
    ldr s3, constant
P;  fmov w6, s3
P;  add x3, x3, x6
    prfm pldl1keep, constant
P;  str x3, [x19]
P;  ldr x6, [x19], #8
P;  mov x8, #173
P;  svc #0
P;  add x0, x0, x3
P;  nop
P;  ldr x19, [sp, #16]
P;  ldp x29, x30, [sp], #32
P;  ret
function:
P;  add x3, x3, #19
P;  ret
    .balign 16
constant:
    .quad 0x1234567887654321, 42
negative:
    .quad -5
    .pushsection .data
    .balign 8
table:
    .quad 1
    .popsection
    .pushsection .rodata.points, "a"
    .globl probe_points_end
probe_points_end:
    .popsection
)");
#elif defined(__riscv)
asm(R"(
    .macro P
771:
    .pushsection .rodata.points, "a"
    .quad 771b
    .popsection
    .endm
    .pushsection .rodata.points, "a"
    .balign 8
    .globl probe_points
probe_points:
    .popsection
    .text
    .balign 4
    .globl snippet
snippet:
P;  addi sp, sp, -32
P;  sd ra, 24(sp)
P;  sd s0, 16(sp)
P;  mv s0, a2
P;  slli t0, a1, 1
P;  add t0, t0, a0
P;  beqz a0, 1f
P;  addi t0, t0, 3
1:
P;  c.bnez a1, 2f
P;  addi t0, t0, 5
2:
P;  bltu a0, a1, 3f
P;  addi t0, t0, 7
3:
P;  bge a0, a1, 4f
P;  addi t0, t0, 11
4:
P;  c.j 5f
    unimp
5:
P;  jal function
P;  lla t1, function
P;  jalr t1
P;  c.jalr t1
P;  lla t2, 6f
P;  jr t2
    unimp
6:
P;  li t1, 1
P;  add t0, t0, t1
P;  sd t0, 0(s0)
P;  amoadd.d t1, t0, (s0)
P;  ld t1, 0(s0)
P;  mul t1, t1, t1
P;  add t0, t0, t1
P;  fcvt.d.l fa0, t0
P;  fcvt.l.d t1, fa0, rtz
P;  add t0, t0, t1
P;  mv t3, t0
P;  li a7, 173
P;  ecall
P;  add a0, a0, t3
P;  nop
P;  ld s0, 16(sp)
P;  ld ra, 24(sp)
P;  addi sp, sp, 32
P;  ret
function:
P;  addi t0, t0, 19
P;  ret
    .pushsection .rodata.points, "a"
    .globl probe_points_end
probe_points_end:
    .popsection
)");
#elif defined(__loongarch64)
asm(R"(
    .macro P
771:
    .pushsection .rodata.points, "a"
    .quad 771b
    .popsection
    .endm
    .pushsection .rodata.points, "a"
    .balign 8
    .globl probe_points
probe_points:
    .popsection
    .text
    .balign 4
    .globl snippet
snippet:
P;  addi.d $sp, $sp, -32
P;  st.d $ra, $sp, 24
P;  st.d $s0, $sp, 16
P;  move $s0, $a2
P;  alsl.d $t0, $a1, $a0, 1
P;  beqz $a0, 1f
P;  addi.d $t0, $t0, 3
1:
P;  bnez $a1, 2f
P;  addi.d $t0, $t0, 5
2:
P;  bltu $a0, $a1, 3f
P;  addi.d $t0, $t0, 7
3:
P;  bge $a0, $a1, 4f
P;  addi.d $t0, $t0, 11
4:
P;  beq $a0, $a1, 5f
P;  addi.d $t0, $t0, 13
5:
P;  b 6f
    break 0
6:
P;  bl function
P;  pcaddi $t1, 3
P;  jirl $ra, $t1, 0
P;  b 7f
P;  addi.d $t0, $t0, 17
P;  jr $ra
7:
P;  pcaddu12i $t1, 0
P;  pcaddi $t2, 0
P;  sub.d $t2, $t2, $t1
P;  add.d $t0, $t0, $t2
P;  st.d $t0, $s0, 0
P;  ld.d $t1, $s0, 0
P;  amadd.d $t2, $t0, $s0
P;  mul.d $t1, $t1, $t1
P;  add.d $t0, $t0, $t1
P;  move $t3, $t0
P;  st.d $t0, $s0, 8
P;  ori $a7, $zero, 173
P;  syscall 0
P;  ld.d $t3, $s0, 8
P;  add.d $a0, $a0, $t3
P;  nop
P;  ld.d $s0, $sp, 16
P;  ld.d $ra, $sp, 24
P;  addi.d $sp, $sp, 32
P;  ret
function:
P;  addi.d $t0, $t0, 19
P;  ret
    .pushsection .rodata.points, "a"
    .globl probe_points_end
probe_points_end:
    .popsection
)");
#endif

namespace {

struct Arguments {
    unsigned long a, b;
};
constexpr Arguments tried[] = {{0, 0}, {1, 2}, {2, 1}, {~0ul, 1}, {1, ~0ul}, {8, 1ul << 40}, {1ul << 63, 5}};

// Linux takes no probes on system calls on some architectures.
constexpr int most_refused = 2;

unsigned long run(const Arguments& arguments) {
    unsigned long memory[4] = {};
    return snippet(arguments.a, arguments.b, memory) * 31 + memory[0] + memory[1] * 3;
}

} // namespace

int main() {
    int type = uprobe::needed_pmu("uprobe");
    constexpr size_t count = sizeof tried / sizeof *tried;
    unsigned long wanted[count];
    for (size_t i = 0; i < count; ++i) wanted[i] = run(tried[i]);
    std::vector<int> all;
    int refused = 0;
    for (const unsigned long* point = probe_points; point != probe_points_end; ++point) {
        uprobe::Place place = uprobe::place_of((void*)*point);
        perf_event_attr asked = uprobe::attributes(type, place.path, place.offset);
        int fd = perf::open_event(&asked);
        if (fd < 0) {
            ++refused;
            continue;
        }
        for (size_t i = 0; i < count; ++i)
            if (!CHECK_EQ(run(tried[i]), wanted[i])) printf("  with a probe at %#lx, case %zu\n", *point, i);
        if (!CHECK_GT(uprobe::value(fd), 0ul)) printf("  of the probe at %#lx\n", *point);
        close(fd);
    }
    CHECK_LE(refused, most_refused);
    for (const unsigned long* point = probe_points; point != probe_points_end; ++point) {
        uprobe::Place place = uprobe::place_of((void*)*point);
        perf_event_attr asked = uprobe::attributes(type, place.path, place.offset);
        int fd = perf::open_event(&asked);
        if (fd >= 0) all.push_back(fd);
    }
    for (int round = 0; round < 3; ++round)
        for (size_t i = 0; i < count; ++i) CHECK_EQ(run(tried[i]), wanted[i]);
    for (int fd : all) close(fd);
    for (size_t i = 0; i < count; ++i) CHECK_EQ(run(tried[i]), wanted[i]);
    return result();
}
