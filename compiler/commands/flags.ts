/** Parsers of flag values; commander prints what they throw, with the flag's name, and the exit status is 2. */
import { InvalidArgumentError } from "commander";

/** A whole number from `least` to `most`. */
export function wholeNumber(least = 0, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`expected a whole number ${range}.`);
  };
}

/** A decimal number from `least` to `most`. */
export function decimal(least: number, most = Number.MAX_VALUE): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`expected a number ${most === Number.MAX_VALUE ? `of at least ${least}` : `from ${least} to ${most}`}.`);
  };
}

const units: Readonly<Record<string, number>> = { "": 1, B: 1, KB: 1e3, MB: 1e6, GB: 1e9, KIB: 2 ** 10, MIB: 2 ** 20, GIB: 2 ** 30 };

/** Bytes: `128MB` (10^6), `128MiB` (2^20), `1000000`. */
export function byteCount(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg]?i?b?)$/i.exec(text);
  const unit = units[(match?.[2] ?? "?").toUpperCase()];
  const value = Math.floor(Number(match?.[1]) * (unit ?? NaN));
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("expected bytes: 128MB, 128MiB or a plain number.");
}

/** Whole numbers separated by commas. */
export function numberList(text: string): readonly number[] {
  return text.split(",").map((part) => wholeNumber()(part.trim()));
}

/** Texts separated by commas. */
export function textList(text: string): readonly string[] {
  return text.split(",").map((part) => part.trim());
}

/** Words separated by commas, each one of `allowed`. */
export function wordList<Word extends string>(allowed: readonly Word[]): (text: string) => readonly Word[] {
  return (text) =>
    text.split(",").map((part) => {
      const word = allowed.find((candidate) => candidate === part.trim());
      if (word !== undefined) return word;
      throw new InvalidArgumentError(`${JSON.stringify(part)} is not one of ${allowed.join(", ")}.`);
    });
}
