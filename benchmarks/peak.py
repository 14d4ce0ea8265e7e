"""The machine's peak: float32 fused multiply-adds a second, on one thread and on all.

Run with ``python -m benchmarks.peak``. A loop with nothing but independent FMAs on registers: no
load, no store. What a kernel reaches is stated as a share of this.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minisgd.compiler.threads import processors

CHAINS = 10  # independent sums: enough to hide the latency, few enough for 16 registers
WIDTHS = (4, 8, 16)  # lanes of a vector: NEON, AVX2, AVX-512; the fastest counts


def _loop(lanes: int) -> Any:
    """Return a compiled ``f(turns, x)`` that does ``turns * CHAINS * lanes`` FMAs."""

    @intrinsic  # type: ignore[misc, untyped-decorator, unused-ignore]
    def chains(typing_context: Any, turns: Any, x: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            count, start = arguments
            vector = ir.VectorType(ir.FloatType(), lanes)
            zero = ir.Constant(ir.IntType(32), 0)
            lane0 = builder.insert_element(ir.Constant(vector, ir.Undefined), start, zero)
            mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
            factor = builder.shuffle_vector(lane0, lane0, mask)
            fma = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(vector, [vector] * 3),
                f"llvm.fma.v{lanes}f32",
            )
            before = builder.block
            body, after = (builder.append_basic_block(name) for name in ("body", "after"))
            builder.branch(body)
            builder.position_at_end(body)
            turn = builder.phi(count.type)
            sums = [builder.phi(vector) for _ in range(CHAINS)]
            new = [builder.call(fma, [s, factor, factor]) for s in sums]
            next_turn = builder.add(turn, ir.Constant(count.type, 1))
            turn.add_incoming(ir.Constant(count.type, 0), before)
            turn.add_incoming(next_turn, body)
            for number, (phi, value) in enumerate(zip(sums, new, strict=True)):
                # Different starts: LLVM would fold equal chains into one.
                first = ir.Constant(vector, [float(number)] * lanes)
                phi.add_incoming(first, before)
                phi.add_incoming(value, body)
            builder.cbranch(builder.icmp_signed("<", next_turn, count), body, after)
            builder.position_at_end(after)
            total = new[0]
            for value in new[1:]:
                total = builder.fadd(total, value)
            return builder.extract_element(total, zero)

        return types.float32(types.int64, types.float32), code

    @numba.njit(nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
    def run(turns: Any, x: Any) -> Any:
        return chains(turns, x)

    return run


def measure(threads: int = 1, seconds: float = 0.5) -> float:
    """Return the peak in GFLOP/s, an FMA counting as two; the best of several short runs.

    Parameters
    ----------
    threads : int
        How many run at the same time.
    seconds : float
        How long to try each width of vector.
    """
    best, turns = 0.0, np.int64(1_000_000)
    with ThreadPoolExecutor(threads) as pool:
        for lanes in WIDTHS:
            run = _loop(lanes)
            run(np.int64(10), np.float32(0.5))  # compiles
            ends = time.perf_counter() + seconds
            while time.perf_counter() < ends:
                began = time.perf_counter()
                list(pool.map(run, [turns] * threads, [np.float32(0.5)] * threads))
                passed = time.perf_counter() - began
                best = max(best, 2e-9 * int(turns) * CHAINS * lanes * threads / passed)
    return best


def main() -> None:
    """Print the peak of one thread and of all as JSON."""
    print(json.dumps({str(n): round(measure(n), 1) for n in sorted({1, processors()})}))


if __name__ == "__main__":
    main()
