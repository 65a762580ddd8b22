"""Pieces of LLVM instructions of which the innermost loops are made that compilers do not find by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]  # ships no type information

DOUBLE, INTEGER, INDEX = ir.DoubleType(), ir.IntType(64), ir.IntType(32)


def vector_of(length: int) -> Any:
    """Return the type of a vector of doubles."""
    return ir.VectorType(DOUBLE, length)


def vector_at(builder: ir.IRBuilder, vector: Any, pointer: Any, offset: Any) -> Any:
    """Return the address of a vector, an offset in doubles behind a pointer."""
    return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())


def multiply_add(builder: ir.IRBuilder, left: Any, right: Any, total: Any) -> Any:
    """Return left · right + total, rounded once."""
    product = builder.fmul(left, right, flags=("contract",))
    return builder.fadd(product, total, flags=("contract",))


def everywhere(builder: ir.IRBuilder, vector: Any, pointer: Any) -> Any:
    """Return a vector that has one number of the memory in all its places."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, builder.load(pointer), INDEX(0))
    places = ir.Constant(ir.VectorType(INDEX, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, undefined, places)


def sum_over(builder: ir.IRBuilder, count: Any, totals: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> Any:
    """Write a loop over ``range(count)``, at least once, that carries totals in registers."""
    before = builder.block
    loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(INTEGER)
    carried = [builder.phi(total.type) for total in totals]
    results = body(index, list(carried))
    following = builder.add(index, INTEGER(1))
    for phi, first, last in zip([index, *carried], [INTEGER(0), *totals], [following, *results], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(last, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
    builder.position_at_end(after)
    return results


def sum_of_vector(builder: ir.IRBuilder, vector: Any) -> Any:
    """Return the sum of a vector's numbers."""
    width = vector.type.count
    while width > 1:
        width //= 2
        halves = ir.VectorType(INDEX, width)
        low, high = ir.Constant(halves, list(range(width))), ir.Constant(halves, list(range(width, 2 * width)))
        vector = builder.fadd(builder.shuffle_vector(vector, vector, low), builder.shuffle_vector(vector, vector, high))
    return builder.extract_element(vector, INDEX(0))
