/**
 * `lfmc chat`: a conversation, line by line. Answers go to stdout, all else to stderr, so that `echo question | lfmc chat DIR` prints
 * the answer alone.
 */
import { Command } from "commander";
import pc from "picocolors";
import {
  type ChatMessage,
  type ChatTemplate,
  type Tool,
  type ToolCall,
  chat,
  createChatTemplate,
  templateOf,
  templateTokens,
} from "../../runtime/chat/index.ts";
import type { Model, Session } from "../../runtime/index.ts";
import { LfmcError } from "../errors.ts";
import { readConversation, readTools } from "../import/conversation.ts";
import { addExecutionFlags, type ExecutionFlags } from "./execution-flags.ts";
import { wholeNumber } from "./flags.ts";
import { LineReader } from "./line-reader.ts";
import { artefactManifest, assertCallable, openArtefact } from "./open-artefact.ts";
import { readText } from "../import/text-file.ts";
import { report } from "./report.ts";
import { addSamplingFlags, type SamplingFlags } from "./sampling-flags.ts";
import { writeWhole } from "./write-whole.ts";

interface Flags extends ExecutionFlags, SamplingFlags {
  readonly system?: string;
  readonly tools?: string;
  readonly template?: string;
  readonly load?: string;
  readonly maxTokens?: number;
}

export function chatCommand(): Command {
  const command = new Command("chat")
    .description("talk with a model")
    .argument("<artefact>", "folder written by lfmc compile")
    .option("--system <text>", "what the model is told before the conversation")
    .option("--tools <file>", "JSON file of functions that the model may call; you play them")
    .option("--load <file>", "go on with a conversation that /save wrote")
    .option("--template <file>", "Jinja chat template, in place of the model's")
    .option("--max-tokens <n>", "most tokens of an answer (default: what the context holds)", wholeNumber(1));
  return addExecutionFlags(addSamplingFlags(command)).action(run);
}

async function run(
  artefact: string,
  { system, tools: toolsFile, template: templateFile, load, threads, variant, ...options }: Flags,
): Promise<void> {
  const tools = toolsFile === undefined ? [] : await readTools(toolsFile);
  const loaded = load === undefined ? null : await readConversation(load);
  const source = templateFile === undefined ? null : await readText(templateFile, "give a Jinja chat template");
  assertCallable(artefact, await artefactManifest(artefact));
  const model = await openArtefact(artefact, { variant, threads });
  const lines = new LineReader();
  try {
    const template = source === null ? templateOf(model) : createChatTemplate(source, templateTokens(model.manifest, model.tokenizer));
    if (!template) {
      const hint = "give one with --template FILE, or compile the model again with its chat_template.jinja beside it";
      throw new LfmcError("artefact/invalid", "has no chat template", { subject: artefact, hint });
    }
    const opening: readonly ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }];
    const parts = { model, session: model.createSession(), template, tools, opening, options, lines };
    const conversation = new Conversation(parts, loaded?.messages ?? opening);
    await conversation.run();
  } finally {
    lines.close();
    await model.dispose();
  }
}

interface Parts {
  readonly model: Model;
  readonly session: Session;
  readonly template: ChatTemplate;
  readonly tools: readonly Tool[];
  readonly opening: readonly ChatMessage[];
  readonly options: SamplingFlags & { readonly maxTokens?: number };
  readonly lines: LineReader;
}

const help = `/reset         begin anew
/save FILE     write the conversation to a file
/load FILE     go on with a conversation that was saved
/help          this list
/exit          end (or Ctrl-D; Ctrl-C stops an answer)
`;

class Conversation {
  readonly #parts: Parts;
  #messages: readonly ChatMessage[];

  constructor(parts: Parts, messages: readonly ChatMessage[]) {
    this.#parts = parts;
    this.#messages = messages;
  }

  /** Reads lines until there are no more, or `/exit`. */
  async run(): Promise<void> {
    for (;;) {
      const line = await this.#parts.lines.next("> ");
      if (line === null || line.trim() === "/exit") return;
      if (line.trim() === "") continue;
      try {
        if (line.startsWith("/")) await this.#command(line);
        else await this.#turn(line);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        report(error);
      }
    }
  }

  async #command(line: string): Promise<void> {
    const [name, file = ""] = line.split(/\s+(.*)/);
    switch (name) {
      case "/reset":
        this.#messages = this.#parts.opening;
        return;
      case "/save":
        await writeWhole(fileOf(name, file), `${JSON.stringify({ messages: this.#messages }, null, 2)}\n`);
        tell(`saved ${this.#messages.length} messages\n`);
        return;
      case "/load":
        this.#messages = (await readConversation(fileOf(name, file))).messages;
        return;
      case "/help":
        tell(help);
        return;
      default:
        throw new LfmcError("run/input", "is not a command", {
          subject: name ?? line,
          hint: "/help lists them; a message cannot begin with a slash",
        });
    }
  }

  /** A message and its answer, with the results of the tools that it asks for. What failed leaves the conversation as it was. */
  async #turn(content: string): Promise<void> {
    let messages: readonly ChatMessage[] = [...this.#messages, { role: "user", content }];
    for (;;) {
      const message = await this.#answer(messages);
      messages = [...messages, message];
      const calls = message.tool_calls ?? [];
      if (calls.length === 0) break;
      for (const { id, function: called } of calls) {
        const result = await this.#parts.lines.next(`result of ${called.name}> `);
        if (result === null) return;
        messages = [...messages, { role: "tool", content: result, tool_call_id: id, name: called.name }];
      }
    }
    this.#messages = messages;
  }

  /** Prints the answer as it comes. What Ctrl-C cuts short is an answer too. */
  async #answer(messages: readonly ChatMessage[]): Promise<ChatMessage> {
    const { model, session, template, tools, options, lines } = this.#parts;
    const stopping = new AbortController();
    const parts = chat(model, session, messages, { ...options, template, tools, signal: stopping.signal });
    let shown = "";
    lines.onInterrupt(() => {
      stopping.abort();
    });
    try {
      for (;;) {
        const next = await parts.next();
        if (next.done) return next.value.message;
        const { text = "", toolCall } = next.value;
        process.stdout.write(text);
        shown += text;
        if (toolCall) tell(`${pc.cyan("call:")} ${written(toolCall)}\n`);
      }
    } catch (error) {
      if (!stopping.signal.aborted) throw error;
      return { role: "assistant", content: shown };
    } finally {
      lines.onInterrupt(null);
      process.stdout.write("\n");
    }
  }
}

function written({ name, arguments: given }: ToolCall): string {
  return `${name}(${JSON.stringify(given)})`;
}

function fileOf(name: string, file: string): string {
  if (file.trim() !== "") return file.trim();
  throw new LfmcError("run/input", "names no file", { subject: name, hint: `${name} FILE` });
}

function tell(text: string): void {
  process.stderr.write(text);
}
