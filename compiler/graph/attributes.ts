/**
 * Reading a node's attributes. An op says what it expects by reading; what it did not read is unknown and refused, so an op's
 * attributes are described in one place and typed without casts.
 */
import { LfmcError } from "../errors.ts";
import type { Attribute, Attributes } from "./types.ts";

/** Each method returns the named attribute, or throws graph/invalid where it is absent or of another kind. */
export interface AttributeReader {
  /** An integer from 1. */
  count(name: string): number;
  /** An integer from 0. */
  index(name: string): number;
  /** A finite number above 0. */
  positive(name: string): number;
  /** A finite number. */
  number(name: string): number;
  flag(name: string): boolean;
  /** An integer from 1, or null. */
  optionalCount(name: string): number | null;
  /** One of a few words. */
  choice<const Choice extends string>(name: string, choices: readonly Choice[]): Choice;
}

/** Applies `read` to a node's attributes. Throws graph/invalid, about `subject`, for an attribute that is absent, wrong or unknown. */
export function readAttributes<A>(attributes: Attributes, subject: string, read: (reader: AttributeReader) => A): A {
  const known = new Set<string>();
  const fail = (name: string, expected: string): never => {
    const value = attributes[name];
    const found = value === undefined ? "is absent" : `is ${JSON.stringify(value)}`;
    throw new LfmcError("graph/invalid", `attribute ${name} ${found}, expected ${expected}`, { subject, hint: `correct ${name}` });
  };
  const get = (name: string): Attribute | undefined => {
    known.add(name);
    return Object.hasOwn(attributes, name) ? attributes[name] : undefined;
  };
  const number = (name: string, expected: string, holds: (value: number) => boolean): number => {
    const value = get(name);
    return typeof value === "number" && holds(value) ? value : fail(name, expected);
  };
  const count = (name: string): number => number(name, "an integer from 1", (value) => Number.isSafeInteger(value) && value >= 1);
  const result = read({
    count,
    index: (name) => number(name, "an integer from 0", (value) => Number.isSafeInteger(value) && value >= 0),
    positive: (name) => number(name, "a number above 0", (value) => Number.isFinite(value) && value > 0),
    number: (name) => number(name, "a number", Number.isFinite),
    flag(name) {
      const value = get(name);
      return typeof value === "boolean" ? value : fail(name, "true or false");
    },
    optionalCount: (name) => (get(name) === null ? null : count(name)),
    choice(name, choices) {
      const value = get(name);
      return choices.find((choice) => choice === value) ?? fail(name, choices.map((choice) => JSON.stringify(choice)).join(" or "));
    },
  });
  for (const name of Object.keys(attributes)) {
    if (!known.has(name))
      throw new LfmcError("graph/invalid", `unknown attribute ${name}`, {
        subject,
        hint: `its attributes are ${[...known].join(", ") || "none"}`,
      });
  }
  return result;
}
