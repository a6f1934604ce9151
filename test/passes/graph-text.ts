/** Graphs as text for tests of single rules: the table, x and the logits come of themselves, what a case is about is written out. */
import { parseGraph } from "../../compiler/graph/parse.ts";
import { printGraph } from "../../compiler/graph/print.ts";
import { runPasses, type Pass } from "../../compiler/passes/index.ts";

/** Lines of constants and nodes. x and y are [rows, 4]; y must be among the nodes. */
export function text(...lines: readonly string[]): string {
  const constants = lines.filter((line) => line.startsWith("const "));
  const nodes = lines.filter((line) => !line.startsWith("const "));
  return [
    'graph "test"',
    'const table: f32[5, 4] = "table"[5, 4]',
    ...constants,
    "x: f32[rows, 4] = embedding(table)",
    ...nodes,
    "logits: f32[logits, 4] = select-rows(y)",
    "output logits",
    "",
  ].join("\n");
}

/** A line of a constant that is one checkpoint tensor: `weight("w", 4, 4)`, `weight("w", 4, 4, "q4_0")`. */
export function weight(name: string, rows: number, width: number, encoding = "f32"): string {
  return `const ${name}: ${encoding}[${rows}, ${width}] = "${name}.weight"[${rows}, ${width}]`;
}

/** The lines of two experts' matrices, "gate_up" [2, 8, 4] and "down" [2, 4, 4]. */
export function expertMatrices(gateUp = "f32", down = gateUp): readonly string[] {
  return [`const gate_up: ${gateUp}[2, 8, 4] = "gate_up"[2, 8, 4]`, `const down: ${down}[2, 4, 4] = "down"[2, 4, 4]`];
}

/** A line of a constant of one axis. */
export function vector(name: string, size: number): string {
  return `const ${name}: f32[${size}] = "${name}"[${size}]`;
}

/** A line of a linear without residual; inputs are x, weight and maybe bias. */
export function linear(output: string, width: number, ...inputs: readonly string[]): string {
  return `${output}: f32[rows, ${width}] = linear(${inputs.join(", ")}) bias=${inputs.length > 2} residual=false`;
}

/** The text after a pass, which is run and verified. */
export function after(pass: Pass, source: string): string {
  return printGraph(runPasses(parseGraph(source), [pass]));
}
