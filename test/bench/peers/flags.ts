/** The command line of `npm run bench:peers -- …`. */
import { Command, Option } from "commander";
import { join } from "node:path";
import { numberList, wholeNumber, wordList } from "../../../compiler/commands/flags.ts";
import { kvFormatNames, type Kv } from "../../../compiler/options.ts";
import { contenders } from "./contenders/index.ts";
import { rootFolder } from "./folders.ts";

export interface Flags {
  readonly only?: readonly string[];
  readonly rounds: number;
  readonly threads: readonly number[];
  readonly prompt: number;
  readonly decode: number;
  readonly depth: number;
  readonly shape: string;
  readonly kv: Kv;
  readonly out: string;
}

/** Reads the flags; ends the process where they are wrong. */
export function readFlags(args: readonly string[]): Flags {
  const names = contenders.map(({ name }) => name);
  return new Command("npm run bench:peers --")
    .description("measure lfmc beside its peers")
    .addOption(new Option("--only <names>", `of ${names.join(", ")}`).argParser(wordList(names)))
    .option("--rounds <n>", "how often each contender is measured", wholeNumber(1), 3)
    .option("--threads <list>", "numbers of threads", numberList, [1, 2])
    .option("--prompt <n>", "tokens of the prompt", wholeNumber(1), 512)
    .option("--decode <n>", "tokens to decode", wholeNumber(1), 64)
    .option("--depth <n>", "decode this deep in a sequence too; 0: nowhere", wholeNumber(), 4096)
    .option("--shape <path>", "a model's folder or its config.json", join(rootFolder, "test/golden/data/shapes/LFM2-350M"))
    .addOption(new Option("--kv <format>", "encoding of lfmc's KV cache").choices(kvFormatNames).default("f16"))
    .option("--out <dir>", "where the table and the chart go", join(rootFolder, "build/peers"))
    .parse(args, { from: "user" })
    .opts<Flags>();
}
