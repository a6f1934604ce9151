/**
 * The plan that the manifest tells: what `parseManifest` leaves open because a runtime need not know it. Tensors fill the weights region, each as
 * large as its encoding and shape say; the memory ends where its last region ends; a slot is rings, KV cache and checkpoints; and the model's
 * hash is that of these weights and this layout.
 */
import type { Manifest, PackedTensor, Region } from "../../../runtime/manifest.ts";
import { f32Bytes } from "../../kernel/library/lanes.ts";
import { cachedPositions } from "../../kernel/library/kv-cache.ts";
import type { PanelEncoding } from "../../kernel/library/panels.ts";
import { roundUp } from "../../numeric/quantize.ts";
import { groupFormatNamed } from "../../numeric/weight-groups.ts";
import { packedBytes } from "../../plan/constants.ts";
import { alignment } from "../../plan/lifetimes.ts";
import { firstAddress } from "../../plan/plan.ts";
import { sessionBytes } from "../../plan/state.ts";
import { modelHash } from "../manifest.ts";
import { tensorAlignment, weightTrailerBytes } from "../weight-file.ts";
import { byteText, findingOf, hashText, invalid, mismatch, ok, type Finding } from "./finding.ts";

const file = "manifest.json";
const pageBytes = 65536;

/** Checks the plan; `weightsHash` is that of the packed tensors, null where they could not be read. */
export function checkPlan(manifest: Manifest, weightsHash: string | null): readonly Finding[] {
  const findings = [checkTensors, checkMemory, checkState].map((check) => findingOf(() => check(manifest)));
  return weightsHash === null ? findings : [...findings, findingOf(() => checkHash(manifest, weightsHash))];
}

/** Throws artefact/invalid for a tensor that is not where the packed tensors before it end, or of a size that its shape cannot have. */
function checkTensors({ target, tensors, memory }: Manifest): Finding {
  const names = new Set<string>();
  let end = 0;
  for (const [i, tensor] of tensors.entries()) {
    const { name, offset, bytes } = tensor;
    const place = `tensors[${i}] (${name})`;
    if (names.has(name)) throw invalid(file, `${place} is there twice`);
    names.add(name);
    const start = roundUp(end, tensorAlignment);
    if (offset !== start)
      throw invalid(file, `${place} begins at ${offset} of the weights; the one before it ends so that it should at ${start}`);
    const sizes = possibleBytes(tensor);
    if (!sizes.has(bytes)) throw invalid(file, `${place} has ${bytes} bytes; ${sizesText(tensor, sizes)}`);
    end = offset + bytes;
  }
  const whole = roundUp(end, tensorAlignment) + (target === "wasm-simd" ? 0 : weightTrailerBytes);
  if (whole !== memory.weights.bytes) throw invalid(file, `memory.weights has ${memory.weights.bytes} bytes, its tensors take ${whole}`);
  return ok(
    "tensors",
    `${tensors.length}, apart, on lines of ${tensorAlignment} bytes, each as large as its shape; ${byteText(whole)} in all`,
  );
}

/** Matrices are stacked in as many streams at most: B, C and X of a short convolution. */
const mostStreams = 3;

/** The bytes that a packed tensor of this encoding and shape may have: its role, which decides, is not in the manifest. */
function possibleBytes({ encoding, shape, sources }: PackedTensor): ReadonlySet<number> {
  const [columns = 1, rows = 1, matrices = 1] = shape.toReversed();
  // A table of RoPE is no tensor of the checkpoint's.
  if (sources.length === 0) return new Set(encoding === "f32" ? [rows * columns * f32Bytes] : []);
  const streamsOf = (size: number): readonly number[] => [1, 2, mostStreams].filter((streams) => size % streams === 0);
  const panels = panelEncodings(encoding).flatMap((each) =>
    streamsOf(rows).map((streams) =>
      packedBytes({ kind: "panels", layout: { encoding: each, matrices, streams, rows: rows / streams, columns } }),
    ),
  );
  if (encoding !== "f32") return new Set(panels);
  const vectors = streamsOf(columns).map((streams) => packedBytes({ kind: "vector", streams, length: columns / streams }));
  return new Set(shape.length === 1 ? vectors : [...panels, packedBytes({ kind: "taps", width: columns, channels: rows })]);
}

function panelEncodings(encoding: string): readonly PanelEncoding[] {
  const format = groupFormatNamed(encoding);
  if (format) return (["f16", "f32"] as const).map((scales) => ({ weights: format.name, scales }));
  return encoding === "f32" || encoding === "f16" || encoding === "bf16" ? [{ weights: encoding }] : [];
}

function sizesText({ encoding, shape }: PackedTensor, sizes: ReadonlySet<number>): string {
  return `[${shape.join(", ")}] in ${encoding} ${sizes.size === 0 ? "is nothing that lfmc packs" : `has ${[...sizes].join(" or ")}`}`;
}

/** Throws artefact/invalid where a region is not on a line, lies where threads keep their words, or the memory does not end with the last. */
function checkMemory({ target, memory }: Manifest): Finding {
  const { rows, logits, choices, state, weights, scratch } = memory;
  const inside = { rows, logits, choices, state, ...(target === "wasm-simd" ? { weights } : {}), scratch };
  for (const [name, { offset }] of Object.entries(inside)) {
    if (offset % alignment !== 0) throw invalid(file, `memory.${name} begins at ${offset}, not on a line of ${alignment} bytes`);
    if (offset < firstAddress)
      throw invalid(file, `memory.${name} begins at ${offset}, below ${firstAddress}, where threads keep their words`);
  }
  const end = Math.max(...Object.values(inside).map((region: Region) => region.offset + region.bytes));
  const whole = roundUp(end, target === "wasm-simd" ? pageBytes : alignment);
  if (memory.bytes !== whole) throw invalid(file, `memory has ${memory.bytes} bytes, its regions take ${whole}`);
  const threads = memory.threadBytes > 0 ? `, and ${byteText(memory.threadBytes)} for each thread` : "";
  const regions = Object.entries(inside).map(([name, { bytes }]) => `${name} ${bytes.toLocaleString("en-US")}`);
  return ok("memory", `${byteText(whole)}${threads}: ${regions.join(", ")}`);
}

/** Throws artefact/invalid where slots are not the state, or what a slot has beside rings and checkpoints is no KV cache of the context. */
function checkState({ limits, memory: { state } }: Manifest): Finding {
  const { slotBytes, rings, checkpoints } = state;
  if (state.bytes !== limits.sessions * slotBytes)
    throw invalid(
      file,
      `memory.state has ${state.bytes} bytes, ${limits.sessions} slots of ${slotBytes} take ${limits.sessions * slotBytes}`,
    );
  const count = Math.floor((limits.context - 1) / checkpoints.interval);
  const held = count * rings.reduce((sum, { reads, rowBytes }) => sum + reads * rowBytes, 0);
  if (checkpoints.bytes !== held)
    throw invalid(file, `memory.state.checkpoints has ${checkpoints.bytes} bytes, ${count} of them take ${held}`);
  const { kvCacheBytes, ringBytes, checkpointBytes } = sessionBytes(state);
  const positions = cachedPositions(limits.context);
  if (kvCacheBytes < 0 || kvCacheBytes % positions !== 0)
    throw invalid(
      file,
      `memory.state.slotBytes leaves ${kvCacheBytes} bytes for the KV cache, which do not divide into ${positions} positions`,
    );
  const parts = `KV cache ${kvCacheBytes.toLocaleString("en-US")}, rings ${ringBytes.toLocaleString("en-US")}`;
  return ok("state", `${limits.sessions} of ${byteText(slotBytes)}: ${parts}, checkpoints ${checkpointBytes.toLocaleString("en-US")}`);
}

/** Throws artefact/mismatch where the model's hash is of other weights, or of another layout of sessions. */
function checkHash(manifest: Manifest, weightsHash: string): Finding {
  const { model, quantization } = manifest;
  const found = modelHash(weightsHash, manifest, quantization.kv);
  if (found !== model.hash)
    throw mismatch(file, `model.hash is ${hashText(model.hash)}; these weights and this layout of a session have ${hashText(found)}`);
  return ok("model.hash", `${hashText(found)}: of the weights and of a session's layout`);
}
