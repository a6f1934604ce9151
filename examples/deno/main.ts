/**
 * Streams a continuation of a prompt:
 *
 *     deno run --allow-read main.ts "It is a truth universally acknowledged, that"
 */
import { load } from "demo-model";

const [prompt = "It is a truth universally acknowledged, that"] = Deno.args;
const encoder = new TextEncoder();
const write = async (text: string) => await Deno.stdout.write(encoder.encode(text));

const model = await load();
const session = model.createSession();
await write(prompt);
for await (const { text } of session.generate(prompt, { maxTokens: 60, temperature: 0 })) await write(text);
await write("\n");
await model.dispose();
