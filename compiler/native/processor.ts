/** Which variants of C code this machine's processor runs, as far as the system tells: an artefact's library asks the processor itself. */
import { readFileSync } from "node:fs";

/** What Linux calls the features that a variant needs. Bare kernels cannot ask the system for AMX's registers, so amx is not among them. */
const needs: Readonly<Record<string, readonly string[]>> = {
  avx2: ["avx2"],
  "avx-vnni": ["avx2", "avx_vnni"],
  "avx512-vnni": ["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"],
  neon: ["asimd"],
  "neon-dot": ["asimddp"],
  "neon-i8mm": ["asimddp", "i8mm"],
};

/** Whether the processor runs a variant; without a system that tells, portable code alone. */
export function runsVariant(name: string): boolean {
  if (name === "scalar") return true;
  const needed = needs[name];
  return needed?.every((feature) => features().has(feature)) ?? false;
}

function features(): ReadonlySet<string> {
  const text = process.platform === "linux" ? readFileSync("/proc/cpuinfo", "utf8") : "";
  return new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1]?.split(/\s+/) ?? []);
}
