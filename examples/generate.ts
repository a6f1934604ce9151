/**
 * Streams a continuation of a prompt, then says on stderr how fast it went. Ctrl-C ends it early and leaves the text whole.
 *
 *     node examples/generate.ts build/demo "It is a truth universally acknowledged, that"
 */
import { importArtefact } from "./artefact.ts";

const [folder = "build/demo", prompt = "It is a truth universally acknowledged, that"] = process.argv.slice(2);

const { load } = await importArtefact(folder);
const model = await load();
const session = model.createSession();
const interrupt = new AbortController();
process.once("SIGINT", () => {
  interrupt.abort();
});

process.stdout.write(prompt);
try {
  for await (const { text } of session.generate(prompt, { maxTokens: 60, seed: 1, signal: interrupt.signal })) process.stdout.write(text);
} catch (error) {
  if (!interrupt.signal.aborted) throw error;
}
process.stdout.write("\n");

const { stopReason = "interrupted", stats } = session.result ?? {};
process.stderr.write(`${session.position} tokens, ${stats?.decodeTokensPerSecond.toFixed(0) ?? "?"} a second, ended by ${stopReason}\n`);
await model.dispose();
