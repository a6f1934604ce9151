/** Saved sessions: restored, taken back, continued and saved again. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { readFile } from "node:fs/promises";
import { crc32 } from "../../../runtime/crc32.ts";
import { load } from "../../../runtime/index.ts";
import { compileSmall } from "../artefacts.ts";
import { caseMaker, writeBase, type Mutator } from "../files.ts";
import { mutateBytes, mutateFields, type Field } from "../mutate/bytes.ts";
import type { Target } from "../target.ts";

const saved = ["short.session", "long.session", "rewound.session"] as const;
/** Magic, version, 8 words of hash, token count, evaluated, earliest, bytes of state. */
const headerWords = 14;

/** Nine in ten get past the checksum. */
const mutate: Mutator = (random, bytes) => {
  const words = random.one(
    () => range(0, headerWords),
    () => range(10, headerWords),
    () => range(headerWords, headerWords + 20),
    () => range(headerWords, bytes.length >> 2),
  );
  const fields = words.map((word): Field => ({ offset: word * 4, width: 4 }));
  const changed = random.chance(3, 4) ? mutateFields(random, bytes, fields) : mutateBytes(random, bytes, 256);
  return random.chance(9, 10) ? sealed(changed) : changed;
};

export const session: Target = {
  name: "session",
  share: 4,
  async prepare(base) {
    await compileSmall(join(base, "artefact"), "wasm-simd");
    const model = await load({ base: pathToFileURL(`${join(base, "artefact")}/`) });
    const open = model.createSession();
    const blobs: Record<string, Uint8Array> = {};
    await open.prefill([1, 2, 3]);
    blobs[saved[0]] = open.save();
    await open.prefill(range(4, 44));
    blobs[saved[1]] = open.save();
    open.rewind(5);
    blobs[saved[2]] = open.save();
    await writeBase(base, blobs);
    await model.dispose();
  },
  async open(base) {
    const model = await load({ base: pathToFileURL(`${join(base, "artefact")}/`) });
    const make = await caseMaker(
      base,
      saved.map((path) => ({ path, weight: 1, mutate })),
    );
    return {
      make,
      async run({ path }) {
        const restored = model.restore(new Uint8Array(await readFile(join(base, path))));
        try {
          restored.rewind(Math.min(2, restored.position));
          await restored.complete([1], { maxTokens: 2, ignoreEos: true });
          restored.load(restored.save());
        } finally {
          restored.release();
        }
      },
      model: () => null,
      close: () => model.dispose(),
    };
  },
};

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

/** `bytes` with a checksum that fits. */
function sealed(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  if (copy.length >= 4) new DataView(copy.buffer).setUint32(copy.length - 4, crc32(copy.subarray(0, -4)), true);
  return copy;
}
