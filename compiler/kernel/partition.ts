/**
 * A kernel that threads can share: the bounds of one of its loops become parameters, so that each thread runs its own turns of it. Right
 * only for loops whose turns do not depend on each other; which ones those are is the caller's knowledge (plan/select).
 */
import { internal } from "../errors.ts";
import { i32, type For, type Kernel, type Statement, type Value } from "./ir.ts";
import { dropUnused } from "./simplify.ts";

/** Names of the parameters that hold the first turn and the one after the last. */
export function boundNames(loop: string): { readonly from: string; readonly to: string } {
  return { from: `${loop}_from`, to: `${loop}_to` };
}

/**
 * The kernel with the bounds of its only loop `loop` as two more i32 parameters, and a name that tells so; null where it has no such loop
 * (a loop of one turn is recorded as its body).
 */
export function partitionKernel(kernel: Kernel, loop: string): Kernel | null {
  const found = loopsNamed(kernel.body, loop);
  const [only] = found;
  if (!only) return null;
  if (found.length > 1) internal(`kernel ${kernel.name} has ${found.length} loops ${loop}`);
  const next = 1 + largestId(kernel);
  const names = boundNames(loop);
  const bounds = { from: { id: next, type: i32 }, to: { id: next + 1, type: i32 } };
  return {
    ...kernel,
    name: `${kernel.name}_by_${loop}`,
    summary: `${kernel.summary}; shared by ${loop}`,
    parameters: [
      ...kernel.parameters,
      { name: names.from, value: bounds.from, access: "scalar", note: `first ${loop} of this share` },
      { name: names.to, value: bounds.to, access: "scalar", note: `${loop} after the last of this share` },
    ],
    body: dropUnused(rebound(kernel.body, only, bounds)),
  };
}

function loopsNamed(statements: readonly Statement[], name: string): readonly For[] {
  return statements.flatMap((statement) => {
    const inside = bodiesOf(statement).flatMap((body) => loopsNamed(body, name));
    return statement.kind === "for" && statement.name === name ? [statement, ...inside] : inside;
  });
}

function bodiesOf(statement: Statement): readonly (readonly Statement[])[] {
  if (statement.kind === "for") return [statement.body];
  return statement.kind === "if" ? [statement.then, statement.otherwise] : [];
}

function rebound(statements: readonly Statement[], loop: For, bounds: { readonly from: Value; readonly to: Value }): readonly Statement[] {
  return statements.map((statement) => {
    if (statement === loop) return { ...loop, ...bounds };
    if (statement.kind === "for") return { ...statement, body: rebound(statement.body, loop, bounds) };
    if (statement.kind !== "if") return statement;
    return { ...statement, then: rebound(statement.then, loop, bounds), otherwise: rebound(statement.otherwise, loop, bounds) };
  });
}

/** Values and variables share one numbering. */
function largestId({ parameters, body }: Kernel): number {
  const largest = (statements: readonly Statement[], most: number): number =>
    statements.reduce((id, statement) => {
      const own = "result" in statement ? statement.result.id : statement.kind === "declare" ? statement.variable.variable : -1;
      const index = statement.kind === "for" ? statement.index.id : -1;
      return bodiesOf(statement).reduce((sum, inner) => largest(inner, sum), Math.max(id, own, index));
    }, most);
  return largest(
    body,
    parameters.reduce((most, { value }) => Math.max(most, value.id), -1),
  );
}
