/** `npm run plan:memory`: what every published shape takes in memory, as a Markdown table in megabytes; with `--json`, in bytes. */
import { required } from "../../compiler/errors.ts";
import { markdown } from "./markdown.ts";
import { contexts, plansOf, shapeNames, type ShapePlans } from "./memory.ts";

const sizes = Object.keys(contexts);

const planned: ShapePlans[] = [];
for (const shape of await shapeNames()) {
  process.stderr.write(`${shape}\n`);
  planned.push(await plansOf(shape));
}
const shapes = planned.toSorted((a, b) => weightBytes(a) - weightBytes(b));
process.stdout.write(process.argv.includes("--json") ? `${JSON.stringify(shapes, null, 2)}\n` : `${table(shapes)}\n\n${note(shapes)}\n`);

function table(shapes: readonly ShapePlans[]): string {
  const titles = [
    ...["shape", "attention layers", "weights"],
    ...sizes.map((size) => `KV + conv, ${size}`),
    ...sizes.map((size) => `whole plan, ${size}`),
    ...sizes.map((size) => `all attention, ${size}`),
  ];
  const rows = shapes.map((shape) => [
    ...[shape.shape, `${shape.attentionLayers} of ${shape.layers}`, megabytes(weightBytes(shape))],
    ...shape.plans.map(({ session }) => `${megabytes(session.kvCacheBytes)} + ${megabytes(session.ringBytes + session.checkpointBytes)}`),
    ...shape.plans.map(({ totalBytes }) => megabytes(totalBytes)),
    ...shape.plans.map(({ session, everyLayerAttention }) => {
      const { bytes } = everyLayerAttention.session;
      return `${megabytes(bytes)} (${(bytes / session.bytes).toFixed(1)}x)`;
    }),
  ]);
  return markdown(titles, rows);
}

function note(shapes: readonly ShapePlans[]): string {
  return [
    "MB of 1,000,000 bytes, for weights in q4_0, a KV cache in f16 and one session. A session's state is the KV cache of its attention layers and the",
    "convolutions' recent rows with their checkpoints (conv); the whole plan adds weights, logits and scratch. All attention is the state of a session of the",
    "same config with attention in every layer, and how many times the state of ours that is (its weights, not shown, are a few percent smaller).",
    positionsNote(shapes),
  ].join("\n");
}

function positionsNote(shapes: readonly ShapePlans[]): string {
  const names = Object.entries(contexts).map(([size, positions]) => `${size} is ${positions.toLocaleString("en")} positions`);
  const shorter = shapes.flatMap(({ shape, plans }) => {
    const { context } = required(plans.at(-1), "plan");
    return context < contexts["128k"] ? [{ shape, context }] : [];
  });
  const own = [...new Set(shorter.map(({ context }) => context.toLocaleString("en")))].join(" or ");
  return `${names.join(", ")}, or all that the model can have: ${own} for ${shorter.length} of the shapes.`;
}

function weightBytes({ plans }: ShapePlans): number {
  return required(plans[0], "plan").weightBytes;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
}
