/**
 * Threads inside the module. Work is counted, not threads: a step has units, which threads claim; it ends when its units are done, whoever did
 * them, and the thread that does the last opens the next step. So a thread that is late, or was put aside, costs nothing but its help
 * (decision 0012). Shares shrink as a step nears its end: guided self-scheduling (Polychronopoulos and Kuck, 1987).
 */
import { internal } from "../../compiler/errors.ts";
import type { Step } from "../../compiler/plan/program.ts";
import type { Assembler, Expression } from "./assembler.ts";

/**
 * Where the threads' words lie, those that all write on cache lines of their own, below all that the plan places. The ticket is an i64: the number of the call,
 * 12 bits of its step, 16 bits of the next free unit. One word says it all, so that a thread that comes late claims nothing of another step.
 */
const words = {
  ticket: 64,
  done: 128,
  sleepers: 192,
  rows: 256,
  logits: 260,
  threads: 320,
  mayWait: 324,
  patience: 328,
  failed: 332,
  stop: 336,
} as const;

const unitBits = 16n;
const stepBits = 12n;
const mostSteps = 2 ** Number(stepBits) - 1;

/** Looks at the ticket before a thread goes to sleep: some 30 us. */
const spins = 8192;
/** Of a thread that must not sleep: some seconds, which no step takes. */
const longestSpin = 2 ** 31 - 1;
const second = 1_000_000_000n;

/** What `forward` returns. */
const status = { done: 0, failed: 1, stalled: 2 } as const;

export interface PoolProgram {
  readonly steps: readonly Step[];
  /** Expression that runs a step on the units from `from` until `to`. */
  readonly run: (step: Step, bounds: { readonly from: () => Expression; readonly to: () => Expression }) => Expression;
}

/** Parameters of `run_step`. */
export const stepLocals = { step: 0, from: 1, to: 2, rows: 3, logits: 4, scratch: 5 } as const;

/**
 * Adds the pool to a module whose kernels are there. Exports `open(threads, mayWait, patience)`, `forward(rows, logits)` for the first thread,
 * which returns 0 (done), 1 (a thread failed) or 2 (no progress for `patience` seconds), `serve(thread)` for the others, which returns after
 * `stop()`, and `fail()`, for a host that lost one of them. `scratchOf` gives the address of a thread's scratch.
 */
export function addPool(asm: Assembler, { steps, run }: PoolProgram, scratchOf: (thread: Expression) => Expression): void {
  if (steps.length > mostSteps) internal(`a program of ${steps.length} steps`);
  const { i32, i64 } = asm;
  const zero = (): Expression => asm.address(0);
  const load = (word: number): Expression => i32.atomic.load(word, zero());
  const store = (word: number, value: Expression): Expression => i32.atomic.store(word, zero(), value);
  const ticket = (): Expression => i64.atomic.load(words.ticket, zero());
  const bits = (value: Expression, count: bigint): Expression => i64.shr_u(value, i64.const(count));
  const get = (local: number): Expression => asm.get(local, "i32");
  const wide = (local: number): Expression => asm.get(local, "i64");
  const wake = (): Expression => asm.if(load(words.sleepers), asm.notify(words.ticket));

  // share(left) -> units to take of those that are left.
  asm.addFunction(
    "share",
    ["i32"],
    ["i32"],
    [asm.set(1, i32.mul(load(words.threads), i32.const(2))), asm.return(i32.div_u(i32.add(get(0), i32.sub(get(1), i32.const(1))), get(1)))],
    { result: "i32" },
  );

  // claim(place, units) -> the first of the units claimed, -1 where none is left of the step at that place.
  asm.addFunction(
    "claim",
    ["i64", "i32"],
    ["i64", "i32"],
    [
      asm.forever("retry", [
        asm.set(2, ticket()),
        asm.set(3, i32.wrap(i64.and(wide(2), i64.const((1n << unitBits) - 1n)))),
        asm.if(i32.or(i64.ne(bits(wide(2), unitBits), wide(0)), i32.ge_u(get(3), get(1))), asm.return(i32.const(-1))),
        asm.again(
          "retry",
          i64.ne(
            i64.atomic.rmw.cmpxchg(
              words.ticket,
              zero(),
              wide(2),
              i64.add(wide(2), i64.extend_u(asm.call("share", [i32.sub(get(1), get(3))], "i32"))),
            ),
            wide(2),
          ),
        ),
      ]),
      asm.return(get(3)),
    ],
    { result: "i32" },
  );

  // complete(place, count, units): opens the next step when all units are done.
  asm.addFunction(
    "complete",
    ["i64", "i32", "i32"],
    [],
    [
      asm.if(
        i32.eq(i32.add(i32.atomic.rmw.add(words.done, zero(), get(1)), get(1)), get(2)),
        asm.block([
          store(words.done, i32.const(0)),
          i64.atomic.store(words.ticket, zero(), i64.shl(i64.add(wide(0), i64.const(1n)), i64.const(unitBits))),
          wake(),
        ]),
      ),
    ],
  );

  // await_end(place, patience) -> 0 once the step at that place is over, 1 or 2 where that will not be. Without patience it waits until stopped.
  const over = (): Expression => i64.ne(bits(ticket(), unitBits), wide(0));
  const leave = (value: number): Expression =>
    asm.block([asm.drop(i32.atomic.rmw.sub(words.sleepers, zero(), i32.const(1))), asm.return(i32.const(value))]);
  asm.addFunction(
    "await_end",
    ["i64", "i32"],
    ["i32", "i64", "i32", "i32", "i32"],
    [
      asm.set(2, asm.select(i32.or(load(words.mayWait), i32.eqz(get(1))), i32.const(spins), i32.const(longestSpin))),
      asm.forever("spin", [
        asm.if(over(), asm.return(i32.const(status.done))),
        asm.if(i32.and(load(words.failed), get(1)), asm.return(i32.const(status.failed))),
        asm.set(2, i32.sub(get(2), i32.const(1))),
        asm.again("spin", get(2)),
      ]),
      asm.if(i32.and(i32.eqz(load(words.mayWait)), get(1)), asm.return(i32.const(status.stalled))),
      asm.drop(i32.atomic.rmw.add(words.sleepers, zero(), i32.const(1))),
      asm.forever("sleep", [
        asm.set(3, ticket()),
        asm.set(4, load(words.done)),
        asm.if(over(), leave(status.done)),
        asm.if(load(words.stop), leave(status.failed)),
        asm.if(i32.and(load(words.failed), get(1)), leave(status.failed)),
        asm.set(5, asm.wait(words.ticket, wide(3), i64.const(second))),
        asm.set(
          6,
          asm.select(
            i32.and(i32.eq(get(5), i32.const(2)), i32.and(i64.eq(ticket(), wide(3)), i32.eq(load(words.done), get(4)))),
            i32.add(get(6), i32.const(1)),
            i32.const(0),
          ),
        ),
        asm.if(i32.and(get(1), i32.ge_u(get(6), get(1))), leave(status.stalled)),
        asm.again("sleep"),
      ]),
    ],
    { result: "i32" },
  );

  // units_of(step, rows, logits)
  const unitsOf = ({ units }: Step): Expression => {
    if (units === null) return i32.const(1);
    return typeof units === "number" ? i32.const(units) : get(units === "rows" ? 1 : 2);
  };
  asm.addFunction(
    "units_of",
    ["i32", "i32", "i32"],
    [],
    [
      asm.switch(
        get(0),
        steps.map((step) => asm.return(unitsOf(step))),
      ),
      asm.return(i32.const(1)),
    ],
    { result: "i32" },
  );

  const { step, from, to } = stepLocals;
  const bounds = { from: () => get(from), to: () => get(to) };
  asm.addFunction(
    "run_step",
    ["i32", "i32", "i32", "i32", "i32", "ptr"],
    [],
    [
      asm.switch(
        get(step),
        steps.map((each) => run(each, bounds)),
      ),
    ],
  );

  // work(call, thread, patience) -> status: claims what there is to claim, step by step.
  const work = {
    call: 0,
    thread: 1,
    patience: 2,
    step: 3,
    place: 4,
    units: 5,
    from: 6,
    count: 7,
    rows: 8,
    logits: 9,
    status: 10,
    scratch: 11,
  };
  asm.addFunction(
    "work",
    ["i64", "i32", "i32"],
    ["i32", "i64", "i32", "i32", "i32", "i32", "i32", "i32", "ptr"],
    [
      asm.set(work.rows, load(words.rows)),
      asm.set(work.logits, load(words.logits)),
      asm.set(work.scratch, scratchOf(get(work.thread))),
      asm.set(work.place, i64.shl(wide(work.call), i64.const(stepBits))),
      asm.forever("steps", [
        asm.set(work.units, asm.call("units_of", [get(work.step), get(work.rows), get(work.logits)], "i32")),
        // A step without units is over as soon as it begins: whoever comes first counts none as done.
        asm.if(
          i32.eqz(get(work.units)),
          asm.if(
            i64.eq(
              i64.atomic.rmw.cmpxchg(
                words.ticket,
                zero(),
                i64.shl(wide(work.place), i64.const(unitBits)),
                i64.shl(i64.add(wide(work.place), i64.const(1n)), i64.const(unitBits)),
              ),
              i64.shl(wide(work.place), i64.const(unitBits)),
            ),
            wake(),
          ),
        ),
        asm.forever("shares", [
          asm.set(work.from, asm.call("claim", [wide(work.place), get(work.units)], "i32")),
          asm.if(
            i32.ge_s(get(work.from), i32.const(0)),
            asm.block([
              asm.set(work.count, asm.call("share", [i32.sub(get(work.units), get(work.from))], "i32")),
              asm.call("run_step", [
                get(work.step),
                get(work.from),
                i32.add(get(work.from), get(work.count)),
                get(work.rows),
                get(work.logits),
                asm.get(work.scratch, "ptr"),
              ]),
              asm.call("complete", [wide(work.place), get(work.count), get(work.units)]),
              asm.again("shares"),
            ]),
          ),
        ]),
        asm.set(work.status, asm.call("await_end", [wide(work.place), get(work.patience)], "i32")),
        asm.if(get(work.status), asm.return(get(work.status))),
        asm.set(work.place, i64.add(wide(work.place), i64.const(1n))),
        asm.set(work.step, i32.add(get(work.step), i32.const(1))),
        asm.again("steps", i32.lt_u(get(work.step), i32.const(steps.length))),
      ]),
      asm.return(i32.const(status.done)),
    ],
    { result: "i32" },
  );

  const callOf = (value: Expression): Expression => bits(value, unitBits + stepBits);
  asm.addFunction(
    "forward",
    ["i32", "i32"],
    ["i64"],
    [
      asm.if(load(words.failed), asm.return(i32.const(status.failed))),
      store(words.rows, get(0)),
      store(words.logits, get(1)),
      asm.set(2, i64.add(callOf(ticket()), i64.const(1n))),
      i64.atomic.store(words.ticket, zero(), i64.shl(wide(2), i64.const(unitBits + stepBits))),
      wake(),
      asm.return(asm.call("work", [wide(2), i32.const(0), load(words.patience)], "i32")),
    ],
    { result: "i32" },
  );
  asm.addFunction(
    "serve",
    ["i32"],
    ["i64", "i64"],
    [
      asm.forever("calls", [
        asm.if(load(words.stop), asm.return()),
        asm.set(1, ticket()),
        asm.if(
          i64.eq(callOf(wide(1)), wide(2)),
          asm.drop(asm.call("await_end", [bits(wide(1), unitBits), i32.const(0)], "i32")),
          asm.block([asm.set(2, callOf(wide(1))), asm.drop(asm.call("work", [wide(2), get(0), i32.const(0)], "i32"))]),
        ),
        asm.again("calls"),
      ]),
    ],
  );
  asm.addFunction(
    "open",
    ["i32", "i32", "i32"],
    [],
    [store(words.threads, get(0)), store(words.mayWait, get(1)), store(words.patience, get(2))],
  );
  for (const [name, word] of [
    ["stop", words.stop],
    ["fail", words.failed],
  ] as const) {
    asm.addFunction(name, [], [], [store(word, i32.const(1)), asm.notify(words.ticket)]);
  }
  for (const name of ["open", "forward", "serve", "stop", "fail"]) asm.exportFunction(name);
}
