/* SPDX-License-Identifier: BSD-3-Clause */
/* Opcodes of eBPF: RFC 9669, 3 to 5. Its own names, since libpcap and DPDK have macros for theirs. */
#ifndef SOFTIOV_BPF_CODE_H
#define SOFTIOV_BPF_CODE_H

#define CODE_CLASS(code) ((code)&0x07u)
#define CODE_OP(code)    ((code)&0xf0u)
#define CODE_IS_X(code)  (((code)&0x08u) != 0) /* the second operand is a register */
#define CODE_SIZE(code)  ((code)&0x18u)
#define CODE_MODE(code)  ((code)&0xe0u)

/* Classes: 3.1.1 */
#define CODE_LD    0x00
#define CODE_LDX   0x01
#define CODE_ST    0x02
#define CODE_STX   0x03
#define CODE_ALU   0x04
#define CODE_JMP   0x05
#define CODE_JMP32 0x06
#define CODE_ALU64 0x07

#define CODE_X 0x08

/* Arithmetic: 4.1 */
#define CODE_ADD  0x00
#define CODE_SUB  0x10
#define CODE_MUL  0x20
#define CODE_DIV  0x30
#define CODE_OR   0x40
#define CODE_AND  0x50
#define CODE_LSH  0x60
#define CODE_RSH  0x70
#define CODE_NEG  0x80
#define CODE_MOD  0x90
#define CODE_XOR  0xa0
#define CODE_MOV  0xb0
#define CODE_ARSH 0xc0
#define CODE_END  0xd0

/* Jumps: 4.3 */
#define CODE_JA   0x00
#define CODE_JEQ  0x10
#define CODE_JGT  0x20
#define CODE_JGE  0x30
#define CODE_JSET 0x40
#define CODE_JNE  0x50
#define CODE_JSGT 0x60
#define CODE_JSGE 0x70
#define CODE_CALL 0x80
#define CODE_EXIT 0x90
#define CODE_JLT  0xa0
#define CODE_JLE  0xb0
#define CODE_JSLT 0xc0
#define CODE_JSLE 0xd0

/* Loads and stores: 5 */
#define CODE_W          0x00
#define CODE_H          0x08
#define CODE_B          0x10
#define CODE_DW         0x18
#define CODE_IND        0x40 /* of packets, as classic programs do */
#define CODE_MEM        0x60
#define CODE_LOAD_IMM64 0x18 /* LD | IMM | DW, two instructions long */

#endif
