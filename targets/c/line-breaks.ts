/** Long lines of C, broken where a reader would break them. */

const mostColumns = 120;
const continuation = "    ";

/** A statement in lines of a bearable length: broken after a comma, or before an operator, where its brackets are fewest. */
export function brokenLine(text: string): readonly string[] {
  if (text.length <= mostColumns) return [text];
  const at = breakIn(text);
  if (at === undefined) return [text];
  return [text.slice(0, at), ...brokenLine(`${continuation}${text.slice(at).trimStart()}`)];
}

/** The last of the outermost places to break at, within the columns. */
function breakIn(text: string): number | undefined {
  let depth = 0;
  let best: number | undefined;
  let bestRank = Infinity;
  for (let at = 0; at < mostColumns; at++) {
    const character = text.charAt(at);
    if (character === "(") depth++;
    if (character === ")") depth--;
    // Operators bind what stands between commas.
    const rank = depth + (text.charAt(at - 1) === "," ? 0 : 0.5);
    if (at > mostColumns / 2 && isBreak(text, at) && rank <= bestRank) [best, bestRank] = [at, rank];
  }
  return best;
}

function isBreak(text: string, at: number): boolean {
  return text.charAt(at) === " " && (text.charAt(at - 1) === "," || /^ [-+*/?:|&^] /.test(text.slice(at, at + 3)));
}
