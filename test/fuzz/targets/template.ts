/** Chat templates: parsed, and rendered with a conversation, with tools and without. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { checkTemplate, createChatTemplate, type ChatMessage, type Tool } from "../../../runtime/chat/index.ts";
import { caseMaker, ofText, writeBase } from "../files.ts";
import { smallConfig } from "../models.ts";
import { mutateBytes } from "../mutate/bytes.ts";
import { templateText } from "../mutate/jinja.ts";
import type { Target } from "../target.ts";

const own = ["lfm2", "lfm2.5", "xml-tools"];
const messages: readonly ChatMessage[] = [
  { role: "system", content: "Be kind." },
  { role: "user", content: "Rain? {{ 7 * 7 }} <|im_end|>" },
  {
    role: "assistant",
    content: null,
    tool_calls: [{ id: "c1", type: "function", function: { name: "get_weather", arguments: '{"city": "Paris"}' } }],
  },
  { role: "tool", content: '{"rain": true}', tool_call_id: "c1" },
];
const tools: readonly Tool[] = [
  { type: "function", function: { name: "get_weather", description: "of a city", parameters: { type: "object" } } },
];

export const template: Target = {
  name: "template",
  share: 3,
  async prepare(base) {
    for (const name of own) {
      const source = await readFile(fileURLToPath(new URL(`../../runtime/data/${name}.jinja`, import.meta.url)));
      await writeBase(base, { [`${name}/chat_template.jinja`]: source, [`${name}/config.json`]: JSON.stringify(smallConfig) });
    }
  },
  async open(base) {
    const generated = ofText((random) => templateText(random));
    const make = await caseMaker(base, [
      ...own.map((name) => ({ path: `${name}/chat_template.jinja`, weight: 1, mutate: mutateBytes })),
      { path: "lfm2/chat_template.jinja", weight: 5, mutate: generated },
    ]);
    return {
      make,
      async run({ path }) {
        const source = await readFile(join(base, path), "utf8");
        checkTemplate(source);
        const opened = createChatTemplate(source, { bosToken: "<s>", eosToken: "</s>" });
        opened.render(messages, opened.takesTools ? { tools } : {});
      },
      model: ({ path }) => path.replace(/\/.*/, ""),
      close: () => Promise.resolve(),
    };
  },
};
