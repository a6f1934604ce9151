/** Activations as kernels receive them: rows of f32, or rows of 8-bit groups. */
import type { KernelBuilder } from "../builder.ts";
import type { Value } from "../ir.ts";

/** A pointer to rows of f32. */
export function floatActivations(b: KernelBuilder, columns: number, stride: number): Value {
  return b.pointer("x", "read", `activations [rows, ${columns}] f32, rows ${stride} apart`);
}

/** Pointers to quantised rows: q, their scales and their sums. */
export function activationParameters(
  b: KernelBuilder,
  width: number,
  access: "read" | "write" = "read",
): { readonly q: Value; readonly scales: Value; readonly sums: Value } {
  return {
    q: b.pointer("xq", access, `8-bit activations [rows, ${width}] padded to whole blocks`),
    scales: b.pointer("xd", access, "their scales, one f32 for 32"),
    sums: b.pointer("xs", access, "their sums, one i32 for 32"),
  };
}
