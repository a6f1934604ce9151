/** The two arithmetics by name. */
import type { Arithmetic, ArithmeticMode } from "./arithmetic.ts";
import { contract } from "./contract.ts";
import { reference } from "./reference.ts";

export const arithmetics: Readonly<Record<ArithmeticMode, Arithmetic>> = { reference, contract };
