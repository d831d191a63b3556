"""The inner loop of every fast convolution: a small tile of a matrix product, kept in registers.

Every product of a convolution asks for  C[i, n] += Σ_p A[i, p] · B[p, n]  (products.py says how). Written as three
plain loops, each multiplication loads two numbers and stores one, and a core spends its time waiting for memory. The
cure has three parts.

Registers. A core multiplies and adds whole vectors of L numbers (`lanes`: 4 with NEON or SSE, 8 with AVX2, 16 with
AVX-512), two vectors per cycle, but loads only two or three per cycle. So each loaded number must be used often.

Tiles. Hold R x V vectors of C in registers while p runs: one step loads V vectors of B's row p and R single numbers of
A, each copied into all lanes ("broadcast"), and does R·V multiply-adds. With R = 6, V = 2: 8 loads feed 12 products of
vectors. The tile may not exceed the register file (16 vectors with AVX2, 32 with AVX-512 and NEON), or the compiler
spills it to memory; and it should not be small, because a multiply-add takes 4 cycles to finish: only with 8 or more
of them independent of each other are both pipelines always busy.

Packing. B is read V vectors at a time, row after row. If those lie one after the other (a "panel" of L·V columns), the
loads are sequential, and a panel of some 256 rows stays in the first-level cache while all rows of A pass by.

A compiler does not find this by itself, so the tile is written in LLVM's intermediate language, where a vector of any
length is legal on any machine. Each number of the tile is summed by itself with p ascending: its bits depend neither
on its place in the tile nor on R, V and L. This scheme is that of [Goto08], and of BLIS [VanZee15, §4].
"""

from llvmlite import binding, ir

from minicodec.kernels.cpu.engine.compile import instruction

F32, I32, I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)


def make_tile(rows, vectors, lanes, panels=1):
    """A function for Numba code that computes one tile, rows x (panels·vectors·lanes), of C = A·B or C = C + A·B.

    tile(a, a_row, a_step, b, b_row, b_panel, count, c, c_row, add): a, b, c are addresses (nothing is checked here:
    callers go through products.py), all else counts float32 numbers. A[i, p] lies at a + i·a_row + p·a_step, B[p, n]
    of panel j at b + j·b_panel + p·b_row + n, C[i, n] at c + i·c_row + n (there, panels stand side by side), and p runs
    from 0 to count - 1. If add is not 0, the finished sums are added to what C held, otherwise they replace it.
    """
    vector = ir.VectorType(F32, lanes)

    def behind(builder, pointer, offset):
        """A pointer to the vector that begins `offset` numbers behind."""
        return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

    @instruction("void", *["intp"] * 10)
    def tile(context, builder, signature, args):
        from numba.core import cgutils

        a, a_row, a_step, b, b_row, b_panel, count, c, c_row, add = args
        a, b, c = (builder.inttoptr(address, F32.as_pointer()) for address in (a, b, c))
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{lanes}f32"
        )
        zero = ir.Constant(vector, [0.0] * lanes)
        columns = range(panels * vectors)  # in vectors
        sums = {(i, v): cgutils.alloca_once_value(builder, zero) for i in range(rows) for v in columns}
        for s in sums.values():  # the allocation is made once per function, the zeros are needed once per tile
            builder.store(zero, s)
        a_rows = [builder.gep(a, [builder.mul(a_row, I64(i))]) for i in range(rows)]
        b_panels = [builder.gep(b, [builder.mul(b_panel, I64(j))]) for j in range(panels)]

        with cgutils.for_range(builder, count) as loop:
            a_p, b_p = builder.mul(loop.index, a_step), builder.mul(loop.index, b_row)
            b_vectors = []
            for v in columns:
                in_panel = builder.add(b_p, I64(v % vectors * lanes))
                b_vectors.append(builder.load(behind(builder, b_panels[v // vectors], in_panel), align=4))
            for i in range(rows):
                number = builder.load(builder.gep(a_rows[i], [a_p]), align=4)
                broadcast = builder.insert_element(ir.Constant(vector, ir.Undefined), number, I32(0))
                broadcast = builder.shuffle_vector(
                    broadcast, broadcast, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
                )
                for v in columns:
                    s = sums[i, v]
                    builder.store(builder.call(multiply_add, [broadcast, b_vectors[v], builder.load(s)]), s)

        def finish(combine):
            for (i, v), s in sums.items():
                target = behind(builder, c, builder.add(builder.mul(c_row, I64(i)), I64(v * lanes)))
                builder.store(combine(builder.load(s), target), target, align=4)

        with builder.if_else(builder.icmp_signed("!=", add, I64(0))) as (then, otherwise):
            with then:
                finish(lambda s, target: builder.fadd(builder.load(target, align=4), s))
            with otherwise:
                finish(lambda s, target: s)

    return tile


def choose_tile(features):
    """(rows, vectors, lanes) that fill the registers of a CPU with these features, as LLVM names them."""
    if features.get("avx512f"):
        return 8, 2, 16  # 32 registers of 16 numbers
    if features.get("avx"):
        return 6, 2, 8  # 16 registers of 8
    return (8, 2, 4) if features.get("neon") else (6, 2, 4)  # 32 or 16 registers of 4


ROWS, VECTORS, LANES = choose_tile(binding.get_host_cpu_features())
COLUMNS = VECTORS * LANES
