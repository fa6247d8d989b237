/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BPF instructions by hand, for programs of a few lines. Registers: r0 result, r1-r5 arguments and lost by
 * calls, r6-r9 kept by calls, r10 the stack.
 */
#ifndef TESTS_LIVE_INSTRUCTIONS_H
#define TESTS_LIVE_INSTRUCTIONS_H

#include <linux/bpf.h>

#define INSN(c, d, s, o, i) \
	((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})

/* rD = I, rD = rS, rD op= I, rD op= rS */
#define MOVE_IMM(d, i)	       INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOVE(d, s)	       INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define ALU_IMM(op, d, i)      INSN(BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define ALU(op, d, s)	       INSN(BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define TO_BIG_ENDIAN(d, bits) INSN(BPF_ALU | BPF_END | BPF_TO_BE, d, 0, 0, bits)

/* rD = *(size *)(rS + O), *(size *)(rD + O) = rS; size is BPF_B, BPF_H, BPF_W or BPF_DW */
#define LOAD(size, d, s, o)  INSN(BPF_LDX | BPF_MEM | (size), d, s, o, 0)
#define STORE(size, d, s, o) INSN(BPF_STX | BPF_MEM | (size), d, s, o, 0)

/* atomically *(u64 *)(rD + O) += rS */
#define ATOMIC_ADD(d, s, o) INSN(BPF_STX | BPF_ATOMIC | BPF_DW, d, s, o, BPF_ADD)

/* if (rD op rS) skip O instructions; likewise with a constant */
#define JUMP(op, d, s, o)     INSN(BPF_JMP | (op) | BPF_X, d, s, o, 0)
#define JUMP_IMM(op, d, i, o) INSN(BPF_JMP | (op) | BPF_K, d, 0, o, i)

#define CALL(helper) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper)
#define EXIT()	     INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* rD = the value of the only element of an array map, two instructions */
#define LOAD_MAP_VALUE(d, fd) \
	INSN(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_VALUE, 0, fd), INSN(0, 0, 0, 0, 0)

#endif
