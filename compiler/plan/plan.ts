/**
 * From a graph to a program: kernels are selected, values get lifetimes and places, and every address is fixed. A pure function of
 * the graph, the packed weights' table, the limits and the target's facts.
 */
import { internal, required } from "../errors.ts";
import { inferTypes } from "../graph/types-of.ts";
import type { Graph, ValueName } from "../graph/types.ts";
import type { Kernel } from "../kernel/ir.ts";
import { choiceBytes } from "../kernel/library/argmax.ts";
import { f32Bytes } from "../kernel/library/lanes.ts";
import { panelRows, type PanelLayout } from "../kernel/library/panels.ts";
import { boundNames, partitionKernel } from "../kernel/partition.ts";
import { rowBytes } from "../kernel/library/rows.ts";
import { roundUp } from "../numeric/quantize.ts";
import { floatBuffer, quantizedBuffer, type Buffer, type BufferPart } from "./buffers.ts";
import type { PackedForm } from "./constants.ts";
import type { KernelCall, Operand, SelectContext } from "./kernel-call.ts";
import { alignment, placeTenants, type Tenant } from "./lifetimes.ts";
import type { Limits, MemoryPlan, Placement, Program, Region, Space, Step, StepArgument } from "./program.ts";
import { choose, select } from "./select.ts";
import { layoutState, type StateLayout } from "./state.ts";
import type { TargetFacts } from "./target-facts.ts";

/** A packed constant's place in the weights region. */
export interface WeightPlace {
  readonly offset: number;
  readonly bytes: number;
  readonly form: PackedForm;
}

export interface PlanInput {
  readonly graph: Graph;
  /** By constant name. */
  readonly weights: ReadonlyMap<ValueName, WeightPlace>;
  readonly weightBytes: number;
  readonly limits: Limits;
  readonly target: TargetFacts;
}

/** A view of a buffer: the value that owns the memory, and the byte offset of its first element there. */
interface View {
  readonly owner: ValueName;
  readonly offset: number;
}

/** Nothing lies below this address, so that 0 is never a buffer; threads of a module keep their words there. */
export const firstAddress = 1024;

/** The program of one variant. What the memory may take at most is the caller's question. */
export function plan(input: PlanInput): Program {
  const { graph, limits } = input;
  const types = inferTypes(graph);
  const views = viewsOf(graph);
  const typeOf = (name: ValueName) => required(types.get(name), `type of ${name}`);
  const viewOf = (name: ValueName) => views.get(name) ?? { owner: name, offset: 0 };
  const widthOf = (name: ValueName): number => {
    const width = typeOf(name).shape.at(-1);
    return typeof width === "number" ? width : internal(`${name} has no fixed width`);
  };
  const state = layoutState(graph, limits, ({ outputs }) => widthOf(required(outputs[0], "output")));
  const strideOf = (name: ValueName): number => roundUp(widthOf(viewOf(name).owner), panelRows);
  const context: SelectContext = {
    target: input.target,
    limits,
    state,
    typeOf,
    widthOf,
    strideOf,
    layoutOf: (name) => panelLayout(input, name),
  };
  const selected = [...graph.nodes.flatMap((node) => select(node, context)), choose(graph.output, context)];
  const calls = input.target.threads ? selected.map(shared) : selected.map((call) => ({ ...call, axis: null }));

  const buffers = new Map<ValueName, Buffer>();
  for (const { outputs } of graph.nodes) {
    for (const name of outputs) {
      const { shape, encoding } = typeOf(name);
      const rows = shape[0] === "logits" ? limits.logitRows : limits.prefillChunk;
      if (!views.has(name)) buffers.set(name, encoding === "q8" ? quantizedBuffer(rows, widthOf(name)) : floatBuffer(rows, strideOf(name)));
    }
  }
  // Threads work on the same step at the same time, each with scratch of its own; one thread's scratch is part of the memory.
  const inMemory = input.target.threads ? calls.map((call) => ({ ...call, scratchBytes: 0 })) : calls;
  const { placements, bytes } = placeTenants(tenantsOf(inMemory, buffers, (name) => viewOf(name).owner, graph.output));
  const threadBytes = input.target.threads ? Math.max(0, ...calls.map(({ scratchBytes }) => scratchBytes)) : 0;
  const logitsBuffer = required(buffers.get(graph.output), "logits");
  const logits = { bytes: logitsBuffer.bytes, strideBytes: f32Bytes * strideOf(graph.output) };
  const memory = layoutMemory(input, state, { bytes, threadBytes, placements, logits });
  const resolve = resolver({ input, state, memory, buffers, viewOf });
  return { name: graph.name, limits, memory, kernels: distinctKernels(calls), steps: calls.map((call, i) => resolve(call, i)) };
}

/** The call with a kernel that threads can share, where there is one. */
function shared(call: KernelCall): KernelCall {
  const kernel = call.axis && partitionKernel(call.kernel, call.axis.loop);
  return kernel ? { ...call, kernel } : { ...call, axis: null };
}

function panelLayout({ weights }: PlanInput, name: ValueName): PanelLayout {
  const { form } = required(weights.get(name), `packed constant ${name}`);
  return form.kind === "panels" ? form.layout : internal(`${name} is not packed as panels`);
}

/** Slices as views of the value they cut, however often. */
function viewsOf(graph: Graph): ReadonlyMap<ValueName, View> {
  const views = new Map<ValueName, View>();
  for (const { op, inputs, outputs, attributes } of graph.nodes) {
    const [source, result] = [inputs[0], outputs[0]];
    if (op !== "slice" || source === undefined || result === undefined) continue;
    const base = views.get(source) ?? { owner: source, offset: 0 };
    views.set(result, { owner: base.owner, offset: base.offset + f32Bytes * Number(attributes.offset) });
  }
  return views;
}

/** Lifetimes: from the step that writes a value to the last that reads it. The logits live outside the arena. */
function tenantsOf(
  calls: readonly KernelCall[],
  buffers: ReadonlyMap<ValueName, Buffer>,
  ownerOf: (name: ValueName) => ValueName,
  logits: ValueName,
): readonly Tenant[] {
  const tenants = new Map<ValueName, Tenant>();
  calls.forEach((call, step) => {
    for (const operand of Object.values(call.arguments)) {
      if (operand.kind !== "value" && operand.kind !== "temporary") continue;
      const name = operand.kind === "value" ? ownerOf(operand.value) : operand.temporary.name;
      if (name === logits) continue;
      const { bytes } = operand.kind === "value" ? required(buffers.get(name), `buffer of ${name}`) : operand.temporary.buffer;
      tenants.set(name, { name, bytes, firstStep: tenants.get(name)?.firstStep ?? step, lastStep: step });
    }
    if (call.scratchBytes > 0) {
      const name = scratchName(call, step);
      tenants.set(name, { name, bytes: call.scratchBytes, firstStep: step, lastStep: step });
    }
  });
  return [...tenants.values()];
}

function scratchName({ label }: KernelCall, step: number): string {
  return `${label}#${step}`;
}

interface Arena {
  readonly bytes: number;
  readonly threadBytes: number;
  readonly placements: readonly Placement[];
  readonly logits: { readonly bytes: number; readonly strideBytes: number };
}

function layoutMemory(
  { weightBytes, limits, target }: PlanInput,
  { slotBytes, rings, checkpoints }: StateLayout,
  { bytes: scratchBytes, threadBytes, placements, logits }: Arena,
): MemoryPlan {
  let next = firstAddress;
  const region = (bytes: number): Region => {
    const offset = next;
    next = roundUp(next + bytes, alignment);
    return { offset, bytes };
  };
  const rows = region(limits.prefillChunk * rowBytes);
  const logitsRegion = { ...region(logits.bytes), strideBytes: logits.strideBytes };
  const choices = region(limits.logitRows * choiceBytes);
  const state = { ...region(slotBytes * limits.sessions), slotBytes, rings, checkpoints };
  const weights = target.weights === "inside" ? region(weightBytes) : { offset: 0, bytes: weightBytes };
  // Last: its size is all in which the variants of a target may differ.
  const scratch = region(scratchBytes);
  const placed = placements.map((placement) => ({ ...placement, offset: scratch.offset + placement.offset }));
  return { bytes: next, rows, weights, threadBytes, state, scratch, logits: logitsRegion, choices, placements: placed };
}

interface Resolver {
  readonly input: PlanInput;
  readonly state: StateLayout;
  readonly memory: MemoryPlan;
  readonly buffers: ReadonlyMap<ValueName, Buffer>;
  readonly viewOf: (name: ValueName) => View;
}

/** Turns operands into addresses. */
function resolver({ input, state, memory, buffers, viewOf }: Resolver): (call: KernelCall, step: number) => Step {
  const places = new Map(memory.placements.map(({ name, offset }) => [name, offset]));
  const addressOf = (operand: Exclude<Operand, { kind: "count" }>, call: KernelCall, step: number): number => {
    switch (operand.kind) {
      case "rows":
        return memory.rows.offset;
      case "choices":
        return memory.choices.offset;
      case "weight":
        return memory.weights.offset + required(input.weights.get(operand.constant), `packed constant ${operand.constant}`).offset;
      case "state":
        return memory.state.offset + required(state.layers.get(operand.layer), `state ${operand.layer}`).offset;
      case "scratch":
        return input.target.threads ? 0 : required(places.get(scratchName(call, step)), "scratch");
      case "temporary": {
        const { name, buffer } = operand.temporary;
        return required(places.get(name), `place of ${name}`) + required(buffer.parts[operand.part], `${operand.part} of ${name}`);
      }
      case "value": {
        const { owner, offset } = viewOf(operand.value);
        const base = owner === input.graph.output ? memory.logits.offset : required(places.get(owner), `place of ${owner}`);
        return base + required(buffers.get(owner)?.parts[operand.part], `${operand.part} of ${owner}`) + offset;
      }
    }
  };
  const spaceOf = (operand: Operand): Space => {
    if (operand.kind === "weight" && input.target.weights === "apart") return "weights";
    return operand.kind === "scratch" && input.target.threads ? "thread" : "memory";
  };
  return (call, step) => ({
    kernel: call.kernel.name,
    label: call.label,
    units: call.axis?.units ?? null,
    arguments: call.kernel.parameters.map(({ name }): StepArgument => {
      const bounds = call.axis && boundNames(call.axis.loop);
      if (name === bounds?.from) return { kind: "bound", of: "from" };
      if (name === bounds?.to) return { kind: "bound", of: "to" };
      const operand = required(call.arguments[name], `argument ${name} of ${call.kernel.name}`);
      if (operand.kind === "count") return operand;
      return { kind: "address", space: spaceOf(operand), address: addressOf(operand, call, step), note: noteOf(operand) };
    }),
  });
}

function noteOf(operand: Exclude<Operand, { kind: "count" }>): string {
  switch (operand.kind) {
    case "value":
      return partName(operand.value, operand.part);
    case "temporary":
      return partName(operand.temporary.name, operand.part);
    case "weight":
      return operand.constant;
    case "state":
      return `state ${operand.layer}`;
    case "rows":
    case "choices":
    case "scratch":
      return operand.kind;
  }
}

function partName(name: string, part: BufferPart): string {
  return part === "data" ? name : `${name}.${part}`;
}

/** Each kernel once, in the order of first use. */
function distinctKernels(calls: readonly KernelCall[]): readonly Kernel[] {
  const kernels = new Map<string, Kernel>();
  for (const { kernel } of calls) {
    const known = kernels.get(kernel.name);
    if (known && JSON.stringify(known) !== JSON.stringify(kernel)) internal(`two kernels are named ${kernel.name}`);
    kernels.set(kernel.name, kernel);
  }
  return [...kernels.values()];
}
