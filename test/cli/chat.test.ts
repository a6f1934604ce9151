/** `lfmc chat` on the demo model, which knows nothing of conversations but answers all the same: its commands, its files, and Ctrl-C. */
import { spawn } from "node:child_process";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { caseFolder } from "../golden/read.ts";
import { demoFolder, root, workFolder } from "../model/support.ts";
import { compileModel, json, lfmc, output, record, type Finished } from "./support.ts";

const folder = await workFolder();
const demo = join(folder, "demo");
const template = join(folder, "chat.jinja");
const toolsFile = join(folder, "tools.json");
const greedy = ["--temperature", "0", "--max-tokens", "12"];
const weather = { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } };
const chatml = `{{- bos_token -}}
{%- if tools %}{{ "<|im_start|>system\\nList of tools: " + (tools | tojson) + "<|im_end|>\\n" }}{% endif -%}
{%- for message in messages %}{{ "<|im_start|>" + message.role + "\\n" + message.content + "<|im_end|>\\n" }}{% endfor -%}
{%- if add_generation_prompt %}{{ "<|im_start|>assistant\\n" }}{% endif -%}
`;
beforeAll(async () => {
  await compileModel(demo);
  await writeFile(template, chatml);
  await writeFile(toolsFile, JSON.stringify([weather]));
});

/** A conversation of these lines. */
async function talk(lines: readonly string[], ...flags: readonly string[]): Promise<Finished> {
  return await lfmc(["chat", demo, "--template", template, ...greedy, ...flags], { input: lines.map((line) => `${line}\n`).join("") });
}

async function saved(path: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const { messages } = record(JSON.parse(await readFile(path, "utf8")));
  return Array.isArray(messages) ? messages.map(record) : [];
}

test("answers lines on stdout, and nothing else is there", async () => {
  const { status, stdout, stderr } = await talk(["It is a truth", "And then?"]);
  expect([status, stderr]).toEqual([0, ""]);
  const answers = stdout.split("\n");
  expect(answers).toHaveLength(3);
  expect(answers.slice(0, 2).every((answer) => answer.length > 10)).toBe(true);
  expect(answers[2]).toBe("");
});

test("a conversation is saved, goes on after loading, and begins anew after /reset", async () => {
  const path = join(folder, "saved.json");
  const first = await talk(["It is a truth", `/save ${path}`, "And then?"], "--system", "Be brief.");
  const [one, two] = first.stdout.split("\n");
  expect(await saved(path)).toEqual([
    { role: "system", content: "Be brief." },
    { role: "user", content: "It is a truth" },
    { role: "assistant", content: one },
  ]);
  const [loaded, byFlag, reset] = await Promise.all([
    talk([`/load ${path}`, "And then?"]),
    talk(["And then?"], "--load", path),
    talk(["Hello", "/reset", "It is a truth", "/exit", "unheard"], "--system", "Be brief."),
  ]);
  expect([loaded.stdout, byFlag.stdout]).toEqual([`${two}\n`, `${two}\n`]);
  expect(reset.stdout.split("\n").slice(1)).toEqual([one, ""]);
});

test("says what is wrong and goes on", async () => {
  const { status, stdout, stderr } = await talk([
    "/nope",
    "/save",
    "/load /no/such/file",
    "/load " + toolsFile,
    "",
    "/help",
    "word ".repeat(5000),
    "Hello",
  ]);
  expect(status).toBe(0);
  expect(stdout.split("\n").filter((line) => line !== "")).toHaveLength(1);
  for (const words of ["/nope: is not a command", "/save: names no file", "/no/such/file", "tools.json", "/reset", "[run/context]"])
    expect(stderr).toContain(words);
});

test("a call is shown to the user, whose next line is its result", async () => {
  // The model's first token, whatever it is, is given the text of a call.
  const artefact = join(folder, "calling");
  await cp(demo, artefact, { recursive: true });
  const tool = JSON.stringify({ type: "function", function: weather }).replaceAll(":", ": ").replaceAll(",", ", ");
  const prompt = `<|im_start|>system\nList of tools: [${tool}]<|im_end|>\n<|im_start|>user\nIt is<|im_end|>\n<|im_start|>assistant\n`;
  const { tokens } = await json(["run", demo, "--prompt", prompt, "--temperature", "0", "--max-tokens", "1"]);
  const [id] = Array.isArray(tokens) ? tokens.map(Number) : [];
  const tokenizer = record(JSON.parse(await readFile(join(demo, "tokenizer.json"), "utf8")));
  const given: readonly unknown[] = Array.isArray(tokenizer.added_tokens) ? tokenizer.added_tokens : [];
  const added = [...given, { id, content: "[get_weather(city='Rome')]", special: false }];
  await writeFile(join(artefact, "tokenizer.json"), JSON.stringify({ ...tokenizer, added_tokens: added }));

  const path = join(folder, "called.json");
  const flags = ["chat", artefact, "--template", template, "--tools", toolsFile, "--temperature", "0", "--max-tokens", "1"];
  const { status, stderr } = await lfmc(flags, { input: `It is\nsunny\n/save ${path}\n` });
  expect([status, stderr]).toEqual([0, 'call: get_weather({"city":"Rome"})\nsaved 4 messages\n']);
  expect((await saved(path)).map(({ role, content }) => [role, content])).toEqual([
    ["user", "It is"],
    ["assistant", null],
    ["tool", "sunny"],
    ["assistant", expect.any(String)],
  ]);
  expect(`${(await lfmc(flags, { input: "It is\n" })).stderr}saved 4 messages\n`).toBe(stderr);
});

test("files that are none are refused by name", async () => {
  const [noTools, noTemplate, noConversation] = await Promise.all(
    [
      ["--tools", template],
      ["--template", "/no/such"],
      ["--load", toolsFile],
    ].map((flags) => lfmc(["chat", demo, ...flags], { input: "" })),
  );
  expect([noTools?.stderr, noTemplate?.stderr, noConversation?.stderr]).toEqual([
    expect.stringContaining("is not JSON"),
    expect.stringContaining("/no/such: cannot be read"),
    expect.stringContaining("an object with messages"),
  ]);
});

test("a model without a template names the way out", async () => {
  const { status, stdout, stderr } = await lfmc(["chat", demo], { input: "Hello\n" });
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toContain("has no chat template");
  expect(stderr).toContain("--template FILE");
});

test("a template in tokenizer_config.json travels with the model, that for tools too", async () => {
  const model = join(folder, "model");
  const artefact = join(folder, "with-template");
  await cp(demoFolder, model, { recursive: true, filter: (path) => !/text|consistency/.test(path.slice(demoFolder.length)) });
  const config = record(JSON.parse(await readFile(join(demoFolder, "tokenizer_config.json"), "utf8")));
  const templates = [
    { name: "default", template: chatml },
    { name: "tool_use", template: `tools ${chatml}` },
  ];
  await writeFile(join(model, "tokenizer_config.json"), JSON.stringify({ ...config, chat_template: templates }));
  await output(["compile", model, "-o", artefact, "--features", "simd128"]);
  const own = await lfmc(["chat", artefact, ...greedy], { input: "It is a truth\n" });
  expect(own).toEqual(await talk(["It is a truth"]));
  expect(await readFile(join(artefact, "chat_template.jinja"), "utf8")).toContain("tools {{- bos_token");
});

test("a template that does not parse is a warning of the compiler", async () => {
  const model = join(folder, "tiny");
  await cp(caseFolder("dense-tiny"), model, { recursive: true });
  await writeFile(join(model, "chat_template.jinja"), "{% if %}");
  const { status, stderr } = await lfmc(["compile", model, "-o", join(folder, "broken"), "--features", "simd128"]);
  expect(status).toBe(0);
  expect(stderr).toContain("warning: chat template: does not parse");
});

test("Ctrl-C stops the answer, not the program; without an answer it ends", async () => {
  const flags = ["chat", demo, "--template", template, "--temperature", "0"];
  const child = spawn(process.execPath, [join(root, "compiler", "cli.ts"), ...flags], { cwd: root, stdio: ["pipe", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  const heard = (enough: (text: string) => boolean): Promise<void> =>
    new Promise((resolve) => {
      child.stdout.on("data", () => {
        if (enough(stdout)) resolve();
      });
    });
  child.stdout.setEncoding("utf8").on("data", (piece: string) => (stdout += piece));
  child.stderr.setEncoding("utf8").on("data", (piece: string) => (stderr += piece));
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  const path = join(folder, "stopped.json");
  child.stdin.write("It is a truth\n");
  await heard((text) => text.length > 40);
  child.kill("SIGINT");
  await heard((text) => text.endsWith("\n"));
  const first = stdout.slice(0, -1);
  child.stdin.write(`/save ${path}\nAnd then?\n`);
  await heard((text) => text.length > first.length + 20);
  child.kill("SIGINT");
  await heard((text) => text.endsWith("\n"));
  child.kill("SIGINT");
  expect([await ended, stderr]).toEqual([0, "saved 2 messages\n"]);
  expect((await saved(path)).at(-1)).toEqual({ role: "assistant", content: first });
});
