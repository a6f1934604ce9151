/** Manifests of artefacts: read as the runtime does, loaded and run where they pass, and some verified; those of libraries are not run. */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { verifyArtefact } from "../../../compiler/artefact/verify/index.ts";
import { load } from "../../../runtime/index.ts";
import { manifestChecksum, parseManifest } from "../../../runtime/manifest-parse.ts";
import type { Manifest } from "../../../runtime/manifest.ts";
import { compileSmall } from "../artefacts.ts";
import { caseMaker, ofText } from "../files.ts";
import { mutateJson, mutateJsonText } from "../mutate/json.ts";
import type { Random } from "../random.ts";
import type { Target } from "../target.ts";

export const manifest: Target = {
  name: "manifest",
  share: 3,
  async prepare(base) {
    await compileSmall(join(base, "wasm"), "wasm-simd");
    await compileSmall(join(base, "c"), "c");
  },
  async open(base) {
    const mutate = ofText((random, text) =>
      random.chance(1, 6) ? mutateJson(random, text) : sealed(mutateJsonText(random, thinned(random, text))),
    );
    const make = await caseMaker(base, [
      { path: "wasm/manifest.json", weight: 3, mutate },
      { path: "c/manifest.json", weight: 1, mutate },
    ]);
    return {
      make,
      async run({ path, bytes }) {
        const json = await readJson(join(base, path));
        const parsed = parseManifest(json);
        if (bytes.length % casesBetweenChecks === 0) await verified(join(base, dirname(path)), parsed);
        if (path.startsWith("c/")) return;
        const model = await load({ base: pathToFileURL(join(base, "wasm/")), manifest: json });
        try {
          const session = model.createSession();
          await session.prefill([1, 2, 3]);
          session.rewind(1);
          await session.complete([2], { maxTokens: 2, ignoreEos: true });
        } finally {
          await model.dispose();
        }
      },
      model: () => null,
      close: () => Promise.resolve(),
    };
  },
};

/** Verifying reads all files. */
const casesBetweenChecks = 4;

/** Faults that are found are no errors. */
async function verified(folder: string, parsed: Manifest): Promise<void> {
  const findings = verifyArtefact(folder, parsed, { onProgress: () => undefined });
  while (!(await findings.next()).done);
}

/** As hosts read it: what is no JSON is refused before anybody looks at it. */
async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch {
    return null;
  }
}

/** The manifest with few of its tensors, so that changes meet its other parts. */
function thinned(random: Random, text: string): string {
  const whole: unknown = JSON.parse(text);
  return JSON.stringify(whole, (key, value: unknown) =>
    key === "tensors" && Array.isArray(value) && random.chance(9, 10) ? value.slice(0, 2) : value,
  );
}

/** The text with a checksum that fits, where that can be made. */
function sealed(text: string): string {
  try {
    const whole = JSON.parse(text) as Manifest;
    return JSON.stringify({ ...whole, checksum: manifestChecksum(whole) });
  } catch {
    return text;
  }
}
