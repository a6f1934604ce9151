/**
 * Width of a dense LFM2 feed-forward. The config stores the raw size; the model has two thirds of it, scaled and rounded up. Truncations
 * are Python's int() of a float, so they are reproduced in floating point.
 */
import type { RawConfig } from "./config-schema.ts";
import { invalid } from "./schema-error.ts";

/** The rows of w1 as transformers computes them; `config/invalid` if there is no size, or the multiplier is null or leaves nothing. */
export function feedForwardSize(raw: RawConfig, file: string): number {
  const size = raw.block_ff_dim ?? raw.intermediate_size;
  if (size === null || size === undefined) {
    return invalid(
      file,
      "intermediate_size is missing, and so is block_ff_dim",
      `add intermediate_size to ${file}; lfmc never guesses sizes`,
    );
  }
  if (!(raw.block_auto_adjust_ff_dim ?? true)) return size;
  if (raw.block_ffn_dim_multiplier === null) {
    const hint = "set it to 1.0; or set block_auto_adjust_ff_dim to false and intermediate_size to the number of rows of w1";
    return invalid(file, "block_ffn_dim_multiplier is null, which loaders read in different ways", hint);
  }
  const multiple = raw.block_multiple_of ?? 256;
  const scaled = Math.trunc((raw.block_ffn_dim_multiplier ?? 1) * Math.trunc((2 * size) / 3));
  const width = multiple * Math.ceil(scaled / multiple);
  if (width < 1 || width > 2 ** 24)
    invalid(file, `the adjusted feed-forward width is ${width}`, "correct intermediate_size or block_ffn_dim_multiplier");
  return width;
}
