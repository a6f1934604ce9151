/**
 * SVG as text: elements, and the texts and numbers in them. The same input gives the same bytes. There are no ids and no style sheets here,
 * so that several drawings can be parts of one page.
 */

/** Attributes by their names; numbers are written with two decimals at most. */
export type Attributes = Readonly<Record<string, string | number>>;

/** An element around `content`, which is SVG already: texts go through `escaped` first. */
export function element(name: string, attributes: Attributes, content = ""): string {
  const written = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${typeof value === "number" ? coordinate(value) : escaped(value)}"`,
  );
  return content === "" ? `<${name}${written.join("")}/>` : `<${name}${written.join("")}>${content}</${name}>`;
}

/** A whole drawing, as a file or within a page's HTML. */
export function drawing(width: number, height: number, attributes: Attributes, parts: readonly string[]): string {
  const size = { width, height, viewBox: `0 0 ${coordinate(width)} ${coordinate(height)}` };
  return `${element("svg", { xmlns: "http://www.w3.org/2000/svg", ...size, ...attributes }, `\n${parts.join("\n")}\n`)}\n`;
}

export function line(x1: number, y1: number, x2: number, y2: number, attributes: Attributes): string {
  return element("line", { x1, y1, x2, y2, ...attributes });
}

/** One line of text that begins at (x, y), on its baseline, unless `text-anchor` says otherwise. */
export function textAt(x: number, y: number, text: string, attributes: Attributes = {}): string {
  return element("text", { x, y, ...attributes }, escaped(text));
}

/** What a reader sees who points at the element around it. */
export function title(text: string): string {
  return element("title", {}, escaped(text));
}

/** `text` as content or as an attribute's value; what XML cannot hold is replaced by U+FFFD. */
export function escaped(text: string): string {
  return text
    .replace(/[^\t\n\r -\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** About how wide `text` is in a 12 px sans-serif, in px: rather too much than too little. */
export function textWidth(text: string): number {
  return text.length * 6.7;
}

function coordinate(value: number): string {
  return String(Math.round(value * 100) / 100 + 0);
}
