/** The flags that decide a model's bits, shared by the commands that take a model. */
import { Option, type Command } from "commander";
import { activationFormats, kvFormatNames, type NumericOptions } from "../options.ts";
import { decimal } from "./flags.ts";
import { weightFormats } from "../passes/index.ts";

/** Adds `--quant` and `--tensor-type`; `about` is put before their descriptions. */
export function addWeightFlags(command: Command, about = ""): Command {
  return command
    .addOption(
      new Option(
        "--quant <format>",
        `${about}encoding of the weights; keep is the checkpoint's (default: q4_0, or keep of a .gguf file that holds groups)`,
      ).choices(weightFormats),
    )
    .option("--tensor-type <glob=format>", `${about}exception by tensor name, e.g. 'model.embed_tokens.*=q8_0' (repeatable)`, collect);
}

/** Those, and `--activations` and `--kv`. */
export function addNumericFlags(command: Command, about = ""): Command {
  return addWeightFlags(command, about)
    .addOption(
      new Option("--activations <format>", `${about}what grouped weights are multiplied with (default: q8)`).choices(activationFormats),
    )
    .addOption(
      new Option("--kv <format>", `${about}encoding of the KV cache (default: f32 with f32 weights or activations, else f16)`).choices(
        kvFormatNames,
      ),
    );
}

/** Adds `--calibrate` and `--budget`. */
export function addRefinementFlags(command: Command, about = ""): Command {
  return command
    .option("--calibrate <file>", `${about}text, or a .json list of token ids, for which weights in groups are rounded to do least harm`)
    .option(
      "--budget <bits>",
      `${about}mean bits a weight, e.g. 4.5: a format for each matrix, chosen to do least harm (without --calibrate, on a text that the model writes)`,
      decimal(0.01),
    );
}

function collect(text: string, all: readonly string[] | undefined): readonly string[] {
  return [...(all ?? []), text];
}

/** The values of those flags as commander names them. */
export interface NumericFlags extends Omit<NumericOptions, "tensorTypes"> {
  readonly tensorType?: readonly string[];
}

export function numericOptions({ quant, tensorType, activations, kv, calibrate, budget }: NumericFlags): NumericOptions {
  return {
    ...(quant === undefined ? {} : { quant }),
    ...(tensorType === undefined ? {} : { tensorTypes: tensorType }),
    ...(activations === undefined ? {} : { activations }),
    ...(kv === undefined ? {} : { kv }),
    ...(calibrate === undefined ? {} : { calibrate }),
    ...(budget === undefined ? {} : { budget }),
  };
}
