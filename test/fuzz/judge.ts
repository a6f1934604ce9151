/**
 * The bounds of every case: it ends in time, takes little memory, and returns or throws an LfmcError that is as it should be; what all code
 * shares, `Object.prototype` and its like, is as it was.
 */
import { LfmcError as CompilerError } from "../../compiler/errors.ts";
import { LfmcError as RuntimeError } from "../../runtime/errors.ts";

export interface Bounds {
  /** Of the processor: others may use the machine. */
  readonly seconds: number;
  /** By which the most memory that the process ever had may grow. */
  readonly bytes: number;
}

export interface Verdict {
  /** The refusal's code, or "accepted". */
  readonly outcome: string;
  readonly seconds: number;
  readonly bytes: number;
  /** What is wrong with it; null where nothing is. */
  readonly fault: string | null;
}

const usual: Bounds = { seconds: 2, bytes: 100e6 };

/** Runs a case and says whether it kept the bounds. */
export async function judge(run: () => Promise<unknown>, bounds: Bounds = usual): Promise<Verdict> {
  const [cpu, peak] = [process.cpuUsage(), peakBytes()];
  let outcome = "accepted";
  let fault: string | null = null;
  try {
    await run();
  } catch (error) {
    if (error instanceof CompilerError || error instanceof RuntimeError) {
      outcome = error.code;
      fault = faultOf(error);
    } else {
      outcome = "fault";
      fault = error instanceof Error ? (error.stack ?? error.message) : `threw ${String(error)}`;
    }
  }
  const { user, system } = process.cpuUsage(cpu);
  const [seconds, bytes] = [(user + system) / 1e6, peakBytes() - peak];
  if (seconds > bounds.seconds) fault ??= `took ${seconds.toFixed(1)} s`;
  if (bytes > bounds.bytes) fault ??= `took ${Math.round(bytes / 1e6)} MB`;
  return { outcome, seconds, bytes, fault: fault ?? changedPrototype() };
}

function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}

/** What is wrong with a refusal; null where it is as it should be. */
function faultOf({ code, subject, hint, message }: CompilerError | RuntimeError): string | null {
  if (!/^[a-z]+\/[a-z]+$/.test(code)) return `the refusal's code is "${code}"`;
  if (subject === "") return `${code} names no subject: ${message}`;
  if (!/\w{2}/.test(hint)) return `${code} has no hint: ${message}`;
  if (!message.startsWith(`${subject}: `)) return `${code} does not begin with its subject: ${message}`;
  if (message.length > 1000) return `${code} has a message of ${message.length} characters`;
  if (/[\p{Cc}\u202A-\u202E\u2066-\u2069]/u.test(message + hint)) return `${code} holds control characters: ${JSON.stringify(message)}`;
  return null;
}

const shared = [Object, Function, Array, String, Number, Boolean, Symbol, RegExp, Promise, Map, Set, Error, Uint8Array].flatMap(
  (constructor) => {
    const prototype: unknown = constructor.prototype;
    return typeof prototype === "object" && prototype !== null ? [constructor, prototype] : [constructor];
  },
);
const before = shared.map(propertiesOf);

function propertiesOf(object: object): readonly unknown[] {
  return Reflect.ownKeys(object).flatMap((key) => [key, Object.getOwnPropertyDescriptor(object, key)?.value as unknown]);
}

/** What all code shares and is not as it was. */
function changedPrototype(): string | null {
  for (const [i, object] of shared.entries()) {
    const [was, is] = [before[i] ?? [], propertiesOf(object)];
    if (was.length !== is.length || is.some((part, at) => !Object.is(part, was[at])))
      return `changed what all code shares: ${object.constructor.name}`;
  }
  return null;
}
