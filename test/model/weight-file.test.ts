/** The weights on disk: tensors of any size in pieces of any size, cut into parts, are described as they lie there. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createWeightFile, tensorAlignment } from "../../compiler/artefact/weight-file.ts";
import { weightPieceBytes } from "../../runtime/manifest.ts";
import { weightPart } from "../runtime/support.ts";
import { workFolder } from "./support.ts";

const folder = await workFolder();

/** Parts that end inside of a piece, at its end, and before the first does. */
test.each([2.5 * weightPieceBytes, 2 * weightPieceBytes, 1000])("parts of %i bytes", async (partBytes) => {
  const place = join(folder, String(partBytes));
  const total = partBytes === 1000 ? 3000 : 3 * partBytes - 777;
  const bytes = Uint8Array.from({ length: total }, (_, i) => (i * 13 + (i >> 15)) & 255);
  const runs = function* (from: number, to: number, size: number): Generator<Uint8Array> {
    for (let at = from; at < to; at += size) yield bytes.subarray(at, Math.min(to, at + size));
  };
  const file = createWeightFile(place, { place: "inside", path: (part) => `weights/${part}.bin`, partBytes, trailer: false }, partBytes);
  const cut = tensorAlignment * 9;
  await file.append(runs(0, cut, 100));
  await file.append(runs(cut, total, 3_000_001));
  const { parts, bytes: written } = await file.finish();
  expect(parts).toHaveLength(Math.ceil(written / partBytes));
  const files = parts.map(({ path }) => new Uint8Array(readFileSync(join(place, path))));
  expect(parts).toEqual(files.map((each, i) => weightPart(`weights/${i}.bin`, each)));
  expect(Buffer.compare(Buffer.concat(files).subarray(0, total), bytes)).toBe(0);
});
