/**
 * One long text, several questions to it: four ways to avoid reading the text again for each. All of them give the same tokens as
 * reading it anew, because a session's state is exact whichever way it came about.
 *
 *     npx lfmc compile examples/demo-model --target wasm-simd --sessions 2 -o build/sessions
 *     node examples/session-reuse.ts build/sessions
 */
import { readFile } from "node:fs/promises";
import { importArtefact, type Session } from "./artefact.ts";

const [folder = "build/sessions"] = process.argv.slice(2);
const novel = await readFile(new URL("demo-model/text/persuasion.txt", import.meta.url), "utf8");
const longText = novel.slice(0, 3000);
const continuations = ["\n\nAnne", "\n\nCaptain Wentworth", "\n\nThe next morning"];

const { load } = await importArtefact(folder);
const model = await load();

const answer = async (session: Session, continuation: string): Promise<string> =>
  (await session.complete(continuation, { maxTokens: 24, temperature: 0 })).text;

/** The way of someone who does not know better. */
async function fresh(): Promise<readonly string[]> {
  const session = model.createSession();
  const answers: string[] = [];
  for (const continuation of continuations) {
    session.reset();
    await session.prefill(longText);
    answers.push(await answer(session, continuation));
  }
  session.release();
  return answers;
}

/** Go back to the end of the text: free, as long as it is no further than `limits.rewind` positions. */
async function rewind(): Promise<readonly string[]> {
  const session = model.createSession();
  await session.prefill(longText);
  const mark = session.position;
  const answers: string[] = [];
  for (const continuation of continuations) {
    answers.push(await answer(session, continuation));
    session.rewind(mark);
  }
  session.release();
  return answers;
}

/** Branch off: the copy lives in a slot of its own, and the original may go on. */
async function fork(): Promise<readonly string[]> {
  const trunk = model.createSession();
  await trunk.prefill(longText);
  const answers: string[] = [];
  for (const continuation of continuations) {
    const branch = trunk.fork();
    answers.push(await answer(branch, continuation));
    branch.release();
  }
  trunk.release();
  return answers;
}

/** Keep the session as bytes: in a file, in a database, or on the way to another machine. */
async function saveAndRestore(): Promise<readonly string[]> {
  const reader = model.createSession();
  await reader.prefill(longText);
  const bytes = reader.save();
  reader.release();
  const answers: string[] = [];
  for (const continuation of continuations) {
    const session = model.restore(bytes);
    answers.push(await answer(session, continuation));
    session.release();
  }
  return answers;
}

let expected: readonly string[] | undefined;
process.stdout.write(`${model.tokenizer?.encode(longText).length ?? 0} tokens of text, ${continuations.length} continuations:\n`);
for (const way of [fresh, rewind, fork, saveAndRestore]) {
  const begin = performance.now();
  const answers = await way();
  const milliseconds = (performance.now() - begin).toFixed(0).padStart(6);
  expected ??= answers;
  const isSame = answers.every((text, index) => text === expected?.[index]);
  process.stdout.write(`${way.name.padEnd(16)}${milliseconds} ms  ${isSame ? "same text" : "ANOTHER TEXT"}\n`);
}
process.stdout.write("\n");
for (const [index, text] of (expected ?? []).entries())
  process.stdout.write(`…${`${continuations[index] ?? ""}${text}`.replaceAll("\n", " ").trim()}…\n`);
await model.dispose();
