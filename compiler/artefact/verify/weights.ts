/** The weights' files: that each has its length and its hashes, and, of a file that is mapped, the trailer by which a library knows it. */
import { createHash, type Hash } from "node:crypto";
import { isEmbedded, weightPieceBytes, type Manifest, type WeightPart } from "../../../runtime/manifest.ts";
import { weightTrailer, weightTrailerBytes } from "../weight-file.ts";
import { byteText, findingOf, hashText, invalid, mismatch, ok, untilFault, type Finding } from "./finding.ts";
import { findFile, readPieces } from "./files.ts";

export interface WeightsOptions {
  /** Told the bytes of weights read so far. */
  readonly onProgress: (bytes: number) => void;
}

/** Checks every part. Returns the sha256 of the packed tensors, null where a part is at fault, or where there is none. */
export async function* checkWeights(
  folder: string,
  manifest: Manifest,
  { onProgress }: WeightsOptions,
): AsyncGenerator<Finding, string | null, void> {
  const tail = manifest.target === "wasm-simd" ? 0 : weightTrailerBytes;
  const region = new TensorRegion(manifest.memory.weights.bytes - tail);
  let isWhole = !isEmbedded(manifest);
  for (const part of manifest.weights) {
    const onBytes = (piece: Uint8Array): void => {
      region.add(piece);
      onProgress(region.bytes);
    };
    const isRight = yield* untilFault(checkPart(folder, part, onBytes));
    isWhole &&= isRight === true;
  }
  if (!isWhole) return null;
  const sha256 = region.sha256();
  if (tail > 0) yield findingOf(() => checkTrailer(manifest, region, sha256));
  return sha256;
}

/** Hashes a part, whole and piece by piece; `onBytes` gets its pieces. Throws io/missing, artefact/mismatch, artefact/invalid. */
async function* checkPart(folder: string, part: WeightPart, onBytes: (piece: Uint8Array) => void): AsyncGenerator<Finding, true, void> {
  const { path, bytes, sha256, pieces } = part;
  const file = await findFile(folder, path);
  if (file.bytes !== bytes) throw mismatch(path, `has ${byteText(file.bytes)}, the manifest says ${byteText(bytes)}`);
  const whole = createHash("sha256");
  let index = 0;
  for await (const piece of readPieces(file, weightPieceBytes)) {
    whole.update(piece);
    const found = createHash("sha256").update(piece).digest("hex");
    if (found !== pieces[index]) throw mismatch(path, wrongPiece(index, piece.length, found, pieces[index] ?? ""));
    onBytes(piece);
    index++;
  }
  const found = whole.digest("hex");
  if (found !== sha256)
    throw invalid(path, `has the ${hashText(found)} where the manifest says ${hashText(sha256)}, though its pieces are right`);
  yield ok(path, `${byteText(bytes)}, ${hashText(sha256)}${pieces.length > 1 ? `, ${pieces.length} pieces` : ""}`);
  return true;
}

function wrongPiece(index: number, length: number, found: string, expected: string): string {
  const start = index * weightPieceBytes;
  return `bytes ${start} to ${start + length - 1} have ${hashText(found)}, the manifest says ${hashText(expected)}`;
}

/** Throws artefact/mismatch where the bytes behind the tensors are not what the compiler puts there. */
function checkTrailer({ weights, memory }: Manifest, region: TensorRegion, sha256: string): Finding {
  const path = weights[0]?.path ?? "weights";
  const expected = weightTrailer(memory.weights.bytes - weightTrailerBytes, sha256);
  if (!expected.every((byte, i) => byte === region.tail[i])) throw mismatch(path, "ends in a trailer that is not of the tensors before it");
  return ok(path, `its trailer of ${weightTrailerBytes} bytes is of the tensors before it`);
}

/** The parts as one run of bytes: the sha256 of the tensors, and what follows them. */
class TensorRegion {
  readonly #tensorBytes: number;
  readonly #hash: Hash = createHash("sha256");
  readonly tail: number[] = [];
  bytes = 0;

  constructor(tensorBytes: number) {
    this.#tensorBytes = tensorBytes;
  }

  add(piece: Uint8Array): void {
    const left = Math.max(0, this.#tensorBytes - this.bytes);
    this.#hash.update(piece.subarray(0, left));
    this.tail.push(...piece.subarray(left));
    this.bytes += piece.length;
  }

  sha256(): string {
    return this.#hash.digest("hex");
  }
}
