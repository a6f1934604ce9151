/** `lfmc verify`: whether an artefact is what was compiled, a line for each thing that was looked at. */
import { Command } from "commander";
import { verifyArtefact } from "../artefact/verify/index.ts";
import { ok, untilFault, wordsOf, type Finding, type Findings } from "../artefact/verify/finding.ts";
import { LfmcError } from "../errors.ts";
import { artefactManifest } from "./open-artefact.ts";
import { print, progress, progressBar } from "./report.ts";

interface Flags {
  readonly json?: boolean;
}

export function verifyCommand(): Command {
  return new Command("verify")
    .description("check that an artefact is whole and unaltered, and that its plan holds together")
    .argument("<artefact>", "folder written by lfmc compile")
    .option("--json", "what was checked, as JSON")
    .action(verify);
}

async function verify(folder: string, { json }: Flags): Promise<void> {
  const findings: Finding[] = [];
  for await (const finding of findingsOf(folder)) {
    findings.push(finding);
    progress(null);
    if (!json) print(lineOf(finding));
  }
  const faults = findings.flatMap((finding) => (finding.state === "fault" ? [finding.error] : []));
  if (json) print(JSON.stringify({ ok: faults.length === 0, checks: findings.map(recordOf) }, null, 2));
  const [first, ...more] = faults;
  if (!first) return;
  if (more.length === 0) throw first;
  throw new LfmcError("artefact/invalid", `${faults.length} of ${findings.length} checks fail, first of all ${first.message}`, {
    subject: folder,
    hint: first.hint,
    cause: first,
  });
}

/** What there is to say of an artefact's folder, as it is found. Nothing but lfmc's own faults is thrown. */
export async function* findingsOf(folder: string): Findings {
  yield* untilFault(check(folder));
}

async function* check(folder: string): Findings {
  const manifest = await artefactManifest(folder);
  const { name, target, lfmc, checksum } = manifest;
  yield ok("manifest.json", `${name}, ${target}, by lfmc ${lfmc}; checksum ${checksum}`);
  const total = manifest.memory.weights.bytes;
  yield* verifyArtefact(folder, manifest, {
    onProgress: (bytes) => {
      progressBar("hashing weights", bytes, total);
    },
  });
}

function lineOf(finding: Finding): string {
  const { subject, fact } = wordsOf(finding);
  return `${finding.state.padEnd(5)}  ${subject}  ${fact}`;
}

function recordOf(finding: Finding): { readonly subject: string; readonly ok: boolean; readonly fact: string } {
  const { subject, fact } = wordsOf(finding);
  return { subject, ok: finding.state !== "fault", fact };
}
