/** The compilers that C artefacts are tested with, and the emulators that run their programs where the processor does not. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { arch, platform } from "node:os";

export interface Toolchain {
  readonly name: string;
  readonly compiler: string;
  readonly flags: readonly string[];
  /** The architecture of its programs. */
  readonly target: "c-x86" | "c-arm";
  /** Runs a program on a processor of some kind; none where this one does. */
  readonly runner: (cpu: string) => readonly string[];
}

const armRunner = (cpu: string): readonly string[] => ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-cpu", cpu];

export const toolchains = {
  gcc: { name: "gcc", compiler: "gcc", flags: [], target: "c-x86", runner: () => [] },
  clang: { name: "clang", compiler: "clang-19", flags: [], target: "c-x86", runner: () => [] },
  armGcc: { name: "gcc", compiler: "aarch64-linux-gnu-gcc", flags: [], target: "c-arm", runner: armRunner },
  armClang: { name: "clang", compiler: "clang-19", flags: ["--target=aarch64-linux-gnu"], target: "c-arm", runner: armRunner },
} as const satisfies Record<string, Toolchain>;

/** A variant of a C artefact: what a processor must have, by the names of /proc/cpuinfo, or the emulated processor that has it. */
export interface Unit {
  readonly variant: string;
  readonly target: Toolchain["target"];
  readonly needs: readonly string[];
  readonly cpu: string;
}

const avx512 = ["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"];

export const units: readonly Unit[] = [
  { variant: "scalar", target: "c-x86", needs: [], cpu: "" },
  { variant: "avx2", target: "c-x86", needs: ["avx2"], cpu: "" },
  { variant: "avx-vnni", target: "c-x86", needs: ["avx2", "avx_vnni"], cpu: "" },
  { variant: "avx512-vnni", target: "c-x86", needs: avx512, cpu: "" },
  { variant: "amx", target: "c-x86", needs: [...avx512, "amx_tile", "amx_int8"], cpu: "" },
  { variant: "neon", target: "c-arm", needs: [], cpu: "cortex-a53" },
  { variant: "neon-dot", target: "c-arm", needs: [], cpu: "cortex-a76" },
  { variant: "neon-i8mm", target: "c-arm", needs: [], cpu: "max" },
];

const features: ReadonlySet<string> = new Set(
  platform() === "linux" ? /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]?.trim().split(" ") : [],
);

/** Whether a program is there to be run. */
export function isInstalled(program: string): boolean {
  return spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
}

/** Why a unit cannot run with a toolchain here; null where it can. */
export function obstacle({ needs, target, cpu }: Pick<Unit, "needs" | "target" | "cpu">, { compiler, runner }: Toolchain): string | null {
  const absent = [compiler, ...runner(cpu).slice(0, 1)].find((program) => !isInstalled(program));
  if (absent !== undefined) return `${absent} is not installed`;
  if (target === "c-x86" && arch() !== "x64") return "this is no x86-64 machine";
  const lacking = needs.filter((feature) => !features.has(feature));
  return lacking.length === 0 ? null : `this processor lacks ${lacking.join(", ")}`;
}
