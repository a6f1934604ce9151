/**
 * Conversations: the root of `chat.js`, which artefacts carry beside the core, so that only who chats loads a template engine. Of the core
 * it uses the public surface.
 */
export { type ChatOptions, type ChatPart, type ChatPrompt, type ChatResult, type FinishReason, chat, encodeChat } from "./chat.ts";
export type { ChatMessage, Tool, ToolCall, ToolCallMessage } from "./messages.ts";
export {
  type ChatTemplate,
  type RenderOptions,
  type TemplateTokens,
  checkTemplate,
  createChatTemplate,
  templateOf,
  templateTokens,
  withToolTemplate,
} from "./template.ts";
export { type Dialect, dialectOf, dialects } from "./tool-calls/dialect.ts";
export { type ChatEvent, ToolCallStream } from "./tool-calls/stream.ts";
