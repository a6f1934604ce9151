/**
 * The threads of a module: `forward` is thread 0's part of a call, `serve` every other thread's. They claim units of the step that runs and
 * leave none waiting for a thread that has claimed nothing; which step that is, and what is left of it, is one word of the memory, the ticket.
 * Where the words lie, and who writes them, is said in runtime/manifest.ts.
 */
import { internal } from "../../compiler/errors.ts";
import type { Program, RowCount, Step } from "../../compiler/plan/program.ts";
import type { controlWords, forwardStatus } from "../../runtime/manifest.ts";
import type { Assembler, Expression, Reader } from "./assembler.ts";

/** The runtime's, whose type has their values: a target takes types alone from it. */
const words: typeof controlWords = {
  ticket: 64,
  done: 128,
  sleepers: 192,
  rows: 256,
  logits: 260,
  threads: 264,
  mayWait: 268,
  failed: 272,
  stop: 276,
  stallSlices: 280,
};
const status: typeof forwardStatus = { done: 0, failed: 1, stalled: 2 };
/** What a turn returns beside them: there is more to do, and the threads are to leave. */
const goOn = -1;
const stopped = 3;

/** A ticket's fields: call << 28 | step << 16 | unit. */
const unitBits = 16;
const callShift = 28;
const mostUnits = 2 ** unitBits - 1;
const mostSteps = 2 ** (callShift - unitBits) - 1;

/** Looks at the ticket before sleeping: some 30 us. WebAssembly has no instruction that pauses. */
const spins = 20_000;
/** A slice of a wait: a second, or where the host may not block so many looks, which take about as long. */
const sliceNanoseconds = 1_000_000_000n;
const sliceSpins = 2 ** 29;

/** Where threads have their scratch: thread t's starts at `start` + t * `strideBytes`. */
export interface ThreadScratch {
  readonly start: number;
  readonly strideBytes: number;
}

/**
 * Adds `forward(rows, logits)`, which returns 0 for a call that is done, 1 where a thread failed and 2 where one stalled, and `serve(thread)`.
 * The program's kernels must be functions of the module; `callStep` calls one for the units that it is given.
 */
export function addPool(asm: Assembler, { steps }: Program, scratch: ThreadScratch, callStep: CallStep): void {
  if (steps.length > mostSteps) internal(`a ticket counts ${mostSteps} steps, not ${steps.length}`);
  addRunStep(asm, steps, callStep);
  addUnitsOf(asm, steps);
  addAdvance(asm, steps.length);
  addSlice(asm);
  addWait(asm);
  addTurn(asm);
  addEntries(asm, scratch);
}

/** What a step's arguments are taken from; each makes a fresh expression. */
export type StepValues = Readonly<Record<"from" | "to" | "scratch" | RowCount, Reader>>;

/** The call of a step's kernel. */
export type CallStep = (step: Step, values: StepValues) => Expression;

/** `run_step(step, from, to, scratch, rows, logits)`: a share of a step, which counts from 1. */
function addRunStep(asm: Assembler, steps: readonly Step[], callStep: CallStep): void {
  const values: StepValues = {
    from: () => asm.get(1, "i32"),
    to: () => asm.get(2, "i32"),
    scratch: () => asm.get(3, "ptr"),
    rows: () => asm.get(4, "i32"),
    logits: () => asm.get(5, "i32"),
  };
  const cases = steps.map((step) => asm.block([callStep(step, values), asm.return()]));
  const index = asm.i32.sub(asm.get(0, "i32"), asm.i32.const(1));
  const numbers = steps.map((_, i) => i);
  asm.addFunction("run_step", ["i32", "i32", "i32", "ptr", "i32", "i32"], [], [asm.choose(index, numbers, cases)]);
}

/** `units_of(step, rows, logits)`. */
function addUnitsOf(asm: Assembler, steps: readonly Step[]): void {
  const unitsOf = steps.map(({ units }) => units ?? 1);
  const distinct = [...new Set(unitsOf)];
  const read = (units: number | RowCount): Expression => {
    if (typeof units !== "number") return asm.get(units === "rows" ? 1 : 2, "i32");
    return units <= mostUnits ? asm.i32.const(units) : internal(`a ticket counts ${mostUnits} units, not ${units}`);
  };
  const index = asm.i32.sub(asm.get(0, "i32"), asm.i32.const(1));
  const cases = distinct.map((units) => asm.return(read(units)));
  const caseOf = unitsOf.map((units) => distinct.indexOf(units));
  asm.addFunction("units_of", ["i32", "i32", "i32"], [], [asm.choose(index, caseOf, cases)], { result: "i32" });
}

/**
 * `advance(ticket, scratch)`, called by who finished the last unit of the ticket's step, or begins a call: hands out the next step of several
 * units, or ends the call. Steps of one unit it runs itself, so that nobody need be told of them.
 */
function addAdvance(asm: Assembler, stepCount: number): void {
  const { i32, i64 } = asm;
  const ticket: Reader = () => asm.get(0, "i64");
  const scratch: Reader = () => asm.get(1, "ptr");
  const step: Reader = () => asm.get(2, "i32");
  const units: Reader = () => asm.get(3, "i32");
  const call: Reader = () => i64.shr_u(ticket(), i64.const(BigInt(callShift)));
  const ofCall = (number: Expression): Expression => i64.shl(number, i64.const(BigInt(callShift)));
  const thisStep: Reader = () => i64.shl(i64.extend_u(step()), i64.const(BigInt(unitBits)));
  const publish = (next: Expression): Expression =>
    asm.block([
      store(asm, "done", i32.const(0)),
      i64.atomic.store(words.ticket, asm.address(0), next),
      asm.if(load(asm, "sleepers"), asm.drop(asm.atomic.notify(asm.address(words.ticket), i32.const(-1)))),
      asm.return(),
    ]);
  asm.addFunction(
    "advance",
    ["i64", "ptr"],
    ["i32", "i32"],
    [
      asm.set(2, stepOf(asm, ticket())),
      asm.forever("steps", [
        asm.set(2, i32.add(step(), i32.const(1))),
        asm.if(i32.gt_s(step(), i32.const(stepCount)), publish(ofCall(i64.add(call(), i64.const(1n))))),
        asm.set(3, asm.call("units_of", [step(), load(asm, "rows"), load(asm, "logits")], "i32")),
        asm.if(i32.gt_s(units(), i32.const(1)), publish(i64.or(ofCall(call()), thisStep()))),
        asm.if(units(), asm.call("run_step", [step(), i32.const(0), i32.const(1), scratch(), load(asm, "rows"), load(asm, "logits")])),
      ]),
    ],
  );
}

/** `slice(ticket, thread)`: sleeps, or looks, for a slice at most while the ticket stays; 1 if it stayed for all of it. */
function addSlice(asm: Assembler): void {
  const { i32, i64, atomic } = asm;
  const ticket: Reader = () => asm.get(0, "i64");
  const local: Reader = () => asm.get(2, "i32");
  const count = (change: number): Expression => asm.drop(i32.atomic.rmw.add(words.sleepers, asm.address(0), i32.const(change)));
  const timedOut = 2;
  const sleep = [
    // A sleeper counts itself before it looks at the ticket for the last time, so it sees the new one or is seen by who writes it.
    count(1),
    asm.set(2, atomic.wait64(asm.address(words.ticket), ticket(), i64.const(sliceNanoseconds))),
    count(-1),
    asm.return(i32.eq(local(), i32.const(timedOut))),
  ];
  const look = [
    asm.if(i32.or(hasChanged(asm, ticket()), load(asm, "failed")), asm.return(i32.const(0))),
    asm.set(2, i32.add(local(), i32.const(1))),
  ];
  asm.addFunction(
    "slice",
    ["i64", "i32"],
    ["i32"],
    [
      asm.if(i32.or(asm.get(1, "i32"), load(asm, "mayWait")), asm.block(sleep)),
      asm.loop("looks", look, i32.lt_u(local(), i32.const(sliceSpins))),
      asm.return(i32.const(1)),
    ],
    { result: "i32" },
  );
}

/** `wait(ticket, thread)`: until the ticket has changed (`goOn`), or one of the reasons to give up is there. */
function addWait(asm: Assembler): void {
  const { i32 } = asm;
  const ticket: Reader = () => asm.get(0, "i64");
  const thread: Reader = () => asm.get(1, "i32");
  const count: Reader = () => asm.get(2, "i32");
  const done: Reader = () => asm.get(3, "i32");
  const returnIf = (condition: Expression, value: number): Expression => asm.if(condition, asm.return(i32.const(value)));
  asm.addFunction(
    "wait",
    ["i64", "i32"],
    ["i32", "i32"],
    [
      asm.loop(
        "spins",
        [returnIf(hasChanged(asm, ticket()), goOn), asm.set(2, i32.add(count(), i32.const(1)))],
        i32.lt_s(count(), i32.const(spins)),
      ),
      asm.set(2, i32.const(0)),
      asm.forever("slices", [
        returnIf(hasChanged(asm, ticket()), goOn),
        asm.if(
          thread(),
          returnIf(load(asm, "stop"), stopped),
          asm.block([returnIf(load(asm, "failed"), status.failed), returnIf(i32.ge_s(count(), load(asm, "stallSlices")), status.stalled)]),
        ),
        asm.set(2, i32.add(count(), asm.call("slice", [ticket(), thread()], "i32"))),
        // Whoever finishes a unit shows that there is progress.
        asm.if(i32.ne(done(), load(asm, "done")), asm.set(2, i32.const(0))),
        asm.set(3, load(asm, "done")),
      ]),
    ],
    { result: "i32" },
  );
}

/**
 * `turn(thread, scratch)`: claims some units of the step that runs and does them, or waits where there are none. Returns `goOn`, or the reason
 * to leave. Of what is left a thread takes one part in twice the number of threads (guided self-scheduling: Polychronopoulos and Kuck, 1987).
 */
function addTurn(asm: Assembler): void {
  const { i32, i64 } = asm;
  const thread: Reader = () => asm.get(0, "i32");
  const scratch: Reader = () => asm.get(1, "ptr");
  const [ticketAt, firstAt, unitsAt, sizeAt, shareAt] = [2, 3, 4, 5, 6];
  const ticket: Reader = () => asm.get(ticketAt, "i64");
  const first: Reader = () => asm.get(firstAt, "i32");
  const units: Reader = () => asm.get(unitsAt, "i32");
  const size: Reader = () => asm.get(sizeAt, "i32");
  const share: Reader = () => asm.get(shareAt, "i32");
  const end: Reader = () => i32.add(first(), size());
  const rows: Reader = () => load(asm, "rows");
  const logits: Reader = () => load(asm, "logits");
  const wait: Reader = () => asm.return(asm.call("wait", [ticket(), thread()], "i32"));
  const claimed = i64.atomic.rmw.cmpxchg(words.ticket, asm.address(0), ticket(), i64.add(ticket(), i64.extend_u(size())));
  asm.addFunction(
    "turn",
    ["i32", "ptr"],
    ["i64", "i32", "i32", "i32", "i32"],
    [
      asm.set(ticketAt, i64.atomic.load(words.ticket, asm.address(0))),
      asm.if(i32.eqz(stepOf(asm, ticket())), asm.block([asm.if(thread(), wait()), asm.return(i32.const(status.done))])),
      asm.set(firstAt, i32.and(i64.wrap(ticket()), i32.const(mostUnits))),
      asm.set(unitsAt, asm.call("units_of", [stepOf(asm, ticket()), rows(), logits()], "i32")),
      asm.if(i32.ge_s(first(), units()), wait()),
      asm.set(shareAt, i32.mul(load(asm, "threads"), i32.const(2))),
      asm.set(sizeAt, i32.div_s(i32.add(i32.sub(units(), first()), i32.sub(share(), i32.const(1))), share())),
      asm.if(i64.ne(claimed, ticket()), asm.return(i32.const(goOn))),
      asm.call("run_step", [stepOf(asm, ticket()), first(), end(), scratch(), rows(), logits()]),
      // Who adds the last units goes on to the next step.
      asm.if(
        i32.eq(i32.add(i32.atomic.rmw.add(words.done, asm.address(0), size()), size()), units()),
        asm.call("advance", [ticket(), scratch()]),
      ),
      asm.return(i32.const(goOn)),
    ],
    { result: "i32" },
  );
}

/** `forward` and `serve`, which stay in the module until there is nothing left to do. */
function addEntries(asm: Assembler, { start, strideBytes }: ThreadScratch): void {
  const { i32, i64 } = asm;
  const turns = (thread: Reader, scratch: Reader, result: number): Expression =>
    asm.loop("turns", [asm.set(result, asm.call("turn", [thread(), scratch()], "i32"))], i32.eq(asm.get(result, "i32"), i32.const(goOn)));
  const own: Reader = () => asm.address(start);
  asm.addFunction(
    "forward",
    ["i32", "i32"],
    ["i32"],
    [
      asm.if(load(asm, "failed"), asm.return(i32.const(status.failed))),
      store(asm, "rows", asm.get(0, "i32")),
      store(asm, "logits", asm.get(1, "i32")),
      asm.call("advance", [i64.atomic.load(words.ticket, asm.address(0)), own()]),
      turns(() => i32.const(0), own, 2),
      asm.return(asm.get(2, "i32")),
    ],
    { result: "i32" },
  );
  asm.addFunction(
    "serve",
    ["i32"],
    ["ptr", "i32"],
    [
      asm.set(1, asm.advance(own(), asm.get(0, "i32"), strideBytes)),
      turns(
        () => asm.get(0, "i32"),
        () => asm.get(1, "ptr"),
        2,
      ),
    ],
  );
  asm.exportFunction("forward");
  asm.exportFunction("serve");
}

type Word = Exclude<keyof typeof words, "ticket">;

function load(asm: Assembler, word: Word): Expression {
  return asm.i32.atomic.load(words[word], asm.address(0));
}

function store(asm: Assembler, word: Word, value: Expression): Expression {
  return asm.i32.atomic.store(words[word], asm.address(0), value);
}

function stepOf(asm: Assembler, ticket: Expression): Expression {
  const { i32, i64 } = asm;
  return i32.and(i64.wrap(i64.shr_u(ticket, i64.const(BigInt(unitBits)))), i32.const(mostSteps));
}

function hasChanged(asm: Assembler, ticket: Expression): Expression {
  return asm.i64.ne(asm.i64.atomic.load(words.ticket, asm.address(0)), ticket);
}
