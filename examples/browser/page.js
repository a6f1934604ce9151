/**
 * The page: shows what the worker tells, and tells the worker what the user wants. `model-worker.js` runs the model and describes the
 * messages.
 *
 * In the address: `?model=` the artefact's folder, of this origin (by default `model/` beside the page), `?threads=`, `?tokens=` the most
 * tokens of an answer, `?seed=` for answers that can be repeated.
 */
const query = new URLSearchParams(location.search);
const element = (id) => document.getElementById(id);
const numbers = new Intl.NumberFormat("en");
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

const invitations = {
  chat: "Ask it something.",
  story: "This model was not made for conversations: it goes on with whatever you begin.",
};
const placeholders = { chat: "Your question", story: "It is a truth universally acknowledged, that", more: "More of your own, or nothing" };
const endings = {
  eos: "",
  stop: "",
  length: "",
  context: "The context is full: start anew to go on.",
  stopped: "Stopped.",
};

let worker;
let model = null;
let answer = null;

function start() {
  model = null;
  show("loading");
  worker = new Worker(new URL("model-worker.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data: { type, ...rest } }) => handlers[type](rest));
  worker.addEventListener("error", () =>
    handlers.failed({ fact: "The page's worker cannot be started.", hint: "Is this browser up to date?" }),
  );
  try {
    worker.postMessage({ type: "load", folder: modelFolder(), threads: threadCount() });
  } catch (error) {
    handlers.failed({ fact: error.message, hint: "" });
  }
}

/** Only from the page's own origin: an address must not bring another site's code in here. */
function modelFolder() {
  const path = query.get("model") ?? "model";
  const folder = new URL(path.endsWith("/") ? path : `${path}/`, location.href);
  if (folder.origin !== location.origin) throw new Error(`${folder.origin} is not this page's own origin.`);
  return folder.href;
}

/** Threads share memory, which browsers allow to pages that are isolated from other origins. */
function threadCount() {
  if (!crossOriginIsolated) return 1;
  return Number(query.get("threads") ?? Math.min(4, navigator.hardwareConcurrency));
}

const handlers = {
  progress({ loadedBytes, totalBytes }) {
    element("progress").max = totalBytes;
    element("progress").value = loadedBytes;
    element("loaded").textContent = `${megabytes(loadedBytes)} of ${megabytes(totalBytes)}`;
  },
  ready(facts) {
    model = facts;
    const { name, chats, variant, threads, memoryBytes, context } = facts;
    const kind = chats ? "chat" : "story";
    document.title = name;
    document.body.dataset.kind = kind;
    element("name").textContent = name;
    element("invitation").textContent = invitations[kind];
    element("prompt").placeholder = placeholders[kind];
    element("send").textContent = chats ? "Send" : "Continue";
    element("memory").textContent = `${megabytes(memoryBytes)}, as planned`;
    element("code").textContent = `${variant}, ${threads === 1 ? "1 thread" : `${threads} threads`}`;
    element("context").textContent = `0 of ${numbers.format(context)} tokens`;
    show("ready");
  },
  text({ text, ...figures }) {
    answer.add(text);
    showFigures(figures);
  },
  done({ reason, ...figures }) {
    showFigures(figures);
    endAnswer();
    show("ready", endings[reason]);
  },
  failed({ fact, hint }) {
    if (model) {
      endAnswer();
      show("ready", `${fact}. ${hint}`);
      return;
    }
    worker.terminate();
    element("fact").textContent = fact;
    element("hint").textContent = hint;
    show("failed");
  },
};

/** The page's state: loading, failed, ready, answering. What can be pressed follows from it. */
function show(state, status = "") {
  const isReady = state === "ready";
  element("status").textContent = status;
  element("loading").hidden = state !== "loading";
  element("failure").hidden = state !== "failed";
  element("welcome").hidden = state === "failed" || element("conversation").hasChildNodes();
  element("anew").disabled = !isReady || !element("conversation").hasChildNodes();
  element("send").disabled = !isReady;
  element("send").hidden = state === "answering";
  element("stop").hidden = state !== "answering";
  // What is read aloud is the whole answer, not each of its words.
  element("conversation").ariaBusy = String(state === "answering");
  document.body.dataset.state = state;
  if (isReady) element("prompt").focus();
}

function showFigures({ tokensPerSecond, position }) {
  if (tokensPerSecond > 0) element("speed").textContent = `${numbers.format(Math.round(tokensPerSecond))} tokens/s`;
  element("context").textContent = `${numbers.format(position)} of ${numbers.format(model.context)} tokens`;
}

/** Something said, and what more of it comes. Shown once a frame, however fast the model is. */
function addTurn(speaker, text) {
  const turn = document.createElement("div");
  turn.className = `turn ${speaker}`;
  const name = document.createElement("span");
  name.className = "spoken";
  name.textContent = speaker === "user" ? "You: " : "The model: ";
  const words = document.createElement("span");
  words.className = "words";
  turn.append(name, words);
  const main = element("scroll");
  let waiting = "";
  const flush = () => {
    if (waiting === "") return;
    const follows = main.scrollHeight - main.scrollTop - main.clientHeight < 40;
    words.append(waiting);
    waiting = "";
    if (follows) main.scrollTop = main.scrollHeight;
  };
  const add = (more) => {
    if (waiting === "") requestAnimationFrame(flush);
    waiting += more;
  };
  element("conversation").append(turn);
  add(text);
  flush();
  main.scrollTop = main.scrollHeight;
  return { add, flush };
}

function ask() {
  const text = promptText();
  if (text === null || document.body.dataset.state !== "ready") return;
  element("prompt").value = "";
  fitPrompt();
  if (text !== "") addTurn("user", text);
  answer = addTurn("model", "");
  const seed = query.get("seed");
  worker.postMessage({ type: "ask", text, maxTokens: Number(query.get("tokens") ?? 256), ...(seed !== null && { seed: Number(seed) }) });
  if (!model.chats) element("prompt").placeholder = placeholders.more;
  show("answering");
}

/** What the user wants to say; null for nothing. A story begins with what the prompt proposes, and may go on without a word. */
function promptText() {
  const prompt = element("prompt");
  if (model?.chats) return prompt.value.trim() || null;
  if (!element("conversation").hasChildNodes()) return prompt.value || prompt.placeholder;
  return /^[\p{L}\p{N}]/u.test(prompt.value) ? ` ${prompt.value}` : prompt.value;
}

function endAnswer() {
  answer?.flush();
  answer = null;
}

function fitPrompt() {
  const prompt = element("prompt");
  prompt.rows = Math.min(6, prompt.value.split("\n").length);
}

element("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
element("prompt").addEventListener("input", fitPrompt);
element("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ask();
});
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape") worker.postMessage({ type: "stop" });
});
element("stop").addEventListener("click", () => worker.postMessage({ type: "stop" }));
element("retry").addEventListener("click", start);
element("anew").addEventListener("click", () => {
  worker.postMessage({ type: "forget" });
  element("conversation").replaceChildren();
  element("prompt").placeholder = placeholders[document.body.dataset.kind];
  showFigures({ tokensPerSecond: 0, position: 0 });
  show("ready");
});

start();
