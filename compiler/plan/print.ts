/** A program's plan as text: the memory map, where each value lies and for how long, and the kernel calls in order. */
import type { MemoryPlan, Program, Region } from "./program.ts";
import { sessionBytes } from "./state.ts";

/**
 * The memory map alone: one line a region, in bytes, and beneath the sessions' state what one session's is made of. `embedded`: each module holds
 * the weights.
 */
export function printMemory(memory: Omit<MemoryPlan, "placements">, { embedded = false } = {}): string {
  const line = (name: string, { offset, bytes }: Region, note = ""): string =>
    `${name.padEnd(8)} ${pad(offset)} ${pad(bytes)}${note && `  ${note}`}`;
  const session = sessionBytes(memory.state);
  const weightsNote = embedded ? "in each module" : memory.weights.offset === 0 ? "in a file of their own" : "";
  const part = (name: string, bytes: number): string => `  ${name.padEnd(6 + 1 + width)} ${pad(bytes)}`;
  return [
    `${"region".padEnd(8)} ${"offset".padStart(width)} ${"bytes".padStart(width)}`,
    line("rows", memory.rows),
    line("logits", memory.logits, `${memory.logits.strideBytes} a row`),
    line("choices", memory.choices),
    line("state", memory.state, `${session.bytes} a session:`),
    part("KV cache", session.kvCacheBytes),
    part("conv rings", session.ringBytes),
    part("checkpoints", session.checkpointBytes),
    line("weights", memory.weights, weightsNote),
    line("scratch", memory.scratch, memory.threadBytes > 0 ? `and ${memory.threadBytes} a thread` : ""),
    `${"total".padEnd(8)} ${" ".repeat(width)} ${pad(memory.bytes)}`,
  ].join("\n");
}

/** The whole plan: limits, memory map, values in scratch with the steps between which they live, kernel calls with their addresses. */
export function printPlan(program: Program): string {
  const { memory, steps, limits } = program;
  const names = Object.entries(limits).map(([name, value]) => `${name} ${String(value)}`);
  const placements = memory.placements.map(
    ({ name, offset, bytes, firstStep, lastStep }) => `${pad(offset)} ${pad(bytes)}  steps ${firstStep}-${lastStep}  ${name}`,
  );
  const calls = steps.map(({ kernel, label, arguments: args }, i) => {
    const shown = args.map((arg) => (arg.kind === "address" ? `${arg.note}@${arg.address}` : arg.of));
    return `${String(i).padStart(4)}  ${label} = ${kernel}(${shown.join(", ")})`;
  });
  return [
    `plan of ${program.name}: ${names.join(", ")}`,
    "",
    printMemory(memory),
    "",
    "values in scratch:",
    ...placements,
    "",
    "steps:",
    ...calls,
    "",
  ].join("\n");
}

const width = 12;

function pad(bytes: number): string {
  return String(bytes).padStart(width);
}
