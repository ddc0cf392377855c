/* The boot sector: real mode to 64-bit mode with every vector register in use, the rest of the disk to 1 MiB, and into it.
 *
 * Memory below 4 GiB is mapped to itself by four pages of 1 GiB. There are no interrupts and no exception handlers: a
 * fault ends the emulator, whose log says which one and where. Disk: ATA/ATAPI-6, PIO data-in, 28-bit addresses. */

#define PML4 0x1000
#define PDPT 0x2000
#define IMAGE 0x100000
#define ATA 0x1f0

    .section .boot, "awx"
    .code16
    .globl boot
boot:
    cli
    cld
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    in $0x92, %al /* the address line 20 */
    or $2, %al
    out %al, $0x92
    movl $(PDPT + 3), PML4 /* present, writable */
    movl $0, PML4 + 4
    mov $PDPT, %di
    mov $0x83, %eax /* present, writable, 1 GiB */
1:  mov %eax, (%di)
    movl $0, 4(%di)
    add $8, %di
    add $0x40000000, %eax
    jnc 1b
    mov $0x40620, %eax /* CR4: OSXSAVE, OSXMMEXCPT, OSFXSR, PAE */
    mov %eax, %cr4
    mov $PML4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx /* EFER: LME */
    mov $0x100, %eax
    xor %edx, %edx
    wrmsr
    lgdt descriptors
    mov $0x80000003, %eax /* CR0: PG, MP, PE; no EM, no TS */
    mov %eax, %cr0
    ljmp $8, $long_mode

    .code64
long_mode:
    mov $16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $boot, %esp
    mov $0xd, %eax /* CPUID 0xd.0: the register states that this CPU can save */
    xor %ecx, %ecx
    cpuid
    and $0xe7, %eax /* x87, SSE, AVX, masks and both halves of ZMM */
    xor %edx, %edx
    xor %ecx, %ecx
    xsetbv
    mov $IMAGE, %edi
    mov $1, %ebx
2:  call read_sector
    inc %ebx
    cmp image_sectors, %ebx
    jbe 2b
    mov $guest_main, %eax
    call *%rax
    hlt

/* Sector %ebx to %rdi, which moves on. */
read_sector:
    mov $(ATA + 2), %edx
    mov $1, %al
    out %al, (%dx)
    mov %ebx, %eax
    inc %edx
    out %al, (%dx)
    shr $8, %eax
    inc %edx
    out %al, (%dx)
    shr $8, %eax
    inc %edx
    out %al, (%dx)
    shr $8, %eax
    or $0xe0, %al /* the first drive, by LBA */
    inc %edx
    out %al, (%dx)
    mov $0x20, %al /* READ SECTORS */
    inc %edx
    out %al, (%dx)
3:  in (%dx), %al
    test $0x80, %al /* busy */
    jnz 3b
    test $0x08, %al /* data ready */
    jz 3b
    mov $ATA, %edx
    mov $128, %ecx
    rep insl
    ret

    .balign 8
table:
    .quad 0
    .quad 0x00209a0000000000 /* code, 64 bit */
    .quad 0x0000920000000000 /* data */
descriptors:
    .word . - table - 1
    .long table

    .org 506
    .globl image_sectors
image_sectors:
    .long 0 /* written into the image: sectors that follow this one */
    .word 0xaa55

/* void switch_stacks(void **from, void *to): leaves the registers that a call preserves on this stack, and goes on on the other. */
    .text
    .globl switch_stacks
switch_stacks:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
