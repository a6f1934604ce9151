/** The flags that shape a generation, shared by the commands that generate. What is not given is the model's own. */
import { type Command, Option } from "commander";
import type { Decode } from "../../runtime/index.ts";
import { decimal, wholeNumber } from "./flags.ts";

/** The values of the flags that decide which tokens come, as commander names them, and as the runtime does. */
export interface ChoiceFlags {
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
}

/** The same with those that decide how. */
export interface SamplingFlags extends ChoiceFlags {
  readonly decode: Decode;
  readonly window?: number;
  readonly maxSeconds?: number;
  readonly prefillChunk?: number;
}

/** Adds the flags that decide which tokens come. */
export function addChoiceFlags(command: Command): Command {
  return command
    .option("--temperature <t>", "0 takes the likeliest token (default: the model's)", decimal(0))
    .option("--top-k <k>", "sample among the k likeliest; 0 is off", wholeNumber())
    .option("--top-p <p>", "sample among the likeliest that make up p", decimal(0, 1))
    .option("--min-p <p>", "sample among tokens at least p times as likely as the likeliest", decimal(0, 1))
    .option("--repetition-penalty <r>", "make tokens that occurred less likely; 1 is off", decimal(0.01))
    .option("--seed <s>", "seed of the sampling", wholeNumber())
    .option("--stop <text>", "end before this text (repeatable)", (text: string, all: readonly string[]) => [...all, text], []);
}

/** Adds all of them. */
export function addSamplingFlags(command: Command): Command {
  return addChoiceFlags(command)
    .addOption(new Option("--decode <method>", "how tokens are found").choices(["greedy", "jacobi", "lookup"]).default("greedy"))
    .option("--window <n>", "most tokens a forward pass where they are guessed (default: 8)", wholeNumber(1))
    .option("--max-seconds <s>", "end after so much time", decimal(0))
    .option("--prefill-chunk <n>", "rows a forward call while reading the prompt", wholeNumber(1));
}
