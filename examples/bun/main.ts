/**
 * Streams a continuation of a prompt:
 *
 *     bun main.ts "It is a truth universally acknowledged, that"
 */
import { load } from "demo-model";

const [prompt = "It is a truth universally acknowledged, that"] = Bun.argv.slice(2);

const model = await load();
const session = model.createSession();
await Bun.write(Bun.stdout, prompt);
for await (const { text } of session.generate(prompt, { maxTokens: 60, temperature: 0 })) await Bun.write(Bun.stdout, text);
await Bun.write(Bun.stdout, "\n");
await model.dispose();
